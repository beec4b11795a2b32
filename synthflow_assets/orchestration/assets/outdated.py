"""The job that computes again what an upgrade or a changed setting outdated, and nothing else."""

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from synthflow_assets.orchestration.assets.materializations import CODE_VERSION_TAG, MaterializationLog
from synthflow_assets.orchestration.assets.steps import DailyStep
from synthflow_assets.orchestration.resources import translate_errors
from synthflow_assets.orchestration.workspace import Workspace

RECOMPUTE = "recompute"  # its only step
_EVENTS_PER_QUERY = 1000


def build_recompute_job(
    workspace: Workspace, metrics: DailyStep, downstream: Sequence[DailyStep], executor: dg.ExecutorDefinition
) -> Any:
    """Build `synthflow_recompute`.

    Args:
        workspace: whose metrics.
        metrics: the step that computes the metrics.
        downstream: the steps that read them.
        executor: of the job.
    """

    @dg.op(
        name=workspace.step(RECOMPUTE),
        required_resource_keys={workspace.warehouse_resource},
        out=dg.Out(dg.Nothing),
        pool=workspace.pool,
        description="Compute the metrics whose code version differs from that of their last materialization.",
    )
    def recompute(context: dg.OpExecutionContext) -> None:
        log = MaterializationLog(context)
        last_day, written = dt.date.min, set[dg.AssetKey]()
        with translate_errors(workspace.settings):
            for days, keys in _outdated(context, workspace, metrics.specs):
                names = ", ".join(sorted(key.to_user_string() for key in keys))
                context.log.info(f"{len(days)} day(s) from {days[0]} to {days[-1]} are outdated: {names}")
                for step in (metrics, *(step for step in downstream if not step.covers_all_days)):
                    _write(context, log, step, days, keys if step is metrics else _readers(step, keys))
                last_day, written = max(last_day, days[-1]), written | keys
            for step in (step for step in downstream if step.covers_all_days and written):
                _write(context, log, step, [last_day], _readers(step, written))
        if not written:
            context.log.info("nothing is outdated")

    @dg.job(
        name=workspace.named(RECOMPUTE),
        executor_def=executor,
        description="Compute again what an upgrade or a changed setting outdated, and nothing else.",
        tags=workspace.run_tags,
    )
    def recompute_job() -> None:
        recompute()

    return recompute_job


def _outdated(
    context: dg.OpExecutionContext, workspace: Workspace, specs: Sequence[dg.AssetSpec]
) -> Iterator[tuple[list[dt.date], set[dg.AssetKey]]]:
    """Yield days, and the assets for which all of these days are outdated or were never computed."""
    warehouse = workspace.warehouse(context).get_warehouse()
    if not warehouse.exists():
        return
    with warehouse.connect() as connection:  # which migrates tables of an older version
        rows = connection.execute("SELECT DISTINCT day FROM call_loads ORDER BY day").fetchall()
    landed = [day for (day,) in rows if day >= workspace.settings.start_date]
    by_days = defaultdict[tuple[dt.date, ...], set[dg.AssetKey]](set)
    for spec in specs:
        if spec.code_version is not None:
            versions = _code_versions(context.instance, spec.key, landed)
            by_days[tuple(day for day in landed if versions.get(day) != spec.code_version)].add(spec.key)
    for days, keys in by_days.items():
        if days:
            yield list(days), keys


def _code_versions(
    instance: dg.DagsterInstance, key: dg.AssetKey, days: Collection[dt.date]
) -> Mapping[dt.date, str | None]:
    """Return the code version of the last materialization of each day that has one."""
    found: dict[dt.date, str | None] = {}
    cursor = None
    while not found.keys() >= set(days):
        page = instance.fetch_materializations(dg.AssetRecordsFilter(key), limit=_EVENTS_PER_QUERY, cursor=cursor)
        for record in page.records:  # the latest first
            if record.partition_key and (made := record.asset_materialization):
                found.setdefault(dt.date.fromisoformat(record.partition_key), (made.tags or {}).get(CODE_VERSION_TAG))
        if not page.has_more:
            break
        cursor = page.cursor
    return found


def _readers(step: DailyStep, keys: Collection[dg.AssetKey]) -> set[dg.AssetKey]:
    return {spec.key for spec in step.specs if any(dep.asset_key in keys for dep in spec.deps)}


def _write(
    context: Any, log: MaterializationLog, step: DailyStep, days: Sequence[dt.date], keys: set[dg.AssetKey]
) -> None:
    if not keys:
        return
    specs = {spec.key: spec for spec in step.specs}
    for key, by_day in step.write(context, days, keys).items():
        for day, shown in by_day.items():
            if day in days:
                log.add(specs[key], day, shown)
