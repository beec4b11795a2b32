"""A lake is created, opened, locked and refused like a file, on a disk and on S3."""

import datetime as dt
import json
import subprocess
import sys
from typing import Any

import duckdb
import pytest

from synthflow_assets.errors import SettingsError, WarehouseLockedError, WarehouseUnusableError
from synthflow_assets.interfaces import FetchResult
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.engines.base import load_extension, new_connection
from synthflow_assets.warehouse.landing import LoadSummary, land
from synthflow_assets.warehouse.staging import Partition, ReadyBatch, Staging
from tests.lake.conftest import Lake

DAY = dt.date(2026, 3, 10)
START_MS = 1_773_100_800_000
NOW = dt.datetime(2026, 3, 12, tzinfo=dt.UTC)
RACES = 2


def fill(staging: Staging, partition: Partition, *ids: str) -> ReadyBatch:
    start_ms = START_MS + (partition.day - DAY).days * 86_400_000
    staging.add(
        partition, [json.dumps({"call_id": one, "start_time": start_ms, "duration": 5}).encode() for one in ids]
    )
    staging.complete(partition, FetchResult(len(ids), len(ids), 0, 0, 0, 1, closed=True))
    return staging.take_ready()


def load(warehouse: Warehouse, *ids: str) -> list[LoadSummary]:
    with Staging() as staging, warehouse.connect() as connection:
        return land(connection, fill(staging, Partition(DAY, "a"), *ids), "run", NOW)


def stored_ids(warehouse: Warehouse) -> list[str]:
    with warehouse.connect(read_only=True) as connection:
        return [row[0] for row in connection.execute("SELECT call_id FROM calls ORDER BY 1").fetchall()]


@pytest.mark.parametrize("kind", ["new_lake", "lake_on_s3"])
def test_a_lake_is_made_replaced_and_read(kind: str, request: pytest.FixtureRequest) -> None:
    lake: Lake = request.getfixturevalue(kind)
    warehouse = lake.warehouse()
    assert not warehouse.exists()
    assert warehouse.can_be_made()
    with pytest.raises(WarehouseUnusableError, match="there is no lake yet"):
        warehouse.read_frame("calls")
    with pytest.raises(WarehouseUnusableError, match="set SYNTHFLOW_LAKE_DATA_PATH"):
        load(Warehouse(lake.location), "a1")
    assert not warehouse.exists()
    load(warehouse, "a1", "a2")
    [summary] = load(warehouse, "a2", "a3", "a4")
    assert summary.landed == 3
    # The catalog names the data path, so readers need no setting.
    reader = Warehouse(lake.location)
    assert reader.exists()
    assert stored_ids(reader) == ["a2", "a3", "a4"]
    assert reader.read_frame("calls", DAY, DAY)["duration_seconds"].tolist() == [5, 5, 5]
    with pytest.raises(WarehouseUnusableError, match="is not the data path of this lake; unset it"):
        load(Warehouse(lake.location, data_path=f"{lake.data_path}-elsewhere"), "a1")


def test_writers_wait_for_the_lock_and_readers_do_not(lake: Lake) -> None:
    said: list[str] = []
    with lake.warehouse().connect():
        assert stored_ids(lake.warehouse(lock_wait_seconds=0.1)) == []
        with (
            pytest.raises(WarehouseLockedError, match="held by another run for more than 3 s"),
            lake.warehouse(lock_wait_seconds=2.6, on_wait=said.append).connect(),
        ):
            pass
        # Another workspace has its own tables and its own lock.
        with Warehouse(lake.location, "acme", data_path=lake.data_path, lock_wait_seconds=0.3).connect():
            pass
    assert len(said) == 1
    with lake.warehouse(lock_wait_seconds=0.3).connect():
        pass


