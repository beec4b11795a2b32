"""The assets: each is the table of the same name, and each partition a day of it."""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import dagster as dg

from synthflow_assets.orchestration.resources import failures_for_people
from synthflow_assets.orchestration.workspace import Workspace
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.schema import (
    CALL_LOADS,
    CALL_RECORDINGS,
    CALL_REJECTS,
    CALLS,
    LANDED_TABLES,
    Column,
    Table,
)

if TYPE_CHECKING:
    from synthflow_assets.loading import FailedPartition
    from synthflow_assets.warehouse.landing import LoadSummary

_SUMMED = (
    "total_records", "fetched", "landed", "rejected", "duplicates", "outside_window", "open_calls", "requests",
)  # fmt: skip


def daily_partitions(settings: Settings) -> dg.DailyPartitionsDefinition:
    """One partition a day, in the set time zone; the last one is yesterday."""
    return dg.DailyPartitionsDefinition(start_date=settings.start_date.isoformat(), timezone=settings.timezone)


def build_calls_assets(workspace: Workspace, partitions: dg.PartitionsDefinition[Any]) -> dg.AssetsDefinition:
    """`calls`, `call_rejects` and `call_loads`: three tables of one fetch, always written together."""
    settings = workspace.settings

    @dg.multi_asset(
        name=workspace.step("fetch_calls"),
        specs=[_spec(workspace, table, partitions, kinds={"python", "duckdb"}) for table in LANDED_TABLES],
        required_resource_keys={workspace.api_resource, workspace.warehouse_resource},
        can_subset=True,
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def fetch_calls(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any]]:
        # Imported when used: loading the definitions must not cost what fetching costs.
        from synthflow_assets.loading import FailedPartition, load_calls, resolve_agents, store_agents

        days = _days(context)
        landed: dict[dt.date, list[LoadSummary]] = defaultdict(list)
        failed: list[FailedPartition] = []
        with failures_for_people(), workspace.api(context).get_client() as client:
            tables = workspace.warehouse(context).get_warehouse()
            agents = resolve_agents(client, settings)
            store_agents(tables, agents)
            context.log.info(f"fetching {len(days)} day(s) of {len(agents)} agent(s)")
            outcomes = load_calls(
                client, tables, settings, agents, days, run_id=context.run.run_id, log=context.log.info
            )
            try:
                for outcome in outcomes:
                    if isinstance(outcome, FailedPartition):
                        context.log.error(f"failed: {outcome}")
                        failed.append(outcome)
                    else:
                        landed[outcome.day].append(outcome)
            finally:
                whole = [day for day in days if len(landed[day]) == len(agents)]
                if len(whole) < len(days):
                    _record_whole_days(workspace, context, whole, landed)
        if failed:
            raise _failure(failed, len(days) * len(agents))
        for table in LANDED_TABLES:
            key = workspace.asset_key(table.name)
            if key in context.selected_asset_keys:
                for day in days:
                    context.add_asset_metadata(_metadata(table, landed[day]), key, day.isoformat())
                yield dg.MaterializeResult(asset_key=key)

    return fetch_calls


