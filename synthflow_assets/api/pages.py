"""Reads the bodies that the API sends: pages of calls, pages of agents, descriptions of errors.

A call stays the bytes that came, because typing it is the warehouse's business. Only what fetching itself needs is
read here: its id, its agent and its start. The shapes are those of the public reference of "List calls" and "List
assistants", widened by what the live API was seen to send (numbers as strings, error bodies of four kinds).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from synthflow_assets.agents import Agent
from synthflow_assets.errors import MalformedAnswerError

# A lone surrogate or a NUL is legal in JSON's grammar but not in a database's text. Emoji written as a pair of
# surrogates match as well; such a page takes the slow way in vain and lands unchanged.
_UNSTORABLE = re.compile(rb"\\u(?:[dD][89a-fA-F]|0000)")


class CallRecord(NamedTuple):
    """One call as the API sent it, with the three fields that fetching looks at."""

    call_id: str | None
    model_id: str | None
    start_ms: int | None  # epoch milliseconds; None where the record has none that can be read
    raw: bytes  # the JSON text of the record, valid UTF-8


class CallPage(NamedTuple):
    """One answer of `GET /calls`."""

    total_records: int
    calls: list[CallRecord]


class _Pagination(msgspec.Struct):
    total_records: int


class _RawCalls(msgspec.Struct):
    pagination: _Pagination
    calls: list[msgspec.Raw]


class _CallsAnswer(msgspec.Struct):
    response: _RawCalls


class _Key(msgspec.Struct):
    call_id: str | int | None = None
    model_id: str | int | None = None
    start_time: str | int | None = None


class _RawAgent(msgspec.Struct):
    model_id: str
    name: str | None = None
    type: str | None = None


class _Agents(msgspec.Struct):
    assistants: list[_RawAgent]
    pagination: _Pagination | None = None


class _AgentsAnswer(msgspec.Struct):
    response: _Agents


# strict=False: the live API sends numbers as strings.
_calls_answer = msgspec.json.Decoder(_CallsAnswer, strict=False)
_key = msgspec.json.Decoder(_Key)
_agents_answer = msgspec.json.Decoder(_AgentsAnswer, strict=False)


def read_calls(body: bytes) -> CallPage:
    """Read the body of `GET /calls`.

    A page that holds a lone surrogate, NUL, NaN or broken UTF-8 is read a second, slower time: the unstorable
    characters become U+FFFD and NaN becomes null, so that its calls land all the same.

    Raises:
        MalformedAnswerError: the body is not the JSON that the reference describes.
    """
    try:
        if not body.isascii():
            body.decode()
        answer = _read_calls_slowly(body) if _UNSTORABLE.search(body) else _calls_answer.decode(body)
    except ValueError:  # msgspec's errors and UnicodeDecodeError are ValueErrors
        answer = _read_calls_slowly(body)
    response = answer.response
    return CallPage(response.pagination.total_records, [_record(bytes(raw)) for raw in response.calls])


def read_agents(body: bytes) -> tuple[list[Agent], int | None]:
    """Read the body of `GET /assistants/`: its agents and, where stated, the total of all pages.

    Raises:
        MalformedAnswerError: the body is not the JSON that the reference describes.
    """
    try:
        response = _agents_answer.decode(body).response
    except ValueError:
        raise MalformedAnswerError(_not_json("assistants", body)) from None
    agents = [Agent(agent.model_id, agent.name, agent.type) for agent in response.assistants]
    return agents, response.pagination.total_records if response.pagination else None


def describe_error(body: bytes) -> str:
    """What an error body says, in at most 200 characters with every long number masked; empty if nothing is said."""
    try:
        texts = list(_error_texts(json.loads(body)))
    except ValueError:
        return ""
    text = " ".join("; ".join(texts).split())[:200]
    # An error may echo the phone number that was asked for.
    return re.sub(r"\+?\d[\d ()-]{5,}\d", "***", text)


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


def _record(raw: bytes) -> CallRecord:
    try:
        key = _key.decode(raw)
    except ValueError:
        # Odd types in one record must not cost its neighbours: landing rejects it with a reason.
        return CallRecord(None, None, None, raw)
    return CallRecord(_text(key.call_id), _text(key.model_id), _whole_number(key.start_time), raw)


def _text(value: str | int | None) -> str | None:
    return None if value is None else str(value)


def _whole_number(value: str | int | None) -> int | None:
    if isinstance(value, int):
        return value
    return int(value) if value and re.fullmatch(r"-?[0-9]{1,18}", value) else None


def _read_calls_slowly(body: bytes) -> _CallsAnswer:
    try:
        tree = _storable(json.loads(body.decode(errors="replace"), parse_constant=lambda _: None))
        return _calls_answer.decode(json.dumps(tree, ensure_ascii=False, separators=(",", ":")))
    except (ValueError, RecursionError):
        raise MalformedAnswerError(_not_json("calls", body)) from None


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
