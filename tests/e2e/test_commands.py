"""The commands that people type, as they type them: real processes, real Dagster, real HTTP."""

import datetime as dt
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from synthflow_assets.local import say_checked
from synthflow_assets.quality import CHECKS, SCHEDULED_CHECKS
from synthflow_assets.sandbox.server import Sandbox
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.metric_tables import METRIC_TABLES

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
_CHECKS = len(CHECKS) + len(SCHEDULED_CHECKS)
ALL_PASSED = f"{_CHECKS} of {_CHECKS} checks passed"

StartSandbox = Callable[..., Sandbox]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The project's root as a user has it, but with a `data` folder of its own."""
    for name in ("pyproject.toml", "workspace.yaml", "dagster.yaml", "synthflow_assets"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def environment(sandbox: Sandbox | None = None, **variables: str) -> dict[str, str]:
    own = {"SYNTHFLOW_API_KEY": "sandbox-key", "SYNTHFLOW_BASE_URL": sandbox.url} if sandbox else {}
    return {**os.environ, **own, **variables}


def run(project: Path, *command: str, env: dict[str, str] | None = None, code: int = 0) -> str:
    result = subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        cwd=project,
        env=env or environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=180,
        check=False,
    )
    assert result.returncode == code, result.stdout
    return result.stdout


def test_demo_lands_what_the_sandbox_counts_and_is_idempotent(project: Path, browser: Browser) -> None:
    # A key and settings of a real workspace must not leak into it.
    (project / ".env").write_text(
        "SYNTHFLOW_API_KEY=real\nSYNTHFLOW_MODEL_IDS=real-agent\nSYNTHFLOW_TIMEZONE=Asia/Tokyo\n"
    )
    first = run(project, "synthflow-assets", "demo")
    warehouse = Warehouse(str(project / "data/sandbox/synthflow.duckdb"))
    calls = warehouse.read_frame("calls")
    assert f"The sandbox counts {len(calls):,} calls for these days; {len(calls):,} landed" in first
    assert len(calls) > 100
    assert "synthflow.call_duration_daily" in first
    assert "synthflow.disconnect_reasons_daily" in first
    assert ALL_PASSED in first
    assert "make dev" in first
    second = run(project, "synthflow-assets", "demo")
    again = warehouse.read_frame("calls")
    assert again.drop(columns="loaded_at").equals(calls.drop(columns="loaded_at"))
    assert second.splitlines()[2:] == first.splitlines()[2:]
    loads = warehouse.read_frame("call_loads")["day"].dt.date
    with warehouse.connect() as connection:  # as after midnight, until the window's margin is over
        connection.execute("UPDATE call_loads SET settled = false WHERE day = $1", [loads.max()])
    assert say_checked(warehouse, loads.min(), loads.max()) == ALL_PASSED
    page = browser.new_page()
    page.goto((project / "data/sandbox/report.html").as_uri())
    page.wait_for_selector("body[data-drawn-in-ms]")
    assert page.inner_text("#headline-calls") == f"{len(calls):,}"
    assert sorted(path.name for path in project.iterdir() if not path.is_symlink()) == [".env", "data"]


def test_dg_lists_checks_and_launches(project: Path, start_sandbox: StartSandbox) -> None:
    sandbox = start_sandbox(agents=2)
    env = environment(sandbox, DAGSTER_HOME=str(project))
    assert "synthflow/call_duration_daily" in run(project, "dg", "list", "defs", "--json", env=env)
    assert "All definitions loaded successfully" in run(project, "dg", "check", "defs", env=env)
    run(project, "dg", "launch", "--assets", "synthflow/calls", "--partition", "2026-03-10", env=env)
    ranged = ("dg", "launch", "--assets", "group:synthflow", "--partition-range", "2026-03-09...2026-03-11")
    said = run(project, *ranged, env=env)
    assert "RUN_SUCCESS" in said
    assert "STEP_WORKER" not in said, "a process for each step"
    warehouse = Warehouse(str(project / "data/synthflow.duckdb"))
    start = int(dt.datetime(2026, 3, 9, tzinfo=dt.UTC).timestamp() * 1000)
    truth = {
        call_id
        for model_id in sandbox.model_ids
        for call_id in sandbox.api.store.ids_between(model_id, start, start + 3 * 86_400_000)
    }
    assert set(warehouse.read_frame("calls")["call_id"]) == truth
    assert int(warehouse.read_frame("call_duration_daily")["calls"].sum()) == len(truth)


