"""Whole partitions are replaced, counted, and left untouched when something fails."""

import datetime as dt
import json
import random
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest

from synthflow_assets.agents import Agent
from synthflow_assets.errors import WarehouseUnusableError
from synthflow_assets.interfaces import FetchResult
from synthflow_assets.quality import CHECKS, find_problems
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse import landing as landing_module
from synthflow_assets.warehouse import staging as staging_module
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.landing import LoadSummary, land, land_agents
from synthflow_assets.warehouse.staging import Partition, Staging
from tests.warehouse.staged import staged

DAY = dt.date(2026, 3, 10)
START_MS = 1_773_100_800_000
NOW = dt.datetime(2026, 3, 11, 12, tzinfo=dt.UTC)


@pytest.fixture
def warehouse(empty_file: Path, tmp_path: Path) -> Warehouse:
    return Warehouse(shutil.copy(empty_file, tmp_path / "warehouse.duckdb"))


def records(*ids: str, **fields: Any) -> list[bytes]:
    return [json.dumps({"call_id": one, "start_time": START_MS, "duration": 5, **fields}).encode() for one in ids]


def load(
    warehouse: Warehouse,
    contents: dict[Partition, list[bytes]],
    *,
    closed: bool = True,
    pii: str = "keep",
    timezone: str = "UTC",
    **options: Any,
) -> list[LoadSummary]:
    batch = staged(contents, pii=pii, timezone=timezone, closed=closed)
    with warehouse.connect() as connection:
        return land(connection, batch, "run", NOW, pii=pii, **options)


def stored(warehouse: Warehouse, query: str) -> list[tuple[Any, ...]]:
    with warehouse.connect(read_only=True) as connection:
        return connection.execute(query).fetchall()


def test_partition_is_replaced_and_others_are_not_touched(warehouse: Warehouse) -> None:
    first, second = Partition(DAY, "a"), Partition(DAY, "b")
    load(warehouse, {first: records("a1", "a2"), second: records("b1")})
    [summary] = load(warehouse, {first: records("a2", "a3", "a4")})
    assert summary.landed == 3
    rows = stored(warehouse, "SELECT model_id, call_id FROM synthflow.calls ORDER BY call_id")
    assert rows == [("a", "a2"), ("a", "a3"), ("a", "a4"), ("b", "b1")]
    assert stored(warehouse, "SELECT model_id, landed FROM synthflow.call_loads ORDER BY 1") == [("a", 3), ("b", 1)]


def test_a_day_without_calls_is_a_landed_day(warehouse: Warehouse) -> None:
    partition = Partition(DAY, "a")
    load(warehouse, {partition: records("a1")})
    [summary] = load(warehouse, {partition: []})
    assert (summary.landed, summary.settled) == (0, True)
    assert stored(warehouse, "FROM synthflow.calls") == []
    assert stored(warehouse, "SELECT total_records, landed FROM synthflow.call_loads") == [(0, 0)]


def test_the_fields_that_came_are_counted(warehouse: Warehouse) -> None:
    odd = records("3", labels=None, **{"Ada, +1415": 1})
    load(warehouse, {Partition(DAY, "a"): [*records("1", "2", mood=1), *odd, *records("4", duration="long", mood=1)]})
    [(fields,)] = stored(warehouse, "SELECT fields FROM synthflow.call_loads")
    assert fields == {
        "call_id": 3, "start_time": 3, "duration": 3, "mood": 2, "a field of an unreadable name": 1,
    }  # fmt: skip


def test_rejects_are_kept_with_reason_and_replaced_too(warehouse: Warehouse) -> None:
    partition = Partition(DAY, "a")
    bad = records("a1", duration="long") + records("a2")
    [summary] = load(warehouse, {partition: bad})
    assert (summary.landed, summary.rejected) == (1, 1)
    [(reason, record)] = stored(warehouse, "SELECT reason, record FROM synthflow.call_rejects")
    assert reason == "duration is not a whole number from 0 to 31622400"
    assert record.encode() == bad[0]
    load(warehouse, {Partition(DAY, "b"): records("b1", duration="long")})
    load(warehouse, {partition: records("a1", "a2")})
    assert stored(warehouse, "SELECT model_id FROM synthflow.call_rejects") == [("b",)]


def test_rejects_hold_no_record_where_personal_data_is_not_kept(warehouse: Warehouse) -> None:
    load(warehouse, {Partition(DAY, "a"): records("a1", duration="long")}, pii="drop")
    assert stored(warehouse, "SELECT record FROM synthflow.call_rejects") == [(None,)]


