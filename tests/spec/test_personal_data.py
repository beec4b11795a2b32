"""The metrics are the same for every SYNTHFLOW_PII, except callers under `drop`."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest

from synthflow_assets.api.client import SynthflowClient
from synthflow_assets.loading import FailedPartition, load_calls, resolve_agents
from synthflow_assets.metrics import compute_metrics
from synthflow_assets.sandbox.server import Sandbox
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.metric_tables import METRIC_TABLES
from synthflow_assets.warehouse.metric_views import METRIC_VIEWS
from tests.spec.calls import Row

DAYS = [dt.date(2026, 3, 9), dt.date(2026, 3, 10)]


def metrics(settings: Settings) -> dict[str, list[Row]]:
    """Fetch, land and compute; the rows of every metric table and view."""
    warehouse = Warehouse.from_settings(settings)
    with SynthflowClient.from_settings(settings) as client:
        agents = resolve_agents(client, settings).agents
        outcomes = list(load_calls(client, warehouse, settings, agents, DAYS, log=lambda _: None))
    assert not [outcome for outcome in outcomes if isinstance(outcome, FailedPartition)]
    with warehouse.connect() as connection:
        compute_metrics(connection, DAYS, settings)
        names = [one.name for one in (*METRIC_TABLES, *METRIC_VIEWS)]
        return {name: connection.execute(f"FROM {name} ORDER BY ALL").fetchall() for name in names}


@pytest.mark.parametrize("pii", ["hash", "drop"])
def test_every_metric_has_the_same_numbers(
    pii: str, start_sandbox: Callable[..., Sandbox], settings_for: Callable[..., Settings], tmp_path: Path
) -> None:
    sandbox = start_sandbox(calls_per_day=60)
    kept = metrics(settings_for(sandbox))
    assert [name for name, rows in kept.items() if not rows] == []
    treated = settings_for(sandbox, pii=pii, pii_key="a long random text", warehouse=str(tmp_path / "treated.duckdb"))
    found = metrics(treated)
    if pii == "drop":
        # Nothing tells callers apart: their number is unknown, and there are no attempts.
        assert [row[:3] for row in found["callers_daily"]] == [row[:3] for row in kept["callers_daily"]]
        assert {row[3:] for row in found.pop("callers_daily")} == {(0, *(None,) * 6)}
        assert found.pop("attempts_daily") == []
        del kept["callers_daily"], kept["attempts_daily"]
    # The agents' own numbers are treated as well; what their calls achieve is the same.
    for rows in (found["call_segments_daily"], kept["call_segments_daily"]):
        rows[:] = sorted((*row[:3], *row[4:]) for row in rows)
    assert found == kept