@pytest.mark.parametrize("command", [("dg", "check", "defs"), ("dg", "list", "defs")])
def test_a_bad_setting_is_one_line_and_no_traceback(project: Path, command: tuple[str, ...]) -> None:
    said = run(project, *command, env=environment(SYNTHFLOW_TIMEZONE="Mars/Olympus"), code=1)
    assert "synthflow-assets: SYNTHFLOW_TIMEZONE is 'Mars/Olympus'; allowed is an IANA time zone" in said
    assert "Traceback" not in said


def test_a_wrong_key_fails_the_run_with_one_message(project: Path, start_sandbox: StartSandbox) -> None:
    env = environment(start_sandbox(), DAGSTER_HOME=str(project), SYNTHFLOW_API_KEY="wrong-key-123")
    said = run(project, "dg", "launch", "--assets", "synthflow/calls", "--partition", "2026-03-10", env=env, code=1)
    assert "SYNTHFLOW_REGION to the one of your workspace" in said
    assert "wrong-key-123" not in said


def test_cli_lists_agents_and_shows_errors_as_one_line(project: Path, start_sandbox: StartSandbox) -> None:
    sandbox = start_sandbox(agents=2)
    listed = run(project, "synthflow-assets", "agents", env=environment(sandbox))
    assert [line.split()[0] for line in listed.splitlines()] == sandbox.model_ids
    assert "Front Desk" in listed
    failed = run(project, "synthflow-assets", "agents", code=1)
    assert failed.startswith("Error: SYNTHFLOW_API_KEY is not set")
    assert len(failed.splitlines()) == 1
    unlisted = run(
        project, "synthflow-assets", "agents", code=1, env=environment(start_sandbox(assistants_endpoint=False))
    )
    assert unlisted.startswith("Error: this account does not list its agents; set SYNTHFLOW_MODEL_IDS")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def ask(url: str, query: str | None = None) -> Any:
    body = json.dumps({"query": query}).encode() if query else None
    headers = {"content-type": "application/json", "authorization": "Bearer sandbox-key"}
    with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=5) as answer:  # noqa: S310
        return json.load(answer)


