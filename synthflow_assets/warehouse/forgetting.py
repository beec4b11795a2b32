"""Removes one person's data, known by phone number, and keeps it from coming back with a later fetch.

The calls stay, with times, durations and reasons, so that metrics still add up; every personal field of them is
emptied. The number itself is kept nowhere: a salted hash is what later fetches are held against.
"""

from __future__ import annotations

import datetime as dt
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass

import duckdb

from synthflow_assets.errors import SettingsError
from synthflow_assets.warehouse.decoding import Forgotten, digits_sql, hmac_sql, phone_hash_sql
from synthflow_assets.warehouse.schema import CALL_REJECTS, CALLS, FORGOTTEN, PERSONAL_COLUMNS
from synthflow_assets.warehouse.statements import write

_FEWEST_DIGITS = 7


@dataclass(frozen=True)
class Removal:
    """What was removed of one person."""

    calls: int
    rejects: int
    recordings: int
    days: list[dt.date]  # that rows were changed on


def read_forgotten(connection: duckdb.DuckDBPyConnection) -> Forgotten:
    """Whose personal data is not to be written again."""
    rows = connection.execute(f"SELECT salt, phone_hash FROM {FORGOTTEN.name} ORDER BY ALL").fetchall()
    return Forgotten(rows[0][0], tuple(phone_hash for _, phone_hash in rows)) if rows else Forgotten()


def forget_phone(
    connection: duckdb.DuckDBPyConnection,
    phone: str,
    hash_key: str = "",
    *,
    delete_recordings: Callable[[list[str]], None],
) -> Removal:
    """Empty the personal fields of every call in which the number occurs, in whatever field.

    Args:
        connection: to the warehouse.
        phone: the number with its country code; what is not a digit does not matter.
        hash_key: where personal data was hashed, so that its hashes are found.
        delete_recordings: deletes the files at these locations; called before anything is committed, so that after
            a failure the rows still tell where they are.

    Raises:
        SettingsError: that is not the number of a person.
    """
    digits = re.sub(r"[^0-9]", "", phone)
    if len(digits) < _FEWEST_DIGITS:
        raise SettingsError("that is no phone number: give it with its country code, such as +14155550100")
    names = [column.name for column in PERSONAL_COLUMNS]
    spellings = [phone, digits, f"+{digits}", f"00{digits}"]

    def remove() -> Removal:
        _refuse_agents_number(connection, digits)
        connection.execute("CREATE OR REPLACE TEMP TABLE concerned (call_id VARCHAR, day DATE, model_id VARCHAR)")
        connection.execute(
            f"INSERT INTO concerned SELECT call_id, day, model_id FROM {CALLS.name} WHERE {_mentions(hash_key)}",
            {"digits": digits, **({"spellings": spellings} if hash_key else {})},
        )
        # Looked up before they are changed: DuckLake does not say which rows a statement has changed.
        found = "FROM call_recordings WHERE call_id IN (SELECT call_id FROM temp.concerned)"
        recordings = connection.execute(f"SELECT location {found} AND location IS NOT NULL").fetchall()
        delete_recordings([str(location) for (location,) in recordings])
        connection.execute(f"DELETE {found}")
        connection.execute(
            f"UPDATE {CALLS.name} SET {', '.join(f'{name} = NULL' for name in names)} "
            "WHERE call_id IN (SELECT call_id FROM temp.concerned)"
        )
        mentions = f"contains({digits_sql('record')}, $1)"
        rejects = connection.execute(f"SELECT day FROM {CALL_REJECTS.name} WHERE {mentions}", [digits]).fetchall()
        connection.execute(f"UPDATE {CALL_REJECTS.name} SET record = NULL WHERE {mentions}", [digits])
        known = read_forgotten(connection)
        salt = known.salt or secrets.token_hex(16)
        connection.execute(
            f"INSERT INTO {FORGOTTEN.name} SELECT {phone_hash_sql('$1', '$2')} AS phone_hash, $2, now() "
            f"WHERE phone_hash NOT IN (SELECT phone_hash FROM {FORGOTTEN.name})",
            [digits, salt],
        )
        rows = connection.execute("SELECT call_id, day FROM temp.concerned").fetchall()
        connection.execute("DROP TABLE temp.concerned")
        days = sorted({day for _, day in rows} | {day for (day,) in rejects})
        return Removal(len(rows), len(rejects), len(recordings), days)

    return write(connection, remove)


def _refuse_agents_number(connection: duckdb.DuckDBPyConnection, digits: str) -> None:
    row = connection.execute(
        f"SELECT count(*) FROM {CALLS.name} WHERE {digits_sql('agent_phone_number')} = $1", [digits]
    ).fetchone()
    if row and row[0]:
        raise SettingsError(
            f"that is an agent's own number, in {row[0]:,} calls; forgetting it would empty all of them. "
            "Give the number of the person"
        )


def _mentions(hash_key: str) -> str:
    """Whether the number stands in one of the personal fields."""
    tests = [
        f"{digits_sql(column.name)} = $digits" if column.phone else f"contains({column.name}::VARCHAR, $digits)"
        for column in PERSONAL_COLUMNS
    ]
    if hash_key:
        hashes = f"list_transform($spellings::VARCHAR[], lambda spelling: {hmac_sql('spelling', hash_key)})"
        tests += [f"list_contains({hashes}, {column.name})" for column in PERSONAL_COLUMNS if column.phone]
    return " OR ".join(f"coalesce({test}, false)" for test in tests)
