"""A DuckLake: Parquet in a folder or bucket, a catalog in PostgreSQL, writers on any number of machines."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import duckdb

from synthflow_assets.settings import S3Access
from synthflow_assets.warehouse.engines.base import Patience, attach_when_free, load_extension, unusable
from synthflow_assets.warehouse.engines.file import FileEngine, is_writable
from synthflow_assets.warehouse.statements import quoted


class DuckLakeEngine:
    """A DuckLake: Parquet in a folder or bucket, and a catalog in PostgreSQL or, for one machine, in a DuckDB file.

    `data_path` is needed only where the lake is made; the catalog remembers it.
    """

    def __init__(self, location: str, data_path: str | None = None) -> None:
        self.location = location
        self._catalog = location.removeprefix("ducklake:")
        self._dsn = self._catalog.removeprefix("postgres:") if self._catalog.startswith("postgres:") else None
        self._data_path = data_path

    @property
    def identity(self) -> str:
        """The catalog."""
        return self.location if self._dsn is not None else f"ducklake:{Path(self._catalog).resolve()}"

    @property
    def spill_folder(self) -> str:
        """In the machine's folder for such files; the lake may be far away."""
        return str(Path(tempfile.gettempdir(), "synthflow-duckdb"))

    def prepare(self) -> None:
        """Make the catalog's folder, where it is a file."""
        if self._dsn is None:
            FileEngine(self._catalog).prepare()

    def exists(self) -> bool:
        """Whether the catalog holds a lake.

        Raises:
            WarehouseUnusableError: the catalog cannot be reached.
        """
        if self._dsn is None:
            return Path(self._catalog).exists()
        connection = duckdb.connect(":memory:")
        try:
            self._load(connection)
            return self._stored_data_path(connection, self._dsn) is not None
        finally:
            connection.close()

    def can_be_made(self) -> bool:
        """Whether catalog and data path can be written; of a bucket only the first run can tell."""
        places = [self._catalog] if self._dsn is None else []
        places += [self._data_path] if self._data_path and "://" not in self._data_path else []
        return all(is_writable(Path(place)) for place in places) and (self._dsn is None or bool(self._data_path))

    @contextmanager
    def turn(self, connection: duckdb.DuckDBPyConnection, schema: str, patience: Patience) -> Iterator[None]:
        """One writer after the other, because DuckLake lets only one of two that change the same table commit.

        Without the queue all would still end exact, but who loses has to do its whole transaction again. The lock is
        PostgreSQL's and ends with its transaction, however the process that took it ends.
        """
        if self._dsn is None:  # attaching takes the lock of the catalog's file
            yield
            return
        self._load(connection)
        queue = connection.cursor()
        query = f"SELECT pg_try_advisory_xact_lock(hashtext('synthflow-assets'), hashtext({quoted(schema)}))"

        def attempt() -> str | None:
            row = queue.execute(f"FROM postgres_query('turn', {quoted(query)})").fetchone()
            return None if row and row[0] else "another run, which writes"

        try:
            queue.execute(f"ATTACH {quoted(self._dsn)} AS turn (TYPE postgres, ISOLATION_LEVEL 'READ COMMITTED')")
            queue.execute("BEGIN")
            patience.wait(attempt, self.location)
        except duckdb.Error as error:
            queue.close()
            raise unusable(self.location, error) from None
        except BaseException:
            queue.close()
            raise
        try:
            yield
        finally:
            queue.close()

    def attach(self, connection: duckdb.DuckDBPyConnection, name: str, patience: Patience, *, read_only: bool) -> None:
        """Attach the lake; one that does not exist yet is made, unless it is only to be read."""
        self._load(connection)
        data_path = self._data_path
        if data_path is None and self._dsn is not None:
            data_path = self._stored_data_path(connection, self._dsn)
        if (data_path or "").startswith("s3://"):
            # DuckLake wants it to be ready before it is attached.
            self._load_s3(connection)
        options = ["READ_ONLY"] if read_only else []
        if self._data_path and not read_only:
            options.append(f"DATA_PATH {quoted(_data_path(self._data_path))}")
        elif self._dsn is not None:
            options.append("CREATE_IF_NOT_EXISTS false")
        statement = f"ATTACH {quoted(self.location)} AS {name} ({', '.join(options)})"
        attach_when_free(connection, statement, self.location, patience)

    def shape(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Files of calls by month, which a year's report can skip, and none of their rows in the catalog itself."""
        connection.execute("ALTER TABLE calls SET PARTITIONED BY (year(day), month(day))")
        row = connection.execute("SELECT current_schema()").fetchone()
        for table in ("calls", "call_rejects"):
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

    def _load(self, connection: duckdb.DuckDBPyConnection) -> None:
        try:
            load_extension(connection, "ducklake")
            if self._dsn is not None:
                load_extension(connection, "postgres_scanner")
        except duckdb.Error as error:
            raise unusable(self.location, error) from None

    def _stored_data_path(self, connection: duckdb.DuckDBPyConnection, dsn: str) -> str | None:
        """Where the catalog says that the files are; None where it holds no lake."""
        try:
            connection.execute(f"ATTACH {quoted(dsn)} AS catalog (TYPE postgres, READ_ONLY)")
            row = connection.execute("SELECT value FROM catalog.ducklake_metadata WHERE key = 'data_path'").fetchone()
        except duckdb.CatalogException:
            row = None
        except duckdb.Error as error:
            raise unusable(self.location, error) from None
        connection.execute("DETACH catalog")
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
