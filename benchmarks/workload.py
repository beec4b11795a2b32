"""The calls to land, the sandbox that serves them, and the count and checksum that they must have."""

from __future__ import annotations

import datetime as dt
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import duckdb

from synthflow_assets.sandbox.config import SandboxConfig
from synthflow_assets.sandbox.store import CallStore

# Count and checksum of a table's call ids; the table's name is to follow.
CHECKSUM_SQL = "SELECT count(*), bit_xor(md5_number_lower(call_id)) FROM "
_FIRST = dt.date(2025, 3, 10)


@dataclass(frozen=True)
class Workload:
    """So many agents with the same number of calls on each of so many days."""

    calls_per_day: int
    days: int = 1
    agents: int = 1
    latency_ms: int = 0

    @property
    def first(self) -> dt.date:
        """The first day."""
        return _FIRST

    @property
    def last(self) -> dt.date:
        """The last day."""
        return _FIRST + dt.timedelta(days=self.days - 1)

    @property
    def store(self) -> CallStore:
        """The sandbox's calls, in this process."""
        return CallStore(SandboxConfig(agents=self.agents, calls_per_day=self.calls_per_day, same_volume=True))

    @property
    def model_ids(self) -> list[str]:
        """The agents."""
        return list(self.store.agents)

    def truth(self) -> tuple[int, int]:
        """How many calls there are, and a checksum of their ids."""
        start = int(dt.datetime.combine(self.first, dt.time(), dt.UTC).timestamp() * 1000)
        store, ids = self.store, []
        for model_id in store.agents:
            ids += sorted(store.ids_between(model_id, start, start + self.days * 86_400_000))
        with duckdb.connect() as connection:
            connection.execute("CREATE TABLE calls AS SELECT unnest($1) AS call_id", [ids])
            return connection.execute(f"{CHECKSUM_SQL}calls").fetchone() or (0, 0)


@contextmanager
def serving(load: Workload) -> Iterator[str]:
    """A sandbox in a process of its own; yields its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "synthflow_assets", "sandbox", "--port", str(port)]
    command += ["--same-volume", "--agents", str(load.agents), "--calls-per-day", str(load.calls_per_day)]
    command += ["--latency-ms", str(load.latency_ms)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(200):
            try:
                urllib.request.urlopen(f"{url}/sandbox/requests")  # noqa: S310
                break
            except OSError:
                time.sleep(0.05)
        yield f"{url}/v2"
    finally:
        process.terminate()
        process.wait()
