"""Maintenance merges files, expires snapshots and removes orphans, and keeps what readers may still read."""

import datetime as dt
import json
import os
import time
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner

from synthflow_assets.cli import main
from synthflow_assets.interfaces import FetchResult
from synthflow_assets.orchestration.build import build_synthflow_defs
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.landing import land
from synthflow_assets.warehouse.staging import Partition, Staging
from tests.lake.conftest import Lake

DAY = dt.date(2026, 3, 1)
LOADS = 3


def fill(warehouse: Warehouse, loads: int = LOADS) -> None:
    """Land a day and the day before it in each load, as a daily schedule with a look-back does."""
    with Staging() as staging, warehouse.connect() as connection:
        for number in range(loads):
            for day in (DAY + dt.timedelta(days=number + back) for back in (0, 1)):
                start_ms = int(dt.datetime.combine(day, dt.time(12), dt.UTC).timestamp() * 1000)
                lines = [json.dumps({"call_id": f"{day}-{n}", "start_time": start_ms}).encode() for n in range(50)]
                staging.add(Partition(day, "m"), lines)
                staging.complete(Partition(day, "m"), FetchResult(50, 50, 0, 0, 0, 1, closed=True))
            land(connection, staging.take_ready(), "run", dt.datetime(2026, 4, 1, tzinfo=dt.UTC))


def files_of_calls(lake: Lake) -> list[Path]:
    return list(Path(lake.data_path, "synthflow", "calls").rglob("*.parquet"))


def test_a_lake_shrinks_and_loses_nothing(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    warehouse = lake.warehouse()
    fill(warehouse)
    before = warehouse.read_frame("calls")
    assert len(before) == 50 * (LOADS + 1)
    many = len(files_of_calls(lake))
    # A killed writer left one file long ago; another writer is about to commit the other.
    orphan, young = (files_of_calls(lake)[0].with_name(f"ducklake-{name}.parquet") for name in ("orphan", "young"))
    for path in (orphan, young):
        path.write_bytes(files_of_calls(lake)[0].read_bytes())
    os.utime(orphan, (time.time() - 200_000,) * 2)
    for name, value in lake.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SYNTHFLOW_LAKE_SNAPSHOT_DAYS", "0")
    said = CliRunner().invoke(main, ["maintain"])
    assert said.exit_code == 0, said.output
    counts = {name: int(count) for count, name in (line.split(None, 1) for line in said.output.splitlines())}
    assert counts["files rewritten"] > 0
    assert counts["files merged"] > 1
    assert counts["snapshots expired"] > LOADS
    assert counts["orphans removed"] == 1
    # For a day, readers of an older snapshot still find its files.
    assert counts["files removed"] == 0
    assert not orphan.exists()
    assert young.exists()
    assert len(files_of_calls(lake)) >= many
    with warehouse.connect(read_only=True) as connection:
        row = connection.execute("SELECT file_count FROM ducklake_table_info('warehouse') WHERE table_name = 'calls'")
        assert row.fetchone() == (1,)
    assert warehouse.read_frame("calls").equals(before)
    warehouse.compact()
    assert len(files_of_calls(lake)) == 2  # the young one is not in the catalog
    assert warehouse.read_frame("calls").equals(before)
    fill(warehouse, 1)
    assert len(warehouse.read_frame("calls")) == len(before)


def test_the_job_expires_snapshots_that_are_older_than_is_set(lake: Lake) -> None:
    # The lake was created in several snapshots, a moment ago.
    assert lake.warehouse().maintain(snapshot_days=7)["snapshots_expired"] == 0
    settings = Settings.of(warehouse=lake.location, lake_data_path=lake.data_path, lake_snapshot_days=0)
    defs = build_synthflow_defs(settings)
    schedule = defs.get_repository_def().get_schedule_def("synthflow_maintenance_schedule")
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
    with dg.instance_for_test() as instance:
        result = defs.get_job_def("synthflow_maintenance").execute_in_process(instance=instance)
        assert result.success
        said = [str(event.user_message) for event in instance.all_logs(result.run_id)]
    assert any("snapshots expired: " in line and "snapshots expired: 0" not in line for line in said)


def test_a_file_is_rewritten_if_much_of_it_is_free(tmp_path: Path) -> None:
    warehouse = Warehouse(str(tmp_path / "w.duckdb"))
    fill(warehouse)
    assert len(set(warehouse.maintain().values())) == 1
    with warehouse.connect() as connection:
        connection.execute("CREATE TABLE big AS SELECT hash(range) AS h FROM range(500_000)")
        connection.execute("CHECKPOINT warehouse; CREATE TABLE behind AS FROM big LIMIT 10")
    with warehouse.connect() as connection:
        connection.execute("DROP TABLE big")
    counts = warehouse.maintain()
    assert counts["size_bytes"] < counts["size_bytes_before"] / 2
    assert len(warehouse.read_frame("calls")) == 50 * (LOADS + 1)
