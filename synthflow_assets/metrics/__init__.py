"""Computes the metric tables from the calls: one `.sql` file for each table, named after it."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb

from synthflow_assets.days import local_hours
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.content import content_versions
from synthflow_assets.warehouse.metric_tables import (
    CONNECTED_STATUSES,
    METRIC_TABLES,
    NOT_REPORTED,
    VOICEMAIL_STATUSES,
)
from synthflow_assets.warehouse.schema import METRIC_COMPUTATIONS
from synthflow_assets.warehouse.statements import execute_named, sql_file, without_comments, write
from synthflow_assets.warehouse.tables import AffectedDays, MetricTable

_COMPUTATIONS = METRIC_COMPUTATIONS.name
_VERSION_LENGTH = 16
_TABLES = {table.name: table for table in METRIC_TABLES}


def compute_metrics(
    connection: duckdb.DuckDBPyConnection,
    days: Sequence[dt.date],
    settings: Settings,
    tables: Sequence[str] = tuple(_TABLES),
) -> dict[str, list[dt.date]]:
    """Compute metric tables for some days, and replace the rows of these days and of others that they change.

    All tables are written in one transaction: on a lake, a commit takes as long as computing a small table.

    Args:
        connection: to the warehouse.
        days: days whose calls were landed or changed.
        settings: the time zone, the threshold of short calls and the price.
        tables: names of the metric tables to compute; all of them unless given.

    Returns:
        The days whose rows were replaced, by table: `days`, and other landed days whose rows changed.
    """
    return write(connection, lambda: replace_metrics(connection, days, settings, tables))


def replace_metrics(
    connection: duckdb.DuckDBPyConnection,
    days: Sequence[dt.date],
    settings: Settings,
    tables: Sequence[str] = tuple(_TABLES),
) -> dict[str, list[dt.date]]:
    """Compute metric tables as `compute_metrics` does, inside the caller's transaction.

    Args:
        connection: to the warehouse, in a transaction.
        days: days whose calls were landed or changed.
        settings: the time zone, the threshold of short calls and the price.
        tables: names of the metric tables to compute; all of them unless given.

    Returns:
        The days whose rows were replaced, by table.
    """
    replaced: dict[str, list[dt.date]] = {}
    unchanged: dict[str, list[dt.date]] = {}
    for name in tables:
        affected = affected_days(connection, _TABLES[name], days)
        # With the types of the table, on which hashes depend.
        connection.execute(f"CREATE OR REPLACE TEMP TABLE computed_now AS FROM {name} LIMIT 0")
        query = f"INSERT INTO temp.computed_now BY NAME {metric_query(name)}"
        execute_named(connection, query, _parameters(affected, settings))
        others = [day for day in affected if day not in days]
        changed = _changed_days(connection, name, others)
        replaced[name], unchanged[name] = sorted({*days, *changed}), sorted({*others} - {*changed})
        of_days = "WHERE list_contains($1::DATE[], day)"
        connection.execute(f"DELETE FROM {name} {of_days}", [replaced[name]])
        connection.execute(f"INSERT INTO {name} BY NAME FROM temp.computed_now {of_days}", [replaced[name]])
        connection.execute("DROP TABLE temp.computed_now")
    _record(connection, replaced, unchanged)
    return replaced


def _changed_days(connection: duckdb.DuckDBPyConnection, table: str, days: Sequence[dt.date]) -> list[dt.date]:
    """Return the days whose rows in a metric table differ from those in `computed_now`.

    The calls of one day may affect a year of `attempts_daily`, of which a few days change. If all were replaced, each
    would be exported again, every morning.
    """
    if not days:
        return []
    stored, now = (content_versions(connection, _TABLES[table], days, name) for name in (table, "temp.computed_now"))
    return [day for day in days if stored[day] != now[day]]


def _record(
    connection: duckdb.DuckDBPyConnection,
    replaced: Mapping[str, Sequence[dt.date]],
    unchanged: Mapping[str, Sequence[dt.date]],
) -> None:
    """Record from which loads the metric tables were computed; a day that never landed is not recorded.

    It is part of the transaction of the metrics, so it is right after a crash as well.
    """
    pairs = [(name, day, True) for name, days in replaced.items() for day in days]
    pairs += [(name, day, False) for name, days in unchanged.items() for day in days]
    parameters = {
        "metrics": [name for name, _, _ in pairs],
        "days": [day for _, day, _ in pairs],
        "replaced": [is_replaced for _, _, is_replaced in pairs],
        "now": dt.datetime.now(dt.UTC),
    }
    computed = sql_file("synthflow_assets.warehouse.sql", "computations.sql")
    execute_named(connection, f"CREATE OR REPLACE TEMP TABLE computations_now AS {computed}", parameters)
    connection.execute(
        f"DELETE FROM {_COMPUTATIONS} WHERE (day, metric) IN (SELECT (day, metric) FROM temp.computations_now)"
    )
    connection.execute(f"INSERT INTO {_COMPUTATIONS} BY NAME FROM temp.computations_now")
    connection.execute("DROP TABLE temp.computations_now")


def affected_days(connection: duckdb.DuckDBPyConnection, table: MetricTable, days: Sequence[dt.date]) -> list[dt.date]:
    """Return the days of a metric table that are computed from the calls of some days.

    An hourly table counts calls that run past midnight on the next day as well. A caller is new on the first day only,
    and an attempt counts on the day of the first one. Such days are affected if they have landed, so the tables are
    the same in whatever order days are landed.

    Args:
        connection: to the warehouse.
        table: the metric table.
        days: days whose calls were landed or changed.
    """
    match table.affected_days:
        case AffectedDays.THE_DAY:
            return sorted(set(days))
        case AffectedDays.AND_NEXT:
            condition = "list_contains($days::DATE[], day - 1)"
        case AffectedDays.AND_LATER:
            condition = "day > list_min($days::DATE[])"
        case AffectedDays.ALL:
            condition = "true"
    landed = execute_named(
        connection, f"SELECT DISTINCT day FROM call_loads WHERE {condition}", {"days": list(days)}
    ).fetchall()
    return sorted({*days, *(day for (day,) in landed)})


def metric_query(table: str) -> str:
    """Return the query that computes a metric table; the hourly tables share `traffic.sql`.

    Args:
        table: name of the metric table.
    """
    return sql_file(__name__, f"{table}.sql", "traffic")


def code_version(table: str, settings: Settings) -> str:
    """Return the version of the code of a metric table: other SQL, or settings that change its numbers, change it.

    Args:
        table: name of the metric table.
        settings: the time zone, the threshold of short calls and the price.
    """
    query = without_comments(metric_query(table))
    named = set(re.findall(r"\$(\w+)", query))
    values = {name: value for name, value in _parameters([], settings).items() if name in named}
    zone = settings.timezone if "hours_ms" in named else ""
    return hashlib.sha256(repr((query, sorted(values.items()), zone)).encode()).hexdigest()[:_VERSION_LENGTH]


def _parameters(days: Sequence[dt.date], settings: Settings) -> dict[str, Any]:
    hours = [(day, hour) for day in days for hour in local_hours(day, settings.timezone)]
    return {
        "days": list(days),
        "not_reported": NOT_REPORTED,
        "short_call_seconds": settings.short_call_seconds,
        "price_per_minute": settings.price_per_minute,
        "price_currency": settings.price_currency,
        "connected_statuses": list(CONNECTED_STATUSES),
        "voicemail_statuses": list(VOICEMAIL_STATUSES),
        "hour_days": [day for day, _ in hours],
        "hours_ms": [hour.from_ms for _, hour in hours],
        "next_hours_ms": [hour.to_ms for _, hour in hours],
        "local_hours": [hour.hour for _, hour in hours],
    }
