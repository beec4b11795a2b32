"""Duration and disconnect reasons as tables: calls in, numbers out."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import duckdb
import pytest

from synthflow_assets.metrics import compute_metrics
from synthflow_assets.metrics.frames import headline, named_frame
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.metric_tables import METRIC_TABLES
from tests.spec.calls import DAY, at, computed, land

# (agent, status, duration_seconds, disconnect reason)
Call = tuple[str, str | None, int | None, str | None]
COLUMNS = ("model_id", "call_status", "duration_seconds", "telephony_disconnect_reason")


def store(connection: duckdb.DuckDBPyConnection, calls: Sequence[Call], day: dt.date = DAY, agents: str = "a") -> None:
    landed = sorted({*agents, *(agent for agent, *_ in calls)})
    land(connection, [dict(zip(COLUMNS, call, strict=True)) for call in calls], [day], "".join(landed))


CALLS_OF_EVERY_TABLE: list[dict[str, Any]] = [
    {
        "call_status": "completed",
        "duration_seconds": 9,
        "telephony_duration_ms": 8000,
        "judge_results": {"goal": "true"},
        "collected_variables": {"born": {"value": "1980", "collected": True}},
        "executed_actions": [{"action_type": "transfer_call_action_type"}],
    },
    {"call_status": "busy"},
]
DURATION_SPECS: list[tuple[str, list[Call], list[tuple[Any, ...]]]] = [
    #                                                calls con short total  mean median   p90    p95    p99  max
    ("a day without calls", [], [("a", 0, 0, 0, 0, None, None, None, None, None, None)]),
    ("one call", [("a", "completed", 60, None)], [("a", 1, 1, 0, 60, 60, 60, 60, 60, 60, 60)]),
    (
        "only connected calls have a duration",
        [("a", "completed", 20, None), ("a", "no-answer", 900, None), ("a", "left_voicemail", 40, None)],
        [("a", 3, 2, 0, 60, 30, 30, 38, 39, 39.8, 40)],
    ),
    (
        "ties, and short calls under ten seconds",
        [("a", "completed", 9, None), ("a", "completed", 10, None), ("a", "hangup_on_voicemail", 10, None)],
        [("a", 3, 3, 1, 29, 29 / 3, 10, 10, 10, 10, 10)],
    ),
    (
        "a duration or a status that is missing",
        [("a", "completed", None, None), ("a", None, 50, None)],
        [("a", 2, 1, 0, 0, None, None, None, None, None, None)],
    ),
    (
        "a status that nobody knows is not connected",
        [("a", "teleported", 50, None)],
        [("a", 1, 0, 0, 0, None, None, None, None, None, None)],
    ),
    (
        "each agent for itself",
        [("a", "completed", 1, None), ("b", "completed", 100, None)],
        [("a", 1, 1, 1, 1, 1, 1, 1, 1, 1, 1), ("b", 1, 1, 0, 100, 100, 100, 100, 100, 100, 100)],
    ),
]


@pytest.mark.parametrize(
    ("calls", "expected"), [spec[1:] for spec in DURATION_SPECS], ids=[s[0] for s in DURATION_SPECS]
)
def test_call_duration_daily(
    connection: duckdb.DuckDBPyConnection, calls: list[Call], expected: list[tuple[Any, ...]]
) -> None:
    store(connection, calls, agents="a")
    found = computed(connection, "call_duration_daily")
    assert [row[:5] for row in found] == [row[:5] for row in expected]
    for row, wanted in zip(found, expected, strict=True):
        assert row[5:] == pytest.approx(wanted[5:], nan_ok=False)


REASON_SPECS: list[tuple[str, list[Call], list[tuple[Any, ...]]]] = [
    ("no calls", [], []),
    (
        "null and empty are not reported",
        [("a", "completed", 10, None), ("a", "completed", 20, ""), ("a", "completed", 30, "error")],
        [("a", "error", 1, 1 / 3, 30), ("a", "not_reported", 2, 2 / 3, 15)],
    ),
    (
        "all calls count, connected or not, with the reasons as they come",
        [("a", "failed", None, "forbidden"), ("a", "completed", 8, "solar_flare")],
        [("a", "forbidden", 1, 0.5, None), ("a", "solar_flare", 1, 0.5, 8)],
    ),
    (
        "space around a reason makes no other one, and the mean is of all of its calls",
        [("a", "completed", 2, "error"), ("a", "completed", 4, "error"), ("a", "completed", 9, " error ")],
        [("a", "error", 3, 1, 5)],
    ),
    (
        "shares are of the agent's day",
        [("a", "completed", 1, "error"), ("b", "completed", 2, "error"), ("b", "completed", 4, "unknown")],
        [("a", "error", 1, 1, 1), ("b", "error", 1, 0.5, 2), ("b", "unknown", 1, 0.5, 4)],
    ),
]


@pytest.mark.parametrize(("calls", "expected"), [spec[1:] for spec in REASON_SPECS], ids=[s[0] for s in REASON_SPECS])
def test_disconnect_reasons_daily(
    connection: duckdb.DuckDBPyConnection, calls: list[Call], expected: list[tuple[Any, ...]]
) -> None:
    store(connection, calls, agents="a")
    found = computed(connection, "disconnect_reasons_daily")
    assert [row[:3] for row in found] == [row[:3] for row in expected]
    for row, wanted in zip(found, expected, strict=True):
        assert row[3:] == pytest.approx(wanted[3:])


def test_computing_a_day_replaces_that_day_only(connection: duckdb.DuckDBPyConnection) -> None:
    """In every table, a day has the same rows if it is computed alone or with the day before."""
    days = [DAY - dt.timedelta(days=1), DAY]
    calls = [
        # To another lead each day: an attempt counts on the day of the first one.
        {**call, "start_ms": at(f"{day} 12:00"), "type_of_call": "outbound", "phone_number_to": f"+1415555{day:%m%d}"}
        for day in days
        for call in CALLS_OF_EVERY_TABLE
    ]
    land(connection, calls, days)
    together = {}
    compute_metrics(connection, days, Settings.of())
    for table in METRIC_TABLES:
        together[table.name] = connection.execute(f"FROM {table.name} ORDER BY ALL").fetchall()
        assert {row[0] for row in together[table.name]} == set(days), table.name
    connection.execute("UPDATE calls SET duration_seconds = 99 WHERE day = $1", days[:1])
    compute_metrics(connection, [DAY], Settings.of())
    for table in METRIC_TABLES:
        assert connection.execute(f"FROM {table.name} ORDER BY ALL").fetchall() == together[table.name], table.name


def test_the_short_call_threshold_is_a_setting(connection: duckdb.DuckDBPyConnection) -> None:
    store(connection, [("a", "completed", 25, None)])
    compute_metrics(connection, [DAY], Settings.of(short_call_seconds=30), ["call_duration_daily"])
    assert connection.execute("SELECT short_calls FROM synthflow.call_duration_daily").fetchone() == (1,)


def test_frames_show_names_and_the_headline_weighs_days(warehouse: Warehouse) -> None:
    with warehouse.connect() as connection:
        store(
            connection,
            [("a", "completed", 10, None)] * 3
            + [("b", "completed", 50, None), ("b", "completed", None, None), ("b", "busy", 500, None)],
        )
        connection.execute("INSERT INTO synthflow.agents VALUES ('a', 'Front Desk', NULL, now())")
        connection.execute("UPDATE calls SET call_outcome = 'voicemail' WHERE model_id = 'b'")
        tables = ["call_duration_daily", "call_duration_histogram", "call_rates_daily"]
        compute_metrics(connection, [DAY], Settings.of(), tables)
    frame = named_frame(warehouse, "call_duration_daily", DAY, DAY)
    assert frame["agent"].tolist() == ["Front Desk", "b"]
    assert headline(warehouse, DAY, DAY) == [
        ("Calls", "6"),
        ("Person reached", "3 (50%)"),
        ("Connected", "5 (83%)"),
        ("Calls with a failed transfer", "0 of 0"),
        ("Minutes", "1"),
        ("Average call duration", "20 s"),
    ]
    assert dict(headline(warehouse, dt.date(2020, 1, 1), dt.date(2020, 1, 2)))["Calls"] == "0"
