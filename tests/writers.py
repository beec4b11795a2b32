"""Writers for tests, each in a process of its own that can be killed."""

import contextlib
import datetime as dt
import json
import os
import signal
import time
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
from tests.forks import Forks


class Writers:
    """The writers of a test.

    Args:
        forks: a process that has imported this module.
        folder: for what the writers print.
    """

    def __init__(self, forks: Forks, folder: Path) -> None:
        self._forks = forks
        self._output = folder / "writers.log"
        self._running: list[int] = []

    def start(self, work: str, **job: Any) -> int:
        """Start a writer, which calls a function of this module. Returns its process id."""
        child = self._forks.call(f"tests.writers:{work}", job, self._output)
        self._running.append(child)
        return child

    def run(self, work: str, **job: Any) -> None:
        """Run a writer to its end. It must not fail."""
        self._end(self.start(work, **job))

    def kill(self, child: int) -> None:
        """Kill a writer."""
        os.kill(child, signal.SIGKILL)
        self._running.remove(child)
        self._forks.exit_code(child)

    def finish(self) -> None:
        """Wait until all writers have ended. None may fail."""
        while self._running:
            self._end(self._running[0])

    def are_running(self) -> bool:
        """Return whether a writer is running. None that ended may have failed."""
        for child in list(self._running):
            if (code := self._forks.poll(child)) is not None:
                self._running.remove(child)
                assert code == 0, self._output.read_text()
        return bool(self._running)

    def stop(self) -> None:
        """Kill all writers that are still running."""
        for child in list(self._running):
            self.kill(child)

    def _end(self, child: int) -> None:
        code = self._forks.exit_code(child, seconds=120)
        self._running.remove(child)
        assert code == 0, self._output.read_text()
        assert not self._output.read_text()


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
            with warehouse.connect() as connection:
                ready = staging.take_ready()
                note(job, "landing")
                land(connection, ready, version, dt.datetime.now(dt.UTC))
                note(job, "landed")


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
