"""The version of a day's content: equal if and only if the rows of the day are the same."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable, Mapping, Sequence

import duckdb

from synthflow_assets.warehouse.schema import CALL_LOADS, TABLES
from synthflow_assets.warehouse.tables import Column, Table, View

# They describe the load, not the calls: they differ if the same calls are fetched again.
_OF_THE_LOAD = (
    *("run_id", "requests", "total_records", "fetched", "duplicates", "outside_window", "other_model"),
    "fields",
    "fetched_until",  # of the current day, it differs every hour; the calls and `settled` show whether the day does
)
_DECIMALS = 9  # the last bits of a mean depend on the order of the rows
_VERSION_LENGTH = 16


def content_versions(
    connection: duckdb.DuckDBPyConnection, table: Table | View, days: Sequence[dt.date], relation: str | None = None
) -> dict[dt.date, str]:
    """Return the version of each day of a table. It depends neither on the order of the rows nor on `loaded_at`.

    The version of a view is that of the tables it reads. Another release of DuckDB may return other versions.

    Args:
        connection: to the warehouse.
        table: a table with a column `day`, or a view.
        days: which days.
        relation: has the rows of the table; by default the table itself.
    """
    if isinstance(table, View):
        return combined_versions(content_versions(connection, TABLES[name], days) for name in table.reads)
    hashed = ", ".join(_hashed(column) for column in table.columns if _is_content(table, column))
    # A sum of the rows' hashes does not depend on their order, and counts equal rows.
    query = (
        f"SELECT day, sum(hash({hashed})), count(*) FROM {relation or table.name} "
        "WHERE list_contains($1::DATE[], day) GROUP BY day"
    )
    found = {day: numbers for day, *numbers in connection.execute(query, [list(days)]).fetchall()}
    return {day: _version([str(found.get(day))]) for day in days}


def agents_version(connection: duckdb.DuckDBPyConnection) -> str:
    """Return the version of the table of agents: ids, names, types, and which of them the last listing had."""
    listed = "loaded_at = (SELECT max(loaded_at) FROM agents)"
    [row] = connection.execute(f"SELECT sum(hash(model_id, name, type, {listed})), count(*) FROM agents").fetchall()
    return _version([str(row)])


def combined_versions(versions: Iterable[Mapping[dt.date, str]]) -> dict[dt.date, str]:
    """Return one version for each day of several tables."""
    tables = list(versions)
    return {day: _version(table[day] for table in tables) for day in tables[0]}


def combined_version(versions: Iterable[str]) -> str:
    """Return one version for several."""
    return _version(versions)


def _version(texts: Iterable[str]) -> str:
    return hashlib.sha256(" ".join(texts).encode()).hexdigest()[:_VERSION_LENGTH]


def _is_content(table: Table, column: Column) -> bool:
    return column.name != "loaded_at" and not (table is CALL_LOADS and column.name in _OF_THE_LOAD)


def _hashed(column: Column) -> str:
    return f"round({column.name}, {_DECIMALS})" if column.sql_type == "DOUBLE" else f'"{column.name}"'
