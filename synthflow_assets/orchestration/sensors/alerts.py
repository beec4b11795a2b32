"""The sensor that sends alerts about failed runs and failed checks.

It replaces Dagster's sensors for failed runs. They report no checks, send the text of any exception, and drop alerts
that could not be delivered. Each tick compares the state of the instance with a cursor of what was sent.
"""

import datetime as dt
import re
import time
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Self

import dagster as dg
from pydantic import BaseModel, Field, ValidationError

from synthflow_assets.notify import Alert
from synthflow_assets.orchestration import private
from synthflow_assets.orchestration.checks import EXAMINED_SPAN, PLACES, check_key
from synthflow_assets.orchestration.run_days import days_of_run
from synthflow_assets.orchestration.sensors.channels import Outbox, channels_of, deliver
from synthflow_assets.orchestration.workspace import Workspace
from synthflow_assets.quality import CHECKS, SCHEDULED_CHECKS
from synthflow_assets.settings import Settings
from synthflow_assets.texts import from_markdown

_INTERVAL_SECONDS = 30
_MAX_TEXT_LENGTH = 1500
_OVERLAP_SECONDS = 120.0  # a failure may become visible this much later
RETRY_STARTS_WITHIN_SECONDS = 300.0
_REMIND_SECONDS = 86_400.0  # after which what still fails is reported again
_REMEMBERED_RUNS = 50  # failed ones, to notice that they are resolved
_EVALUATIONS_PER_TICK = 10  # failed ones, of each check
_WILL_RETRY_TAG = "dagster/will_retry"
_PARENT_RUN_TAG = "dagster/parent_run_id"


class _ReportedCheck(BaseModel):
    """A failed check that was reported."""

    reported_at: float = 0.0
    is_error: bool = False
    places: set[str] = set()  # days and agents that were reported as failing, and are not known to pass again

    def is_news(self, evaluation: dg.AssetCheckEvaluation, now: float) -> bool:
        """Return whether a failed evaluation is to be reported, and remember it.

        It is reported if the check fails in a new place, as an error instead of a warning, or still after a day.
        """
        places, is_error = set(_metadata(evaluation, PLACES)), evaluation.severity is dg.AssetCheckSeverity.ERROR
        is_news = bool(places - self.places) or is_error > self.is_error or now - self.reported_at > _REMIND_SECONDS
        # Places that this evaluation examined without a failure pass again.
        self.places = {place for place in self.places if not _was_examined(place, evaluation)} | places
        self.is_error = is_error
        if is_news:
            self.reported_at = now
        return is_news

    def is_resolved_by(self, evaluation: dg.AssetCheckEvaluation) -> bool:
        """Return whether an evaluation passed and examined all reported places."""
        return evaluation.passed and all(_was_examined(place, evaluation) for place in self.places)


class _ReportedRun(BaseModel):
    """A failed run over days that was reported."""

    failed_at: float
    job: str
    first: str
    last: str
    text: str

    def is_same(self, other: "_ReportedRun") -> bool:
        """Return whether two runs failed over the same days for the same reason within a day."""
        same = (self.job, self.first, self.last, self.text) == (other.job, other.first, other.last, other.text)
        return same and abs(other.failed_at - self.failed_at) <= _REMIND_SECONDS

    def is_resolved_by(self, job: str, first: str, last: str, started: float) -> bool:
        """Return whether a run that succeeded repeated all of this one's days.

        Runs of `dg launch` share a job name, and may have other assets, so they never resolve a failure.
        """
        is_same_job = job == self.job and not job.startswith("__")
        return is_same_job and bool(first) and first <= self.first <= self.last <= last and started > self.failed_at


