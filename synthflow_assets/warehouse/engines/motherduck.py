"""A database at MotherDuck."""

from __future__ import annotations

import duckdb

from synthflow_assets.warehouse.engines.base import Engine, LockPolicy, load_extension, new_connection, unusable
from synthflow_assets.warehouse.statements import quoted


class MotherDuckEngine(Engine):
    """A database at MotherDuck, which stores and cleans up by itself. Writers that conflict retry.

    It has no lock to wait for and no clock that processes could share, so a request rate holds for each process.

    The token is MotherDuck's own environment variable, `motherduck_token`.
    """

    def exists(self) -> bool:
        """Return whether the database can be attached."""
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

    def attach(
        self,
        connection: duckdb.DuckDBPyConnection,
        name: str,
        lock_policy: LockPolicy,  # noqa: ARG002
        *,
        read_only: bool,
    ) -> None:
        """Attach the database. Creates it, unless `read_only` is set."""
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
