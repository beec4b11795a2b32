"""Finds out by experiment what the reference of "List calls" leaves open, on some recent calls of one agent.

Fetching is exact under every one of these readings; knowing the present one explains numbers that look odd, such as
calls outside the window, and tells what to ask Synthflow about.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeVar

from synthflow_assets.api.client import MAX_PAGE_SIZE, SynthflowClient
from synthflow_assets.api.pages import CallPage, CallRecord
from synthflow_assets.errors import BadRequestError

_DAY_MS = 86_400_000
_WITNESSES = 3  # calls that each experiment is made with; they must agree
_SHORTEST_WITNESS_SECONDS = 4  # so that its middle is clearly neither its start nor its end
_AFTER_END_MS = 120_000  # `duration` may be some seconds off the true end
_PAGES_LOOKED_AT = 5

Side = Literal["start", "end"]
Vote = TypeVar("Vote")


@dataclass(frozen=True)
class ApiReading:
    """What the API was seen to do; None where the calls did not tell.

    `from_filters` and `to_filters`: which time of a call `from_date` and `to_date` are held against.
    `from_inclusive` and `to_inclusive`: whether a call that starts at exactly that millisecond is listed.
    """

    sample: int  # recent calls that were looked at
    page_seconds: float  # that the first page took
    order: Literal["newest first", "oldest first", "none"] | None
    from_filters: Side | None
    to_filters: Side | None
    from_inclusive: bool | None
    to_inclusive: bool | None
    honours_window: bool
    honours_offset: bool | None
    refuses_larger_pages: bool
    lists_open_calls: bool | None
    longest_call_seconds: int | None
    fields: frozenset[str]  # names of all fields that were seen


class _Witness(NamedTuple):
    """A finished call of which start and length are known."""

    call_id: str
    start_ms: int
    duration_seconds: int

    @property
    def middle_ms(self) -> int:
        return self.start_ms + self.duration_seconds * 500

    @property
    def after_ms(self) -> int:
        return self.start_ms + self.duration_seconds * 1000 + _AFTER_END_MS


def probe(client: SynthflowClient, model_id: str, open_statuses: Sequence[str], days: int = 30) -> ApiReading:
    """Ask some 15 small questions about an agent's calls of the last days.

    Args:
        client: whom to ask.
        model_id: an agent that has calls.
        open_statuses: the values of `call_status` that say that a call goes on.
        days: how far back calls are looked for.

    Raises:
        ApiError: the API could not be asked.
    """
    now_ms = int(time.time() * 1000)
    asked = time.monotonic()
    first = client.list_calls(model_id, from_date=now_ms - days * _DAY_MS, to_date=now_ms)
    page_seconds = time.monotonic() - asked
    trees = [_tree(call) for call in first.calls]
    lengths = [seconds for tree in trees if (seconds := _seconds(tree)) is not None]
    closed = [
        _Witness(call.call_id, call.start_ms, length)
        for call, tree in zip(first.calls, trees, strict=True)
        if call.call_id
        and call.start_ms is not None
        and tree.get("call_status") not in open_statuses
        and (length := _seconds(tree) or 0) >= _SHORTEST_WITNESS_SECONDS
    ]
    witnesses = [witness for witness in closed if witness.after_ms < now_ms][:_WITNESSES]
    experiments = _Experiments(client, model_id)
    from_filters = _agreed([experiments.from_filters(witness) for witness in witnesses])
    to_filters = _agreed([experiments.to_filters(witness) for witness in witnesses])
    lists_open = any(tree.get("call_status") in open_statuses for tree in trees)
    return ApiReading(
        sample=len(trees),
        page_seconds=page_seconds,
        order=_order(first),
        from_filters=from_filters,
        to_filters=to_filters,
        # The end of a call is not known to the millisecond, so only filters of starts can be tried out.
        from_inclusive=_agreed([experiments.from_includes(witness) for witness in witnesses])
        if from_filters == "start"
        else None,
        to_inclusive=_agreed([experiments.to_includes(witness) for witness in witnesses])
        if to_filters == "start"
        else None,
        honours_window=experiments.honours_window(now_ms),
        honours_offset=experiments.honours_offset(first, now_ms - days * _DAY_MS, now_ms),
        refuses_larger_pages=experiments.refuses_larger_pages(),
        lists_open_calls=True if lists_open else None,
        longest_call_seconds=max(lengths, default=None),
        fields=frozenset(name for tree in trees for name in tree),
    )


class _Experiments:
    """The questions, each made so that only one thing decides the answer."""

    def __init__(self, client: SynthflowClient, model_id: str) -> None:
        self._client = client
        self._model_id = model_id

    def from_filters(self, witness: _Witness) -> Side:
        """Asked from its middle on, a call is listed only where `from_date` is held against its end."""
        return "end" if self._lists(witness, witness.middle_ms, witness.after_ms) else "start"

    def to_filters(self, witness: _Witness) -> Side:
        """Asked up to its middle, a call is listed only where `to_date` is held against its start."""
        return "start" if self._lists(witness, witness.start_ms - 1, witness.middle_ms) else "end"

    def from_includes(self, witness: _Witness) -> bool:
        return self._lists(witness, witness.start_ms, witness.after_ms)

    def to_includes(self, witness: _Witness) -> bool:
        return self._lists(witness, witness.start_ms - 1000, witness.start_ms)

    def honours_window(self, now_ms: int) -> bool:
        """Ten years from now nobody has called yet."""
        future = now_ms + 3650 * _DAY_MS
        answer = self._client.list_calls(self._model_id, limit=1, from_date=future, to_date=future + _DAY_MS)
        return answer.total_records == 0 and not answer.calls

    def honours_offset(self, first: CallPage, from_ms: int, to_ms: int) -> bool | None:
        if first.total_records <= MAX_PAGE_SIZE:
            return None
        second = self._client.list_calls(self._model_id, offset=MAX_PAGE_SIZE, from_date=from_ms, to_date=to_ms)
        known = {call.call_id for call in first.calls}
        # Some may have been shifted by calls that came in between, but not most of them.
        return 2 * sum(call.call_id in known for call in second.calls) < len(second.calls)

    def refuses_larger_pages(self) -> bool:
        try:
            self._client.list_calls(self._model_id, limit=MAX_PAGE_SIZE + 1)
        except BadRequestError:
            return True
        return False

    def _lists(self, witness: _Witness, from_ms: int, to_ms: int) -> bool:
        for number in range(_PAGES_LOOKED_AT):
            page = self._client.list_calls(
                self._model_id, offset=number * MAX_PAGE_SIZE, from_date=from_ms, to_date=to_ms
            )
            if any(call.call_id == witness.call_id for call in page.calls):
                return True
            if (number + 1) * MAX_PAGE_SIZE >= page.total_records:
                break
        return False


def _tree(call: CallRecord) -> dict[str, Any]:
    """The record as a tree; an empty one where it is no object."""
    try:
        tree = json.loads(call.raw)
    except (ValueError, RecursionError):
        return {}
    return tree if isinstance(tree, dict) else {}


def _seconds(tree: dict[str, Any]) -> int | None:
    text = str(tree.get("duration"))
    return int(text) if re.fullmatch("[0-9]{1,8}", text) else None


def _agreed(votes: list[Vote]) -> Vote | None:
    return votes[0] if len(set(votes)) == 1 else None


def _order(page: CallPage) -> Literal["newest first", "oldest first", "none"] | None:
    starts = [call.start_ms for call in page.calls if call.start_ms is not None]
    if len(set(starts)) < 2:  # noqa: PLR2004 (one start has no order)
        return None
    if starts == sorted(starts):
        return "oldest first"
    return "newest first" if starts == sorted(starts, reverse=True) else "none"
