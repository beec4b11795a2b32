"""The commands in a clone: real processes, real Dagster, real HTTP.

One test of each command starts it as users do; others fork it from a process that has imported Dagster.
test_projects.py starts `dg` itself, and test_empty_folder.py `dev` with all its processes.
"""

import datetime as dt
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from synthflow_assets.erasure import _PERSONAL
from synthflow_assets.local import LocalRunError, _validate_address
from synthflow_assets.sandbox.server import Sandbox
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.metric_tables import CALL_DURATION_DAILY
from tests.e2e.processes import ROOT, Server, environment, free_port, run
from tests.forks import Forks

StartSandbox = Callable[..., Sandbox]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The root of a clone, but with a `data` folder of its own."""
    for name in ("pyproject.toml", "workspace.yaml", "synthflow_assets"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "dagster.yaml").symlink_to(ROOT / "synthflow_assets" / "dagster.yaml")  # it is the Dagster home as well
    return tmp_path


def test_dg_lists_checks_and_launches(project: Path, forks: Forks, start_sandbox: StartSandbox) -> None:
    sandbox = start_sandbox(agents=2)
    env = environment(sandbox, DAGSTER_HOME=str(project))
    assert "synthflow/call_duration_daily" in forks.run(project, "dg", "list", "defs", "--json", env=env)
    assert "All definitions loaded successfully" in forks.run(project, "dg", "check", "defs", env=env)
    selected = '+key:"synthflow/call_duration_daily" or +key:"synthflow/call_rejects"'
    ranged = ("dg", "launch", "--assets", selected, "--partition-range", "2026-03-09...2026-03-10")
    said = forks.run(project, *ranged, env=env)
    assert "RUN_SUCCESS" in said
    assert "STEP_WORKER" not in said, "a process for each step"
    warehouse = Warehouse(str(project / "data/warehouse.duckdb"))
    start = int(dt.datetime(2026, 3, 9, tzinfo=dt.UTC).timestamp() * 1000)
    truth = {
        call_id
        for model_id in sandbox.model_ids
        for call_id in sandbox.api.store.ids_between(model_id, start, start + 2 * 86_400_000)
    }
    assert set(warehouse.read_frame("calls")["call_id"]) == truth
    assert int(warehouse.read_frame("call_duration_daily")["calls"].sum()) == len(truth)


@pytest.mark.parametrize("command", [("dg", "check", "defs"), ("dg", "list", "defs")])
def test_a_bad_setting_is_one_line_and_no_traceback(project: Path, forks: Forks, command: tuple[str, ...]) -> None:
    said = forks.run(project, *command, env=environment(SYNTHFLOW_TIMEZONE="Mars/Olympus"), code=1)
    assert "synthflow-assets: SYNTHFLOW_TIMEZONE is 'Mars/Olympus'; allowed is an IANA time zone" in said
    assert "Traceback" not in said


def test_a_wrong_key_fails_the_run_with_one_message(project: Path, forks: Forks, start_sandbox: StartSandbox) -> None:
    env = environment(start_sandbox(), DAGSTER_HOME=str(project), SYNTHFLOW_API_KEY="wrong-key-123")
    said = forks.run(
        project, "dg", "launch", "--assets", "synthflow/calls", "--partition", "2026-03-10", env=env, code=1
    )
    assert "SYNTHFLOW_REGION to the region of the workspace" in said
    assert "wrong-key-123" not in said


def test_cli_lists_agents_and_shows_errors_as_one_line(
    project: Path, forks: Forks, start_sandbox: StartSandbox
) -> None:
    sandbox = start_sandbox(agents=2)
    listed = run(project, "synthflow-assets", "agents", env=environment(sandbox))
    assert [line.split()[0] for line in listed.splitlines()] == sandbox.model_ids
    assert "Front Desk" in listed
    failed = forks.run(project, "synthflow-assets", "agents", code=1)
    assert failed.startswith("Error: SYNTHFLOW_API_KEY is not set")
    assert len(failed.splitlines()) == 1
    unlisted = forks.run(
        project, "synthflow-assets", "agents", code=1, env=environment(start_sandbox(assistants_endpoint=False))
    )
    assert unlisted.startswith("Error: this account does not list its agents; set SYNTHFLOW_MODEL_IDS")


def test_sandbox_command_serves_on_loopback(tmp_path: Path, start: Callable[..., Server]) -> None:
    port = free_port()
    command = ("synthflow-assets", "sandbox", "--port", str(port), "--agents", "2")
    server = start(tmp_path, *command, env=environment())
    agents = server.wait_for(f"http://127.0.0.1:{port}/v2/assistants/")["response"]["assistants"]
    assert len(agents) == 2


def test_dev_refuses_a_taken_port_with_one_line(project: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = run(project, "synthflow-assets", "dev", "--port", str(port), code=1)
    assert said.startswith(f"Error: 127.0.0.1:{port} cannot be used (Address already in use)")
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(("port", "another"), [(65_535, 3000), (1, 3000), (3000, 3001)])
def test_another_port_is_one_that_can_be_used(port: int, another: int) -> None:
    # No address of this machine, so that no port of it can be used.
    with pytest.raises(LocalRunError, match=rf"synthflow-assets dev --port {another}$"):
        _validate_address("192.0.2.1", port)


def test_rejects_are_listed_and_a_person_is_forgotten(project: Path, forks: Forks, start_sandbox: StartSandbox) -> None:
    sandbox = start_sandbox(agents=1, calls_per_day=50, faults={"odd_records": 1})
    # `.env` wins over the environment, for every command.
    (project / ".env").write_text(
        f"SYNTHFLOW_API_KEY=sandbox-key\nSYNTHFLOW_BASE_URL={sandbox.url}\nSYNTHFLOW_EXPORT_DIR=data/export\n"
    )
    wrong = {"SYNTHFLOW_API_KEY": "wrong", "SYNTHFLOW_BASE_URL": "http://127.0.0.1:9", "SYNTHFLOW_EXPORT_DIR": "wrong"}
    env = environment(DAGSTER_HOME=str(project), **wrong)
    assert "Front Desk" in forks.run(project, "synthflow-assets", "agents", env=env)
    # The calls, the metrics that are computed from personal columns, and one that is not.
    exported = ("calls", *_PERSONAL, CALL_DURATION_DAILY.name)
    selected = " or ".join(f'2+key:"synthflow/{name}_export"' for name in exported)
    forks.run(project, "dg", "launch", "--assets", selected, "--partition", "2026-03-10", env=env)
    listed = forks.run(project, "synthflow-assets", "rejects", env=env).splitlines()
    assert "        3  duration is not a whole number from 0 to 31622400; 2026-03-10 to 2026-03-10" in listed
    retried = forks.run(project, "synthflow-assets", "rejects", "--retry", env=env)
    assert retried.startswith("0 records landed now")
    warehouse = Warehouse(str(project / "data/warehouse.duckdb"))
    person = warehouse.read_frame("calls")["lead_phone_number"].dropna().iloc[0]
    forgotten = forks.run(project, "synthflow-assets", "forget", "--phone", person, "--yes", env=env)
    assert "calls: personal columns set to NULL" in forgotten
    # The calls, and the metrics that are computed from personal columns.
    assert "4 export files rewritten" in forgotten
    assert person not in forgotten
    exports = list((project / "data/export").rglob("*.parquet"))
    assert exports
    for file in [project / "data/warehouse.duckdb", *exports]:
        assert person.removeprefix("+").encode() not in file.read_bytes()
