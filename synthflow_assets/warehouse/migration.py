"""Create the tables, and migrate tables of an earlier version without losing data."""

from __future__ import annotations

from collections.abc import Callable

import duckdb

from synthflow_assets.errors import WarehouseUnusableError
from synthflow_assets.warehouse.decoding import derived_columns_sql, typed_from_extra
from synthflow_assets.warehouse.metric_tables import CONNECTED_STATUSES, METRIC_TABLES
from synthflow_assets.warehouse.personal import HASH_PATTERN
from synthflow_assets.warehouse.schema import (
    CALL_FIELDS,
    CALL_LOADS,
    CALLS,
    DERIVED_COLUMNS,
    MACROS,
    METRIC_COMPUTATIONS,
    SCHEMA_VERSION,
    TABLES,
    VERSION,
    VIEWS,
)
from synthflow_assets.warehouse.statements import quoted, sql_file, transaction
from synthflow_assets.warehouse.tables import Column, Kind

_SQL = "synthflow_assets.warehouse.sql"
_FIRST_WITH_COMPUTATIONS = 8  # the version that added the table `metric_computations`


def migrate(
    connection: duckdb.DuckDBPyConnection,
    location: str,
    schema: str,
    *,
    may_write: bool,
    text_compression: Callable[[duckdb.DuckDBPyConnection], str | None],
    warn: Callable[[str], None],
) -> bool:
    """Create what is missing of schema, tables and views, and make the schema the connection's default.

    Args:
        connection: to the warehouse.
        location: of the warehouse, for messages.
        schema: the schema of the tables.
        may_write: if False, nothing is changed, and an older warehouse is read as it is.
        text_compression: returns the compression of long texts in new tables; None leaves it to the engine.
        warn: called with a message about data of an earlier version that cannot be migrated.

    Returns:
        Whether the tables were created by this call.

    Raises:
        WarehouseUnusableError: a later version of this package created the tables.
    """
    if may_write:
        connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
    connection.execute(f'USE warehouse."{schema}"')
    version = _version(connection)
    if version > SCHEMA_VERSION:
        raise WarehouseUnusableError(
            f"{location} was created by a later version of synthflow-assets (its tables have version {version}, "
            f"this package supports {SCHEMA_VERSION}): pip install --upgrade synthflow-assets"
        )
    if version == SCHEMA_VERSION or not may_write:
        return False
    existing = _table_names(connection, schema)
    absent = None
    compression = text_compression(connection)
    with transaction(connection):
        for table in TABLES.values():
            connection.execute(table.ddl(compression))
            if table.name not in existing:
                continue
            for column in table.columns:
                connection.execute(
                    f'ALTER TABLE {table.name} ADD COLUMN IF NOT EXISTS "{column.name}" {column.sql_type}'
                )
    # A second transaction: DuckDB cannot update a table that the same transaction altered. Both can be repeated.
    with transaction(connection):
        if CALLS.name in existing:
            _move_from_extra(connection)
            absent = _fill_derived_columns(connection)
            _fill_caller_keys(connection)
        if 0 < version < _FIRST_WITH_COMPUTATIONS:
            _assume_metrics_are_computed(connection)
        _create_views(connection, schema)
        connection.execute(f"DELETE FROM {VERSION.name}")
        connection.execute(f"INSERT INTO {VERSION.name} VALUES ({SCHEMA_VERSION})")
    if absent:
        warn(absent)
    return version == 0


def create_macros(connection: duckdb.DuckDBPyConnection, schema: str, kind: str = "MACRO") -> None:
    """Create or replace the macros over the tables or views of a schema.

    DuckDB resolves table names of a macro when it is called, so the macro's query names the schema.

    Args:
        connection: to the warehouse.
        schema: qualified and quoted as SQL.
        kind: MACRO, or TEMP MACRO for this connection only.
    """
    names = {"schema": schema, "connected_statuses": ", ".join(map(quoted, CONNECTED_STATUSES))}
    for macro in MACROS:
        query = sql_file(_SQL, f"{macro.name}.sql").format(**names)
        parameters = ", ".join(macro.parameters)
        connection.execute(f"CREATE OR REPLACE {kind} {macro.name}({parameters}) AS TABLE {query}")


