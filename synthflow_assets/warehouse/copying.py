"""Copy a workspace's tables from one warehouse to another of any engine, and verify the copy.

`move`, `backup` and `restore` are all this copy.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import duckdb

from synthflow_assets.errors import WarehouseUnusableError
from synthflow_assets.files import replace_file, replacement_error, temporary_folder
from synthflow_assets.texts import one_line
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.engines.base import new_connection
from synthflow_assets.warehouse.erasure import Erasure, mark_rewritten, merge_suppression_list
from synthflow_assets.warehouse.schema import CALLS, FORGOTTEN, LANDED_TABLES, MACROS, TABLES, VERSION, VIEWS
from synthflow_assets.warehouse.statements import describe, quoted, transaction

_NAMED_IN_ERRORS = 3


class CopiedTable(NamedTuple):
    """A copied table, verified by its row count and the sum of its rows' hashes."""

    name: str
    rows: int
    checksum: int


@dataclass(frozen=True)
class Copied:
    """A verified copy.

    Attributes:
        tables: the copied tables.
        suppressed: entries of the suppression list of the copy, which is merged from both lists.
        erased_calls: calls that people of the suppression list were erased from.
    """

    tables: list[CopiedTable]
    suppressed: int
    erased_calls: int


def copy_warehouse(
    source: Warehouse,
    target: Warehouse,
    *,
    source_is_live: bool = True,
    replace: bool = False,
    erase: Callable[[duckdb.DuckDBPyConnection], Erasure] | None = None,
) -> Copied:
    """Copy all tables into another warehouse, and compare the copy with the source.

    If copying fails, the target stays as it was. The suppression lists of both are merged.

    Args:
        source: is not changed.
        target: an empty warehouse, or one that does not exist yet.
        source_is_live: take the source's write lock, so that runs wait. A backup is only read.
        replace: whether the target may hold calls, which are replaced.
        erase: erases people from the copy, in the same transaction.

    Raises:
        WarehouseUnusableError: the target is the source, the target is not empty, or the copy differs.
        WarehouseError: a warehouse cannot be opened.
    """
    if (source.engine.identity, source.schema) == (target.engine.identity, target.schema):
        named = target if source_is_live else source
        raise WarehouseUnusableError(f"{named.location} is the current warehouse; name another location")
    if not source.exists():
        raise WarehouseUnusableError(f"{source.location} holds no tables; check SYNTHFLOW_WAREHOUSE")
    with target.connect() as connection:
        if not replace:
            remedy = "name an empty location" if source_is_live else "add --force to replace them with the backup"
            _validate_empty(connection, target.location, remedy)
    with source.connect(read_only=not source_is_live) as connection:
        columns = _columns(connection)
        # Merged, not copied, because an erasure is permanent.
        has_list = columns.pop(FORGOTTEN.name, None) is not None
        expected = _checksums(connection, columns)
        with target.write_lock(connection):
            target.attach(connection, "target", read_only=False)
            with transaction(connection):
                for table in TABLES:
                    if table != FORGOTTEN.name:
                        _copy(connection, table, columns.get(table, []), f'target."{target.schema}".{table}')
                connection.execute(f'USE target."{target.schema}"')
                _compare(expected, _checksums(connection, columns), "nothing was copied; try again")
                if has_list:
                    merge_suppression_list(connection, f'warehouse."{source.schema}".{FORGOTTEN.name}')
                erasure = erase(connection) if erase else None
                if erasure:
                    if erasure.calls or erasure.rejects:
                        mark_rewritten(connection, None)
                    expected = _checksums(connection, columns)
    with target.connect(read_only=True) as connection:
        copied = _checksums(connection, columns)
        people = connection.execute(f"SELECT count(*) FROM {FORGOTTEN.name}").fetchone()
    _compare(expected, copied, f"do not use {target.location}; remove it and try again")
    with target.connect():
        pass  # a backup of an earlier version is migrated here
    return Copied(copied, people[0] if people else 0, erasure.calls if erasure else 0)


def back_up(warehouse: Warehouse, path: Path, *, replace: bool = False) -> Copied:
    """Copy all tables into a DuckDB file.

    Args:
        warehouse: the source.
        path: of the backup, in an existing folder.
        replace: whether an existing backup may be replaced, atomically and once the copy is verified. It must hold
            nothing but a warehouse in the same schema.

    Raises:
        WarehouseUnusableError: the backup cannot be written to this path.
        WarehouseError: the warehouse cannot be opened.
    """
    if not path.name:
        raise WarehouseUnusableError(f"{path} is not the name of a file; name one, such as backup.duckdb")
    _validate_backup_path(warehouse, path, replace=replace)
    # Absolute, because a file may be called `md:x`.
    place = path.absolute().parent
    with temporary_folder([place], f".{path.name}.unfinished-") as folder:
        if not folder:
            raise WarehouseUnusableError(
                f"the folder {place} is not writable, or its file system has no locks; name a file in another folder"
            )
        unfinished = Path(folder) / path.name
        copied = copy_warehouse(warehouse, Warehouse(unfinished, warehouse.schema, group_access=warehouse.group_access))
        replace_file(unfinished, path)
    return copied


def validate_folder(path: Path) -> None:
    """Check that the folder of a file exists: a mistyped folder must not be created silently.

    Raises:
        WarehouseUnusableError: it does not.
    """
    if not path.absolute().parent.is_dir():
        raise WarehouseUnusableError(f"the folder {path.parent} does not exist; create it, or name another file")


