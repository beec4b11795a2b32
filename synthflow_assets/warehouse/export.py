"""Export tables as Parquet, one file a day, into a folder or a bucket.

Files are replaced atomically; readers never block writers. In a folder, a new file is renamed. A bucket has no rename.
But an upload replaces its object as a whole when it is complete, so a day always has the same name.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from synthflow_assets.errors import BucketUnreachableError, WarehouseUnusableError
from synthflow_assets.files import file_time, replace_file
from synthflow_assets.warehouse.engines.base import new_connection
from synthflow_assets.warehouse.engines.buckets import describe_bucket_error, is_bucket, is_outage, open_bucket
from synthflow_assets.warehouse.engines.file import is_writable
from synthflow_assets.warehouse.metric_tables import METRIC_TABLES
from synthflow_assets.warehouse.schema import CALLS, EXPORTS, TABLES
from synthflow_assets.warehouse.statements import describe, execute_named, quoted, sql_file
from synthflow_assets.warehouse.tables import Table

_ABANDONED_SECONDS = 3600.0
_MANY_DAYS = 30
_PROBE = "_synthflow_probe.parquet"  # many readers skip names that begin with an underscore
_PROBE_TIMEOUT_SECONDS = 10
_SQL = "synthflow_assets.warehouse.sql"

EXPORTED_TABLES: tuple[Table, ...] = (CALLS, *METRIC_TABLES)


class Exported(NamedTuple):
    """The file of a day."""

    rows: int
    size_bytes: int


def export_path(folder: str | Path, table: str, day: dt.date) -> str:
    """Return the location of the export of a day of a table, whether it exists or not.

    In a bucket, the folders have the names of Hive partitions, by which warehouses find the column `day`.
    """
    if is_bucket(str(folder)):
        return f"{folder}/{table}/day={day.isoformat()}/{table}.parquet"
    return f"{folder}/{table}/{day.isoformat()}.parquet"


def export_days(
    connection: duckdb.DuckDBPyConnection, table: str, days: Sequence[dt.date], folder: str | Path
) -> dict[dt.date, Exported]:
    """Export days of a table. Each file atomically replaces the earlier one.

    A day without rows becomes a file without rows, so that readers do not see deleted rows.

    Args:
        connection: to the warehouse.
        table: its name.
        days: which days.
        folder: a folder, or `s3://bucket/prefix` or `gs://bucket/prefix`.

    Raises:
        WarehouseUnusableError: the folder or bucket cannot be written.
    """
    if not days:
        return {}
    relation = TABLES[table]
    order = ", ".join(relation.grain)
    # In a bucket, `day` is in the name of the folder: BigQuery and pandas refuse it in both.
    selected = "SELECT * EXCLUDE (day)" if is_bucket(str(folder)) else "SELECT *"
    query = f"{selected} FROM {relation.name} WHERE day = $day ORDER BY {order}"
    with _threads_for(connection, days), _bucket_errors(folder):
        if is_bucket(str(folder)):
            open_bucket(connection, str(folder))
            return {day: _copy(connection, query, day, export_path(folder, table, day)) for day in days}
        return {day: _export(connection, query, day, Path(export_path(folder, table, day))) for day in days}


class OutdatedExport(NamedTuple):
    """A day whose export is absent or older than its table."""

    table: str
    day: dt.date
    exists: bool


def rows_written(connection: duckdb.DuckDBPyConnection) -> dict[tuple[str, dt.date], dt.datetime]:
    """Return when the rows of each day of each exported table last changed, by table and day."""
    found = connection.execute(sql_file(_SQL, "rows_written.sql")).fetchall()
    return {(table, day): written_at for table, day, written_at in found}


def record_exports(
    connection: duckdb.DuckDBPyConnection,
    folder: str | Path,
    exported: Mapping[tuple[str, dt.date], dt.datetime | None],
) -> None:
    """Record from which rows days were exported, so that `outdated_exports` finds them once the rows change.

    Args:
        connection: to the warehouse, in a transaction.
        folder: of the exports.
        exported: when the rows had last changed before they were exported, by table and day.
    """
    parameters = {
        "folder": _folder_name(folder),
        "table_names": [table for table, _ in exported],
        "days": [day for _, day in exported],
        "written_at": list(exported.values()),
        "now": dt.datetime.now(dt.UTC),
    }
    written = "SELECT unnest($table_names::VARCHAR[]) AS table_name, unnest($days::DATE[]) AS day"
    same = f"folder = $folder AND (table_name, day) IN (SELECT (table_name, day) FROM ({written}))"
    execute_named(connection, f"DELETE FROM {EXPORTS.name} WHERE {same}", parameters)
    written += ", unnest($written_at::TIMESTAMPTZ[]) AS written_at"
    rows = f"SELECT $folder AS folder, *, $now AS exported_at FROM ({written})"
    execute_named(connection, f"INSERT INTO {EXPORTS.name} BY NAME {rows}", parameters)


def outdate_exports(connection: duckdb.DuckDBPyConnection) -> None:
    """Count all recorded exports as outdated, because the tables were replaced by those of a backup."""
    connection.execute(f"UPDATE {EXPORTS.name} SET written_at = NULL")


def recorded_exports(connection: duckdb.DuckDBPyConnection, folder: str | Path) -> list[ExistingExport]:
    """Return the exports that were recorded, which need not exist any more."""
    query = f"SELECT table_name, day, NULL FROM {EXPORTS.name} WHERE folder = $1"
    return [ExistingExport(*row) for row in connection.execute(query, [_folder_name(folder)]).fetchall()]


def outdated_exports(
    connection: duckdb.DuckDBPyConnection, folder: str | Path, existing: Sequence[ExistingExport]
) -> list[OutdatedExport]:
    """Return the exports that do not exist, or are older than their table, by table and day.

    Args:
        connection: to the warehouse.
        folder: of the exports.
        existing: the exports that exist.
    """
    query = f"SELECT table_name, day, coalesce(exists_at_all, false) FROM ({outdated_exports_sql()}) ORDER BY ALL"
    found = execute_named(connection, query, export_parameters(folder, existing))
    return [OutdatedExport(*row) for row in found.fetchall()]


def outdated_exports_sql() -> str:
    """Return a query for `table_name`, `day`, `written_at` and `exists_at_all` of outdated exports."""
    return sql_file(_SQL, "outdated_exports.sql", "rows_written")


def export_parameters(folder: str | Path, existing: Sequence[ExistingExport]) -> dict[str, Any]:
    """Return the parameters of `outdated_exports_sql`."""
    return {
        "export_folder": _folder_name(folder),
        "exported_names": [one.table for one in existing],
        "exported_days": [one.day for one in existing],
        "exported_at": [one.written_at for one in existing],
    }


def _folder_name(folder: str | Path) -> str:
    return str(folder) if is_bucket(str(folder)) else str(Path(folder).absolute())


class ExistingExport(NamedTuple):
    """A file that exists. The time is None in a bucket, where it would take a request for each file."""

    table: str
    day: dt.date
    written_at: dt.datetime | None


def existing_exports(
    connection: duckdb.DuckDBPyConnection, folder: str | Path, days: Collection[dt.date] | None = None
) -> list[ExistingExport]:
    """Return the exports that exist.

    Args:
        connection: to the warehouse; it reads a bucket.
        folder: of the exports.
        days: which days to look at; None for all.

    Raises:
        WarehouseUnusableError: the bucket cannot be listed.
    """
    found = []
    for table in EXPORTED_TABLES:
        for file in _files(connection, folder, table.name):
            day = re.search(r"(\d{4}-\d\d-\d\d)(\.parquet$|/)", file)
            if day and (days is None or dt.date.fromisoformat(day[1]) in days):
                written_at = None if is_bucket(str(folder)) else file_time(Path(file))
                found.append(ExistingExport(table.name, dt.date.fromisoformat(day[1]), written_at))
    return found


def export_again(
    connection: duckdb.DuckDBPyConnection, tables: Iterable[str], days: Sequence[dt.date], folder: str | Path
) -> int:
    """Rewrite the existing export files of these tables and days, inside the caller's transaction.

    Returns:
        The number of files that were rewritten.

    Raises:
        WarehouseUnusableError: the folder or bucket cannot be written.
    """
    exported = {table: _exported_days(connection, table, days, folder) for table in tables}
    written = rows_written(connection)
    count = sum(len(export_days(connection, table, found, folder)) for table, found in exported.items())
    record_exports(
        connection,
        folder,
        {(table, day): written.get((table, day)) for table, found in exported.items() for day in found},
    )
    return count


def examine_export_folder(folder: str) -> None:
    """Raise if exports cannot be listed or written.

    Raises:
        BucketUnreachableError: the server of the bucket does not work at the moment.
        WarehouseUnusableError: the folder or bucket does not exist, or its permissions do not suffice.
    """
    if is_bucket(folder):
        with new_connection() as connection, _bucket_errors(folder):
            open_bucket(connection, folder)
            connection.execute(f"SELECT file FROM glob({quoted(f'{folder}/*.parquet')})")
    validate_writable(folder)


def validate_writable(folder: str) -> None:
    """Raise if exports cannot be written. In a bucket, this writes one small object, always the same.

    The object stays, so that the keys need no permission to delete. Readers of the tables do not see it.

    Raises:
        BucketUnreachableError: the server of the bucket does not work at the moment.
        WarehouseUnusableError: the folder or bucket does not exist, or may not be written.
    """
    if is_bucket(folder):
        with new_connection() as connection, _bucket_errors(folder):
            open_bucket(connection, folder)
            connection.execute(f"SET http_timeout = {_PROBE_TIMEOUT_SECONDS}; SET http_retries = 1")
            connection.execute(f"COPY (SELECT 1 AS probe) TO {quoted(f'{folder}/{_PROBE}')} (FORMAT parquet)")
    elif not is_writable(Path(folder, "calls")):
        raise WarehouseUnusableError(f"cannot export to {folder}: it is not writable. Check SYNTHFLOW_EXPORT_DIR")


def _exported_days(
    connection: duckdb.DuckDBPyConnection, table: str, days: Sequence[dt.date], folder: str | Path
) -> list[dt.date]:
    if not days:
        return []
    if not is_bucket(str(folder)):
        return [day for day in days if Path(export_path(folder, table, day)).exists()]
    found = set(_files(connection, folder, table))
    return [day for day in days if export_path(folder, table, day) in found]


def _files(connection: duckdb.DuckDBPyConnection, folder: str | Path, table: str) -> list[str]:
    """Return the locations of all exports of a table."""
    if not is_bucket(str(folder)):
        return [str(path) for path in Path(folder, table).glob("????-??-??.parquet")]
    with _bucket_errors(folder):
        open_bucket(connection, str(folder))
        pattern = quoted(f"{folder}/{table}/day=*/{table}.parquet")
        return [file for (file,) in connection.execute(f"SELECT file FROM glob({pattern})").fetchall()]


def _export(connection: duckdb.DuckDBPyConnection, query: str, day: dt.date, path: Path) -> Exported:
    unfinished = _unfinished(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        exported = _copy(connection, query, day, str(unfinished))
        replace_file(unfinished, path)
    except (OSError, duckdb.IOException) as error:
        with suppress(OSError):
            unfinished.unlink()
        reason = describe(error) if isinstance(error, duckdb.Error) else error.strerror
        raise WarehouseUnusableError(f"cannot export to {path.parent}: {reason}. Check SYNTHFLOW_EXPORT_DIR") from None
    return exported


def _copy(connection: duckdb.DuckDBPyConnection, query: str, day: dt.date, location: str) -> Exported:
    copy = f"COPY ({query}) TO {quoted(location)} (FORMAT parquet, COMPRESSION zstd, RETURN_STATS)"
    [(_, rows, size_bytes, *_)] = connection.execute(copy, {"day": day}).fetchall()
    return Exported(int(rows), int(size_bytes))


@contextmanager
def _bucket_errors(folder: str | Path) -> Iterator[None]:
    """Explain errors of a bucket in one line; errors of a folder are explained elsewhere."""
    try:
        yield
    except duckdb.Error as error:
        is_of_bucket = isinstance(error, duckdb.IOException | duckdb.HTTPException) or type(error) is duckdb.Error
        if not is_bucket(str(folder)) or not is_of_bucket:
            raise
        kind = BucketUnreachableError if is_outage(error) else WarehouseUnusableError
        raise kind(f"cannot export to {folder}: {describe_bucket_error(error)}. Check SYNTHFLOW_EXPORT_DIR") from None


@contextmanager
def _threads_for(connection: duckdb.DuckDBPyConnection, days: Sequence[dt.date]) -> Iterator[None]:
    """Use one thread if there are many days: splitting a small day over threads takes twice the time."""
    if len(days) < _MANY_DAYS:
        yield
        return
    connection.execute("SET threads = 1")
    try:
        yield
    finally:
        connection.execute("RESET threads")


def remove_unfinished(folder: str | Path, table: str) -> None:
    """Remove the unfinished files that killed processes left. Hold the warehouse, so that no export is running.

    In a bucket, an upload that is not completed leaves no object.
    """
    if is_bucket(str(folder)):
        return
    for left in Path(folder, table).glob(".*.parquet.*"):
        left.unlink(missing_ok=True)


def _unfinished(path: Path) -> Path:
    """Return the path of a temporary file beside the target that `*.parquet` does not match.

    Removes the abandoned temporary files of the same day.
    """
    for left in path.parent.glob(f".{path.name}.*"):
        if time.time() - left.stat().st_mtime > _ABANDONED_SECONDS:
            left.unlink(missing_ok=True)
    return path.with_name(f".{path.name}.{os.getpid()}")
