"""List the rejected records by reason, and decode them again, for example after an upgrade."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import NamedTuple

import duckdb

from synthflow_assets.days import day_bounds_ms
from synthflow_assets.warehouse.decoding import ANOTHER_DAY, decode_sql
from synthflow_assets.warehouse.erasure import read_suppression_list
from synthflow_assets.warehouse.schema import FINAL_AFTER_DAYS
from synthflow_assets.warehouse.statements import sql_file, write

_SQL = "synthflow_assets.warehouse.sql"


class RejectReason(NamedTuple):
    """The rejected records of one reason."""

    reason: str
    records: int
    kept: int  # of these, the ones whose record was stored and can be decoded again
    first_day: dt.date
    last_day: dt.date


def list_rejects(connection: duckdb.DuckDBPyConnection) -> list[RejectReason]:
    """Return the rejected records by reason, most frequent first."""
    return [RejectReason(*row) for row in connection.execute(sql_file(_SQL, "list_rejects.sql")).fetchall()]


def retry_rejects(
    connection: duckdb.DuckDBPyConnection,
    timezone: str,
    pii: str,
    hash_key: str = "",
    on_landed: Callable[[list[dt.date]], object] = lambda _: None,
) -> dict[dt.date, int]:
    """Decode the stored records again, in one transaction, and move those that can be decoded now to `calls`.

    A record stays rejected if it still cannot be decoded, or if its call lies on another day and has not landed.

    Args:
        connection: to the warehouse.
        timezone: IANA name of the time zone of days.
        pii: keep, hash or drop.
        hash_key: for hash.
        on_landed: called before the commit with the days on which calls landed. If it fails, nothing is committed.

    Returns:
        The number of calls that landed, by day.
    """

    def retry() -> dict[dt.date, int]:
        decode = decode_sql("temp.kept", pii, hash_key, read_suppression_list(connection))
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
            "SELECT * EXCLUDE (reason, record, filled, unread, is_stored, is_stored_here, nth, outcome), "
            "now() AS loaded_at "
            "FROM temp.typed WHERE outcome = 'landed'"
        )
        connection.execute(sql_file(_SQL, "recount_loads.sql", "is_open"), {"final_after_days": FINAL_AFTER_DAYS})
        connection.execute("DELETE FROM call_rejects WHERE record IS NOT NULL")
        connection.execute(
            "INSERT INTO call_rejects BY NAME "
            "SELECT day, model_id, reason, record, now() AS loaded_at FROM temp.typed WHERE outcome = 'rejected'"
        )
        landed = connection.execute(
            "SELECT day, count(*) FROM temp.typed WHERE outcome = 'landed' GROUP BY day ORDER BY day"
        ).fetchall()
        connection.execute("DROP TABLE temp.kept; DROP TABLE temp.typed")
        on_landed([day for day, _ in landed])
        return dict(landed)

    return write(connection, retry)
