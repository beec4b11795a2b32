"""Parse the bodies of pages: calls and agents.

A call stays the bytes that the API sent, because the warehouse decodes it. Only the three fields that fetching needs
are parsed here: id, agent and start. The shapes are those of the public reference of "List calls" and "List
assistants", plus what the live API sends (numbers as strings).
"""

from __future__ import annotations

import codecs
import datetime as dt
import json
import math
import re
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

import msgspec

from synthflow_assets.agents import Agent
from synthflow_assets.api.error_texts import says_no_calls
from synthflow_assets.errors import MalformedResponseError

MAX_PAGE_SIZE = 100  # the API rejects a larger `limit`

# A lone surrogate or a NUL is valid JSON, but no database stores it as text. The pattern also matches emoji that are
# written as a pair of surrogates; such a page is parsed the slow way and comes out unchanged. 005c is a backslash,
# which ids may have to escape.
_UNSTORABLE = re.compile(rb"\\u(?:[dD][89a-fA-F]|0000|005[cC])")
# Characters that no database stores, in a text that Python has parsed.
_UNSTORABLE_CHARACTER = re.compile("[\0\ud800-\udfff]")
# The same, and the backslash of a text that looks like the escape of one.
_ID_ESCAPED = re.compile(r"[\0\ud800-\udfff]|\\(?=u(?:[dD][89a-fA-F][0-9a-fA-F]{2}|0000|005[cC]))")
_IDS = ("call_id", "model_id")
_INTEGER = re.compile(r"([+-]?[0-9]{1,19})(?:[.]0+)?")
_DATE_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:.*")
# A number of this size is a time from 2000 to 2100 in epoch seconds, by the rule of `warehouse.decoding`.
_EPOCH_SECONDS = range(946_684_800, 4_102_444_800)

_MAX_DEPTH = 200  # levels of JSON
_MAX_DIGITS = 4000  # of an integer; Python refuses to parse longer ones

_EMPTY: tuple[Any, ...] = (None, [], {}, "")
_FIELDS_OF_A_BODY = {"status", "response", "request_id", "timestamp"}
_SUCCESSES = (None, "", "ok", "success", "200")  # values of `status`, in lower case

Page = TypeVar("Page")


class CallRecord(msgspec.Struct, frozen=True, gc=False):
    """One call as the API sent it, and the three fields that fetching needs.

    A run holds millions, so Python's garbage collector skips them: their fields cannot refer to other objects.
    """

    call_id: str | None
    model_id: str | None
    start_ms: int | None  # epoch milliseconds; None if the record has no readable start
    raw: bytes  # the JSON text of the record, valid UTF-8


class CallPage(NamedTuple):
    """One page of `GET /calls`."""

    total_records: int
    calls: list[CallRecord]
    states_total: bool = True  # False if the API says that there are no calls, but not that their number is 0


NO_CALLS = CallPage(0, [], states_total=False)


class AgentPage(NamedTuple):
    """One page of `GET /assistants/`."""

    agents: list[Agent]
    listed: int  # entries of the page, unreadable ones included
    total_records: int | None


class _Pagination(msgspec.Struct):
    total_records: int | None = None


class _RawCalls(msgspec.Struct):
    pagination: _Pagination | None = None
    calls: list[msgspec.Raw] | None = None


class _CallsBody(msgspec.Struct):
    response: _RawCalls
    status: Any = None
    error: Any = None
    errors: Any = None
    detail: Any = None


class _Key(msgspec.Struct, gc=False):
    call_id: str | int | None = None
    model_id: str | int | None = None
    start_time: str | int | float | None = None


class _RawKey(msgspec.Struct):
    call_id: msgspec.Raw = msgspec.Raw(b"null")
    model_id: msgspec.Raw = msgspec.Raw(b"null")
    start_time: msgspec.Raw = msgspec.Raw(b"null")


class _AgentsPagination(msgspec.Struct):
    total_records: int | None = None


class _RawAgents(msgspec.Struct):
    assistants: list[msgspec.Raw]
    pagination: _AgentsPagination | None = None


class _AgentsBody(msgspec.Struct):
    response: _RawAgents


class _RawAgent(msgspec.Struct):
    model_id: str | int
    name: str | int | None = None
    type: str | int | None = None


# strict=False: the live API sends numbers as strings.
_calls_decoder = msgspec.json.Decoder(_CallsBody, strict=False)
_key_decoder = msgspec.json.Decoder(_Key)
_raw_key_decoder = msgspec.json.Decoder(_RawKey)
_scalar_decoder = msgspec.json.Decoder(str | int | float | None)
_agents_decoder = msgspec.json.Decoder(_AgentsBody, strict=False)
_agent_decoder = msgspec.json.Decoder(_RawAgent)

# What a decoder raises: msgspec's errors and UnicodeDecodeError are ValueErrors; deep nesting is a RecursionError.
_DECODING_ERRORS = (ValueError, RecursionError)


