"""The HTML report, written after the metrics."""

import datetime as dt
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import dagster as dg

from synthflow_assets.orchestration.assets.metadata import Metadata
from synthflow_assets.orchestration.assets.steps import DailyStep, MetadataByDay, common_spec_arguments
from synthflow_assets.orchestration.workspace import Workspace
from synthflow_assets.warehouse.metric_tables import METRIC_TABLES


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
        }
        if report.warning:
            context.log.warning(report.warning)
            metadata["warning"] = report.warning
        return {spec.key: dict.fromkeys(days, metadata)}

    spec = dg.AssetSpec(
        workspace.asset_key("call_report"),
        deps=[workspace.asset_key(table.name) for table in METRIC_TABLES],
        description=f"One HTML page about the last {settings.report_days} days, for people who do not write SQL.",
        partitions_def=partitions,
        kinds={"html"},
        **common_spec_arguments(workspace),
        metadata={"dagster/uri": str(settings.report_path)},
    )
    return DailyStep("write_report", [spec], write)
