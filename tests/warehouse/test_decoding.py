"""Records become rows. Odd records are rejected with a reason and do not affect others."""

import datetime as dt
import hashlib
import hmac
import json
from typing import Any

import pytest

from synthflow_assets.api.pages import parse_calls
from synthflow_assets.sandbox.calls import odd_records
from synthflow_assets.warehouse.schema import CALL_FIELDS, CALLS
from tests.warehouse.decoding import START_MS, call, decode, page_of


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (25, 25),
        ("25", 25),
        ("+25", 25),
        (0, 0),
        (None, None),
        (31_622_400, 31_622_400),
        ("", None),
        (25.0, 25),
        ("25.0", 25),
        ("25.00", 25),
    ],
)
def test_whole_numbers_are_taken(value: Any, stored: int | None) -> None:
    [row] = decode(call(duration=value))
    assert (row["duration_seconds"], row["reason"]) == (stored, None)


@pytest.mark.parametrize(
    ("start_time", "reason"),
    [
        (START_MS - 1, "start_time lies outside of the asked day"),
        (START_MS + 86_400_000, "start_time lies outside of the asked day"),
        (f"+{START_MS + 86_400_000}", "start_time lies outside of the asked day"),
        (0, "start_time lies outside of the asked day"),
        ("-9223372036854775808", "start_time is not a time"),
        (START_MS, None),
    ],
)
def test_the_start_decides_the_day(start_time: Any, reason: str | None) -> None:
    [row] = decode(call(start_time=start_time))
    assert row["reason"] == reason


def test_what_two_parsers_would_read_differently_is_rejected() -> None:
    [row] = decode(f'{{"call_id":"a","call_id":"b","start_time":{START_MS}}}')
    assert row["reason"] == "a field occurs twice"


@pytest.mark.parametrize("first", [0, 1, 2])
def test_each_record_is_judged_by_its_own_fields(first: int) -> None:
    """The fields of the first record of a batch are checked once, for all records that have the same."""
    records = [
        json.dumps(call(call_id="plain")),
        json.dumps(call(call_id="twice")).replace("{", '{"duration": 1, "duration": 2, '),
        json.dumps(call(call_id="new", mood="calm")),
    ]
    rows = decode(*records[first:], *records[:first])
    assert sorted((row["call_id"], row["reason"], row["extra"]) for row in rows) == [
        ("new", None, '{"mood":"calm"}'),
        ("plain", None, None),
        ("twice", "a field occurs twice", None),
    ]


NO_WHOLE_NUMBERS = [
    1.7,
    "1.7",
    25.5,
    "25.",
    ".0",
    "25.0.0",
    "1e3",
    "25 s",
    " 25",
    "0x19",
    2**63,
    2**63 - 1,
    -1,
    True,
    [25],
    {"s": 25},
]


def test_what_is_no_whole_number_rejects_the_record() -> None:
    rows = decode(*(call(duration=value) for value in NO_WHOLE_NUMBERS))
    reason = "duration is not a whole number from 0 to 31622400"
    found = [(value, row["reason"]) for value, row in zip(NO_WHOLE_NUMBERS, rows, strict=True)]
    assert found == [(value, reason) for value in NO_WHOLE_NUMBERS]
    assert [json.loads(row["record"])["duration"] for row in rows] == NO_WHOLE_NUMBERS


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (call(call_id=None), "call_id is missing"),
        (call(call_id=""), "call_id is missing"),
        (call(call_id=" \n"), "call_id is missing"),
        (call(call_id={"id": "x"}), "call_id is not a text"),
        (call(call_status={"value": "completed"}), "call_status is not a text"),
        (call(transcript=["bot: hi"]), "transcript is not a text"),
        (call(error_message={"code": 404}), "error_message is not a text"),
        (call(judge_results=[{"goal": "true"}]), "judge_results is not an object"),
        (call(judge_results="true"), "judge_results is not an object"),
        (call(executed_actions=5), "executed_actions is not an object or a list"),
        (call(executed_actions={"a": "{}"}), "an entry of executed_actions is not an object"),
        (call(executed_actions=["a"]), "an entry of executed_actions is not an object"),
        (call(collected_variables=["a"]), "collected_variables is not an object"),
        (call(start_time=None), "start_time is missing"),
        (call(start_time="yesterday"), "start_time is not a time"),
        (call(start_time=10**18), "start_time is not a time"),
        (call(start_time=""), "start_time is missing"),
        (call(start_time="2026-03-10"), "start_time is not a time"),
        (call(start_time="infinity"), "start_time is not a time"),
        ("5", "call_id is missing; start_time is missing"),
        ("null", "call_id is missing; start_time is missing"),
        ('"text"', "call_id is missing; start_time is missing"),
        ("[]", "call_id is missing; start_time is missing"),
    ],
    ids=str,
)
def test_reasons_tell_what_is_wrong_and_nothing_of_the_call(record: Any, reason: str) -> None:
    good = call(call_id="good")
    odd, neighbour = decode(record, good)
    assert odd["reason"] == reason
    assert (neighbour["call_id"], neighbour["reason"]) == ("good", None)


