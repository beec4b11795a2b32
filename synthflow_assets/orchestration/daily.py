"""A step that writes assets which follow from the calls, one partition a day, and what Dagster shows of them."""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import dagster as dg

from synthflow_assets.orchestration.metadata import Metadata
from synthflow_assets.orchestration.resources import translate_errors
from synthflow_assets.orchestration.workspace import Workspace
from synthflow_assets.orchestration.write_conflicts import validate_no_write_conflicts
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.tables import Column, Table

ShownDays = Mapping[dg.AssetKey, Mapping[dt.date, Metadata]]
WriteDays = Callable[[dg.AssetExecutionContext, Sequence[dt.date], AbstractSet[dg.AssetKey]], ShownDays]


@dataclass(frozen=True)
class DailyStep:
    """How some days of some assets are written.

    The fetching step calls `write` as well: where some days fail, Dagster passes over everything behind, though the
    other days could be computed.
    """

    name: str
    specs: Sequence[dg.AssetSpec]
    write: WriteDays  # those assets alone that are asked for; returns what Dagster is to show of each day

    def build(self, workspace: Workspace) -> dg.AssetsDefinition:
        """The assets, for Dagster."""

        @dg.multi_asset(
            name=workspace.step(self.name),
            specs=self.specs,
            required_resource_keys={workspace.warehouse_resource},
            can_subset=True,
            backfill_policy=workspace.backfill_policy,
            pool=workspace.pool,
        )
        def compute(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any]]:
            with translate_errors(workspace.settings):
                validate_no_write_conflicts(context, workspace)
                shown = self.write(context, days_of(context), context.selected_asset_keys)
            yield from results(context, shown)

        return compute


def results(context: dg.AssetExecutionContext, shown: ShownDays) -> Iterator[dg.MaterializeResult[Any]]:
    """The assets that were written, with what is shown of each day."""
    for key, of_days in shown.items():
        for day, metadata in of_days.items():
            context.add_asset_metadata(metadata, key, day.isoformat())
        yield dg.MaterializeResult(asset_key=key)


def daily_partitions(settings: Settings) -> dg.DailyPartitionsDefinition:
    """One partition a day, in the set time zone; the last one is yesterday."""
    return dg.DailyPartitionsDefinition(start_date=settings.start_date.isoformat(), timezone=settings.timezone)


def days_of(context: dg.AssetExecutionContext) -> list[dt.date]:
    """The days of the run."""
    return [dt.date.fromisoformat(key) for key in context.partition_keys]


def table_spec(
    workspace: Workspace,
    table: Table,
    partitions: dg.PartitionsDefinition[Any],
    kinds: set[str],
    deps: Sequence[dg.AssetDep | dg.AssetKey] = (),
    metadata: Mapping[str, Any] | None = None,
) -> dg.AssetSpec:
    """The asset of a table, described by the schema."""
    return dg.AssetSpec(
        workspace.asset_key(table.name),
        deps=deps,
        description=table.description,
        partitions_def=partitions,
        kinds=kinds,
        **common_spec_arguments(workspace),
        # For Asset Health. Whether every agent's latest day has landed is the business of a check of our own,
        # because this policy is content with a backfill of any old day.
        freshness_policy=dg.FreshnessPolicy.time_window(
            fail_window=dt.timedelta(hours=36), warn_window=dt.timedelta(hours=27)
        ),
        metadata={
            "dagster/table_name": workspace.table_name(table.name),
            "dagster/uri": workspace.settings.warehouse,
            "dagster/column_schema": dg.TableSchema(columns=[_table_column(column) for column in table.columns]),
            **(metadata or {}),
        },
    )


def common_spec_arguments(workspace: Workspace) -> dict[str, Any]:
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