def test_open_calls_and_open_windows_are_not_settled(warehouse: Warehouse) -> None:
    partition = Partition(DAY, "a")
    [still_open] = load(warehouse, {partition: records("a1", call_status="in-progress")})
    assert (still_open.open_calls, still_open.settled) == (1, False)
    bad = records("a3", call_status="in-progress", duration="long")
    [rejected] = load(warehouse, {partition: [*bad, *records("a2")]})
    assert (rejected.open_calls, rejected.rejected) == (0, 1)
    [too_early] = load(warehouse, {partition: records("a1", call_status="completed")}, closed=False)
    assert (too_early.open_calls, too_early.settled) == (0, False)
    [done] = load(warehouse, {partition: records("a1", call_status="completed")})
    assert done.settled


UNKNOWN_STATUSES: list[tuple[dict[str, Any], int]] = [
    ({"call_status": "on_hold"}, 1),
    ({"call_status": "on_hold", "duration": 90, "end_call_reason": " "}, 1),
    *(
        ({"call_status": "on_hold", name: value}, 0)
        for name, value in (
            ("end_call_reason", "human_hangup"),
            ("telephony_disconnect_reason", "callee_hangup"),
            ("telephony_hangup", "caller"),
            ("telephony_end", "2026-03-10T00:00:05"),
        )
    ),
    ({"call_status": "Spam"}, 0),
    ({"call_status": None}, 0),
]


def test_a_call_of_an_unknown_status_may_be_open_until_it_has_an_end(warehouse: Warehouse) -> None:
    """Each agent has a call with other fields."""
    contents = {
        Partition(DAY, f"{number}"): records(f"a{number}", **fields)
        for number, (fields, _) in enumerate(UNKNOWN_STATUSES)
    }
    wanted = [(open_calls, not open_calls) for _, open_calls in UNKNOWN_STATUSES]
    assert [(summary.open_calls, summary.settled) for summary in load(warehouse, contents)] == wanted
    # It is open as well if a rejected record does not replace it.
    bad = {partition: records(f"a{partition.model_id}", duration="x") for partition in contents}
    assert [(summary.open_calls, summary.settled) for summary in load(warehouse, bad)] == wanted


@pytest.mark.parametrize(("hours", "settled"), [(47, False), (49, True)])
def test_a_call_that_is_open_two_days_after_its_start_counts_as_ended(
    warehouse: Warehouse, hours: int, settled: bool
) -> None:
    """Synthflow never closes it, and the catch-up would fetch its day for ever."""
    start = NOW - dt.timedelta(hours=hours)
    lines = records("a1", call_status="ringing", start_time=int(start.timestamp() * 1000))
    [summary] = load(warehouse, {Partition(start.date(), "a"): lines})
    assert (summary.landed, summary.open_calls, summary.settled) == (1, 1, settled)


def test_a_call_that_moved_to_another_day_stays_unique(warehouse: Warehouse) -> None:
    load(warehouse, {Partition(DAY, "a"): records("a1", "a2")})
    load(warehouse, {Partition(DAY + dt.timedelta(days=1), "a"): records("a2", start_time=START_MS + 86_400_000)})
    assert stored(warehouse, "SELECT day, call_id FROM synthflow.calls ORDER BY call_id") == [
        (DAY, "a1"),
        (DAY + dt.timedelta(days=1), "a2"),
    ]


def test_a_call_that_is_listed_in_two_partitions_of_a_batch_lands_once(warehouse: Warehouse) -> None:
    later = DAY + dt.timedelta(days=1)
    contents = {
        Partition(DAY, "a"): records("same", "a1"),
        Partition(DAY, "b"): records("same", "b1", "b2"),
        Partition(later, "a"): records("same", start_time=START_MS + 86_400_000),
    }
    summaries = load(warehouse, contents)
    assert stored(warehouse, "SELECT day, model_id FROM synthflow.calls WHERE call_id = 'same'") == [(later, "a")]
    assert {one.partition: (one.fetched, one.landed, one.outside_window) for one in summaries} == {
        Partition(DAY, "a"): (2, 1, 1),
        Partition(DAY, "b"): (3, 2, 1),
        Partition(later, "a"): (1, 1, 0),
    }
    with warehouse.connect(read_only=True) as connection:
        for check in CHECKS:
            if check.blocking and check.table == "calls":
                assert find_problems(connection, check, None, Settings(), later) == []


