"""Makes the tables, and brings those that an earlier version made up to date without losing anything."""

from __future__ import annotations

import duckdb

from synthflow_assets.errors import WarehouseUnusableError
from synthflow_assets.warehouse.decoding import typed_from_extra
from synthflow_assets.warehouse.metric_tables import CONNECTED_STATUSES
from synthflow_assets.warehouse.schema import CALL_FIELDS, CALLS, MACROS, SCHEMA_VERSION, TABLES, VERSION, VIEWS
from synthflow_assets.warehouse.statements import quoted, sql_file, transaction

_SQL = "synthflow_assets.warehouse.sql"


def migrate(connection: duckdb.DuckDBPyConnection, location: str, schema: str, *, may_write: bool) -> bool:
    """Make what is missing of schema, tables and views; from here on the schema is the connection's default.

    Args:
        connection: to the warehouse.
        location: of the warehouse, for messages.
        schema: that the tables are in.
        may_write: else nothing is changed, and an older warehouse is read as it is.

    Returns:
        Whether the tables were made now.

    Raises:
        WarehouseUnusableError: a later version of this package made the tables.
    """
    if may_write:
        connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
    connection.execute(f'USE warehouse."{schema}"')
    version = _version(connection)
    if version > SCHEMA_VERSION:
        raise WarehouseUnusableError(
            f"{location} was made by a later version of synthflow-assets (its tables have version {version}, "
            f"this package knows {SCHEMA_VERSION}): upgrade with pip install --upgrade synthflow-assets"
        )
    if version == SCHEMA_VERSION or not may_write:
        return False
    with transaction(connection):
        for table in TABLES.values():
            connection.execute(table.ddl())
            for column in table.columns:
                connection.execute(
                    f'ALTER TABLE {table.name} ADD COLUMN IF NOT EXISTS "{column.name}" {column.sql_type}'
                )
    # DuckDB changes no rows of a table that the same transaction has altered. Both steps can be done again.
    with transaction(connection):
        _empty_extra(connection)
        _make_readable(connection, schema)
        connection.execute(f"DELETE FROM {VERSION.name}")
        connection.execute(f"INSERT INTO {VERSION.name} VALUES ({SCHEMA_VERSION})")
    return version == 0


def make_macros(connection: duckdb.DuckDBPyConnection, schema: str, kind: str = "MACRO") -> None:
    """Make the macros anew, over the tables or views of this schema; of kind `TEMP MACRO` for this connection only.

    A macro is bound where it is called, whatever schema is the default there, so its query names the schema; it cannot
    have parameters of its own either.
    """
    names = {"schema": schema, "connected_statuses": ", ".join(map(quoted, CONNECTED_STATUSES))}
    for macro in MACROS:
        query = sql_file(_SQL, f"{macro.name}.sql").format(**names)
        parameters = ", ".join(macro.parameters)
        connection.execute(f"CREATE OR REPLACE {kind} {macro.name}({parameters}) AS TABLE {query}")


def _make_readable(connection: duckdb.DuckDBPyConnection, schema: str) -> None:
    """Make the macros anew, and the views, which stand on them. Every engine knows both: file, DuckLake, MotherDuck."""
    make_macros(connection, f'"{schema}"')
    for view in VIEWS:
        query = sql_file(_SQL, f"{view.name}.sql")
        connection.execute(f"CREATE OR REPLACE VIEW {view.name} AS {query}")


def _version(connection: duckdb.DuckDBPyConnection) -> int:
    """The version of the tables that are there; 0 where there are none, or where they are from before versions."""
    try:
        # Read to its end: DuckDB 2 lets nobody ask for a relation while a result is open.
        [(found,)] = connection.execute(f"SELECT max(version) FROM {VERSION.name}").fetchall()
    except duckdb.CatalogException:  # asking for the list of tables would take a lake longer
        return 0
    return int(found or 0)


def _empty_extra(connection: duckdb.DuckDBPyConnection) -> None:
    """Fields that were unknown landed in `extra`; those that have a column by now move, where they can be typed."""
    rows = connection.execute(
        f"SELECT DISTINCT unnest(json_keys(extra)) FROM {CALLS.name} WHERE extra IS NOT NULL"
    ).fetchall()
    present = {name for (name,) in rows}
    for column in CALL_FIELDS:
        if column.source not in present:
            continue
        connection.execute(
            f'UPDATE {CALLS.name} SET "{column.name}" = {typed_from_extra(column)} '
            f'WHERE extra IS NOT NULL AND "{column.name}" IS NULL'
        )
        connection.execute(
            f"UPDATE {CALLS.name} "
            f"SET extra = nullif(json_merge_patch(extra, json_object('{column.source}', NULL)), '{{}}') "
            f'WHERE extra IS NOT NULL AND "{column.name}" IS NOT NULL'
        )
