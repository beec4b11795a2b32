"""The sensor that tells people of failed runs and of checks that turned red, stale agents among them.

One sensor that compares what is with what it has told, in place of Dagster's sensors for failed runs: those know
nothing of checks, send the text of any exception, and forget an alert that could not be delivered.
"""

import datetime as dt
import time
from collections.abc import Collection, Iterator
from typing import Self

import dagster as dg
from dagster._core.instance import InstanceRef
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionRecord,
    AssetCheckExecutionRecordStatus,
)
from pydantic import BaseModel, Field, ValidationError

from synthflow_assets.notify import Alert
from synthflow_assets.orchestration.alert_channels import Waiting, channels_of, deliver
from synthflow_assets.orchestration.checks import check_key
from synthflow_assets.orchestration.workspace import Workspace
from synthflow_assets.quality import CHECKS, SCHEDULED_CHECKS
from synthflow_assets.settings import Settings

_INTERVAL_SECONDS = 30
_LONGEST_TEXT = 1500
_OVERLAP_SECONDS = 120.0  # in which a failure may still become visible
_RETRIED_WITHIN_SECONDS = 300.0
_REDS_LOOKED_AT = 10  # of each check, a tick
_WILL_RETRY_TAG = "dagster/will_retry"
_PARENT_RUN_TAG = "dagster/parent_run_id"


class _AlertCursor(BaseModel):
    """What was told already, and what could not be; the sensor's cursor. All times are seconds since 1970."""

    since: float = Field(default_factory=time.time)  # older failures are no news
    seen: dict[str, float] = {}  # runs and evaluations, for as long as they may be met again
    retried: dict[str, float] = {}  # failed runs that Dagster said it would start again
    checks: dict[str, str] = {}  # red ones, and what they said
    waiting: dict[str, Waiting] = {}  # by channel

    @classmethod
    def of(cls, cursor: str | None) -> Self:
        """From the cursor. Before the first tick, and where another version left a cursor, nothing was told."""
        try:
            return cls.model_validate_json(cursor or "{}")
        except ValidationError:
            return cls()

    def is_news(self, name: str, happened: float) -> bool:
        """Whether it happened since the last tick and was not seen by it; from now on it was."""
        if name in self.seen or happened < self.since - _OVERLAP_SECONDS:
            return False
        self.seen[name] = happened
        return True

    def move_on(self, now: float) -> None:
        """What happens from now on is for the next tick."""
        self.since = now
        self.seen = {name: at for name, at in self.seen.items() if at >= now - _OVERLAP_SECONDS}


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
    channels = channels_of(workspace.settings)
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
        told, instance, now = _AlertCursor.of(context.cursor), opened.of(context), time.time()
        told.waiting = {channel: told.waiting.get(channel, Waiting()) for channel in channels}
        for alert in (
            *_new_run_failures(workspace, steps, instance, told),
            *_new_check_failures(workspace, instance, told),
        ):
            for waiting in told.waiting.values():
                waiting.add(alert)
        said = deliver(channels, told.waiting, workspace.name, _page(workspace.settings, "/runs"))
        told.move_on(now)
        context.update_cursor(told.model_dump_json())
        return dg.SkipReason("; ".join(said) or "nothing to tell")

    return [alerts]


def _new_run_failures(
    workspace: Workspace, steps: Collection[str], instance: dg.DagsterInstance, told: _AlertCursor
) -> Iterator[Alert]:
    updated_after = dt.datetime.fromtimestamp(told.since - _OVERLAP_SECONDS, dt.UTC)
    failed = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=updated_after)
    for record in instance.get_run_records(failed, ascending=True):
        run, ended = record.dagster_run, record.end_time or 0.0
        if not workspace.owns_run(run) or not told.is_news(run.run_id, ended):
            continue
        if run.tags.get(_WILL_RETRY_TAG) == "true":
            told.retried[run.run_id] = ended
        else:
            yield _failure(workspace, steps, instance, run)
    for run in _given_up(instance, told):
        yield _failure(workspace, steps, instance, run)


def _given_up(instance: dg.DagsterInstance, told: _AlertCursor) -> Iterator[dg.DagsterRun]:
    """The runs that Dagster said it would start again, and has not: it cannot where `dg launch` started them.

    Those that it did start again are no news until they have failed for good.
    """
    for run_id, ended in list(told.retried.items()):
        run = instance.get_run_by_id(run_id)
        again = instance.get_runs(dg.RunsFilter(tags={_PARENT_RUN_TAG: run_id}), limit=1)
        late = ended < time.time() - _RETRIED_WITHIN_SECONDS
        if run is None or again or late or run.tags.get(_WILL_RETRY_TAG) != "true":
            del told.retried[run_id]
            if run is not None and not again:
                yield run


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


def _new_check_failures(workspace: Workspace, instance: dg.DagsterInstance, told: _AlertCursor) -> Iterator[Alert]:
    for check in (*CHECKS, *SCHEDULED_CHECKS):
        key = check_key(workspace, check)
        name = f"{key.asset_key.to_user_string()}: {key.name}"
        latest = _evaluation(instance.get_latest_asset_check_evaluation_record(key))
        # Each run asks about its own days, so what is green now may have been red, and still be, of other days.
        passing = _red_since(instance, key, told)
        for evaluation in (*passing, *([latest] if latest and not latest.passed else [])):
            text = (evaluation.description or "")[:_LONGEST_TEXT]
            if told.checks.get(name) != text:
                told.checks[name] = text
                yield _red(workspace, key, evaluation, text)
        if latest and latest.passed:
            told.checks.pop(name, None)


def _red_since(
    instance: dg.DagsterInstance, key: dg.AssetCheckKey, told: _AlertCursor
) -> list[dg.AssetCheckEvaluation]:
    """The red answers since the last tick, the earliest first."""
    failed = {AssetCheckExecutionRecordStatus.FAILED}
    records = instance.event_log_storage.get_asset_check_execution_history(key, _REDS_LOOKED_AT, status=failed)
    return [
        evaluation
        for record in sorted(records, key=_happened)
        if (evaluation := _evaluation(record)) and told.is_news(f"{record.run_id} {key.name}", _happened(record))
    ]


def _happened(record: AssetCheckExecutionRecord) -> float:
    return record.event.timestamp if record.event else 0.0


def _evaluation(record: AssetCheckExecutionRecord | None) -> dg.AssetCheckEvaluation | None:
    event = record.event.dagster_event if record and record.event else None
    evaluation = event.event_specific_data if event else None
    # One that is planned, or whose step failed, says nothing.
    return evaluation if isinstance(evaluation, dg.AssetCheckEvaluation) else None


def _red(workspace: Workspace, key: dg.AssetCheckKey, evaluation: dg.AssetCheckEvaluation, text: str) -> Alert:
    asset = key.asset_key.to_user_string()
    grade = "warning" if evaluation.severity is dg.AssetCheckSeverity.WARN else "error"
    return Alert(
        "check_failed",
        f"{workspace.name}: check {key.name} of {asset} is red ({grade})",
        text,
        _page(workspace.settings, f"/assets/{asset}?view=checks&checkDetail={key.name}"),
    )


def _page(settings: Settings, path: str) -> str | None:
    return settings.webserver_url + path if settings.webserver_url else None