class _AlertCursor(BaseModel):
    """The sensor's cursor: what was sent, and what could not be sent yet. All times are seconds since 1970."""

    since: float = Field(default_factory=time.time)  # earlier failures are not reported
    seen: dict[str, float] = {}  # runs and evaluations within the overlap
    retried: dict[str, float] = {}  # failed runs that Dagster says it is going to retry
    runs: list[_ReportedRun] = []  # failed runs, the earliest first
    checks: dict[str, _ReportedCheck] = {}  # failed checks, by asset and name
    outboxes: dict[str, Outbox] = {}  # by channel

    @classmethod
    def parse(cls, cursor: str | None) -> Self:
        """Parse a cursor; return a new one before the first tick, or if another version wrote it."""
        try:
            return cls.model_validate_json(cursor or "{}")
        except ValidationError:
            return cls()

    def is_new(self, name: str, timestamp: float) -> bool:
        """Return whether an event is new since the last tick, and remember it."""
        if name in self.seen or timestamp < self.since - _OVERLAP_SECONDS:
            return False
        self.seen[name] = timestamp
        return True

    def advance(self, now: float) -> None:
        """Start the period that the next tick looks at."""
        self.since = now
        self.seen = {name: at for name, at in self.seen.items() if at >= now - _OVERLAP_SECONDS}


class _InstanceCache:
    """Opens Dagster's instance once for all ticks, because Alembic leaks memory at each opening."""

    def __init__(self) -> None:
        self._opened: tuple[Any, dg.DagsterInstance] | None = None

    def get(self, context: dg.SensorEvaluationContext) -> dg.DagsterInstance:
        ref = context.instance_ref
        if ref is None:  # in `dg.build_sensor_context`, which has an instance
            return context.instance
        if self._opened is None or self._opened[0] != ref:
            self._opened = ref, dg.DagsterInstance.from_ref(ref)
        return self._opened[1]


