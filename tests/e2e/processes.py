"""Commands and servers as real processes."""

import json
import os
import random
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from synthflow_assets.sandbox.server import Sandbox
from synthflow_assets.warehouse.metric_tables import METRIC_TABLES
from synthflow_assets.warehouse.schema import VIEWS

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent

ASSET_COUNT = 4 + len(METRIC_TABLES) + len(VIEWS) + 1

LOCATIONS = """{ workspaceOrError { ... on Workspace { locationEntries { name locationOrLoadError {
    ... on RepositoryLocation { repositories { assetNodes { id } } } ... on PythonError { message } } } } } }"""
TIME_ZONES = """{ schedulesOrError(repositorySelector: { repositoryLocationName: "synthflow_assets",
    repositoryName: "__repository__" }) { ... on Schedules { results { executionTimezone } } } }"""
PARTITIONS = """{ assetNodeOrError(assetKey: {path: ["synthflow", "calls"]}) { ... on AssetNode {
    partitionStats { numPartitions numMaterialized } } } }"""
RUNS = "{ runsOrError { ... on Runs { results { status } } } }"


def environment(sandbox: Sandbox | None = None, **variables: str) -> dict[str, str]:
    """The environment of a process, with the settings of a sandbox and without previews, which take time."""
    own = {"SYNTHFLOW_API_KEY": "sandbox-key", "SYNTHFLOW_BASE_URL": sandbox.url} if sandbox else {}
    return {**os.environ, "SYNTHFLOW_PREVIEWS": "false", **own, **variables}


def run(folder: Path, *command: str, env: dict[str, str] | None = None, code: int = 0, bin: Path = BIN) -> str:  # noqa: A002
    """Run a command of an environment in a folder; its output."""
    result = subprocess.run(
        [str(bin / command[0]), *command[1:]],
        cwd=folder,
        env=env or environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=180,
        check=False,
    )
    assert result.returncode == code, result.stdout
    return result.stdout


class Server:
    """A server that is started as its users do, and stopped as a service manager would."""

    def __init__(self, command: Sequence[str], folder: Path, env: dict[str, str], log: Path) -> None:
        self.log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command, cwd=folder, env=env, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )

    def stop(self) -> None:
        """Ask the server to end, and wait for the end."""
        self._process.terminate()
        self.wait()

    def wait(self) -> int:
        """Wait for the end; the exit code."""
        return self._process.wait(timeout=60)

    def kill_descendant(self, command: str) -> None:
        """Kill the one process below the server whose command contains the text."""
        processes = psutil.Process(self._process.pid).children(recursive=True)
        [process] = [process for process in processes if command in " ".join(process.cmdline())]
        process.kill()

    def wait_for(self, url: str, query: str | None = None, seconds: float = 120) -> Any:
        """The first answer of the server to a request."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                return ask(url, query)
            except OSError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise AssertionError(self.log.read_text()) from None
                time.sleep(0.2)


def free_port() -> int:
    """A TCP port that nothing listens on, and that the system gives to no other process before it is used."""
    for port in random.SystemRandom().sample(range(20_000, 30_000), 100):  # the system gives those from 32768 on
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no port from 20000 to 29999 is free")


def ask(url: str, query: str | None = None) -> Any:
    """The JSON answer to a request, which holds a GraphQL query if there is one."""
    body = json.dumps({"query": query}).encode() if query else None
    headers = {"content-type": "application/json", "authorization": "Bearer sandbox-key"}
    with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=5) as answer:  # noqa: S310
        return json.load(answer)


def asset_count(port: int) -> int:
    """The number of assets of the one code location, which has its usual name."""
    answer = ask(f"http://127.0.0.1:{port}/graphql", LOCATIONS)
    [entry] = answer["data"]["workspaceOrError"]["locationEntries"]
    assert entry["name"] == "synthflow_assets"
    assert "repositories" in entry["locationOrLoadError"], entry
    return len(entry["locationOrLoadError"]["repositories"][0]["assetNodes"])


def run_states(port: int) -> list[str]:
    """The status of each run that Dagster's UI lists."""
    results = ask(f"http://127.0.0.1:{port}/graphql", RUNS)["data"]["runsOrError"]["results"]
    return [result["status"] for result in results]


def partition_counts(port: int) -> dict[str, int]:
    """How many partitions `calls` has, and how many of them are materialized."""
    counts = ask(f"http://127.0.0.1:{port}/graphql", PARTITIONS)["data"]["assetNodeOrError"]["partitionStats"]
    return dict(counts)


def time_zones(port: int) -> set[str]:
    """The time zones of the schedules."""
    results = ask(f"http://127.0.0.1:{port}/graphql", TIME_ZONES)["data"]["schedulesOrError"]["results"]
    return {result["executionTimezone"] for result in results}


def wait_for_end_of_processes(folder: Path, seconds: float = 60) -> None:
    """Wait until no process names the folder. Dagster's code servers end a moment after the process that started them.

    Args:
        folder: of the data.
        seconds: until the wait fails. A code server whose parent was killed ends after 45 s.
    """
    deadline = time.monotonic() + seconds
    while left := processes_in(folder):
        assert time.monotonic() < deadline, left
        time.sleep(0.2)


def processes_in(folder: Path) -> list[str]:
    """The commands of all processes that name the folder."""
    # `ps` would cut them to the width of the terminal.
    commands = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    return [command for command in commands if str(folder) in command]
