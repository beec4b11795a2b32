"""The services of deploy/server, forked with the commands of its compose file, on a real PostgreSQL.

What compose itself does is left out: there are no containers, so hosts and folders are those of this machine.
"""

import datetime as dt
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest
import yaml

from synthflow_assets.sandbox.server import Sandbox
from tests.e2e.processes import free_port
from tests.e2e.test_dagster_dev import Deployment
from tests.forks import Forks
from tests.lake.conftest import Lake
from tests.lake.test_deploy import SERVER, instance_of, read

DAY = dt.date(2026, 3, 10)


@contextmanager
def running(forks: Forks, command: list[str], environment: dict[str, str], log: Path) -> Iterator[int]:
    """Start a service in the log's folder, and yield its process id. It ends with the block."""
    service = forks.command(command, log.parent, environment, log)
    try:
        yield service
    finally:
        os.kill(service, signal.SIGTERM)
        forks.exit_code(service, seconds=60)


def wait_until_healthy(forks: Forks, check: list[str], environment: dict[str, str], log: Path) -> None:
    """Repeat the health check of a service until it passes."""
    deadline = time.monotonic() + 120
    while forks.exit_code(forks.command(check, log.parent, environment, log)) != 0:
        assert time.monotonic() < deadline, log.read_text()


def end(service: int) -> None:
    """Kill all processes of a service at once, as happens to a container without memory."""
    process = psutil.Process(service)
    for one in (*process.children(recursive=True), process):
        one.kill()


def test_a_queued_run_goes_from_the_webserver_by_the_daemon_to_the_code_server(
    lake: Lake, forks: Forks, start_sandbox: Callable[..., Sandbox], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox = start_sandbox(agents=2, calls_per_day=40)
    [compose], [config], [workspace] = (
        read(SERVER / name) for name in ("compose.yaml", "dagster.yaml", "workspace.yaml")
    )
    home, (code_port, web_port) = tmp_path / "home", (free_port(), free_port())
    here = {
        "0.0.0.0": "127.0.0.1",  # noqa: S104
        "4000": str(code_port),
        "3000": str(web_port),
        "/opt/dagster/home/workspace.yaml": str(home / "workspace.yaml"),
    }
    config["run_monitoring"]["poll_interval_seconds"] = 2
    instance = instance_of(config, home, lake.dsn, monkeypatch)  # and its PostgreSQL is in the environment now
    workspace["load_from"][0]["grpc_server"] |= {"host": "127.0.0.1", "port": code_port}
    (home / "workspace.yaml").write_text(yaml.safe_dump(workspace), encoding="utf-8")
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(home),
        "DAGSTER_EVENT_LOG_CONSUMER_DAEMON_INTERVAL_SECONDS": "1",  # until a killed run is started again
    }
    settings = {
        **lake.environment(),
        "SYNTHFLOW_API_KEY": "sandbox-key",
        "SYNTHFLOW_BASE_URL": sandbox.url,
        "SYNTHFLOW_START_DATE": DAY.isoformat(),
        "SYNTHFLOW_EXPORT_DIR": str(tmp_path / "export"),
        "SYNTHFLOW_REPORT": str(tmp_path / "report.html"),
        "SYNTHFLOW_PREVIEWS": "false",
    }
    # As deploy/systemd has it; compose gives them to all services.
    own = {"code": environment | settings, "webserver": environment, "daemon": environment}
    with ExitStack() as parts:
        commands = {
            name: [here.get(word, word) for word in service["command"]]
            for name, service in compose["services"].items()
            if name != "postgres"
        }
        services = {}
        for name in sorted(commands, key=lambda name: "code" in compose["services"][name]["depends_on"]):
            services[name] = parts.enter_context(running(forks, commands[name], own[name], tmp_path / f"{name}.log"))
            if name == "code":  # compose starts the others when it is healthy
                _, *health = [here.get(word, word) for word in compose["services"][name]["healthcheck"]["test"]]
                wait_until_healthy(forks, health, own[name], tmp_path / "health.log")
        assert list(services) == ["code", "webserver", "daemon"]
        server = Deployment(
            web_port,
            tmp_path,
            instance,
            lake.warehouse(),
            sandbox,
            environment,
            services["webserver"],
            poll_seconds=0.5,  # each look is a new connection to PostgreSQL
        )
        loaded = """{ workspaceOrError { ... on Workspace { locationEntries { locationOrLoadError { __typename }
            } } } }"""

        def is_loaded() -> bool:
            entries = server.ask(loaded)["workspaceOrError"]["locationEntries"]
            return [one["locationOrLoadError"]["__typename"] for one in entries] == ["RepositoryLocation"]

        server.wait_until(is_loaded, "the definitions of the code server")
        day = {"tags": [{"key": "dagster/partition", "value": DAY.isoformat()}]}
        run = server.launch("synthflow_daily", executionMetadata=day)
        server.wait_until(lambda: server.status_of(run) == "SUCCESS", "the run")
        server.set_config(latency_seconds=3.0)
        killed = server.launch("synthflow_daily", ["calls", "call_duration_daily"], executionMetadata=day)
        server.wait_until(lambda: server.status_of(killed) == "STARTED", "the run that is to be killed")
        end(services["code"])
        server.set_config(latency_seconds=0.0)
        # Dagster tries once to retry the run, which would fail while the code server is away or not yet loaded again.
        server.wait_until(lambda: not is_loaded(), "the webserver, and so the daemon, to give the code server up")
        assert server.status_of(killed) == "STARTED"
        parts.enter_context(running(forks, commands["code"], own["code"], tmp_path / "code again.log"))
        server.wait_until(lambda: server.status_of(killed) == "FAILURE", "the end of the killed run")
        server.wait_until(
            lambda: [one.is_success for one in server.runs(dagster_parent_run_id=killed)] == [True],
            "the run that Dagster starts again",
        )
    happened = [entry.dagster_event.event_type_value for entry in instance.all_logs(run) if entry.dagster_event]
    assert happened.index("PIPELINE_ENQUEUED") < happened.index("PIPELINE_STARTING") < happened.index("PIPELINE_START")
    landed = lake.warehouse().read_frame("call_duration_daily")
    assert set(landed["day"].dt.date) == {DAY}
    assert (tmp_path / "report.html").exists()
    assert landed["calls"].sum() == len(lake.warehouse().read_frame("calls")) > 0
    instance.dispose()
