"""Removes one person's data, known by phone number, and keeps it from coming back with a later fetch.

The calls stay, with times, durations and reasons, so that metrics still add up; every personal field of them is
emptied. The number itself is kept nowhere: a salted hash is what later fetches are held against.
"""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Callable
from dataclasses import dataclass

import duckdb

from synthflow_assets.errors import SettingsError
from synthflow_assets.warehouse.personal import (
    FEWEST_DIGITS,
    HASH_PATTERN,
    SuppressionList,
    digits_sql,
    hmac_sql,
    numbers_sql,
    phone_hash_sql,
)
from synthflow_assets.warehouse.schema import CALL_REJECTS, CALLS, FORGOTTEN, PERSONAL_COLUMNS
from synthflow_assets.warehouse.statements import write


@dataclass(frozen=True)
class Removal:
    """What was removed of one person."""

    calls: int
    rejects: int
    recordings: int
    exports: int  # files that were written anew
    hashed: int  # calls whose numbers are hashed, where none was found: maybe with another key


def read_forgotten(connection: duckdb.DuckDBPyConnection) -> SuppressionList:
    """Whose personal data is not to be written again."""
    rows = connection.execute(f"SELECT salt, phone_hash FROM {FORGOTTEN.name} ORDER BY ALL").fetchall()
    return SuppressionList(rows[0][0], tuple(phone_hash for _, phone_hash in rows)) if rows else SuppressionList()


def forget_phone(
    connection: duckdb.DuckDBPyConnection,
    phone: str,
    hash_key: str = "",
    *,
    delete_recordings: Callable[[list[str]], None],
    export_again: Callable[[list[dt.date]], int],
) -> Removal:
    """Empty the personal fields of every call in which the number occurs, in whatever field.

    Args:
        connection: to the warehouse.
        phone: the number with its country code; what is not a digit does not matter.
        hash_key: where personal data was hashed, so that its hashes are found.
        delete_recordings: deletes the files at these locations.
        export_again: exports these days of `calls` again, where they were exported; says how many it were. Both are
            called before anything is committed, so that after a failure the rows still tell what is to be done.

    Raises:
        SettingsError: that is not the number of a person, or numbers are hashed and the key of the hash is not set.
    """
    digits = _digits(connection, phone)
    is_theirs, emptied = _is_theirs(hash_key), ", ".join(f"{column.name} = NULL" for column in PERSONAL_COLUMNS)
    in_record = f"list_contains({numbers_sql('record')}, $digits)"
    number = {"digits": digits}

    def remove() -> Removal:
        if not hash_key and (hashed := _count_hashed(connection)):
            raise SettingsError(
                f"the numbers of {hashed:,} calls are hashed: set SYNTHFLOW_PII_KEY to the key they were hashed with, "
                "so that this person's are found"
            )
        _refuse_agents_number(connection, digits, hash_key)
        connection.execute(
            "CREATE OR REPLACE TEMP TABLE concerned AS "
            f"SELECT call_id, day FROM (SELECT *, {_all_texts()} AS record FROM {CALLS.name}) "
            f"WHERE {is_theirs} OR {in_record}",
            number,
        )
        # Looked up before they are changed: DuckLake does not say which rows a statement has changed.
        found = "FROM call_recordings WHERE call_id IN (SELECT call_id FROM temp.concerned)"
        recordings = connection.execute(f"SELECT location {found} AND location IS NOT NULL").fetchall()
        delete_recordings([str(location) for (location,) in recordings])
        connection.execute(f"DELETE {found}")
        connection.execute(f"UPDATE {CALLS.name} SET {emptied} WHERE call_id IN (SELECT call_id FROM temp.concerned)")
        rejects = connection.execute(f"SELECT 1 FROM {CALL_REJECTS.name} WHERE {in_record}", number).fetchall()
        connection.execute(f"UPDATE {CALL_REJECTS.name} SET record = NULL WHERE {in_record}", number)
        salt = read_forgotten(connection).salt or secrets.token_hex(16)
        connection.execute(
            f"INSERT INTO {FORGOTTEN.name} SELECT {phone_hash_sql('$1', '$2')} AS phone_hash, $2, now() "
            f"WHERE phone_hash NOT IN (SELECT phone_hash FROM {FORGOTTEN.name})",
            [digits, salt],
        )
        rows = connection.execute("SELECT day FROM temp.concerned").fetchall()
        connection.execute("DROP TABLE temp.concerned")
        exports = export_again(sorted({day for (day,) in rows}))
        hashed_otherwise = 0 if rows else _count_hashed(connection)
        return Removal(len(rows), len(rejects), len(recordings), exports, hashed_otherwise)

    return write(connection, remove)


def _digits(connection: duckdb.DuckDBPyConnection, phone: str) -> str:
    [[digits]] = connection.execute(f"SELECT {digits_sql('$1::VARCHAR')}", [phone]).fetchall()
    if len(digits) < FEWEST_DIGITS:
        raise SettingsError("that is no phone number: give it with its country code, such as +14155550100")
    return str(digits)


def _refuse_agents_number(connection: duckdb.DuckDBPyConnection, digits: str, hash_key: str) -> None:
    row = connection.execute(
        f"SELECT count(*) FROM {CALLS.name} WHERE {_is_number('agent_phone_number', hash_key)}", {"digits": digits}
    ).fetchone()
    if row and row[0]:
        raise SettingsError(
            f"that is an agent's own number, in {row[0]:,} calls; forgetting it would empty all of them. "
            "Give the number of the person"
        )


def _count_hashed(connection: duckdb.DuckDBPyConnection) -> int:
    """How many calls have hashed numbers."""
    phones = " OR ".join(
        f"regexp_full_match({column.name}, '{HASH_PATTERN}')" for column in PERSONAL_COLUMNS if column.phone
    )
    [[hashed]] = connection.execute(f"SELECT count(*) FROM {CALLS.name} WHERE {phones}").fetchall()
    return int(hashed)


def _is_theirs(hash_key: str) -> str:
    """Whether one of the phone numbers of a call is the one."""
    return " OR ".join(_is_number(column.name, hash_key) for column in PERSONAL_COLUMNS if column.phone)


def _is_number(column: str, hash_key: str) -> str:
    hashed = f" OR {column} = {hmac_sql('$digits', hash_key)}" if hash_key else ""
    return f"coalesce({digits_sql(column)} = $digits{hashed}, false)"


def _all_texts() -> str:
    """All that is personal of a call; a number does not run on from one field into the next."""
    return f"concat_ws('|', {', '.join(f'{column.name}::VARCHAR' for column in PERSONAL_COLUMNS)})"