def wait_for(url: str, query: str | None = None, seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while True:
        try:
            return ask(url, query)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


@pytest.fixture
def start(project: Path) -> Iterator[Callable[..., "subprocess.Popen[bytes]"]]:
    """Starts servers as their users do, and stops each as a service manager would."""
    started: list[subprocess.Popen[bytes]] = []

    def start_one(*command: str, env: dict[str, str]) -> "subprocess.Popen[bytes]":
        log = (project / f"server{len(started)}.log").open("wb")
        with log:
            started.append(
                subprocess.Popen(
                    [str(BIN / command[0]), *command[1:]],
                    cwd=project,
                    env=env,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            )
        return started[-1]

    yield start_one
    for process in started:
        process.terminate()
        process.wait(timeout=60)


def test_sandbox_command_serves_on_loopback(start: Callable[..., Any]) -> None:
    port = free_port()
    start("synthflow-assets", "sandbox", "--port", str(port), "--agents", "2", env=environment())
    agents = wait_for(f"http://127.0.0.1:{port}/v2/assistants/")["response"]["assistants"]
    assert len(agents) == 2


def processes_in(folder: Path) -> list[str]:
    """The commands of all processes that work in a folder or speak of it."""
    listed = subprocess.run(["ps", "-eo", "args"], check=True, capture_output=True, text=True).stdout  # noqa: S607
    return [line for line in listed.splitlines() if str(folder) in line]


def test_dev_refuses_a_taken_port_with_one_line(project: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = run(project, "synthflow-assets", "dev", "--port", str(port), code=1)
    assert said.startswith(f"Error: 127.0.0.1:{port} cannot be used (Address already in use)")
    assert len(said.splitlines()) == 1


def test_home_is_made_with_the_projects_settings(project: Path) -> None:
    made = Path(run(project, "synthflow-assets", "home").strip())
    assert made == project / "data/dagster"
    assert (made / "dagster.yaml").resolve() == ROOT / "dagster.yaml"


def test_env_file_wins_for_every_command(project: Path, start_sandbox: StartSandbox) -> None:
    sandbox = start_sandbox(agents=1)
    (project / ".env").write_text(f"SYNTHFLOW_API_KEY=sandbox-key\nSYNTHFLOW_BASE_URL={sandbox.url}\n")
    env = environment(SYNTHFLOW_API_KEY="wrong", SYNTHFLOW_BASE_URL="http://127.0.0.1:9", DAGSTER_HOME=str(project))
    assert "Front Desk" in run(project, "synthflow-assets", "agents", env=env)
    run(project, "dg", "launch", "--assets", "synthflow/calls", "--partition", "2026-03-10", env=env)


LOCATIONS = """{ workspaceOrError { ... on Workspace { locationEntries { name locationOrLoadError {
    ... on RepositoryLocation { repositories { assetNodes { id } } } ... on PythonError { message } } } } } }"""
RUNS = "{ runsOrError { ... on Runs { results { status } } } }"


@pytest.mark.parametrize("command", [("dagster", "dev", "-w", "workspace.yaml"), ("synthflow-assets", "dev")])
def test_dev_loads_the_project_and_keeps_its_history(
    project: Path, start: Callable[..., Any], command: tuple[str, ...]
) -> None:
    home = {"DAGSTER_HOME": str(project)} if command[0] == "dagster" else {}
    if command[0] == "synthflow-assets":
        run(project, "synthflow-assets", "demo")
    port = free_port()
    process = start(*command, "--port", str(port), env=environment(**home))
    answer = wait_for(f"http://127.0.0.1:{port}/graphql", LOCATIONS)
    [entry] = answer["data"]["workspaceOrError"]["locationEntries"]
    assert entry["name"] == "synthflow_assets"
    assert len(entry["locationOrLoadError"]["repositories"][0]["assetNodes"]) == 3 + 2 * len(METRIC_TABLES) + 2
    if command[0] == "synthflow-assets":
        runs = ask(f"http://127.0.0.1:{port}/graphql", RUNS)["data"]["runsOrError"]["results"]
        assert runs == [{"status": "SUCCESS"}]  # the demo's
        assert "SYNTHFLOW_API_KEY is not set, so this runs over the sandbox" in (project / "server0.log").read_text()
        process.terminate()
        process.wait(timeout=60)
        assert processes_in(project) == []


def test_rejects_are_listed_and_a_person_is_forgotten(project: Path, start_sandbox: StartSandbox) -> None:
    env = environment(start_sandbox(agents=1, calls_per_day=50, faults={"odd_records": 1}), DAGSTER_HOME=str(project))
    run(project, "dg", "launch", "--assets", "group:synthflow", "--partition", "2026-03-10", env=env)
    listed = run(project, "synthflow-assets", "rejects", env=env).splitlines()
    assert "        3  duration is not a whole number from 0 to 31622400; 2026-03-10 to 2026-03-10" in listed
    retried = run(project, "synthflow-assets", "rejects", "--retry", env=env)
    assert retried.startswith("0 records landed now")
    warehouse = Warehouse(str(project / "data/synthflow.duckdb"))
    person = warehouse.read_frame("calls")["lead_phone_number"].dropna().iloc[0]
    forgotten = run(project, "synthflow-assets", "forget", "--phone", person, "--yes", env=env)
    assert "calls: personal columns set to NULL" in forgotten
    assert "1 export files rewritten" in forgotten
    assert person not in forgotten
    for file in [project / "data/synthflow.duckdb", *(project / "data/export").rglob("*.parquet")]:
        assert person.removeprefix("+").encode() not in file.read_bytes()
