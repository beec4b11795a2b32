"""The metadata of each day of an asset: numbers that Dagster plots over the partitions, and column lineage."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from synthflow_assets.orchestration.workspace import Workspace
from synthflow_assets.warehouse.schema import CALLS, TABLES
from synthflow_assets.warehouse.tables import MetricTable, Table, View

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Metadata = dict[str, Any]


def metric_metadata(
    workspace: Workspace, table: MetricTable, connection: "DuckDBPyConnection", days: Sequence[dt.date]
) -> dict[dt.date, Metadata]:
    """Return the metadata of each day of a metric table: its row count, and the sums of its summable columns.

    Args:
        workspace: whose assets the columns come from.
        table: the metric table.
        connection: to the warehouse.
        days: which days.
    """
    summed = [column.name for column in table.columns if column.summable]
    totals = ", ".join(["day", "count(*)", *(f"coalesce(sum({name}), 0)" for name in summed)])
    # The names are the schema's own, never a user's.
    query = f"SELECT {totals} FROM {table.name} WHERE list_contains($1::DATE[], day) GROUP BY day"  # noqa: S608
    found = {day: numbers for day, *numbers in connection.execute(query, [list(days)]).fetchall()}
    names = ["dagster/partition_row_count", *summed]
    shown: dict[dt.date, Metadata] = {
        day: dict(zip(names, found[day], strict=True)) if day in found else {names[0]: 0} for day in days
    }
    return with_lineage(shown, _metric_lineage(workspace, table))


def export_lineage(workspace: Workspace, table: Table) -> dg.TableColumnLineage:
    """Return the lineage of an export, which has the columns of its table."""
    return _lineage(workspace.asset_key(table.name), {column.name: [column.name] for column in table.columns})


def view_lineage(workspace: Workspace, view: View) -> dg.TableColumnLineage:
    """Return the lineage of a view: a column comes from the first of its tables that has the source."""
    tables = [TABLES[name] for name in view.reads]

    def upstream(source: str) -> dg.TableColumnDep:
        table = next(table for table in tables if source in {column.name for column in table.columns})
        return dg.TableColumnDep(workspace.asset_key(table.name), source)

    return dg.TableColumnLineage(
        {
            column.name: [upstream(source) for source in dict.fromkeys(column.sources or (column.name,))]
            for column in view.columns
        }
    )


def with_lineage(shown: dict[dt.date, Metadata], lineage: dg.TableColumnLineage) -> dict[dt.date, Metadata]:
    """Add the lineage to the latest day, where Dagster reads it; on each day it would fill the event log."""
    if shown:
        shown[max(shown)]["dagster/column_lineage"] = lineage
    return shown


def _metric_lineage(workspace: Workspace, table: MetricTable) -> dg.TableColumnLineage:
    # `day` and `model_id` have no sources: they come from the columns of the same name.
    sources = {column.name: column.sources or (column.name,) for column in table.columns}
    return _lineage(workspace.asset_key(CALLS.name), sources)


def _lineage(upstream: dg.AssetKey, columns: Mapping[str, Sequence[str]]) -> dg.TableColumnLineage:
    return dg.TableColumnLineage(
        {name: [dg.TableColumnDep(upstream, source) for source in sources] for name, sources in columns.items()}
    )