def test_every_odd_record_of_the_sandbox_lands_or_is_rejected() -> None:
    odd = odd_records("agent", START_MS)
    rows = decode(*(record for _, record in odd))
    rejected = {name for (name, _), row in zip(odd, rows, strict=True) if row["reason"] is not None}
    assert rejected == {
        "word_for_a_number",
        "fraction_for_a_whole_number",
        "number_too_large",
        "no_call_id",
    }
    texts = {name: row["transcript"] for (name, _), row in zip(odd, rows, strict=True)}
    assert texts["nul_in_text"] == "before\ufffdafter"
    assert texts["lone_surrogate"] == "half \ufffd an emoji"
    assert len(texts["long_transcript"]) > 5_000_000


def test_emoji_land_unchanged() -> None:
    [row] = decode('{"call_id":"c1","start_time":1,"transcript":"\\ud83d\\ude00 ok"}')
    assert row["transcript"] == "😀 ok"


def test_every_field_of_the_reference_has_a_typed_column() -> None:
    reference = {
        "call_id", "duration", "end_call_reason", "judge_results", "lead_phone_number", "agents_used",
        "executed_actions", "recording_url", "type_of_call", "recording_duration", "transcript", "error_message",
        "call_status", "start_time", "lead_name", "name", "labels", "agent_phone_number", "deployment_type", "timezone",
        "telephony_hangup", "telephony_disconnect_reason", "telephony_duration", "telephony_start", "telephony_end",
        "campaign_type", "phone_number_from", "phone_number_to", "collected_variables",
    }  # fmt: skip
    assert reference <= {column.source for column in CALL_FIELDS}
    assert "model_id" in {column.name for column in CALLS.columns}


def test_moments_without_zone_are_utc() -> None:
    rows = decode(
        call(telephony_start="2026-03-10T12:00:00"),
        call(telephony_start="2026-03-10T12:00:00Z"),
        call(telephony_start="2026-03-10 14:00:00+02:00"),
    )
    assert len({row["telephony_start"] for row in rows}) == 1
    assert rows[0]["telephony_start"].isoformat() == "2026-03-10T12:00:00+00:00"


@pytest.mark.parametrize(
    "start_time",
    [
        START_MS,
        f"{START_MS}.0",
        START_MS // 1000,
        f"{START_MS // 1000}.0",
        "2026-03-10T00:00:00",
        "2026-03-10T00:00:00.000Z",
        "2026-03-10 02:00:00+02:00",
    ],
)
@pytest.mark.parametrize("field", ["start_time", "telephony_start"])
def test_times_are_read_in_every_unambiguous_form(field: str, start_time: Any) -> None:
    [row] = decode(call(**{field: start_time}))
    assert (row["reason"], row[field]) == (None, dt.datetime(2026, 3, 10, tzinfo=dt.UTC))
    [record] = parse_calls(page_of(json.dumps(call(**{field: start_time})))).calls
    assert record.start_ms == START_MS  # fetching reads the same start


