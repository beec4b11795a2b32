"""The Parquet exports, for readers that must not block runs. They exist only if `export_dir` is set."""

import datetime as dt
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import dagster as dg

from synthflow_assets.orchestration.assets.materializations import MetadataByDay, with_versions
from synthflow_assets.orchestration.assets.metadata import Metadata, export_lineage, with_lineage
from synthflow_assets.orchestration.assets.steps import DailyStep
from synthflow_assets.orchestration.workspace import Workspace
from synthflow_assets.warehouse.content import content_versions
from synthflow_assets.warehouse.export import EXPORTED_TABLES
from synthflow_assets.warehouse.tables import MetricTable, Table


def exports_step(workspace: Workspace, folder: str, partitions: dg.PartitionsDefinition[Any]) -> DailyStep:
    """Return the step that writes each table as Parquet into the folder or bucket, one file a day."""

    def write(
        context: dg.AssetExecutionContext, days: Sequence[dt.date], keys: AbstractSet[dg.AssetKey]
    ) -> MetadataByDay:
        from synthflow_assets.metrics import affected_days
        from synthflow_assets.warehouse.export import export_again, export_days

        shown: dict[dg.AssetKey, dict[dt.date, Metadata]] = {}
        with workspace.warehouse(context).get_connection(read_only=True) as connection:
            for table in EXPORTED_TABLES:
                if (key := _key(workspace, table)) not in keys:
                    continue
                exported = export_days(connection, table.name, days, folder)
                if isinstance(table, MetricTable):
                    # An hourly table was computed for the next landed day as well, so its file is outdated.
                    next_days = [day for day in affected_days(connection, table, days) if day not in days]
                    export_again(connection, [table.name], next_days, folder)
                by_day: dict[dt.date, Metadata] = {
                    day: {"dagster/partition_row_count": one.rows, "size_bytes": one.size_bytes}
                    for day, one in exported.items()
                }
                lineage = with_lineage(by_day, export_lineage(workspace, table))
                shown[key] = with_versions(lineage, content_versions(connection, table, days))
        return shown

    specs = [
        workspace.spec(
            f"{table.name}_export",
            deps=[workspace.asset_key(table.name)],
            description=f"`{workspace.table_name(table.name)}` as Parquet, one file a day, replaced atomically.",
            partitions_def=partitions,
            kinds={"parquet"},
            metadata={"dagster/uri": f"{folder}/{table.name}"},
        )
        for table in EXPORTED_TABLES
    ]
    return DailyStep("export_tables", specs, write)


def _key(workspace: Workspace, table: Table) -> dg.AssetKey:
    return workspace.asset_key(f"{table.name}_export")
