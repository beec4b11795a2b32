"""Rejected records are listed by reason, and tried again with a later version's decoding."""

import datetime as dt
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from synthflow_assets.errors import WarehouseUnusableError
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.landing import land
from synthflow_assets.warehouse.rejects import RejectReason, list_rejects, retry_rejects
from synthflow_assets.warehouse.staging import Partition
from tests.warehouse.staged import staged

DAY = dt.date(2026, 3, 10)
START_MS = 1_773_100_800_000
LONG = "duration is not a whole number from 0 to 31622400"


@pytest.fixture
def warehouse(empty_file: Path, tmp_path: Path) -> Warehouse:
    return Warehouse(shutil.copy(empty_file, tmp_path / "warehouse.duckdb"))


def load(warehouse: Warehouse, records: list[dict[str, Any]], pii: str = "keep") -> None:
    batch = staged({Partition(DAY, "m"): [json.dumps(one).encode() for one in records]}, pii=pii)
    with warehouse.connect() as connection:
        land(connection, batch, "run", dt.datetime(2026, 3, 12, tzinfo=dt.UTC))


def record(call_id: str | None, **fields: Any) -> dict[str, Any]:
    return {"call_id": call_id, "start_time": START_MS, "duration": 5, **fields}


def test_reasons_are_counted(warehouse: Warehouse) -> None:
    load(warehouse, [record("a", duration="x"), record("b", duration=1.5), record(None), record("c")])
    with warehouse.connect(read_only=True) as connection:
        assert list_rejects(connection) == [
            RejectReason(LONG, 2, 2, DAY, DAY),
            RejectReason("call_id is missing", 1, 1, DAY, DAY),
        ]


def test_records_that_can_be_typed_now_move_and_all_counts_agree(warehouse: Warehouse) -> None:
    load(warehouse, [record("a", duration="x"), record("b", duration=1.5), record("c")])
    # An earlier version rejected these records, which this version can decode.
    good, elsewhere, twice = record("d", call_status="ringing"), record("e", start_time=START_MS + 10**9), record("c")
    with warehouse.connect() as connection:
        for one in (good, elsewhere, twice):
            connection.execute(
                "INSERT INTO synthflow.call_rejects VALUES ($1, 'm', 'not known yet', $2, now())",
                [DAY, json.dumps(one)],
            )
        connection.execute("UPDATE synthflow.call_loads SET rejected = 4, fetched = 5, total_records = 5")
        assert retry_rejects(connection, "UTC", "keep") == {DAY: 1}
        assert connection.execute("SELECT call_id FROM synthflow.calls ORDER BY ALL").fetchall() == [("c",), ("d",)]
        counts = connection.execute(
            "SELECT landed, rejected, outside_window, open_calls, settled, fetched FROM synthflow.call_loads"
        ).fetchall()
        assert counts == [(2, 3, 0, 1, True, 5)]  # a call that is open for months counts as ended
        outside = "start_time lies outside of the asked day"
        assert [(one.reason, one.records) for one in list_rejects(connection)] == [(LONG, 2), (outside, 1)]
        assert retry_rejects(connection, "UTC", "keep") == {}


def test_nothing_is_lost_by_another_try(warehouse: Warehouse) -> None:
    early, bad, good = record("a", start_time=START_MS - 10**9), record("b", duration="x"), record("b")
    load(warehouse, [early, bad])
    with warehouse.connect() as connection:
        assert retry_rejects(connection, "UTC", "keep") == {}
        assert sum(one.kept for one in list_rejects(connection)) == 2
        row = [DAY, json.dumps(good)]
        connection.execute("INSERT INTO synthflow.call_rejects VALUES ($1, 'm', 'not known yet', $2, now())", row)
        assert retry_rejects(connection, "UTC", "keep") == {DAY: 1}  # though a twin stays rejected
        assert sum(one.kept for one in list_rejects(connection)) == 2
        # Once the call itself has landed, on whatever day, nothing of the record is missing.
        connection.execute("UPDATE synthflow.calls SET call_id = 'a'")
        assert retry_rejects(connection, "UTC", "keep") == {}
        assert [one.reason for one in list_rejects(connection)] == [LONG]


def test_what_follows_is_done_before_anything_is_committed(warehouse: Warehouse) -> None:
    load(warehouse, [record("a")])
    with warehouse.connect() as connection:
        row = [DAY, json.dumps(record("b"))]
        connection.execute("INSERT INTO synthflow.call_rejects VALUES ($1, 'm', 'not known yet', $2, now())", row)
        days: list[dt.date] = []

        def fail(changed: list[dt.date]) -> None:
            days.extend(changed)
            raise WarehouseUnusableError("no export: no space left")

        with pytest.raises(WarehouseUnusableError):
            retry_rejects(connection, "UTC", "keep", on_landed=fail)
        assert days == [DAY]
        assert connection.execute("SELECT call_id FROM synthflow.calls").fetchall() == [("a",)]
        assert retry_rejects(connection, "UTC", "keep") == {DAY: 1}


def test_content_that_was_not_kept_cannot_be_tried_again(warehouse: Warehouse) -> None:
    load(warehouse, [record("a", duration="x")], pii="drop")
    with warehouse.connect() as connection:
        assert retry_rejects(connection, "UTC", "drop") == {}
        assert list_rejects(connection) == [RejectReason(LONG, 1, 0, DAY, DAY)]
