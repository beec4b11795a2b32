"""Dagster projects in an environment with the wheel, by the `dg` command."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from synthflow_assets.sandbox.server import Sandbox
from synthflow_assets.warehouse.connection import Warehouse
from tests.e2e.processes import ROOT, run
from tests.forks import Forks

DAY = "2026-07-10"
KEY = "sandbox-key"
IN_PROCESS = '{"execution": {"config": {"in_process": {}}}}'  # all steps in the process of the run
StartSandbox = Callable[..., Sandbox]

PYPROJECT = """
[project]
name = "voice"
version = "0.1.0"

[tool.dg]
directory_type = "project"

[tool.dg.project]
root_module = "voice"
"""
TRANSLATION = """
  translation:
    key: "lake/my_{{ props.name }}"
"""
THEIRS = """
from pathlib import Path

import dagster as dg
from synthflow_assets import WarehouseResource


@dg.asset(deps=[dg.AssetKey(["lake", "my_call_duration_daily"])])
def minutes(synthflow_warehouse: WarehouseResource) -> None:
    with synthflow_warehouse.get_connection(read_only=True) as connection:
        [(seconds,)] = connection.execute("SELECT sum(total_duration_seconds) FROM call_duration_daily").fetchall()
    Path("minutes.txt").write_text(str(seconds / 60))
"""
DEFINITIONS = """
from pathlib import Path

from dagster import definitions, load_from_defs_folder


@definitions
def defs():
    return load_from_defs_folder(path_within_project=Path(__file__).parent)
"""


class Project:
    """A project in a folder of its own, and the commands that run in it."""

    _started: ClassVar[bool] = False

    def __init__(self, python: Path, forks: Forks, root: Path, environment: dict[str, str]) -> None:
        self.root = root
        self._forks = forks
        self._python = python
        (root / "home").mkdir()
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(root / "src"),
            "PATH": f"{python.parent}:{os.environ['PATH']}",
            "DAGSTER_HOME": str(root / "home"),
            "COLUMNS": "200",
            **environment,
        }

    def dg(self, *arguments: str, fails: bool = False) -> str:
        """Run `dg ...`; its output. A process that has imported Dagster forks all commands but the first one."""
        command = ("python", "-m", "dagster_dg_cli.cli", *arguments)
        if Project._started:
            return self._forks.run(self.root, *command, env=self._environment, code=int(fails))
        Project._started = True
        return run(self.root, *command, env=self._environment, code=int(fails), bin=self._python.parent)

    def point_to(self, sandbox: Sandbox) -> None:
        """Set the base URL of every component to the sandbox, and draw no previews, which take time."""
        for path in self.root.rglob("defs.yaml"):
            added = f"\n  base_url: {sandbox.url}\n  previews: false\n"
            path.write_text(path.read_text("utf-8") + added, encoding="utf-8")


def test_a_new_project_adds_the_component_and_lands_a_day(
    start_sandbox: StartSandbox, wheel_python: Path, wheel_forks: Forks, tmp_path: Path
) -> None:
    package = tmp_path / "src" / "voice"
    (package / "defs").mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
    (package / "__init__.py").touch()
    (package / "defs" / "__init__.py").touch()
    (package / "definitions.py").write_text(DEFINITIONS, encoding="utf-8")
    sandbox = start_sandbox(api_key=KEY)
    project = Project(wheel_python, wheel_forks, tmp_path, {"SYNTHFLOW_API_KEY": KEY})

    assert "synthflow_assets.SynthflowCallsComponent" in project.dg("list", "components")
    project.dg("scaffold", "defs", "synthflow_assets.SynthflowCallsComponent", "calls")
    defs_yaml = package / "defs" / "calls" / "defs.yaml"
    scaffolded = defs_yaml.read_text("utf-8")
    defs_yaml.write_text(scaffolded.replace("region:", "regoin:"), encoding="utf-8")
    assert "'regoin' was unexpected" in project.dg("check", "yaml", fails=True)
    assert "SettingsError: regoin is not an attribute; did you mean region?" in project.dg("list", "defs", fails=True)
    defs_yaml.write_text(scaffolded.replace("start_date: '", "start_date: '2026-07-01' # '"), encoding="utf-8")
    project.point_to(sandbox)
    defs_yaml.write_text(defs_yaml.read_text("utf-8") + TRANSLATION, encoding="utf-8")
    (package / "defs" / "theirs.py").write_text(THEIRS, encoding="utf-8")
    assert "validated successfully" in project.dg("check", "yaml")
    project.dg("launch", "--assets", 'key:"lake/my_call_loads" or key:"lake/my_calls"', "--partition", DAY)
    assert " 1 day(s) from 2026-07-10 to 2026-07-10 are outdated: " in project.dg(
        "launch", "--job", "synthflow_recompute"
    )
    project.dg("launch", "--assets", "minutes", "--config-json", IN_PROCESS)
    assert float((tmp_path / "minutes.txt").read_text("utf-8")) > 0
    loads = Warehouse(str(tmp_path / "data" / "warehouse.duckdb")).read_frame("call_loads")
    assert loads["landed"].sum() == len(Warehouse(str(tmp_path / "data" / "warehouse.duckdb")).read_frame("calls")) > 0
    assert set(loads["model_id"]) == set(sandbox.model_ids)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []


def test_the_example_of_an_agency_runs_from_the_wheel(
    start_sandbox: StartSandbox, wheel_python: Path, wheel_forks: Forks, tmp_path: Path
) -> None:
    root = tmp_path / "agency"
    shutil.copytree(ROOT / "examples" / "agency", root)
    project = Project(wheel_python, wheel_forks, root, {"ACME_SYNTHFLOW_KEY": KEY, "GLOBEX_SYNTHFLOW_KEY": KEY})
    project.point_to(start_sandbox(api_key=KEY, agents=1))
    where = "import synthflow_assets; print(synthflow_assets.__file__)"
    found = subprocess.run([str(wheel_python), "-c", where], check=True, capture_output=True, text=True, cwd=root)
    assert str(wheel_python.parents[1]) in found.stdout  # the wheel's, not the checkout's
    for client in ("acme", "globex"):
        project.dg(
            "launch",
            "--assets",
            f'key:"{client}/calls" or key:"{client}/call_loads" or key:"{client}/call_duration_daily"',
            "--partition",
            DAY,
            "--config-json",
            IN_PROCESS,
        )
    project.dg("launch", "--assets", "calls_by_client", "--config-json", IN_PROCESS)
    lines = (root / "data" / "calls_by_client.csv").read_text("utf-8").splitlines()
    assert [line.split(",")[0] for line in lines] == ["workspace", "acme", "globex"]

    defs_yaml = root / "src" / "agency" / "defs" / "globex" / "defs.yaml"
    defs_yaml.write_text(defs_yaml.read_text("utf-8") + "  warehouse_schema: acme\n", encoding="utf-8")
    refused = "acme/calls and globex/calls would both be acme.calls in "
    assert refused in project.dg("check", "defs", fails=True)
    before = sorted((root / "data").rglob("*"))
    # Such a run resolves no job, and the second one loads the definitions again in the process of its step.
    for asset, executor in (("calls", IN_PROCESS), ("call_report", "{}")):
        run_of_asset = ("launch", "--assets", f"globex/{asset}", "--partition", DAY, "--config-json", executor)
        assert refused in project.dg(*run_of_asset, fails=True)
    assert sorted((root / "data").rglob("*")) == before
