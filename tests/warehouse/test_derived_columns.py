"""Columns that are derived from the JSON and the texts of a call, in the shapes of the live API."""

import datetime as dt
import json
from typing import Any

import pytest

from synthflow_assets.warehouse.schema import DERIVED_COLUMNS
from tests.warehouse.decoding import call, decode

JUDGE = {
    "persona": "true",
    "persona_feedback": "",
    "style": "True",
    "style_feedback": "Polite throughout",
    "goal": "partial",
    "goal_feedback": "Ada agreed to call back",
    "objections": "not_applicable",
    "objections_feedback": "",
    "steps": "",
    "steps_feedback": "",
    "knowledge": None,
    "knowledge_feedback": None,
    "call_summary": "true",
    "call_summary_feedback": "Ada called about her invoice",
    "all_feedback": "Mostly fine",
    "judge_found_partial_or_error": "true",
    "judge_found_full_error": "false",
}
EXTRACT, TRANSFER = "extract_info_action_type", "transfer_call_action_type"
AT = dt.datetime(2026, 3, 10, 12, 0, 9, 250_000, dt.UTC)


def derive(**fields: Any) -> dict[str, Any]:
    [row] = derive_all([fields])
    return row


def derive_all(fields_of_calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of several calls, which are decoded at once: most of the time is taken by the query."""
    rows = decode(*(call(**fields) for fields in fields_of_calls))
    assert {row["reason"] for row in rows} == {None}
    return rows


def action(
    name: str = "Book", action_type: str | None = "custom_function_action_type", **fields: Any
) -> dict[str, Any]:
    """Return an action as the live API lists it: with JSON as text, and empty texts for missing values."""
    fields = {key: json.dumps(value) if isinstance(value, (dict, list)) else value for key, value in fields.items()}
    return {
        "name": name,
        "action_type": action_type,
        "description": "what the agent's owner wrote",
        "parameters_hard_coded": "{}",
        "parameters_from_llm": "{}",
        "error_message": "",
        "return_value": "{}",
        "return_value_status": "",
        "is_relevant_action": "true",
        "timestamp": f"{AT.timestamp()}",
        "timestamp_datetime": "2026-03-10T12:00:09.250000",
        **fields,
    }


def derived_actions(*actions: dict[str, Any]) -> Any:
    return derive(executed_actions={one["name"]: one for one in actions})["actions"]


def failed(cases: list[dict[str, Any]]) -> list[bool]:
    """Return for the fields of several actions whether an action with them failed."""
    rows = derive_all([{"executed_actions": {"a": action(**fields)}} for fields in cases])
    return [bool(one["failed"]) for row in rows for one in row["actions"]]


# Judge


def test_verdicts_are_those_of_the_checks() -> None:
    row = derive(judge_results=JUDGE)
    assert row["judge_verdicts"] == {
        "persona": "true",
        "style": "true",
        "goal": "partial",
        "objections": "not_applicable",
        "call_summary": "true",
    }
    assert (row["judge_found_full_error"], row["judge_found_partial_or_error"]) == (False, True)


VERDICTS = [
    ("true", "true"),
    (" FALSE ", "false"),
    (True, "true"),
    ("Not_Applicable", "not_applicable"),
    (7, "7"),
    ("8.5", "8.5"),
    ("-1", "-1"),
    ("", None),
    ("  ", None),
    (None, None),
    # Evaluations in words may be what a person said; long numbers may be phone numbers.
    ("agree", "other"),
    ("Ada said yes", "other"),
    ("4155550123", "other"),
    (4155550123, "other"),
    ("415.5550123", "other"),
    ({"score": "Ada"}, "other"),
    (["Ada"], "other"),
]


def test_a_verdict_is_a_closed_word_or_a_score() -> None:
    rows = derive_all([{"judge_results": {"opinion": value}} for value, _ in VERDICTS])
    found = [(value, row["judge_verdicts"]) for (value, _), row in zip(VERDICTS, rows, strict=True)]
    assert found == [(value, {} if verdict is None else {"opinion": verdict}) for value, verdict in VERDICTS]


def test_only_what_stands_beside_its_check_explains_it() -> None:
    results = {"polite": "true", "polite_reason": "false", "polite_feedback": "7", "asked_reason": "false"}
    assert derive(judge_results=results)["judge_verdicts"] == {"polite": "true", "asked_reason": "false"}


@pytest.mark.parametrize("results", [None, [], {}, "", "{}", "null"])
def test_an_empty_object_in_any_form_has_no_verdicts(results: Any) -> None:
    row = derive(judge_results=results)
    assert (row["judge_verdicts"] or {}, row["judge_found_full_error"]) == ({}, None)


@pytest.mark.parametrize("blank", ["", " ", "\u00a0"])
def test_a_blank_answer_is_no_verdict_with_any_key(blank: str) -> None:
    answers = {"goal": blank, "style_reason": blank, "mood_feedback": blank, "kept_reason": "true"}
    assert derive(judge_results=answers)["judge_verdicts"] == {"kept_reason": "true"}


def test_a_repeated_check_counts_at_most_once_and_does_not_affect_others() -> None:
    twice = f'{{"call_id":"a","start_time":{call()["start_time"]},"judge_results":{{"goal":"true","goal":"false"}}}}'
    rows = decode(twice, call(judge_results={"goal": "true"}))
    assert rows[0]["judge_verdicts"] in (None, {"goal": "true"})  # DuckDB 2 reads no MAP with a repeated key
    assert rows[1]["judge_verdicts"] == {"goal": "true"}


# Actions


def test_actions_come_by_name_or_as_a_list() -> None:
    one, other = action("Send SMS", "send_sms_action_type"), action("Book a table", "calcom_booking_action_type")
    expected = [
        {
            "name": one["name"],
            "action_type": one["action_type"],
            "failed": False,
            "status": None,
            "failed_reason": None,
            "at": AT,
            "human_connected_at": None,
        }
        for one in (one, other)
    ]
    assert derived_actions(one, other) == expected
    assert derive(executed_actions=[one, other])["actions"] == expected
    assert derive(executed_actions={"Send SMS": {**one, "name": None}})["actions"] == expected[:1]


@pytest.mark.parametrize("executed", [None, "", "null"])
def test_null_has_no_actions(executed: Any) -> None:
    row = derive(executed_actions=executed)
    assert (row["actions"], row["variables"] or []) == (None, [])


@pytest.mark.parametrize("executed", [{}, [], "{}", "[]", {"a": None, "b": {}}, [None]])
def test_nothing_ran(executed: Any) -> None:
    assert derive(executed_actions=executed)["actions"] == []


FAILURES = [
    {"error_message": "timeout"},
    {"return_value": {"status": "transfer-failed-timeout"}},
    {"return_value": {"status": "Transfer_Failed"}},
    {"return_value": {"status": "error"}},
    {"return_value": {"status": " Failed"}},
    {"return_value": {"status": "failure"}},
    {"return_value": {"success": False}},
    {"return_value": {"success": "False"}},
    {"return_value": {"error": "no such slot"}},
    {"return_value": {"error": {"code": 5}}},
    {"return_value": {"status_code": 400}},
    {"return_value": {"status_code": "503"}},
    {"return_value_status": "failed"},
    {"return_value_status": "transfer-failed-connection-error"},
]


def test_each_sign_of_a_failure_is_enough() -> None:
    missed = [fields for fields, has_failed in zip(FAILURES, failed(FAILURES), strict=True) if not has_failed]
    assert missed == []
    # As in the documents: an object, not a text.
    objects = [fields for fields in FAILURES if isinstance(fields.get("return_value"), dict)]
    rows = derive_all([{"executed_actions": {"a": {**action(), **fields}}} for fields in objects])
    assert [fields for fields, row in zip(objects, rows, strict=True) if not row["actions"][0]["failed"]] == []


NO_FAILURES = [
    {},
    {"error_message": None},
    {"error_message": "  "},
    {"return_value": {"status": "transfer-success"}},
    {"return_value": {"status": "ok", "success": True, "error": None, "status_code": 200}},
    {"return_value": {"error": ""}},
    {"return_value": {"error": False}},
    {"return_value": {"error": {}}},
    {"return_value": "not JSON at all {"},
    {"return_value": [1, 2]},
    {"return_value": None},
    {"return_value_status": "success"},
    {"return_value": {"message": "the transfer-failed earlier, error"}},
]


def test_without_a_sign_nothing_failed() -> None:
    assert [fields for fields, has_failed in zip(NO_FAILURES, failed(NO_FAILURES), strict=True) if has_failed] == []


@pytest.mark.parametrize(
    ("returned", "status", "reason"),
    [
        ({"status": "transfer-success"}, "transfer-success", None),
        (
            {"status": "transfer-failed-connection-error", "failed_reason": "number_not_found"},
            "transfer-failed-connection-error",
            "number_not_found",
        ),
        ({"status": "Transfer-Failed-Timeout", "failed_reason": ""}, "transfer-failed-timeout", None),
        ({"status": "Ada hung up", "failed_reason": "she was busy"}, "other", "other"),
        ({"status": "4155550123", "failed_reason": "tel_415_555_0123"}, "other", "other"),
        ({"status": "x" * 61}, "other", None),
        ({"status": {"who": "Ada"}}, "other", None),
        ({}, None, None),
    ],
)
def test_a_transfer_tells_how_it_went_in_codes(returned: Any, status: str | None, reason: str | None) -> None:
    [transfer] = derived_actions(action("To sales", TRANSFER, return_value=returned))
    assert (transfer["status"], transfer["failed_reason"]) == (status, reason)


def test_what_other_actions_return_may_be_personal() -> None:
    [other] = derived_actions(action(return_value={"status": "ada", "failed_reason": "divorced"}))
    assert (other["status"], other["failed_reason"]) == (None, None)


@pytest.mark.parametrize("moment", ["2026-03-10T12:00:09.25", "2026-03-10T13:00:09.25+01:00", f"{AT.timestamp()}"])
def test_when_a_human_was_connected(moment: str) -> None:
    returned = {"status": "transfer-success", "human_connected_at": moment}
    assert derived_actions(action("Warm", TRANSFER, return_value=returned))[0]["human_connected_at"] == AT


@pytest.mark.parametrize("timestamp", [None, "", "soon", "nan", "-1", "1e300"])
def test_a_timestamp_that_is_none_is_read_from_its_date_time(timestamp: Any) -> None:
    assert derived_actions(action(timestamp=timestamp))[0]["at"] == AT
    assert derived_actions(action(timestamp=timestamp, timestamp_datetime="infinity"))[0]["at"] is None


def test_a_repeated_action_does_not_affect_others() -> None:
    one = json.dumps(action())
    twice = f'{{"call_id":"a","start_time":{call()["start_time"]},"executed_actions":{{"Book":{one},"Book":{one}}}}}'
    assert len(decode(twice, call(executed_actions={"Book": action()}))[1]["actions"]) == 1


# Variables


def variables(**fields: Any) -> list[tuple[Any, ...]]:
    return variables_of(derive(**fields))


def variables_of(row: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [tuple(one.values()) for one in row["variables"]]


COLLECTED = {
    "order": {"value": "A-1207", "collected": True},
    "day": {"value": None, "collected": False},
    "wants callback": {"value": False},
    "empty": {"value": ""},
    "flagged": {"value": None, "collected": "true"},
    "unflagged": {"value": "Thursday", "collected": None},
    "nested": {"value": {"a": {"b": 1}}, "collected": True},
}
FOUND = [
    ("order", "variable", True),
    ("day", "variable", False),
    ("wants callback", "variable", True),
    ("empty", "variable", False),
    ("flagged", "variable", True),
    ("unflagged", "variable", True),
    ("nested", "variable", True),
]


def test_variables_come_by_agent_or_by_themselves() -> None:
    assert variables(collected_variables=COLLECTED) == FOUND
    assert variables(collected_variables={"agent-1": COLLECTED, "agent-2": {"order": {"value": None}}}) == [
        *FOUND,
        ("order", "variable", False),
    ]


@pytest.mark.parametrize("collected", [{}, [], "{}", {"a": None}, {"agent": {}}])
def test_nothing_was_to_be_collected(collected: Any) -> None:
    assert variables(collected_variables=collected) == []


EXTRACTED = [
    ({"Preferred Day": "Thursday"}, True),
    ({"Preferred Day": 5}, True),
    ({"Preferred Day": None}, False),
    ({"extract_info_Preferred Day": "Thursday"}, True),
    ({"info_extractor_Preferred Day": 5}, True),
    ({"extract_info_Preferred Day": False}, True),
    ({"extract_info_Preferred Day": {"a": {"b": 1}}}, True),
    ({"extract_info_Preferred Day": None}, False),
    ({"extract_info_Preferred Day": " "}, False),
    ({"extract_info_Preferred Day": {}}, False),
    ({}, False),
    (None, False),
    ("not JSON {", False),
]


def test_what_an_extractor_found() -> None:
    hard_coded = {"identifier": "Preferred Day"}
    extractors = [action("Day", EXTRACT, return_value=one, parameters_hard_coded=hard_coded) for one, _ in EXTRACTED]
    rows = derive_all([{"executed_actions": {"Day": extractor}} for extractor in extractors])
    found = [(returned, variables_of(row)) for (returned, _), row in zip(EXTRACTED, rows, strict=True)]
    assert found == [(returned, [("Preferred Day", "extractor", collected)]) for returned, collected in EXTRACTED]


def test_an_extractor_without_an_identifier_names_nothing() -> None:
    assert variables(executed_actions={"Day": action("Day", EXTRACT)}) == []
    other = action("Day", return_value={"extract_info_day": "Thursday"})
    assert variables(executed_actions={"Day": other}) == []


def test_both_sources_are_told_apart() -> None:
    found = variables(
        collected_variables={"day": {"value": "Thursday"}},
        executed_actions=[action("x", EXTRACT, return_value={"extract_info_day": None})],
    )
    assert found == [("day", "variable", True), ("day", "extractor", False)]
    assert derive()["variables"] is None


# The rest


@pytest.mark.parametrize(
    ("transcript", "human", "agent"),
    [
        ("\nbot: Hello\nhuman: Hi\nbot: My human: friend\nhuman: Bye", 2, 2),
        ("assistant: Hello\nhuman: hm", 1, 1),
        ("human: Hello?\nbot: Hi", 1, 1),
        ("bot: Hello? bot: again", 0, 1),
        ("", 0, 0),
        (None, None, None),
    ],
)
def test_turns_are_lines(transcript: str | None, human: int | None, agent: int | None) -> None:
    row = derive(transcript=transcript)
    assert (row["human_turns"], row["agent_turns"]) == (human, agent)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("Telephony - 404 - Not Found", "404"),
        ("Telephony - 400 - Invalid phone number", "400"),
        ("608: Rejected", "608"),
        ("302: Moved Temporarily", "302"),
        ("The number 415 - 555 - 0123", None),
        ("4155550123: busy", None),
        ("415 - 555 0123", None),
        ("timeout", None),
        (None, None),
    ],
)
def test_the_code_of_a_telephony_error(message: str | None, code: str | None) -> None:
    assert derive(error_message=message)["telephony_error_code"] == code


OUTCOMES = [
    ("completed", "human_goodbye", "person_reached"),
    ("Completed ", None, "person_reached"),
    ("completed", "voicemail", "voicemail"),
    ("completed", "Voicemail_message_left", "voicemail"),
    ("completed", "no_voicemail", "person_reached"),
    ("hangup_on_voicemail", "human_goodbye", "voicemail"),
    ("left-voicemail", None, "voicemail"),
    ("no-answer", "voicemail", "no_answer"),
    ("NO_ANSWER", None, "no_answer"),
    ("busy", None, "busy"),
    ("failed", "error", "failed"),
    ("canceled", None, "canceled"),
    ("user_canceled", None, "canceled"),
    ("in_progress", None, "open"),
    ("pending", None, "open"),
    ("registered", None, "open"),
    ("spam", None, "other"),
    ("from the future", None, "other"),
    ("", None, "other"),
    (None, "voicemail", "other"),
]


def test_every_call_has_one_outcome() -> None:
    rows = derive_all([{"call_status": status, "end_call_reason": reason} for status, reason, _ in OUTCOMES])
    assert [(*one[:2], row["call_outcome"]) for one, row in zip(OUTCOMES, rows, strict=True)] == OUTCOMES


OWN, LEAD, OTHER = "+14155550199", "+14155550100", "+14155550123"


WRITTEN = [
    LEAD,
    "14155550100",
    "+1 (415) 555-0100",
    "\u00a0+1\u2011415\u2011555\u20110100 ",
    "0014155550100",
    "tel:+1-415-555-0100;ext=5",
    "sip:+14155550100@10.0.0.1:5060;transport=udp",
    "SIPS:%2B14155550100@example.com",
    '"Ada 2" <sip:+14155550100@example.com>;tag=77',
    "+1(0)4155550100",
]


def test_a_caller_is_the_same_however_the_number_is_written() -> None:
    records = [call(type_of_call="inbound", phone_number_from=written, phone_number_to=OWN) for written in WRITTEN]

    def keys(pii: str) -> dict[str, str | None]:
        rows = decode(*records, pii=pii, key="k")
        return {written: row["caller_key"] for written, row in zip(WRITTEN, rows, strict=True)}

    [plain] = decode(call(type_of_call="inbound", phone_number_from=LEAD), pii="hash", key="k")
    assert keys("keep") == dict.fromkeys(WRITTEN, "14155550100")
    assert keys("hash") == dict.fromkeys(WRITTEN, plain["caller_key"])
    assert plain["caller_key"] == plain["phone_number_from"] is not None
    assert keys("drop") == dict.fromkeys(WRITTEN)


NOBODY = [
    None, "", "anonymous", "Restricted", "unknown", "sip:anonymous@anonymous.invalid", "sip:1001@10.0.0.1",
    "sip:ada2000000@example.com", "+1 415 555 0100 or 0101", "call 4155550100", "911", "0000000000", "+266696687",
    "+1234567890123456", OWN, "tel:+1-415-555-0199", "1" * 64,
]  # fmt: skip


def test_nobody_can_be_told_apart_by_it() -> None:
    common = {"type_of_call": "inbound", "agent_phone_number": OWN}
    rows = derive_all([{**common, "phone_number_from": written} for written in NOBODY])
    assert {written: row["caller_key"] for written, row in zip(NOBODY, rows, strict=True)} == dict.fromkeys(NOBODY)


@pytest.mark.parametrize(
    ("type_of_call", "to", "from_", "lead", "expected"),
    [
        ("outbound", OTHER, OWN, LEAD, OTHER),
        (" Inbound ", OWN, OTHER, LEAD, OTHER),
        ("inbound", OWN, "anonymous", LEAD, LEAD),
        ("outbound", OWN, OTHER, LEAD, LEAD),  # the directions are mixed up: the lead is still somebody else
        ("outbound", OWN, OWN, OWN, None),
        ("widget", OTHER, OTHER, None, None),
        (None, OTHER, OTHER, LEAD, LEAD),
    ],
)
def test_the_other_side_follows_from_the_direction(
    type_of_call: str | None, to: str, from_: str, lead: str | None, expected: str | None
) -> None:
    row = derive(
        type_of_call=type_of_call,
        phone_number_to=to,
        phone_number_from=from_,
        lead_phone_number=lead,
        agent_phone_number=OWN,
    )
    assert row["caller_key"] == (expected.removeprefix("+") if expected else None)


def test_personal_data_does_not_change_them() -> None:
    record = call(
        judge_results=JUDGE,
        executed_actions={"To sales": action("To sales", TRANSFER, return_value={"status": "transfer-success"})},
        collected_variables=COLLECTED,
        transcript="bot: Hello\nhuman: Ada",
        error_message="Telephony - 404 - Not Found",
        call_status="failed",
    )
    [kept], [hashed], [dropped] = (decode(record, pii=pii, key="k") for pii in ("keep", "hash", "drop"))
    for column in (one for one in DERIVED_COLUMNS if not one.personal):
        assert kept[column.name] == hashed[column.name] == dropped[column.name] is not None, column.name
    assert dropped["transcript"] is dropped["executed_actions"] is None
