"""The daily job, the freshness job, and the schedules that start them."""

import datetime as dt
import itertools
import zoneinfo
from collections.abc import Collection, Sequence
from typing import Any

import dagster as dg

from synthflow_assets.days import DAILY_RUN_HOUR, last_closed_day, last_due_day
from synthflow_assets.errors import WarehouseLockedError
from synthflow_assets.orchestration.assets.calls import OUTAGE_TAG
from synthflow_assets.orchestration.checks import check_key
from synthflow_assets.orchestration.run_days import all_days_of_run, lookback_tags, range_tags
from synthflow_assets.orchestration.runs import runs_in_progress
from synthflow_assets.orchestration.workspace import Workspace
from synthflow_assets.orchestration.write_conflicts import UnsharedAssets
from synthflow_assets.quality import (
    CHECKS,
    NOT_COMPUTED,
    NOT_LANDED,
    SCHEDULED_CHECKS,
    SETTLED,
    Check,
    find_problems,
)
from synthflow_assets.warehouse.schema import CALLS, FINAL_AFTER_DAYS

_DAILY_CRON = f"0 {DAILY_RUN_HOUR} * * *"
_FRESHNESS_CRON = "15 * * * *"
_CATCH_UP_CRON = "45 */3 * * *"
_TODAY_CRON = "5 * * * *"
_CATCH_UP_EVERY = dt.timedelta(hours=3)
_CATCH_UP_TAG = "synthflow/catch_up"
_TODAY_TAG = "synthflow/today"
_RUNS_SEARCHED = 50  # the latest of the daily job
_MAX_FAILURES = 4  # of the catch-up in a row, after which it waits for a day between its runs
# A tick may take a minute. If a run holds the file for longer, the next tick tries again.
_LOCK_WAIT_SECONDS = 10.0
_RUNS_KEPT_FOR = dt.timedelta(days=30)
RUNS_DELETED_PER_TICK = 24  # a tick may take a minute
_TODAY_RUNS_KEPT_FOR = dt.timedelta(days=3)
_ENDED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)


def build_jobs(
    workspace: Workspace, assets: Sequence[dg.AssetsDefinition], executor: dg.ExecutorDefinition
) -> tuple[Any, Any]:
    """Build the job over all assets of the workspace, and the job of the scheduled checks."""
    daily = dg.define_asset_job(
        workspace.named("daily"),
        # Not the group: it may hold assets of other packages.
        selection=UnsharedAssets(dg.AssetSelection.assets(*(key for one in assets for key in one.keys))),
        executor_def=executor,
        description="Fetch and land the calls of some days, compute the metrics, check both, write the report.",
        tags=workspace.run_tags,
    )
    freshness = dg.define_asset_job(
        workspace.named("freshness"),
        selection=dg.AssetSelection.checks(*(check_key(workspace, check) for check in SCHEDULED_CHECKS)),
        executor_def=executor,
        description="Check whether a day is missing, or was fetched before it was over.",
        tags=workspace.run_tags,
    )
    return daily, freshness


def build_schedules(
    workspace: Workspace, daily: Any, freshness: Any, computed: Sequence[dg.AssetKey]
) -> list[dg.ScheduleDefinition]:
    """Build the schedules. They are off until a user switches them on.

    Args:
        workspace: whose schedules.
        daily: the daily job.
        freshness: the job of the scheduled checks.
        computed: the assets that are computed from the calls, without fetching.
    """
    settings = workspace.settings

    @dg.schedule(
        name=workspace.named("daily_schedule"),
        job=daily,
        cron_schedule=_DAILY_CRON,
        execution_timezone=settings.timezone,
        description=(
            f"Each day, one run over the last {settings.lookback_days} days. Its partition is the last of them; the "
            "others are reported if they changed."
        ),
    )
    def daily_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        last = last_closed_day(settings.timezone, context.scheduled_execution_time)
        first = max(settings.start_date, last - dt.timedelta(days=settings.lookback_days - 1))
        if first > last:
            return dg.SkipReason(f"the first partition, {settings.start_date}, is not closed yet")
        return dg.RunRequest(run_key=last.isoformat(), tags=lookback_tags(first, last))

    @dg.schedule(
        name=workspace.named("catch_up_schedule"),
        job=daily,
        cron_schedule=_CATCH_UP_CRON,
        execution_timezone=settings.timezone,
        required_resource_keys={workspace.warehouse_resource},
        description=(
            "Every three hours, one run fetches the days that are missing, not settled, or failed in an outage of the "
            "API. If only metrics, exports or the report are missing or outdated, it computes them without fetching. "
            f"It goes {settings.catch_up_days} days back. No run if there are none, or if another run is in progress. "
            "After runs that failed or did not help, the schedule waits longer, up to a day."
        ),
    )
    def catch_up_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        if others := runs_in_progress(workspace, context.instance):
            return dg.SkipReason(f"run {others[0].dagster_run.run_id} is already fetching or computing")
        try:
            to_fetch, to_compute = _unfinished_days(workspace, context)
        except WarehouseLockedError:
            return dg.SkipReason("the warehouse is in use")
        to_fetch |= _days_of_outages(workspace, context)
        days = to_fetch | to_compute
        if not days:
            return dg.SkipReason(f"nothing of the last {settings.catch_up_days} days is missing, unsettled or outdated")
        if failures := _failures_to_wait_for(workspace, context, to_compute):
            return dg.SkipReason(
                f"the last {failures} runs failed or did not help; the schedule waits longer for the next run, "
                "up to a day"
            )
        key = context.scheduled_execution_time.isoformat()
        tags = {**range_tags(min(days), max(days)), _CATCH_UP_TAG: "true"}
        if not to_fetch:
            return dg.RunRequest(run_key=key, asset_selection=list(computed), tags=tags)
        return dg.RunRequest(run_key=key, run_config=_only_missing(workspace), tags=tags)

    @dg.schedule(
        name=workspace.named("freshness_schedule"),
        job=freshness,
        cron_schedule=_FRESHNESS_CRON,
        execution_timezone=settings.timezone,
        description="Each hour, the checks for missing, unsettled and outdated partitions.",
    )
    def freshness_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        _delete_old_runs(workspace, context.instance)
        return dg.RunRequest(run_key=context.scheduled_execution_time.isoformat())

    schedules = [daily_schedule, catch_up_schedule, freshness_schedule]
    return [*schedules, _build_today_schedule(workspace, daily)] if settings.include_today else schedules


