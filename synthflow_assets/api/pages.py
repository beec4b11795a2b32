"""Reads the bodies that the API sends: pages of calls, pages of agents, descriptions of errors.

A call stays the bytes that came, because typing it is the warehouse's business. Only what fetching itself needs is
read here: its id, its agent and its start. The shapes are those of the public reference of "List calls" and "List
assistants", widened by what the live API was seen to send (numbers as strings, error bodies of four kinds).
"""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

import msgspec

from synthflow_assets.agents import Agent
from synthflow_assets.errors import MalformedAnswerError

# A lone surrogate or a NUL is legal in JSON's grammar but not in a database's text. Emoji written as a pair of
# surrogates match as well; such a page takes the slow way in vain and lands unchanged.
_UNSTORABLE = re.compile(rb"\\u(?:[dD][89a-fA-F]|0000)")
_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,19}")

_LONGEST_ERROR_BYTES = 100_000
_DEEPEST = 200  # levels of JSON
_LONGEST_NUMBER = 4000  # digits; Python refuses to read longer ones

Page = TypeVar("Page")


class CallRecord(msgspec.Struct, frozen=True, gc=False):
    """One call as the API sent it, with the three fields that fetching looks at.

    There are millions, so Python's garbage collection is spared them: what they hold cannot refer to anything.
    """

    call_id: str | None
    model_id: str | None
    start_ms: int | None  # epoch milliseconds; None where the record has none that can be read
    raw: bytes  # the JSON text of the record, valid UTF-8


class CallPage(NamedTuple):
    """One answer of `GET /calls`."""

    total_records: int
    calls: list[CallRecord]


class AgentPage(NamedTuple):
    """One answer of `GET /assistants/`."""

    agents: list[Agent]
    listed: int  # entries of the page, also those that could not be read
    total_records: int | None


class _Pagination(msgspec.Struct):
    total_records: int


class _RawCalls(msgspec.Struct):
    pagination: _Pagination
    calls: list[msgspec.Raw]


class _CallsAnswer(msgspec.Struct):
    response: _RawCalls


class _Key(msgspec.Struct, gc=False):
    call_id: str | int | None = None
    model_id: str | int | None = None
    start_time: str | int | None = None


class _RawKey(msgspec.Struct):
    call_id: msgspec.Raw = msgspec.Raw(b"null")
    model_id: msgspec.Raw = msgspec.Raw(b"null")
    start_time: msgspec.Raw = msgspec.Raw(b"null")


class _AgentsPagination(msgspec.Struct):
    total_records: int | None = None


class _RawAgents(msgspec.Struct):
    assistants: list[msgspec.Raw]
    pagination: _AgentsPagination | None = None


class _AgentsAnswer(msgspec.Struct):
    response: _RawAgents


class _RawAgent(msgspec.Struct):
    model_id: str | int
    name: str | int | None = None
    type: str | int | None = None


# strict=False: the live API sends numbers as strings.
_calls_answer = msgspec.json.Decoder(_CallsAnswer, strict=False)
_key = msgspec.json.Decoder(_Key)
_raw_key = msgspec.json.Decoder(_RawKey)
_scalar = msgspec.json.Decoder(str | int | None)
_agents_answer = msgspec.json.Decoder(_AgentsAnswer, strict=False)
_agent = msgspec.json.Decoder(_RawAgent)

# What a decoder raises: msgspec's errors and UnicodeDecodeError are ValueErrors; deep nesting is neither.
_UNREADABLE = (ValueError, RecursionError)


def read_calls(body: bytes) -> CallPage:
    """Read the body of `GET /calls`.

    Records that hold a lone surrogate or NUL, and pages that hold NaN, broken UTF-8 or control characters, are read a
    second, slower time: what cannot be stored becomes U+FFFD, NaN becomes null, and the calls land all the same.

    Raises:
        MalformedAnswerError: the body is not the JSON that the reference describes.
    """
    response = _read(_calls_answer, body, "calls").response
    if response.pagination.total_records < 0:
        raise MalformedAnswerError(f"the API states a total of {response.pagination.total_records} calls")
    # One search of the page is faster than a hundred of its records.
    read = _mended_record if _UNSTORABLE.search(body) else _record
    return CallPage(response.pagination.total_records, [read(bytes(raw)) for raw in response.calls])


def read_agents(body: bytes) -> AgentPage:
    """Read the body of `GET /assistants/`.

    An entry without an id that can be read is left out: nothing could be asked of it.

    Raises:
        MalformedAnswerError: the body is not the JSON that the reference describes.
    """
    response = _read(_agents_answer, body, "assistants").response
    agents = []
    for raw in response.assistants:
        try:
            agent = _agent.decode(_storable_text(bytes(raw)))
        except _UNREADABLE:
            continue
        if agent.model_id != "":
            agents.append(Agent(str(agent.model_id), _text(agent.name), _text(agent.type)))
    total = response.pagination.total_records if response.pagination else None
    return AgentPage(agents, len(response.assistants), total)


