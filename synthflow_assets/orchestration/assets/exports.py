"""The Parquet exports, for readers that must not block runs. They exist only if `export_dir` is set."""

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from typing import TYPE_CHECKING, Any

import dagster as dg

from synthflow_assets.errors import BucketUnreachableError
from synthflow_assets.orchestration.assets.materializations import MetadataByDay, with_versions
from synthflow_assets.orchestration.assets.metadata import Metadata, export_lineage, with_lineage
from synthflow_assets.orchestration.assets.steps import DailyStep
from synthflow_assets.orchestration.workspace import Workspace
from synthflow_assets.settings import with_setting_names
from synthflow_assets.warehouse.content import content_versions
from synthflow_assets.warehouse.export import EXPORTED_TABLES
from synthflow_assets.warehouse.statements import write as write_to

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from synthflow_assets.warehouse.export import ExistingExport, OutdatedExport


def exports_step(workspace: Workspace, folder: str, partitions: dg.PartitionsDefinition[Any]) -> DailyStep:
    """Return the step that writes each table as Parquet into the folder or bucket, one file a day."""

    def write(
        context: dg.AssetExecutionContext, days: Sequence[dt.date], keys: AbstractSet[dg.AssetKey]
    ) -> MetadataByDay:
        from synthflow_assets.warehouse.export import export_days, record_exports, recorded_exports, rows_written

        warehouse = workspace.warehouse(context)
        shown: dict[dg.AssetKey, dict[dt.date, Metadata]] = {}
        done: dict[tuple[str, dt.date], dt.datetime | None] = {}
        try:
            # Read-only, so that other runs can read at the same time.
            with warehouse.get_connection(read_only=True) as connection:
                written = rows_written(connection)
                # Recorded exports suffice, because listing a bucket takes a request for each table.
                outdated = _outdated(connection, workspace, folder, recorded_exports(connection, folder))
                for table in EXPORTED_TABLES:
                    if (key := _key(workspace, table.name)) not in keys:
                        continue
                    # Others are outdated if the calls of `days` changed their rows, or after an outage of the bucket.
                    of_table = sorted({*days, *(one.day for one in outdated if one.exists and one.table == table.name)})
                    exported = export_days(connection, table.name, of_table, folder)
                    done |= {(table.name, day): written.get((table.name, day)) for day in of_table}
                    by_day: dict[dt.date, Metadata] = {
                        day: {"dagster/partition_row_count": one.rows, "size_bytes": one.size_bytes}
                        for day, one in exported.items()
                    }
                    lineage = with_lineage(by_day, export_lineage(workspace, table))
                    shown[key] = with_versions(lineage, content_versions(connection, table, of_table))
        finally:
            if done:
                with warehouse.get_connection() as connection:
                    write_to(connection, partial(record_exports, connection, folder, done))
        return shown

    def validate_target(context: Any) -> None:
        from synthflow_assets.warehouse.export import validate_writable

        try:
            validate_writable(folder)
        except BucketUnreachableError as error:
            # The run goes on, so that the day lands. Later runs export what this one cannot.
            line = f"{error}. The run writes everything else; a later run writes the exports"
            context.log.warning(with_setting_names(line, workspace.settings))

    def find_outdated(context: Any) -> Mapping[dg.AssetKey, Sequence[dt.date]]:
        from synthflow_assets.warehouse.export import existing_exports

        found: dict[dg.AssetKey, list[dt.date]] = defaultdict(list)
        with workspace.warehouse(context).get_connection(read_only=True) as connection:
            for one in _outdated(connection, workspace, folder, existing_exports(connection, folder)):
                found[_key(workspace, one.table)].append(one.day)
        return found

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
    return DailyStep("export_tables", specs, write, find_outdated=find_outdated, validate_target=validate_target)


def _outdated(
    connection: "DuckDBPyConnection", workspace: Workspace, folder: str, existing: "Sequence[ExistingExport]"
) -> "list[OutdatedExport]":
    """Return the exports of the workspace's days that are older than their table, or not among the existing ones."""
    from synthflow_assets.warehouse.export import outdated_exports

    outdated = outdated_exports(connection, folder, existing)
    return [one for one in outdated if one.day >= workspace.settings.start_date]


def _key(workspace: Workspace, table: str) -> dg.AssetKey:
    return workspace.asset_key(f"{table}_export")
