"""Traffic by the hour as tables: calls in, hours out. Calls across hours and midnight, and days of 23 to 25 hours."""

import datetime as dt
from collections.abc import Sequence

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synthflow_assets.days import local_hours
from synthflow_assets.metrics import compute_metrics
from synthflow_assets.settings import Settings
from tests.spec.calls import DAY, Call, Row, at, computed, land

NEW_YORK, LORD_HOWE = "America/New_York", "Australia/Lord_Howe"
HOUR = "local_hour, calls_started, calls_in_progress, agent_minutes, peak_concurrent_calls"
HOURLY = ["call_load_hourly", "workspace_load_hourly"]
NEXT = DAY + dt.timedelta(days=1)


def call(start: str, seconds: int | None, agent: str = "a", timezone: str = "UTC", *, again: bool = False) -> Call:
    return {"model_id": agent, "start_ms": at(start, timezone, again=again), "duration_seconds": seconds}


def busy(rows: Sequence[Row]) -> list[Row]:
    """The hours that are not all zeros."""
    return [row for row in rows if any(row[1:])]


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        #                             hour started in progress minutes peak
        pytest.param([], [], id="no calls"),
        pytest.param([call("2026-03-10 09:10", 90)], [(9, 1, 1, 1.5, 1)], id="one call"),
        pytest.param(
            [call("2026-03-10 09:59:30", 3690)],
            [(9, 1, 1, 0.5, 1), (10, 0, 1, 60, 1), (11, 0, 1, 1, 1)],
            id="a call counts in every hour that it runs in",
        ),
        pytest.param(
            [call("2026-03-10 09:00", 3600), call("2026-03-10 10:00", 60)],
            [(9, 1, 1, 60, 1), (10, 1, 1, 1, 1)],
            id="a call that ends on the hour is not in the next",
        ),
        pytest.param(
            [call("2026-03-10 09:00", 60), call("2026-03-10 09:01", 60)],
            [(9, 2, 2, 2, 1)],
            id="a call that begins as another ends is not concurrent with it",
        ),
        pytest.param(
            [call("2026-03-10 09:00", 60), call("2026-03-10 09:00:59.999", 60), call("2026-03-10 09:30", 60)],
            [(9, 3, 3, 3, 2)],
            id="a millisecond together is concurrent",
        ),
        pytest.param([call("2026-03-10 09:00", 60)] * 3, [(9, 3, 3, 3, 3)], id="ties"),
        pytest.param(
            [call("2026-03-10 09:00", None), call("2026-03-10 09:00", 0)],
            [(9, 2, 2, 0, 0)],
            id="without a duration it has started, and no more",
        ),
        pytest.param(
            [call("2026-03-10 23:59:00", 120), call("2026-03-09 23:59:00", 180)],
            [(0, 0, 1, 2, 1), (23, 1, 1, 1, 1)],
            id="across midnight: the part of this day, and the call of the day before",
        ),
        pytest.param(
            [call("2026-03-08 12:00", 86_400 * 3)],
            [],
            id="a call counts on the day after its start, and no further",
        ),
        pytest.param(
            [call("2026-03-09 00:00", 86_400 + 60)],
            [(0, 0, 1, 1, 1)],
            id="a day and a minute",
        ),
    ],
)
def test_hours_of_a_day(connection: duckdb.DuckDBPyConnection, calls: list[Call], expected: list[Row]) -> None:
    land(connection, calls, [DAY - dt.timedelta(days=n) for n in range(3)])
    rows = computed(connection, "call_load_hourly", columns=HOUR)
    assert [row[0] for row in rows] == list(range(24))
    assert busy(rows) == expected
    # One agent is the whole workspace.
    assert computed(connection, "workspace_load_hourly", columns=HOUR) == rows


def test_what_became_of_calls_counts_in_the_hour_of_their_start(connection: duckdb.DuckDBPyConnection) -> None:
    statuses = [("09:00", "completed"), ("09:30", "left_voicemail"), ("09:59", "completed"), ("10:00", "busy")]
    calls = [{**call(f"2026-03-10 {start}", 120), "call_status": status} for start, status in statuses]
    land(connection, calls)
    columns = "local_hour, calls_started, connected_calls, person_reached_calls"
    expected = [(9, 3, 3, 2), (10, 1, 0, 0)]
    for table in HOURLY:
        assert busy(computed(connection, table, columns=columns)) == expected


