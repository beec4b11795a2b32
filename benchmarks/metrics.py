"""What the metrics of a day of a million calls cost, and what a summary of a year costs."""

from __future__ import annotations

import datetime as dt
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass

import duckdb

from benchmarks.workload import Workload
from synthflow_assets.interfaces import FetchResult
from synthflow_assets.metrics import compute_metrics
from synthflow_assets.sandbox.calls import day_of_calls, render
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.landing import land
from synthflow_assets.warehouse.metric_tables import METRIC_TABLES
from synthflow_assets.warehouse.staging import Partition, Staging

# What anybody would write who wants to know how long the day's calls lasted.
_PLAIN = """
SELECT day, model_id, count(*), median(duration_seconds), quantile_cont(duration_seconds, [0.9, 0.95, 0.99])
FROM calls
WHERE day = $1
GROUP BY day, model_id
"""
# The sandbox has few different texts, and equal ones are looked at once. Real verdicts, answers and results differ.
_ALL_DIFFER = """
UPDATE calls SET
    judge_results = replace(judge_results::VARCHAR, 'part of the conversation', call_id)::JSON,
    collected_variables = replace(collected_variables::VARCHAR, '1980-01-01', call_id)::JSON,
    executed_actions = replace(executed_actions::VARCHAR, 'attempts', call_id)::JSON
"""
_FIRST, _LAST = dt.date(2025, 1, 1), dt.date(2025, 12, 31)
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


@dataclass(frozen=True)
class MetricsMeasurement:
    """Medians in seconds: the plain query, each table, each table where all texts differ, each summary."""

    plain: float
    tables: dict[str, float]
    tables_all_differ: dict[str, float]
    summaries: dict[str, float]


def measure_metrics(calls: int = 1_000_000, agents: int = 4, rounds: int = 3) -> MetricsMeasurement:
    """Land a day, compute all of its metrics, and summarize a year of 10,000 calls a day on one core."""
    load = Workload(calls // agents, agents=agents)
    with tempfile.TemporaryDirectory(prefix="bench-metrics-") as folder:
        day = Warehouse(f"{folder}/day.duckdb")
        _land_day(day, load)
        with day.connect() as connection:
            plain, tables = _measure_tables(connection, load.first, rounds)
            connection.execute(_ALL_DIFFER)
            connection.execute("CHECKPOINT warehouse")
            _, tables_all_differ = _measure_tables(connection, load.first, rounds)
        with Warehouse(f"{folder}/year.duckdb").connect() as connection:
            connection.execute(_YEAR)
            connection.execute("CHECKPOINT warehouse; SET threads = 1")
            summaries = {
                name: statistics.median(_seconds(lambda query=query: connection.execute(query)) for _ in range(5))
                for name, query in SUMMARIES.items()
            }
    return MetricsMeasurement(plain, tables, tables_all_differ, summaries)


def _land_day(warehouse: Warehouse, load: Workload) -> None:
    store = load.store
    day = (load.first - dt.date(1970, 1, 1)).days
    with Staging() as staging:
        for agent in store.agents.values():
            partition = Partition(load.first, agent.model_id)
            made = day_of_calls(agent, day, store.config.seed, load.calls_per_day, same_volume=True)
            for start in range(0, load.calls_per_day, 1000):
                indexes = range(start, min(start + 1000, load.calls_per_day))
                staging.add(partition, [render(made, index, store.now_ms()).encode() for index in indexes])
            count = load.calls_per_day
            staging.complete(partition, FetchResult(count, count, 0, 0, 0, 1, closed=True))
        with warehouse.connect() as connection:
            land(connection, staging.take_ready(), "bench", dt.datetime.now(dt.UTC))


def _measure_tables(connection: duckdb.DuckDBPyConnection, day: dt.date, rounds: int) -> tuple[float, dict[str, float]]:
    """The plain query before each table, so that a busy machine slows both."""
    plain: list[float] = []
    tables: dict[str, list[float]] = {table.name: [] for table in METRIC_TABLES}
    for _ in range(rounds):
        for name, seconds in tables.items():
            plain.append(_seconds(lambda: connection.execute(_PLAIN, [day])))
            seconds.append(_seconds(lambda name=name: compute_metrics(connection, [day], Settings.of(), [name])))
    return statistics.median(plain), {name: statistics.median(seconds) for name, seconds in tables.items()}


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def metrics_table(measured: MetricsMeasurement) -> str:
    """The measurement as Markdown tables."""
    lines = [
        f"The plain query: {measured.plain * 1000:.0f} ms",
        "",
        "| table | ms | times the plain query | the same, all texts different |",
        "|---|---|---|---|",
    ]
    for name, seconds in measured.tables.items():
        different = measured.tables_all_differ[name]
        lines.append(
            f"| {name} | {seconds * 1000:.0f} | {seconds / measured.plain:.1f} | {different / measured.plain:.1f} |"
        )
    means = [statistics.mean(one.values()) for one in (measured.tables, measured.tables_all_differ)]
    ratios = " | ".join(f"{mean / measured.plain:.1f}" for mean in means)
    lines += [f"| on average | {means[0] * 1000:.0f} | {ratios} |", "", "| summary, on one core | ms |", "|---|---|"]
    lines += [f"| {name} | {seconds * 1000:.0f} |" for name, seconds in measured.summaries.items()]
    return "\n".join(lines) + "\n"
