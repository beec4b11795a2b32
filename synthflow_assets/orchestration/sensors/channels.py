"""The channels that alerts are sent to, with an outbox for each: no alert is lost, and many become one message."""

import importlib.util
import re
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from synthflow_assets.errors import AlertError, SettingsError
from synthflow_assets.notify import TIMEOUT_SECONDS, Alert, post_to_webhook, send_email
from synthflow_assets.settings import Settings

# Dagster ends a tick after a minute, and the next tick would send its alerts again. So no message is started after this
# time, and a started one takes at most twice the timeout.
SENDING_SECONDS = 20.0
_SENT_SINGLY = 10  # more alerts than these become one message
_LISTED = 20  # alerts in that message, one line each
_MAX_LINE_LENGTH = 200

Send = Callable[[Alert], None]


@dataclass
class Outbox:
    """The alerts that wait to be sent to a channel."""

    alerts: list[Alert] = field(default_factory=list)
    more: int = 0  # alerts that are only counted

    def __len__(self) -> int:
        return len(self.alerts) + self.more

    def add(self, alert: Alert) -> None:
        """Keep an alert; count it if many wait already."""
        if len(self.alerts) < _LISTED:
            self.alerts.append(alert)
        else:
            self.more += 1

    def next_message(self, workspace: str, overview_url: str | None) -> tuple[Alert, int]:
        """Return the next message, and how many alerts it holds."""
        if len(self) <= _SENT_SINGLY:
            return self.alerts[0], 1
        lines = [f"{alert.subject}: {alert.text}".splitlines()[0][:_MAX_LINE_LENGTH] for alert in self.alerts]
        more = [f"and {self.more} more"] if self.more else []
        subject = f"{workspace}: {len(self)} failed runs and checks"
        return Alert("several", subject, "\n".join([*lines, *more]), overview_url), len(self)

    def drop(self, count: int) -> None:
        """Remove the alerts of a message that was sent."""
        self.alerts, self.more = self.alerts[count:], 0


def channels_of(settings: Settings) -> dict[str, Send]:
    """Return the function that sends an alert, by the name of the channel. Secrets are read when it is called.

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


def send_test_alert(settings: Settings) -> dict[str, str | None]:
    """Send an alert through every channel that is set.

    Returns:
        By channel, why the alert was not accepted; None if it was.

    Raises:
        SettingsError: Slack is set, but its client is not installed.
    """
    alert = Alert(
        "test",
        f"{settings.warehouse_schema}: this is a test",
        "This channel receives alerts about failed runs and failed checks.",
        settings.webserver_url,
    )
    return {name: _problem(send, alert) for name, send in channels_of(settings).items()}


def _problem(send: Send, alert: Alert) -> str | None:
    """Send an alert, and return why it was not accepted; None if it was."""
    try:
        send(alert)
    except (AlertError, SettingsError) as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 (Slack's client raised AttributeError for the page of a proxy)
        # One channel must not keep the others from being remembered as sent.
        return f"the channel failed ({type(error).__name__})"
    return None


def deliver(
    channels: Mapping[str, Send], outboxes: Mapping[str, Outbox], workspace: str, overview_url: str | None
) -> list[str]:
    """Send the alerts of all outboxes at the same time, so that a channel that hangs delays no other.

    Args:
        channels: the function that sends an alert, by channel.
        outboxes: the alerts, by channel; those that were sent are removed, the others wait for the next tick.
        workspace: the name of the workspace.
        overview_url: the page that a message of many alerts links to.

    Returns:
        One line for each channel that had alerts to send.
    """
    with ThreadPoolExecutor(len(channels)) as threads:
        lines = threads.map(lambda name: _deliver(channels[name], outboxes[name], workspace, overview_url), channels)
        return [f"{name}: {line}" for name, line in zip(channels, lines, strict=True) if line]


def _deliver(send: Send, outbox: Outbox, workspace: str, overview_url: str | None) -> str | None:
    started, sent = time.monotonic(), 0
    while outbox:
        message, count = outbox.next_message(workspace, overview_url)
        if time.monotonic() - started > SENDING_SECONDS:
            return f"{sent} alert(s) sent, {len(outbox)} wait for the next tick: the channel is slow"
        if (problem := _problem(send, message)) is not None:
            return f"{problem}; {len(outbox)} alert(s) wait for the next tick"
        outbox.drop(count)
        sent += count
    return f"{sent} alert(s) sent" if sent else None


def _post_to_slack(token: str, channel: str | None, alert: Alert) -> None:
    from dagster_slack import SlackResource
    from slack_sdk.errors import SlackApiError

    client = SlackResource(token=token).get_client()
    client.timeout = int(TIMEOUT_SECONDS)
    try:
        client.chat_postMessage(
            channel=channel or "", text=alert.chat_text, mrkdwn=False, unfurl_links=False, unfurl_media=False
        )
    except SlackApiError as error:
        reason = str(error.response.get("error"))  # such as channel_not_found, but a proxy may send any text
        shown = reason if re.fullmatch("[a-z_]{1,60}", reason) else "no reason given"
        raise AlertError(f"Slack refused the message ({shown})") from None
    except OSError as error:
        raise AlertError(f"Slack cannot be reached ({type(error).__name__})") from None
