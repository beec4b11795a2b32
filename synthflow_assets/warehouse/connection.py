"""Opens the warehouse: waits for its turn, makes its tables, gives it back whatever happens."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Self

import duckdb

from synthflow_assets.errors import WarehouseUnusableError
from synthflow_assets.interfaces import ReserveSlots
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.engines import engine_for
from synthflow_assets.warehouse.engines.base import LockPolicy, new_connection
from synthflow_assets.warehouse.frames import with_dtypes
from synthflow_assets.warehouse.migration import migrate
from synthflow_assets.warehouse.schema import table_named
from synthflow_assets.warehouse.statements import describe, quoted
from synthflow_assets.warehouse.tables import SCHEMA, Table

if TYPE_CHECKING:
    import pandas as pd

LOCK_WAIT_SECONDS = 300.0


class Warehouse:
    """The tables of one workspace: a schema of a DuckDB file, or of one of the other engines.

    One process writes at a time, so connections are for as short as can be: open late, close at once.

    `location` is what `SYNTHFLOW_WAREHOUSE` may be, and `data_path` what `SYNTHFLOW_LAKE_DATA_PATH` may be. `on_wait`
    is told who is waited for; by default that is a warning of Python's logging, which stands on standard error.
    """

    def __init__(
        self,
        location: str | os.PathLike[str],
        schema: str = SCHEMA,
        *,
        data_path: str | None = None,
        lock_wait_seconds: float = LOCK_WAIT_SECONDS,
        on_wait: Callable[[str], None] | None = None,
    ) -> None:
        self.location = os.fspath(location)
        self.schema = schema
        self.engine = engine_for(self.location, data_path)
        self._lock_policy = LockPolicy(lock_wait_seconds, on_wait or _warn)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The warehouse that the settings describe.

        Raises:
            WarehouseUnusableError: this version cannot use such a place.
        """
        return cls(settings.warehouse, settings.warehouse_schema, data_path=settings.lake_data_path)

    @contextmanager
    def connect(self, *, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection, closed at the end of the block whatever happens. Its default schema is the workspace's.

        Args:
            read_only: take the shared lock, under which other readers can work. The file must exist.

        Raises:
            WarehouseLockedError: another process held the file for longer than the limit.
            WarehouseUnusableError: the file cannot be opened, made or written.
        """
        if not read_only:
            self.engine.prepare()
        # Attached under a name of its own: opened directly, `synthflow.duckdb` would be a catalog named like the
        # schema, and DuckDB refuses `synthflow.calls` as ambiguous.
        connection = new_connection()
        try:
            with nullcontext() if read_only else self.write_lock(connection):
                self.attach(connection, "warehouse", read_only=read_only)
                connection.execute(f"USE warehouse; SET temp_directory = {quoted(self.engine.spill_folder)}")
                connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
                made = migrate(connection, self.location, self.schema, may_write=not read_only)
                if made:
                    self.engine.configure_storage(connection)
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
        """Whether it has been made.

        Raises:
            WarehouseUnusableError: nobody can tell, because the place cannot be reached.
        """
        return self.engine.exists()

    def can_be_made(self) -> bool:
        """Whether the warehouse, which does not exist yet, could be made; nothing is left behind."""
        return self.engine.creation_error() is None

    def read_frame(self, table: str, from_day: dt.date | None = None, to_day: dt.date | None = None) -> pd.DataFrame:
        """A table, or the days of it from `from_day` to `to_day` inclusive, as a pandas frame.

        The dtypes are those of `synthflow_assets.warehouse.frames`; the rows are in the order of the table's grain.

        Raises:
            KeyError: no such table.
            ValueError: something that is no day, or a last day before the first.
            WarehouseError: the warehouse cannot be read.
        """
        known = table_named(table)
        query, days = days_query(known, from_day, to_day)
        with self.connect(read_only=True) as connection:
            return with_dtypes(connection.execute(query, days).df(), known.columns)

    def compact(self) -> None:
        """Remove for good what was deleted or changed; a file is written anew, a lake forgets its older snapshots.

        Raises:
            WarehouseError: the warehouse cannot be opened, or its place cannot be written.
        """
        with self.connect() as connection:
            self.engine.compact(connection)

    def maintain(self, snapshot_days: int = 7) -> dict[str, int]:
        """Keep the place small and fast; a lake forgets what was deleted or replaced more than so many days ago.

        Returns:
            What was done, as counts by name.

        Raises:
            WarehouseError: the warehouse cannot be opened, or its place cannot be written.
        """
        return self.engine.maintain(self.connect, snapshot_days)

    def write_lock(self, connection: duckdb.DuckDBPyConnection) -> AbstractContextManager[None]:
        """Wait until no other run writes to the workspace's tables; until the block ends, others wait."""
        return self.engine.write_lock(connection, self.schema, self._lock_policy)

    def request_clock(self) -> AbstractContextManager[ReserveSlots | None]:
        """A clock that all processes share which fill the workspace's tables; None where the place has none."""
        return self.engine.request_clock(self.schema)

    def attach(self, connection: duckdb.DuckDBPyConnection, name: str, *, read_only: bool) -> None:
        """Attach the warehouse to a connection under a name, waiting for its lock.

        Raises:
            WarehouseLockedError: another process held it for longer than the limit.
            WarehouseUnusableError: it cannot be opened or made.
        """
        self.engine.attach(connection, name, self._lock_policy, read_only=read_only)


def days_query(
    table: Table, from_day: dt.date | None, to_day: dt.date | None, first: str | None = None
) -> tuple[str, dict[str, dt.date | None]]:
    """The query for some days of a table, both ends included, in the order of its grain; and its parameters."""
    first_day, last_day = _day("from_day", from_day), _day("to_day", to_day)
    if first_day and last_day and first_day > last_day:
        raise ValueError(f"from_day {first_day} is after to_day {last_day}")
    order = ", ".join([*([first] if first else []), *table.grain])
    if not any(column.name == "day" for column in table.columns):
        return f"FROM {table.name} ORDER BY {order}", {}
    span = "day BETWEEN coalesce($from_day::DATE, '0001-01-01') AND coalesce($to_day::DATE, '9999-12-31')"
    return f"FROM {table.name} WHERE {span} ORDER BY {order}", {"from_day": first_day, "to_day": last_day}


def _day(name: str, value: object) -> dt.date | None:
    """The day of a date, a date-time or their text."""
    try:
        return None if value is None else dt.datetime.fromisoformat(str(value)).date()
    except ValueError:
        raise ValueError(f"{name} is {value!r}; allowed is a date such as 2026-01-31") from None


def _warn(text: str) -> None:
    """Where nobody asked to be told otherwise: on standard error, unless logging is set up, and not imported for it."""
    import logging

    logging.getLogger("synthflow_assets").warning(text)
