"""Read `call_loads`: the result of each fetched partition, and which partitions are settled."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import duckdb

from synthflow_assets.warehouse.landing import LoadSummary
from synthflow_assets.warehouse.staging import Partition
from synthflow_assets.warehouse.statements import sql_file

_SQL = "synthflow_assets.warehouse.sql"


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
