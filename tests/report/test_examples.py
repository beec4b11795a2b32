"""The examples run as they stand, and say what SQL over the calls says."""

import subprocess
import sys
from pathlib import Path

from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.metric_tables import CONNECTED_STATUSES

ROOT = Path(__file__).parents[2]


def test_analysis(warehouse: Warehouse) -> None:
    command = [sys.executable, str(ROOT / "examples" / "analysis.py"), warehouse.location]
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
