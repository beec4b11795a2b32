"""Starts writers for tests, each a process of its own: told by a line of JSON, it forks one and names its id.

What costs time is imported once, before anything is connected that must not be forked.
"""

import contextlib
import datetime as dt
import json
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

from synthflow_assets.api.client import SynthflowClient
from synthflow_assets.interfaces import FetchResult
from synthflow_assets.loading import shared_rate
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.engines.ducklake import DuckLakeEngine
from synthflow_assets.warehouse.landing import land
from synthflow_assets.warehouse.staging import Partition, Staging


def land_again_and_again(job: dict[str, Any]) -> None:
    """Land the same partitions, each time with another version of their calls."""
    if job.get("without_turns"):
        DuckLakeEngine.write_lock = lambda *_: contextlib.nullcontext()  # type: ignore[method-assign,assignment,misc]
    # That it waits for the others is what is tried here, and nothing to warn of.
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


def note(job: dict[str, Any], text: str) -> None:
    """Tell the test how far the writer is."""
    if job.get("diary"):
        with Path(job["diary"]).open("a", encoding="utf-8") as file:
            file.write(f"{text}\n")


def say(text: object) -> None:
    """Answer the test."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def ask(job: dict[str, Any]) -> None:
    """Ask for so many pages, as fast as the shared rate allows, from the given time on."""
    warehouse = Warehouse(job["location"], data_path=job["data_path"])
    with (
        SynthflowClient("sandbox-key", job["url"], requests_per_second=job["requests_per_second"]) as client,
        shared_rate(client, warehouse),
    ):
        time.sleep(max(0.0, job["begin"] - time.time()))
        for _ in range(job["requests"]):
            client.list_calls(job["model_id"], limit=1)


def main() -> None:
    """Fork a writer for each line, until there are no more."""
    work = {"land": land_again_and_again, "ask": ask}
    # Python 3.12 and later see the threads of libraries, which wait for work; the child begins with none of them.
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    say("ready")
    for line in sys.stdin:
        job = json.loads(line)
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
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return


if __name__ == "__main__":
    main()
