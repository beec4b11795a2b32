"""Random bytes for the page reader and the record decoder, until a time is over: `make fuzz SECONDS=120`.

`make test` tries a few fixed examples of the same properties.
"""

import argparse
import datetime as dt
import json
import re
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from synthflow_assets.api.pages import CallRecord, parse_agents, parse_calls
from synthflow_assets.errors import MalformedResponseError
from synthflow_assets.warehouse.personal import HASH_PATTERN
from synthflow_assets.warehouse.schema import CALL_FIELDS, CALLS
from synthflow_assets.warehouse.tables import Kind
from tests.warehouse.decoding import START_MS, call, decode_page

Page = TypeVar("Page")

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()  # NaN and infinity too
    | st.text(st.characters(), max_size=8)  # lone surrogates too
    | st.sampled_from(["", "null", "-infinity", "1e999", "0x1F", "25.0", str(START_MS), "{", "[1"])
    | st.sampled_from(["2026-03-10T00:00:00Z", "2026-03-10 02:00:00.0005+02", "2026-03-10T24:00:00"])
)
NAMES = st.text(max_size=8) | st.sampled_from(
    ["name", "action_type", "return_value", "status", "value", "collected", "goal", "timestamp"]
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=5
)
FIELDS = st.sampled_from([*(str(column.source) for column in CALL_FIELDS), "model_id"])
# A record with any fields; more often, one that has what a call needs.
RECORDS = st.dictionaries(FIELDS | st.text(max_size=8), VALUES, max_size=8)
CALL_RECORDS = st.builds(lambda fields: call(**fields), RECORDS) | RECORDS
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
# Each field of the API with a value of its kind, so that a change of some bytes meets every rule of decoding.
WHOLE_RECORD = call(
    duration="25", telephony_duration=9000, telephony_start="2026-03-10T12:00:00", labels=["a"], agents_used=["b"],
    call_status="completed", end_call_reason="human_goodbye", transcript="bot: hello\nhuman: 4155550123",
    error_message="Telephony - 404 - Not Found", judge_results={"goal": "true", "goal_feedback": "", "style": "7"},
    executed_actions={"Book it": {"name": "Book it", "action_type": "transfer_call_action_type", "timestamp": "1.5",
                                  "return_value": '{"status": "transfer-success", "human_connected_at": "2.5"}'}},
    collected_variables={"agent": {"order": {"value": "A 1", "collected": True}}}, mood={"score": 0.5},
)  # fmt: skip
NUMBERS = st.from_regex("[+-]?[0-9]{0,3}[.]?[0-9]{0,2}", fullmatch=True, alphabet="0123456789+-.")
NUMBER_FIELDS = {str(column.source): column.name for column in CALL_FIELDS if column.kind is Kind.WHOLE_NUMBER}
CHANGED_RECORDS = (
    st.dictionaries(st.sampled_from([*NUMBER_FIELDS]), NUMBERS, min_size=1, max_size=2)
    | st.dictionaries(FIELDS, SCALARS, min_size=1, max_size=2)
).map(lambda changed: WHOLE_RECORD | changed)
NEIGHBOUR = json.dumps(call(call_id="neighbour")).encode()
PIECES = [
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"NaN",
    b"null",
    b"\xff",
    b"7",
    b"-",
    b"+",
    b".",
    b"e5",
]
TREATMENTS = st.sampled_from(["keep", "hash", "drop"])


def _encoded(tree: Any, *, is_ascii: bool) -> bytes:
    # json.dumps writes NaN and lone surrogates, as the live API may.
    return json.dumps(tree, ensure_ascii=is_ascii).encode(errors="surrogatepass")


@st.composite
def damaged(draw: st.DrawFn, bodies: st.SearchStrategy[bytes]) -> bytes:
    """Bytes of which some are cut out, replaced, repeated or added."""
    body = draw(bodies)
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(body)))
        stop = min(len(body), start + draw(st.integers(0, 4) | st.integers(0, len(body))))
        middle = draw(st.just(b"") | st.just(body[start:stop] * 2) | st.binary(max_size=4) | st.sampled_from(PIECES))
        body = body[:start] + middle + body[stop:]
    return body


PAGES = damaged(st.builds(_encoded, BODIES, is_ascii=st.booleans())) | st.binary(max_size=60)
RECORD_TEXTS = st.tuples(
    st.lists(damaged(st.just(_encoded(WHOLE_RECORD, is_ascii=True))), max_size=10),
    st.lists(st.builds(_encoded, CHANGED_RECORDS, is_ascii=st.booleans()), max_size=10),
    st.lists(st.builds(_encoded, CALL_RECORDS | VALUES, is_ascii=st.booleans()), max_size=3),
).map(lambda lists: [record for one in lists for record in one])


def page_of(records: list[bytes]) -> bytes:
    total = str(len(records)).encode()
    return b'{"response":{"pagination":{"total_records":' + total + b'},"calls":[' + b",".join(records) + b"]}}"


