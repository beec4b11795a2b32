"""The units of deploy/systemd. test_server.py starts the same commands, with other paths.

systemd itself does not run here. Its own checker reads the units, if it is installed.
"""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from synthflow_assets.settings import Settings
from tests.e2e.processes import BIN
from tests.lake.test_deploy import ROOT, SERVER, read, settings_of

SYSTEMD = ROOT / "deploy" / "systemd"
SERVICES = ("synthflow-code", "synthflow-webserver", "synthflow-daemon")


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


def test_the_services_are_those_of_compose_with_paths_and_hosts_of_a_machine() -> None:
    """test_server.py runs them, with settings for the code server only, as here."""
    [compose], [there], [here] = (
        read(file) for file in (SERVER / "compose.yaml", SERVER / "workspace.yaml", SYSTEMD / "workspace.yaml")
    )
    names = {"/opt/dagster/home/workspace.yaml": "/etc/synthflow/workspace.yaml", "0.0.0.0": "127.0.0.1"}  # noqa: S104
    for service in SERVICES:
        command = compose["services"][service.removeprefix("synthflow-")]["command"]
        [started] = directives(service)["ExecStart"]
        assert shlex.split(started.removeprefix("/opt/synthflow/bin/")) == [names.get(word, word) for word in command]
    there["load_from"][0]["grpc_server"]["host"] = "127.0.0.1"
    assert here == there