def build_alert_sensors(workspace: Workspace, steps: Collection[str]) -> list[dg.SensorDefinition]:
    """Build the alert sensor, which runs from the start; return none if no channel is set.

    Args:
        workspace: whose runs and checks are watched.
        steps: the names of its steps, whose failure messages hold no data of calls and may be sent.

    Raises:
        SettingsError: Slack is set, but its client is not installed.
    """
    channels = channels_of(workspace.settings)
    if not channels:
        return []
    private.warn_if_untested("The alert sensor")
    instances = _InstanceCache()

    @dg.sensor(
        name=workspace.named("alerts"),
        minimum_interval_seconds=_INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Sends alerts about failed runs and failed checks by {', '.join(channels)}.",
    )
    def alerts(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        cursor, instance, now = _AlertCursor.parse(context.cursor), instances.get(context), time.time()
        cursor.outboxes = {channel: cursor.outboxes.get(channel, Outbox()) for channel in channels}
        for alert in (
            *_new_run_failures(workspace, steps, instance, cursor),
            *_resolved_runs(workspace, instance, cursor),
            *_check_alerts(workspace, instance, cursor),
        ):
            for outbox in cursor.outboxes.values():
                outbox.add(alert)
        lines = deliver(channels, cursor.outboxes, workspace.name, _page(workspace.settings, "/runs"))
        cursor.advance(now)
        context.update_cursor(cursor.model_dump_json())
        return dg.SkipReason("; ".join(lines) or "nothing to send")

    return [alerts]


def _new_run_failures(
    workspace: Workspace, steps: Collection[str], instance: dg.DagsterInstance, cursor: _AlertCursor
) -> Iterator[Alert]:
    for record in _ended_runs(instance, dg.DagsterRunStatus.FAILURE, cursor):
        run, ended = record.dagster_run, record.end_time or 0.0
        if not workspace.owns_run(run) or not cursor.is_new(run.run_id, ended):
            continue
        if run.tags.get(_WILL_RETRY_TAG) == "true":
            cursor.retried[run.run_id] = ended
        else:
            yield from _run_alert(workspace, steps, instance, run, ended, cursor)
    for run, ended in _runs_never_retried(instance, cursor):
        yield from _run_alert(workspace, steps, instance, run, ended, cursor)


def _ended_runs(
    instance: dg.DagsterInstance, status: dg.DagsterRunStatus, cursor: _AlertCursor
) -> Sequence[dg.RunRecord]:
    """Return the runs that ended with this status since the last tick or shortly before, the earliest first."""
    updated_after = dt.datetime.fromtimestamp(cursor.since - _OVERLAP_SECONDS, dt.UTC)
    return instance.get_run_records(dg.RunsFilter(statuses=[status], updated_after=updated_after), ascending=True)


def _resolved_runs(workspace: Workspace, instance: dg.DagsterInstance, cursor: _AlertCursor) -> Iterator[Alert]:
    """Yield an alert if a later run of the same job over all days of a failed one has succeeded."""
    cursor.runs = cursor.runs[-_REMEMBERED_RUNS:]
    if not cursor.runs:
        return
    for record in _ended_runs(instance, dg.DagsterRunStatus.SUCCESS, cursor):
        run, started = record.dagster_run, record.start_time or 0.0
        first, last = days_of_run(run)
        resolved = [reported for reported in cursor.runs if reported.is_resolved_by(run.job_name, first, last, started)]
        if resolved and workspace.owns_run(run):
            cursor.runs = [reported for reported in cursor.runs if reported not in resolved]
            days = dict.fromkeys(_in_days(reported.first, reported.last) for reported in resolved)
            yield Alert(
                "resolved",
                f"{workspace.name}: run {run.job_name}{' and'.join(days)} has succeeded",
                "",
                _page(workspace.settings, f"/runs/{run.run_id}"),
            )


def _runs_never_retried(instance: dg.DagsterInstance, cursor: _AlertCursor) -> Iterator[tuple[dg.DagsterRun, float]]:
    """Yield the runs that Dagster said it would retry and did not, and when they ended.

    Dagster cannot retry runs of `dg launch`.

    A run that was retried is reported only when its last retry fails.
    """
    for run_id, ended in list(cursor.retried.items()):
        run = instance.get_run_by_id(run_id)
        retries = instance.get_runs(dg.RunsFilter(tags={_PARENT_RUN_TAG: run_id}), limit=1)
        is_late = ended < time.time() - RETRY_STARTS_WITHIN_SECONDS
        if run is None or retries or is_late or run.tags.get(_WILL_RETRY_TAG) != "true":
            del cursor.retried[run_id]
            if run is not None and not retries:
                yield run, ended


def _in_days(first: str, last: str) -> str:
    return f" for {first}" + (f" to {last}" if last != first else "") if first else ""


def _run_alert(
    workspace: Workspace,
    steps: Collection[str],
    instance: dg.DagsterInstance,
    run: dg.DagsterRun,
    ended: float,
    cursor: _AlertCursor,
) -> Iterator[Alert]:
    """Yield the alert about a failed run, unless the same failure over the same days was reported within a day."""
    first, last = days_of_run(run)
    job = run.job_name if not run.job_name.startswith("__") else "of assets"
    entries = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    reasons = [_reason(steps, entry.get_dagster_event()) for entry in entries]
    text = "\n".join(filter(None, reasons)) or "The run ended outside of its steps: its process died, or was stopped."
    text = text[:_MAX_TEXT_LENGTH]
    if first:
        failed = _ReportedRun(failed_at=ended, job=run.job_name, first=first, last=last, text=text)
        if any(reported.is_same(failed) for reported in cursor.runs):
            return
        cursor.runs.append(failed)
    yield Alert(
        "run_failed",
        f"{workspace.name}: run {job}{_in_days(first, last)} failed",
        text,
        _page(workspace.settings, f"/runs/{run.run_id}"),
    )


def _reason(steps: Collection[str], event: dg.DagsterEvent) -> str | None:
    """Return why a step failed. Only messages of this package are sent: others may hold anything."""
    data = event.step_failure_data
    if data.user_failure_data and event.step_key in steps:
        return data.user_failure_data.description
    kind = data.error.cls_name if data.error else None
    return f"Step {event.step_key} failed ({kind or 'no reason given'}); see the log of the run."


def _check_alerts(workspace: Workspace, instance: dg.DagsterInstance, cursor: _AlertCursor) -> Iterator[Alert]:
    """Yield alerts about checks that fail, fail in more places, still fail after a day, or pass again."""
    keys = [check_key(workspace, check) for check in (*CHECKS, *SCHEDULED_CHECKS)]
    # One query for all checks, because the sensor ticks every 30 s.
    records = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    for key in (key for key in keys if key in records):
        name = f"{key.asset_key.to_user_string()}: {key.name}"
        latest = _evaluation(records[key])
        # Each run evaluates the check on its own days: it may have failed for other days before it passed now.
        failed = _failed_since(instance, key, cursor)
        for evaluation in (*failed, *([latest] if latest and not latest.passed else [])):
            if cursor.checks.setdefault(name, _ReportedCheck()).is_news(evaluation, time.time()):
                yield _check_alert(workspace, key, evaluation)
        if latest and name in cursor.checks and cursor.checks[name].is_resolved_by(latest):
            del cursor.checks[name]
            yield Alert(
                "resolved",
                f"{workspace.name}: check {key.name} of {key.asset_key.to_user_string()} passes again",
                "",
                _check_page(workspace, key),
            )


def _metadata(evaluation: dg.AssetCheckEvaluation, name: str) -> list[str]:
    value = evaluation.metadata.get(name)
    found = value.value if isinstance(value, dg.JsonMetadataValue) else None
    return [str(part) for part in found] if isinstance(found, list) else []


def _was_examined(place: str, evaluation: dg.AssetCheckEvaluation) -> bool:
    """Return whether an evaluation examined the day of a place. Every evaluation examines a place without a day."""
    days, day = _metadata(evaluation, EXAMINED_SPAN), re.match(r"\d{4}-\d{2}-\d{2}", place)
    return not days or not day or days[0] <= day[0] <= days[-1]


def _failed_since(
    instance: dg.DagsterInstance, key: dg.AssetCheckKey, cursor: _AlertCursor
) -> list[dg.AssetCheckEvaluation]:
    """Return the failed evaluations since the last tick, the earliest first."""
    failed = {private.AssetCheckExecutionRecordStatus.FAILED}
    records = instance.event_log_storage.get_asset_check_execution_history(key, _EVALUATIONS_PER_TICK, status=failed)
    return [
        evaluation
        for record in sorted(records, key=_timestamp)
        if (evaluation := _evaluation(record)) and cursor.is_new(f"{record.run_id} {key.name}", _timestamp(record))
    ]


def _timestamp(record: Any) -> float:
    return float(record.event.timestamp) if record.event else 0.0


def _evaluation(record: Any) -> dg.AssetCheckEvaluation | None:
    event = record.event.dagster_event if record and record.event else None
    evaluation = event.event_specific_data if event else None
    # A planned evaluation, or one whose step failed, has no result.
    return evaluation if isinstance(evaluation, dg.AssetCheckEvaluation) else None


def _check_alert(workspace: Workspace, key: dg.AssetCheckKey, evaluation: dg.AssetCheckEvaluation) -> Alert:
    severity = "warning" if evaluation.severity is dg.AssetCheckSeverity.WARN else "error"
    return Alert(
        "check_failed",
        f"{workspace.name}: check {key.name} of {key.asset_key.to_user_string()} failed ({severity})",
        from_markdown(evaluation.description or "")[:_MAX_TEXT_LENGTH],
        _check_page(workspace, key),
    )


def _check_page(workspace: Workspace, key: dg.AssetCheckKey) -> str | None:
    asset = key.asset_key.to_user_string()
    return _page(workspace.settings, f"/assets/{asset}?view=checks&checkDetail={key.name}")


def _page(settings: Settings, path: str) -> str | None:
    return settings.webserver_url + path if settings.webserver_url else None
