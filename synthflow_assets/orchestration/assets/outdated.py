"""The job that recomputes only the metrics that are outdated after an upgrade or a changed setting."""

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import dagster as dg

from synthflow_assets.errors import SynthflowError
from synthflow_assets.orchestration.assets.materializations import CODE_VERSION_TAG, MaterializationLog
from synthflow_assets.orchestration.assets.steps import DailyStep, FindOutdated
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
        if not workspace.warehouse(context).get_warehouse().exists():
            context.log.info("nothing has landed yet")
            return
        with translate_errors(workspace.settings):
            for step in downstream:
                step.validate_target(context)
            is_outdated = _write_outdated(context, metrics, partial(_outdated_metrics, workspace, metrics.specs))
            failure = None
            for step in downstream:
                try:
                    is_outdated |= _write_outdated(context, step, step.find_outdated)
                except SynthflowError as error:
                    failure = error  # if a bucket cannot be reached, the report is still written
            if failure:
                raise failure
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


def _write_outdated(context: Any, step: DailyStep, find_outdated: FindOutdated) -> bool:
    """Write and log the outdated days of a step's assets; return whether there were any."""
    log, specs = MaterializationLog(context), {spec.key: spec for spec in step.specs}
    outdated = list(_by_days(find_outdated(context)))
    for days, keys in outdated:
        names = ", ".join(sorted(key.to_user_string() for key in keys))
        context.log.info(f"{len(days)} day(s) from {days[0]} to {days[-1]} are outdated: {names}")
        for key, by_day in step.write(context, days, keys).items():
            for day, shown in by_day.items():
                log.add(specs[key], day, shown)
    return bool(outdated)


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
