"""An asset that follows from the calls, one partition a day, and what Dagster shows of it."""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from synthflow_assets.orchestration.metadata import Metadata
from synthflow_assets.orchestration.resources import failures_for_people
from synthflow_assets.orchestration.workspace import Workspace
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.tables import Column, Table

WriteDays = Callable[[dg.AssetExecutionContext, Sequence[dt.date]], Mapping[dt.date, Metadata]]


@dataclass(frozen=True)
class DailyAsset:
    """How some days of an asset are written.

    It is a step of its own, and the fetching step calls `write` as well: where some days fail, Dagster passes over
    everything behind, though the other days could be computed.
    """

    spec: dg.AssetSpec
    step: str
    write: WriteDays  # returns what Dagster is to show of each day

    def build(self, workspace: Workspace) -> dg.AssetsDefinition:
        """The asset, for Dagster."""

        @dg.multi_asset(
            name=workspace.step(self.step),
            specs=[self.spec],
            required_resource_keys={workspace.warehouse_resource},
            backfill_policy=workspace.backfill_policy,
            pool=workspace.pool,
        )
        def compute(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
            with failures_for_people():
                for day, metadata in self.write(context, days_of(context)).items():
                    context.add_asset_metadata(metadata, self.spec.key, day.isoformat())
            return dg.MaterializeResult(asset_key=self.spec.key)

        return compute


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
        **marks(workspace),
        # For Asset Health. Whether every agent's latest day has landed is the business of a check of our own,
        # because this policy is content with a backfill of any old day.
        freshness_policy=dg.FreshnessPolicy.time_window(
            fail_window=dt.timedelta(hours=36), warn_window=dt.timedelta(hours=27)
        ),
        metadata={
            "dagster/table_name": workspace.table_name(table.name),
            "dagster/column_schema": dg.TableSchema(columns=[_table_column(column) for column in table.columns]),
            **(metadata or {}),
        },
    )


def marks(workspace: Workspace) -> dict[str, Any]:
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