def parsed(parse: Callable[[bytes], Page], body: bytes) -> Page | None:
    """The page; None if it is refused with the documented error. Then the fetch asks again, and nothing lands."""
    with suppress(MalformedResponseError):
        return parse(body)
    return None


def check_page(body: bytes) -> None:
    """Any bytes are a page or are refused."""
    page = parsed(parse_calls, body)
    if page is not None:
        assert page.total_records >= 0
        assert page.states_total or page.calls == []
        for record in page.calls:
            record.raw.decode()  # as the warehouse needs it
            assert record.call_id != ""
            assert record.start_ms is None or -(2**63) <= record.start_ms < 2**63
    agents = parsed(parse_agents, body)
    if agents is not None:
        assert len(agents.agents) <= agents.listed
        assert all(agent.model_id and agent.label is not None for agent in agents.agents)


def check_count(records: list[dict[str, Any]], total: int, is_ascii: bool) -> None:
    """No record of a page is lost: their number is compared with the total, so an unreadable one must count."""
    tree = {"response": {"pagination": {"total_records": total}, "calls": records}}
    page = parse_calls(_encoded(tree, is_ascii=is_ascii))
    assert (page.total_records, len(page.calls), page.states_total) == (total, len(records), True)


def check_records(records: list[bytes], pii: str) -> None:
    """Every record of a page is a call, or is rejected with a reason, and does not affect its neighbours."""
    # Some bytes end a record and begin another one. Others make a page that is refused as a whole.
    readable = [record for record in records if parsed(parse_calls, page_of([record])) is not None]
    page = parse_calls(page_of([NEIGHBOUR, *readable, NEIGHBOUR]))
    rows = decode_page(page, pii, "k")
    assert len(rows) == len(page.calls)
    assert [row["call_id"] for row in (rows[0], rows[-1]) if row["reason"] is None] == ["neighbour"] * 2
    for record, row in zip(page.calls, rows, strict=True):
        if row["reason"] is None:
            _check_call(record, row, pii)
        else:
            assert row["reason"] != ""
            assert (row["record"] is not None) == (pii == "keep")
        if pii != "keep":
            _check_private(row, pii)


def _check_call(record: CallRecord, row: dict[str, Any], pii: str) -> None:
    """What landed is what was sent, and fetching and decoding read the same."""
    sent = json.loads(record.raw)
    assert row["call_id"] == record.call_id
    assert row["call_outcome"] is not None
    start = (row["start_time"] - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) / dt.timedelta(milliseconds=1)
    assert record.start_ms is not None
    assert abs(start - record.start_ms) <= 1
    for text in (value for value in row.values() if isinstance(value, str)):
        assert "\0" not in text
        text.encode()
    for field, column in NUMBER_FIELDS.items():
        if sent.get(field) not in (None, ""):
            assert row[column] == float(sent[field])
    if pii == "keep":
        for field in ("transcript", "lead_name", "error_message"):
            assert row[field] == sent.get(field) or not isinstance(sent[field], str)


def _check_private(row: dict[str, Any], pii: str) -> None:
    for column in CALLS.columns:
        value = row.get(column.name) if column.personal else None
        assert value is None or (pii == "hash" and re.fullmatch(HASH_PATTERN, value)), column.name


class Property(NamedTuple):
    """What holds for any example of some strategies."""

    check: Callable[..., None]
    examples: tuple[st.SearchStrategy[Any], ...]
    count: int  # of examples in a round; a round takes ten seconds

    def run(self, seed_number: int, count: int, *, shrink: bool = True) -> None:
        """Try random examples. Equal seeds try equal examples; a failing one is printed, in its smallest form."""
        chosen = settings(
            max_examples=count,
            derandomize=False,
            database=None,
            deadline=None,
            print_blob=False,
            phases=[Phase.generate, *([Phase.shrink] if shrink else [])],
            suppress_health_check=list(HealthCheck),
        )
        seed(seed_number)(chosen(given(*self.examples)(self.check)))()


PROPERTIES = (
    Property(check_page, (PAGES,), 1000),
    Property(check_count, (st.lists(RECORDS, max_size=6), st.integers(0, 10**6), st.booleans()), 50),
    Property(check_records, (RECORD_TEXTS, TREATMENTS), 100),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--seed", type=int, help="the seed that a failed run printed; default: a random one")
    arguments = parser.parse_args()
    end = time.monotonic() + arguments.seconds
    seed_number = secrets.randbelow(10**9) if arguments.seed is None else arguments.seed
    rounds = 0
    while rounds == 0 or time.monotonic() < end:
        # One seed for each round, so that a failure is repeated without the rounds before it.
        for one in PROPERTIES:
            try:
                one.run(seed_number, one.count)
            except BaseException:
                print(f"{one.check.__name__} fails; try it again with: make fuzz SEED={seed_number}", flush=True)  # noqa: T201
                raise
        rounds += 1
        seed_number += 1
    examples = rounds * sum(one.count for one in PROPERTIES)
    print(f"{examples:,} random examples in {rounds} rounds: every one is read or refused")  # noqa: T201


if __name__ == "__main__":
    main()
