"""Erase the personal data of one person, found by phone number, and keep later fetches from restoring it.

The calls stay with their times, durations and reasons, so that metrics still add up. Their personal columns are set to
NULL. The number itself is not stored: later fetches are compared with a salted hash of it.
"""

from __future__ import annotations

import datetime as dt
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import duckdb

from synthflow_assets.errors import SettingsError, WarehouseUnusableError
from synthflow_assets.files import replace_file
from synthflow_assets.warehouse.personal import (
    HASH_PATTERN,
    MAX_DIGITS,
    MIN_DIGITS,
    SuppressionList,
    digits_sql,
    hmac_sql,
    numbers_sql,
    phone_hash_sql,
)
from synthflow_assets.warehouse.schema import CALL_REJECTS, CALLS, FORGOTTEN, PERSONAL_COLUMNS
from synthflow_assets.warehouse.statements import describe, quoted, transaction, write

_IN_RECORD = f"list_contains({numbers_sql('record')}, $digits)"


@dataclass(frozen=True)
class Erasure:
    """Counts of what was erased."""

    calls: int
    rejects: int
    exports: int  # files that were rewritten
    hashed: int  # if no call was found: calls with hashed numbers, maybe with another key


class PersonalFiles(Protocol):
    """The files with personal data, besides the tables."""

    def delete_recordings(self, locations: list[str], calls: list[tuple[dt.date, str, str]]) -> None:
        """Delete the recordings at these locations, and those of these calls, given by their day, agent and id."""

    def refresh(self, connection: duckdb.DuckDBPyConnection, days: list[dt.date]) -> int:
        """Compute the metrics of personal columns again, rewrite the existing exports, and return how many."""


def read_suppression_list(connection: duckdb.DuckDBPyConnection) -> SuppressionList:
    """Return the people whose personal data must not be written again."""
    rows = connection.execute(f"SELECT salt, phone_hash FROM {FORGOTTEN.name} ORDER BY ALL").fetchall()
    return SuppressionList(tuple((salt, phone_hash) for salt, phone_hash in rows))


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
    connection: duckdb.DuckDBPyConnection, phone: str, hash_key: str = "", *, files: PersonalFiles
) -> Erasure:
    """Set the personal columns to NULL in every call that contains the number, in any column.

    The person's files are treated before the commit. If that fails, nothing is committed, and the command can be
    repeated.

    Args:
        connection: to the warehouse.
        phone: the number with its country code; only its digits count.
        hash_key: the `SYNTHFLOW_PII_KEY` of hashed numbers, to find them.
        files: deletes recordings and rewrites exports.

    Returns:
        Counts of what was erased.

    Raises:
        SettingsError: this is not the phone number of a person, or numbers are hashed and no key is set.
    """
    digits = _digits(connection, phone)
    parameters = {"digits": digits}

    def erase() -> Erasure:
        _validate_erasure(connection, digits, hash_key)
        erasure = _erase(connection, _persons_calls(hash_key), _IN_RECORD, parameters, files)
        salt = read_suppression_list(connection).salt or secrets.token_hex(16)
        _add_to_suppression_list(connection, digits, salt)
        if hash_key:
            # A backup with hashed numbers has no digits, so the person is found there by the hash.
            [[hashed]] = connection.execute(f"SELECT {hmac_sql('$1::VARCHAR', hash_key)}", [digits]).fetchall()
            _add_to_suppression_list(connection, hashed, salt)
        return erasure

    return write(connection, erase)


def erase_suppressed(connection: duckdb.DuckDBPyConnection, files: PersonalFiles) -> Erasure:
    """Erase everybody on the suppression list from calls and rejected records, for example after a restore.

    It runs in the caller's transaction.

    Args:
        connection: its default schema is the one of the tables.
        files: deletes recordings and rewrites exports.

    Returns:
        Counts of what was erased.
    """
    suppressed = read_suppression_list(connection)
    calls = f"(SELECT *, {_personal_text()} AS record FROM {CALLS.name}) WHERE {suppressed.stored_sql()}"
    return _erase(connection, calls, suppressed.listed_sql(numbers_sql("record")), {}, files)


def merge_suppression_list(connection: duckdb.DuckDBPyConnection, source: str) -> None:
    """Add the entries of another suppression list. No entry is removed, because an erasure is permanent.

    Args:
        connection: its default schema is the one of the tables.
        source: a relation, as SQL, with the columns `phone_hash`, `salt` and `forgotten_at`.
    """
    connection.execute(
        f"INSERT INTO {FORGOTTEN.name} BY NAME SELECT phone_hash, salt, forgotten_at FROM {source} "
        f"WHERE phone_hash NOT IN (SELECT phone_hash FROM {FORGOTTEN.name})"
    )


