"""Histogram, outcomes and rates as tables: calls in, numbers out."""

import datetime as dt

import duckdb
import pytest

from tests.spec.calls import Call, Row, computed, land

N = "not_reported"


def calls(*rows: tuple[str | None, int | None]) -> list[Call]:
    return [{"call_status": status, "duration_seconds": seconds} for status, seconds in rows]


@pytest.mark.parametrize(
    ("landed", "expected"),
    [
        pytest.param([], [], id="no calls"),
        pytest.param(calls(("completed", 5)), [("a", N, "completed", 5, 1)], id="one call"),
        pytest.param(
            calls(("completed", 5), ("busy", 5), ("completed", 5)),
            [("a", N, "busy", 5, 1), ("a", N, "completed", 5, 2)],
            id="ties of one status add up",
        ),
        pytest.param(
            calls((None, None), ("", 7), (" ", None)),
            [("a", N, N, 7, 1), ("a", N, N, None, 2)],
            id="null and blank are not reported, no duration is NULL",
        ),
        pytest.param(
            [{"type_of_call": "inbound", "duration_seconds": 1}, {"type_of_call": "outbound", "duration_seconds": 1}],
            [("a", "inbound", N, 1, 1), ("a", "outbound", N, 1, 1)],
            id="types are told apart",
        ),
    ],
)
def test_call_duration_histogram(
    connection: duckdb.DuckDBPyConnection, landed: list[Call], expected: list[Row]
) -> None:
    land(connection, landed)
    assert computed(connection, "call_duration_histogram") == expected


def test_call_outcomes_daily(connection: duckdb.DuckDBPyConnection) -> None:
    land(
        connection,
        [
            {"call_status": "completed", "end_call_reason": "voicemail", "telephony_hangup": "caller"},
            {"call_status": "completed", "end_call_reason": "solar_flare", "type_of_call": "inbound"},
            {"call_status": "busy", "type_of_call": "inbound"},
            {"call_status": " ", "type_of_call": "inbound"},
        ],
    )
    assert computed(connection, "call_outcomes_daily") == [
        ("a", "call_status", "busy", 1, 0.25),
        ("a", "call_status", "completed", 2, 0.5),
        ("a", "call_status", N, 1, 0.25),
        ("a", "end_call_reason", N, 2, 0.5),
        ("a", "end_call_reason", "solar_flare", 1, 0.25),
        ("a", "end_call_reason", "voicemail", 1, 0.25),
        ("a", "telephony_hangup", "caller", 1, 0.25),
        ("a", "telephony_hangup", N, 3, 0.75),
        ("a", "type_of_call", "inbound", 3, 0.75),
        ("a", "type_of_call", N, 1, 0.25),
    ]


def test_shares_are_of_the_agents_day(connection: duckdb.DuckDBPyConnection) -> None:
    days = [dt.date(2026, 3, 10), dt.date(2026, 3, 11)]
    both = [{"model_id": agent, "call_status": "busy"} for agent in "aab"]
    land(connection, both, days, "ab")
    assert computed(connection, "call_outcomes_daily", days, "model_id, calls, share") == [
        *[("a", 2, 1.0)] * 4,
        *[("b", 1, 1.0)] * 4,
    ]


RATES = (
    "calls, connected_calls, connection_rate, no_answer_rate, busy_rate, failed_rate, voicemail_rate, "
    "short_calls, short_call_rate"
)


@pytest.mark.parametrize(
    ("landed", "expected"),
    [
        #                 calls con  connected no-answer busy failed voicemail short rate
        pytest.param([], (0, 0, None, None, None, None, None, 0, None), id="a day without calls has no rates"),
        pytest.param(calls(("completed", 60)), (1, 1, 1, 0, 0, 0, 0, 0, 0), id="one call"),
        pytest.param(
            calls(("no-answer", 9), ("busy", 0), ("failed", 1), ("failed", None)),
            (4, 0, 0, 0.25, 0.25, 0.5, 0, 0, None),
            id="nothing connected, so no rate of short calls",
        ),
        pytest.param(
            calls(("left_voicemail", 3), ("hangup_on_voicemail", 30), ("completed", 9), ("completed", 10)),
            (4, 4, 1, 0, 0, 0, 0.5, 2, 0.5),
            id="voicemails are connected, and may be short",
        ),
        pytest.param(
            calls((None, 5), ("teleported", 5), ("spam", 5), ("in-progress", 0)),
            (4, 0, 0, 0, 0, 0, 0, 0, None),
            id="every call is in the denominator",
        ),
        pytest.param(
            calls(("completed", None), ("completed", 4)),
            (2, 2, 1, 0, 0, 0, 0, 1, 0.5),
            id="without a duration it is not short",
        ),
    ],
)
def test_call_rates_daily(connection: duckdb.DuckDBPyConnection, landed: list[Call], expected: Row) -> None:
    land(connection, landed)
    assert computed(connection, "call_rates_daily", columns=RATES) == [expected]


def test_a_day_that_was_never_fetched_has_no_rates(connection: duckdb.DuckDBPyConnection) -> None:
    land(connection, [])
    assert computed(connection, "call_rates_daily", [dt.date(2026, 3, 9)]) == []