def test_the_lock_ends_with_the_process(lake: Lake) -> None:
    code = (
        "import os, sys; from synthflow_assets.warehouse.connection import Warehouse\n"
        "with Warehouse(sys.argv[1]).connect(): print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, lake.location]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        holder.kill()
    load(lake.warehouse(lock_wait_seconds=10), "a2")
    assert stored_ids(lake.warehouse()) == ["a2"]


def test_two_writers_of_the_same_new_partition_leave_no_duplicate(lake: Lake) -> None:
    """No lock is taken, so that both transactions are open at the same time."""
    warehouse = lake.warehouse()
    with Staging() as staging, raw(lake) as first, raw(lake) as second:
        for race in range(RACES):
            batch = fill(staging, Partition(DAY + dt.timedelta(days=race), "a"), f"{race}-1", f"{race}-2")
            interrupted = Interrupted(second, lambda batch=batch: land(first, batch, "first", NOW))
            land(interrupted, batch, "second", NOW)  # type: ignore[arg-type]
            assert interrupted.attempts == 2, "the race was not run"
    assert stored_ids(warehouse) == sorted(f"{race}-{number}" for race in range(RACES) for number in (1, 2))
    frame = warehouse.read_frame("call_loads")
    assert frame["landed"].tolist() == [2] * RACES
    assert set(frame["run_id"]) == {"second"}


class Interrupted:
    """A connection that calls `other` just before its own first commit."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, other: Any) -> None:
        self._connection = connection
        self._other = other
        self.attempts = 0

    def execute(self, query: str, *parameters: Any) -> Any:
        if query == "COMMIT":
            self.attempts += 1
            if self.attempts == 1:
                self._other()
        return self._connection.execute(query, *parameters)

    def extract_statements(self, query: str) -> Any:
        return self._connection.extract_statements(query)


def raw(lake: Lake) -> duckdb.DuckDBPyConnection:
    """Return a connection without the write lock."""
    connection = new_connection()
    load_extension(connection, "ducklake")
    load_extension(connection, "postgres_scanner")
    connection.execute(f"ATTACH '{lake.location}' AS warehouse; USE warehouse.synthflow; SET TimeZone = 'UTC'")
    return connection


@pytest.mark.parametrize(
    "location",
    [
        "ducklake:postgres:dbname=x password=hunter2",
        "ducklake:postgres:postgresql://me:hunter2@host/x",
        "ducklake:postgres:postgresql://me:p/hunter2@host/x",
        "ducklake:postgres:postgresql://host/x?passwd=hunter2",
        *(f"ducklake:postgres:dbname=x {name} = hunter2" for name in ("passwd", "PGPASS", "pwd", "secret", "api_key")),
    ],
)
def test_a_password_is_refused_and_not_repeated(location: str) -> None:
    with pytest.raises(SettingsError, match="without a password") as from_settings:
        Settings.of(warehouse=location)
    with pytest.raises(WarehouseUnusableError, match="without a password") as from_warehouse:
        Warehouse(location)
    assert "hunter2" not in f"{from_settings.value}{from_warehouse.value}"


def test_a_location_of_another_database_is_not_repeated_with_its_password() -> None:
    for location in (
        "postgres:host=x pwd=hunter2",
        "mysql://me:p/hunter2@host/x",
        "md:x?key=hunter2",
        "ducklake:pwd=hunter2",
    ):
        with pytest.raises(SettingsError, match=r"^warehouse is not usable") as caught:
            Settings.of(warehouse=location)
        assert "hunter2" not in str(caught.value)


def test_the_parameters_of_a_connection_are_allowed() -> None:
    location = "ducklake:postgres:dbname=x host=h port=5432 user=u sslmode=verify-full sslrootcert=/ca passfile=/pw"
    assert Settings.of(warehouse=location).warehouse == location


@pytest.mark.parametrize("location", ["ducklake:mysql:db=x", "ducklake:data/catalog.ducklake"])
def test_other_catalogs_are_refused(location: str) -> None:
    with pytest.raises(WarehouseUnusableError, match="allowed is ducklake:postgres:"):
        Warehouse(location)


def test_a_password_of_the_environment_is_in_no_error(monkeypatch: pytest.MonkeyPatch, postgres: str) -> None:
    monkeypatch.setenv("PGPASSWORD", "hunter2")
    warehouse = Warehouse(f"ducklake:postgres:dbname=nowhere {postgres}", data_path="lake")
    with pytest.raises(WarehouseUnusableError, match=r'PostgreSQL says: .*database "nowhere" does not exist') as caught:
        load(warehouse, "a1")
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)
