"""Erase the personal data of one person, found by phone number, and keep later fetches from restoring it.

The calls stay with their times, durations and reasons, so that metrics still add up. Their personal columns are set to
NULL. The number itself is not stored: later fetches are compared with a salted hash of it.
"""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Callable
from dataclasses import dataclass

import duckdb

from synthflow_assets.errors import SettingsError
from synthflow_assets.warehouse.personal import (
    HASH_PATTERN,
    MIN_DIGITS,
    SuppressionList,
    digits_sql,
    hmac_sql,
    numbers_sql,
    phone_hash_sql,
)
from synthflow_assets.warehouse.schema import CALL_REJECTS, CALLS, FORGOTTEN, PERSONAL_COLUMNS
from synthflow_assets.warehouse.statements import write

_IN_RECORD = f"list_contains({numbers_sql('record')}, $digits)"


@dataclass(frozen=True)
class Erasure:
    """Counts of what was erased."""

    calls: int
    rejects: int
    exports: int  # files that were rewritten
    hashed: int  # if no call was found: calls with hashed numbers, maybe with another key


def read_suppression_list(connection: duckdb.DuckDBPyConnection) -> SuppressionList:
    """Return the people whose personal data must not be written again."""
    rows = connection.execute(f"SELECT salt, phone_hash FROM {FORGOTTEN.name} ORDER BY ALL").fetchall()
    return SuppressionList(rows[0][0], tuple(phone_hash for _, phone_hash in rows)) if rows else SuppressionList()


def count_phone(connection: duckdb.DuckDBPyConnection, phone: str, hash_key: str = "") -> tuple[int, int]:
    """Return how many calls and how many rejected records contain the number; changes nothing.

    Args:
        connection: to the warehouse.
        phone: the number with its country code; only its digits count.
        hash_key: the `SYNTHFLOW_PII_KEY` of hashed numbers, to find them.

    Raises:
        SettingsError: this is not the phone number of a person, or numbers are hashed and no key is set.
    """
    digits = _digits(connection, phone)
    _validate_erasure(connection, digits, hash_key)
    parameters = {"digits": digits}
    [[calls]] = connection.execute(f"SELECT count(*) FROM {_persons_calls(hash_key)}", parameters).fetchall()
    [[rejects]] = connection.execute(
        f"SELECT count(*) FROM {CALL_REJECTS.name} WHERE {_IN_RECORD}", parameters
    ).fetchall()
    return int(calls), int(rejects)


def forget_phone(
    connection: duckdb.DuckDBPyConnection,
    phone: str,
    hash_key: str = "",
    *,
    delete_recordings: Callable[[list[str], list[tuple[dt.date, str, str]]], object],
    export_again: Callable[[list[dt.date]], int],
) -> Erasure:
    """Set the personal columns to NULL in every call that contains the number, in any column.

    Both callbacks run before the commit. If one fails, nothing is committed, and the command can be repeated.

    Args:
        connection: to the warehouse.
        phone: the number with its country code; only its digits count.
        hash_key: the `SYNTHFLOW_PII_KEY` of hashed numbers, to find them.
        delete_recordings: deletes the recordings at these locations, and those of these calls, given by their day,
            agent and id.
        export_again: rewrites the existing exports of these days of `calls`; returns how many files.

    Returns:
        Counts of what was erased.

    Raises:
        SettingsError: this is not the phone number of a person, or numbers are hashed and no key is set.
    """
    digits = _digits(connection, phone)
    set_null = ", ".join(f"{column.name} = NULL" for column in PERSONAL_COLUMNS)
    parameters = {"digits": digits}

    def erase() -> Erasure:
        _validate_erasure(connection, digits, hash_key)
        connection.execute(
            "CREATE OR REPLACE TEMP TABLE persons_calls AS "
            f"SELECT day, model_id, call_id FROM {_persons_calls(hash_key)}",
            parameters,
        )
        # Rows are counted before they are changed, because DuckLake does not support RETURNING.
        found = "FROM call_recordings WHERE call_id IN (SELECT call_id FROM temp.persons_calls)"
        recordings = connection.execute(f"SELECT location {found} AND location IS NOT NULL").fetchall()
        calls = connection.execute("FROM temp.persons_calls").fetchall()
        delete_recordings([str(location) for (location,) in recordings], calls)
        # The row of an unfinished download stays, so that the file is found if a run is still writing it.
        connection.execute(f"DELETE {found} AND (location IS NULL OR sha256 IS NOT NULL)")
        connection.execute(
            f"UPDATE {CALLS.name} SET {set_null} WHERE call_id IN (SELECT call_id FROM temp.persons_calls)"
        )
        rejects = connection.execute(f"SELECT 1 FROM {CALL_REJECTS.name} WHERE {_IN_RECORD}", parameters).fetchall()
        connection.execute(f"UPDATE {CALL_REJECTS.name} SET record = NULL WHERE {_IN_RECORD}", parameters)
        salt = read_suppression_list(connection).salt or secrets.token_hex(16)
        connection.execute(
            f"INSERT INTO {FORGOTTEN.name} BY NAME "
            f"SELECT {phone_hash_sql('$1', '$2')} AS phone_hash, $2 AS salt, now() AS forgotten_at "
            f"WHERE phone_hash NOT IN (SELECT phone_hash FROM {FORGOTTEN.name})",
            [digits, salt],
        )
        connection.execute("DROP TABLE temp.persons_calls")
        exports = export_again(sorted({day for day, *_ in calls}))
        hashed_calls = 0 if calls else _count_hashed(connection)
        return Erasure(len(calls), len(rejects), exports, hashed_calls)

    return write(connection, erase)


