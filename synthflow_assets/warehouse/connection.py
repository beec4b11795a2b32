"""Open the warehouse: wait for its lock, create its tables, and release the lock when the block ends."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Self

import duckdb

from synthflow_assets.errors import WarehouseUnusableError
from synthflow_assets.files import GroupAccess, private_files
from synthflow_assets.interfaces import ReserveSlots
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.engines import engine_for
from synthflow_assets.warehouse.engines.base import LockPolicy, new_connection
from synthflow_assets.warehouse.erasure import (
    load_suppression_list,
    mark_rewritten,
    save_suppression_list,
    unfinished_erasures,
)
from synthflow_assets.warehouse.frames import with_dtypes
from synthflow_assets.warehouse.migration import migrate
from synthflow_assets.warehouse.schema import table_named
from synthflow_assets.warehouse.statements import describe, quoted, write
from synthflow_assets.warehouse.tables import SCHEMA, Table

if TYPE_CHECKING:
    import pandas as pd

LOCK_WAIT_SECONDS = 300.0


class Warehouse:
    """The tables of one workspace: a schema of a DuckDB file or a DuckLake.

    One process writes at a time, so keep connections short: open late, close early.

    Args:
        location: a value of `SYNTHFLOW_WAREHOUSE`.
        schema: the schema of the workspace's tables.
        data_path: a value of `SYNTHFLOW_LAKE_DATA_PATH`.
        group_access: what the group of new files may do with them; others may do nothing.
        lock_wait_seconds: how long to wait for another process before giving up.
        on_wait: called with a message that names the process that holds the lock. By default the message is logged as
            a warning, which Python writes to standard error.
    """

    def __init__(
        self,
        location: str | os.PathLike[str],
        schema: str = SCHEMA,
        *,
        data_path: str | None = None,
        group_access: GroupAccess = "none",
        lock_wait_seconds: float = LOCK_WAIT_SECONDS,
        on_wait: Callable[[str], None] | None = None,
    ) -> None:
        self.location = os.fspath(location)
        self.schema = schema
        self.group_access = group_access
        self.engine = engine_for(self.location, data_path)
        self._lock_policy = LockPolicy(lock_wait_seconds, on_wait or _warn)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return the warehouse that the settings describe.

        Raises:
            WarehouseUnusableError: this version does not support the location.
        """
        return cls(
            settings.warehouse,
            settings.warehouse_schema,
            data_path=settings.lake_data_path,
            group_access=settings.group_access,
        )

    @contextmanager
    def connect(self, *, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        """Yield a connection whose default schema is the workspace's, and close it when the block ends.

        Args:
            read_only: take the shared lock, so that other readers can work. The warehouse must exist.

        Raises:
            WarehouseLockedError: another process holds the file for longer than the limit.
            WarehouseUnusableError: the warehouse cannot be opened, created or written.
        """
        with private_files(self.group_access):
            if not read_only:
                self.engine.prepare()
            with self.engine.spill_folder() as spill_folder:
                yield from self._connect(spill_folder, read_only=read_only)

    def _connect(self, spill_folder: str, *, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        # Attached as `warehouse`: opened directly, `synthflow.duckdb` would be a catalog with the schema's name, and
        # DuckDB would reject `synthflow.calls` as ambiguous.
        connection = new_connection()
        try:
            with nullcontext() if read_only else self.write_lock(connection):
                # USE reads the catalog of a lake. Eight threads take twice the processor time of one.
                connection.execute("SET threads = 1")
                self.attach(connection, "warehouse", read_only=read_only)
                connection.execute(f"USE warehouse; RESET threads; SET temp_directory = {quoted(spill_folder)}")
                connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
                created = migrate(
                    connection,
                    self.location,
                    self.schema,
                    may_write=not read_only,
                    text_compression=self.engine.text_compression,
                    warn=_warn,
                )
                if created:
                    self.engine.configure_storage(connection)
                    if (copy := self.engine.suppression_copy(self.schema)) is not None:
                        load_suppression_list(connection, copy)
                yield connection
        except duckdb.CatalogException:
            raise WarehouseUnusableError(
                f"{self.location} lacks tables of this version in schema {self.schema}; "
                f"materialize {self.schema}/calls, which creates them"
            ) from None
        except duckdb.Error as error:
            raise WarehouseUnusableError(f"the warehouse {self.location} failed: {describe(error)}") from None
        finally:
            connection.close()

    def exists(self) -> bool:
        """Return whether the warehouse exists.

        Raises:
            WarehouseUnusableError: its location cannot be reached.
        """
        return self.engine.exists()

    def can_be_made(self) -> bool:
        """Return whether a warehouse that does not exist yet could be created. Creates nothing."""
        return self.engine.creation_error() is None

    def read_frame(self, table: str, from_day: dt.date | None = None, to_day: dt.date | None = None) -> pd.DataFrame:
        """Return a table as a pandas frame, from `from_day` to `to_day` inclusive.

        Args:
            table: name of the table, without its schema.
            from_day: first day; None means the first landed one.
            to_day: last day; None means the last landed one.

        Returns:
            The rows, ordered by the table's grain. The dtypes are those of `synthflow_assets.warehouse.frames`.

        Raises:
            KeyError: there is no table of this name.
            ValueError: an argument is not a day, or `to_day` is before `from_day`.
            WarehouseError: the warehouse cannot be read.
        """
        known = table_named(table)
        query, days = days_query(known, from_day, to_day)
        with self.connect(read_only=True) as connection:
            return with_dtypes(connection.execute(query, days).df(), known.columns)

    def compact(self) -> None:
        """Remove deleted and overwritten rows from storage: a file is rewritten, a lake expires its older snapshots.

        Raises:
            WarehouseError: the warehouse cannot be opened or written.
        """
        with self.connect() as connection:
            self.engine.compact(connection)

    def maintain(self, snapshot_days: int = 7) -> dict[str, int]:
        """Keep the storage small and fast.

        Args:
            snapshot_days: how many days a lake keeps deleted and replaced rows.

        Returns:
            Counts by name of what was done.

        Raises:
            WarehouseError: the warehouse cannot be opened or written.
        """
        self.finish_erasures()
        return self.engine.maintain(self.connect, snapshot_days)

    def finish_erasures(self) -> bool:
        """Compact the storage if the old bytes of erased people may still be in it, for example after a full disk.

        Also saves a copy of the suppression list outside the warehouse.

        Returns:
            Whether it was needed.

        Raises:
            WarehouseError: the warehouse cannot be opened or written.
        """
        with self.connect() as connection:
            unfinished = unfinished_erasures(connection)
            if not unfinished:
                return False
            # First, because it needs little space: if the warehouse is removed to free a full disk, the list stays.
            if (copy := self.engine.suppression_copy(self.schema)) is not None:
                save_suppression_list(connection, copy)
            self.engine.compact(connection)
        with self.connect() as connection:
            write(connection, lambda: mark_rewritten(connection, unfinished))
        return True

    def write_lock(self, connection: duckdb.DuckDBPyConnection) -> AbstractContextManager[None]:
        """Hold the lock that serialises writers of the workspace's tables, until the block ends."""
        return self.engine.write_lock(connection, self.schema, self._lock_policy)

    def request_clock(self) -> AbstractContextManager[ReserveSlots | None]:
        """Yield the request clock that all processes of the workspace share; None if the engine has none."""
        with private_files(self.group_access):
            return self.engine.request_clock(self.schema)

    def attach(self, connection: duckdb.DuckDBPyConnection, name: str, *, read_only: bool) -> None:
        """Attach the warehouse to a connection under a name, and wait for its lock.

        Raises:
            WarehouseLockedError: another process holds the lock for longer than the limit.
            WarehouseUnusableError: the warehouse cannot be opened or created.
        """
        self.engine.attach(connection, name, self._lock_policy, read_only=read_only)


def days_query(
    table: Table, from_day: dt.date | None, to_day: dt.date | None, first: str | None = None
) -> tuple[str, dict[str, dt.date | None]]:
    """Return the query for the days of a table, both ends included and ordered by its grain, and its parameters.

    Args:
        table: which to read.
        from_day: first day; None means no limit.
        to_day: last day; None means no limit.
        first: a column to order by before the grain.

    Raises:
        ValueError: an argument is not a day, or `to_day` is before `from_day`.
    """
    first_day, last_day = _day("from_day", from_day), _day("to_day", to_day)
    if first_day and last_day and first_day > last_day:
        raise ValueError(f"from_day {first_day} is after to_day {last_day}")
    order = ", ".join([*([first] if first else []), *table.grain])
    if not any(column.name == "day" for column in table.columns):
        return f"FROM {table.name} ORDER BY {order}", {}
    span = "day BETWEEN coalesce($from_day::DATE, '0001-01-01') AND coalesce($to_day::DATE, '9999-12-31')"
    return f"FROM {table.name} WHERE {span} ORDER BY {order}", {"from_day": first_day, "to_day": last_day}


def _day(name: str, value: object) -> dt.date | None:
    """Return the day of a date, of a date-time, or of the text of either."""
    try:
        return None if value is None else dt.datetime.fromisoformat(str(value)).date()
    except ValueError:
        raise ValueError(f"{name} is {value!r}; allowed is a date such as 2026-01-31") from None


def _warn(text: str) -> None:
    """Log a warning, which Python writes to standard error unless logging is configured."""
    import logging  # late: it takes time to import

    logging.getLogger("synthflow_assets").warning(text)
