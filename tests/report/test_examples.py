"""The examples run, and print the numbers of SQL over the calls."""

import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.report import fill_warehouse
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.metric_tables import CONNECTED_STATUSES
from tests.report.conftest import FIRST

ROOT = Path(__file__).parents[2]


SCRIPT = str(ROOT / "examples" / "analysis.py")


def test_analysis(warehouse: Warehouse) -> None:
    command = [sys.executable, SCRIPT, warehouse.location]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with warehouse.connect(read_only=True) as connection:
        weeks = connection.execute(
            "SELECT date_trunc('week', day)::DATE, count(*), median(duration_seconds) FROM calls "
            "WHERE list_contains($1, call_status) GROUP BY 1 ORDER BY 1",
            [list(CONNECTED_STATUSES)],
        ).fetchall()
    for week, calls, median in weeks:
        assert f"{week} {calls} {median}" in [" ".join(line.split()[1:]) for line in done.stdout.splitlines()]
    assert "Agent 4" in done.stdout
    assert "not_reported" in done.stdout


def analyse(location: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the script in this process, which saves importing pandas again."""
    monkeypatch.setattr(sys, "argv", [SCRIPT, location])
    runpy.run_path(SCRIPT, run_name="__main__")


@pytest.mark.parametrize("days", [0, 1])
def test_analysis_of_too_few_days(
    tmp_path: Path, empty_file: Path, days: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    warehouse = Warehouse(shutil.copy(empty_file, tmp_path / "young.duckdb"))
    if days:
        fill_warehouse(warehouse, FIRST, days, 2, 20)
    analyse(warehouse.location, monkeypatch)
    assert capsys.readouterr().out.count("No answer yet: this needs calls of more days.") == (1 if days else 4)


def test_analysis_without_a_warehouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit) as raised:
        analyse(str(tmp_path / "none.duckdb"), monkeypatch)
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith("Error: the warehouse ")
    assert "no such file" in str(raised.value)
