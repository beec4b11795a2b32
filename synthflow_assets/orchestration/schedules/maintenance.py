"""The job that keeps the warehouse small and fast, and its schedule."""

from typing import Any

import dagster as dg

from synthflow_assets.orchestration.resources import translate_errors
from synthflow_assets.orchestration.workspace import Workspace

MAINTENANCE = "maintain"  # its only step
# On Sunday, between two daily runs; a busy lake may need it daily.
_CRON = "0 2 * * 0"


def build_maintenance(workspace: Workspace, executor: dg.ExecutorDefinition) -> tuple[Any, dg.ScheduleDefinition]:
    """Build `synthflow_maintenance` and its schedule, which is off until a user switches it on."""
    settings = workspace.settings

    @dg.op(
        name=workspace.step(MAINTENANCE),
        required_resource_keys={workspace.warehouse_resource},
        out=dg.Out(dg.Nothing),
        pool=workspace.pool,
        description="Merge a lake's files and remove old ones, or compact a file; complete erasures.",
    )
    def maintain(context: dg.OpExecutionContext) -> None:
        from synthflow_assets.erasure import maintain as maintain_warehouse

        with translate_errors(workspace.settings):
            done = maintain_warehouse(settings, workspace.warehouse(context).get_warehouse())
        context.log.info(", ".join(f"{name.replace('_', ' ')}: {count:,}" for name, count in done.items()))

    @dg.job(
        name=workspace.named("maintenance"),
        executor_def=executor,
        description="Keep the warehouse small and fast; other runs can land meanwhile.",
        tags=workspace.run_tags,
    )
    def maintenance() -> None:
        maintain()

    schedule = dg.ScheduleDefinition(
        name=workspace.named("maintenance_schedule"),
        job=maintenance,
        cron_schedule=_CRON,
        execution_timezone=settings.timezone,
        description="Each Sunday.",
    )
    return maintenance, schedule
