"""The services of deploy/server, forked with the commands of its compose file, on a real PostgreSQL.

What compose itself does is left out: there are no containers, so hosts and folders are those of this machine.
"""

import datetime as dt
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import psutil
import pytest
import yaml

from synthflow_assets.api.client import SynthflowClient
from synthflow_assets.loading import load_calls, resolve_agents
from synthflow_assets.metrics import compute_metrics
from synthflow_assets.sandbox.config import DEFAULT_API_KEY, SandboxConfig
from synthflow_assets.sandbox.server import Sandbox
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse
from tests.e2e.processes import free_port
from tests.e2e.test_dagster_dev import Deployment, days
from tests.forks import Forks
from tests.lake.conftest import Lake, copied_lake
from tests.lake.test_deploy import SERVER, instance_of, read

RUNS, DAYS_A_RUN = 2, 2
FIRST, LAST = dt.date(2026, 3, 9), dt.date(2026, 3, 12)  # of the backfill
OF_KILLED_RUN = dt.date(2026, 3, 13)
LOCATIONS = """{ workspaceOrError { ... on Workspace { locationEntries { locationOrLoadError { __typename } } } } }"""


class Services:
    """The services of compose as processes of this machine.

    Args:
        forks: starts the processes.
        folder: for their logs.
        here: the words of the compose file that are others on this machine.
        environments: of each service.
    """

    def __init__(
        self, forks: Forks, folder: Path, here: dict[str, str], environments: dict[str, dict[str, str]]
    ) -> None:
        [compose] = read(SERVER / "compose.yaml")
        self._services = compose["services"]
        self._forks, self._folder, self._here, self._environments = forks, folder, here, environments
        self.running: dict[str, int] = {}

    def start_all(self) -> None:
        """Start all as compose does: if one depends on the code server, when that is healthy."""
        for name in sorted(self._environments, key=lambda name: "code" in self._services[name]["depends_on"]):
            self.start(name)
            if name == "code":
                self._wait_until_healthy(name)
        assert list(self.running) == ["code", "webserver", "daemon"]

    def start(self, name: str) -> None:
        self.running[name] = self._command(name, self._services[name]["command"], self._folder / f"{name}.log")

    def kill(self, name: str) -> None:
        """Kill all processes of a service at once, as happens to a container without memory."""
        process = psutil.Process(self.running.pop(name))
        for one in (*process.children(recursive=True), process):
            one.kill()
        self._forks.exit_code(process.pid)

    def stop_all(self) -> None:
        for service in reversed(self.running.values()):
            os.kill(service, signal.SIGTERM)
            self._forks.exit_code(service, seconds=60)

    def _command(self, name: str, words: list[str], log: Path) -> int:
        command = [self._here.get(word, word) for word in words]
        return self._forks.command(command, self._folder, self._environments[name], log)

    def _wait_until_healthy(self, name: str) -> None:
        """Repeat the health check of a service until it passes."""
        _, *check = self._services[name]["healthcheck"]["test"]
        log, deadline = self._folder / "health.log", time.monotonic() + 120
        while self._forks.exit_code(self._command(name, check, log)) != 0:
            assert time.monotonic() < deadline, log.read_text()


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(SandboxConfig(agents=2, calls_per_day=40, same_volume=True)) as started:
        yield started


@pytest.fixture(scope="module")
def lake(empty_lake: Lake, postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """A lake for all tests. Each writes days of its own."""
    with copied_lake(empty_lake, postgres, tmp_path_factory.mktemp("copied") / "lake") as copied:
        yield copied


@pytest.fixture(scope="module")
def services(
    lake: Lake, forks: Forks, sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Services, Deployment]]:
    """The running services, and what drives them."""
    folder = tmp_path_factory.mktemp("server")
    [config], [workspace] = read(SERVER / "dagster.yaml"), read(SERVER / "workspace.yaml")
    home, (code_port, web_port) = folder / "home", (free_port(), free_port())
    here = {
        "0.0.0.0": "127.0.0.1",  # noqa: S104
        "4000": str(code_port),
        "3000": str(web_port),
        "/opt/dagster/home/workspace.yaml": str(home / "workspace.yaml"),
    }
    config["run_monitoring"]["poll_interval_seconds"] = 2
    with pytest.MonkeyPatch.context() as monkeypatch:
        instance = instance_of(config, home, lake.dsn, monkeypatch)  # and its PostgreSQL is in the environment now
        # Each look at a run would be a new connection.
        instance.optimize_for_webserver(statement_timeout=60_000, pool_recycle=3600, max_overflow=20)
        workspace["load_from"][0]["grpc_server"] |= {"host": "127.0.0.1", "port": code_port}
        (home / "workspace.yaml").write_text(yaml.safe_dump(workspace), encoding="utf-8")
        environment = {
            **os.environ,
            "DAGSTER_HOME": str(home),
            "DAGSTER_EVENT_LOG_CONSUMER_DAEMON_INTERVAL_SECONDS": "1",  # until a killed run is started again
        }
        settings = {
            **lake.environment(),
            "SYNTHFLOW_API_KEY": DEFAULT_API_KEY,
            "SYNTHFLOW_BASE_URL": sandbox.url,
            "SYNTHFLOW_START_DATE": FIRST.isoformat(),
            "SYNTHFLOW_BACKFILL_DAYS_PER_RUN": str(DAYS_A_RUN),
            "SYNTHFLOW_PREVIEWS": "false",
        }
        # As deploy/systemd has it; compose gives them to all services.
        environments = {"code": environment | settings, "webserver": environment, "daemon": environment}
        started = Services(forks, folder, here, environments)
        try:
            started.start_all()
            driver = Deployment(
                web_port,
                folder,
                instance,
                lake.warehouse(),
                sandbox,
                environment,
                started.running["webserver"],
                poll_seconds=0.5,
            )
            driver.wait_until(lambda: is_loaded(driver), "the definitions of the code server")
            yield started, driver
        finally:
            started.stop_all()
        instance.dispose()


