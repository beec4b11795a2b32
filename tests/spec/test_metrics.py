"""Metrics as tables: calls in, numbers out; and SQL held against plain Python for random calls."""

import datetime as dt
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from synthflow_assets.metrics import compute_metrics
from synthflow_assets.metrics.frames import headline, named_frame
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.metric_tables import CONNECTED_STATUSES

DAY = dt.date(2026, 3, 10)
# (agent, status, duration_seconds, disconnect reason)
Call = tuple[str, str | None, int | None, str | None]


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(str(tmp_path / "w.duckdb"))


@pytest.fixture
def connection(warehouse: Warehouse) -> Iterator[duckdb.DuckDBPyConnection]:
    with warehouse.connect() as opened:
        yield opened


def store(connection: duckdb.DuckDBPyConnection, calls: Sequence[Call], day: dt.date = DAY, agents: str = "") -> None:
    """Put calls where landing would, with their rows in call_loads."""
    connection.execute("DELETE FROM synthflow.calls WHERE day = $1", [day])
    connection.execute("DELETE FROM synthflow.call_loads WHERE day = $1", [day])
    for number, (agent, status, seconds, reason) in enumerate(calls):
        connection.execute(
            "INSERT INTO synthflow.calls BY NAME SELECT $1 AS day, $2 AS model_id, $3 AS call_id, now() AS start_time, "
            "$4 AS call_status, $5 AS duration_seconds, $6 AS telephony_disconnect_reason, now() AS loaded_at",
            [day, agent, f"{day}-{number}", status, seconds, reason],
        )
    for agent in {agent for agent, *_ in calls} | set(agents):
        landed = sum(one == agent for one, *_ in calls)
        connection.execute(
            "INSERT INTO synthflow.call_loads BY NAME "
            "SELECT $1 AS day, $2 AS model_id, $3 AS landed, now() AS loaded_at",
            [day, agent, landed],
        )


def rows(connection: duckdb.DuckDBPyConnection, table: str, day: dt.date = DAY) -> list[tuple[Any, ...]]:
    compute_metrics(connection, [day], Settings.of(), [table])
    return connection.execute(
        f"SELECT * EXCLUDE (day) FROM synthflow.{table} WHERE day = $1 ORDER BY ALL", [day]
    ).fetchall()


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
    found = rows(connection, "call_duration_daily")
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
    found = rows(connection, "disconnect_reasons_daily")
    assert [row[:3] for row in found] == [row[:3] for row in expected]
    for row, wanted in zip(found, expected, strict=True):
        assert row[3:] == pytest.approx(wanted[3:])


def test_recomputing_a_day_touches_that_day_only(connection: duckdb.DuckDBPyConnection) -> None:
    other = DAY + dt.timedelta(days=1)
    for day in (DAY, other):
        store(connection, [("a", "completed", 10, "error")], day)
        rows(connection, "call_duration_daily", day)
    store(connection, [("a", "completed", 99, "error")], DAY)
    store(connection, [("a", "completed", 99, "error")], other)
    assert rows(connection, "call_duration_daily", DAY)[0][4] == 99
    kept = connection.execute(
        "SELECT total_duration_seconds FROM synthflow.call_duration_daily WHERE day = $1", [other]
    )
    assert kept.fetchone() == (10,)


def test_the_short_call_threshold_is_a_setting(connection: duckdb.DuckDBPyConnection) -> None:
    store(connection, [("a", "completed", 25, None)])
    compute_metrics(connection, [DAY], Settings.of(short_call_seconds=30), ["call_duration_daily"])
    assert connection.execute("SELECT short_calls FROM synthflow.call_duration_daily").fetchone() == (1,)


def quantile(values: Sequence[int], share: float) -> float:
    """Linear interpolation between the closest ranks."""
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    low = int(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (position - low)


CALLS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]),
        st.sampled_from([*CONNECTED_STATUSES, "no-answer", "busy", "odd", None]),
        st.none() | st.integers(0, 4000),
        st.sampled_from(["error", "caller_hangup", "unknown", "", None]),
    ),
    max_size=30,
)


@given(calls=CALLS)
@hypothesis_settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_sql_equals_plain_python(connection: duckdb.DuckDBPyConnection, calls: list[Call]) -> None:
    store(connection, calls, agents="ab")
    durations = {row[0]: row[1:] for row in rows(connection, "call_duration_daily")}
    reasons = {(row[0], row[1]): row[2:] for row in rows(connection, "disconnect_reasons_daily")}
    assert set(durations) == {"a", "b"}
    for agent in "ab":
        own = [call for call in calls if call[0] == agent]
        connected = [call for call in own if call[1] in CONNECTED_STATUSES]
        seconds = [call[2] for call in connected if call[2] is not None]
        short = sum(one < 10 for one in seconds)
        assert durations[agent][:4] == (len(own), len(connected), short, sum(seconds))
        if seconds:
            shares = (0.5, 0.9, 0.95, 0.99)
            wanted = [statistics.fmean(seconds), *(quantile(seconds, share) for share in shares), max(seconds)]
            assert list(durations[agent][4:]) == pytest.approx(wanted)
        else:
            assert set(durations[agent][4:]) == {None}
        for reason in {call[3] or "not_reported" for call in own}:
            count = sum((call[3] or "not_reported") == reason for call in own)
            assert reasons[agent, reason][:2] == (count, pytest.approx(count / len(own)))
    assert len(reasons) == len({(call[0], call[3] or "not_reported") for call in calls})


def test_frames_show_names_and_the_headline_weighs_days(warehouse: Warehouse) -> None:
    with warehouse.connect() as connection:
        store(
            connection,
            [("a", "completed", 10, None)] * 3 + [("b", "completed", 50, None), ("b", "completed", None, None)],
        )
        connection.execute("INSERT INTO synthflow.agents VALUES ('a', 'Front Desk', NULL, now())")
        compute_metrics(connection, [DAY], Settings.of(), ["call_duration_daily", "call_duration_histogram"])
    frame = named_frame(warehouse, "call_duration_daily", DAY, DAY)
    assert frame["agent"].tolist() == ["Front Desk", "b"]
    assert dict(headline(warehouse, DAY, DAY))["Average call duration"] == "20 s"
    assert dict(headline(warehouse, dt.date(2020, 1, 1), dt.date(2020, 1, 2)))["Calls"] == "0"