def _build_today_schedule(workspace: Workspace, daily: Any) -> dg.ScheduleDefinition:
    """Build the schedule of the current day."""
    settings = workspace.settings

    @dg.schedule(
        name=workspace.named("today_schedule"),
        job=daily,
        cron_schedule=_TODAY_CRON,
        execution_timezone=settings.timezone,
        description=(
            "Each hour, one run fetches the day so far. Until the daily schedule, it also fetches the day before if it "
            "is not settled. No run if another one is fetching."
        ),
    )
    def today_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        _delete_superseded_runs(workspace, context.instance)
        if others := runs_in_progress(workspace, context.instance):
            return dg.SkipReason(f"run {others[0].dagster_run.run_id} is already fetching or computing")
        moment = context.scheduled_execution_time.astimezone(zoneinfo.ZoneInfo(settings.timezone))
        today = moment.date()
        if settings.start_date > today:
            return dg.SkipReason(f"the first partition, {settings.start_date}, has not begun yet")
        first = today - dt.timedelta(days=1) if moment.hour < DAILY_RUN_HOUR else today
        return dg.RunRequest(
            run_key=moment.astimezone(dt.UTC).isoformat(),  # if the clock is set back, a local time occurs twice
            run_config=_only_missing(workspace),
            tags={**lookback_tags(max(settings.start_date, first), today), _TODAY_TAG: "true"},
        )

    return today_schedule


def _only_missing(workspace: Workspace) -> dict[str, Any]:
    """Return the run config that skips settled partitions."""
    return {"ops": {workspace.step("fetch_calls"): {"config": {"only_missing": True}}}}


def _delete_superseded_runs(workspace: Workspace, instance: dg.DagsterInstance) -> None:
    """Delete old runs of the current day, if later runs fetched their days again.

    Each takes more than a megabyte in SQLite, so 24 a day would fill the disk. Deleting a run deletes its
    materializations. So the last run of a day is kept until another run, such as the daily one, has fetched the day.
    """
    filters = dg.RunsFilter(
        job_name=workspace.named("daily"),
        statuses=list(_ENDED),
        tags={_TODAY_TAG: "true", **workspace.run_tags},
        created_before=dt.datetime.now(dt.UTC) - _TODAY_RUNS_KEPT_FOR,
    )
    for run in instance.get_runs(filters=filters, limit=RUNS_DELETED_PER_TICK, ascending=True):
        if not any(_is_last_of_day(workspace, instance, run, day) for day in all_days_of_run(run)):
            _delete_run(instance, run)


def _is_last_of_day(workspace: Workspace, instance: dg.DagsterInstance, run: dg.DagsterRun, day: dt.date) -> bool:
    this_day = dg.AssetRecordsFilter(workspace.asset_key(CALLS.name), asset_partitions=[day.isoformat()])
    return any(record.run_id == run.run_id for record in instance.fetch_materializations(this_day, limit=1).records)


