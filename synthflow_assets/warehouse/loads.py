"""Read `call_loads`: the result of each fetched partition, and which partitions are settled."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb

from synthflow_assets.days import bounds_parameters
from synthflow_assets.warehouse.decoding import ANOTHER_DAY
from synthflow_assets.warehouse.landing import LoadSummary
from synthflow_assets.warehouse.staging import Partition
from synthflow_assets.warehouse.statements import execute_named, sql_file

_SQL = "synthflow_assets.warehouse.sql"
_REACH_DAYS = 2  # two margins, of a day at most


def read_loads(
    connection: duckdb.DuckDBPyConnection, days: Sequence[dt.date], model_ids: Sequence[str]
) -> list[LoadSummary]:
    """Return the loads of these agents on these days. A partition that never landed has none."""
    pairs: dict[str, Any] = {
        "days": [day for day in days for _ in model_ids],
        "model_ids": list(model_ids) * len(days),
    }
    rows = connection.execute(sql_file(_SQL, "read_loads.sql"), pairs)
    names = [column[0] for column in rows.description or []]
    return [LoadSummary(**dict(zip(names, row, strict=True))) for row in rows.fetchall()]


def settled_partitions(
    connection: duckdb.DuckDBPyConnection, days: Sequence[dt.date], run_ids: Sequence[str] | None = None
) -> set[Partition]:
    """Return the settled partitions of these days; they need not be fetched again.

    Args:
        connection: to the warehouse.
        days: which days to read.
        run_ids: count only partitions that these runs landed. None means all runs.
    """
    rows = connection.execute(
        sql_file(_SQL, "settled_partitions.sql"),
        {"days": list(days), "run_ids": list(run_ids) if run_ids is not None else None},
    )
    return {Partition(day, model_id) for day, model_id in rows.fetchall()}


def find_strays(
    connection: duckdb.DuckDBPyConnection,
    outside: Mapping[Partition, Sequence[tuple[str, int]]],
    run_days: Sequence[dt.date],
    timezone: str,
) -> dict[Partition, frozenset[str]]:
    """Return calls that were listed only for another day than they start on, by the partition that listed them.

    Args:
        connection: to the warehouse.
        outside: ids and starts, in epoch milliseconds, of the calls that a partition listed but that start outside.
        run_days: the days that the run fetches.
        timezone: IANA name of the time zone of days.
    """
    calls = [(pair, call_id, start_ms) for pair, found in outside.items() for call_id, start_ms in found]
    near = range(-_REACH_DAYS, _REACH_DAYS + 1)
    days = sorted({pair.day + dt.timedelta(days=number) for pair in outside for number in near})
    parameters = {
        "listed_days": [pair.day for pair, _, _ in calls],
        "model_ids": [pair.model_id for pair, _, _ in calls],
        "call_ids": [call_id for _, call_id, _ in calls],
        "starts_ms": [start_ms for _, _, start_ms in calls],
        "run_days": list(run_days),
        "another_day": ANOTHER_DAY,
        **bounds_parameters(days, timezone),
    }
    strays: dict[Partition, set[str]] = defaultdict(set)
    for day, model_id, call_id in execute_named(
        connection, sql_file(_SQL, "unlisted_strays.sql"), parameters
    ).fetchall():
        strays[Partition(day, model_id)].add(call_id)
    return {pair: frozenset(ids) for pair, ids in strays.items()}
