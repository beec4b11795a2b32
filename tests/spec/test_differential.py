"""For random calls, SQL and plain Python give the same numbers, to the last digit."""

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any

import duckdb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synthflow_assets.metrics import compute_metrics
from synthflow_assets.settings import Settings
from tests.spec import reference
from tests.spec.calls import DAY, Call, Row, at, computed, land
from tests.spec.live import CALL

BY_AGENT: list[Callable[[Sequence[Call]], list[Row]]] = [
    reference.call_duration_daily,
    reference.disconnect_reasons_daily,
    reference.call_duration_histogram,
    reference.call_outcomes_daily,
    reference.call_rates_daily,
    reference.telephony_timing_daily,
    reference.judge_results_daily,
    reference.collected_variables_daily,
    reference.actions_daily,
    reference.transfers_daily,
    reference.call_segments_daily,
    reference.call_costs_daily,
]


DAYS = [DAY + dt.timedelta(days=number) for number in range(4)]


@given(calls_by_day=st.lists(st.lists(CALL, max_size=25), min_size=4, max_size=4))
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_metrics_of_some_days(connection: duckdb.DuckDBPyConnection, calls_by_day: list[list[Call]]) -> None:
    calls = [
        {"start_ms": at(f"{day} 12:00"), **call}
        for day, of_day in zip(DAYS, calls_by_day, strict=True)
        for call in of_day
    ]
    land(connection, calls, DAYS, agents="ab")
    priced = Settings.of(price_per_minute=reference.PRICE_PER_MINUTE, price_currency="EUR")
    compute_metrics(connection, DAYS, priced, [expected_of.__name__ for expected_of in BY_AGENT])
    for expected_of in BY_AGENT:
        table = expected_of.__name__
        expected = [
            (day, agent, *row)
            for day, of_day in zip(DAYS, calls_by_day, strict=True)
            for agent in "ab"
            for row in expected_of([one for one in of_day if one["model_id"] == agent])
        ]
        found = connection.execute(f"FROM {table} ORDER BY ALL").fetchall()
        assert found == sorted(expected, key=_nulls_last), table


def _nulls_last(row: Row) -> list[tuple[bool, Any]]:
    return [(value is None, value) for value in row]


ZONES = ["UTC", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]
CHANGES = [DAY, dt.date(2026, 3, 8), dt.date(2026, 11, 1), dt.date(2026, 4, 5), dt.date(2026, 10, 4)]


@given(
    timezone=st.sampled_from(ZONES),
    day=st.sampled_from(CHANGES),
    # From noon of the day before: around a few moments, so that calls meet.
    starts=st.lists(
        st.tuples(
            st.sampled_from([0, 11, 12, 13, 14, 20, 35]),
            st.integers(-8, 8),
            st.sampled_from([0, 1, 500, 999]),
            st.none() | st.integers(0, 15) | st.integers(0, 90_000),
            st.sampled_from("ab"),
            st.sampled_from(["completed", "left_voicemail", "no-answer", None]),
        ),
        max_size=25,
    ),
)
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_load_of_a_day(
    connection: duckdb.DuckDBPyConnection, timezone: str, day: dt.date, starts: list[tuple[Any, ...]]
) -> None:
    before = day - dt.timedelta(days=1)
    noon = at(f"{before} 12:00", timezone)
    calls = [
        {
            "start_ms": noon + 3_600_000 * hours + 1000 * seconds + ms,
            "duration_seconds": lasts,
            "model_id": agent,
            "call_status": status,
            "end_call_reason": None,
        }
        for hours, seconds, ms, lasts, agent, status in starts
    ]
    connection.execute("DELETE FROM call_load_hourly; DELETE FROM workspace_load_hourly; DELETE FROM call_loads")
    # Calls of the day before that would run beyond this one are cut off, which the other tests look at.
    land(connection, calls, [before, day], "ab", timezone)
    compute_metrics(connection, [day], Settings.of(timezone=timezone), ["call_load_hourly", "workspace_load_hourly"])
    for agent in "ab":
        own = [call for call in calls if call["model_id"] == agent]
        query = "SELECT * EXCLUDE (day, model_id) FROM call_load_hourly WHERE model_id = $1 ORDER BY ALL"
        assert connection.execute(query, [agent]).fetchall() == reference.load_hourly(own, day, timezone)
    together = connection.execute("SELECT * EXCLUDE (day) FROM workspace_load_hourly ORDER BY ALL").fetchall()
    assert together == reference.load_hourly(calls, day, timezone)


def test_a_busy_hour(connection: duckdb.DuckDBPyConnection) -> None:
    """So many calls in slots of five seconds that only some slots may hold the peak."""
    calls = [
        {
            "start_ms": at("2026-03-10 09:00") + number * 7919 % 3_600_000,
            "duration_seconds": number * 31 % 240,
            "call_status": "completed" if number % 3 else "busy",
            "end_call_reason": None,
        }
        for number in range(2000)
    ]
    land(connection, calls)
    found = computed(connection, "call_load_hourly", columns="* EXCLUDE (day, model_id)")
    assert found == reference.load_hourly(calls, DAY, "UTC")