def _validate_backup_path(warehouse: Warehouse, path: Path, *, replace: bool) -> None:
    # A backup onto the warehouse itself lost the days that a run landed meanwhile.
    if warehouse.engine.owns(path):
        raise WarehouseUnusableError(f"{path} belongs to the warehouse itself; name another file")
    validate_folder(path)
    # DuckDB would apply the log of the old file to the new one, without an error.
    if (log := path.with_name(f"{path.name}.wal")).exists():
        raise WarehouseUnusableError(f"{log} exists, so {path} is open or was not closed; name another file")
    if problem := replacement_error(path, lambda head: _is_database(head) and _holds_warehouse(path, warehouse.schema)):
        raise WarehouseUnusableError(f"{path} {problem}; name another file")
    if path.exists() and not replace:
        raise WarehouseUnusableError(f"{path} exists; name another file, or add --force to replace it")


def _is_database(head: bytes) -> bool:
    # https://duckdb.org/docs/stable/internals/storage: a checksum of eight bytes, then this word.
    return head[8:12] == b"DUCK"


def _holds_warehouse(path: Path, schema: str) -> bool:
    """Return whether a DuckDB file has the tables of a warehouse in a schema. Other databases are never replaced.

    Raises:
        WarehouseUnusableError: DuckDB cannot open the file, or it also has other tables, views, macros,
            sequences or types.
    """
    query = (
        "SELECT DISTINCT schema_name, name FROM ("
        "SELECT database_name, schema_name, table_name AS name FROM duckdb_tables() "
        "UNION ALL SELECT database_name, schema_name, view_name FROM duckdb_views() WHERE NOT internal "
        "UNION ALL SELECT database_name, schema_name, function_name FROM duckdb_functions() WHERE NOT internal "
        "UNION ALL SELECT database_name, schema_name, sequence_name FROM duckdb_sequences() "
        "UNION ALL SELECT database_name, schema_name, type_name FROM duckdb_types() WHERE NOT internal"
        ") WHERE database_name = 'existing' ORDER BY ALL"
    )
    with new_connection() as connection:
        try:
            connection.execute(f"ATTACH {quoted(str(path.absolute()))} AS existing (READ_ONLY)")
            found = connection.execute(query).fetchall()
        except duckdb.Error as error:
            raise WarehouseUnusableError(f"{path} cannot be opened ({describe(error)}); name another file") from None
    # Two tables, because migration tools have a `schema_version` as well.
    if not {(schema, VERSION.name), (schema, CALLS.name)}.issubset(found):
        return False
    own = {(schema, name) for name in (*TABLES, *(made.name for made in (*VIEWS, *MACROS)))}
    if others := [f"{of_schema}.{name}" for of_schema, name in found if (of_schema, name) not in own]:
        listed = ", ".join(map(one_line, others[:_NAMED_IN_ERRORS])) + (" ..." if others[_NAMED_IN_ERRORS:] else "")
        raise WarehouseUnusableError(f"{path} also holds {listed}, which would be lost; name another file")
    return True


def _compare(expected: list[CopiedTable], found: list[CopiedTable], remedy: str) -> None:
    for one, copied in zip(expected, found, strict=True):
        if one != copied:
            difference = "different rows" if one.rows == copied.rows else f"{copied.rows:,} rows"
            raise WarehouseUnusableError(
                f"the copy of {one.name} differs: the source has {one.rows:,} rows, the copy has {difference}; {remedy}"
            )


def _validate_empty(connection: duckdb.DuckDBPyConnection, location: str, remedy: str) -> None:
    for table in LANDED_TABLES:
        row = connection.execute(f"SELECT count(*) FROM {table.name}").fetchone()
        if row and row[0]:
            raise WarehouseUnusableError(f"{location} already holds {row[0]:,} rows of {table.name}; {remedy}")


def _columns(connection: duckdb.DuckDBPyConnection) -> dict[str, list[str]]:
    """Return the column names of each table, by table name. A backup of an earlier version may lack tables."""
    columns = {}
    for table in TABLES:
        with suppress(duckdb.CatalogException):
            described = connection.execute(f"SELECT column_name FROM (DESCRIBE {table})").fetchall()
            columns[table] = [name for (name,) in described]
    return columns


def _checksums(connection: duckdb.DuckDBPyConnection, columns: dict[str, list[str]]) -> list[CopiedTable]:
    """Return the row count and checksum of each table."""
    found = []
    for table, names in columns.items():
        # A sum is independent of the row order. Unlike an exclusive or, it does not cancel out equal rows.
        row = connection.execute(
            f"SELECT count(*), coalesce(sum(hash({', '.join(_quoted(names))})::HUGEINT), 0) FROM {table}"
        ).fetchone()
        found.append(CopiedTable(table, *(row or (0, 0))))
    return found


def _copy(connection: duckdb.DuckDBPyConnection, table: str, names: list[str], target: str) -> None:
    listed = ", ".join(_quoted(names))
    connection.execute(f"DELETE FROM {target}")  # schema_version has a row in an empty warehouse too
    if not names:
        return
    months: list[str] = [""]
    if "day" in names:
        found = connection.execute(f"SELECT DISTINCT date_trunc('month', day)::DATE FROM {table} ORDER BY 1").fetchall()
        months = [f"WHERE date_trunc('month', day) = DATE '{month}'" for (month,) in found]
    for month in months:  # month by month, to bound the memory of a table of many years
        connection.execute(f"INSERT INTO {target} ({listed}) SELECT {listed} FROM {table} {month}")


def _quoted(names: list[str]) -> list[str]:
    return [f'"{name}"' for name in names]