def test_a_call_that_an_earlier_batch_has_landed_elsewhere_leaves_its_counts_right(warehouse: Warehouse) -> None:
    """Records that name no agent are listed for each, and a large backfill is landed in several batches."""
    for agent in "ab":
        load(warehouse, {Partition(DAY, agent): records("x", "y", labels=["vip"])})
    loads = "SELECT model_id, fetched, landed, outside_window FROM synthflow.call_loads ORDER BY ALL"
    assert stored(warehouse, loads) == [("a", 2, 0, 2), ("b", 2, 2, 0)]
    assert stored(warehouse, "SELECT model_id, count(*) FROM synthflow.calls GROUP BY ALL") == [("b", 2)]
    with warehouse.connect(read_only=True) as connection:
        for check in CHECKS:
            if check.blocking and check.table == "calls":
                assert find_problems(connection, check, None, Settings(), DAY) == []


def test_what_lands_elsewhere_counts_neither_as_open_nor_by_its_fields(warehouse: Warehouse) -> None:
    same = records("same", call_status=" in-progress ")
    first, second = load(warehouse, {Partition(DAY, agent): same for agent in "ab"})
    assert (first.landed, first.open_calls, first.settled) == (1, 1, False)  # though its status has blanks
    assert (second.landed, second.open_calls, second.settled) == (0, 0, True)
    assert stored(warehouse, "SELECT model_id, cardinality(fields) > 0 FROM synthflow.call_loads ORDER BY ALL") == [
        ("a", True),
        ("b", False),
    ]


def test_large_partitions_go_to_files_while_they_are_fetched(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging_module, "CHUNK_BYTES", 500)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    big, small = Partition(DAY, "big"), Partition(DAY, "small")
    with Staging() as staging, warehouse.connect() as connection:
        for number in range(40):
            staging.add(big, records(f"big{number}"))
        assert len(list(tmp_path.glob("*/*.parquet"))) > 1
        staging.add(small, records("small"))
        staging.complete(small, FetchResult(1, 1, 0, 0, 0, 1, closed=True))
        [first] = land(connection, staging.take_ready(), "run", NOW)
        staging.complete(big, FetchResult(40, 40, 0, 0, 0, 1, closed=True))
        [second] = land(connection, staging.take_ready(), "run", NOW)
    assert (first.model_id, first.landed, second.model_id, second.landed) == ("small", 1, "big", 40)
    assert list(tmp_path.glob("*/*.parquet")) == []


@pytest.mark.slow
def test_first_pages_of_many_partitions_go_to_files(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging_module, "_MAX_INCOMPLETE_BYTES", 500)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    partitions = [Partition(DAY, f"m{number}") for number in range(30)]
    with Staging() as staging, warehouse.connect() as connection:
        for partition in partitions:
            staging.add(partition, records(f"{partition.model_id}-call"))
        assert len(list(tmp_path.glob("*/*.parquet"))) > 1
        for partition in partitions:
            staging.complete(partition, FetchResult(1, 1, 0, 0, 0, 1, closed=True))
        summaries = land(connection, staging.take_ready(), "run", NOW)
    assert [summary.landed for summary in summaries] == [1] * 30


