"""Histogram, outcomes and rates as tables: calls in, numbers out."""

import datetime as dt
import json

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
            {"call_status": "busy", "type_of_call": "inbound", "assistant_version": "4"},
            {"call_status": " ", "type_of_call": "inbound", "campaign_type": " live "},
            {"call_status": "failed", "error_message": "Telephony - 404 - Not Found"},
        ],
    )
    found = computed(connection, "call_outcomes_daily", columns="dimension, value, calls, share")
    assert found == [
        ("assistant_version", "4", 1, 0.2),
        ("assistant_version", N, 4, 0.8),
        ("call_status", "busy", 1, 0.2),
        ("call_status", "completed", 2, 0.4),
        ("call_status", "failed", 1, 0.2),
        ("call_status", N, 1, 0.2),
        ("campaign_type", "live", 1, 0.2),
        ("campaign_type", N, 4, 0.8),
        ("end_call_reason", N, 3, 0.6),
        ("end_call_reason", "solar_flare", 1, 0.2),
        ("end_call_reason", "voicemail", 1, 0.2),
        ("outcome", "busy", 1, 0.2),
        ("outcome", "failed", 1, 0.2),
        ("outcome", "other", 1, 0.2),
        ("outcome", "person_reached", 1, 0.2),
        ("outcome", "voicemail", 1, 0.2),
        ("telephony_error_code", "404", 1, 0.2),
        ("telephony_error_code", N, 4, 0.8),
        ("telephony_hangup", "caller", 1, 0.2),
        ("telephony_hangup", N, 4, 0.8),
        ("type_of_call", "inbound", 3, 0.6),
        ("type_of_call", N, 2, 0.4),
    ]


OUTCOMES = {
    "person_reached": [("completed", None), ("completed", "human_hangup"), (" Completed ", "error")],
    "voicemail": [
        ("hangup_on_voicemail", None),
        ("left_voicemail", "agent_goodbye"),
        ("left-voicemail", None),
        ("completed", "voicemail"),
        ("completed", "voicemail_message_left"),
        ("completed", "voicemail_cut_off"),
    ],
    "no_answer": [("no-answer", None), ("no_answer", "voicemail")],
    "busy": [("busy", None)],
    "failed": [("failed", "error")],
    "canceled": [("canceled", None), ("user-canceled", "user_canceled")],
    "open": [
        *(("pending", None), ("ringing", None), ("in-progress", None), ("in_progress", None), ("queue", None)),
        *(("initiated", None), ("checking", None), ("paused", None), ("registered", None)),
    ],
    "other": [(None, None), ("", "voicemail"), ("spam", None), ("teleported", None)],
}


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_every_call_has_one_outcome(connection: duckdb.DuckDBPyConnection, outcome: str) -> None:
    given = OUTCOMES[outcome]
    land(connection, [{"call_status": status, "end_call_reason": reason} for status, reason in given])
    rows = computed(connection, "call_outcomes_daily", columns="dimension, value, calls")
    assert [row[1:] for row in rows if row[0] == "outcome"] == [(outcome, len(given))]


def test_shares_are_of_the_agents_day(connection: duckdb.DuckDBPyConnection) -> None:
    days = [dt.date(2026, 3, 10), dt.date(2026, 3, 11)]
    both = [{"model_id": agent, "call_status": "busy"} for agent in "aab"]
    land(connection, both, days, "ab")
    assert computed(connection, "call_outcomes_daily", days, "model_id, calls, share") == [
        *[("a", 2, 1.0)] * 8,
        *[("b", 1, 1.0)] * 8,
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


REACHED = (
    "calls, connected_calls, person_reached_calls, silent_calls, person_reached_rate, contained_calls, containment_rate"
)
TRANSFERRED = "transferred_calls, transfer_success_calls, transfer_failed_calls, transfer_success_rate"
OK = {"status": "transfer-success"}
FAILED = {"status": "transfer-failed-timeout"}
UNKNOWN: dict[str, str] = {}


def transferred(*returned: dict[str, str], **fields: str) -> Call:
    actions = [{"action_type": "transfer_call_action_type", "return_value": json.dumps(one)} for one in returned]
    return {"executed_actions": actions, "call_status": "completed", **fields}


def test_connected_is_not_reached(connection: duckdb.DuckDBPyConnection) -> None:
    """An account's latest 100 calls: 88 are connected, hardly a person was reached."""
    statuses = {"hangup_on_voicemail": 80, "no-answer": 7, "failed": 5, "completed": 4, "left_voicemail": 4}
    landed = [{"call_status": status} for status, count in statuses.items() for _ in range(count)]
    land(connection, landed)
    columns = "connection_rate, person_reached_rate"
    assert computed(connection, "call_rates_daily", columns=columns) == [(0.88, 0.04)]


@pytest.mark.parametrize(
    ("landed", "expected"),
    [
        #                calls con reached silent rate contained rate
        pytest.param([], (0, 0, 0, 0, None, 0, None), id="no calls"),
        pytest.param(
            [{"call_status": "completed", "end_call_reason": "voicemail"}, {"call_status": "busy"}],
            (2, 1, 0, 0, 0, 0, None),
            id="nobody was reached",
        ),
        pytest.param(
            [
                {"call_status": "completed", "transcript": "bot: Hello?\nbot: Are you there?"},
                {"call_status": "completed", "transcript": "\nbot: Hello?\nhuman: Yes."},
                {"call_status": "completed", "transcript": ""},
                {"call_status": "completed"},
                {"call_status": "left_voicemail", "transcript": "bot: Please call us."},
            ],
            (5, 5, 4, 2, 0.8, 4, 1),
            id="silent: a person who says nothing; without a transcript nobody knows",
        ),
        pytest.param(
            [
                transferred(),
                transferred(FAILED),
                transferred(OK),
                transferred(OK, end_call_reason="voicemail"),
                {"call_status": "completed"},
            ],
            (5, 5, 4, 0, 0.8, 2, 0.5),
            id="contained: a person, and no transfer was tried",
        ),
    ],
)
def test_reached_and_contained(connection: duckdb.DuckDBPyConnection, landed: list[Call], expected: Row) -> None:
    land(connection, landed)
    assert computed(connection, "call_rates_daily", columns=REACHED) == [expected]


@pytest.mark.parametrize(
    ("landed", "expected"),
    [
        pytest.param([transferred()], (0, 0, 0, None), id="no transfer"),
        pytest.param([transferred(OK), transferred(FAILED)], (2, 1, 1, 0.5), id="one of two"),
        pytest.param([transferred(FAILED, OK)], (1, 1, 0, 1), id="the second try succeeds"),
        pytest.param([transferred(UNKNOWN)], (1, 0, 0, None), id="nothing is reported, so nothing is known"),
        pytest.param([transferred(UNKNOWN, FAILED), transferred(OK)], (2, 1, 1, 0.5), id="one of two fails"),
    ],
)
def test_transfers_in_the_rates(connection: duckdb.DuckDBPyConnection, landed: list[Call], expected: Row) -> None:
    land(connection, landed)
    assert computed(connection, "call_rates_daily", columns=TRANSFERRED) == [expected]


def test_a_day_that_was_never_fetched_has_no_rates(connection: duckdb.DuckDBPyConnection) -> None:
    land(connection, [])
    assert computed(connection, "call_rates_daily", [dt.date(2026, 3, 9)]) == []