def test_a_day_is_the_same_whatever_is_computed_with_it(connection: duckdb.DuckDBPyConnection) -> None:
    days = [DAY - dt.timedelta(days=n) for n in range(4)]
    land(connection, [call("2026-03-07 12:00", 86_400 * 3), call("2026-03-09 23:59", 120)], days)
    together = computed(connection, "call_load_hourly", days, "*")
    alone = [row for day in days for row in computed(connection, "call_load_hourly", [day], "*")]
    assert sorted(together) == sorted(alone)


@pytest.mark.slow
@given(
    order=st.permutations([*range(4), 1]),
    spans=st.lists(st.tuples(st.integers(0, 95), st.integers(0, 30), st.sampled_from("ab")), max_size=12),
    later=st.integers(0, 30),
)
@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_tables_are_the_same_in_whatever_order_days_land(
    connection: duckdb.DuckDBPyConnection, order: list[int], spans: list[tuple[int, int, str]], later: int
) -> None:
    """One of the days lands twice, with other durations the second time."""
    days = [DAY + dt.timedelta(days=number) for number in range(4)]

    def calls_of(day: dt.date, *, again: bool) -> list[Call]:
        calls = []
        for hour, hours, agent in spans:
            start = dt.datetime.combine(DAY, dt.time()) + dt.timedelta(hours=hour)
            if start.date() == day:
                calls.append(call(str(start), 3600 * (hours if again else later) + 7, agent))
        return calls

    def hours() -> list[list[Row]]:
        return [connection.execute(f"FROM {table} ORDER BY ALL").fetchall() for table in HOURLY]

    for table in ("calls", "call_loads", *HOURLY):
        connection.execute(f"DELETE FROM {table}")
    for place, number in enumerate(order):
        again = number != 1 or number in order[:place]
        land(connection, calls_of(days[number], again=again), [days[number]], "ab")
        compute_metrics(connection, [days[number]], Settings.of(), HOURLY)
    found = hours()
    compute_metrics(connection, days, Settings.of(), HOURLY)
    assert found == hours()
    assert len(found[0]) == 4 * 24 * 2


def test_peaks_of_agents_do_not_add_up(connection: duckdb.DuckDBPyConnection) -> None:
    calls = [call("2026-03-10 09:00", 60), call("2026-03-10 09:00", 60), call("2026-03-10 09:02", 60, "b")]
    land(connection, calls, agents="ab")
    by_agent = computed(connection, "call_load_hourly", columns="model_id, local_hour, peak_concurrent_calls")
    assert [row for row in by_agent if row[2]] == [("a", 9, 2), ("b", 9, 1)]
    assert busy(computed(connection, "workspace_load_hourly", columns=HOUR)) == [(9, 3, 3, 3, 2)]


def test_an_agent_that_was_not_fetched_has_no_hours(connection: duckdb.DuckDBPyConnection) -> None:
    land(connection, [], agents="a")
    assert {row[0] for row in computed(connection, "call_load_hourly", columns="model_id")} == {"a"}
    assert computed(connection, "call_load_hourly", [NEXT]) == []
    assert computed(connection, "workspace_load_hourly", [NEXT]) == []
    # Nor is a day computed that has not landed.
    assert compute_metrics(connection, [DAY], Settings.of(), HOURLY) == {table: [DAY] for table in HOURLY}


def test_a_day_that_was_not_over_has_the_hours_until_then(connection: duckdb.DuckDBPyConnection) -> None:
    """An hour of the future has no row, because its row would say that there were no calls."""
    land(connection, [call("2026-03-10 01:30", 60), call("2026-03-10 02:05", 60, "b")], agents="ab")
    connection.execute("UPDATE call_loads SET fetched_until = '2026-03-10 02:10:00Z' WHERE model_id = 'a'")
    connection.execute("UPDATE call_loads SET fetched_until = '2026-03-10 01:10:00Z' WHERE model_id = 'b'")
    agents = computed(connection, "call_load_hourly", columns="model_id, local_hour, calls_started")
    assert agents == [("a", 0, 0), ("a", 1, 1), ("a", 2, 0), ("b", 0, 0), ("b", 1, 0)]
    workspace = computed(connection, "workspace_load_hourly", columns="local_hour, calls_started")
    assert workspace == [(0, 0), (1, 1)]  # the hours that both agents have
    connection.execute("UPDATE call_loads SET fetched_until = NULL")
    assert len(computed(connection, "call_load_hourly")) == 48
    assert len(computed(connection, "workspace_load_hourly")) == 24


