"""If many processes write at once, or one is killed, no call is lost and none is stored twice."""

import collections
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from synthflow_assets.sandbox.server import Sandbox
from synthflow_assets.warehouse.connection import Warehouse
from tests.lake.conftest import Lake
from tests.writers import Writers

KILLS = 4
WRITERS = 2
CALLS = 150
DAYS = ("2026-03-09", "2026-04-02")


def landing(lake: Lake, writer: int, landings: int, **changes: Any) -> dict[str, Any]:
    partitions = [(day, "m") for day in DAYS]
    job = {"writer": writer, "landings": landings, "partitions": partitions, "calls": CALLS}
    return {**job, "work": "land_repeatedly", "location": lake.location, "data_path": lake.data_path, **changes}


def versions(lake: Lake) -> dict[tuple[str, str], str]:
    """Return the version of each partition. A partition must be whole and match `call_loads`."""
    with lake.warehouse().connect(read_only=True) as connection:
        rows = connection.execute(
            "SELECT day::VARCHAR, model_id, list(DISTINCT labels[1]), count(*), count(DISTINCT call_id) "
            "FROM calls GROUP BY ALL"
        ).fetchall()
        loads = connection.execute("SELECT day::VARCHAR, model_id, run_id, landed FROM call_loads").fetchall()
    found = {}
    for day, model_id, [version], calls, distinct in rows:
        assert calls == distinct == CALLS
        found[day, model_id] = version
    assert sorted(loads) == sorted((*partition, version, CALLS) for partition, version in found.items())
    return found


def test_a_kill_at_any_moment_leaves_the_old_partition_or_the_new_one(
    lake: Lake, writers: Writers, tmp_path: Path
) -> None:
    def when_noted(writer: int, lines: int) -> float:
        """Return when the writer's diary has so many lines: one as a landing begins, one as it ends."""
        diary = tmp_path / f"{writer}"
        begun = time.monotonic()
        while not diary.exists() or len(diary.read_text().splitlines()) < lines:
            time.sleep(0.005)
            assert time.monotonic() - begun < 60
        return time.monotonic()

    writers.run(**landing(lake, 0, 1))
    before = versions(lake)
    assert set(before.values()) == {"0.0"}
    chance = random.Random(1)
    outcomes: collections.Counter[str] = collections.Counter()
    landing_seconds = 0.0
    for writer in range(1, KILLS + 1):
        child = writers.start(**landing(lake, writer, 1_000, diary=str(tmp_path / f"{writer}")))
        first = when_noted(writer, 1)
        if writer % 2:
            # Measured, because the kills must fall into a landing on a busy machine too.
            landing_seconds = when_noted(writer, 2) - first
            when_noted(writer, 3)
        time.sleep(chance.uniform(0, landing_seconds))
        writers.kill(child)
        after = versions(lake)
        # Both partitions land in one transaction, so both have the same version: the earlier one or this writer's.
        [version] = set(after.values())
        assert version.startswith(f"{writer}.") or after == before
        outcomes["old" if after == before else "new"] += 1
        before = after
    assert outcomes["new"] >= KILLS / 2, f"the kills came too early: {outcomes}"
    assert outcomes["old"], f"no kill came before a landing was committed: {outcomes}"
    writers.start(**landing(lake, 99, 1))
    writers.finish()
    assert set(versions(lake).values()) == {"99.0"}


@pytest.mark.parametrize("without_lock", [False, True])
def test_many_writers_of_the_same_and_of_different_partitions_end_exact(
    lake: Lake, writers: Writers, without_lock: bool
) -> None:
    """Without the lock, conflicts are found at the commit, and the transaction is retried."""
    for writer in range(WRITERS):
        partitions = [(DAYS[0], "shared"), (DAYS[1], f"own-{writer}")]
        writers.start(**landing(lake, writer, 2, partitions=partitions, without_lock=without_lock))
    writers.finish()
    found = versions(lake)
    assert set(found) == {(DAYS[0], "shared"), *((DAYS[1], f"own-{writer}") for writer in range(WRITERS))}
    assert all(found[DAYS[1], f"own-{writer}"] == f"{writer}.1" for writer in range(WRITERS))


def test_many_writers_create_one_lake_at_once(new_lake: Lake, writers: Writers) -> None:
    for writer in range(WRITERS):
        writers.start(**landing(new_lake, writer, 1))
    writers.finish()
    assert len(versions(new_lake)) == len(DAYS)
    assert len(new_lake.warehouse().read_frame("schema_version")) == 1


@pytest.mark.parametrize("kind", ["file", "lake"])
def test_processes_share_the_request_rate(
    kind: str,
    request: pytest.FixtureRequest,
    start_sandbox: Callable[..., Sandbox],
    writers: Writers,
    tmp_path: Path,
) -> None:
    location, data_path = str(tmp_path / "w.duckdb"), None
    if kind == "lake":
        lake: Lake = request.getfixturevalue("lake")
        location, data_path = lake.location, lake.data_path
    with Warehouse(location, data_path=data_path).connect():
        pass
    sandbox = start_sandbox(agents=1)
    rate, processes, requests = 40.0, 3, 50
    job = {"work": "ask", "location": location, "data_path": data_path, "url": sandbox.url}
    for _ in range(processes):
        writers.start(
            **job,
            model_id=sandbox.model_ids[0],
            requests_per_second=rate,
            requests=requests,
            begin=time.time() + 3,
        )
    seen = [(time.monotonic(), 0)]
    while seen[-1][1] < processes * requests:
        time.sleep(0.02)
        seen.append((time.monotonic(), len(sandbox.api.requests)))
        assert seen[-1][0] - seen[0][0] < 60
    writers.finish()
    first = next(at for at, count in seen if count)
    elapsed = seen[-1][0] - first
    assert processes * requests / elapsed < rate * 1.2
    # Nor within any second. Slots are reserved for half a second, and may be used half a second late.
    assert most_within(1.0, seen) <= rate * 1.5 + processes
    # And most of the rate is used. A busy machine may stop the processes for a while, but not in all of the time.
    assert most_within(2.0, seen) > 2.0 * rate * 0.5


def most_within(seconds: float, seen: list[tuple[float, int]]) -> int:
    """Return how many requests came within so many seconds, at most."""
    return max(max(other for moment, other in seen if at <= moment <= at + seconds) - count for at, count in seen)
