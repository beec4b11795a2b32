"""Callers and attempts as tables: calls in, distinct people out, in whatever order the days land."""

import datetime as dt
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synthflow_assets.metrics import compute_metrics
from synthflow_assets.settings import Settings
from tests.spec import reference
from tests.spec.calls import DAY, Call, Row, at, computed, land

TABLES = ["callers_daily", "attempts_daily"]
DAYS = [DAY + dt.timedelta(days=number) for number in (-9, -8, -7, -1, 0, 1)]
CALLERS = "calls, callers, reached_callers, new_callers, repeat_callers_24h, repeat_callers_7d, calls_per_caller"


def call(who: str | None, start: str, status: str = "no-answer", direction: str = "outbound", agent: str = "a") -> Call:
    """A call with the person who has this last digit; None withholds the number."""
    number = "anonymous" if who is None else f"+1415555010{who}"
    column = "phone_number_to" if direction == "outbound" else "phone_number_from"
    return {
        "model_id": agent,
        "start_ms": at(start),
        "call_status": status,
        "type_of_call": direction,
        column: number,
        "lead_phone_number": number,
        "agent_phone_number": "+14155550199",
    }


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        #                     calls callers reached new 24h 7d calls_per_caller
        pytest.param([], [("a", 0, 0, 0, 0, 0, 0, None)], id="no calls"),
        pytest.param([call("1", "2026-03-10 09:00")], [("a", 1, 1, 0, 1, 0, 0, 1)], id="one call"),
        pytest.param(
            [call("1", "2026-03-10 09:00"), call("1", "2026-03-10 10:00", "completed"), call("2", "2026-03-10 09:00")],
            [("a", 3, 2, 1, 2, 1, 1, 1.5)],
            id="a person who is called twice counts once",
        ),
        pytest.param(
            [call("1", "2026-03-09 12:00"), call("1", "2026-03-10 12:00")],
            [("a", 1, 1, 0, 0, 1, 1, 1)],
            id="24 hours later is a repeat",
        ),
        pytest.param(
            [call("1", "2026-03-09 12:00"), call("1", "2026-03-10 12:00:00.001")],
            [("a", 1, 1, 0, 0, 0, 1, 1)],
            id="a millisecond later it repeats within 7 days only",
        ),
        pytest.param(
            [call("1", "2026-03-03 12:00"), call("1", "2026-03-10 12:00")],
            [("a", 1, 1, 0, 0, 0, 1, 1)],
            id="7 days later is a repeat",
        ),
        pytest.param(
            [call("1", "2026-03-02 12:00"), call("1", "2026-03-10 12:00")],
            [("a", 1, 1, 0, 0, 0, 0, 1)],
            id="8 days later the caller neither repeats nor is new",
        ),
        pytest.param(
            [call("1", "2026-03-09 12:00", agent="b"), call("1", "2026-03-10 09:00", direction="inbound")],
            [("a", 1, 1, 0, 0, 1, 1, 1), ("b", 0, 0, 0, 0, 0, 0, None)],
            id="who called another agent before is not new, and repeats",
        ),
        pytest.param(
            [call("1", "2026-03-10 09:00"), call("1", "2026-03-11 09:00")],
            [("a", 1, 1, 0, 1, 0, 0, 1)],
            id="later days do not count",
        ),
        pytest.param(
            [call(None, "2026-03-10 09:00"), call("1", "2026-03-10 10:00"), call(None, "2026-03-10 11:00")],
            [("a", 3, 1, 0, 1, 0, 0, 1)],
            id="withheld numbers are nobody",
        ),
        pytest.param(
            [call(None, "2026-03-10 09:00")],
            [("a", 1, None, None, None, None, None, None)],
            id="without any number, callers are unknown",
        ),
    ],
)
def test_callers_of_a_day(connection: duckdb.DuckDBPyConnection, calls: list[Call], expected: list[Row]) -> None:
    land(connection, calls, DAYS, "ab" if len(expected) == 2 else "a")
    assert computed(connection, "callers_daily", columns=f"model_id, {CALLERS}") == expected


