"""A long fetch logs how far it is, but not too often."""

from collections.abc import Callable

import pytest

from synthflow_assets import progress as progress_module
from synthflow_assets.api import fetch as fetch_module
from synthflow_assets.api.client import SynthflowClient
from synthflow_assets.api.events import FetchProgress
from synthflow_assets.loading import load_calls, resolve_agents
from synthflow_assets.progress import ProgressLog, describe
from synthflow_assets.sandbox.server import Sandbox
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse
from tests.conftest import DAY


def test_the_lines() -> None:
    early = FetchProgress(2, 4, 50, 100, 4_900, 16, "", 0.0)
    assert describe(early, 40, 10.0) == (
        "4,900 calls; 50 of about 1,000 pages, 2 of 40 (day, agent) pairs; 5.0 pages/s, about 3 min left; "
        "16 connections"
    )
    late = FetchProgress(39, 40, 990, 1_000, 98_000, 1, "the API refuses more", 20.4)
    assert describe(late, 40, 198.0) == (
        "98,000 calls; 990 of 1,000 pages, 39 of 40 (day, agent) pairs; 5.0 pages/s, about 2 s left; "
        "1 connection (the API refuses more); paused for 20 s more, because the API asked for it"
    )
    assert (
        describe(FetchProgress(0, 1, 0, 1, 0, 8, "", 0.0), 1, 5.0)
        == "0 calls; 0 of 1 pages, 0 of 1 (day, agent) pairs; 8 connections"
    )


def test_the_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    now = [0.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now[0])
    log = ProgressLog(1, lines.append)
    for second in range(3 * 3600):
        now[0] = float(second)
        log.update(FetchProgress(0, 1, second, 20_000, second, 8, "", 0.0))
    assert len(lines) == 3 + 10 + 33  # in the first minute, in ten minutes, then every five
    assert lines[0].startswith("5 calls")


def test_a_slow_fetch_speaks_and_counts_right(
    start_sandbox: Callable[..., Sandbox], settings_for: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch_module, "PROGRESS_SECONDS", 0.02)
    monkeypatch.setattr(progress_module, "due_seconds", lambda: iter([0.05 * number for number in range(1, 10_000)]))
    sandbox = start_sandbox(latency_seconds=0.1, calls_per_day=1000, same_volume=True, agents=1)
    settings = settings_for(sandbox)
    lines: list[str] = []
    with SynthflowClient.from_settings(settings) as client:
        agents = resolve_agents(client, settings).agents
        list(load_calls(client, Warehouse(settings.warehouse), settings, agents, [DAY], log=lines.append))
    logged = [line for line in lines if "pages" in line]
    assert len(logged) >= 3
    # The margin's hour brings some more calls than the day's thousand.
    assert any(" of 11 pages" in line for line in logged)
    assert "left" in logged[-1]