def parse_calls(body: bytes) -> CallPage:
    """Return the page in the body of `GET /calls`.

    Records with a lone surrogate or NUL, and pages with NaN, invalid UTF-8 or control characters, are parsed a second,
    slower time: what no database stores becomes U+FFFD, NaN becomes null. So these calls land too.

    If there are no calls, the body may lack the list, the total or the whole response, or say so in words.

    Raises:
        MalformedResponseError: the body is not the JSON that the reference describes.
    """
    try:
        parsed, is_storable = _decode(_calls_decoder, body, "calls")
    except MalformedResponseError:
        if _is_empty(body):
            return NO_CALLS
        raise
    response = parsed.response
    total = response.pagination.total_records if response.pagination else None
    if total is None:
        if _is_empty(body):
            return NO_CALLS
        raise _unexpected_json(body, "calls")
    if total < 0:
        raise MalformedResponseError("the API states a negative total of calls; try again later")
    calls = response.calls or []
    if not calls and _is_failure(parsed):
        raise MalformedResponseError("the response to the list of calls has no calls, but an error; try again later")
    # One search of the page is faster than one for each of its records.
    has_unstorable = not is_storable and _UNSTORABLE.search(body) is not None
    return CallPage(total, [_parse_call(_storable(bytes(raw)) if has_unstorable else bytes(raw)) for raw in calls])


def _is_failure(body: _CallsBody) -> bool:
    """Return whether a page reports an error besides its list of calls."""
    status = None if body.status is None else str(body.status).lower()
    errors = [one for one in (body.error, body.errors, body.detail) if one not in (*_EMPTY, False)]
    return status not in _SUCCESSES or not all(map(says_no_calls, errors))


def parse_agents(body: bytes) -> AgentPage:
    """Return the page in the body of `GET /assistants/`, without entries that have no readable id.

    Raises:
        MalformedResponseError: the body is not the JSON that the reference describes.
    """
    parsed, is_storable = _decode(_agents_decoder, body, "assistants")
    response = parsed.response
    agents = []
    for raw in response.assistants:
        try:
            agent = _agent_decoder.decode(bytes(raw) if is_storable else _storable(bytes(raw)))
        except _DECODING_ERRORS:
            continue
        if agent.model_id != "":
            agents.append(Agent(str(agent.model_id), _text(agent.name), _text(agent.type)))
    total = response.pagination.total_records if response.pagination else None
    return AgentPage(agents, len(response.assistants), total)


def _decode(decoder: msgspec.json.Decoder[Page], body: bytes, what: str) -> tuple[Page, bool]:
    """Return the decoded page, and whether its records are known to hold only what a database stores."""
    try:
        body = body.removeprefix(codecs.BOM_UTF8)
        if not body.isascii():
            body.decode()
        return decoder.decode(body), False
    except RecursionError:
        body = _without_deep_levels(body)
    except ValueError:
        pass
    try:
        return decoder.decode(_reencode(body)), True
    except _DECODING_ERRORS:
        raise _unexpected_json(body, what) from None


def _unexpected_json(body: bytes, what: str) -> MalformedResponseError:
    kind = "an HTML page" if body.lstrip()[:1] == b"<" else "not the expected JSON"
    return MalformedResponseError(
        f"the response to the list of {what} is {kind} ({len(body):,} bytes); try again later, or check that "
        "SYNTHFLOW_BASE_URL ends in /v2"
    )


def _is_empty(body: bytes) -> bool:
    """Return whether a body without a total says clearly that there are no calls.

    The body does so in four forms: it is an empty list, it states only that the request succeeded, its list of calls is
    empty, or it says so in words.

    Raises:
        MalformedResponseError: the body has neither calls nor such a statement. A gateway may have lost a part of it.
    """
    try:
        tree = json.loads(body) if body.strip() else None
    except _DECODING_ERRORS:
        return False
    if tree == [] or says_no_calls(tree):
        return True
    if tree is None:
        tree = {}
    # With any other field, it may hold calls.
    if not isinstance(tree, dict) or not set(tree) <= _FIELDS_OF_A_BODY:
        return False
    response = {} if tree.get("response") in _EMPTY else tree["response"]
    if not isinstance(response, dict) or not set(response) <= {"pagination", "calls"}:
        return False
    if response.get("calls") not in _EMPTY or _stated_total(response) not in (*_EMPTY, 0, "0"):
        return False
    status = tree.get("status")
    if status in ("ok", "success") or (status is None and "calls" in response):
        return True
    raise MalformedResponseError(
        f"the response to the list of calls has neither calls nor their total ({len(body):,} bytes), so a part may "
        "have been lost; try again later, or check that SYNTHFLOW_BASE_URL ends in /v2. If this lasts and "
        "Synthflow's dashboard shows no calls either, tell the maintainers"
    )


def _stated_total(response: dict[str, Any]) -> Any:
    pagination = response.get("pagination")
    return pagination.get("total_records") if isinstance(pagination, dict) else pagination


