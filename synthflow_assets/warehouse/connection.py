"""Opens the warehouse: waits for its lock, makes its tables, gives it back whatever happens."""

from __future__ import annotations

import datetime as dt
import random
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

import duckdb

from synthflow_assets.errors import WarehouseLockedError, WarehouseUnusableError
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.frames import with_dtypes
from synthflow_assets.warehouse.migration import bring_up_to_date
from synthflow_assets.warehouse.schema import SCHEMA, TABLES, Table
from synthflow_assets.warehouse.statements import describe

if TYPE_CHECKING:
    import pandas as pd

LOCK_WAIT_SECONDS = 300.0
# Calls are long rows, and DuckDB holds a row group in memory until it is full: its default of 122,880 rows took twice
# the memory and no less time. Smaller groups also let a question about some days pass over the others.
_NEW_FILE = "ROW_GROUP_SIZE 20480"
_LONGEST_NAP_SECONDS = 1.0  # waiting longer between tries loses more time than it saves


class Warehouse:
    """The tables of one workspace: a schema of a DuckDB file.

    DuckDB lets one process write at a time, so connections are for as short as can be: open late, close at once.
    """

    def __init__(
        self,
        location: str,
        schema: str = SCHEMA,
        *,
        lock_wait_seconds: float = LOCK_WAIT_SECONDS,
        on_wait: Callable[[str], None] | None = None,
    ) -> None:
        if location.startswith(("md:", "ducklake:", "motherduck:")):
            raise WarehouseUnusableError(
                f"SYNTHFLOW_WAREHOUSE={location.split(':', maxsplit=1)[0]}:... is not supported by this version; "
                "set the path of a DuckDB file"
            )
        self.location = location
        self.schema = schema
        self._lock_wait_seconds = lock_wait_seconds
        self._on_wait = on_wait or _say_nothing

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The warehouse that the settings describe.

        Raises:
            WarehouseUnusableError: this version cannot use such a place.
        """
        return cls(settings.warehouse, settings.warehouse_schema)

    @contextmanager
    def connect(self, *, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection, closed at the end of the block whatever happens. Its default schema is the workspace's.

        Args:
            read_only: take the shared lock, under which other readers can work. The file must exist.

        Raises:
            WarehouseLockedError: another process held the file for longer than the limit.
            WarehouseUnusableError: the file cannot be opened, made or written.
        """
        connection = self._open(read_only)
        try:
            connection.execute("SET TimeZone = 'UTC'")
            bring_up_to_date(connection, self.location, self.schema, may_write=not read_only)
            yield connection
        except duckdb.CatalogException:
            raise WarehouseUnusableError(
                f"{self.location} lacks tables that this version reads in schema {self.schema}; "
                f"materialize {self.schema}/calls, which makes them"
            ) from None
        except duckdb.Error as error:
            raise WarehouseUnusableError(f"the warehouse {self.location} failed: {describe(error)}") from None
        finally:
            connection.close()

    def exists(self) -> bool:
        """Whether there is a file yet."""
        return Path(self.location).exists()

    def can_be_made(self) -> bool:
        """Whether the file, which does not exist yet, could be made; nothing is left behind."""
        folder = Path(self.location).absolute().parent
        while not folder.exists():
            folder = folder.parent
        try:
            tempfile.TemporaryFile(dir=folder).close()
        except OSError:
            return False
        return True

    def read_frame(self, table: str, from_day: dt.date | None = None, to_day: dt.date | None = None) -> pd.DataFrame:
        """A table, or the days of it from `from_day` to `to_day` inclusive, as a pandas frame.

        The dtypes are those of `synthflow_assets.warehouse.frames`; the rows are in the order of the table's grain.

        Raises:
            KeyError: no such table.
            WarehouseError: the warehouse cannot be read.
        """
        query, days = days_query(TABLES[table], from_day, to_day)
        with self.connect(read_only=True) as connection:
            return with_dtypes(connection.execute(query, days).df(), TABLES[table].columns)

    def compact(self) -> None:
        """Write the file anew, without the bytes of rows that were deleted or changed.

        Raises:
            WarehouseError: the file cannot be opened, or its folder cannot be written.
        """
        fresh = Path(f"{self.location}.compacting")
        fresh.unlink(missing_ok=True)
        with self.connect() as connection:
            try:
                place = str(fresh).replace("'", "''")
                connection.execute(f"ATTACH '{place}' AS fresh ({_NEW_FILE})")
                connection.execute("COPY FROM DATABASE warehouse TO fresh")
                connection.execute("DETACH fresh")
                connection.execute("CHECKPOINT warehouse")
                # While the lock on the old file is still held: who waits for it opens the new one.
                fresh.replace(self.location)
            except duckdb.Error as error:
                raise WarehouseUnusableError(_unusable(self.location, error)) from None
            finally:
                fresh.unlink(missing_ok=True)

    def attach(self, connection: duckdb.DuckDBPyConnection, name: str, *, read_only: bool) -> None:
        """Attach the file to a connection under a name, waiting for its lock.

        Raises:
            WarehouseLockedError: another process held the file for longer than the limit.
            WarehouseUnusableError: the file cannot be opened or made.
        """
        place = self.location.replace("'", "''")
        deadline = time.monotonic() + self._lock_wait_seconds
        nap = 0.02
        waited = False
        while True:
            try:
                connection.execute(f"ATTACH '{place}' AS {name} ({'READ_ONLY' if read_only else _NEW_FILE})")
            except duckdb.Error as error:
                holder = _lock_holder(error)
                if holder is None:
                    raise WarehouseUnusableError(_unusable(self.location, error)) from None
            else:
                return
            if time.monotonic() + nap > deadline:
                raise WarehouseLockedError(
                    f"{self.location} is held by {holder} for more than {self._lock_wait_seconds:.0f} s. "
                    "Close that program, or open the file read-only there; then run again"
                )
            if not waited:
                self._on_wait(f"{self.location} is held by {holder}; waiting")
                waited = True
            time.sleep(nap * random.uniform(0.5, 1.5))
            nap = min(_LONGEST_NAP_SECONDS, nap * 2)

    def _open(self, read_only: bool) -> duckdb.DuckDBPyConnection:
        if not read_only:
            self._make_folder()
        # Attached under a name of its own: opened directly, `synthflow.duckdb` would be a catalog named like the
        # schema, and DuckDB refuses `synthflow.calls` as ambiguous.
        connection = duckdb.connect(":memory:")
        try:
            self.attach(connection, "warehouse", read_only=read_only)
            connection.execute("USE warehouse")
            # Beside the file, where DuckDB itself would put it: what does not fit into memory.
            place = self.location.replace("'", "''")
            connection.execute(f"SET temp_directory = '{place}.tmp'")
        except BaseException:
            connection.close()
            raise
        return connection

    def _make_folder(self) -> None:
        try:
            Path(self.location).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WarehouseUnusableError(
                f"SYNTHFLOW_WAREHOUSE={self.location}: its folder cannot be made ({error.strerror}); set another path"
            ) from None


