"""What Dagster shows of the days of an asset: numbers that it plots over them, and which columns others come from."""

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from synthflow_assets.orchestration.workspace import Workspace
from synthflow_assets.warehouse.schema import CALLS
from synthflow_assets.warehouse.tables import Column, MetricTable, Table

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Metadata = dict[str, Any]
_ALL_CALLS = "count(calls)"
_PARTITIONED = ("calls", "calls_started")  # in tables of finer grain, where each call is in one row


def metric_metadata(
    workspace: Workspace, table: MetricTable, connection: "DuckDBPyConnection", days: Sequence[dt.date]
) -> dict[dt.date, Metadata]:
    """What is shown of each day of a metric table that was computed.

    Args:
        workspace: whose assets the columns come from.
        table: the metric.
        connection: to the warehouse.
        days: which are shown.
    """
    summed = [column.name for column in table.columns if _can_be_summed(table, column)]
    totals = ", ".join(["day", "count(*)", *(f"coalesce(sum({name}), 0)::BIGINT" for name in summed)])
    # The names are the schema's own, never a user's.
    query = f"SELECT {totals} FROM {table.name} WHERE list_contains($1::DATE[], day) GROUP BY day"  # noqa: S608
    found = {day: numbers for day, *numbers in connection.execute(query, [list(days)]).fetchall()}
    names = ["dagster/partition_row_count", *summed]
    shown: dict[dt.date, Metadata] = {
        day: dict(zip(names, found[day], strict=True)) if day in found else {names[0]: 0} for day in days
    }
    return with_lineage(shown, _metric_lineage(workspace, table))


def export_lineage(workspace: Workspace, table: Table) -> dg.TableColumnLineage:
    """An export has the columns of its table."""
    return _lineage(workspace.asset_key(table.name), {column.name: [column.name] for column in table.columns})


def with_lineage(shown: dict[dt.date, Metadata], lineage: dg.TableColumnLineage) -> dict[dt.date, Metadata]:
    """Adds the lineage to the latest day, where Dagster looks for it; at each day it would be most of the event log."""
    if shown:
        shown[max(shown)]["dagster/column_lineage"] = lineage
    return shown


def _can_be_summed(table: Table, column: Column) -> bool:
    """Whether the sum over the rows of a day is a number of the day; of rows that share calls it is none."""
    if table.grain == ("day", "model_id"):
        return column.sql_type == "BIGINT" and (column.formula or "").startswith(("count(", "sum("))
    return column.name in _PARTITIONED and "dimension" not in table.grain


def _metric_lineage(workspace: Workspace, table: MetricTable) -> dg.TableColumnLineage:
    """From the formulas: each names the fields of the calls that its column comes from."""
    return _lineage(workspace.asset_key(CALLS.name), {column.name: _fields(table, column) for column in table.columns})


def _fields(table: MetricTable, column: Column) -> list[str]:
    if column.formula is None:  # the day and the agent
        return [column.name]
    words = set(re.findall(r"\w+", column.formula))
    named = [name for name in table.sources if name in words]
    # Who is connected is told by the status, which the formulas do not repeat.
    if "connected" in words and "call_status" in table.sources and "call_status" not in named:
        named.append("call_status")
    return named or (["call_id"] if column.formula == _ALL_CALLS else list(table.sources))


def _lineage(upstream: dg.AssetKey, columns: Mapping[str, list[str]]) -> dg.TableColumnLineage:
    return dg.TableColumnLineage(
        {name: [dg.TableColumnDep(upstream, source) for source in sources] for name, sources in columns.items()}
    )