def _digits(connection: duckdb.DuckDBPyConnection, phone: str) -> str:
    """Return the digits of a phone number, or raise if it is too short."""
    [[digits]] = connection.execute(f"SELECT {digits_sql('$1::VARCHAR')}", [phone]).fetchall()
    if len(digits) < MIN_DIGITS:
        raise SettingsError("this is not a phone number; give it with its country code, such as +14155550100")
    return str(digits)


def _validate_erasure(connection: duckdb.DuckDBPyConnection, digits: str, hash_key: str) -> None:
    if not hash_key and (hashed := _count_hashed(connection)):
        raise SettingsError(
            f"the numbers of {hashed:,} calls are hashed: set SYNTHFLOW_PII_KEY to the key of these hashes, "
            "to find this person's calls"
        )
    _validate_not_an_agents_number(connection, digits, hash_key)


def _validate_not_an_agents_number(connection: duckdb.DuckDBPyConnection, digits: str, hash_key: str) -> None:
    row = connection.execute(
        f"SELECT count(*) FROM {CALLS.name} WHERE {_is_number('agent_phone_number', hash_key)}", {"digits": digits}
    ).fetchone()
    if row and row[0]:
        raise SettingsError(
            f"this is an agent's own number, in {row[0]:,} calls; erasure would affect all of them. "
            "Give the number of the person"
        )


def _count_hashed(connection: duckdb.DuckDBPyConnection) -> int:
    """Return how many calls have hashed phone numbers."""
    phones = " OR ".join(
        f"regexp_full_match({column.name}, '{HASH_PATTERN}')" for column in PERSONAL_COLUMNS if column.phone
    )
    [[hashed]] = connection.execute(f"SELECT count(*) FROM {CALLS.name} WHERE {phones}").fetchall()
    return int(hashed)


def _persons_calls(hash_key: str) -> str:
    """Return SQL for the calls that contain `$digits`, with their columns and a text `record`."""
    return (
        f"(SELECT *, {_personal_text()} AS record FROM {CALLS.name}) WHERE {_in_phone_column(hash_key)} OR {_IN_RECORD}"
    )


def _in_phone_column(hash_key: str) -> str:
    """Return an SQL condition: one of the call's phone columns contains `$digits`."""
    return " OR ".join(_is_number(column.name, hash_key) for column in PERSONAL_COLUMNS if column.phone)


def _is_number(column: str, hash_key: str) -> str:
    """Return an SQL condition: the column is the number of `$digits`, plain or hashed."""
    hashed = f" OR {column} = {hmac_sql('$digits', hash_key)}" if hash_key else ""
    return f"coalesce({digits_sql(column)} = $digits{hashed}, false)"


def _personal_text() -> str:
    """Return SQL for all personal text of a call. The separator keeps numbers from running into the next column."""
    return f"concat_ws('|', {', '.join(f'{column.name}::VARCHAR' for column in PERSONAL_COLUMNS)})"