@pytest.mark.slow
def test_pages_of_enormous_transcripts_land(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    partition = Partition(DAY, "a")
    ids = [f"a{number}" for number in range(15)]
    with Staging() as staging:
        staging.add(partition, records(*ids, transcript="human: " + "word " * 1_000_000))
        staging.complete(partition, FetchResult(15, 15, 0, 0, 0, 1, closed=True))
        batch = staging.take_ready()
        monkeypatch.setattr(landing_module, "_MEMORY_LIMITS", ("40MB", "41MB"))
        with pytest.raises(WarehouseUnusableError, match="failed to pin"), warehouse.connect() as connection:
            land(connection, batch, "run", NOW)
        monkeypatch.setattr(landing_module, "_MEMORY_LIMITS", ("40MB", "1GB"))
        with warehouse.connect() as connection:
            [summary] = land(connection, batch, "run", NOW)
    assert (summary.landed, summary.rejected) == (15, 0)


@pytest.mark.parametrize("chunk_bytes", [1, 2**20], ids=["in a file", "in memory"])
def test_discarded_records_do_not_land(warehouse: Warehouse, chunk_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging_module, "CHUNK_BYTES", chunk_bytes)
    partition = Partition(DAY, "a")
    with Staging() as staging, warehouse.connect() as connection:
        staging.add(partition, records("a1"))
        staging.discard(partition)
        staging.add(partition, records("a2"))
        staging.complete(partition, FetchResult(1, 1, 0, 0, 0, 1, closed=True))
        land(connection, staging.take_ready(), "run", NOW)
    assert stored(warehouse, "SELECT call_id FROM synthflow.calls") == [("a2",)]


def test_a_failure_in_the_middle_leaves_the_old_partition(warehouse: Warehouse) -> None:
    partition = Partition(DAY, "a")
    load(warehouse, {partition: records("a1")})
    with Staging() as staging, warehouse.connect() as connection:
        staging.add(partition, records("a2"))
        staging.complete(partition, FetchResult(1, 1, 0, 0, 0, 1, closed=True))
        batch = staging.take_ready()
        connection.execute("DROP TABLE synthflow.call_loads")  # the last table of the transaction
        with pytest.raises(Exception, match="call_loads"):
            land(connection, batch, "run", NOW)
    assert stored(warehouse, "SELECT call_id FROM synthflow.calls") == [("a1",)]


@pytest.mark.slow
def test_a_file_does_not_grow_with_each_replacement(warehouse: Warehouse) -> None:
    sizes_bytes = []
    for number in range(5):
        # Texts that compress badly, and others each time.
        texts = [random.Random(f"{number} {one}").randbytes(400).hex() for one in range(2000)]
        lines = [line for one, text in enumerate(texts) for line in records(f"c{one}", transcript=text)]
        load(warehouse, {Partition(DAY, "m"): lines})
        sizes_bytes.append(Path(warehouse.location).stat().st_size)
    # A later transaction reuses the space of the old rows.
    assert max(sizes_bytes) <= 3 * sizes_bytes[0]


def test_agents_are_added_and_renamed(warehouse: Warehouse) -> None:
    with warehouse.connect() as connection:
        land_agents(connection, [Agent("a", "Old", "inbound"), Agent("b", "Other", None), Agent("c", None, None)], NOW)
        land_agents(connection, [Agent("a", "New", "inbound")], NOW)
        land_agents(connection, [], NOW)
        gone = land_agents(connection, [Agent("d", "Last", None)], NOW + dt.timedelta(days=1))
        assert gone == [Agent("a", "New", "inbound"), Agent("b", "Other", None), Agent("c", None, None)]
        assert land_agents(connection, [Agent("d", "Last", None)], NOW + dt.timedelta(days=2)) == []  # said once
        connection.execute("DELETE FROM agents WHERE model_id = 'd'")
    assert stored(warehouse, "SELECT model_id, name FROM synthflow.agents ORDER BY 1") == [
        ("a", "New"), ("b", "Other"), ("c", None),
    ]  # fmt: skip


def test_frames_have_the_right_types(warehouse: Warehouse) -> None:
    load(warehouse, {Partition(DAY, "a"): records("a1")})
    frame = warehouse.read_frame("calls", DAY, DAY)
    assert str(frame["day"].dtype).startswith("datetime64")
    assert str(frame["start_time"].dtype) == "datetime64[us, UTC]"
    assert frame["duration_seconds"].tolist() == [5]
    assert warehouse.read_frame("calls", DAY + dt.timedelta(days=1)).empty


# Strays: calls that the API lists for another day than they start on

YESTERDAY = DAY - dt.timedelta(days=1)
TODAY_A, YESTERDAY_A = Partition(DAY, "a"), Partition(YESTERDAY, "a")
BOTH = [YESTERDAY, DAY]
PLACES = "SELECT call_id, day, listed_day, duration_seconds FROM synthflow.calls ORDER BY call_id"
COUNTS = "SELECT day, fetched, landed, rejected, outside_window FROM synthflow.call_loads ORDER BY day"


def strays(*ids: str, **fields: Any) -> list[bytes]:
    """Calls that start two hours before the day."""
    return records(*ids, **{"start_time": START_MS - 7_200_000, **fields})


def assert_complete(warehouse: Warehouse) -> None:
    with warehouse.connect() as connection:
        for check in CHECKS:
            if check.name in ("complete", "within_day", "unique_call_ids"):
                assert find_problems(connection, check, BOTH, Settings.of(), DAY) == []


def test_a_stray_lands_on_its_own_day_if_the_run_fetches_it(warehouse: Warehouse) -> None:
    load(warehouse, {YESTERDAY_A: strays("own"), TODAY_A: [*records("today"), *strays("stray")]}, run_days=BOTH)
    assert stored(warehouse, PLACES) == [
        ("own", YESTERDAY, None, 5), ("stray", YESTERDAY, DAY, 5), ("today", DAY, None, 5),
    ]  # fmt: skip
    assert stored(warehouse, COUNTS) == [(YESTERDAY, 2, 2, 0, 0), (DAY, 2, 1, 0, 1)]
    assert_complete(warehouse)


@pytest.mark.parametrize(("start_ms", "run_days"), [(-7_200_000, [DAY]), (-8 * 86_400_000, None), (86_400_000, BOTH)])
def test_a_stray_of_a_day_that_is_not_fetched_is_rejected(
    warehouse: Warehouse, start_ms: int, run_days: list[dt.date] | None
) -> None:
    run_days = run_days or [DAY - dt.timedelta(days=number) for number in range(30)]
    load(warehouse, {TODAY_A: records("stray", start_time=START_MS + start_ms)}, run_days=run_days)
    assert stored(warehouse, PLACES) == []
    [(reason, record)] = stored(warehouse, "SELECT reason, record FROM synthflow.call_rejects")
    assert reason == "start_time lies outside of the asked day"
    assert json.loads(record)["call_id"] == "stray"
    assert_complete(warehouse)


@pytest.mark.slow
@pytest.mark.parametrize("first", [YESTERDAY_A, TODAY_A])
def test_the_order_in_which_days_of_a_run_land_does_not_matter(warehouse: Warehouse, first: Partition) -> None:
    contents = {YESTERDAY_A: strays("own"), TODAY_A: [*records("today"), *strays("stray", "own", duration=6)]}
    counts = []
    for _ in range(2):
        for partition in sorted(contents, key=lambda one: one != first):
            load(warehouse, {partition: contents[partition]}, run_days=BOTH)
        assert [row[:2] for row in stored(warehouse, PLACES)] == [
            ("own", YESTERDAY), ("stray", YESTERDAY), ("today", DAY),
        ]  # fmt: skip
        assert_complete(warehouse)
        counts.append(stored(warehouse, COUNTS))
    assert counts[0] == counts[1]  # a second run changes nothing


@pytest.mark.slow
def test_a_stray_stays_when_its_own_day_is_fetched_alone(warehouse: Warehouse) -> None:
    load(warehouse, {YESTERDAY_A: strays("own"), TODAY_A: strays("stray")}, run_days=BOTH)
    load(warehouse, {YESTERDAY_A: strays("own", "new")}, run_days=[YESTERDAY])
    assert [row[0] for row in stored(warehouse, PLACES)] == ["new", "own", "stray"]
    assert_complete(warehouse)
    # If its own day lists it, it is no longer a stray.
    load(warehouse, {YESTERDAY_A: strays("own", "stray", duration=7)}, run_days=[YESTERDAY])
    assert stored(warehouse, PLACES) == [("own", YESTERDAY, None, 7), ("stray", YESTERDAY, None, 7)]
    assert_complete(warehouse)


@pytest.mark.slow
def test_a_stray_is_replaced_or_removed_with_the_days_that_list_it(warehouse: Warehouse) -> None:
    load(warehouse, {YESTERDAY_A: strays("own"), TODAY_A: strays("stray")}, run_days=BOTH)
    load(warehouse, {YESTERDAY_A: strays("own"), TODAY_A: strays("stray", duration=8)}, run_days=BOTH)
    assert stored(warehouse, PLACES)[1] == ("stray", YESTERDAY, DAY, 8)
    load(warehouse, {YESTERDAY_A: strays("own"), TODAY_A: []}, run_days=BOTH)
    assert [row[0] for row in stored(warehouse, PLACES)] == ["own"]
    assert_complete(warehouse)


def test_an_open_stray_keeps_the_day_that_lists_it_unsettled(warehouse: Warehouse) -> None:
    contents = {YESTERDAY_A: strays("own"), TODAY_A: strays("stray", call_status="in-progress")}
    summaries = load(warehouse, contents, run_days=BOTH)
    assert {one.day: (one.open_calls, one.settled) for one in summaries} == {YESTERDAY: (0, True), DAY: (1, False)}


def test_the_own_day_is_that_of_the_set_time_zone(warehouse: Warehouse) -> None:
    # In New York, 10 March began four hours later than in UTC.
    contents = {TODAY_A: strays("stray", start_time=START_MS + 3 * 3_600_000)}
    load(warehouse, contents, run_days=BOTH, timezone="America/New_York")
    assert stored(warehouse, PLACES) == [("stray", YESTERDAY, DAY, 5)]


@pytest.mark.slow
def test_a_stray_keeps_what_the_source_has_erased(warehouse: Warehouse) -> None:
    for name in ("Ada", None):
        load(
            warehouse,
            {YESTERDAY_A: [], TODAY_A: strays("stray", lead_name=name)},
            run_days=BOTH,
            vanished_fields="keep",
        )
    assert stored(warehouse, "SELECT lead_name FROM synthflow.calls") == [("Ada",)]
