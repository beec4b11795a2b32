"""Find out by experiment what the reference of "List calls" does not specify, on some recent calls of one agent.

Fetching is complete however the API behaves. The result explains unexpected numbers, such as calls outside the window,
and shows what to ask Synthflow about.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeVar

from synthflow_assets.api.client import SynthflowClient
from synthflow_assets.api.pages import MAX_PAGE_SIZE, CallPage, CallRecord
from synthflow_assets.errors import BadRequestError

_DAY_MS = 86_400_000
_MAX_SAMPLES = 3  # calls that each experiment uses; their results must agree
_MAX_EXAMINED = 20  # further calls, of which only those that are filtered by a time before their start are examined
_MIN_SAMPLE_SECONDS = 4  # long enough that the middle is clearly neither start nor end
_AFTER_END_MS = 120_000  # `duration` may differ from the time between start and end by some seconds
_SLACK_MS = 5_000  # `start_time` may differ from the filtered start by some seconds: 1.2 s were seen
_MAX_LEAD_MS = _DAY_MS  # times longer before a start are not searched for
_MINUTE_MS, _PRECISION_MS = 60_000, 1_000
_MAX_PAGES = 5  # read in search of one call
_FUTURE_DAYS = 3650

FilteredTime = Literal["start", "end", "creation", "scheduled start"]
Side = Literal["before", "start", "end"]
Result = TypeVar("Result")


@dataclass(frozen=True)
class ApiReading:
    """How the API behaves; None if the calls did not show it.

    `from_filters` and `to_filters`: the time of a call that `from_date` and `to_date` are compared with. A time before
    the start is the scheduled start if it is a full minute for all samples; otherwise it is the creation.
    `lead_seconds`: the longest time from the filtered time to the start of a sample, at most a second more than a day;
    0 if no sample is filtered by a time before its start. `examined`: the number of calls that were examined for it.
    `from_inclusive` and `to_inclusive`: whether a call that starts at exactly that millisecond is listed.
    """

    sample: int  # recent calls that were read
    page_seconds: float  # how long the first page took
    order: Literal["newest first", "oldest first", "none"] | None
    from_filters: FilteredTime | None
    to_filters: FilteredTime | None
    lead_seconds: int | None
    examined: int
    from_inclusive: bool | None
    to_inclusive: bool | None
    honours_window: bool
    honours_offset: bool | None
    refuses_larger_pages: bool
    lists_open_calls: bool | None
    longest_call_seconds: int | None
    fields: frozenset[str]  # names of all fields in the sample


class _Sample(NamedTuple):
    """A finished call with a known start and duration."""

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
    """Return how the API behaves, by about 40 small requests for an agent's recent calls.

    If the API filters a time before the start, 40 to 90 more find out which time it is, and the longest lead. For each
    call with a longer lead than all calls before, about 10 of them are sent.

    Args:
        client: sends the requests.
        model_id: id of an agent that has calls.
        open_statuses: the values of `call_status` of a call that has not ended.
        days: how far back to look for calls.

    Raises:
        ApiError: permanent errors at once, transient errors after retries.
    """
    now_ms = client.now_ms
    started = time.monotonic()
    first = client.list_calls(model_id, from_date=now_ms - days * _DAY_MS, to_date=now_ms)
    page_seconds = time.monotonic() - started
    trees = [_tree(call) for call in first.calls]
    experiments = _Experiments(client, model_id)
    honours_window = experiments.honours_window(now_ms)
    # Without windows, the experiments would find out nothing, and read five pages for each call.
    samples, further = _samples(first, trees, open_statuses, now_ms) if honours_window else ([], [])
    from_sides = [experiments.from_side(sample) for sample in samples]
    # One call with a time long before its start suffices: for calls like that, the margin must be longer.
    early = [sample for sample, side in zip(samples, from_sides, strict=True) if side == "before"]
    times = [(sample, experiments.time_before(sample)) for sample in early]
    # If the times of half of the calls are long before their starts, three calls show none in one case of eight.
    for sample in experiments.unlisted(further, _time_before(times).lead_ms):
        if experiments.unlisted([sample], _time_before(times).lead_ms):
            times.append((sample, experiments.time_before(sample, _time_before(times).lead_ms or 0)))
            from_sides.append("before")
    before = _time_before(times) if samples else _TimeBefore(None, None)
    from_side = _agreed(from_sides)
    to_side = _agreed([experiments.to_side(sample, before.lead_ms or 0) for sample in samples])
    from_filters = before.name if from_side == "before" else from_side
    to_filters = before.name if to_side == "before" else to_side
    from_inclusive = to_inclusive = None
    # The end of a call is not known to the millisecond, so these two are found out for filters of starts only.
    if from_filters == "start":
        from_inclusive = _agreed([experiments.from_includes(sample) for sample in samples])
    if to_filters == "start":
        to_inclusive = _agreed([experiments.to_includes(sample) for sample in samples])
    has_open_calls = any(tree.get("call_status") in open_statuses for tree in trees)
    return ApiReading(
        sample=len(trees),
        page_seconds=page_seconds,
        order=_order(first),
        from_filters=from_filters,
        to_filters=to_filters,
        lead_seconds=None if before.lead_ms is None else -(-before.lead_ms // 1000),
        examined=len(samples) + len(further),
        from_inclusive=from_inclusive,
        to_inclusive=to_inclusive,
        honours_window=honours_window,
        honours_offset=experiments.honours_offset(first, now_ms - days * _DAY_MS, now_ms),
        refuses_larger_pages=experiments.refuses_larger_pages(),
        lists_open_calls=True if has_open_calls else None,
        longest_call_seconds=max((seconds for tree in trees if (seconds := _seconds(tree)) is not None), default=None),
        fields=frozenset(name for tree in trees for name in tree),
    )


def _samples(
    page: CallPage, trees: list[dict[str, Any]], open_statuses: Sequence[str], now_ms: int
) -> tuple[list[_Sample], list[_Sample]]:
    """Return the calls for all experiments, and further calls from all over the page."""
    samples = [
        _Sample(call.call_id, call.start_ms, seconds)
        for call, tree in zip(page.calls, trees, strict=True)
        if call.call_id
        and call.start_ms is not None
        and tree.get("call_status") not in open_statuses
        and (seconds := _seconds(tree) or 0) >= _MIN_SAMPLE_SECONDS
    ]
    ended = [sample for sample in samples if sample.after_ms < now_ms]
    further = ended[_MAX_SAMPLES:]
    count = min(len(further), _MAX_EXAMINED)
    return ended[:_MAX_SAMPLES], [further[number * len(further) // count] for number in range(count)]


class _TimeBefore(NamedTuple):
    """A time before the start of calls that the API filters."""

    name: FilteredTime | None = None
    lead_ms: int | None = None  # from this time to the start, at most


def _time_before(found: Sequence[tuple[_Sample, range | None]]) -> _TimeBefore:
    """Return which time before the start the API filters, from the range that was found for each sample."""
    if not found:
        return _TimeBefore(None, 0)
    known = [(sample, times) for sample, times in found if times is not None]
    if len(known) < len(found):
        return _TimeBefore(None, _MAX_LEAD_MS + 1000)
    # People schedule calls for full minutes.
    are_full_minutes = all(times[-1] // _MINUTE_MS > (times[0] - 1) // _MINUTE_MS for _, times in known)
    lead_ms = max(sample.start_ms - times[0] for sample, times in known)
    return _TimeBefore("scheduled start" if are_full_minutes else "creation", lead_ms)


class _Experiments:
    """Requests of which each depends on one property of the API only."""

    def __init__(self, client: SynthflowClient, model_id: str) -> None:
        self._client = client
        self._model_id = model_id

    def from_side(self, sample: _Sample) -> Side:
        """Return what `from_date` filters: if a window from the middle of a call lists the call, it is the end."""
        if self._lists(sample, sample.middle_ms, sample.after_ms):
            return "end"
        return "start" if self._lists(sample, sample.start_ms - _SLACK_MS, sample.after_ms) else "before"

    def to_side(self, sample: _Sample, lead_ms: int) -> Side:
        """Return what `to_date` filters: if it is the end, a window up to the middle of a call lacks the call."""
        from_ms = sample.start_ms - lead_ms - 2 * _SLACK_MS
        if not self._lists(sample, from_ms, sample.middle_ms):
            return "end"
        return "before" if self._lists(sample, from_ms, sample.start_ms - _SLACK_MS) else "start"

    def unlisted(self, samples: Sequence[_Sample], lead_ms: int | None) -> list[_Sample]:
        """Return the calls that `from_date` filters by a time that is more than `lead_ms` before their start."""

        def lists(sample: _Sample) -> bool:
            return self._lists(sample, sample.start_ms - (lead_ms or 0) - _SLACK_MS, sample.after_ms)

        with ThreadPoolExecutor(self._client.max_connections) as pool:
            found = list(pool.map(lists, samples))
        return [sample for sample, is_listed in zip(samples, found, strict=True) if not is_listed]

    def time_before(self, sample: _Sample, at_least_ms: int = 0) -> range | None:
        """Return a range of about a second that contains the time that `from_date` filters, in epoch milliseconds.

        None if it is more than a day before the start.

        Args:
            sample: a call that is filtered by a time before its start.
            at_least_ms: how long before its start this time is at least.
        """
        earliest = sample.start_ms - _MAX_LEAD_MS
        not_listed, step_ms = sample.start_ms - at_least_ms - _SLACK_MS, _MINUTE_MS
        while not_listed > earliest:
            listed = max(not_listed - step_ms, earliest)
            if self._lists(sample, listed, sample.after_ms):
                break
            not_listed, step_ms = listed, 4 * step_ms
        else:
            return None
        while not_listed - listed > _PRECISION_MS:
            middle = (listed + not_listed) // 2
            if self._lists(sample, middle, sample.after_ms):
                listed = middle
            else:
                not_listed = middle
        # Both ends included, because `from_date` may be inclusive or exclusive.
        return range(listed, not_listed + 1)

    def from_includes(self, sample: _Sample) -> bool:
        return self._lists(sample, sample.start_ms, sample.after_ms)

    def to_includes(self, sample: _Sample) -> bool:
        return self._lists(sample, sample.start_ms - 1000, sample.start_ms)

    def honours_window(self, now_ms: int) -> bool:
        """Return whether the API filters by the window: one in ten years must have no calls."""
        future = now_ms + _FUTURE_DAYS * _DAY_MS
        page = self._client.list_calls(self._model_id, limit=1, from_date=future, to_date=future + _DAY_MS)
        return page.total_records == 0 and not page.calls

    def honours_offset(self, first: CallPage, from_ms: int, to_ms: int) -> bool | None:
        if first.total_records <= MAX_PAGE_SIZE:
            return None
        second = self._client.list_calls(self._model_id, offset=MAX_PAGE_SIZE, from_date=from_ms, to_date=to_ms)
        first_ids = {call.call_id for call in first.calls}
        # New calls between the two requests shift some calls to the second page, but not most of them.
        return 2 * sum(call.call_id in first_ids for call in second.calls) < len(second.calls)

    def refuses_larger_pages(self) -> bool:
        try:
            self._client.list_calls(self._model_id, limit=MAX_PAGE_SIZE + 1)
        except BadRequestError:
            return True
        return False

    def _lists(self, sample: _Sample, from_ms: int, to_ms: int) -> bool:
        """Return whether the API lists the call in this window."""
        for number in range(_MAX_PAGES):
            page = self._client.list_calls(
                self._model_id, offset=number * MAX_PAGE_SIZE, from_date=from_ms, to_date=to_ms
            )
            if any(call.call_id == sample.call_id for call in page.calls):
                return True
            if (number + 1) * MAX_PAGE_SIZE >= page.total_records:
                break
        return False


def _tree(call: CallRecord) -> dict[str, Any]:
    """Return the parsed record; an empty one if it is not a JSON object."""
    try:
        tree = json.loads(call.raw)
    except (ValueError, RecursionError):
        return {}
    return tree if isinstance(tree, dict) else {}


def _seconds(tree: dict[str, Any]) -> int | None:
    text = str(tree.get("duration"))
    return int(text) if re.fullmatch("[0-9]{1,8}", text) else None


def _agreed(results: list[Result]) -> Result | None:
    """Return the common result; None if the results differ."""
    return results[0] if len(set(results)) == 1 else None


def _order(page: CallPage) -> Literal["newest first", "oldest first", "none"] | None:
    starts = [call.start_ms for call in page.calls if call.start_ms is not None]
    if len(set(starts)) < 2:  # noqa: PLR2004 (one start has no order)
        return None
    if starts == sorted(starts):
        return "oldest first"
    return "newest first" if starts == sorted(starts, reverse=True) else "none"
