"""The sensor that tells people of failed runs and of checks that turned red, stale agents among them.

One sensor that compares what is with what it has told, in place of Dagster's sensors for failed runs: those know
nothing of checks, send the text of any exception, and forget an alert that could not be delivered.
"""

import datetime as dt
import importlib.util
import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import dagster as dg
from dagster._core.instance import InstanceRef

from synthflow_assets.errors import AlertError, SettingsError
from synthflow_assets.notify import Alert, post_to_webhook, send_email
from synthflow_assets.orchestration.checks import check_key
from synthflow_assets.orchestration.workspace import Workspace
from synthflow_assets.quality import PROMISES, WATCHED
from synthflow_assets.settings import Settings

_INTERVAL_SECONDS = 30
_LONGEST_TEXT = 1500
_KEPT = 100  # alerts that wait for a channel, and runs that were told of
_OVERLAP = dt.timedelta(minutes=2)  # in which a run may still become visible
_WILL_RETRY_TAG = "dagster/will_retry"

Send = Callable[[Alert], None]


@dataclass
class _Told:
    """What was told already, and what could not be; the sensor's cursor."""

    since: float
    runs: list[str] = field(default_factory=list)
    checks: dict[str, str] = field(default_factory=dict)  # red ones, and what they said
    waiting: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # by channel

    @classmethod
    def of(cls, cursor: str | None) -> Self:
        """From the cursor. Before the first tick nothing was told, and older failures are no news."""
        return cls(**json.loads(cursor)) if cursor else cls(since=dt.datetime.now(dt.UTC).timestamp())


class _Instance:
    """Dagster's instance, opened once for all ticks: each opening leaves something in memory for good (Alembic's)."""

    def __init__(self) -> None:
        self._opened: tuple[InstanceRef, dg.DagsterInstance] | None = None

    def of(self, context: dg.SensorEvaluationContext) -> dg.DagsterInstance:
        ref = context.instance_ref
        if ref is None:  # the context was built by hand, and has one
            return context.instance
        if self._opened is None or self._opened[0] != ref:
            self._opened = ref, dg.DagsterInstance.from_ref(ref)
        return self._opened[1]


def build_alert_sensors(workspace: Workspace, steps: Collection[str]) -> list[dg.SensorDefinition]:
    """The sensor, running from the start; none where no channel is set.

    Args:
        workspace: whose runs and checks are watched.
        steps: the names of its own steps, whose messages are fit to be sent.

    Raises:
        SettingsError: Slack is set, but its client is not installed.
    """
    channels = _channels(workspace.settings)
    if not channels:
        return []
    opened = _Instance()

    @dg.sensor(
        name=workspace.named("alerts"),
        minimum_interval_seconds=_INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Tells of failed runs and of checks that turned red, by {', '.join(channels)}.",
    )
    def alerts(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        told, instance = _Told.of(context.cursor), opened.of(context)
        for alert in (*_new_failures(workspace, steps, instance, told), *_new_reds(workspace, instance, told)):
            for channel in channels:
                told.waiting.setdefault(channel, []).append(asdict(alert))
        said = [_deliver(name, send, told.waiting.pop(name, []), told) for name, send in channels.items()]
        context.update_cursor(json.dumps(asdict(told)))
        return dg.SkipReason("; ".join(filter(None, said)) or "nothing to tell")

    return [alerts]


def _channels(settings: Settings) -> dict[str, Send]:
    """How to send, by the name of the channel. Secrets are read when they are needed."""
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


def _post_to_slack(token: str, channel: str | None, alert: Alert) -> None:
    from dagster_slack import SlackResource
    from slack_sdk.errors import SlackApiError

    try:
        SlackResource(token=token).get_client().chat_postMessage(channel=channel or "", text=alert.body)
    except SlackApiError as error:
        raise AlertError(f"Slack did not take the message ({error.response.get('error')})") from None
    except OSError as error:
        raise AlertError(f"Slack cannot be reached ({type(error).__name__})") from None


def _deliver(channel: str, send: Send, alerts: list[dict[str, Any]], told: _Told) -> str | None:
    """Send what waits for a channel. What cannot be sent waits for the next tick; the other channels do not."""
    for number, alert in enumerate(alerts):
        try:
            send(Alert(**alert))
        except (AlertError, SettingsError) as error:
            told.waiting[channel] = alerts[number:][-_KEPT:]
            return f"{channel}: {error}; {len(alerts) - number} alert(s) wait for the next tick"
    return f"{channel}: {len(alerts)} alert(s) sent" if alerts else None


def _new_failures(
    workspace: Workspace, steps: Collection[str], instance: dg.DagsterInstance, told: _Told
) -> Iterator[Alert]:
    since = dt.datetime.fromtimestamp(told.since, dt.UTC)
    records = instance.get_run_records(
        dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=since - _OVERLAP), ascending=True
    )
    for record in records:
        run, ended = record.dagster_run, record.end_time or 0.0
        # What Dagster is about to start again is no news until it has failed for good.
        if run.run_id in told.runs or ended < told.since - _OVERLAP.total_seconds():
            continue
        if workspace.owns_run(run) and run.tags.get(_WILL_RETRY_TAG) != "true":
            yield _failure(workspace, steps, instance, run)
            told.runs = [*told.runs, run.run_id][-_KEPT:]
    told.since = dt.datetime.now(dt.UTC).timestamp()


