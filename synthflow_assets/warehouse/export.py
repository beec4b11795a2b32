"""Export tables as Parquet, one file a day, into a folder or a bucket.

Files are replaced atomically; readers never block writers. In a folder, a new file is renamed. A bucket has no rename,
but an upload replaces its object as a whole when it is complete, so a day always has the same name.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import duckdb

from synthflow_assets.errors import WarehouseUnusableError
from synthflow_assets.files import file_time, replace_file
from synthflow_assets.warehouse.engines.base import new_connection
from synthflow_assets.warehouse.engines.buckets import describe_bucket_error, is_bucket, open_bucket
from synthflow_assets.warehouse.engines.file import is_writable
from synthflow_assets.warehouse.metric_tables import METRIC_TABLES
from synthflow_assets.warehouse.schema import CALLS, TABLES
from synthflow_assets.warehouse.statements import quoted
from synthflow_assets.warehouse.tables import Table

_ABANDONED_SECONDS = 3600.0
_MANY_DAYS = 30

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
    """Rewrite the existing export files of these tables and days.

    Returns:
        The number of files that were rewritten.

    Raises:
        WarehouseUnusableError: the folder or bucket cannot be written.
    """
    exported = {table: _exported_days(connection, table, days, folder) for table in tables}
    return sum(len(export_days(connection, table, found, folder)) for table, found in exported.items())


def examine_export_folder(folder: str) -> None:
    """Raise if exports cannot be listed, or the folder cannot be written. Writes nothing.

    Raises:
        WarehouseUnusableError: the folder is not writable, or the bucket cannot be listed.
    """
    if is_bucket(folder):
        with new_connection() as connection, _bucket_errors(folder):
            open_bucket(connection, folder)
            connection.execute(f"SELECT file FROM glob({quoted(f'{folder}/*.parquet')})")
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
        reason = getattr(error, "strerror", None) or "the folder is not writable"
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
        raise WarehouseUnusableError(
            f"cannot export to {folder}: {describe_bucket_error(error)}. Check SYNTHFLOW_EXPORT_DIR"
        ) from None


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
