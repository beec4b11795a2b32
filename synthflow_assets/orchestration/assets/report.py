"""The HTML report, written after the metrics."""

import datetime as dt
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import dagster as dg

from synthflow_assets.files import file_time
from synthflow_assets.orchestration.assets.materializations import MetadataByDay
from synthflow_assets.orchestration.assets.metadata import Metadata
from synthflow_assets.orchestration.assets.steps import DailyStep
from synthflow_assets.orchestration.workspace import Workspace
from synthflow_assets.warehouse.metric_tables import (
    ACTIONS_DAILY,
    CALL_OUTCOMES_DAILY,
    METRIC_TABLES,
    TELEPHONY_TIMING_DAILY,
)
from synthflow_assets.warehouse.schema import CALL_LOADS

_NOT_SHOWN = (ACTIONS_DAILY, TELEPHONY_TIMING_DAILY)
# What the queries of the report read.
_SHOWN = (CALL_LOADS, *(table for table in METRIC_TABLES if table not in _NOT_SHOWN))


def report_step(workspace: Workspace, partitions: dg.PartitionsDefinition[Any]) -> DailyStep:
    """Return the step that writes the report over the last `report_days` days.

    Every run writes the same file, independent of its days. The asset has daily partitions like the metrics, because
    Dagster would split a backfill of assets with different partitions into several runs.
    """
    settings = workspace.settings

    def write(context: dg.AssetExecutionContext, days: Sequence[dt.date], _: AbstractSet[dg.AssetKey]) -> MetadataByDay:
        from synthflow_assets.report import last_days, write_report

        warehouse = workspace.warehouse(context).get_warehouse()
        span = last_days(warehouse, settings)
        report = write_report(warehouse, settings, settings.report_path, span.from_day, span.to_day)
        metadata: Metadata = {
            "path": dg.PathMetadataValue(str(report.path.resolve())),
            "size_bytes": report.size_bytes,
            "days": report.days,
            "agents": report.agents,
            **report.headline,
        }
        if report.warning:
            context.log.warning(report.warning)
            metadata["warning"] = report.warning
        picture = _picture(context, workspace, span.to_day) if settings.previews else {}
        # Only on the latest day, because Dagster stores metadata with each day.
        return {spec.key: dict.fromkeys(days, metadata) | {max(days): metadata | picture}}

    def find_outdated(context: Any) -> Mapping[dg.AssetKey, Sequence[dt.date]]:
        with workspace.warehouse(context).get_connection(read_only=True) as connection:
            query = "SELECT max(day), max(computed_at) FROM metric_computations WHERE day >= $1"
            [(last, computed_at)] = connection.execute(query, [settings.start_date]).fetchall()
        written_at = file_time(settings.report_path)
        is_outdated = last is not None and (written_at is None or written_at < computed_at)
        return {workspace.asset_key("call_report"): [last]} if is_outdated else {}

    spec = workspace.spec(
        "call_report",
        deps=[workspace.asset_key(table.name) for table in _SHOWN],
        description=f"One HTML page about the last {settings.report_days} days, for people who do not write SQL.",
        partitions_def=partitions,
        kinds={"html"},
        metadata={"dagster/uri": str(settings.report_path)},
    )
    return DailyStep("write_report", [spec], write, find_outdated=find_outdated)


def _picture(context: dg.AssetExecutionContext, workspace: Workspace, last: dt.date) -> Metadata:
    """Return the picture of the outcomes up to `last` as metadata; empty if there are none.

    Drawing takes a second of processor time. If the metrics of the same run have drawn the picture, it is reused.
    """
    from synthflow_assets.report.previews import preview_charts, previews

    outcomes = workspace.asset_key(CALL_OUTCOMES_DAILY.name)
    this_day = dg.AssetRecordsFilter(outcomes, asset_partitions=[last.isoformat()])
    for record in context.instance.fetch_materializations(this_day, limit=1).records:
        drawn = record.asset_materialization
        if drawn and record.run_id == context.run.run_id and "preview" in drawn.metadata:
            return {"preview": drawn.metadata["preview"]}
    with workspace.warehouse(context).get_connection(read_only=True) as connection:
        charts = preview_charts(connection, CALL_OUTCOMES_DAILY, last)
    picture = previews({CALL_OUTCOMES_DAILY.name: charts}, context.log.warning).get(CALL_OUTCOMES_DAILY.name)
    return {"preview": dg.MarkdownMetadataValue(picture)} if picture else {}