def _delete_run(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    instance.delete_run(run.run_id)
    instance.compute_log_manager.delete_logs(prefix=[run.run_id])


def _delete_old_runs(workspace: Workspace, instance: dg.DagsterInstance) -> None:
    """Delete old runs of the freshness job: each has a file of its own, and Dagster keeps runs for ever.

    Runs that fetched are kept: deleting a run deletes its materializations.
    """
    old = dg.RunsFilter(
        job_name=workspace.named("freshness"),
        statuses=list(_ENDED),
        created_before=dt.datetime.now(dt.UTC) - _RUNS_KEPT_FOR,
    )
    for run in instance.get_runs(filters=old, limit=RUNS_DELETED_PER_TICK, ascending=True):
        _delete_run(instance, run)


def _failures_to_wait_for(
    workspace: Workspace, context: dg.ScheduleEvaluationContext, to_compute: Collection[dt.date]
) -> int:
    """Return how many runs of the catch-up failed in a row, if it is too early to try again; otherwise 0.

    A run and Dagster's retries of it count once. A run that computed one of the days counts as failed if the day must
    still be computed. For example, the run may write exports to a disk that this process does not see. After one
    failure, the schedule waits for 3 hours, then for 6, 12 and 24 hours.
    """

    def has_failed(record: dg.RunRecord) -> bool:
        run = record.dagster_run
        return run.status is dg.DagsterRunStatus.FAILURE or not all_days_of_run(run).isdisjoint(to_compute)

    filters = dg.RunsFilter(job_name=workspace.named("daily"), tags={_CATCH_UP_TAG: "true", **workspace.run_tags})
    runs = context.instance.get_run_records(filters=filters, limit=_RUNS_SEARCHED)
    failed = list(itertools.takewhile(has_failed, runs))
    failed = [run for run in failed if run.dagster_run.get_parent_run_id() is None][:_MAX_FAILURES]
    if not failed:
        return 0
    # An hour less, because a run is created some time after its tick.
    wait = _CATCH_UP_EVERY * 2 ** (len(failed) - 1) - dt.timedelta(hours=1)
    waited = context.scheduled_execution_time - failed[0].create_timestamp
    return len(failed) if waited < wait else 0


def _days_of_outages(workspace: Workspace, context: dg.ScheduleEvaluationContext) -> set[dt.date]:
    """Return the days of runs that failed because of an outage, if no later run of these days succeeded.

    Days that had landed before are neither missing nor unsettled, but Dagster shows them as failed.
    """
    settings, days, succeeded = workspace.settings, set[dt.date](), set[dt.date]()
    oldest = last_closed_day(settings.timezone, context.scheduled_execution_time) - dt.timedelta(
        days=settings.catch_up_days - 1
    )
    filters = dg.RunsFilter(job_name=workspace.named("daily"), tags=workspace.run_tags)
    calls = workspace.asset_key(CALLS.name)
    for run in context.instance.get_runs(filters=filters, limit=_RUNS_SEARCHED):
        if run.asset_selection and calls not in run.asset_selection:
            continue
        if run.status is dg.DagsterRunStatus.SUCCESS:
            succeeded |= all_days_of_run(run)
        elif OUTAGE_TAG in run.tags:
            days |= all_days_of_run(run) - succeeded
    return {day for day in days if day >= oldest}


def _unfinished_days(workspace: Workspace, context: dg.ScheduleEvaluationContext) -> tuple[set[dt.date], set[dt.date]]:
    """Return the days of the last `catch_up_days` that must be fetched, and those that must only be computed.

    The latest days may be unsettled, because the daily schedule fetches them again. Days that fail a blocking check are
    not computed, as in a run that fetches them.
    """
    settings = workspace.settings
    warehouse = workspace.warehouse(context).get_warehouse(lock_wait_seconds=_LOCK_WAIT_SECONDS)
    last = last_due_day(settings.timezone, context.scheduled_execution_time)
    days = [last - dt.timedelta(days=number) for number in range(settings.catch_up_days)]
    days = [day for day in days if day >= settings.start_date]
    if not warehouse.exists():
        # Without a warehouse, every day since the start date is missing. If no start date is set, no day is expected.
        return (set(days) if "start_date" in settings.model_fields_set else set()), set()
    # Not earlier: a call that never closes would start a run at each tick until it counts as ended.
    settling_days = max(settings.lookback_days, FINAL_AFTER_DAYS)
    closed = [day for day in days if day <= last - dt.timedelta(days=settling_days)]
    with warehouse.connect(read_only=True) as connection:

        def failing(check: Check, checked: Collection[dt.date]) -> set[dt.date]:
            problems = find_problems(connection, check, sorted(checked), settings, last)
            return {problem.day for problem in problems if problem.day is not None}

        to_compute = failing(NOT_COMPUTED, days)
        blocked = [failing(check, to_compute) for check in CHECKS if check.blocking and to_compute]
        return failing(NOT_LANDED, days) | failing(SETTLED, closed), to_compute.difference(*blocked)
