"""The records that could not be typed: what is wrong with them, and another try with a later version's decoding."""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

import duckdb

from synthflow_assets.warehouse.decoding import decode_sql
from synthflow_assets.warehouse.forgetting import read_forgotten
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
    connection: duckdb.DuckDBPyConnection, timezone: str, pii: str, hash_key: str = ""
) -> dict[dt.date, int]:
    """Type the kept records again, in one transaction; those that can be typed now move to `calls`.

    Args:
        connection: to the warehouse.
        timezone: that days begin and end in.
        pii: how personal data is treated now.
        hash_key: for hash.

    Returns:
        How many landed, by day. What is computed from these days is to be computed again.
    """

    def retry() -> dict[dt.date, int]:
        decode = decode_sql("temp.kept", pii, hash_key, read_forgotten(connection))
        connection.execute(
            "CREATE OR REPLACE TEMP TABLE kept AS "
            "SELECT day, model_id, record, NULL::BIGINT AS from_ms, NULL::BIGINT AS to_ms "
            "FROM call_rejects WHERE record IS NOT NULL"
        )
        # A start that can be read now may lie on another day, whose own fetch has the call as well.
        is_new = (
            "(start_time AT TIME ZONE $1)::DATE = day AND call_id NOT IN (SELECT call_id FROM calls) "
            "AND row_number() OVER (PARTITION BY call_id) = 1"
        )
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE typed AS SELECT *, {is_new} AS is_new FROM ({decode})",
            [timezone],
        )
        connection.execute(
            "INSERT INTO calls BY NAME "
            "SELECT * EXCLUDE (reason, record, is_open, filled, is_new), now() AS loaded_at FROM temp.typed "
            "WHERE reason IS NULL AND is_new"
        )
        connection.execute(sql_file(_SQL, "recount_loads.sql"))
        connection.execute("DELETE FROM call_rejects WHERE record IS NOT NULL")
        connection.execute(
            "INSERT INTO call_rejects BY NAME "
            "SELECT day, model_id, reason, record, now() AS loaded_at FROM temp.typed WHERE reason IS NOT NULL"
        )
        landed = connection.execute(
            "SELECT day, count(*) FROM temp.typed WHERE reason IS NULL AND is_new GROUP BY day ORDER BY day"
        ).fetchall()
        connection.execute("DROP TABLE temp.kept; DROP TABLE temp.typed")
        return dict(landed)

    return write(connection, retry)
