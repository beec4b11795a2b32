"""A deployed Dagster: its history is in PostgreSQL, and queued runs in separate processes write to one lake."""

import datetime as dt
import os
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest
from dagster._core.execution.backfill import PartitionBackfill

from synthflow_assets.api.client import SynthflowClient
from synthflow_assets.loading import load_calls, resolve_agents
from synthflow_assets.metrics import compute_metrics
from synthflow_assets.orchestration.build import build_synthflow_defs
from synthflow_assets.sandbox.server import Sandbox
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse
from tests.e2e.processes import SITE
from tests.forks import Forks
from tests.lake.conftest import Lake
from tests.lake.test_deploy import SERVER, instance_of, read
from tests.lake.test_server import running

FIRST, RUNS, DAYS_A_RUN = dt.date(2026, 3, 9), 2, 2
METRICS = ("call_duration_daily", "disconnect_reasons_daily")
PATIENCE_SECONDS = 240


@pytest.mark.filterwarnings("ignore:Function `AssetSelection.sources`")  # Dagster causes it when it creates a backfill
def test_a_backfill_is_several_runs_at_once_and_gives_what_a_file_gives(
    lake: Lake,
    forks: Forks,
    start_sandbox: Callable[..., Sandbox],
    settings_for: Callable[..., Settings],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sandbox = start_sandbox(agents=2, calls_per_day=40, same_volume=True)
    days = [FIRST + dt.timedelta(days=number) for number in range(RUNS * DAYS_A_RUN)]
    [config] = read(SERVER / "dagster.yaml")
    instance = instance_of(config, tmp_path / "home", lake.dsn, monkeypatch)
    environment = {
        **os.environ,
        **lake.environment(),
        "DAGSTER_HOME": str(tmp_path / "home"),
        "SYNTHFLOW_API_KEY": "sandbox-key",
        "SYNTHFLOW_BASE_URL": sandbox.url,
        "SYNTHFLOW_START_DATE": FIRST.isoformat(),
        "SYNTHFLOW_BACKFILL_DAYS_PER_RUN": str(DAYS_A_RUN),
        "SYNTHFLOW_REQUESTS_PER_SECOND": "200",
        "SYNTHFLOW_PREVIEWS": "false",
        "PYTHONPATH": SITE,
    }
    request_backfill(instance, Settings.of(start_date=FIRST, backfill_days_per_run=DAYS_A_RUN), days)
    log = tmp_path / "daemon.log"
    with running(forks, ["dagster-daemon", "run", "-m", "synthflow_assets.definitions"], environment, log):
        wait_for_runs(instance, log)
    records = instance.get_run_records()
    assert len(records) == RUNS
    # They ran at the same time, in separate processes.
    assert max(record.start_time or 0 for record in records) < min(record.end_time or 0 for record in records)
    compare_with_a_file(settings_for(sandbox), lake, days)
    text = log.read_text() + "".join(
        str(event) for record in records for event in instance.all_logs(record.dagster_run.run_id)
    )
    assert "sandbox-key" not in text


def request_backfill(instance: dg.DagsterInstance, settings: Settings, days: list[dt.date]) -> None:
    """Request a backfill, as the UI does for a range of partitions."""
    graph = build_synthflow_defs(settings).get_repository_def().asset_graph
    names = ("calls", "call_rejects", "call_loads", *METRICS)
    instance.add_backfill(
        PartitionBackfill.from_asset_partitions(
            backfill_id="backfill",
            asset_graph=graph,
            partition_names=[day.isoformat() for day in days],
            asset_selection=[dg.AssetKey(["synthflow", name]) for name in names],
            backfill_timestamp=time.time(),
            tags={},
            dynamic_partitions_store=instance,
            all_partitions=False,
            title=None,
            description=None,
            run_config=None,
        )
    )


def wait_for_runs(instance: dg.DagsterInstance, log: Path) -> None:
    begun = time.monotonic()
    while True:
        statuses = [record.dagster_run.status for record in instance.get_run_records()]
        if len(statuses) >= RUNS and all(status.value in ("SUCCESS", "FAILURE") for status in statuses):
            assert {status.value for status in statuses} == {"SUCCESS"}, log.read_text()[-5000:]
            return
        assert time.monotonic() - begun < PATIENCE_SECONDS, f"{statuses}\n{log.read_text()[-5000:]}"
        time.sleep(0.5)  # each look is a new connection to PostgreSQL


def compare_with_a_file(settings: Settings, lake: Lake, days: list[dt.date]) -> None:
    file = Warehouse.from_settings(settings)
    with SynthflowClient.from_settings(settings) as client:
        agents = resolve_agents(client, settings).agents
        list(load_calls(client, file, settings, agents, days, log=lambda _: None))
    with file.connect() as connection:
        compute_metrics(connection, days, settings)
    for table in METRICS:
        pd.testing.assert_frame_equal(file.read_frame(table), lake.warehouse().read_frame(table), obj=table)
