"""Puts calls where landing would put them, with their rows in call_loads; and computes metrics of them."""

import datetime as dt
import json
import zoneinfo
from collections import Counter
from collections.abc import Sequence
from typing import Any

import duckdb

from synthflow_assets.days import day_bounds_ms
from synthflow_assets.metrics import compute_metrics
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.decoding import derived_columns_sql
from synthflow_assets.warehouse.schema import DERIVED_COLUMNS

DAY = dt.date(2026, 3, 10)
Call = dict[str, Any]
Row = tuple[Any, ...]
_JSON = ("judge_results", "collected_variables", "executed_actions")


def at(text: str, timezone: str = "UTC", *, again: bool = False) -> int:
    """A time such as `2026-03-10 12:00` in epoch milliseconds; `again` where the clock shows it a second time."""
    local = dt.datetime.fromisoformat(text).replace(tzinfo=zoneinfo.ZoneInfo(timezone), fold=int(again))
    return int(local.timestamp() * 1000)


def land(
    connection: duckdb.DuckDBPyConnection,
    calls: Sequence[Call],
    days: Sequence[dt.date] = (DAY,),
    agents: str = "a",
    timezone: str = "UTC",
) -> None:
    """Replace these days of these agents. Every call is given by its columns; those that are needed have defaults."""
    connection.execute("DELETE FROM calls WHERE list_contains($1, day)", [list(days)])
    connection.execute("DELETE FROM call_loads WHERE list_contains($1, day)", [list(days)])
    rows = [_row(number, call, days, timezone) for number, call in enumerate(calls)]
    names = sorted({name for row in rows for name in row})
    if rows:
        _prepare(connection)
        connection.execute("DELETE FROM given.calls")
        connection.execute(
            f"INSERT INTO given.calls ({', '.join(names)}) SELECT unnest($1, max_depth := 2)",
            [[{name: row.get(name) for name in names} for row in rows]],
        )
        connection.execute("EXECUTE land_given")
    landed = Counter((row["day"], row["model_id"]) for row in rows)
    connection.execute(
        "INSERT INTO call_loads BY NAME SELECT unnest($1, max_depth := 2), now() AS loaded_at",
        [[{"day": day, "model_id": agent, "landed": landed[day, agent]} for day in days for agent in agents]],
    )


def _prepare(connection: duckdb.DuckDBPyConnection) -> None:
    """Prepare the insertion of `given.calls` once for each connection, because planning it takes longer than the rows.

    `given` is a database of its own: with each new temporary table, DuckDB would plan the statement again.
    """
    if connection.execute("SELECT 1 FROM duckdb_databases() WHERE database_name = 'given'").fetchone():
        return
    derived = ", ".join(column.name for column in DERIVED_COLUMNS)
    connection.execute("ATTACH ':memory:' AS given")
    connection.execute(f"CREATE TABLE given.calls AS SELECT * EXCLUDE ({derived}) FROM calls LIMIT 0")
    connection.execute(f"PREPARE land_given AS INSERT INTO calls BY NAME {derived_columns_sql('given.calls')}")


def _row(number: int, call: Call, days: Sequence[dt.date], timezone: str) -> Call:
    row = {"model_id": "a", "call_id": f"{days[0]}-{number}", "loaded_at": dt.datetime.now(dt.UTC), **call}
    start_ms = row.pop("start_ms", day_bounds_ms(days[0], timezone)[0])
    row["start_time"] = dt.datetime.fromtimestamp(start_ms / 1000, dt.UTC)
    row["day"] = row["start_time"].astimezone(zoneinfo.ZoneInfo(timezone)).date()
    for name in _JSON:
        if name in row and not isinstance(row[name], str):
            row[name] = json.dumps(row[name])
    return row


def computed(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    days: Sequence[dt.date] = (DAY,),
    columns: str = "* EXCLUDE (day)",
    **settings: Any,
) -> list[Row]:
    """Compute a metric table; its rows of these days, ordered."""
    compute_metrics(connection, days, Settings.of(**settings), [table])
    query = f"SELECT {columns} FROM {table} WHERE list_contains($1, day) ORDER BY ALL"
    return connection.execute(query, [list(days)]).fetchall()
