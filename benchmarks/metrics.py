"""How long the metrics of a day take, against a budget, and how fast summaries and callers over a year are."""

from __future__ import annotations

import datetime as dt
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass

import duckdb

from benchmarks.report import fill_warehouse
from benchmarks.workload import Workload
from synthflow_assets.interfaces import FetchResult
from synthflow_assets.metrics import compute_metrics
from synthflow_assets.sandbox.calls import day_of_calls, render
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.landing import land
from synthflow_assets.warehouse.metric_tables import METRIC_TABLES
from synthflow_assets.warehouse.staging import Partition, Staging

# Seconds in which all metrics of a day must be computed on two cores, by the number of calls.
BUDGET_SECONDS = {10_000: 1.0, 100_000: 8.0}
_YEAR = """
INSERT INTO call_duration_histogram
SELECT
    DATE '2025-01-01' + (i // 10000)::INTEGER,
    'agent-' || (hash(i) % 5),
    ['inbound', 'outbound'][1 + (hash(i + 1) % 2)::INTEGER],
    ['completed', 'completed', 'completed', 'left_voicemail', 'no-answer', 'busy'][1 + (hash(i + 2) % 6)::INTEGER],
    -- Log-normal, as lengths of calls are.
    exp(4.3 + 0.9 * sqrt(-2 * ln((hash(i + 3) % 99999 + 1) / 100000)) * cos(pi() * (hash(i + 4) % 9999) / 5e3))::BIGINT,
    count(*)
FROM range(3650000) AS numbers (i)
GROUP BY ALL
"""
SUMMARIES = {
    "the year": "FROM duration_summary('2025-01-01', '2025-12-31')",
    "the year's inbound calls": (
        "FROM duration_summary('2025-01-01', '2025-12-31', condition := type_of_call = 'inbound')"
    ),
    "a quarter": "FROM duration_summary('2025-04-01', '2025-06-30')",
    "the year by agent": "FROM duration_summary_by('2025-01-01', '2025-12-31', model_id)",
    "the year by month": "FROM duration_summary_by('2025-01-01', '2025-12-31', date_trunc('month', day))",
}
CALLERS_BUDGET_SECONDS = 2.0  # for each of the following, over a year of 1,000,000 calls on two cores
_CALLERS_YEAR = dt.date(2025, 1, 1)
_CALLER_SUMMARIES = {
    "caller_summary of the year": "FROM caller_summary('2025-01-01', '2025-12-31')",
    "caller_summary_by of the year by agent": "FROM caller_summary_by('2025-01-01', '2025-12-31', model_id)",
}


@dataclass(frozen=True)
class MetricsMeasurement:
    """Medians in seconds.

    Attributes:
        days: computing all metric tables of a day, by its number of calls.
        tables: computing each table of the largest of these days.
        summaries: each summary.
        callers: computing the tables of callers after the last day of a year, and each summary of its callers.
        caller_calls: the number of calls of that year.
    """

    days: dict[int, float]
    tables: dict[str, float]
    summaries: dict[str, float]
    callers: dict[str, float]
    caller_calls: int


def measure_metrics(agents: int = 4, rounds: int = 5) -> MetricsMeasurement:
    """Land days and compute their metrics on two cores; summarize a year of 10,000 calls a day on one core.

    Args:
        agents: that the calls of a day are spread over.
        rounds: how often each is measured.
    """
    days: dict[int, float] = {}
    tables: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="bench-metrics-") as folder:
        for calls in BUDGET_SECONDS:
            load = Workload(calls // agents, agents=agents)
            warehouse = Warehouse(f"{folder}/{calls}.duckdb")
            _land_day(warehouse, load)
            with warehouse.connect() as connection:
                connection.execute("SET threads = 2")
                names = [table.name for table in METRIC_TABLES]
                days[calls] = _computing(connection, load.first, names, rounds)
                tables = {name: _computing(connection, load.first, [name], rounds) for name in names}
        with Warehouse(f"{folder}/year.duckdb").connect() as connection:
            connection.execute(_YEAR)
            connection.execute("CHECKPOINT warehouse; SET threads = 1")
            summaries = _running(connection, SUMMARIES, rounds)
        year = Warehouse(f"{folder}/callers.duckdb")
        fill_warehouse(year, _CALLERS_YEAR, 365, agents=10, calls_per_day=331, people=400_000)
        with year.connect() as connection:
            connection.execute("SET threads = 2")
            [(caller_calls,)] = connection.sql("SELECT count(*) FROM calls").fetchall()
            last = _CALLERS_YEAR + dt.timedelta(days=364)
            callers = {
                f"{name} after the last day": _computing(connection, last, [name], rounds)
                for name in ("callers_daily", "attempts_daily")
            } | _running(connection, _CALLER_SUMMARIES, rounds)
    return MetricsMeasurement(days, tables, summaries, callers, caller_calls)


def _land_day(warehouse: Warehouse, load: Workload) -> None:
    store = load.store
    day = (load.first - dt.date(1970, 1, 1)).days
    with Staging() as staging:
        for agent in store.agents.values():
            partition = Partition(load.first, agent.model_id)
            made = day_of_calls(agent, day, store.config.seed, load.calls_per_day, same_volume=True, small=True)
            for start in range(0, load.calls_per_day, 1000):
                indexes = range(start, min(start + 1000, load.calls_per_day))
                staging.add(partition, [render(made, index, store.now_ms()).encode() for index in indexes])
            count = load.calls_per_day
            staging.complete(partition, FetchResult(count, count, 0, 0, 0, 1, closed=True))
        with warehouse.connect() as connection:
            land(connection, staging.take_ready(), "bench", dt.datetime.now(dt.UTC))


def _computing(connection: duckdb.DuckDBPyConnection, day: dt.date, tables: list[str], rounds: int) -> float:
    """Return the median seconds of computing these tables of a day."""
    return statistics.median(
        _seconds(lambda: compute_metrics(connection, [day], Settings.of(), tables)) for _ in range(rounds)
    )


def _running(connection: duckdb.DuckDBPyConnection, queries: dict[str, str], rounds: int) -> dict[str, float]:
    """Return the median seconds of each query."""
    return {
        name: statistics.median(
            _seconds(lambda query=query: connection.execute(query).fetchall()) for _ in range(rounds)
        )
        for name, query in queries.items()
    }


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def metrics_table(measured: MetricsMeasurement) -> str:
    """Return the measurement as Markdown tables."""
    lines = ["| calls of the day | all metrics, seconds | budget, seconds |", "|---|---|---|"]
    # A measurement that was read from JSON has texts as keys.
    lines += [
        f"| {int(calls):,} | {seconds:.2f} | {BUDGET_SECONDS[int(calls)]:.0f} |"
        for calls, seconds in measured.days.items()
    ]
    lines += ["", f"| table, of {max(BUDGET_SECONDS):,} calls | ms |", "|---|---|"]
    lines += [f"| {name} | {seconds * 1000:.0f} |" for name, seconds in measured.tables.items()]
    lines += ["", "| summary, on one core | ms |", "|---|---|"]
    lines += [f"| {name} | {seconds * 1000:.0f} |" for name, seconds in measured.summaries.items()]
    lines += [
        "",
        f"| callers of a year of {measured.caller_calls:,} calls | seconds | budget, seconds |",
        "|---|---|---|",
    ]
    lines += [
        f"| {name} | {seconds:.2f} | {CALLERS_BUDGET_SECONDS:.0f} |" for name, seconds in measured.callers.items()
    ]
    return "\n".join(lines) + "\n"