def _create_views(connection: duckdb.DuckDBPyConnection, schema: str) -> None:
    """Create or replace the macros, and the views that use them."""
    create_macros(connection, f'"{schema}"')
    for view in VIEWS:
        query = sql_file(_SQL, f"{view.name}.sql")
        connection.execute(f"CREATE OR REPLACE VIEW {view.name} AS {query}")


def _version(connection: duckdb.DuckDBPyConnection) -> int:
    """Return the version of the tables; 0 if there are none, or if they have no version."""
    try:
        # fetchall: DuckDB 2 cannot create a relation while a result is open.
        [(found,)] = connection.execute(f"SELECT max(version) FROM {VERSION.name}").fetchall()
    except duckdb.CatalogException:  # in a lake, this is faster than listing the tables
        return 0
    return int(found or 0)


def _table_names(connection: duckdb.DuckDBPyConnection, schema: str) -> set[str]:
    """Return the names of the schema's tables."""
    query = "SELECT table_name FROM duckdb_tables() WHERE database_name = 'warehouse' AND schema_name = $1"
    return {name for (name,) in connection.execute(query, [schema]).fetchall()}


def _assume_metrics_are_computed(connection: duckdb.DuckDBPyConnection) -> None:
    """Count the metrics of landed days as computed: earlier versions did not record it.

    Otherwise every day of an older warehouse would be a gap.
    """
    connection.execute(
        f"INSERT INTO {METRIC_COMPUTATIONS.name} BY NAME "
        "SELECT day, metric, max(loaded_at) AS calls_loaded_at, max(loaded_at) AS computed_at "
        f"FROM {CALL_LOADS.name} CROSS JOIN (SELECT unnest($1::VARCHAR[]) AS metric) GROUP BY day, metric",
        [[table.name for table in METRIC_TABLES]],
    )


def _fill_derived_columns(connection: duckdb.DuckDBPyConnection) -> str | None:
    """Fill the derived columns of calls that landed before these columns existed, as far as their JSON was kept.

    Returns:
        A message about the calls that stay without most of these columns; None if there are none.
    """
    names = [column.name for column in DERIVED_COLUMNS if column.name != "caller_key"]
    sources = ", ".join(_unless_hashed(column) for column in CALL_FIELDS)
    older = f"(SELECT day, model_id, {sources} FROM {CALLS.name} WHERE call_outcome IS NULL)"
    query = sql_file(_SQL, "calls_without_json.sql").replace("{older}", older)
    [(calls, first, last)] = connection.execute(query).fetchall()
    _fill(connection, names, older)
    if not calls:
        return None
    return (
        f"{calls:,} completed calls from {first} to {last} were stored without JSON and transcript, so their verdicts, "
        "actions, variables and turns stay NULL; load these days again to fill them"
    )


def _fill_caller_keys(connection: duckdb.DuckDBPyConnection) -> None:
    """Fill `caller_key` of calls that landed before it existed, if their numbers were kept.

    A hashed number stays without a key: the hash of a withheld number looks like any other.
    """
    sources = ", ".join(_unless_hashed(column) for column in CALL_FIELDS)
    _fill(connection, ["caller_key"], f"(SELECT {sources} FROM {CALLS.name} WHERE caller_key IS NULL)")


def _fill(connection: duckdb.DuckDBPyConnection, names: list[str], calls: str) -> None:
    """Set derived columns of calls, given as SQL for a relation with their fields."""
    connection.execute(
        f"UPDATE {CALLS.name} SET {', '.join(f'{name} = derived.{name}' for name in names)} "
        f"FROM (SELECT call_id, {', '.join(names)} FROM ({derived_columns_sql(calls)})) AS derived "
        f"WHERE {CALLS.name}.call_id = derived.call_id"
    )


def _unless_hashed(column: Column) -> str:
    """Return SQL for a column; NULL for the hash of a text, in which nothing can be counted."""
    if not column.personal or column.sql_type != Kind.TEXT.value:
        return column.name
    return f"CASE WHEN NOT regexp_full_match({column.name}, '{HASH_PATTERN}') THEN {column.name} END AS {column.name}"


def _move_from_extra(connection: duckdb.DuckDBPyConnection) -> None:
    """Move fields from `extra`, where unknown fields land, to their column if they have one now and can be decoded."""
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