def _failure(workspace: Workspace, steps: Collection[str], instance: dg.DagsterInstance, run: dg.DagsterRun) -> Alert:
    tags = run.tags
    first = tags.get("dagster/asset_partition_range_start") or tags.get("dagster/partition")
    last = tags.get("dagster/asset_partition_range_end") or first
    days = f" for {first}" + (f" to {last}" if last != first else "") if first else ""
    job = run.job_name if not run.job_name.startswith("__") else "of assets"
    entries = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    reasons = [_reason(steps, entry.get_dagster_event()) for entry in entries]
    text = "\n".join(filter(None, reasons)) or "The run ended outside of its steps: its process died, or was stopped."
    return Alert(
        "run_failed",
        f"{workspace.name}: run {job}{days} failed",
        text[:_LONGEST_TEXT],
        _page(workspace.settings, f"/runs/{run.run_id}"),
    )


def _reason(steps: Collection[str], event: dg.DagsterEvent) -> str | None:
    """What a failed step says. Only our own words: the text of other failures may hold anything."""
    data = event.step_failure_data
    if data.user_failure_data and event.step_key in steps:
        return data.user_failure_data.description
    kind = data.error.cls_name if data.error else None
    return f"Step {event.step_key} failed ({kind or 'no reason given'}); the run's log tells more."


def _new_reds(workspace: Workspace, instance: dg.DagsterInstance, told: _Told) -> Iterator[Alert]:
    for promise in (*PROMISES, *WATCHED):
        key = check_key(workspace, promise)
        name = f"{key.asset_key.to_user_string()}: {key.name}"
        evaluation = _latest(instance, key)
        if evaluation is None:
            continue
        if evaluation.passed:
            told.checks.pop(name, None)
        elif told.checks.get(name) != (text := (evaluation.description or "")[:_LONGEST_TEXT]):
            told.checks[name] = text
            grade = "warning" if evaluation.severity is dg.AssetCheckSeverity.WARN else "error"
            page = f"/assets/{key.asset_key.to_user_string()}?view=checks&checkDetail={key.name}"
            yield Alert(
                "check_failed",
                f"{workspace.name}: check {key.name} of {key.asset_key.to_user_string()} is red ({grade})",
                text,
                _page(workspace.settings, page),
            )


def _latest(instance: dg.DagsterInstance, key: dg.AssetCheckKey) -> dg.AssetCheckEvaluation | None:
    record = instance.get_latest_asset_check_evaluation_record(key)
    event = record.event.dagster_event if record and record.event else None
    evaluation = event.event_specific_data if event else None
    # One that is planned, or whose step failed, says nothing.
    return evaluation if isinstance(evaluation, dg.AssetCheckEvaluation) else None


def _page(settings: Settings, path: str) -> str | None:
    return settings.webserver_url + path if settings.webserver_url else None