def save_suppression_list(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Write a copy of the suppression list to a file, so that it survives the loss of the warehouse.

    Raises:
        WarehouseUnusableError: the file cannot be written.
    """
    unfinished = path.with_name(f"{path.name}.unfinished")
    try:
        entries = f"SELECT phone_hash, salt, forgotten_at FROM {FORGOTTEN.name}"
        connection.execute(f"COPY ({entries}) TO {quoted(str(unfinished))} (FORMAT csv)")
        replace_file(unfinished, path)
    except (OSError, duckdb.IOException) as error:
        reason = describe(error) if isinstance(error, duckdb.Error) else error.strerror
        raise WarehouseUnusableError(f"the copy of the suppression list, {path}, cannot be written: {reason}") from None
    finally:
        unfinished.unlink(missing_ok=True)


def load_suppression_list(connection: duckdb.DuckDBPyConnection, path: Path) -> bool:
    """Add the entries of a copy of the suppression list, if there is one.

    Returns:
        Whether there were new ones.

    Raises:
        WarehouseUnusableError: the file cannot be read.
    """
    if not path.exists():
        return False
    before = read_suppression_list(connection)
    columns = {"phone_hash": "VARCHAR", "salt": "VARCHAR", "forgotten_at": "TIMESTAMPTZ"}
    # DuckDB takes a path for a pattern: in a folder called `a*`, the list of `ab` would be read too.
    pattern = re.sub(r"[*?\[]", r"[\g<0>]", str(path))
    try:
        with transaction(connection):
            merge_suppression_list(connection, f"read_csv({quoted(pattern)}, header = true, columns = {columns})")
    except duckdb.Error:
        raise WarehouseUnusableError(
            f"the copy of the suppression list, {path}, cannot be read. It lists the people who must stay "
            "erased: repair it, or remove it to give up the list"
        ) from None
    return read_suppression_list(connection) != before


def unfinished_erasures(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Return the entries of people who are erased from the tables, but whose old bytes may still be in the storage."""
    rows = connection.execute(f"SELECT phone_hash FROM {FORGOTTEN.name} WHERE rewritten_at IS NULL").fetchall()
    return [phone_hash for (phone_hash,) in rows]


def mark_rewritten(connection: duckdb.DuckDBPyConnection, phone_hashes: list[str] | None) -> None:
    """Save that the storage was rewritten since these people were erased; None means that it is still to be done."""
    if phone_hashes is None:
        connection.execute(f"UPDATE {FORGOTTEN.name} SET rewritten_at = NULL")
        return
    connection.execute(
        f"UPDATE {FORGOTTEN.name} SET rewritten_at = now() WHERE list_contains($1::VARCHAR[], phone_hash)",
        [phone_hashes],
    )


def _erase(
    connection: duckdb.DuckDBPyConnection,
    persons_calls: str,
    is_persons_reject: str,
    parameters: dict[str, str],
    files: PersonalFiles,
) -> Erasure:
    """Empty calls and rejected records.

    Args:
        connection: its default schema is the one of the tables.
        persons_calls: SQL for the calls, after FROM.
        is_persons_reject: an SQL condition on rejected records.
        parameters: of both.
        files: deletes recordings and rewrites exports.
    """
    set_null = ", ".join(f"{column.name} = NULL" for column in PERSONAL_COLUMNS)
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE persons_calls AS SELECT day, model_id, call_id FROM {persons_calls}", parameters
    )
    # Rows are counted before they are changed, because DuckLake does not support RETURNING.
    found = "FROM call_recordings WHERE call_id IN (SELECT call_id FROM temp.persons_calls)"
    recordings = connection.execute(f"SELECT location {found} AND location IS NOT NULL").fetchall()
    calls = connection.execute("FROM temp.persons_calls").fetchall()
    files.delete_recordings([str(location) for (location,) in recordings], calls)
    # The row of an unfinished download stays, so that the file is found if a run is still writing it.
    connection.execute(f"DELETE {found} AND (location IS NULL OR sha256 IS NOT NULL)")
    connection.execute(f"UPDATE {CALLS.name} SET {set_null} WHERE call_id IN (SELECT call_id FROM temp.persons_calls)")
    rejects = connection.execute(f"SELECT 1 FROM {CALL_REJECTS.name} WHERE {is_persons_reject}", parameters).fetchall()
    connection.execute(f"UPDATE {CALL_REJECTS.name} SET record = NULL WHERE {is_persons_reject}", parameters)
    connection.execute("DROP TABLE temp.persons_calls")
    exports = files.refresh(connection, sorted({day for day, *_ in calls}))
    return Erasure(len(calls), len(rejects), exports, 0 if calls else _count_hashed(connection))


def _add_to_suppression_list(connection: duckdb.DuckDBPyConnection, number: str, salt: str) -> None:
    [[phone_hash]] = connection.execute(f"SELECT {phone_hash_sql('$1', '$2')}", [number, salt]).fetchall()
    connection.execute(f"DELETE FROM {FORGOTTEN.name} WHERE phone_hash = $1", [phone_hash])
    connection.execute(
        f"INSERT INTO {FORGOTTEN.name} BY NAME SELECT $1 AS phone_hash, $2 AS salt, now() AS forgotten_at",
        [phone_hash, salt],
    )


def _digits(connection: duckdb.DuckDBPyConnection, phone: str) -> str:
    """Return the digits of a phone number, or raise if it is too short or too long."""
    storable = phone.encode(errors="replace").decode()  # an argument of a command may hold any bytes
    [[digits]] = connection.execute(f"SELECT {digits_sql('$1::VARCHAR')}", [storable]).fetchall()
    if not MIN_DIGITS <= len(digits) <= MAX_DIGITS:
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
