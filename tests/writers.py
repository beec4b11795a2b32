"""Writers for tests, each in a process of its own that can be killed.

Run as a script, this module forks a writer for each line of JSON that it reads. So the imports, which take longer than
the writing, run once. The script itself opens no connection, because DuckDB's must not be forked.
"""

import contextlib
import datetime as dt
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

from synthflow_assets import loading
from synthflow_assets.api.client import SynthflowClient
from synthflow_assets.interfaces import FetchResult
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.engines.ducklake import DuckLakeEngine
from synthflow_assets.warehouse.landing import LoadSummary, land
from synthflow_assets.warehouse.staging import Partition, Staging


class Writers:
    """The script as a process, and the writers that it forks."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._read() == "ready"

    def start(self, **job: Any) -> int:
        """Start a writer and return its process id."""
        assert self.process.stdin is not None
        print(json.dumps(job), file=self.process.stdin, flush=True)
        return int(self._read())

    def run(self, **job: Any) -> None:
        """Run a writer to its end. It must not fail."""
        self.start(**job, wait=True)
        assert self._read() == "0"

    def finish(self) -> None:
        """Wait until all writers have ended. None may fail."""
        _, said = self.process.communicate(timeout=120)
        assert said == ""

    def stop(self) -> None:
        """End all writers."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        with self.process:  # closes the pipes, and waits
            pass

    def _read(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


def land_repeatedly(job: dict[str, Any]) -> None:
    """Land the same partitions, each time with another version of their calls."""
    if job.get("without_lock"):
        DuckLakeEngine.write_lock = lambda *_: contextlib.nullcontext()  # type: ignore[method-assign,assignment,misc]
    # Waiting for other writers is expected here, so it is not logged.
    warehouse = Warehouse(job["location"], data_path=job["data_path"], on_wait=lambda _: None)
    for number in range(job["landings"]):
        version = f"{job['writer']}.{number}"
        with Staging() as staging:
            for day, model_id in job["partitions"]:
                start_ms = int(dt.datetime.fromisoformat(f"{day}T12:00+00:00").timestamp() * 1000)
                calls = [
                    {"call_id": f"{day}-{model_id}-{call}", "start_time": start_ms, "labels": [version]}
                    for call in range(job["calls"])
                ]
                partition = Partition(dt.date.fromisoformat(day), model_id)
                staging.add(partition, [json.dumps(call).encode() for call in calls])
                staging.complete(partition, FetchResult(len(calls), len(calls), 0, 0, 0, 1, closed=True))
            note(job, "landing")
            with warehouse.connect() as connection:
                land(connection, staging.take_ready(), version, dt.datetime.now(dt.UTC))


def load(job: dict[str, Any]) -> None:
    """Fetch and land days as a run does, two partitions at a time, so that a kill also falls between landings."""
    loading.LAND_AT_PARTITIONS = 2
    settings = Settings.of(api_key=job["api_key"], base_url=job["url"], warehouse=job["location"])
    warehouse = Warehouse(settings.warehouse, on_wait=lambda _: None)
    days = [dt.date.fromisoformat(day) for day in job["days"]]
    with SynthflowClient.from_settings(settings) as client:
        agents = loading.resolve_agents(client, settings).agents
        for outcome in loading.load_calls(client, warehouse, settings, agents, days, log=lambda _: None):
            assert isinstance(outcome, LoadSummary), outcome


def note(job: dict[str, Any], text: str) -> None:
    """Append to the writer's diary, so that the test knows how far the writer is."""
    if job.get("diary"):
        with Path(job["diary"]).open("a", encoding="utf-8") as file:
            file.write(f"{text}\n")


def say(text: object) -> None:
    """Send a line to the test."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def ask(job: dict[str, Any]) -> None:
    """Request pages as fast as the shared rate allows, from a given time on."""
    warehouse = Warehouse(job["location"], data_path=job["data_path"])
    with (
        SynthflowClient("sandbox-key", job["url"], requests_per_second=job["requests_per_second"]) as client,
        loading.shared_rate(client, warehouse),
    ):
        time.sleep(max(0.0, job["begin"] - time.time()))
        for _ in range(job["requests"]):
            client.list_calls(job["model_id"], limit=1)


def main() -> None:
    """Fork a writer for each line of standard input, and wait for all writers at its end."""
    work = {"land": land_repeatedly, "load": load, "ask": ask}
    # Python 3.12 and later warn of threads. Those of the imported libraries only wait for work.
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    say("ready")
    for line in sys.stdin:
        job = json.loads(line)
        reap(os.WNOHANG)
        if (child := os.fork()) == 0:
            try:
                work[job["work"]](job)
                os._exit(0)
            except BaseException as error:  # noqa: BLE001
                sys.stderr.write(f"{type(error).__name__}: {error}\n")
                sys.stderr.flush()
                os._exit(1)
        say(child)
        if job.get("wait", False):
            say(os.waitpid(child, 0)[1])
    reap()


def reap(options: int = 0) -> None:
    """Collect writers that ended: all of them, or those that ended by now."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, options) != (0, 0):
            pass


if __name__ == "__main__":
    main()
