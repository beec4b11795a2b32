"""Read the sentences in the body of an error: what the API or its gateway says, in any of the shapes that were seen."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

MAX_ERROR_BYTES = 100_000  # of a body that is read for its sentences
_CALLS = "(?:calls?|conversations?)"
_RECORDS = f"(?:{_CALLS}|call (?:logs?|records?)|records?|results?|data)"
_WAS_FOUND = "(?: (?:was|were|has been|have been))?(?: (?:found|available|exists?|made|recorded|returned))?"
_ID = r"""['"]?(?=[a-z_-]*[0-9])[a-z0-9_-]+['"]?"""  # with a digit, so that it is no word
_DATE = r"['\"]?[0-9]{4}-[0-9]{2}-[0-9]{2}(?:t[0-9:.]+z?)?['\"]?"
_GIVEN = "(?:given|provided|requested|selected|specified)"
_AGENT = f"(?:(?:this|the|that) )?(?:{_GIVEN} )?(?:agent|assistant|model)(?:[ _]id|(?: with)?(?:[ _]id)?:? {_ID})?"
_TIME = (
    f"(?:(?:this|the|that) (?:{_GIVEN} )?(?:date|time)?[ -]?(?:date|day|frame|interval|period|range|span|window)"
    f"|(?:these|the|those) (?:{_GIVEN} )?(?:dates|days)|{_DATE}(?: (?:and|to|until) {_DATE})?)"
)
_FILTERS = f"(?:(?:these|the|those|this|your) )?(?:{_GIVEN} |search )?(?:filters?|criteria|query|search|parameters)"
_SCOPE = f"(?:{_AGENT}|{_TIME}|{_FILTERS}|(?:this|the) workspace)"
_WITHIN = f"(?: (?:between|during|for|from|in|on|match|matched|matching|that match|with|within) {_SCOPE})"
# The whole text must match. After "No calls", an error may go on: "for this workspace: the subscription has expired",
# "in cache, try again later". So only these words may follow.
_NO_CALLS = re.compile(
    rf"(?:sorry, )?(?:there (?:is|are|were) )?(?:no|0|zero) (?:matching |such )?{_RECORDS}{_WAS_FOUND}{_WITHIN}{{0,3}}"
    # "No data yet" may mean that the API is still collecting it.
    rf"|(?:(?:there are|there were|you have) )?(?:currently )?no {_CALLS}(?: (?:have been )?made)?(?: yet| so far)?"
    rf"{_WITHIN}{{0,3}}(?: yet| so far)?"
    rf"|(?:this|the) (?:agent|assistant|model|workspace) has no {_CALLS}(?: yet)?{_WITHIN}{{0,3}}"
    rf"|(?:found (?:no|0)|did not find any) {_RECORDS}{_WITHIN}{{0,3}}"
    rf"|(?:calls|conversations|records|results)(?: (?:was|were))? not found{_WITHIN}{{0,3}}",
    re.IGNORECASE,
)
# What an error that says "no calls" may say as well: the kind of error, and the status.
_NEUTRAL = re.compile(
    "ok|success|error|fail(?:ed)?|not[ _]found|bad[ _]request|validation|no_(?:calls|data|results)(?:_found)?",
    re.IGNORECASE,
)
_NEUTRAL_FIELDS = ("timestamp", "request_id", "loc")
_STATUS_FIELDS = ("status", "code", "status_code", "statusCode")
_FLAGS = ("success", "ok", "error")  # whatever they are; `{"complete": false}` may say that calls are missing
_STATUSES = ("200", "400", "404", "410", "422")


def parse_error(body: bytes) -> Any:
    """Return the parsed body of an error; None if it is not JSON."""
    try:
        return json.loads(body[:MAX_ERROR_BYTES])
    except (ValueError, RecursionError):
        return None


def error_texts(body: bytes) -> Iterator[str]:
    """Yield the texts of an error body, the places that they refer to, and its category."""
    tree = parse_error(body)
    detail = tree.get("detail", tree) if isinstance(tree, dict) else tree
    if isinstance(tree, dict) and isinstance(tree.get("response"), (dict, str)):
        detail = [detail, tree["response"]]
    for part in detail if isinstance(detail, list) else [detail]:
        if isinstance(part, str):
            yield part
        elif isinstance(part, dict):
            texts = (part.get(name) for name in ("description", "message", "msg", "error"))
            yield from (text for text in texts if isinstance(text, str))
            if isinstance(part.get("loc"), list):
                yield "at " + ".".join(str(step) for step in part["loc"])
            if isinstance(part.get("category"), str):
                yield f"category {part['category']}"


def says_no_calls(tree: Any) -> bool:
    """Return whether a response says in words that there are no calls, and nothing else.

    Args:
        tree: the parsed body, in any shape of an error, or a text.
    """
    try:
        return _say_no_calls(_statements(tree))
    except RecursionError:
        return False


def _say_no_calls(texts: Iterator[str]) -> bool:
    says_so = False
    for text in texts:
        if _NO_CALLS.fullmatch(" ".join(text.split()).removesuffix(".").removesuffix("!")):
            says_so = True
        elif not _NEUTRAL.fullmatch(text):
            return False
    return says_so


def _statements(tree: Any) -> Iterator[str]:
    """Yield each text, number and unknown flag of a JSON value; an empty text for an entry of a list that has none."""
    if isinstance(tree, dict):
        for name, value in tree.items():
            is_status = name in _STATUS_FIELDS and str(value) in _STATUSES
            is_flag = isinstance(value, bool) and (name in _FLAGS or (name == "has_more" and not value))
            if name not in _NEUTRAL_FIELDS and not is_status and not is_flag:
                yield from _statements(value)
    elif isinstance(tree, list):
        for item in tree:
            is_empty = True
            for text in _statements(item):
                is_empty = False
                yield text
            if is_empty:
                yield ""
    elif isinstance(tree, bool) or tree not in (None, "", 0):
        yield str(tree)