def is_loaded(server: Deployment) -> bool:
    """Return whether the webserver has the definitions of the code server."""
    entries = server.ask(LOCATIONS)["workspaceOrError"]["locationEntries"]
    return [one["locationOrLoadError"]["__typename"] for one in entries] == ["RepositoryLocation"]


def test_a_backfill_is_several_queued_runs_at_once_and_gives_what_a_file_gives(
    services: tuple[Services, Deployment], lake: Lake, settings_for: Callable[..., Settings]
) -> None:
    _, server = services
    server.set_config(latency_seconds=5.0)  # so a run takes more than ten seconds
    backfill = server.backfill(FIRST, LAST, ["calls", "call_duration_daily"])

    def statuses() -> list[str]:
        return [run.status.value for run in server.runs(dagster_backfill=backfill)]

    # In separate processes of the code server.
    server.wait_until(lambda: statuses() == ["STARTED"] * RUNS, "the runs of the backfill, at once")
    server.set_config(latency_seconds=0.0)
    server.wait_until(lambda: not {"STARTED", "STARTING"} & set(statuses()), "the end of the runs")
    assert statuses() == ["SUCCESS"] * RUNS, server.seen()
    said = [log.read_text(encoding="utf-8") for log in server.folder.glob("*.log")]
    for run in server.runs(dagster_backfill=backfill):
        entries = server.instance.all_logs(run.run_id)
        happened = [entry.dagster_event.event_type_value for entry in entries if entry.dagster_event]
        in_order = [happened.index(f"PIPELINE_{kind}") for kind in ("ENQUEUED", "STARTING", "START", "SUCCESS")]
        assert in_order == sorted(in_order)
        said += map(str, entries)
    assert not [text for text in said if DEFAULT_API_KEY in text]
    compare_with_a_file(settings_for(server.sandbox), lake)


def compare_with_a_file(settings: Settings, lake: Lake) -> None:
    file = Warehouse.from_settings(settings)
    with SynthflowClient.from_settings(settings) as client:
        agents = resolve_agents(client, settings).agents
        list(load_calls(client, file, settings, agents, days(FIRST, LAST), log=lambda _: None))
    with file.connect() as connection:
        compute_metrics(connection, days(FIRST, LAST), settings)
    there = lake.warehouse().read_frame("call_duration_daily", FIRST, LAST)
    pd.testing.assert_frame_equal(file.read_frame("call_duration_daily"), there)


def test_a_run_that_was_killed_with_its_code_server_is_started_again(
    services: tuple[Services, Deployment], lake: Lake
) -> None:
    processes, server = services
    server.set_config(latency_seconds=3.0)
    killed = server.launch(
        "synthflow_daily",
        ["calls", "call_duration_daily"],
        checks=False,
        executionMetadata={"tags": [{"key": "dagster/partition", "value": OF_KILLED_RUN.isoformat()}]},
    )
    server.wait_until(lambda: server.status_of(killed) == "STARTED", "the run that is to be killed")
    processes.kill("code")
    server.set_config(latency_seconds=0.0)
    # Dagster tries once to retry the run, which would fail while the code server is away or not yet loaded again.
    server.wait_until(lambda: not is_loaded(server), "the webserver, and so the daemon, to give the code server up")
    assert server.status_of(killed) == "STARTED"
    processes.start("code")
    server.wait_until(lambda: server.status_of(killed) == "FAILURE", "the end of the killed run")
    server.wait_until(
        lambda: [one.is_success for one in server.runs(dagster_parent_run_id=killed)] == [True],
        "the run that Dagster starts again",
    )
    landed = lake.warehouse().read_frame("call_duration_daily", OF_KILLED_RUN, OF_KILLED_RUN)
    assert landed["calls"].sum() == len(lake.warehouse().read_frame("calls", OF_KILLED_RUN, OF_KILLED_RUN)) > 0
