"""A step that writes daily assets downstream of the calls, and what Dagster shows of each day."""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cache
from typing import Any

import dagster as dg

from synthflow_assets.orchestration.assets.materializations import MetadataByDay, results
from synthflow_assets.orchestration.checks import check_specs, evaluate_selected
from synthflow_assets.orchestration.resources import translate_errors
from synthflow_assets.orchestration.run_days import days_of
from synthflow_assets.orchestration.workspace import Workspace
from synthflow_assets.orchestration.write_conflicts import validate_no_write_conflicts
from synthflow_assets.quality import Check
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.schema import CALLS
from synthflow_assets.warehouse.tables import Column, Table, View

WriteDays = Callable[[dg.AssetExecutionContext, Sequence[dt.date], AbstractSet[dg.AssetKey]], MetadataByDay]
FindOutdated = Callable[[Any], Mapping[dg.AssetKey, Sequence[dt.date]]]


@dataclass(frozen=True)
class DailyStep:
    """How to write some days of some assets, and the checks of what was written.

    The fetching step calls `write` as well: if some days fail, Dagster skips every step downstream, although the other
    days can be computed.

    Attributes:
        name: of the step, without the workspace's prefix.
        specs: of the assets.
        write: writes the given days of the given assets; returns the metadata of each day.
        checks: evaluated after writing.
        validate_target: raises an error of this package if the step cannot write at all until the user corrects it.
        find_outdated: returns the days of each asset that are absent or older than what they are made from.
    """

    name: str
    specs: Sequence[dg.AssetSpec]
    write: WriteDays
    checks: Sequence[Check] = ()
    validate_target: Callable[[Any], None] = lambda _: None
    find_outdated: FindOutdated = lambda _: {}

    def build(self, workspace: Workspace, downstream: "Sequence[DailyStep]" = ()) -> dg.AssetsDefinition:
        """Build the assets for Dagster.

        Args:
            workspace: whose assets.
            downstream: the steps that run after this one.
        """

        @dg.multi_asset(
            name=workspace.step(self.name),
            specs=self.specs,
            check_specs=check_specs(workspace, self.checks),
            required_resource_keys={workspace.warehouse_resource},
            can_subset=True,
            backfill_policy=workspace.backfill_policy,
            pool=workspace.pool,
        )
        def write_days(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
            with translate_errors(workspace.settings):
                validate_no_write_conflicts(context, workspace)
                if context.selected_asset_keys:  # if not, the run is about checks alone
                    if workspace.asset_key(CALLS.name) not in context.job_def.asset_layer.executable_asset_keys:
                        validate_targets(context, downstream)  # otherwise, the fetching step does so
                    days, keys = days_of(context), context.selected_asset_keys
                    yield from results(context, self.specs, self.write(context, days, keys))
                yield from evaluate_selected(context, workspace, self.checks)

        return write_days


def validate_targets(context: dg.AssetExecutionContext, downstream: Sequence[DailyStep]) -> None:
    """Raise if a step of the run that comes later cannot write, before anything is written."""
    executable = context.job_def.asset_layer.executable_asset_keys
    for step in downstream:
        if any(spec.key in executable for spec in step.specs):
            step.validate_target(context)


def daily_partitions(settings: Settings) -> dg.DailyPartitionsDefinition:
    """Return one partition for each day in the configured time zone; the last one is yesterday, or today if set."""
    return dg.DailyPartitionsDefinition(
        start_date=settings.start_date.isoformat(),
        timezone=settings.timezone,
        end_offset=1 if settings.include_today else 0,
    )


def table_spec(
    workspace: Workspace,
    table: Table | View,
    partitions: dg.PartitionsDefinition[Any] | None,
    kinds: set[str],
    deps: Sequence[dg.AssetKey] = (),
    metadata: Mapping[str, Any] | None = None,
    code_version: str | None = None,
) -> dg.AssetSpec:
    """Return the spec of the asset of a table or view, described by the schema.

    Args:
        workspace: whose asset.
        table: the table or view.
        partitions: the days; None if the asset has no partitions.
        kinds: of the asset.
        deps: keys of the assets that it is made from.
        metadata: more metadata.
        code_version: if it differs from the one that a day was computed with, Dagster shows the day as outdated.
    """
    return workspace.spec(
        table.name,
        deps=deps,
        description=table.description,
        partitions_def=partitions,
        kinds=kinds,
        code_version=code_version,
        # No `freshness_policy`: it looks at the last materialization of any partition, so a backfill of last year
        # satisfies it. The check `fresh_per_model` is the one signal.
        metadata={
            "dagster/table_name": workspace.table_name(table.name),
            "dagster/uri": workspace.settings.warehouse,
            "dagster/column_schema": _table_schema(table),
            **(metadata or {}),
        },
    )


@cache  # a code location may have many workspaces
def _table_schema(table: Table | View) -> dg.TableSchema:
    return dg.TableSchema(columns=[_table_column(column) for column in table.columns])


def _table_column(column: Column) -> dg.TableColumn:
    return dg.TableColumn(
        column.name,
        column.sql_type,
        description=f"{column.description} Unit: {column.unit}." if column.unit else column.description,
        constraints=dg.TableColumnConstraints(nullable=not column.required),
    )
