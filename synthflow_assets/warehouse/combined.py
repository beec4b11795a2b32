"""One view over the tables of several workspaces, in one file or in many."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import duckdb

from synthflow_assets.errors import WarehouseUnusableError
from synthflow_assets.warehouse.connection import Warehouse, days_query
from synthflow_assets.warehouse.engines.base import new_connection
from synthflow_assets.warehouse.frames import with_dtypes
from synthflow_assets.warehouse.migration import make_macros
from synthflow_assets.warehouse.schema import TABLES, VIEWS, table_named
from synthflow_assets.warehouse.statements import describe, quoted
from synthflow_assets.warehouse.tables import Column

if TYPE_CHECKING:
    import pandas as pd

_WORKSPACE = Column("workspace", "VARCHAR", "Whose row it is.", required=True)
_PRIVATE = ("forgotten", "schema_version")  # of one warehouse; together they mean nothing


class CombinedWarehouse:
    """Reads several warehouses as if they were one; the column `workspace` says whose a row is."""

    def __init__(self, warehouses: Mapping[str, Warehouse]) -> None:
        """Take the warehouses by the name that `workspace` is to have.

        Raises:
            ValueError: there is none, or something else.
        """
        known = isinstance(warehouses, Mapping) and all(isinstance(one, Warehouse) for one in warehouses.values())
        if not known or not warehouses:
            raise ValueError("warehouses by name are wanted, such as {'acme': Warehouse('acme.duckdb')}")
        self._warehouses = dict(warehouses)

    @contextmanager
    def connect(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection with a view for each table: `SELECT workspace, sum(calls) FROM call_duration_daily ...`.

        The macros are exact over the calls of all workspaces; `workspace` can be what they group by, or a condition.

        It holds the shared lock of every file until the end of the block, so runs wait for it meanwhile.

        Raises:
            WarehouseError: one of the files is locked for too long or cannot be read, or lacks tables.
        """
        connection = new_connection()
        try:
            connection.execute("SET TimeZone = 'UTC'")
            schemas = self._attach_all(connection)
            for name in (*(name for name in TABLES if name not in _PRIVATE), *(view.name for view in VIEWS)):
                parts = [
                    f"SELECT {quoted(workspace)} AS workspace, * FROM {schema}.{name}"
                    for workspace, schema in schemas.items()
                ]
                connection.execute(f"CREATE TEMP VIEW {name} AS {' UNION ALL BY NAME '.join(parts)}")
            make_macros(connection, "temp.main", "TEMP MACRO")
            yield connection
        except duckdb.CatalogException as error:
            raise WarehouseUnusableError(
                f"not every workspace has all tables of this version ({str(error).splitlines()[0]}); "
                "materialize the calls of each once"
            ) from None
        except duckdb.Error as error:
            raise WarehouseUnusableError(f"the combined warehouses failed: {describe(error)}") from None
        finally:
            connection.close()

    def read_frame(self, table: str, from_day: dt.date | None = None, to_day: dt.date | None = None) -> pd.DataFrame:
        """A table of all workspaces, or the days of it from `from_day` to `to_day` inclusive, as a pandas frame.

        Its first column is `workspace`; the dtypes are those of `synthflow_assets.warehouse.frames`.

        Raises:
            KeyError: no such table.
            ValueError: something that is no day, or a last day before the first.
            WarehouseError: a warehouse cannot be read.
        """
        known = table_named(table)
        query, days = days_query(known, from_day, to_day, first="workspace")
        with self.connect() as connection:
            frame = connection.execute(query, days).df()
        return with_dtypes(frame, (_WORKSPACE, *known.columns))

    def _attach_all(self, connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
        """Attach every warehouse once; the schema of each workspace, with its catalog."""
        catalogs: dict[str, str] = {}
        schemas: dict[str, str] = {}
        for workspace, warehouse in self._warehouses.items():
            place = warehouse.engine.identity
            if place not in catalogs:
                catalogs[place] = f"warehouse_{len(catalogs)}"
                warehouse.attach(connection, catalogs[place], read_only=True)
            schemas[workspace] = f'{catalogs[place]}."{warehouse.schema}"'
        return schemas
