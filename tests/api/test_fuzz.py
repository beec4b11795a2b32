"""For any bytes, the reader returns a complete page or raises its error."""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from synthflow_assets.api.pages import parse_agents, parse_calls
from synthflow_assets.errors import MalformedResponseError

Page = TypeVar("Page")
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)
FIELDS = st.sampled_from(["call_id", "model_id", "start_time", "duration", "transcript", "name", "type"])
RECORDS = st.dictionaries(FIELDS, VALUES, max_size=5)
# With members that real bodies have and lack, and values of any type in their place.
BODIES = st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from(["ok", "success", "error"]) | VALUES,
        "response": VALUES
        | st.fixed_dictionaries(
            {},
            optional={
                "pagination": VALUES | st.fixed_dictionaries({}, optional={"total_records": SCALARS}),
                "calls": VALUES | st.lists(RECORDS | VALUES, max_size=4),
                "assistants": VALUES | st.lists(RECORDS | VALUES, max_size=4),
            },
        ),
    },
)
# json.dumps writes NaN and lone surrogates, as the live API may.
TEXTS = st.builds(lambda tree, is_ascii: json.dumps(tree, ensure_ascii=is_ascii), BODIES, st.booleans())


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A body with some bytes cut out, replaced, repeated or put in."""
    body = draw(TEXTS).encode(errors="surrogatepass")
    for _ in range(draw(st.integers(0, 3))):
        start, stop = sorted(draw(st.integers(0, len(body))) for _ in range(2))
        middle = draw(st.sampled_from([b"", body[start:stop] * 2]) | st.binary(max_size=4))
        body = body[:start] + middle + body[stop:]
    return body


def parsed(parse: Callable[[bytes], Page], body: bytes) -> Page | None:
    """Return the page; None if it is rejected with the documented error."""
    with suppress(MalformedResponseError):
        return parse(body)
    return None


@given(damaged() | st.binary(max_size=60))
@example(b'{"response":{"pagination":{"total_records":1},"calls":[{"call_id":"\\ud800\\u0000"}]}}')
@example(b'\xef\xbb\xbf{"response":{"pagination":{"total_records":0},"calls":null}}')
@example(b'{"response":{"pagination":{"total_records":1},"calls":[' + b"[" * 3_000 + b"]" * 3_000 + b"]}}")
@hypothesis_settings(max_examples=400)
def test_any_bytes_are_a_page_or_refused(body: bytes) -> None:
    page = parsed(parse_calls, body)
    if page is not None:
        assert page.total_records >= 0
        assert page.states_total or page.calls == []
        for call in page.calls:
            call.raw.decode()  # as the warehouse needs it
            assert call.call_id != ""
            assert call.start_ms is None or -(2**63) <= call.start_ms < 2**63
    agents = parsed(parse_agents, body)
    if agents is not None:
        assert len(agents.agents) <= agents.listed
        assert all(agent.model_id and agent.label is not None for agent in agents.agents)


@given(st.lists(RECORDS, max_size=6), st.integers(0, 10**6), st.booleans())
@hypothesis_settings(max_examples=100)
def test_no_record_of_a_page_is_lost(records: list[dict[str, object]], total: int, is_ascii: bool) -> None:
    """The number of calls is compared with the total, so an unreadable record must still count."""
    body = json.dumps({"response": {"pagination": {"total_records": total}, "calls": records}}, ensure_ascii=is_ascii)
    page = parse_calls(body.encode(errors="surrogatepass"))
    assert (page.total_records, len(page.calls), page.states_total) == (total, len(records), True)
