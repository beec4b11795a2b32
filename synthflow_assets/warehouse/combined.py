"""Query the tables of several workspaces together, whether they share a file or not."""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from synthflow_assets.errors import WarehouseUnusableError
from synthflow_assets.files import temporary_folder
from synthflow_assets.warehouse.connection import Warehouse, days_query
from synthflow_assets.warehouse.engines.base import SPILL_PREFIX, new_connection
from synthflow_assets.warehouse.frames import with_dtypes
from synthflow_assets.warehouse.migration import create_macros
from synthflow_assets.warehouse.schema import TABLES, VIEWS, table_named
from synthflow_assets.warehouse.statements import describe, quoted
from synthflow_assets.warehouse.tables import Column

if TYPE_CHECKING:
    import pandas as pd

_WORKSPACE = Column("workspace", "VARCHAR", "Name of the workspace that the row belongs to.", required=True)
_NOT_COMBINED = ("forgotten", "schema_version")  # internal to one warehouse


class CombinedWarehouse:
    """Read several warehouses as one. The column `workspace` names the workspace of each row."""

    def __init__(self, warehouses: Mapping[str, Warehouse]) -> None:
        """Take the warehouses by workspace name.

        Raises:
            ValueError: `warehouses` is empty, or is not a mapping of names to warehouses.
        """
        is_valid = isinstance(warehouses, Mapping) and all(isinstance(one, Warehouse) for one in warehouses.values())
        if not is_valid or not warehouses:
            raise ValueError("warehouses must map names to warehouses, such as {'acme': Warehouse('acme.duckdb')}")
        self._warehouses = dict(warehouses)

    @contextmanager
    def connect(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Yield a connection with a view for each table: `SELECT workspace, sum(calls) FROM call_duration_daily ...`.

        The macros are exact over the calls of all workspaces. They can group by `workspace` or use it in a condition.

        The connection holds the shared lock of every file until the block ends; runs wait until then.

        Raises:
            WarehouseError: a file is locked for too long, cannot be read, or lacks tables.
        """
        with temporary_folder([Path(tempfile.gettempdir())], SPILL_PREFIX) as spill_folder:
            yield from self._connect(spill_folder)

    def _connect(self, spill_folder: str) -> Iterator[duckdb.DuckDBPyConnection]:
        connection = new_connection()
        try:
            connection.execute(f"SET TimeZone = 'UTC'; SET temp_directory = {quoted(spill_folder)}; SET threads = 1")
            schemas = self._attach_all(connection)
            combined = [name for name in TABLES if name not in _NOT_COMBINED] + [view.name for view in VIEWS]
            for name in combined:
                parts = [
                    f"SELECT {quoted(workspace)} AS workspace, * FROM {schema}.{name}"
                    for workspace, schema in schemas.items()
                ]
                connection.execute(f"CREATE TEMP VIEW {name} AS {' UNION ALL BY NAME '.join(parts)}")
            create_macros(connection, "temp.main", "TEMP MACRO")
            connection.execute("RESET threads")  # as when one warehouse is opened
            yield connection
        except duckdb.CatalogException as error:
            raise WarehouseUnusableError(
                f"a workspace lacks tables of this version ({str(error).splitlines()[0]}); "
                "materialize the calls of each workspace once"
            ) from None
        except duckdb.Error as error:
            raise WarehouseUnusableError(f"a query over the combined warehouses failed: {describe(error)}") from None
        finally:
            connection.close()

    def read_frame(self, table: str, from_day: dt.date | None = None, to_day: dt.date | None = None) -> pd.DataFrame:
        """Return a table of all workspaces as a pandas frame, from `from_day` to `to_day` inclusive.

        Args:
            table: name of the table, without its schema.
            from_day: first day; None means the first landed one.
            to_day: last day; None means the last landed one.

        Returns:
            The rows, with `workspace` as the first column. The dtypes are those of `synthflow_assets.warehouse.frames`.

        Raises:
            KeyError: there is no table of this name.
            ValueError: an argument is not a day, or `to_day` is before `from_day`.
            WarehouseError: a warehouse cannot be read.
        """
        known = table_named(table)
        query, days = days_query(known, from_day, to_day, first="workspace")
        with self.connect() as connection:
            frame = connection.execute(query, days).df()
        return with_dtypes(frame, (_WORKSPACE, *known.columns))

    def _attach_all(self, connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
        """Attach every warehouse once. Return the qualified schema of each workspace."""
        catalogs: dict[str, str] = {}
        schemas: dict[str, str] = {}
        for workspace, warehouse in self._warehouses.items():
            identity = warehouse.engine.identity
            if identity not in catalogs:
                # No schema begins with an underscore: a catalog of the same name would make queries ambiguous.
                catalogs[identity] = f"_{len(catalogs)}"
                warehouse.attach(connection, catalogs[identity], read_only=True)
            schemas[workspace] = f'{catalogs[identity]}."{warehouse.schema}"'
        return schemas