CLOCK_CHANGES = [
    # the clock goes from 2:00 to 3:00
    (NEW_YORK, dt.date(2026, 3, 8), [0, 1, *range(3, 24)], 23.0),
    # and from 2:00 back to 1:00
    (NEW_YORK, dt.date(2026, 11, 1), [0, 1, 1, *range(2, 24)], 25.0),
    # from 2:00 to 2:30
    (LORD_HOWE, dt.date(2026, 10, 4), list(range(24)), 23.5),
    # and from 2:00 back to 1:30
    (LORD_HOWE, dt.date(2026, 4, 5), [0, 1, 1, *range(2, 24)], 24.5),
    # at midnight itself: to 1:00
    ("Asia/Beirut", dt.date(2026, 3, 29), list(range(1, 24)), 23.0),
    ("Asia/Kathmandu", dt.date(2026, 3, 10), list(range(24)), 24.0),
]


@pytest.mark.parametrize(("timezone", "day", "hours", "length"), CLOCK_CHANGES, ids=lambda value: str(value)[:20])
def test_a_call_through_the_whole_day_fills_its_hours(
    connection: duckdb.DuckDBPyConnection, timezone: str, day: dt.date, hours: list[int], length: float
) -> None:
    before = day - dt.timedelta(days=1)
    # It begins a minute before the day, and ends after it.
    start = at(f"{before} 23:59", timezone)
    land(connection, [{"start_ms": start, "duration_seconds": int(length * 3600) + 120}], [before, day], "a", timezone)
    rows = computed(connection, "call_load_hourly", [day], f"hour_start, {HOUR}", timezone=timezone)
    assert [row[1] for row in rows] == hours
    assert sum(row[4] for row in rows) == length * 60
    assert {row[5] for row in rows} == {1}
    assert len({row[0] for row in rows}) == len(rows)
    for row, hour in zip(rows, local_hours(day, timezone), strict=True):
        assert row[4] * 60_000 == hour.to_ms - hour.from_ms


def test_the_hour_that_comes_twice_is_two_rows(connection: duckdb.DuckDBPyConnection) -> None:
    day = dt.date(2026, 11, 1)
    calls = [
        call("2026-11-01 01:30", 60, timezone=NEW_YORK),
        call("2026-11-01 01:30", 60, timezone=NEW_YORK, again=True),
        call("2026-11-01 01:45", 60, timezone=NEW_YORK, again=True),
    ]
    land(connection, calls, [day], "a", NEW_YORK)
    columns = f"hour_start::VARCHAR AS hour_start, {HOUR}"
    rows = computed(connection, "call_load_hourly", [day], columns, timezone=NEW_YORK)
    assert [row for row in rows if row[2]] == [
        ("2026-11-01 05:00:00+00", 1, 1, 1, 1, 1),
        ("2026-11-01 06:00:00+00", 1, 2, 2, 2, 1),
    ]


def test_half_an_hour_that_the_clock_leaves_is_a_row(connection: duckdb.DuckDBPyConnection) -> None:
    day = dt.date(2026, 4, 5)
    calls = [
        call("2026-04-05 01:45", 60, timezone=LORD_HOWE),
        call("2026-04-05 01:45", 120, timezone=LORD_HOWE, again=True),
    ]
    land(connection, calls, [day], "a", LORD_HOWE)
    columns = f"hour_start::VARCHAR AS hour_start, {HOUR}"
    rows = computed(connection, "call_load_hourly", [day], columns, timezone=LORD_HOWE)
    assert [row for row in rows if row[2]] == [
        ("2026-04-04 14:00:00+00", 1, 1, 1, 1, 1),
        ("2026-04-04 15:00:00+00", 1, 1, 1, 2, 1),
    ]
