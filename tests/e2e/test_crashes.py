"""If loads are killed, or run beside other loads and readers, each partition is completely old or completely new."""

import collections
import datetime as dt
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from synthflow_assets.sandbox.config import DEFAULT_API_KEY
from synthflow_assets.sandbox.server import Sandbox
from synthflow_assets.warehouse.connection import Warehouse
from tests.writers import Writers

StartSandbox = Callable[..., Sandbox]
DAYS = [dt.date(2026, 3, 9) + dt.timedelta(days=number) for number in range(2)]
KILLS = 12
VOLUMES = (100, 140)  # calls a day


def load(sandbox: Sandbox, warehouse: Path, days: list[dt.date]) -> dict[str, Any]:
    """Return what a writer does for a run. Dagster takes no part in landing, so it is left out."""
    job = {"work": "load", "url": sandbox.url, "api_key": DEFAULT_API_KEY, "location": str(warehouse)}
    return {**job, "days": [day.isoformat() for day in days]}


def truth(sandbox: Sandbox) -> dict[tuple[dt.date, str], set[str]]:
    found = {}
    for day in DAYS:
        start = int(dt.datetime.combine(day, dt.time(), dt.UTC).timestamp() * 1000)
        for model_id in sandbox.model_ids:
            found[day, model_id] = sandbox.api.store.ids_between(model_id, start, start + 86_400_000)
    return found


def stored(warehouse: Path) -> dict[tuple[dt.date, str], set[str]]:
    """Return the ids of each partition, which must match `call_loads`."""
    found: dict[tuple[dt.date, str], set[str]] = collections.defaultdict(set)
    with Warehouse(str(warehouse)).connect(read_only=True) as connection:
        rows = connection.execute("SELECT day, model_id, call_id FROM synthflow.calls").fetchall()
        loads = connection.execute("SELECT day, model_id, landed FROM synthflow.call_loads").fetchall()
    for day, model_id, call_id in rows:
        assert call_id not in found[day, model_id]
        found[day, model_id].add(call_id)
    assert {(day, model_id): landed for day, model_id, landed in loads} == {k: len(ids) for k, ids in found.items()}
    return found


def test_a_kill_at_any_moment_leaves_whole_partitions(
    start_sandbox: StartSandbox, writers: Writers, tmp_path: Path
) -> None:
    warehouse = tmp_path / "warehouse.duckdb"
    # Two workspaces of the same agents with different days, so that old and new can be told apart.
    sandboxes = [start_sandbox(calls_per_day=volume, same_volume=True, agents=2) for volume in VOLUMES]
    truths = [truth(sandbox) for sandbox in sandboxes]
    chance = random.Random(1)
    outcomes: collections.Counter[str] = collections.Counter()
    load_seconds = 0.0
    for number in range(KILLS):
        new = (number + 1) % 2
        if number % 6 == 0:
            # Again and again, because a busy machine takes longer, and the kills must still fall into a load.
            begun = time.monotonic()
            writers.run(**load(sandboxes[1 - new], warehouse, DAYS))
            load_seconds = time.monotonic() - begun
            assert stored(warehouse) == truths[1 - new]
        child = writers.start(**load(sandboxes[new], warehouse, DAYS))
        time.sleep(chance.uniform(0.3, 0.8) * load_seconds)  # before, during and after the landing
        writers.kill(child)
        for partition, ids in stored(warehouse).items():
            [which] = [index for index, known in enumerate(truths) if known[partition] == ids]
            outcomes["new" if which == new else "old"] += 1
    assert outcomes["new"], "no kill came after a landing, so the test tested nothing"
    assert outcomes["old"], "no kill came before a landing, so the test tested nothing"
    writers.run(**load(sandboxes[0], warehouse, DAYS))
    assert stored(warehouse) == truths[0]


def test_several_processes_and_a_reader_at_once_end_exact(
    start_sandbox: StartSandbox, writers: Writers, tmp_path: Path
) -> None:
    warehouse = tmp_path / "warehouse.duckdb"
    sandbox = start_sandbox(calls_per_day=200, agents=2)
    for days in (DAYS, DAYS, DAYS[:1], DAYS[1:2]):
        writers.start(**load(sandbox, warehouse, days))
    reads = 0
    while writers.are_running():
        if warehouse.exists():
            reads += len(stored(warehouse)) > 0
        time.sleep(0.05)
    assert stored(warehouse) == truth(sandbox)
    assert reads