def build_metric_asset(
    workspace: Workspace, table: Table, partitions: dg.PartitionsDefinition[Any]
) -> dg.AssetsDefinition:
    """A metric table, computed from the day's calls in SQL."""
    key = workspace.asset_key(table.name)

    @dg.multi_asset(
        name=workspace.step(f"compute_{table.name}"),
        specs=[
            _spec(
                workspace,
                table,
                partitions,
                kinds={"sql", "duckdb"},
                deps=[workspace.asset_key(CALLS.name), workspace.asset_key(CALL_LOADS.name)],
            )
        ],
        required_resource_keys={workspace.warehouse_resource},
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def compute(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        from synthflow_assets.metrics import compute_metric

        with failures_for_people(), workspace.warehouse(context).get_connection() as connection:
            rows_of = compute_metric(connection, table.name, _days(context), workspace.settings)
        for day, rows in rows_of.items():
            context.add_asset_metadata({"dagster/partition_row_count": rows}, key, day.isoformat())
        return dg.MaterializeResult(asset_key=key)

    return compute


def build_export_asset(
    workspace: Workspace, table: str, partitions: dg.PartitionsDefinition[Any]
) -> dg.AssetsDefinition:
    """A table as Parquet, one file a day, for readers that must not meet the writer."""
    key = workspace.asset_key(f"{table}_export")
    folder = workspace.settings.export_folder
    spec = dg.AssetSpec(
        key,
        deps=[workspace.asset_key(table)],
        description=f"`{workspace.table_name(table)}` as Parquet, one file a day, each replaced as a whole.",
        partitions_def=partitions,
        kinds={"parquet"},
        **_marks(workspace),
        metadata={"dagster/uri": str(folder / table)},
    )

    @dg.multi_asset(
        name=workspace.step(f"export_{table}"),
        specs=[spec],
        required_resource_keys={workspace.warehouse_resource},
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def export(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        from synthflow_assets.warehouse.export import export_days, export_path

        with failures_for_people(), workspace.warehouse(context).get_connection(read_only=True) as connection:
            rows_of = export_days(connection, table, _days(context), folder)
        for day, rows in rows_of.items():
            size_bytes = export_path(folder, table, day).stat().st_size
            metadata = {"dagster/partition_row_count": rows, "size_bytes": size_bytes}
            context.add_asset_metadata(metadata, key, day.isoformat())
        return dg.MaterializeResult(asset_key=key)

    return export


def build_recordings_asset(
    workspace: Workspace, target: str, partitions: dg.PartitionsDefinition[Any]
) -> dg.AssetsDefinition:
    """The audio of the day's calls, downloaded to the target."""
    key = workspace.asset_key(CALL_RECORDINGS.name)

    @dg.multi_asset(
        name=workspace.step("download_recordings"),
        specs=[
            _spec(
                workspace,
                CALL_RECORDINGS,
                partitions,
                kinds={"python", "duckdb"},
                deps=[workspace.asset_key(CALLS.name)],
            )
        ],
        required_resource_keys={workspace.api_resource, workspace.warehouse_resource},
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def download(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        from synthflow_assets.recordings import store_recordings

        with failures_for_people(), workspace.api(context).get_client() as client:
            tables = workspace.warehouse(context).get_warehouse()
            counts = store_recordings(client, tables, target, _days(context), context.log.warning)
        if counts.failed:
            raise dg.Failure(
                f"{counts.failed} recordings did not come, {counts.stored} did and are stored; the log says why. "
                "Materialize the same days again: only what is missing is asked for",
                allow_retries=False,
            )
        return dg.MaterializeResult(asset_key=key, metadata=asdict(counts))

    return download


def _days(context: dg.AssetExecutionContext) -> list[dt.date]:
    return [dt.date.fromisoformat(key) for key in context.partition_keys]


def _spec(
    workspace: Workspace,
    table: Table,
    partitions: dg.PartitionsDefinition[Any],
    kinds: set[str],
    deps: Sequence[dg.AssetKey] = (),
) -> dg.AssetSpec:
    return dg.AssetSpec(
        workspace.asset_key(table.name),
        deps=deps,
        description=table.description,
        partitions_def=partitions,
        kinds=kinds,
        **_marks(workspace),
        # For Asset Health. Whether every agent's latest day has landed is the business of a check of our own,
        # because this policy is content with a backfill of any old day.
        freshness_policy=dg.FreshnessPolicy.time_window(
            fail_window=dt.timedelta(hours=36), warn_window=dt.timedelta(hours=27)
        ),
        metadata={
            "dagster/table_name": workspace.table_name(table.name),
            "dagster/column_schema": dg.TableSchema(columns=[_table_column(column) for column in table.columns]),
        },
    )


def _marks(workspace: Workspace) -> dict[str, Any]:
    """What all assets of a workspace have in common."""
    return {
        "group_name": workspace.group_name,
        "owners": list(workspace.owners),
        "tags": dict(workspace.tags),
        "automation_condition": workspace.automation_condition,
    }


def _table_column(column: Column) -> dg.TableColumn:
    return dg.TableColumn(
        column.name,
        column.sql_type,
        description=f"{column.description} Unit: {column.unit}." if column.unit else column.description,
        constraints=dg.TableColumnConstraints(nullable=not column.required),
    )


def _metadata(table: Table, loads: "Sequence[LoadSummary]") -> dict[str, Any]:
    """Numbers of a day, over its agents; Dagster plots them over the partitions."""
    total = {name: sum(getattr(load, name) for load in loads) for name in _SUMMED}
    rows = {CALLS.name: total["landed"], CALL_REJECTS.name: total["rejected"], CALL_LOADS.name: len(loads)}
    return {
        "dagster/partition_row_count": rows[table.name],
        "agents": len(loads),
        "settled": all(load.settled for load in loads),
        **total,
    }


def _record_whole_days(
    workspace: Workspace,
    context: dg.AssetExecutionContext,
    days: Sequence[dt.date],
    landed: "dict[dt.date, list[LoadSummary]]",
) -> None:
    """A step that fails records nothing of its range by itself, but these days are in the warehouse."""
    for table in LANDED_TABLES:
        key = workspace.asset_key(table.name)
        if key in context.selected_asset_keys:
            for day in days:
                context.log_event(
                    dg.AssetMaterialization(key, partition=day.isoformat(), metadata=_metadata(table, landed[day]))
                )


def _failure(failed: "Sequence[FailedPartition]", total: int) -> dg.Failure:
    first = failed[0]
    others = f", and {len(failed) - 1} more (see the log)" if len(failed) > 1 else ""
    return dg.Failure(
        f"{len(failed)} of {total} (day, agent) pairs failed: {first}{others}. "
        "All others have landed; materialize the failed days again",
        allow_retries=False,
    )
