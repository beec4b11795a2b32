"""A database at MotherDuck."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import duckdb

from synthflow_assets.interfaces import ReserveSlots
from synthflow_assets.warehouse.engines.base import (
    Connect,
    LockPolicy,
    load_extension,
    machine_spill_folder,
    new_connection,
    unusable,
)
from synthflow_assets.warehouse.statements import quoted


class MotherDuckEngine:
    """A database at MotherDuck, which does the queueing, the storing and the cleaning itself.

    The token is MotherDuck's own variable, `motherduck_token`.
    """

    def __init__(self, location: str) -> None:
        self.location = location

    @property
    def identity(self) -> str:
        """The database."""
        return self.location

    @property
    def spill_folder(self) -> str:
        """In the machine's folder for such files."""
        return machine_spill_folder()

    def prepare(self) -> None:
        """Nothing to be made."""

    def exists(self) -> bool:
        """Whether the database can be attached."""
        connection = new_connection()
        try:
            load_extension(connection, "motherduck")
            connection.execute(f"ATTACH {quoted(self.location)}")
        except duckdb.CatalogException:
            return False
        except duckdb.Error as error:
            raise unusable(self.location, error) from None
        finally:
            connection.close()
        return True

    def creation_error(self) -> str | None:
        """Only MotherDuck can tell."""
        return None

    def is_writable(self) -> bool:
        """Only MotherDuck can tell."""
        return True

    def write_lock(
        self,
        connection: duckdb.DuckDBPyConnection,  # noqa: ARG002
        schema: str,  # noqa: ARG002
        lock_policy: LockPolicy,  # noqa: ARG002
    ) -> AbstractContextManager[None]:
        """MotherDuck has no queue that one could wait in; who loses a conflict tries again."""
        return nullcontext()

    def attach(
        self,
        connection: duckdb.DuckDBPyConnection,
        name: str,
        lock_policy: LockPolicy,  # noqa: ARG002
        *,
        read_only: bool,
    ) -> None:
        """Attach the database; one that does not exist yet is made, unless it is only to be read."""
        database = self.location.partition(":")[2].partition("?")[0]
        try:
            load_extension(connection, "motherduck")
            if not read_only:
                connection.execute("ATTACH 'md:'")
                identifier = database.replace('"', '""')
                connection.execute(f'CREATE DATABASE IF NOT EXISTS "{identifier}"')
                connection.execute(f'DETACH "{identifier}"')
            connection.execute(f"ATTACH {quoted(self.location)} AS {name}")
        except duckdb.Error as error:
            raise unusable(self.location, error) from None

    def configure_storage(self, connection: duckdb.DuckDBPyConnection) -> None:
        """MotherDuck stores as it likes."""

    def compact(self, connection: duckdb.DuckDBPyConnection) -> None:
        """MotherDuck removes by itself what its retention no longer needs."""

    def maintain(self, connect: Connect, snapshot_days: int) -> dict[str, int]:  # noqa: ARG002
        """MotherDuck does it by itself."""
        return {}

    def request_clock(self, schema: str) -> AbstractContextManager[ReserveSlots | None]:  # noqa: ARG002
        """MotherDuck has nothing that two could take turns by; the rate holds for each process."""
        return nullcontext()
