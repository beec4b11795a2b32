"""From calls to metrics: one `.sql` file a table, named like it, and the code that runs them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import duckdb

from synthflow_assets.days import local_hours
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.metric_tables import CONNECTED_STATUSES, METRIC_TABLES, VOICEMAIL_STATUSES
from synthflow_assets.warehouse.schema import TABLES
from synthflow_assets.warehouse.statements import execute_named, sql_file, write

_ALL_TABLES = [table.name for table in METRIC_TABLES]


def compute_metrics(
    connection: duckdb.DuckDBPyConnection,
    days: Sequence[dt.date],
    settings: Settings,
    tables: Sequence[str] = _ALL_TABLES,
) -> None:
    """Compute some days of metric tables anew; other days are not touched.

    All in one transaction: in a lake each commit takes as long as a small table, and other runs wait meanwhile.
    """
    write(connection, lambda: replace_metrics(connection, days, settings, tables))


def replace_metrics(
    connection: duckdb.DuckDBPyConnection,
    days: Sequence[dt.date],
    settings: Settings,
    tables: Sequence[str] = _ALL_TABLES,
) -> None:
    """The same as a part of the caller's transaction."""
    parameters = _parameters(days, settings)
    for table in tables:
        name, query = TABLES[table].name, metric_query(table)
        connection.execute(f"DELETE FROM {name} WHERE list_contains($1::DATE[], day)", [list(days)])
        execute_named(connection, f"INSERT INTO {name} BY NAME {query}", parameters)


def metric_query(table: str) -> str:
    """The query that a metric table is computed by; the tables of load have a part in common."""
    query = sql_file(__name__, f"{table}.sql")
    for shared in ("hours", "load"):
        query = query.replace(f"{{{shared}}}", f"\n{sql_file(__name__, f'{shared}.sql')}")
    return query


def _parameters(days: Sequence[dt.date], settings: Settings) -> dict[str, Any]:
    hours = [(day, hour) for day in days for hour in local_hours(day, settings.timezone)]
    return {
        "days": list(days),
        "short_call_seconds": settings.short_call_seconds,
        "connected_statuses": list(CONNECTED_STATUSES),
        "voicemail_statuses": list(VOICEMAIL_STATUSES),
        "hour_days": [day for day, _ in hours],
        "hours_ms": [hour.from_ms for _, hour in hours],
        "next_hours_ms": [hour.to_ms for _, hour in hours],
        "local_hours": [hour.hour for _, hour in hours],
    }
