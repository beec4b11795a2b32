"""The records that could not be typed: what is wrong with them, and another try with a later version's decoding."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import NamedTuple

import duckdb

from synthflow_assets.days import day_bounds_ms
from synthflow_assets.warehouse.decoding import ANOTHER_DAY, decode_sql
from synthflow_assets.warehouse.erasure import read_forgotten
from synthflow_assets.warehouse.statements import sql_file, write

_SQL = "synthflow_assets.warehouse.sql"


class RejectReason(NamedTuple):
    """The records that were rejected for the same reason."""

    reason: str
    records: int
    kept: int  # of them, those whose record was kept and can be tried again
    first_day: dt.date
    last_day: dt.date


def list_rejects(connection: duckdb.DuckDBPyConnection) -> list[RejectReason]:
    """The rejected records by reason, most frequent first."""
    return [RejectReason(*row) for row in connection.execute(sql_file(_SQL, "list_rejects.sql")).fetchall()]


def retry_rejects(
    connection: duckdb.DuckDBPyConnection,
    timezone: str,
    pii: str,
    hash_key: str = "",
    then: Callable[[list[dt.date]], object] = lambda _: None,
) -> dict[dt.date, int]:
    """Type the kept records again, in one transaction; those that can be typed now move to `calls`.

    None gets lost: what cannot be typed, or lies on another day, stays rejected, unless the very call has landed.

    Args:
        connection: to the warehouse.
        timezone: that days begin and end in.
        pii: how personal data is treated now.
        hash_key: for hash.
        then: what is to be done with the days on which calls landed, before anything is committed: should it fail,
            nothing has landed, and another try does all of it again.

    Returns:
        How many landed, by day.
    """

    def retry() -> dict[dt.date, int]:
        decode = decode_sql("temp.kept", pii, hash_key, read_forgotten(connection))
        rejected = connection.execute("SELECT DISTINCT day FROM call_rejects WHERE record IS NOT NULL").fetchall()
        days = [day for (day,) in rejected]
        bounds = [day_bounds_ms(day, timezone) for day in days]
        connection.execute(
            "CREATE OR REPLACE TEMP TABLE kept AS SELECT day, model_id, record, from_ms, to_ms FROM call_rejects "
            "JOIN (SELECT unnest($1::DATE[]) AS day, unnest($2::BIGINT[]) AS from_ms, unnest($3::BIGINT[]) AS to_ms) "
            "USING (day) WHERE record IS NOT NULL",
            [days, [low for low, _ in bounds], [high for _, high in bounds]],
        )
        typing = sql_file(_SQL, "retry_rejects.sql").format(decode=decode)
        connection.execute(typing, {"another_day": ANOTHER_DAY})
        connection.execute(
            "INSERT INTO calls BY NAME "
            "SELECT * EXCLUDE (reason, record, is_open, filled, is_stored, nth, outcome), now() AS loaded_at "
            "FROM temp.typed WHERE outcome = 'landed'"
        )
        connection.execute(sql_file(_SQL, "recount_loads.sql"))
        connection.execute("DELETE FROM call_rejects WHERE record IS NOT NULL")
        connection.execute(
            "INSERT INTO call_rejects BY NAME "
            "SELECT day, model_id, reason, record, now() AS loaded_at FROM temp.typed WHERE outcome = 'rejected'"
        )
        landed = connection.execute(
            "SELECT day, count(*) FROM temp.typed WHERE outcome = 'landed' GROUP BY day ORDER BY day"
        ).fetchall()
        connection.execute("DROP TABLE temp.kept; DROP TABLE temp.typed")
        then([day for day, _ in landed])
        return dict(landed)

    return write(connection, retry)
