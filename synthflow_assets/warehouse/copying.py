"""Copies a workspace's tables from one place to another, whatever engines they are on, and proves that they arrived.

Moving, backing up and restoring are the same copy: into the lake, into a file, and back.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import duckdb

from synthflow_assets.errors import WarehouseUnusableError
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.schema import LANDED_TABLES, TABLES
from synthflow_assets.warehouse.statements import transaction


class CopiedTable(NamedTuple):
    """A table that is the same in both places: as many rows, and the same sum of the rows' hashes."""

    name: str
    rows: int
    checksum: int


def copy_warehouse(source: Warehouse, target: Warehouse) -> list[CopiedTable]:
    """Copy all tables into a warehouse that holds nothing yet; read them there and compare.

    Nobody writes to the source meanwhile: runs wait. A failure leaves the target empty.

    Raises:
        WarehouseUnusableError: the target is the source, or holds something; or what arrived is not the same.
        WarehouseError: one of them cannot be opened.
    """
    if (source.engine.identity, source.schema) == (target.engine.identity, target.schema):
        raise WarehouseUnusableError(f"{target.location} is where the tables are already; name another place")
    if not source.exists():
        raise WarehouseUnusableError(f"{source.location} holds no tables; check SYNTHFLOW_WAREHOUSE")
    with target.connect() as connection:
        _refuse_filled(connection, target.location)
    with source.connect() as connection:
        columns = _columns(connection)
        sent = _tables(connection, columns)
        with target.write_lock(connection):
            target.attach(connection, "target", read_only=False)
            with transaction(connection):
                for table, names in columns.items():
                    _copy(connection, table, names, f'target."{target.schema}".{table}')
    with target.connect(read_only=True) as connection:
        arrived = _tables(connection, columns)
    for here, there in zip(sent, arrived, strict=True):
        if here != there:
            how = "others" if here.rows == there.rows else f"{there.rows:,}"
            raise WarehouseUnusableError(
                f"{here.name} did not arrive as it was: {here.rows:,} rows were sent, {how} are there. "
                f"Do not use {target.location}; remove it and try again"
            )
    return arrived


def back_up(warehouse: Warehouse, path: Path) -> list[CopiedTable]:
    """Copy all tables into a DuckDB file, which replaces an earlier one as a whole once it is proved.

    Raises:
        WarehouseError: the warehouse cannot be opened, or the file cannot be written.
    """
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    try:
        copied = copy_warehouse(warehouse, Warehouse(str(unfinished), warehouse.schema))
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return copied


def _refuse_filled(connection: duckdb.DuckDBPyConnection, location: str) -> None:
    for table in LANDED_TABLES:
        row = connection.execute(f"SELECT count(*) FROM {table.name}").fetchone()
        if row and row[0]:
            raise WarehouseUnusableError(
                f"{location} holds {row[0]:,} rows of {table.name} already; name a place that is empty"
            )


def _columns(connection: duckdb.DuckDBPyConnection) -> dict[str, list[str]]:
    """The columns of each table, by table."""
    return {
        table: [row[0] for row in connection.execute(f"SELECT column_name FROM (DESCRIBE {table})").fetchall()]
        for table in TABLES
    }


def _tables(connection: duckdb.DuckDBPyConnection, columns: dict[str, list[str]]) -> list[CopiedTable]:
    found = []
    for table, names in columns.items():
        # A sum does not depend on the order of the rows, and unlike an exclusive or it counts those that are equal.
        row = connection.execute(
            f"SELECT count(*), coalesce(sum(hash({', '.join(_quoted(names))})::HUGEINT), 0) FROM {table}"
        ).fetchone()
        found.append(CopiedTable(table, *(row or (0, 0))))
    return found


def _copy(connection: duckdb.DuckDBPyConnection, table: str, names: list[str], target: str) -> None:
    listed = ", ".join(_quoted(names))
    connection.execute(f"DELETE FROM {target}")  # the version of the empty tables
    months: list[str] = [""]
    if "day" in names:
        found = connection.execute(f"SELECT DISTINCT date_trunc('month', day)::DATE FROM {table} ORDER BY 1").fetchall()
        months = [f"WHERE date_trunc('month', day) = DATE '{month}'" for (month,) in found]
    for month in months:  # bounds the memory of a table of many years
        connection.execute(f"INSERT INTO {target} ({listed}) SELECT {listed} FROM {table} {month}")


def _quoted(names: list[str]) -> list[str]:
    return [f'"{name}"' for name in names]