def _parse_call(raw: bytes) -> CallRecord:
    try:
        key = _key_decoder.decode(raw)
        return CallRecord(_text(key.call_id), _text(key.model_id), _start_ms(key.start_time), raw)
    except _DECODING_ERRORS:
        # If one field has a wrong type, the others are still needed. So each is parsed separately.
        pass
    try:
        fields = _raw_key_decoder.decode(raw)
    except _DECODING_ERRORS:
        return CallRecord(None, None, None, raw)
    call_id, model_id, start_time = (_scalar(one) for one in (fields.call_id, fields.model_id, fields.start_time))
    call_id, model_id = (None if isinstance(one, float) else one for one in (call_id, model_id))
    # The warehouse reads an id of another type as text, so the same text is the same call here too.
    raw_id = bytes(fields.call_id).decode() if call_id is None and bytes(fields.call_id) != b"null" else None
    return CallRecord(_text(call_id) or raw_id, _text(model_id), _start_ms(start_time), raw)


def names_two_agents(raw: bytes) -> bool:
    """Return whether a record has the field `model_id` twice, so that its agent is ambiguous."""
    try:
        fields: list[tuple[str, Any]] = json.loads(raw, object_pairs_hook=list)
    except _DECODING_ERRORS:
        return False
    names = [name for name, _ in fields]
    return names.count("model_id") > 1


def _scalar(raw: msgspec.Raw) -> str | int | float | None:
    value: str | int | float | None = None
    with suppress(*_DECODING_ERRORS):
        value = _scalar_decoder.decode(raw)
    return value


def _text(value: str | int | None) -> str | None:
    """Return the value as text; None for a blank text."""
    text = "" if value is None else str(value)
    return text if text.strip(" \t\n\r") else None


def _start_ms(value: str | float | None) -> int | None:
    """Return a start as epoch milliseconds, by the rule of decoding; None if it is not a time."""
    text = str(value)
    if found := _INTEGER.fullmatch(text):
        number = int(found[1])
        return number * 1000 if number in _EPOCH_SECONDS else number if -(2**63) <= number < 2**63 else None
    if not _DATE_TIME.fullmatch(text):
        return None
    try:
        time = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    return round(time.replace(tzinfo=time.tzinfo or dt.UTC).timestamp() * 1000)


def _storable(raw: bytes) -> bytes:
    """Return the record with U+FFFD for characters that no database stores; unchanged if it cannot be parsed."""
    if not _UNSTORABLE.search(raw):
        return raw
    try:
        return _reencode(raw)
    except _DECODING_ERRORS:
        return raw


def _reencode(body: bytes) -> bytes:
    """Parse JSON tolerantly and return it as strict JSON that a database stores.

    Raises:
        ValueError: the body is not JSON.
        RecursionError: the body is nested too deeply.
    """
    tree = json.loads(
        body.decode(errors="surrogateescape"),
        strict=False,
        parse_constant=lambda _: None,
        parse_float=lambda text: number if math.isfinite(number := float(text)) else None,
        parse_int=lambda text: int(text) if len(text) <= _MAX_DIGITS else text,
        object_pairs_hook=_object,
    )
    return json.dumps(_replace_unstorable(tree), ensure_ascii=False, separators=(",", ":")).encode()


class _Repeated(dict[str, Any]):
    """A JSON object that has a field twice, and is written with both: landing rejects such a record."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self._pairs = pairs

    def items(self) -> Any:
        return self._pairs


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    tree = dict(pairs)
    return tree if len(tree) == len(pairs) else _Repeated(pairs)


def _replace_unstorable(value: Any) -> Any:
    if isinstance(value, str):
        return _UNSTORABLE_CHARACTER.sub("\ufffd", _with_whole_pairs(value))
    if isinstance(value, list):
        return [_replace_unstorable(item) for item in value]
    if isinstance(value, dict):
        return _object(
            [
                (_replace_unstorable(key), _distinct_id(item) if key in _IDS else _replace_unstorable(item))
                for key, item in value.items()
            ]
        )
    return value


def _distinct_id(value: Any) -> Any:
    r"""Return an id with escapes for characters that no database stores, so that different ids stay different.

    The escapes are `\u0000` and the like. An id that has such a text itself gets `\u005c` for the backslash.
    """
    if not isinstance(value, str):
        return _replace_unstorable(value)
    return _ID_ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", _with_whole_pairs(value))


def _with_whole_pairs(text: str) -> str:
    """Return the text with one character for each pair of surrogates; single surrogates stay."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def _without_deep_levels(body: bytes) -> bytes:
    """Return the JSON with null in place of what is nested too deeply for any parser."""
    kept, depth, copied = [], 0, 0
    for token in re.finditer(rb'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', body):
        if token[0] in (b"[", b"{"):
            depth += 1
            if depth == _MAX_DEPTH + 1:
                kept += [body[copied : token.start()], b"null"]
        elif token[0] in (b"]", b"}"):
            if depth == _MAX_DEPTH + 1:
                copied = token.end()
            depth -= 1
    return b"".join([*kept, body[copied:]])