def days_query(
    table: Table, from_day: dt.date | None, to_day: dt.date | None, first: str | None = None
) -> tuple[str, dict[str, dt.date | None]]:
    """The query for some days of a table, both ends included, in the order of its grain; and its parameters."""
    order = ", ".join([*([first] if first else []), *table.grain])
    if not any(column.name == "day" for column in table.columns):
        return f"FROM {table.name} ORDER BY {order}", {}
    span = "day BETWEEN coalesce($from_day, '0001-01-01'::DATE) AND coalesce($to_day, '9999-12-31'::DATE)"
    return f"FROM {table.name} WHERE {span} ORDER BY {order}", {"from_day": from_day, "to_day": to_day}


def _say_nothing(_: str) -> None:
    """Where nobody asked to be told."""


def _lock_holder(error: duckdb.Error) -> str | None:
    """Who holds the file, if that is what the error says."""
    text = str(error)
    if "already attached" in text or "Unique file handle conflict" in text:
        return "another connection of this process"
    if "Could not set lock" not in text:
        return None
    found = re.search(r"held in (.+?) \(PID (\d+)\)", text)
    return f"{Path(found[1]).name} (process {found[2]})" if found else "another process"


def _unusable(location: str, error: duckdb.Error) -> str:
    text = str(error)
    if "not a valid DuckDB database" in text:
        reason = "it is not a DuckDB file"
    elif "does not exist" in text or "No such file" in text:
        reason = "there is no such file yet; materialize synthflow/calls first"
    elif found := re.search(r": (Permission denied|Is a directory|Not a directory|Read-only file system)", text):
        reason = found[1].lower()
    else:
        reason = text.splitlines()[0].removeprefix("IO Error: ")
    return f"the warehouse {location} cannot be opened: {reason}. Check SYNTHFLOW_WAREHOUSE"
