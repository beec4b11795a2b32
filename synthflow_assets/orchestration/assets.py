"""What follows from the calls: metrics, exports, recordings. Each partition is a day."""

import datetime as dt
import warnings
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict
from importlib.resources import files
from typing import Any

import dagster as dg

from synthflow_assets.orchestration.daily import DailyStep, ShownDays, common_spec_arguments, days_of, table_spec
from synthflow_assets.orchestration.metadata import Metadata, export_lineage, metric_metadata, with_lineage
from synthflow_assets.orchestration.resources import translate_errors
from synthflow_assets.orchestration.workspace import Workspace
from synthflow_assets.warehouse.metric_tables import METRIC_TABLES
from synthflow_assets.warehouse.schema import CALL_LOADS, CALL_RECORDINGS, CALLS
from synthflow_assets.warehouse.tables import MetricTable, Table


def metric_steps(workspace: Workspace, partitions: dg.PartitionsDefinition[Any]) -> list[DailyStep]:
    """The metric tables, computed from the day's calls in SQL.

    They are two steps, not one, because those of load need the calls of the day before as well, and to Dagster that is
    a property of the step.
    """
    of_the_day = [table for table in METRIC_TABLES if not table.days_back]
    of_load = [table for table in METRIC_TABLES if table.days_back]
    return [
        _metric_step(workspace, "compute_metrics", of_the_day, partitions),
        _metric_step(workspace, "compute_load", of_load, partitions),
    ]


def _metric_step(
    workspace: Workspace, name: str, tables: Sequence[MetricTable], partitions: dg.PartitionsDefinition[Any]
) -> DailyStep:
    def write(context: dg.AssetExecutionContext, days: Sequence[dt.date], keys: AbstractSet[dg.AssetKey]) -> ShownDays:
        from synthflow_assets.metrics import compute_metrics
        from synthflow_assets.report.previews import preview_charts, previews

        wanted = {key: table for table in tables if (key := workspace.asset_key(table.name)) in keys}
        warehouse = workspace.warehouse(context)
        with warehouse.get_connection() as connection:
            compute_metrics(connection, days, workspace.settings, [table.name for table in wanted.values()])
        # What is only read need not keep other runs from writing.
        with warehouse.get_connection(read_only=True) as connection:
            shown = {key: metric_metadata(workspace, table, connection, days) for key, table in wanted.items()}
            charts = {table.name: preview_charts(connection, table.name, max(days)) for table in wanted.values()}
        pictures = previews(charts, context.log.warning)
        for key, table in wanted.items():
            if table.name in pictures:  # on the latest day alone: Dagster stores metadata with each day
                shown[key][max(days)]["preview"] = dg.MarkdownMetadataValue(pictures[table.name])
        return shown

    specs = [
        table_spec(
            workspace,
            table,
            partitions,
            kinds={"sql", "duckdb"},
            deps=[_calls_dep(workspace, table), workspace.asset_key(CALL_LOADS.name)],
            metadata=_code_reference("synthflow_assets.metrics", f"{table.name}.sql"),
        )
        for table in tables
    ]
    return DailyStep(name, specs, write)


def _calls_dep(workspace: Workspace, table: Table) -> dg.AssetDep | dg.AssetKey:
    """What a day of a metric needs: the calls of the day, and of the days before that may run into it.

    So Dagster shows a day of load as outdated when the day before was fetched again.
    """
    calls = workspace.asset_key(CALLS.name)
    if not isinstance(table, MetricTable) or not table.days_back:
        return calls
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)  # of the parameter; without it the first day could not be run
        mapping = dg.TimeWindowPartitionMapping(
            start_offset=-table.days_back, allow_nonexistent_upstream_partitions=True
        )
    return dg.AssetDep(calls, partition_mapping=mapping)


def export_step(workspace: Workspace, table: Table, partitions: dg.PartitionsDefinition[Any]) -> DailyStep:
    """A table as Parquet, one file a day, for readers that must not meet the writer."""
    folder = workspace.settings.export_folder

    def write(context: dg.AssetExecutionContext, days: Sequence[dt.date], _: AbstractSet[dg.AssetKey]) -> ShownDays:
        from synthflow_assets.warehouse.export import export_days, export_path

        with workspace.warehouse(context).get_connection(read_only=True) as connection:
            rows_of = export_days(connection, table.name, days, folder)
        shown: dict[dt.date, Metadata] = {
            day: {
                "dagster/partition_row_count": rows,
                "size_bytes": export_path(folder, table.name, day).stat().st_size,
            }
            for day, rows in rows_of.items()
        }
        return {spec.key: with_lineage(shown, export_lineage(workspace, table))}

    spec = dg.AssetSpec(
        workspace.asset_key(f"{table.name}_export"),
        deps=[workspace.asset_key(table.name)],
        description=f"`{workspace.table_name(table.name)}` as Parquet, one file a day, each replaced as a whole.",
        partitions_def=partitions,
        kinds={"parquet"},
        **common_spec_arguments(workspace),
        metadata={"dagster/uri": str(folder / table.name)},
    )
    return DailyStep(f"export_{table.name}", [spec], write)


def report_step(workspace: Workspace, partitions: dg.PartitionsDefinition[Any]) -> DailyStep:
    """The HTML page over the last days, written anew by every run, whichever days it is about.

    It has a partition a day like the metrics, so that it is part of every run over days; one of them is as good as
    another.
    """
    settings = workspace.settings

    def write(context: dg.AssetExecutionContext, days: Sequence[dt.date], _: AbstractSet[dg.AssetKey]) -> ShownDays:
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
        description=f"One HTML page for people who do not write SQL, over the last {settings.report_days} days.",
        partitions_def=partitions,
        kinds={"html"},
        **common_spec_arguments(workspace),
        metadata={"dagster/uri": str(settings.report_path)},
    )
    return DailyStep("write_call_report", [spec], write)


def _code_reference(package: str, file: str) -> Metadata:
    """Shows the file in Dagster's UI, as the source of the asset."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)  # whether it is ready for use is no question of our users
        source = dg.LocalFileCodeReference(file_path=str(files(package) / file), line_number=1, label=file)
        return {"dagster/code_references": dg.CodeReferencesMetadataValue(code_references=[source])}


def build_recordings_asset(
    workspace: Workspace, target: str, partitions: dg.PartitionsDefinition[Any]
) -> dg.AssetsDefinition:
    """The audio of the day's calls, downloaded to the target."""
    key = workspace.asset_key(CALL_RECORDINGS.name)
    spec = table_spec(
        workspace, CALL_RECORDINGS, partitions, kinds={"python", "duckdb"}, deps=[workspace.asset_key(CALLS.name)]
    )

    @dg.multi_asset(
        name=workspace.step("download_recordings"),
        specs=[spec],
        required_resource_keys={workspace.api_resource, workspace.warehouse_resource},
        backfill_policy=workspace.backfill_policy,
    )
    def download(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        from synthflow_assets.recordings import store_recordings

        with translate_errors(workspace.settings), workspace.open_clients(context) as (client, warehouse):
            counts = store_recordings(client, warehouse, target, days_of(context), context.log.warning)
        if counts.failed:
            raise dg.Failure(
                f"{counts.failed} recordings did not come, {counts.stored} did and are stored; the log says why. "
                "Materialize the same days again: only what is missing is asked for",
                allow_retries=False,
            )
        return dg.MaterializeResult(asset_key=key, metadata=asdict(counts))

    return download