@pytest.mark.parametrize(
    ("field", "value", "kind"),
    [
        ("labels", {"a": 1}, "an object"),
        ("agents_used", "agent", "a text"),
        ("telephony_start", "noon", "a text"),
        ("telephony_start", "-infinity", "a text"),
        ("telephony_end", [1], "a list"),
        ("recording_duration", {"seconds": 5}, "an object"),
        ("lead_name", ["a"], "a list"),
    ],
)
def test_a_wrong_type_loses_only_the_field_if_no_metric_needs_it(field: str, value: Any, kind: str) -> None:
    row, neighbour = decode(call(**{field: value}, mood=1), call(call_id="good"))
    assert (row["reason"], row[field], row["unread"]) == (None, None, [f"{field} is {kind}"])
    extra = json.loads(row["extra"])
    assert (list(extra), extra["mood"]) == (["mood", field], 1)
    assert (neighbour["unread"], neighbour["extra"]) == (None, None)
    assert decode(call(**{field: value}), pii="drop")[0]["extra"] is None


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (60.5, "a fraction"),
        ("long", "a text"),
        ("2026-03-10T00:00:00", "a date-time"),
        (2**63, "larger than 31622400"),
        (-1, "negative"),
        ("-1.5", "negative"),
        (True, "a boolean"),
        ([1], "a list"),
        ({"s": 1}, "an object"),
    ],
)
def test_the_kind_of_a_value_is_named_and_not_the_value(value: Any, kind: str) -> None:
    assert decode(call(duration=value), pii="drop")[0]["unread"] == [f"duration is {kind}"]


def test_a_text_of_json_is_that_json() -> None:
    values = {
        "judge_results": {"goal": "true", "goal_feedback": 'it\'s "done"'},
        "executed_actions": {"a": {"name": "a", "action_type": "x"}},
        "collected_variables": {"v": {"value": "1", "collected": True}},
    }
    [expected] = decode(call(**values))
    [as_texts] = decode(call(**{name: f" {json.dumps(value)}" for name, value in values.items()}))
    assert as_texts == expected
    [empty] = decode(call(**dict.fromkeys(values, "")))
    assert [empty[name] for name in values] == [None] * 3
    assert empty["reason"] is None


@pytest.mark.parametrize(
    ("field", "sent", "stored"),
    [
        ("call_status", "COMPLETED", "completed"),
        ("call_status", "NO_ANSWER", "no_answer"),
        ("call_status", "Teleported", "Teleported"),
        ("telephony_hangup", "Caller", "caller"),
        ("end_call_reason", "Insufficient Minutes", "Insufficient Minutes"),
        ("transcript", "[music]\nhuman: HI", "[music]\nhuman: HI"),
        ("transcript", "{", "{"),
        ("lead_name", "ADA", "ADA"),
    ],
)
def test_documented_values_are_in_lower_case_and_other_texts_as_sent(field: str, sent: str, stored: str) -> None:
    [row] = decode(call(**{field: sent}))
    assert (row["reason"], row["unread"], row[field]) == (None, None, stored)


def test_json_null_is_sql_null_and_unknown_fields_are_kept() -> None:
    [row] = decode(call(judge_results=None, executed_actions={}, labels=["a", "b"], mood={"score": 0.5}, tone=None))
    assert row["judge_results"] is None
    assert row["executed_actions"] == "{}"
    assert row["labels"] == ["a", "b"]
    assert json.loads(row["extra"]) == {"mood": {"score": 0.5}, "tone": None}
    [plain] = decode(call())
    assert plain["extra"] is None


def test_dropped_personal_data_is_nowhere() -> None:
    personal = call(
        lead_phone_number="+14155550123", lead_name="Ada Secret", transcript="human: Ada Secret",
        collected_variables={"a": {"name": {"value": "Ada Secret"}}}, unheard_of="Ada Secret",
    )  # fmt: skip
    rows = decode(personal, {**personal, "duration": "Ada Secret"}, pii="drop")
    assert "Secret" not in str(rows)
    assert "4155550123" not in str(rows)
    assert rows[0]["call_id"] == "c1"
    assert rows[1]["reason"] == "duration is not a whole number from 0 to 31622400"


@pytest.mark.parametrize("key", ["k", "a long key " * 20, "schlüssel"])
def test_hash_is_hmac_sha_256(key: str) -> None:
    [row] = decode(call(lead_phone_number="+14155550123", lead_name=None, transcript="Ada"), pii="hash", key=key)
    assert row["transcript"] == hmac.new(key.encode(), b"Ada", hashlib.sha256).hexdigest()
    assert row["lead_phone_number"] == hmac.new(key.encode(), b"14155550123", hashlib.sha256).hexdigest()
    assert row["lead_name"] is None
    assert "Ada" not in str(row)
