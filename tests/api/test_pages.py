"""Pages are parsed with any records in them, and anything else is refused."""

import json
from typing import Any

import pytest

from synthflow_assets.api.pages import CallPage, names_two_agents, parse_agents, parse_calls
from synthflow_assets.errors import MalformedResponseError
from tests.api.servers import page

START_MS = 1_773_100_800_000


def calls_body(*records: str, total: str = "3") -> bytes:
    return f'{{"response":{{"pagination":{{"total_records":{total}}},"calls":[{",".join(records)}]}}}}'.encode()


def parse_one(record: str) -> tuple[str | None, str | None, int | None]:
    [call] = parse_calls(calls_body(record)).calls
    return call.call_id, call.model_id, call.start_ms


GOOD = '{"call_id":"good","start_time":1773100800000}'


def test_a_call_keeps_the_bytes_that_came() -> None:
    record = '{"call_id":"a",  "model_id":"m","start_time":"1773100800000","mood":{"score":0.50}}'
    [call] = parse_calls(calls_body(record)).calls
    assert (call.call_id, call.model_id, call.start_ms, call.raw) == ("a", "m", START_MS, record.encode())


@pytest.mark.parametrize(("total", "count"), [("3", 3), ('"3"', 3), ("0", 0)])
def test_the_total(total: str, count: int) -> None:
    assert parse_calls(calls_body(total=total)).total_records == count


def test_a_byte_order_mark_is_skipped() -> None:
    assert len(parse_calls(b"\xef\xbb\xbf" + calls_body(GOOD)).calls) == 1


@pytest.mark.parametrize(
    "bad",
    [
        '{"call_id":"bad","x":' + "[" * 2000 + "]" * 2000 + "}",
        '{"call_id":"bad","x":"a\x01b"}',
        '{"call_id":"bad","x":1e999}',
        '{"call_id":"bad","x":' + "9" * 5000 + "}",
        '{"call_id":"bad","x":"\\ud83d"}',
        '{"call_id":"bad","x":NaN}',
        '{"call_id":1.5,"start_time":1773100800000}',
        '{"call_id":"bad","start_time":[1]}',
        "null",
        "5",
    ],
)
@pytest.mark.parametrize("beside", [GOOD, GOOD.replace("}", ',"x":"\\ud83d\\ude00"}')])
def test_one_bad_record_costs_no_other(bad: str, beside: str) -> None:
    calls = parse_calls(calls_body(beside, bad, beside)).calls
    assert len(calls) == 3
    assert [(call.call_id, call.start_ms) for call in (calls[0], calls[2])] == [("good", START_MS)] * 2


@pytest.mark.parametrize(
    ("field", "stored"),
    [
        (r'"a\u0000b"', "a\ufffdb"),
        (r'"half \ud83d"', "half \ufffd"),
        (r'"whole \ud83d\ude00"', "whole \U0001f600"),
        ("NaN", None),
        ("-Infinity", None),
        ("1e999", None),
        ("9" * 4_000, int("9" * 4_000)),
        ("9" * 4_001, "9" * 4_001),
    ],
)
def test_what_no_database_stores_is_replaced(field: str, stored: object) -> None:
    # NaN is no JSON, so it makes the whole page go the slow way.
    [call, *_] = parse_calls(calls_body(f'{{"call_id":"a","x":{field}}}', '{"x":NaN}')).calls
    assert json.loads(call.raw) == {"call_id": "a", "x": stored}


def test_invalid_utf8_is_replaced() -> None:
    [call] = parse_calls(calls_body('{"call_id":"a","x":"?"}').replace(b"?", b"\xff")).calls
    assert json.loads(call.raw)["x"] == "\ufffd"


def test_levels_below_the_two_hundredth_become_null() -> None:
    for depth in (1_000, 100_000):
        [call] = parse_calls(calls_body('{"call_id":"a","x":' + '["]",' * depth + "1" + "]" * depth + "}")).calls
        inner, levels = json.loads(call.raw)["x"], 0
        while isinstance(inner, list):
            inner, levels = inner[-1], levels + 1
        # The body itself has four levels above the field.
        assert (inner, levels) == (None, 200 - 4)


@pytest.mark.parametrize(
    ("record", "key"),
    [
        ('{"call_id":7,"model_id":8,"start_time":"+1773100800000"}', ("7", "8", START_MS)),
        ('{"call_id":"","model_id":"","start_time":""}', (None, None, None)),
        ('{"call_id":null,"model_id":null,"start_time":null}', (None, None, None)),
        ("{}", (None, None, None)),
        ('{"call_id":1.5,"model_id":"m","start_time":"1773100800000"}', ("1.5", "m", START_MS)),
        ('{"call_id":{"a":1},"model_id":"m"}', ('{"a":1}', "m", None)),
        ('{"call_id":null,"model_id":[],"start_time":5}', (None, None, 5)),
        ('{"call_id":"a","model_id":1.5,"start_time":1.5}', ("a", None, None)),
        ("[]", (None, None, None)),
    ],
)
def test_the_key_is_read_whatever_its_types(record: str, key: tuple[str | None, str | None, int | None]) -> None:
    """As the database reads them, or a call would be two calls."""
    assert parse_one(record) == key


