"""Export tables as Parquet, one file per day. Files are replaced atomically; readers never block writers."""

from __future__ import annotations

import datetime as dt
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb

from synthflow_assets.errors import WarehouseUnusableError
from synthflow_assets.files import replace_file
from synthflow_assets.warehouse.schema import TABLES

_ABANDONED_SECONDS = 3600.0
_MANY_DAYS = 30


def export_path(folder: Path, table: str, day: dt.date) -> Path:
    """Return the path of the export of a day of a table, whether it exists or not."""
    return folder / table / f"{day.isoformat()}.parquet"


def export_days(
    connection: duckdb.DuckDBPyConnection, table: str, days: Sequence[dt.date], folder: Path
) -> dict[dt.date, int]:
    """Export days of a table. Each file atomically replaces the earlier one.

    A day without rows becomes a file without rows, so that readers do not see deleted rows.

    Returns:
        The number of rows of each day.

    Raises:
        WarehouseUnusableError: the folder cannot be written.
    """
    relation = TABLES[table]
    query = f"FROM {relation.name} WHERE day = $day ORDER BY {', '.join(relation.grain)}"
    with _threads_for(connection, days):
        return {day: _export(connection, query, day, export_path(folder, table, day)) for day in days}


def export_again(
    connection: duckdb.DuckDBPyConnection, tables: Iterable[str], days: Sequence[dt.date], folder: Path
) -> int:
    """Rewrite the existing export files of these tables and days.

    Returns:
        The number of files that were rewritten.

    Raises:
        WarehouseUnusableError: the folder cannot be written.
    """
    exported = {table: [day for day in days if export_path(folder, table, day).exists()] for table in tables}
    return sum(len(export_days(connection, table, found, folder)) for table, found in exported.items())


def _export(connection: duckdb.DuckDBPyConnection, query: str, day: dt.date, path: Path) -> int:
    unfinished = _unfinished(path)
    target = str(unfinished).replace("'", "''")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection.execute(f"COPY ({query}) TO '{target}' (FORMAT parquet, COMPRESSION zstd)", {"day": day})
        rows = int((connection.fetchone() or (0,))[0])
        replace_file(unfinished, path)
    except (OSError, duckdb.IOException) as error:
        with suppress(OSError):
            unfinished.unlink()
        reason = getattr(error, "strerror", None) or "the folder is not writable"
        raise WarehouseUnusableError(f"cannot export to {path.parent}: {reason}. Check SYNTHFLOW_EXPORT_DIR") from None
    return rows


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


def remove_unfinished(folder: Path, table: str) -> None:
    """Remove the unfinished files that killed processes left. Hold the warehouse, so that no export is running."""
    for left in (folder / table).glob(".*.parquet.*"):
        left.unlink(missing_ok=True)


def _unfinished(path: Path) -> Path:
    """Return the path of a temporary file beside the target that `*.parquet` does not match.

    Removes the abandoned temporary files of the same day.
    """
    for left in path.parent.glob(f".{path.name}.*"):
        if time.time() - left.stat().st_mtime > _ABANDONED_SECONDS:
            left.unlink(missing_ok=True)
    return path.with_name(f".{path.name}.{os.getpid()}")
