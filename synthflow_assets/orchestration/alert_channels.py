"""The channels that alerts go to, and what waits for each: nothing is lost, and nobody gets hundreds at once."""

import importlib.util
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from synthflow_assets.errors import AlertError, SettingsError
from synthflow_assets.notify import TIMEOUT_SECONDS, Alert, post_to_webhook, send_email
from synthflow_assets.settings import Settings

# Dagster gives a tick a minute; what was sent in a tick that takes longer would be sent again by the next one. After
# this time no other message is begun, and one that was begun takes at most twice the timeout.
_SENDING_SECONDS = 20.0
_SINGLY = 10  # more than these are sent as one
_KEPT = 20  # of which the one message tells, in a line each
_LONGEST_LINE = 200

Send = Callable[[Alert], None]


@dataclass
class Waiting:
    """What is to be sent to a channel."""

    alerts: list[Alert] = field(default_factory=list)
    more: int = 0  # that are only counted

    def __len__(self) -> int:
        return len(self.alerts) + self.more

    def add(self, alert: Alert) -> None:
        """Keep an alert, or count it, where many wait already."""
        if len(self.alerts) < _KEPT:
            self.alerts.append(alert)
        else:
            self.more += 1

    def next_message(self, workspace: str, overview_url: str | None) -> tuple[Alert, int]:
        """What is to be sent next, and how many alerts that is."""
        if len(self) <= _SINGLY:
            return self.alerts[0], 1
        lines = [f"{alert.subject}: {alert.text}".splitlines()[0][:_LONGEST_LINE] for alert in self.alerts]
        more = [f"and {self.more} more"] if self.more else []
        subject = f"{workspace}: {len(self)} failed runs and red checks"
        return Alert("several", subject, "\n".join([*lines, *more]), overview_url), len(self)

    def drop(self, count: int) -> None:
        """These were sent."""
        self.alerts, self.more = self.alerts[count:], 0


def channels_of(settings: Settings) -> dict[str, Send]:
    """How to send, by the name of the channel. Secrets are read when they are needed.

    Raises:
        SettingsError: Slack is set, but its client is not installed.
    """
    found: dict[str, Send] = {}
    webhook, token, mail = settings.alert_webhook_url, settings.alert_slack_token, settings.alert_smtp_url
    if webhook is not None:
        found["webhook"] = lambda alert: post_to_webhook(webhook.get_secret_value(), alert)
    if token is not None:
        if importlib.util.find_spec("dagster_slack") is None:
            raise SettingsError("alerts to Slack need its client: pip install 'synthflow-assets[slack]'")
        found["Slack"] = lambda alert: _post_to_slack(token.get_secret_value(), settings.alert_slack_channel, alert)
    if mail is not None:
        sender = settings.alert_email_from or settings.alert_email_to[0]
        found["e-mail"] = lambda alert: send_email(mail.get_secret_value(), sender, settings.alert_email_to, alert)
    return found


def deliver(
    channels: Mapping[str, Send], waiting: Mapping[str, Waiting], workspace: str, overview_url: str | None
) -> list[str]:
    """Send what waits, to all channels at once: one that hangs holds up no other. What is left waits for the next tick.

    Args:
        channels: how to send, by name.
        waiting: what is to be sent, by the same names; what was sent is taken out.
        workspace: the name of the workspace.
        overview_url: the page that tells more where many alerts are sent as one.

    Returns:
        A line for each channel that had something to send.
    """
    with ThreadPoolExecutor(len(channels)) as threads:
        said = threads.map(lambda name: _deliver(channels[name], waiting[name], workspace, overview_url), channels)
        return [f"{name}: {line}" for name, line in zip(channels, said, strict=True) if line]


def _deliver(send: Send, waiting: Waiting, workspace: str, overview_url: str | None) -> str | None:
    begun, sent = time.monotonic(), 0
    while waiting:
        message, count = waiting.next_message(workspace, overview_url)
        if time.monotonic() - begun > _SENDING_SECONDS:
            return f"{sent} alert(s) sent, {len(waiting)} wait for the next tick, since each takes long"
        try:
            send(message)
        except (AlertError, SettingsError) as error:
            return f"{error}; {len(waiting)} alert(s) wait for the next tick"
        waiting.drop(count)
        sent += count
    return f"{sent} alert(s) sent" if sent else None


def _post_to_slack(token: str, channel: str | None, alert: Alert) -> None:
    from dagster_slack import SlackResource
    from slack_sdk.errors import SlackApiError

    client = SlackResource(token=token).get_client()
    client.timeout = int(TIMEOUT_SECONDS)
    try:
        client.chat_postMessage(channel=channel or "", text=alert.body)
    except SlackApiError as error:
        raise AlertError(f"Slack did not take the message ({error.response.get('error')})") from None
    except OSError as error:
        raise AlertError(f"Slack cannot be reached ({type(error).__name__})") from None