@pytest.mark.parametrize(
    ("start", "start_ms"),
    [
        ("9223372036854775807", 2**63 - 1),
        ("9223372036854775808", None),
        ('"9223372036854775807"', 2**63 - 1),
        ('"9223372036854775808"', None),
        ('"-9223372036854775808"', -(2**63)),
        ('"-9223372036854775809"', None),
        ('"00000000000000000005"', None),  # 20 digits
        ('" 5"', None),
        ('"5.0"', 5),
        ('"5.5"', None),
        ('"+-5"', None),
        ("1773100800", 1_773_100_800_000),  # in seconds
        ('"2026-03-10T00:00:00.000Z"', 1_773_100_800_000),
        ('"2026-03-10T99:00:00"', None),
        ('"2026-03-10"', None),
    ],
)
def test_a_start_is_an_integer_of_64_bits_or_a_date_time(start: str, start_ms: int | None) -> None:
    assert parse_one(f'{{"call_id":"a","start_time":{start}}}')[2] == start_ms


@pytest.mark.parametrize("total", [-1, -5])
def test_a_negative_total_is_refused(total: int) -> None:
    """The number is not shown, because it may be any."""
    with pytest.raises(MalformedResponseError, match=r"^the API states a negative total of calls; try again later$"):
        parse_calls(page([], total)[1])


@pytest.mark.parametrize(
    "also",
    [
        *({"status": status} for status in ("error", "ERROR", "partial", "timeout", 500)),
        *({"status": "ok", name: "upstream timed out"} for name in ("error", "errors", "detail")),
    ],
)
def test_an_error_that_looks_like_an_empty_page_is_refused(also: dict[str, Any]) -> None:
    body = {"response": {"pagination": {"total_records": 0}, "calls": []}} | also
    with pytest.raises(MalformedResponseError, match=r"has no calls, but an error; try again later$"):
        parse_calls(json.dumps(body).encode())


@pytest.mark.parametrize(
    ("body", "states_total"),
    [
        (b'{"response":{"pagination":{"total_records":0},"calls":null}}', True),
        (b'{"status":"OK","error":null,"detail":[],"response":{"pagination":{"total_records":0},"calls":[]}}', True),
        (b'{"status":200,"detail":"No calls found","response":{"pagination":{"total_records":0},"calls":[]}}', True),
        (b'{"response":{"pagination":{"total_records":"0"}}}', True),
        (b'{"response":{"pagination":{"total_records":null},"calls":[]}}', False),
        (b'{"response":{"pagination":null,"calls":[]}}', False),
        (b'{"response":{"calls":[]}}', False),
        (b'{"status":"ok","response":{"calls":[]},"request_id":"x"}', False),
        (b'{"status":"ok","response":{}}', False),
        (b'{"status":"ok","response":null}', False),
        (b'{"status":"success"}', False),
        (b"[]", False),
        (b'{"status":"ok","response":[]}', False),
        (b'{"response":{"calls":{}}}', False),
        (b'{"response":{"pagination":{"total_records":0},"calls":{}}}', False),
        (b'{"status":"ok","message":"No calls found"}', False),
        (b'{"error":"No data found for this agent."}', False),
        (b'{"detail":{"description":"There are no calls in this window"}}', False),
        (b'"No calls found"', False),
        (b'{"status":"ok","response":{"message":"No calls found"}}', False),
        (b'{"response":{"pagination":{"total_records":0},"calls":""}}', False),
        (b'{"response":{"pagination":[],"calls":[]}}', False),
        (b'{"response":"No calls found"}', False),
    ],
)
def test_forms_of_no_calls(body: bytes, states_total: bool) -> None:
    assert parse_calls(body) == CallPage(0, [], states_total)


