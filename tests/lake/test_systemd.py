"""The services of deploy/systemd, forked with the commands of their unit files, on a real PostgreSQL.

systemd itself does not run here. Its own checker reads the units, if it is installed.
"""

import datetime as dt
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from synthflow_assets.sandbox.server import Sandbox
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse
from tests.e2e.processes import BIN, free_port
from tests.e2e.test_dagster_dev import Deployment
from tests.forks import Forks
from tests.lake.test_deploy import ROOT, SERVER, instance_of, read, settings_of
from tests.lake.test_server import running

SYSTEMD = ROOT / "deploy" / "systemd"
SERVICES = ("synthflow-code", "synthflow-webserver", "synthflow-daemon")
DAY = dt.date(2026, 3, 10)
LOADED = "{ workspaceOrError { ... on Workspace { locationEntries { locationOrLoadError { __typename } } } } }"


def directives(service: str) -> dict[str, list[str]]:
    """Return the values of each directive of a unit."""
    found: dict[str, list[str]] = {}
    for line in (SYSTEMD / f"{service}.service").read_text("utf-8").splitlines():
        if line and not re.match(r"#|\[(Unit|Service|Install)\]$", line):
            name, is_given, value = line.partition("=")
            assert is_given, line
            found.setdefault(name, []).append(value)
    return found


def variables(unit: dict[str, list[str]]) -> dict[str, str]:
    """Return the environment that a unit sets, with its example files."""
    files = [SYSTEMD / f"{Path(file).name}.example" for file in unit["EnvironmentFile"]]
    lines = [*unit["Environment"], *(line for file in files for line in file.read_text("utf-8").splitlines())]
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_units_are_restarted_and_have_few_rights(tmp_path: Path) -> None:
    for service in SERVICES:
        unit = directives(service)
        assert unit["Restart"] == ["always"]
        assert unit["User"] == ["synthflow"]
        for restriction in ("NoNewPrivileges", "ProtectHome", "PrivateTmp", "PrivateDevices"):
            assert unit[restriction] == ["true"], service
        assert unit["ProtectSystem"] == ["strict"]
        assert "--host 0.0.0.0" not in unit["ExecStart"][0]
        text = (SYSTEMD / f"{service}.service").read_text("utf-8")
        (tmp_path / f"{service}.service").write_text(text.replace("/opt/synthflow/bin", str(BIN)), "utf-8")
    if shutil.which("systemd-analyze"):
        units = [str(tmp_path / f"{service}.service") for service in SERVICES]
        checked = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)  # noqa: S607
        assert [line for line in checked.stderr.splitlines() if "synthflow" in line] == []


def test_only_the_code_server_has_the_key_and_examples_hold_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {service: variables(directives(service)) for service in SERVICES}
    assert [service for service in SERVICES if "SYNTHFLOW_API_KEY" in given[service]] == ["synthflow-code"]
    needed = set(re.findall(r"env: (\w+)", (SERVER / "dagster.yaml").read_text("utf-8")))
    for names in given.values():
        assert needed <= names.keys()
        assert all(not value for name, value in names.items() if re.search("PASSWORD|_KEY", name))
    ours = {name: value for name, value in given["synthflow-code"].items() if name.startswith("SYNTHFLOW_")}
    settings: Settings = settings_of(ours, monkeypatch)
    assert settings.warehouse.startswith("/var/lib/synthflow/")


def test_a_run_goes_through_the_three_services(
    database: str, forks: Forks, start_sandbox: Callable[..., Sandbox], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox = start_sandbox(agents=1, calls_per_day=20)
    [config], [workspace] = read(SERVER / "dagster.yaml"), read(SYSTEMD / "workspace.yaml")
    home, (code_port, web_port) = tmp_path / "dagster", (free_port(), free_port())
    instance = instance_of(config, home, database, monkeypatch)
    server_address = workspace["load_from"][0]["grpc_server"]
    units = {service: directives(service) for service in SERVICES}
    assert f"--host {server_address['host']} --port {server_address['port']}" in units["synthflow-code"]["ExecStart"][0]
    server_address["port"] = code_port
    (tmp_path / "workspace.yaml").write_text(yaml.safe_dump(workspace), encoding="utf-8")
    here = {
        "4000": str(code_port),
        "3000": str(web_port),
        "/etc/synthflow/workspace.yaml": str(tmp_path / "workspace.yaml"),
    }
    own = {
        "SYNTHFLOW_API_KEY": "sandbox-key",
        "SYNTHFLOW_BASE_URL": sandbox.url,
        "SYNTHFLOW_START_DATE": DAY.isoformat(),
        "SYNTHFLOW_WAREHOUSE": str(tmp_path / "warehouse.duckdb"),
        "SYNTHFLOW_REPORT": str(tmp_path / "report.html"),
        "SYNTHFLOW_PREVIEWS": "false",
    }
    with ExitStack() as services:
        for service in SERVICES:
            program, *arguments = shlex.split(units[service]["ExecStart"][0])
            environment = {**os.environ, "DAGSTER_HOME": str(home)}
            if "SYNTHFLOW_API_KEY" in variables(units[service]):
                environment |= own
            command = [program.removeprefix("/opt/synthflow/bin/"), *(here.get(word, word) for word in arguments)]
            services.enter_context(running(forks, command, environment, tmp_path / f"{service}.log"))
        warehouse = Warehouse(own["SYNTHFLOW_WAREHOUSE"])
        url = f"http://127.0.0.1:{web_port}"
        server = Deployment(url, home, warehouse, sandbox, environment, logs=tmp_path)

        def is_loaded() -> bool:
            entries = server.ask(LOADED)["workspaceOrError"]["locationEntries"]
            return [one["locationOrLoadError"]["__typename"] for one in entries] == ["RepositoryLocation"]

        server.wait_until(is_loaded, "the definitions of the code server")
        tags = [{"key": "dagster/partition", "value": DAY.isoformat()}]
        run = server.launch("synthflow_daily", executionMetadata={"tags": tags})
        server.wait_until(lambda: server.status_of(run) == "SUCCESS", "the run")
    instance.dispose()
    assert len(warehouse.read_frame("call_duration_daily")) == 1
    assert (tmp_path / "report.html").exists()
