"""A day of a table is one Parquet file, replaced as a whole."""

import datetime as dt
import os
import time
from pathlib import Path
from unittest.mock import ANY

import duckdb
import pytest

from synthflow_assets.errors import WarehouseUnusableError
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.export import export_again, export_days, export_path
from synthflow_assets.warehouse.metric_tables import CALL_DURATION_DAILY

DAYS = [dt.date(2026, 3, 10), dt.date(2026, 3, 11)]


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    made = Warehouse(str(tmp_path / "warehouse.duckdb"))
    with made.connect() as connection:
        for number, agent in enumerate(["a", "b"]):
            connection.execute(
                "INSERT INTO synthflow.call_duration_daily BY NAME SELECT $1::DATE AS day, $2 AS model_id, "
                "$3 AS calls, 0 AS connected_calls, 0 AS short_calls",
                [DAYS[0], agent, number],
            )
    return made


def test_files_hold_the_rows_and_an_empty_day_holds_none(warehouse: Warehouse, tmp_path: Path) -> None:
    folder = tmp_path / "it's an export"
    with warehouse.connect(read_only=True) as connection:
        assert export_days(connection, "call_duration_daily", DAYS, folder) == {DAYS[0]: (2, ANY), DAYS[1]: (0, ANY)}
    assert sorted(path.name for path in (folder / "call_duration_daily").iterdir()) == [
        "2026-03-10.parquet",
        "2026-03-11.parquet",
    ]
    read = duckdb.read_parquet(str(folder / "call_duration_daily/*.parquet"))
    assert read.columns == [column.name for column in CALL_DURATION_DAILY.columns]
    assert [row[:3] for row in read.fetchall()] == [(DAYS[0], "a", 0), (DAYS[0], "b", 1)]


def test_a_reader_meets_the_old_file_or_the_new_one(warehouse: Warehouse, tmp_path: Path) -> None:
    path = Path(export_path(tmp_path, "call_duration_daily", DAYS[0]))
    with warehouse.connect() as connection:
        export_days(connection, "call_duration_daily", DAYS[:1], tmp_path)
        with path.open("rb") as reader:
            before = reader.read(4)
            connection.execute("DELETE FROM synthflow.call_duration_daily")
            export_days(connection, "call_duration_daily", DAYS[:1], tmp_path)
            assert before + reader.read() != path.read_bytes()  # still the whole old one
    assert duckdb.read_parquet(str(path)).fetchall() == []


def test_what_killed_processes_left_is_invisible_and_removed_later(warehouse: Warehouse, tmp_path: Path) -> None:
    folder = tmp_path / "call_duration_daily"
    folder.mkdir()
    old, fresh = folder / ".2026-03-10.parquet.1", folder / ".2026-03-10.parquet.2"
    old.write_bytes(b"half")
    fresh.write_bytes(b"half of somebody who still writes")
    os.utime(old, (time.time() - 7200,) * 2)
    with warehouse.connect() as connection:
        export_days(connection, "call_duration_daily", DAYS[:1], tmp_path)
    assert not old.exists()
    assert fresh.exists()
    assert len(duckdb.read_parquet(str(folder / "*.parquet")).fetchall()) == 2


def test_only_existing_files_are_written_again(warehouse: Warehouse, tmp_path: Path) -> None:
    with warehouse.connect() as connection:
        export_days(connection, "call_duration_daily", DAYS[:1], tmp_path)
        connection.execute("DELETE FROM call_duration_daily")
        assert export_again(connection, ["call_duration_daily", "calls"], DAYS, tmp_path) == 1
    files = list(tmp_path.rglob("*.parquet"))
    assert [str(file) for file in files] == [export_path(tmp_path, "call_duration_daily", DAYS[0])]
    assert duckdb.read_parquet(str(files[0])).fetchall() == []


def test_a_folder_that_cannot_be_written_is_one_line(warehouse: Warehouse, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with warehouse.connect() as connection, pytest.raises(WarehouseUnusableError, match="Check SYNTHFLOW_EXPORT_DIR"):
        export_days(connection, "call_duration_daily", DAYS, blocked)
