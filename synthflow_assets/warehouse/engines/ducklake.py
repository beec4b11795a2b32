"""A DuckLake: Parquet in a folder or bucket, a catalog in PostgreSQL, writers on any number of machines."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import duckdb

from synthflow_assets.errors import ConnectionFailedError
from synthflow_assets.interfaces import ReserveSlots
from synthflow_assets.settings import S3Access
from synthflow_assets.warehouse.engines.base import (
    Connect,
    LockPolicy,
    attach_when_free,
    load_extension,
    machine_spill_folder,
    new_connection,
    unusable,
)
from synthflow_assets.warehouse.engines.file import is_writable
from synthflow_assets.warehouse.schema import CALL_REJECTS, CALLS
from synthflow_assets.warehouse.statements import quoted, sql_file, transaction


class _Step(NamedTuple):
    """A part of the maintenance; its query says of how many it took care."""

    name: str
    query: str
    in_parts: bool = False


_numbers = itertools.count()  # two lakes may be open at once
# The day's grace is for readers of an older snapshot, and for writers that have not committed yet.
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


class DuckLakeEngine:
    """A DuckLake: Parquet in a folder or bucket, and a catalog of it in PostgreSQL.

    `data_path` is needed only where the lake is made; the catalog remembers it.
    """

    def __init__(self, location: str, data_path: str | None = None) -> None:
        self.location = location
        self._catalog = location.removeprefix("ducklake:postgres:")
        self._data_path = data_path

    @property
    def identity(self) -> str:
        """The location."""
        return self.location

    @property
    def spill_folder(self) -> str:
        """In the machine's folder for such files; the lake may be far away."""
        return machine_spill_folder()

    def prepare(self) -> None:
        """Nothing to be made; the database has to be there."""

    def exists(self) -> bool:
        """Whether the catalog holds a lake.

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
        """Whether the data path can be written; of a bucket only the first run can tell."""
        if not self._data_path:
            return "SYNTHFLOW_LAKE_DATA_PATH is not set"
        if "://" in self._data_path or is_writable(Path(self._data_path)):
            return None
        return f"{self._data_path} is not writable. Set SYNTHFLOW_LAKE_DATA_PATH"

    def is_writable(self) -> bool:
        """Only PostgreSQL and the bucket can tell."""
        return True

    @contextmanager
    def write_lock(self, connection: duckdb.DuckDBPyConnection, schema: str, lock_policy: LockPolicy) -> Iterator[None]:
        """One writer after the other, because DuckLake lets only one of two that change the same table commit.

        Without the queue all would still end exact, but who loses has to do its whole transaction again. The lock is
        PostgreSQL's and ends with its transaction, however the process that took it ends.
        """
        self._load(connection)
        name = f"turn_{next(_numbers)}"
        query = f"SELECT pg_try_advisory_xact_lock(hashtext('synthflow-assets'), hashtext({quoted(schema)}))"
        with closing(connection.cursor()) as queue:

            def attempt() -> str | None:
                row = queue.execute(f"FROM postgres_query('{name}', {quoted(query)})").fetchone()
                return None if row and row[0] else "another run, which writes"

            try:
                options = "TYPE postgres, ISOLATION_LEVEL 'READ COMMITTED'"
                queue.execute(f"ATTACH {quoted(self._catalog)} AS {name} ({options})")
                queue.execute("BEGIN")
                lock_policy.wait(attempt, self.location)
            except duckdb.Error as error:
                raise unusable(self.location, error) from None
            yield

    def attach(
        self, connection: duckdb.DuckDBPyConnection, name: str, lock_policy: LockPolicy, *, read_only: bool
    ) -> None:
        """Attach the lake; one that does not exist yet is made, unless it is only to be read."""
        self._load(connection)
        if (self._data_path or self._stored_data_path(connection) or "").startswith("s3://"):
            # DuckLake wants it to be ready before it is attached.
            self._load_s3(connection)
        options = ["READ_ONLY"] if read_only else []
        if self._data_path and not read_only:
            options.append(f"DATA_PATH {quoted(_data_path(self._data_path))}")
        else:
            options.append("CREATE_IF_NOT_EXISTS false")
        statement = f"ATTACH {quoted(self.location)} AS {name} ({', '.join(options)})"
        attach_when_free(connection, statement, self.location, lock_policy)

    def configure_storage(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Files of calls by month, and none of their rows in the catalog, where small changes go otherwise."""
        connection.execute("ALTER TABLE calls SET PARTITIONED BY (year(day), month(day))")
        row = connection.execute("SELECT current_schema()").fetchone()
        for table in (CALLS.name, CALL_REJECTS.name):
            connection.execute(
                "CALL warehouse.set_option('data_inlining_row_limit', 0, "
                f"schema => {quoted(row[0] if row else '')}, table_name => '{table}')"
            )
        connection.execute("CALL warehouse.set_option('parquet_compression', 'zstd')")

    def compact(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Write files anew that hold deleted rows, and forget every older snapshot with the files that it needs."""
        connection.execute("CALL ducklake_rewrite_data_files('warehouse', delete_threshold => 0)")
        connection.execute("CALL ducklake_expire_snapshots('warehouse', older_than => now())")
        connection.execute("CALL ducklake_cleanup_old_files('warehouse', cleanup_all => true)")
        connection.execute(sql_file("synthflow_assets.warehouse.sql", "blank_statistics.sql"))
        # Else the old values would lie in PostgreSQL's pages until it cleans up by itself.
        vacuum = "VACUUM ducklake_file_column_stats, ducklake_table_column_stats"
        catalog = "__ducklake_metadata_warehouse"
        connection.execute(f"CALL postgres_execute('{catalog}', '{vacuum}', use_transaction => false)")

    def maintain(self, connect: Connect, snapshot_days: int) -> dict[str, int]:
        """Merge small files, write those anew that are mostly deleted, and remove what no kept snapshot needs.

        Each step is a turn of its own, so that runs land in between.
        """
        done = dict.fromkeys((step.name for step in _STEPS), 0)
        for step in _STEPS:
            found = 1
            while found:
                with connect() as connection:
                    # All rows: DuckDB commits once the last of them is taken.
                    [(count,)] = connection.execute(step.query.format(snapshot_days=snapshot_days)).fetchall()
                    found = int(count or 0)
                done[step.name] += found
                if not step.in_parts:
                    break
        return done

    @contextmanager
    def request_clock(self, schema: str) -> Iterator[ReserveSlots | None]:
        """A row of the catalog, by PostgreSQL's clock, which is the same for all machines."""
        connections: list[duckdb.DuckDBPyConnection] = []

        def reserve(count: int, interval_seconds: float) -> float:
            for nap in (0.1, 1.0, 5.0, None):
                try:
                    if not connections:
                        connections.append(self._connect_clock())
                    return _reserve(connections[0], schema, count * interval_seconds)
                except duckdb.Error:
                    while connections:
                        connections.pop().close()
                if nap is not None:
                    time.sleep(nap)
            raise ConnectionFailedError(
                f"the request rate is shared by way of {self.location}, which cannot be reached"
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
        made = (
            "CREATE TABLE IF NOT EXISTS synthflow_request_clock "
            "(workspace TEXT PRIMARY KEY, next_free TIMESTAMPTZ NOT NULL)"
        )
        connection.execute(f"CALL postgres_execute('clock', {quoted(made)})")
        return connection

    def _load(self, connection: duckdb.DuckDBPyConnection) -> None:
        try:
            load_extension(connection, "ducklake")
            load_extension(connection, "postgres_scanner")
        except duckdb.Error as error:
            raise unusable(self.location, error) from None

    def _stored_data_path(self, connection: duckdb.DuckDBPyConnection) -> str | None:
        """Where the catalog says that the files are; None where it holds no lake."""
        name = f"catalog_{next(_numbers)}"
        try:
            connection.execute(f"ATTACH {quoted(self._catalog)} AS {name} (TYPE postgres, READ_ONLY)")
            row = connection.execute(f"SELECT value FROM {name}.ducklake_metadata WHERE key = 'data_path'").fetchone()
        except duckdb.CatalogException:
            row = None
        except duckdb.Error as error:
            raise unusable(self.location, error) from None
        connection.execute(f"DETACH {name}")
        return str(row[0]) if row else None

    def _load_s3(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Let the connection use S3, with the keys that the AWS SDK finds: environment, profile or the machine's role.

        They never pass through this package.
        """
        access = S3Access.load()
        options = ["TYPE s3", "PROVIDER credential_chain"]
        if access.endpoint_url:
            parts = urlsplit(access.endpoint_url)
            options += [f"ENDPOINT {quoted(parts.netloc)}", "URL_STYLE 'path'"]
            options += [f"USE_SSL {str(parts.scheme == 'https').lower()}"]
        try:
            load_extension(connection, "httpfs")
            load_extension(connection, "aws")
            connection.execute(f"CREATE OR REPLACE SECRET synthflow_s3 ({', '.join(options)})")
        except duckdb.Error as error:
            raise unusable(self.location, error) from None


def _data_path(path: str) -> str:
    """The data path as the catalog keeps it: whole, so that it means the same in every working directory."""
    whole = path if "://" in path else str(Path(path).absolute())
    return whole.rstrip("/") + "/"


def _reserve(connection: duckdb.DuckDBPyConnection, schema: str, seconds: float) -> float:
    """Take so many seconds of the clock; how many seconds from now they begin."""
    taken = (
        f"INSERT INTO synthflow_request_clock AS clock VALUES ({quoted(schema)}, now() + INTERVAL '{seconds} s') "
        "ON CONFLICT (workspace) DO UPDATE "
        f"SET next_free = greatest(clock.next_free, clock_timestamp()) + INTERVAL '{seconds} s'"
    )
    begins = (
        f"SELECT extract(epoch FROM next_free - INTERVAL '{seconds} s' - clock_timestamp())::DOUBLE PRECISION "
        f"FROM synthflow_request_clock WHERE workspace = {quoted(schema)}"
    )
    with transaction(connection):  # who comes meanwhile waits for the row
        connection.execute(f"CALL postgres_execute('clock', {quoted(taken)})")
        [(delay,)] = connection.execute(f"FROM postgres_query('clock', {quoted(begins)})").fetchall()
    return max(0.0, float(delay))
