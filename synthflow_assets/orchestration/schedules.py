"""The jobs and their clocks: the daily run over the last days, and the freshness check that needs no run."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import dagster as dg

from synthflow_assets.days import last_closed_day
from synthflow_assets.orchestration.checks import check_key
from synthflow_assets.orchestration.workspace import Workspace
from synthflow_assets.quality import WATCHED

# Late enough that calls across midnight have ended, early enough for the morning's dashboards.
_DAILY_CRON = "0 5 * * *"
_FRESHNESS_CRON = "15 * * * *"


def build_jobs(
    workspace: Workspace, assets: Sequence[dg.AssetsDefinition], executor: dg.ExecutorDefinition
) -> tuple[Any, Any]:
    """The job over all assets of the workspace, and the one of the freshness check alone."""
    daily = dg.define_asset_job(
        workspace.named("daily"),
        # Not the group: others may have put assets of their own into it.
        selection=dg.AssetSelection.assets(*(key for one in assets for key in one.keys)),
        executor_def=executor,
        description="Fetch the calls of some days, land them, compute the metrics, check them.",
    )
    freshness = dg.define_asset_job(
        workspace.named("freshness"),
        selection=dg.AssetSelection.checks(*(check_key(workspace, promise) for promise in WATCHED)),
        executor_def=executor,
        description="Ask whether anything is missing that should have landed, or landed too early.",
    )
    return daily, freshness


def build_schedules(workspace: Workspace, daily: Any, freshness: Any) -> list[dg.ScheduleDefinition]:
    """The schedules. They are off until somebody switches them on."""
    settings = workspace.settings

    @dg.schedule(
        name=workspace.named("daily_schedule"),
        job=daily,
        cron_schedule=_DAILY_CRON,
        execution_timezone=settings.timezone,
        description=f"Each day, one run over the last {settings.lookback_days} days.",
    )
    def daily_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        last = last_closed_day(settings.timezone, context.scheduled_execution_time)
        first = max(settings.start_date, last - dt.timedelta(days=settings.lookback_days - 1))
        if first > last:
            return dg.SkipReason(f"the first partition, {settings.start_date}, is not closed yet")
        return dg.RunRequest(
            run_key=last.isoformat(),
            tags={
                "dagster/asset_partition_range_start": first.isoformat(),
                "dagster/asset_partition_range_end": last.isoformat(),
            },
        )

    return [
        daily_schedule,
        dg.ScheduleDefinition(
            name=workspace.named("freshness_schedule"),
            job=freshness,
            cron_schedule=_FRESHNESS_CRON,
            execution_timezone=settings.timezone,
            description="Each hour, whether anything is missing that should have landed.",
        ),
    ]
