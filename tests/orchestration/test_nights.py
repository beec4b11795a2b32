"""Five days of ticks with a moved clock: the catch-up starts few runs, and no check is red at night."""

import dataclasses
import datetime as dt
from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest

from synthflow_assets import loading
from synthflow_assets.api.client import SynthflowClient
from synthflow_assets.days import DAILY_RUN_HOUR, last_closed_day, last_due_day
from synthflow_assets.loading import load_calls, resolve_agents
from synthflow_assets.metrics import compute_metrics
from synthflow_assets.orchestration.build import build_synthflow_defs
from synthflow_assets.quality import FRESHNESS, NOT_LANDED, SETTLED, find_problems
from synthflow_assets.sandbox.server import Sandbox
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.loads import settled_partitions
from tests.orchestration.test_definitions import evaluate_catch_up

START = dt.datetime(2026, 3, 2, tzinfo=dt.UTC)  # the night before the first daily run
DAYS = 5
DELETED_ON = 2
HOURS_CHECKED = (0, 6, 7, 12)  # before and after the day before is due


class Workspace:
    """A workspace whose clock is moved. Its runs load and compute without Dagster, which takes less time."""

    def __init__(self, sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = START
        self.sandbox = sandbox
        self.settings = settings
        self.warehouse = Warehouse.from_settings(settings)
        workspace = self

        class Moved(dt.datetime):
            @classmethod
            def now(cls, tz: dt.tzinfo | None = None) -> Any:
                return workspace.now.astimezone(tz)

        monkeypatch.setattr(loading.dt, "datetime", Moved)
        monkeypatch.setattr(SynthflowClient, "now_ms", property(lambda _: int(self.now.timestamp() * 1000)))

    def run(self, days: list[dt.date], *, only_missing: bool = False) -> None:
        self.sandbox.api.config = dataclasses.replace(self.sandbox.api.config, now=self.now)
        self.sandbox.api.store.config = self.sandbox.api.config
        with SynthflowClient.from_settings(self.settings) as client:
            resolved = resolve_agents(client, self.settings)
            skipped = frozenset[Any]()
            if only_missing:
                with self.warehouse.connect() as connection:
                    skipped = frozenset(settled_partitions(connection, days))
            outcomes = load_calls(
                client, self.warehouse, self.settings, resolved.agents, days, skipped=skipped, log=lambda _: None
            )
            assert not [one for one in outcomes if isinstance(one, loading.FailedPartition)]
        with self.warehouse.connect() as connection:
            compute_metrics(connection, days, self.settings)

    def red(self) -> list[str]:
        with self.warehouse.connect(read_only=True) as connection:
            last = last_due_day(self.settings.timezone, self.now)
            return [
                f"{self.now} {check.name} {problem}"
                for check in (FRESHNESS, NOT_LANDED, SETTLED)
                for problem in find_problems(connection, check, None, self.settings, last)
            ]


def test_few_runs_in_five_days_and_no_check_is_red_at_night(
    start_sandbox: Callable[..., Sandbox],
    settings_for: Callable[..., Settings],
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Calls that never close and a deleted agent started a run at most ticks."""
    sandbox = start_sandbox(agents=2, calls_per_day=20, same_volume=True)
    settings = settings_for(sandbox, lookback_days=1, start_date=(START - dt.timedelta(1)).date())
    definitions = build_synthflow_defs(settings)
    workspace = Workspace(sandbox, settings, monkeypatch)
    caught_up, red = 0, []
    for hour in range(5, 24 * DAYS):
        day, of_day = divmod(hour, 24)
        workspace.now = START + dt.timedelta(hours=hour)
        faults = {"endless_calls": 1e9} | ({"deleted_agent": 1e9} if day >= DELETED_ON else {})
        sandbox.api.config = dataclasses.replace(sandbox.api.config, faults=faults)
        if of_day == DAILY_RUN_HOUR:
            workspace.run([last_closed_day("UTC", workspace.now)])
        if of_day in HOURS_CHECKED:
            red += workspace.red()
        if of_day % 6 == 3:  # every second tick
            tick = workspace.now + dt.timedelta(minutes=45)
            for request in evaluate_catch_up(definitions, instance, tick).run_requests:
                caught_up += 1
                first, last = (
                    dt.date.fromisoformat(request.tags[f"dagster/asset_partition_range_{side}"])
                    for side in ("start", "end")
                )
                every = [first + dt.timedelta(days=number) for number in range((last - first).days + 1)]
                workspace.run(every, only_missing=True)
    # A day with such calls is fetched once more, on the third day after it, when they count as ended.
    assert red == []
    assert 0 < caught_up <= DAYS - 2