def _read(decoder: msgspec.json.Decoder[Page], body: bytes, what: str) -> Page:
    try:
        body = body.removeprefix(codecs.BOM_UTF8)
        if not body.isascii():
            body.decode()
        return decoder.decode(body)
    except RecursionError:
        body = _without_depths(body)
    except ValueError:
        pass
    try:
        return decoder.decode(_rewritten(body))
    except _UNREADABLE:
        raise MalformedAnswerError(_not_json(what, body)) from None


def describe_error(body: bytes, secret: str = "") -> str:
    """What an error body says, in at most 200 printable characters; empty if nothing is said.

    An error may echo what was asked, or what was found: the secret, every long number, however it is written, and every
    e-mail address are masked.
    """
    try:
        texts = list(_error_texts(json.loads(body[:_LONGEST_ERROR_BYTES])))
    except _UNREADABLE:
        return ""
    text = "; ".join(texts)
    if secret:
        text = text.replace(secret, "***")
    text = re.sub(r"\d(?:[^A-Za-z0-9]{0,3}\d){4,}|[^\s@<>\"'()]+@[^\s@<>\"'()]+", "***", text)
    printable = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(printable.split())[:200]


def _error_texts(body: Any) -> Iterator[str]:
    detail = body.get("detail", body) if isinstance(body, dict) else None
    for part in detail if isinstance(detail, list) else [detail]:
        if isinstance(part, str):
            yield part
        elif isinstance(part, dict):
            text = part.get("description") or part.get("message") or part.get("msg")
            if isinstance(text, str):
                yield text
            if isinstance(part.get("loc"), list):
                yield "at " + ".".join(str(step) for step in part["loc"])


def _mended_record(raw: bytes) -> CallRecord:
    return _record(_storable_text(raw))


def _record(raw: bytes) -> CallRecord:
    try:
        key = _key.decode(raw)
        return CallRecord(_text(key.call_id), _text(key.model_id), _whole_number(key.start_time), raw)
    except _UNREADABLE:
        # Odd types in one record must not cost its neighbours: what can be read is, and landing judges the rest.
        pass
    try:
        parts = _raw_key.decode(raw)
    except _UNREADABLE:
        return CallRecord(None, None, None, raw)
    call_id, model_id, start_time = (_part(part) for part in (parts.call_id, parts.model_id, parts.start_time))
    # An id of an odd type is a text to the database, so what has the same one is the same call here as well.
    odd_id = bytes(parts.call_id).decode() if call_id is None and bytes(parts.call_id) != b"null" else None
    return CallRecord(_text(call_id) or odd_id, _text(model_id), _whole_number(start_time), raw)


def _part(raw: msgspec.Raw) -> str | int | None:
    value: str | int | None = None
    with suppress(*_UNREADABLE):
        value = _scalar.decode(raw)
    return value


def _text(value: str | int | None) -> str | None:
    """A text; an empty one says as little as none."""
    return None if value is None else str(value) or None


def _whole_number(value: str | int | None) -> int | None:
    """By the same rule as landing: at most 19 digits, a sign or none, 64 bits."""
    if isinstance(value, str):
        value = int(value) if _WHOLE_NUMBER.fullmatch(value) else None
    return value if value is not None and -(2**63) <= value < 2**63 else None


def _storable_text(raw: bytes) -> bytes:
    """A record without characters that no database can store; unchanged where that is beyond repair."""
    if not _UNSTORABLE.search(raw):
        return raw
    try:
        return _rewritten(raw)
    except _UNREADABLE:
        return raw


def _rewritten(body: bytes) -> bytes:
    """The same JSON, read tolerantly and written strictly.

    Raises:
        ValueError: it is no JSON, however tolerantly it is read.
        RecursionError: it is nested too deeply.
    """
    tree = json.loads(
        body.decode(errors="replace"),
        strict=False,
        parse_constant=lambda _: None,
        parse_float=lambda text: number if math.isfinite(number := float(text)) else None,
        parse_int=lambda text: int(text) if len(text) <= _LONGEST_NUMBER else text,
    )
    return json.dumps(_storable(tree), ensure_ascii=False, separators=(",", ":")).encode()


def _without_depths(body: bytes) -> bytes:
    """The same JSON with null in place of what is nested so deeply that no parser reads it."""
    kept, depth, copied = [], 0, 0
    for token in re.finditer(rb'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', body):
        if token[0] in (b"[", b"{"):
            depth += 1
            if depth == _DEEPEST + 1:
                kept += [body[copied : token.start()], b"null"]
        elif token[0] in (b"]", b"}"):
            if depth == _DEEPEST + 1:
                copied = token.end()
            depth -= 1
    return b"".join([*kept, body[copied:]])


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, dict):
        return {_storable(key): _storable(item) for key, item in value.items()}
    return value


def _not_json(what: str, body: bytes) -> str:
    kind = "an HTML page" if body.lstrip()[:1] == b"<" else "not the JSON that was expected"
    return (
        f"the API's answer to the list of {what} is {kind}, {len(body)} bytes long; "
        "if this stays, check SYNTHFLOW_BASE_URL: it must end in /v2"
    )