def test_attempts_until_a_lead_is_reached(connection: duckdb.DuckDBPyConnection) -> None:
    calls = [
        # 1 is reached by the third call, on the next day; the fourth is no attempt.
        *(call("1", f"2026-03-10 {hour}:00") for hour in ("09", "10")),
        *(call("1", f"2026-03-11 {hour}:00", "completed") for hour in ("09", "10")),
        # 2 is reached at once, 3 never: a voicemail is no person.
        call("2", "2026-03-10 09:00", "completed"),
        call("3", "2026-03-10 09:00", "left_voicemail"),
        # An inbound caller is no lead, and neither is a caller without a number.
        call("4", "2026-03-10 09:00", "completed", "inbound"),
        call(None, "2026-03-10 09:00", "completed"),
        # Another agent begins anew, and tries eleven times.
        *(call("3", f"2026-03-10 10:{minute}", agent="b") for minute in range(10, 20)),
        call("3", "2026-03-10 11:00", "completed", agent="b"),
    ]
    land(connection, calls, DAYS, "ab")
    found = computed(connection, "attempts_daily", DAYS, "*")
    assert [row for row in found if row[1] == "a"] == [
        #        attempt leads reached so far all share
        (DAY, "a", 1, 3, 1, 1, 3, 1 / 3),
        (DAY, "a", 2, 1, 0, 1, 3, 1 / 3),
        (DAY, "a", 3, 1, 1, 2, 3, 2 / 3),
    ]
    assert [row for row in found if row[1] == "b"] == [
        *((DAY, "b", attempt, 1, 0, 0, 1, 0) for attempt in range(1, 10)),
        (DAY, "b", 10, 1, 1, 1, 1, 1),
    ]


_CALL = st.tuples(
    st.sampled_from(["1", "2", "3", None]),
    st.sampled_from(DAYS),
    st.sampled_from(["09:00", "09:00", "10:00", "23:30"]),
    st.sampled_from(["completed", "no-answer", "left_voicemail", None]),
    st.sampled_from(["outbound", "outbound", "inbound"]),
    st.sampled_from("ab"),
)


@pytest.mark.slow
@given(chosen=st.lists(_CALL, max_size=30), order=st.permutations(DAYS), gone=st.integers(0, 6))
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_calls_in_whatever_order_days_land(
    connection: duckdb.DuckDBPyConnection, chosen: list[Any], order: list[dt.date], gone: int
) -> None:
    """A first version of the last day has other calls, which are gone when it lands again."""
    calls: list[dict[str, Any]] = [
        {**call(who, f"{day} {time}", status, direction, agent), "call_id": f"{number:02}", "caller": who, "day": day}
        for number, (who, day, time, status, direction, agent) in enumerate(chosen)
    ]
    for row in calls:
        row["end_call_reason"] = None
    for table in ("calls", "call_loads", *TABLES):
        connection.execute(f"DELETE FROM {table}")
    vanished = [call("2", f"{order[0]} 08:00", "completed") for _ in range(gone)]
    for place, day in enumerate([order[0], *order]):
        of_day = vanished if place == 0 else [row for row in calls if row["day"] == day]
        land(connection, [{k: v for k, v in row.items() if k not in ("caller", "day")} for row in of_day], [day], "ab")
        compute_metrics(connection, [day], Settings.of(), TABLES)
    found = {table: connection.execute(f"FROM {table} ORDER BY ALL").fetchall() for table in TABLES}
    wanted = [(day, agent, *reference.callers_daily(calls, agent, day)) for day in DAYS for agent in "ab"]
    assert found["callers_daily"] == wanted
    assert found["attempts_daily"] == sorted(reference.attempts_daily(calls))
    # The macro over a single day of one agent is the table's row.
    for day, agent, *row in wanted:
        summary = f"FROM caller_summary('{day}', '{day}', condition := model_id = '{agent}')"
        assert connection.execute(summary).fetchall() == [tuple(row)]


def test_callers_of_a_range_do_not_add_up(connection: duckdb.DuckDBPyConnection) -> None:
    calls = [
        call("1", "2026-03-02 09:00"),
        *(call("1", f"2026-03-{day} 09:00", agent=agent) for day, agent in (("09", "a"), ("10", "a"), ("10", "b"))),
        call("2", "2026-03-10 09:00", "completed", "inbound"),
        call(None, "2026-03-10 09:00"),
    ]
    land(connection, calls, DAYS, "ab")
    query = f"SELECT identified_calls, {CALLERS} FROM caller_summary('2026-03-09', '2026-03-10'"
    #                                                     identified calls callers reached new 24h 7d each
    assert connection.execute(f"{query})").fetchall() == [(4, 5, 2, 1, 1, 1, 1, 2)]
    by_agent = "SELECT key, callers FROM caller_summary_by('2026-03-09', '2026-03-10', model_id) ORDER BY ALL"
    assert connection.execute(by_agent).fetchall() == [("a", 2), ("b", 1)]
    inbound = connection.execute(f"{query}, condition := type_of_call = 'inbound')").fetchall()
    assert inbound == [(1, 1, 1, 1, 1, 0, 0, 1)]
    assert connection.execute(f"{query.replace('2026', '2020')})").fetchall() == [(0, 0, 0, 0, 0, 0, 0, None)]
