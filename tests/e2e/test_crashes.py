"""What is killed, runs at the same time, or meets a reader leaves the old partition or the new one, whole."""

import collections
import datetime as dt
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from synthflow_assets.sandbox.server import Sandbox
from synthflow_assets.warehouse.connection import Warehouse

StartSandbox = Callable[..., Sandbox]
DAYS = [dt.date(2026, 3, 9) + dt.timedelta(days=number) for number in range(4)]
KILLS = 30

# What a run does, without the second that Dagster needs to start: nothing of Dagster takes part in landing.
LOAD = """
import datetime as dt, sys
from synthflow_assets.api.client import SynthflowClient
from synthflow_assets.loading import load_calls, resolve_agents
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse
import synthflow_assets.loading as loading
loading.LAND_AT_PARTITIONS = 2  # so that a kill falls between landings as well as into them
settings = Settings.load()
days = [dt.date.fromisoformat(day) for day in sys.argv[1:]]
print("begun", flush=True)
with SynthflowClient.from_settings(settings) as client:
    agents = resolve_agents(client, settings).agents
    warehouse = Warehouse(settings.warehouse)
    for outcome in load_calls(client, warehouse, settings, agents, days, log=lambda line: None):
        assert hasattr(outcome, "landed"), outcome
"""


def start_load(sandbox: Sandbox, warehouse: Path, days: list[dt.date]) -> "subprocess.Popen[str]":
    env = {
        **os.environ,
        "SYNTHFLOW_API_KEY": "sandbox-key",
        "SYNTHFLOW_BASE_URL": sandbox.url,
        "SYNTHFLOW_WAREHOUSE": str(warehouse),
    }
    return subprocess.Popen(
        [sys.executable, "-c", LOAD, *(day.isoformat() for day in days)],
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def finish(process: "subprocess.Popen[str]") -> None:
    _, said = process.communicate()
    assert process.returncode == 0, said


def truth(sandbox: Sandbox) -> dict[tuple[dt.date, str], set[str]]:
    found = {}
    for day in DAYS:
        start = int(dt.datetime.combine(day, dt.time(), dt.UTC).timestamp() * 1000)
        for model_id in sandbox.model_ids:
            found[day, model_id] = sandbox.api.store.ids_between(model_id, start, start + 86_400_000)
    return found


def stored(warehouse: Path) -> dict[tuple[dt.date, str], set[str]]:
    """The ids of each partition; every one of `call_loads` must agree with them."""
    found: dict[tuple[dt.date, str], set[str]] = collections.defaultdict(set)
    with Warehouse(str(warehouse)).connect(read_only=True) as connection:
        rows = connection.execute("SELECT day, model_id, call_id FROM synthflow.calls").fetchall()
        loads = connection.execute("SELECT day, model_id, landed FROM synthflow.call_loads").fetchall()
    for day, model_id, call_id in rows:
        assert call_id not in found[day, model_id]
        found[day, model_id].add(call_id)
    assert {(day, model_id): landed for day, model_id, landed in loads} == {k: len(ids) for k, ids in found.items()}
    return found


def test_a_kill_at_any_moment_leaves_whole_partitions(start_sandbox: StartSandbox, tmp_path: Path) -> None:
    warehouse = tmp_path / "warehouse.duckdb"
    # Two workspaces of the same agents with different days, so that old and new can be told apart.
    sandboxes = [start_sandbox(calls_per_day=volume, same_volume=True, agents=2) for volume in (900, 1300)]
    truths = [truth(sandbox) for sandbox in sandboxes]
    begun = time.monotonic()
    process = start_load(sandboxes[0], warehouse, DAYS)
    process.stdout.readline()  # type: ignore[union-attr]
    ready = time.monotonic()
    finish(process)
    duration = time.monotonic() - ready
    assert stored(warehouse) == truths[0]
    assert ready - begun < 30
    chance = random.Random(1)
    outcomes: collections.Counter[str] = collections.Counter()
    for number in range(KILLS):
        process = start_load(sandboxes[(number + 1) % 2], warehouse, DAYS)
        process.stdout.readline()  # type: ignore[union-attr]
        time.sleep(chance.uniform(0.2, 1.0) * duration)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        for partition, ids in stored(warehouse).items():
            [which] = [index for index, known in enumerate(truths) if known[partition] == ids]
            outcomes["new" if which == (number + 1) % 2 else "old"] += 1
    assert outcomes["new"], "no kill came after a landing, so the test tested nothing"
    assert outcomes["old"], "no kill came before a landing, so the test tested nothing"
    finish(start_load(sandboxes[0], warehouse, DAYS))
    assert stored(warehouse) == truths[0]


def test_several_processes_and_a_reader_at_once_end_exact(start_sandbox: StartSandbox, tmp_path: Path) -> None:
    warehouse = tmp_path / "warehouse.duckdb"
    sandbox = start_sandbox(calls_per_day=500, agents=2)
    processes = [start_load(sandbox, warehouse, DAYS) for _ in range(2)]
    processes += [start_load(sandbox, warehouse, [day]) for day in DAYS[:2]]
    reads = 0
    while any(process.poll() is None for process in processes):
        if warehouse.exists():
            reads += len(stored(warehouse)) > 0
        time.sleep(0.05)
    for process in processes:
        finish(process)
    assert stored(warehouse) == truth(sandbox)
    assert reads
