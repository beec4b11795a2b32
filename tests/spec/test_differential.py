"""Random calls: SQL held against plain Python, equal to the last digit."""

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any

import duckdb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.spec import reference
from tests.spec.calls import DAY, Call, Row, at, computed, land

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
]
MISSING = st.sampled_from(["", " ", None])
GIVEN = st.fixed_dictionaries({"value": st.none() | st.integers() | st.text(max_size=3), "collected": st.booleans()})
ANSWER = st.none() | GIVEN
# A variable called `value` that is null cannot be told from a variable called like the agent.
VARIABLES = st.fixed_dictionaries({}, optional={"born": ANSWER, **dict.fromkeys(("value", "collected"), GIVEN)})
ACTION = st.fixed_dictionaries(
    {
        "action_type": MISSING | st.sampled_from(["SEND_SMS", "TRANSFER"]),
        "return_value": st.none() | st.sampled_from(["sent", '{"status": "ok"}', '{"status": "error"}']),
    }
)
CALL = st.fixed_dictionaries(
    {
        "model_id": st.sampled_from("ab"),
        "call_status": MISSING
        | st.sampled_from(
            [
                *("completed", " completed", "hangup_on_voicemail", "hangup-on-voicemail", "left_voicemail"),
                *("no-answer", "no_answer", "busy ", "busy", "failed", "odd"),
            ]
        ),
        "type_of_call": MISSING | st.sampled_from(["inbound", " outbound", "outbound"]),
        "end_call_reason": MISSING | st.sampled_from(["voicemail", "solar_flare"]),
        "telephony_disconnect_reason": MISSING | st.sampled_from(["error", " error", "caller_hangup"]),
        "telephony_hangup": MISSING | st.sampled_from(["caller", "callee"]),
        "duration_seconds": st.none() | st.integers(0, 4000),
        "telephony_duration_ms": st.none() | st.integers(0, 4_000_000),
        "telephony_ringing_duration_ms": st.none() | st.integers(0, 60_000),
        "judge_results": st.none()
        | st.dictionaries(
            st.sampled_from(["polite", "polite_reason", "goal"]),
            MISSING | st.sampled_from(["true", "True", "false", "Partial", "well, mostly it was"]),
        ),
        "collected_variables": st.none()
        | st.dictionaries(st.sampled_from(["agent-1", "agent-2"]), st.none() | VARIABLES)
        | st.dictionaries(st.just("born"), GIVEN),
        "executed_actions": st.none() | st.dictionaries(st.sampled_from(["1", "sms 2"]), ACTION),
    }
)


@given(calls=st.lists(CALL, max_size=25))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_metrics_of_a_day(connection: duckdb.DuckDBPyConnection, calls: list[Call]) -> None:
    land(connection, calls, agents="ab")
    for expected_of in BY_AGENT:
        found = computed(connection, expected_of.__name__)
        expected = [
            (agent, *row) for agent in "ab" for row in expected_of([one for one in calls if one["model_id"] == agent])
        ]
        assert found == sorted(expected, key=_nulls_last), expected_of.__name__


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
        ),
        max_size=25,
    ),
)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_load_of_a_day(
    connection: duckdb.DuckDBPyConnection, timezone: str, day: dt.date, starts: list[tuple[Any, ...]]
) -> None:
    before = day - dt.timedelta(days=1)
    noon = at(f"{before} 12:00", timezone)
    calls = [
        {"start_ms": noon + 3_600_000 * hours + 1000 * seconds + ms, "duration_seconds": lasts, "model_id": agent}
        for hours, seconds, ms, lasts, agent in starts
    ]
    # Calls of the day before that would run beyond this one are cut off, which the other tests look at.
    land(connection, calls, [before, day], "ab", timezone)
    columns = "* EXCLUDE (day, model_id)"
    for agent in "ab":
        own = [call for call in calls if call["model_id"] == agent]
        computed(connection, "call_load_hourly", [day], timezone=timezone)
        found = connection.execute(
            f"SELECT {columns} FROM call_load_hourly WHERE day = $1 AND model_id = $2 ORDER BY ALL", [day, agent]
        ).fetchall()
        assert found == reference.load_hourly(own, day, timezone)
    together = computed(connection, "workspace_load_hourly", [day], timezone=timezone)
    assert together == reference.load_hourly(calls, day, timezone)


def test_a_busy_hour(connection: duckdb.DuckDBPyConnection) -> None:
    """So many calls in slots of five seconds that only some slots may hold the peak."""
    calls = [
        {"start_ms": at("2026-03-10 09:00") + number * 7919 % 3_600_000, "duration_seconds": number * 31 % 240}
        for number in range(2000)
    ]
    land(connection, calls)
    found = computed(connection, "call_load_hourly", columns="* EXCLUDE (day, model_id)")
    assert found == reference.load_hourly(calls, DAY, "UTC")
