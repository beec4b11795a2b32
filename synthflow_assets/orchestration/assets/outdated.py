"""The job that recomputes only the metrics that are outdated after an upgrade or a changed setting."""

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
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
        description="Compute the metrics whose code version differs from that of their last materialization. Then "
        "write the exports and the report that are older than the metrics.",
    )
    def recompute(context: dg.OpExecutionContext) -> None:
        log = MaterializationLog(context)
        if not workspace.warehouse(context).get_warehouse().exists():
            context.log.info("nothing has landed yet")
            return
        is_outdated = False
        with translate_errors(workspace.settings):
            for step in downstream:
                step.validate_target(context)
            for step in (metrics, *downstream):
                # Asked only now: what a step writes outdates the next one, as did an earlier run that failed here.
                find = (
                    step.find_outdated if step is not metrics else partial(_outdated_metrics, workspace, metrics.specs)
                )
                for days, keys in _by_days(find(context)):
                    names = ", ".join(sorted(key.to_user_string() for key in keys))
                    context.log.info(f"{len(days)} day(s) from {days[0]} to {days[-1]} are outdated: {names}")
                    _write(context, log, step, days, keys)
                    is_outdated = True
        if not is_outdated:
            context.log.info("nothing is outdated")

    @dg.job(
        name=workspace.named(RECOMPUTE),
        executor_def=executor,
        description=(
            "Recompute only the metrics that are outdated after an upgrade or a changed setting. Write outdated "
            "exports and the outdated report."
        ),
        tags=workspace.run_tags,
    )
    def recompute_job() -> None:
        recompute()

    return recompute_job


def _outdated_metrics(
    workspace: Workspace, specs: Sequence[dg.AssetSpec], context: Any
) -> Mapping[dg.AssetKey, Sequence[dt.date]]:
    """Return the landed days of each metric that were computed by other code, or never."""
    with workspace.warehouse(context).get_connection() as connection:  # which migrates tables of an older version
        rows = connection.execute("SELECT DISTINCT day FROM call_loads ORDER BY day").fetchall()
    landed = [day for (day,) in rows if day >= workspace.settings.start_date]
    found = {}
    for spec in specs:
        if spec.code_version is not None:
            versions = _code_versions(context.instance, spec.key, landed)
            found[spec.key] = [day for day in landed if versions.get(day) != spec.code_version]
    return found


def _by_days(
    outdated: Mapping[dg.AssetKey, Sequence[dt.date]],
) -> Iterator[tuple[list[dt.date], set[dg.AssetKey]]]:
    """Yield days, and the assets of which all of these days are outdated, to write them together."""
    by_days = defaultdict[tuple[dt.date, ...], set[dg.AssetKey]](set)
    for key, days in outdated.items():
        if days:
            by_days[tuple(days)].add(key)
    for together, keys in by_days.items():
        yield list(together), keys


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


def _write(
    context: Any, log: MaterializationLog, step: DailyStep, days: Sequence[dt.date], keys: set[dg.AssetKey]
) -> None:
    specs = {spec.key: spec for spec in step.specs}
    for key, by_day in step.write(context, days, keys).items():
        for day, shown in by_day.items():
            log.add(specs[key], day, shown)
