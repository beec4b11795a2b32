"""Replay eight hours of Dagster's daemon over the sandbox, to find out whether its files, threads or memory grow.

`python -m benchmarks.ticks` ticks the three schedules and the alert sensor as the daemon does, and launches the runs
that they request. Between the ticks, it advances the clock. After each hour, it prints open files, threads and memory
of the daemon and of the code server. It exits with 1 if one of them has grown since the fourth hour, by when each
schedule has ticked once.
"""

from __future__ import annotations

import datetime as dt
import logging
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
from dagster._core.test_utils import create_test_daemon_workspace_context, freeze_time
from dagster._core.workspace.load_target import ModuleTarget
from dagster._daemon.sensor import execute_sensor_iteration
from dagster._scheduler.scheduler import launch_scheduled_runs

from synthflow_assets.sandbox.config import DEFAULT_API_KEY, SandboxConfig
from synthflow_assets.sandbox.server import Sandbox

ROOT = Path(__file__).parents[1]
HOURS = 8
TICK_SECONDS = 30  # the sensor's interval
LATER_BY_AT_MOST = {"open_files": 5, "threads": 3, "memory_mb": 10}
# A run begins when it is asked for: there is no queue to be polled here.
_WITHOUT_QUEUE = "run_coordinator:\n  module: dagster._core.run_coordinator\n  class: DefaultRunCoordinator\n"


def prepare(home: Path, sandbox: Sandbox) -> None:
    """Set the environment up, with the project's own `dagster.yaml`."""
    settings = {
        "API_KEY": DEFAULT_API_KEY,
        "BASE_URL": sandbox.url,
        "WAREHOUSE": str(home / "warehouse.duckdb"),
        "EXPORT_DIR": str(home / "export"),
        "ALERT_WEBHOOK_URL": "http://127.0.0.1:9/nobody",  # so every alert waits, and is tried again at each tick
    }
    os.environ.update({f"SYNTHFLOW_{name}": value for name, value in settings.items()})
    os.environ["DAGSTER_HOME"] = str(home)
    (home / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text() + _WITHOUT_QUEUE)


def measure(process: psutil.Process) -> dict[str, float]:
    """What may leak, of a process."""
    memory_mb = round(process.memory_info().rss / 2**20)
    return {"open_files": process.num_fds(), "threads": process.num_threads(), "memory_mb": memory_mb}


def wait_for_runs(instance: dg.DagsterInstance) -> int:
    """Wait until no run is under way; how many there were in all."""
    under_way = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.NOT_STARTED]
    while instance.get_runs_count(dg.RunsFilter(statuses=under_way)):
        time.sleep(0.2)
    return instance.get_runs_count()


def replay(instance: dg.DagsterInstance, context: Any) -> list[dict[str, float]]:
    """Eight hours, and what was measured after each."""
    logger = logging.getLogger("ticks")
    location = context.create_request_context().get_code_location("synthflow_assets")
    [repository] = location.get_repositories().values()
    [server] = [child for child in psutil.Process().children() if "grpc" in " ".join(child.cmdline())]
    # From half past one, so that the daily run at five is among them.
    now = dt.datetime.now(dt.UTC).replace(hour=1, minute=30, second=0, microsecond=0)
    with freeze_time(now):
        for schedule in repository.get_schedules():
            instance.start_schedule(schedule)
    measured: list[dict[str, float]] = []
    times: dict[str, Any] = {}
    for number in range(1, HOURS * 3600 // TICK_SECONDS + 1):
        now += dt.timedelta(seconds=TICK_SECONDS)
        with freeze_time(now):
            list(launch_scheduled_runs(context, logger, now, times))
            list(execute_sensor_iteration(context, logger, None, None))
        if number * TICK_SECONDS % 3600 == 0:
            runs = wait_for_runs(instance)
            both = {"daemon": measure(psutil.Process()), "code server": measure(server)}
            measured.append({f"{who} {what}": value for who, found in both.items() for what, value in found.items()})
            print(f"{number * TICK_SECONDS // 3600} h, {runs} runs:", measured[-1], flush=True)
    return measured


def main() -> int:
    """How many of the measured things have grown."""
    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory() as folder, Sandbox(SandboxConfig(agents=2, calls_per_day=50)) as sandbox:
        prepare(Path(folder), sandbox)
        target = ModuleTarget("synthflow_assets.definitions", None, str(ROOT), "synthflow_assets")
        with (
            dg.DagsterInstance.from_config(folder) as instance,
            create_test_daemon_workspace_context(target, instance) as context,
        ):
            measured = replay(instance, context)
    grown = [
        f"{name}: {measured[3][name]} after 4 h, {measured[-1][name]} after {HOURS} h"
        for name in measured[0]
        if measured[-1][name] - measured[3][name] > LATER_BY_AT_MOST[name.rsplit(" ", 1)[1]]
    ]
    print("\n".join(grown) or "nothing has grown")
    return len(grown)


if __name__ == "__main__":
    sys.exit(main())