def test_null_instead_of_calls_does_not_change_the_total() -> None:
    assert parse_calls(b'{"response":{"pagination":{"total_records":5},"calls":null}}') == CallPage(5, [])


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"<html>", r"calls is an HTML page \(6 bytes\)"),
        (b" \n<html>", "an HTML page"),
        (b"", r"neither calls nor their total \(0 bytes\).* try again later"),
        (b"{}", "neither calls nor their total"),
        (b"null", "neither calls nor their total"),  # a gateway may have lost the response
        (b"0", "not the expected JSON"),
        (b'{"message":"No call permission"}', "not the expected JSON"),
        (b'{"message":"No calls found","response":{"calls":[{}]}}', "not the expected JSON"),
        (b'{"response":{}}', "neither calls nor their total"),  # of another API, perhaps
        (b'{"response":null}', "neither calls nor their total"),
        (b'{"status":"error","response":{}}', "neither calls nor their total"),
        (b'{"status":"error","response":{"calls":[]}}', "neither calls nor their total"),
        (b'{"status":"ok","message":"No calls found; please upgrade"}', "not the expected JSON"),
        (
            b'{"status":"ok","message":"Please upgrade","response":{"message":"No calls found"}}',
            "not the expected JSON",
        ),
        (b'{"status":"ok","response":{"items":[]}}', "not the expected JSON"),
        (b'{"response":{"message":"No calls found","calls":[{}]}}', "not the expected JSON"),
        (
            b'{"response":{"pagination":{"total_records":200},"message":"No calls found","calls":{}}}',
            "not the expected JSON",
        ),
        (b'{"response":{"calls":[{}]}}', "not the expected JSON"),  # without a total, more may follow
        (b'{"status":"ok","response":{"calls":[null]}}', "not the expected JSON"),
        (b'{"response":{"pagination":{"total_records":1.5},"calls":[]}}', "not the expected JSON"),
        (b'{"response":{"pagination":{"total_records":1},"calls":{}}}', "not the expected JSON"),
        (b"[" * 100_000, "not the expected JSON"),
    ],
)
def test_what_is_no_page_is_said(body: bytes, says: str) -> None:
    with pytest.raises(MalformedResponseError, match=says) as caught:
        parse_calls(body)
    assert "SYNTHFLOW_BASE_URL ends in /v2" in str(caught.value)


def test_one_unreadable_agent_costs_no_other() -> None:
    listed: list[Any] = [None, {"model_id": ""}, {"name": "no id"}, {"model_id": 7, "name": 8}, {"model_id": "a"}]
    body = json.dumps({"response": {"pagination": {"total_records": None}, "assistants": listed}})
    read = parse_agents(body.replace('"a"', '"a","name":"half \\ud83d","type":"inbound"').encode())
    assert read.agents == [("7", "8", None), ("a", "half \ufffd", "inbound")]
    assert (read.listed, read.total_records) == (5, None)


def test_agents_without_pagination() -> None:
    read = parse_agents(b'{"response":{"assistants":[{"model_id":"a","name":""}]}}')
    assert (read.agents, read.listed, read.total_records) == ([("a", None, None)], 1, None)


UNSTORABLE_IDS = [
    *(r"a\u0000", r"a\u0001", r"a\ud800", r"a\udc00", r"a\ufffd", r"a\ud83d\ude00", r"a\ud800b", r"\ud800a", "a"),
    # The escapes themselves, as text.
    *(
        r"a\\u0000",
        r"a\\ud800",
        r"a\\u005cu0000",
        r"a\\u005c\u0000",
        r"a\\\\u0000",
        r"a\u005c\u005cu0000",
        r"a\\u005Cu0000",
    ),
]


def test_ids_that_differ_only_in_unstorable_characters_stay_different() -> None:
    count = len(UNSTORABLE_IDS)
    records = ",".join(f'{{"call_id":"{text}","model_id":"{text}","start_time":5}}' for text in UNSTORABLE_IDS)
    body = f'{{"response":{{"pagination":{{"total_records":{count}}},"calls":[{records}]}}}}'.encode()
    calls = parse_calls(body).calls
    distinct = {json.loads(f'"{text}"') for text in UNSTORABLE_IDS}
    assert len({call.call_id for call in calls}) == len({call.model_id for call in calls}) == len(distinct) == count - 1
    assert calls[2].call_id == calls[2].model_id == r"a\ud800"
    # The ids are the same if the rest of the page is parsed a second time.
    again = parse_calls(body.replace(b'"start_time":5}]', b'"start_time":5,"x":NaN}]'))
    assert [call.call_id for call in again.calls] == [call.call_id for call in calls]
    agents = ",".join(f'{{"model_id":"{text}"}}' for text in UNSTORABLE_IDS)
    listed = parse_agents(f'{{"response":{{"assistants":[{agents}]}}}}'.encode()).agents
    assert [agent.model_id for agent in listed] == [call.model_id for call in calls]
    in_bytes = [b'{"call_id":"a\x80"}', b'{"call_id":"a\x81"}']
    body = b'{"response":{"pagination":{"total_records":2},"calls":[' + b",".join(in_bytes) + b"]}}"
    assert {call.call_id for call in parse_calls(body).calls} == {r"a\udc80", r"a\udc81"}


@pytest.mark.parametrize("cause", [r'"x":"\u0000"', '"x":NaN'])
def test_a_field_that_occurs_twice_stays_twice(cause: str) -> None:
    """Landing rejects the record, because its agent is ambiguous."""
    record = f'{{"call_id":"c","model_id":"a","model_id":"b",{cause}}}'
    body = f'{{"response":{{"pagination":{{"total_records":1}},"calls":[{record}]}}}}'.encode()
    assert names_two_agents(parse_calls(body).calls[0].raw)
