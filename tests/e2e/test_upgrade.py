"""docs/upgrading.md, with this version as the earlier one and a copy with one more column as the later one."""

import datetime as dt
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from synthflow_assets.api.client import SynthflowClient
from synthflow_assets.loading import load_calls, resolve_agents
from synthflow_assets.sandbox.server import Sandbox
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse
from tests.e2e.processes import ROOT, environment, run
from tests.forks import Forks

OPEN = "from synthflow_assets import Warehouse\nwith Warehouse('data/warehouse.duckdb').connect(): pass"


@pytest.fixture
def later(tmp_path: Path) -> dict[str, str]:
    """The environment of processes that run the later version."""
    package = tmp_path / "later" / "synthflow_assets"
    shutil.copytree(ROOT / "synthflow_assets", package, ignore=shutil.ignore_patterns("__pycache__"))
    schema = package / "warehouse" / "schema.py"
    text, raised = re.subn(
        r"(?m)^SCHEMA_VERSION = (\d+)", lambda found: f"SCHEMA_VERSION = {int(found[1]) + 1}", schema.read_text("utf-8")
    )
    text, added = re.subn(
        r"(?m)^( +)(_field\()", r'\1_field("mood", Kind.TEXT, "Mood of the caller."),\n\1\2', text, count=1
    )
    assert (raised, added) == (1, 1)
    schema.write_text(text, "utf-8")
    return environment(PYTHONPATH=str(package.parent))


def test_upgrade_and_downgrade(
    start_sandbox: Callable[..., Sandbox],
    settings_for: Callable[..., Settings],
    later: dict[str, str],
    forks: Forks,
    tmp_path: Path,
) -> None:
    file = tmp_path / "data" / "warehouse.duckdb"
    sandbox = start_sandbox(agents=1, calls_per_day=30)
    settings = settings_for(sandbox, warehouse=str(file))
    with SynthflowClient.from_settings(settings) as client:
        agents = resolve_agents(client, settings).agents
        list(load_calls(client, Warehouse(str(file)), settings, agents, [dt.date(2026, 3, 10)], log=lambda _: None))
    landed = Warehouse(str(file)).read_frame("calls")
    assert len(landed) > 0
    earlier = environment(sandbox)

    forks.run(tmp_path, "synthflow-assets", "backup", "--to", "before-upgrade.duckdb", env=earlier)
    run(tmp_path, sys.executable, "-c", OPEN, env=later)
    with duckdb.connect(str(file), read_only=True) as connection:
        kept = connection.execute("SELECT count(*), count(mood) FROM synthflow.calls").fetchone()
    assert kept == (len(landed), 0)

    said = forks.run(tmp_path, "synthflow-assets", "doctor", env=earlier, code=1)
    assert "was created by a later version of synthflow-assets" in said
    file.rename(tmp_path / "newer.duckdb")
    forks.run(tmp_path, "synthflow-assets", "restore", "--from", "before-upgrade.duckdb", env=earlier)
    pd.testing.assert_frame_equal(Warehouse(str(file)).read_frame("calls"), landed)
