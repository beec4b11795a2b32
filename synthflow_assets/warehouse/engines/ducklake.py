"""A DuckLake: Parquet files in a folder or bucket, a catalog in PostgreSQL, writers on any number of machines."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import duckdb

from synthflow_assets.errors import ConnectionFailedError
from synthflow_assets.interfaces import ReserveSlots
from synthflow_assets.warehouse.engines.base import (
    Connect,
    Engine,
    LockPolicy,
    attach_when_free,
    load_extension,
    new_connection,
    unusable,
)
from synthflow_assets.warehouse.engines.buckets import open_bucket
from synthflow_assets.warehouse.engines.file import is_writable
from synthflow_assets.warehouse.schema import CALL_REJECTS, CALLS
from synthflow_assets.warehouse.statements import quoted, sql_file, transaction


class _Step(NamedTuple):
    """A step of the maintenance. Its query returns how many rows or files it processed."""

    name: str
    query: str
    in_parts: bool = False


# The schema of PostgreSQL that DuckLake uses by default. If it is named, DuckDB does not list the tables of all others.
_CATALOG_SCHEMA = "'public'"
_numbers = itertools.count()  # for unique names, because two lakes may be attached at once
# Files are kept for one day after they expired, for readers of an older snapshot and writers that have not committed.
_STEPS = (
    _Step("rows_moved_from_catalog", "SELECT sum(rows_flushed) FROM ducklake_flush_inlined_data('warehouse')"),
    _Step(
        "files_rewritten",
        "SELECT sum(files_processed) FROM ducklake_rewrite_data_files('warehouse', delete_threshold => 0.3)",
    ),
    _Step(
        "files_merged",
        "SELECT sum(files_processed) FROM ducklake_merge_adjacent_files('warehouse', max_compacted_files => 100)",
        in_parts=True,
    ),
    _Step(
        "snapshots_expired",
        "SELECT count(*) FROM ducklake_expire_snapshots('warehouse', "
        "older_than => now() - INTERVAL {snapshot_days} DAY)",
    ),
    _Step(
        "files_removed",
        "SELECT count(*) FROM ducklake_cleanup_old_files('warehouse', older_than => now() - INTERVAL 1 DAY)",
    ),
    _Step(
        "orphans_removed",
        "SELECT count(*) FROM ducklake_delete_orphaned_files('warehouse', older_than => now() - INTERVAL 1 DAY)",
    ),
)


class DuckLakeEngine(Engine):
    """A DuckLake: Parquet files in a folder or bucket, and a catalog of them in PostgreSQL.

    Args:
        location: `ducklake:postgres:` and a connection string.
        data_path: folder or bucket of the files; required only when the lake is created, because the catalog stores it.
    """

    def __init__(self, location: str, data_path: str | None = None) -> None:
        super().__init__(location)
        self._catalog = location.removeprefix("ducklake:postgres:")
        self._data_path = data_path

    def exists(self) -> bool:
        """Return whether the catalog contains a lake.

        Raises:
            WarehouseUnusableError: the catalog cannot be reached.
        """
        connection = new_connection()
        try:
            self._load(connection)
            return self._stored_data_path(connection) is not None
        finally:
            connection.close()

    def creation_error(self) -> str | None:
        """Return an error if the data path is not set or not writable. A bucket is not checked."""
        if not self._data_path:
            return "SYNTHFLOW_LAKE_DATA_PATH is not set"
        if "://" in self._data_path or is_writable(Path(self._data_path)):
            return None
        return f"{self._data_path} is not writable. Set SYNTHFLOW_LAKE_DATA_PATH"

    @contextmanager
    def write_lock(self, connection: duckdb.DuckDBPyConnection, schema: str, lock_policy: LockPolicy) -> Iterator[None]:
        """Hold an advisory lock in the catalog, so that one process writes at a time.

        DuckLake lets only one of two transactions commit that change the same table, and the other one repeats all its
        work. The lock saves that work; the tables are correct without it too. PostgreSQL releases the lock when the
        process ends for any reason.
        """
        self._load(connection)
        name = f"lock_{next(_numbers)}"
        query = f"SELECT pg_try_advisory_xact_lock(hashtext('synthflow-assets'), hashtext({quoted(schema)}))"
        with closing(connection.cursor()) as cursor:

            def attempt() -> str | None:
                row = cursor.execute(f"FROM postgres_query('{name}', {quoted(query)})").fetchone()
                return None if row and row[0] else "another run"

            try:
                options = "TYPE postgres, ISOLATION_LEVEL 'READ COMMITTED'"
                cursor.execute(f"ATTACH {quoted(self._catalog)} AS {name} ({options})")
                cursor.execute("BEGIN")
                lock_policy.wait(attempt, self.location)
            except duckdb.Error as error:
                raise unusable(self.location, error) from None
            yield

    def attach(
        self, connection: duckdb.DuckDBPyConnection, name: str, lock_policy: LockPolicy, *, read_only: bool
    ) -> None:
        """Attach the lake. Creates it, unless `read_only` is set."""
        self._load(connection)
        if (self._data_path or self._stored_data_path(connection) or "").startswith("s3://"):
            # Before ATTACH, which reads the bucket.
            try:
                open_bucket(connection, "s3://")
            except duckdb.Error as error:
                raise unusable(self.location, error) from None
        options = [f"META_SCHEMA {_CATALOG_SCHEMA}"]
        if read_only:
            options.append("READ_ONLY")
        if self._data_path and not read_only:
            options.append(f"DATA_PATH {quoted(_data_path(self._data_path))}")
        else:
            options.append("CREATE_IF_NOT_EXISTS false")
        statement = f"ATTACH {quoted(self.location)} AS {name} ({', '.join(options)})"
        attach_when_free(connection, statement, self.location, lock_policy)

    def configure_storage(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Partition the files of calls by month, and keep rows with personal data out of the catalog.

        By default, DuckLake stores small inserts in the catalog instead of a file.
        """
        connection.execute("ALTER TABLE calls SET PARTITIONED BY (year(day), month(day))")
        row = connection.execute("SELECT current_schema()").fetchone()
        for table in (CALLS.name, CALL_REJECTS.name):
            connection.execute(
                "CALL warehouse.set_option('data_inlining_row_limit', 0, "
                f"schema => {quoted(row[0] if row else '')}, table_name => '{table}')"
            )
        connection.execute("CALL warehouse.set_option('parquet_compression', 'zstd')")

    def compact(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Rewrite files that contain deleted rows, and expire all older snapshots with their files."""
        connection.execute("CALL ducklake_rewrite_data_files('warehouse', delete_threshold => 0)")
        connection.execute("CALL ducklake_expire_snapshots('warehouse', older_than => now())")
        connection.execute("CALL ducklake_cleanup_old_files('warehouse', cleanup_all => true)")
        connection.execute(sql_file("synthflow_assets.warehouse.sql", "blank_statistics.sql"))
        # Without VACUUM, the old values would stay in PostgreSQL's pages until its next cleanup.
        vacuum = "VACUUM ducklake_file_column_stats, ducklake_table_column_stats"
        catalog = "__ducklake_metadata_warehouse"
        connection.execute(f"CALL postgres_execute('{catalog}', '{vacuum}', use_transaction => false)")

    def maintain(self, connect: Connect, snapshot_days: int) -> dict[str, int]:
        """Merge small files, rewrite files with many deleted rows, and remove files that no kept snapshot needs.

        Each step connects anew, so that runs can land in between.
        """
        counts = dict.fromkeys((step.name for step in _STEPS), 0)
        for step in _STEPS:
            processed = 1
            while processed:
                with connect() as connection:
                    # fetchall, because DuckDB commits only after the last row is fetched.
                    [(count,)] = connection.execute(step.query.format(snapshot_days=snapshot_days)).fetchall()
                    processed = int(count or 0)
                counts[step.name] += processed
                if not step.in_parts:
                    break
        return counts

    @contextmanager
    def request_clock(self, schema: str) -> Iterator[ReserveSlots | None]:
        """Keep the clock in a row of the catalog, with PostgreSQL's time, which is the same for all machines."""
        connections: list[duckdb.DuckDBPyConnection] = []

        def reserve(count: int, interval_seconds: float) -> float:
            for wait_seconds in (0.1, 1.0, 5.0, None):
                try:
                    if not connections:
                        connections.append(self._connect_clock())
                    return _reserve(connections[0], schema, count * interval_seconds)
                except duckdb.Error:
                    while connections:
                        connections.pop().close()
                if wait_seconds is not None:
                    time.sleep(wait_seconds)
            raise ConnectionFailedError(
                f"{self.location} cannot be reached; processes share the request rate through it. Check the database"
            )

        try:
            yield reserve
        finally:
            while connections:
                connections.pop().close()

    def _connect_clock(self) -> duckdb.DuckDBPyConnection:
        connection = new_connection()
        load_extension(connection, "postgres_scanner")
        options = "TYPE postgres, ISOLATION_LEVEL 'READ COMMITTED'"
        connection.execute(f"ATTACH {quoted(self._catalog)} AS clock ({options})")
        create = (
            "CREATE TABLE IF NOT EXISTS synthflow_request_clock "
            "(workspace TEXT PRIMARY KEY, next_free TIMESTAMPTZ NOT NULL)"
        )
        connection.execute(f"CALL postgres_execute('clock', {quoted(create)})")
        return connection

    def _load(self, connection: duckdb.DuckDBPyConnection) -> None:
        try:
            load_extension(connection, "ducklake")
            load_extension(connection, "postgres_scanner")
        except duckdb.Error as error:
            raise unusable(self.location, error) from None

    def _stored_data_path(self, connection: duckdb.DuckDBPyConnection) -> str | None:
        """Return the data path that the catalog stores; None if it contains no lake."""
        name = f"catalog_{next(_numbers)}"
        try:
            options = f"TYPE postgres, READ_ONLY, SCHEMA {_CATALOG_SCHEMA}"
            connection.execute(f"ATTACH {quoted(self._catalog)} AS {name} ({options})")
            row = connection.execute(f"SELECT value FROM {name}.ducklake_metadata WHERE key = 'data_path'").fetchone()
        except duckdb.CatalogException:
            row = None
        except duckdb.Error as error:
            raise unusable(self.location, error) from None
        connection.execute(f"DETACH {name}")
        return str(row[0]) if row else None


def _data_path(path: str) -> str:
    """Return the data path as the catalog stores it: absolute, so that the working directory does not matter."""
    absolute = path if "://" in path else str(Path(path).absolute())
    return absolute.rstrip("/") + "/"


def _reserve(connection: duckdb.DuckDBPyConnection, schema: str, seconds: float) -> float:
    """Reserve `seconds` of the clock, and return how many seconds from now they begin."""
    reserve = (
        f"INSERT INTO synthflow_request_clock AS clock VALUES ({quoted(schema)}, now() + INTERVAL '{seconds} s') "
        "ON CONFLICT (workspace) DO UPDATE "
        f"SET next_free = greatest(clock.next_free, clock_timestamp()) + INTERVAL '{seconds} s'"
    )
    delay_query = (
        f"SELECT extract(epoch FROM next_free - INTERVAL '{seconds} s' - clock_timestamp())::DOUBLE PRECISION "
        f"FROM synthflow_request_clock WHERE workspace = {quoted(schema)}"
    )
    with transaction(connection):  # PostgreSQL locks the row until the commit
        connection.execute(f"CALL postgres_execute('clock', {quoted(reserve)})")
        [(delay,)] = connection.execute(f"FROM postgres_query('clock', {quoted(delay_query)})").fetchall()
    return max(0.0, float(delay))
