"""Read the sentences in the body of an error: what the API or its gateway says, in any of the shapes that were seen."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

MAX_ERROR_BYTES = 100_000  # of a body that is read for its sentences
# A whole sentence, because `No call permission` and `No data source` mean something else. Any text may follow `for` or
# `in`.
_NO_CALLS = re.compile(
    r"(?:(?:sorry, )?there (?:are|were) )?no (?:matching |such )?"
    r"(?:calls?|call (?:logs?|records?)|conversations?|records?|results?|data)"
    r"(?: (?:was|were|have been))?(?: (?:found|available|exists?|matched))?"
    r"(?: (?:for|in|within|with|between|matching)\b.*)?[.!]?"
    r"|(?:calls?|conversations|records|results)(?: (?:was|were))? not found[.!]?",
    re.IGNORECASE,
)


def error_texts(body: bytes) -> Iterator[str]:
    """Yield the texts of an error body, the places that they refer to, and its category."""
    try:
        tree = json.loads(body[:MAX_ERROR_BYTES])
    except (ValueError, RecursionError):
        return
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


def says_no_calls(body: bytes) -> bool:
    """Return whether a body says in words that there are no calls, and nothing else.

    Args:
        body: of the response, in any shape of an error, or a JSON text.
    """
    return any(_NO_CALLS.fullmatch(text.strip()) for text in error_texts(body))
