"""How long a report takes to be made, to open and to react, over many days and agents."""

from __future__ import annotations

import datetime as dt
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from synthflow_assets.metrics import compute_metrics
from synthflow_assets.report import write_report
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.decoding import derived_columns_sql
from synthflow_assets.warehouse.statements import sql_file

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_DRAWN = "body[data-drawn-in-ms]"
_LOADS = """
INSERT INTO call_loads BY NAME
SELECT day, model_id, count(*) AS landed, 0 AS rejected, true AS settled, now() AS loaded_at
FROM calls
GROUP BY day, model_id
"""
_AGENTS = "INSERT INTO agents SELECT 'agent-' || n, 'Agent ' || n, 'inbound', now() FROM range($1) AS numbers (n)"


def fill_warehouse(
    warehouse: Warehouse, first: dt.date, days: int, agents: int, calls_per_day: int, people: int = 500
) -> None:
    """Put made-up calls of this many people where landing would, and compute every metric of them."""
    last = first + dt.timedelta(days=days - 1)
    amounts = {"first": first, "last": last, "agents": agents, "calls_per_day": calls_per_day, "people": people}
    with warehouse.connect() as connection:
        calls = sql_file(__package__ or "", "report_calls.sql")
        connection.execute(f"INSERT INTO calls BY NAME {derived_columns_sql(f'({calls})')}", amounts)
        connection.execute(_LOADS)
        connection.execute(_AGENTS, [agents])
        compute_metrics(connection, [first + dt.timedelta(days=number) for number in range(days)], Settings.of())


@dataclass(frozen=True)
class ReportMeasurement:
    """What a report costs: the file, and the medians of the rounds in a browser, from the click to the last chart."""

    calls: int
    megabytes: float
    write_seconds: float
    open_seconds: float
    filter_seconds: float


def measure_report(days: int = 365, agents: int = 50, calls_per_day: int = 100, rounds: int = 5) -> ReportMeasurement:
    """Make up calls, write the report of all of them once, and open and filter it in Chromium.

    Writing is timed as in a run of Dagster: the process is up, but has not drawn any chart before.
    """
    from tests.browser import chromium

    first = dt.date(2025, 11, 25)
    last = first + dt.timedelta(days=days - 1)
    with tempfile.TemporaryDirectory(prefix="bench-report-") as folder:
        warehouse, path = Warehouse(f"{folder}/warehouse.duckdb"), Path(folder, "report.html")
        fill_warehouse(warehouse, first, days, agents, calls_per_day)
        calls = int(warehouse.read_frame("call_duration_daily")["calls"].sum())
        began = time.perf_counter()
        report = write_report(warehouse, Settings.of(), path, first, last)
        write_seconds = time.perf_counter() - began
        with chromium() as browser:
            timed = [_open_and_filter(browser, path) for _ in range(rounds)]
    opened, filtered = (statistics.median(seconds) for seconds in zip(*timed, strict=True))
    return ReportMeasurement(calls, report.size_bytes / 1e6, write_seconds, opened, filtered)


def _open_and_filter(browser: Browser, path: Path) -> tuple[float, float]:
    """Seconds until all charts are drawn, and until they are drawn again for the last thirty days."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    began = time.perf_counter()
    page.goto(path.as_uri())
    page.wait_for_selector(_DRAWN)
    opened = time.perf_counter() - began
    began = time.perf_counter()
    page.get_by_role("button", name="30 days").click()
    page.wait_for_selector(_DRAWN)
    filtered = time.perf_counter() - began
    page.close()
    return opened, filtered


def report_table(measured: ReportMeasurement) -> str:
    """The measurement as a Markdown table."""
    return (
        "| calls | file | written in | opens in | filters in |\n|---|---|---|---|---|\n"
        f"| {measured.calls:,} | {measured.megabytes:.2f} MB | {measured.write_seconds:.2f} s | "
        f"{measured.open_seconds:.2f} s | {measured.filter_seconds:.2f} s |\n"
    )
