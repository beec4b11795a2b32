"""Decides which pages a window takes, and when it is complete.

What the API leaves open, and how it is met:

* **Which time its window filters** (start, end, or one for each end) and whether the ends are inclusive. The window
  is asked one millisecond earlier and a margin later than wanted, and calls are kept by their own start.
* **Drift.** Offsets shift while calls arrive. So the distinct calls of all pages are held against the API's own
  total; where they fall short, the pages are asked for again, later in thinner slices of time, and at last the
  window fails. It is never quietly short. A call that one answer lists twice the API counts twice, so it may; one
  that came on two pages proves nothing, because another may have slipped between them.
* **Deep offsets.** A window with more calls than `DEEPEST_OFFSET` is cut into slices of time by what the API's
  totals say, so that the cost grows with the calls and not with their square.

Nothing is asked here: pages come in by `WindowFetch.take`, and what is to be asked next waits in `queued`.
"""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from synthflow_assets.api.client import MAX_PAGE_SIZE
from synthflow_assets.api.events import CallWindow, FailedWindow, FetchedPage, FetchedWindow, FetchEvent, FetchStats
from synthflow_assets.api.ids import IdSet
from synthflow_assets.api.pages import CallPage, CallRecord
from synthflow_assets.errors import ApiError, IncompleteFetchError, UnexpectedAnswerError

DEEPEST_OFFSET = 10_000
_SLICE_TARGET = 5_000  # calls; slices are of equal time, so the busiest hold a few times the average
_THINNEST_SLICE_MS = 3
_PASSES = 3  # over the pages of a slice, before it is cut thinner
_DAY_MS = 86_400_000
_MOST_CALLS = 50_000_000  # in one window of one agent
# Cutting a slice states its calls once more, a few times over; far beyond that the totals mean nothing.
_MOST_TIMES_STATED, _STATED_SLACK = 20, 400
_IMPLAUSIBLE_DAYS = 7  # no call lasts so long
_FEWEST_FOR_A_JUDGEMENT = 5  # calls of a page
_CLOCK_SLACK_MS = 60_000
_DURATION_SLACK_SECONDS = 30  # how far a call's stated duration may be from the time between its start and end


@dataclass
class Slice:
    """A span of the asked window, and how far the pages over it have come."""

    from_ms: int
    to_ms: int
    duration_min: int | None = None  # in seconds; only calls of at least this length
    is_cut: bool = False  # replaced by thinner slices
    seen: set[int] = field(default_factory=set)  # hashes of the ids that came, over all passes
    passes: int = 0
    # Of the present pass:
    limit: int = MAX_PAGE_SIZE
    pages_open: int = 0
    planned_to: int = 0  # the deepest offset that was asked for
    total: int = 0  # the largest that a page stated
    reached: int = 0  # the end of the deepest page that held calls
    seen_this_pass: set[int] = field(default_factory=set)
    listed_again: dict[int, int] = field(
        default_factory=dict
    )  # how often more than once in one answer, over all passes


@dataclass(frozen=True)
class PageRequest:
    """A page to be asked for."""

    fetch: WindowFetch
    slice: Slice
    offset: int
    limit: int


class WindowFetch:
    """Fetches one window: decides which requests are needed, and when the window is complete."""

    def __init__(self, window: CallWindow, margin_ms: int, page_size: int, now_ms: int) -> None:
        self.window = window
        self.done = False
        self.queued: deque[PageRequest] = deque()
        self._page_size = page_size
        # A millisecond earlier, in case the begin is exclusive.
        from_ms, to_ms = window.start_ms - 1, window.end_ms + margin_ms
        self._closed = to_ms <= now_ms
        # Not into the future: a window that ends in the past does not grow while its pages turn.
        self._root = Slice(from_ms, max(from_ms + 1, min(to_ms, now_ms)))
        self._open_slices = 0
        self._stated = 0  # the sum of all slices' totals
        self._whole_slices: list[tuple[int, int]] = []  # since the last search across borders
        self._searches = self._search_across_borders()
        self._seen = IdSet()
        self._listed_again: dict[int, int] = {}
        self._left_out: set[int] = set()  # what started outside when it came
        self._received = self._outside = self._other_model = self._requests = 0
        self._begin_slice(self._root)

    @property
    def pages_left(self) -> int:
        """How many pages are still to be asked for, as far as the totals tell."""
        if not self._root.is_cut:
            return len(self.queued)
        return max(len(self.queued), (self._root.total - len(self._seen)) // self._page_size)

    @property
    def _distinct_total(self) -> int:
        """The API's total, less what it lists more than once."""
        return self._root.total - sum(self._listed_again.values())

    def take(self, request: PageRequest, page: CallPage) -> list[FetchEvent]:
        """Account for a page; the events that it leads to."""
        self._requests += 1
        part = request.slice
        if self.done or part.is_cut:
            return []
        try:
            self._validate_response(part, page)
            seen_before = len(part.seen_this_pass)
            records = self._new_records(part, page.calls)
            reached = request.offset + len(page.calls)
            is_full, has_news = len(page.calls) == request.limit, len(part.seen_this_pass) > seen_before
            part.total = max(part.total, page.total_records)
            part.reached = max(part.reached, reached)
            part.pages_open -= 1
            if request.offset == 0:
                self._validate_total(part)
                self._plan_pages(part)
            if is_full and has_news and reached >= page.total_records and reached > part.planned_to and not part.is_cut:
                # Full to the end: the total may be capped or wrong, so the pages themselves say where they end.
                self._queue(part, [reached])
            if part.pages_open == 0:
                self._end_pass(part)
        except ApiError as error:
            return self.fail(error)
        events: list[FetchEvent] = [FetchedPage(self.window, records)] if records else []
        return events + self._conclude()

    def fail(self, error: ApiError) -> list[FetchEvent]:
        """Give the window up."""
        if self.done:
            return []
        self._end()
        return [FailedWindow(self.window, error)]

    def _end(self) -> None:
        """Ask for nothing more, and give back what a million ids take before their calls are landed."""
        self.done = True
        self.queued.clear()
        self._seen, self._left_out = IdSet(), set()

    def _conclude(self) -> list[FetchEvent]:
        if self.done or self._open_slices:
            return []
        if self._root.is_cut and len(self._seen) < self._distinct_total:
            further = next(self._searches, None)
            if further is None:
                return self.fail(self._incomplete())
            for part in further:
                self._begin_slice(part)
            return []
        stats = FetchStats(
            total_records=self._distinct_total,
            fetched=len(self._seen),
            duplicates=self._received - len(self._seen),
            outside_window=self._outside,
            other_model=self._other_model,
            requests=self._requests,
            closed=self._closed,
        )
        self._end()
        return [FetchedWindow(self.window, stats)]

    def _search_across_borders(self) -> Iterator[list[Slice]]:
        """Further slices to ask for, while calls are missing although every slice of the cut window is complete.

        An API that holds starts against `from_date` but ends against `to_date` lists a call that runs across the
        border of two slices in neither. So the borders are moved to the slices' middles. What is longer than half a
        slice may still run across one; such calls are few, so they are asked for by their length, in longer slices.
        """
        duration_min = 0
        while len(self._whole_slices) > 1:
            slices, self._whole_slices = sorted(self._whole_slices), []
            middles = [(from_ms + to_ms) // 2 for from_ms, to_ms in slices]
            yield [Slice(low - 1, high + 1, duration_min or None) for low, high in itertools.pairwise(middles)]
            half_ms = min(to_ms - from_ms for from_ms, to_ms in slices) // 2
            longer = half_ms // 1000 - _DURATION_SLACK_SECONDS
            if longer <= duration_min:
                return
            duration_min = longer
            self._whole_slices = []
            yield [Slice(self._root.from_ms, self._root.to_ms, duration_min)]

    def _begin_slice(self, part: Slice) -> None:
        self._open_slices += 1
        self._begin_pass(part)

    def _begin_pass(self, part: Slice) -> None:
        part.passes += 1
        part.total = part.reached = part.planned_to = 0
        # One set for both in the first pass, which nearly always is the only one.
        part.seen_this_pass, part.seen = (part.seen, part.seen) if part.passes == 1 else (set(), set(part.seen))
        # Each pass turns its pages elsewhere: calls with the same start may change places from one page to the next.
        part.limit = max(1, self._page_size * (5 - part.passes) // 4)
        self._queue(part, [0])

    def _queue(self, part: Slice, offsets: Sequence[int]) -> None:
        """Ask for pages before another slice is begun: what a slice has seen is forgotten once it is complete."""
        part.pages_open += len(offsets)
        part.planned_to = max(part.planned_to, *offsets)
        self.queued.extendleft(PageRequest(self, part, offset, part.limit) for offset in reversed(offsets))

    def _validate_total(self, part: Slice) -> None:
        """Refuse totals that do not follow the window: thinner slices would state them again, without an end.

        Raises:
            UnexpectedAnswerError: so many calls cannot be, or the slices' totals far exceed the whole's.
        """
        self._stated += part.total
        if part.total > _MOST_CALLS or self._stated > _MOST_TIMES_STATED * self._root.total + _STATED_SLACK:
            raise UnexpectedAnswerError(
                f"the API's totals do not follow the asked window ({part.total:,} calls stated, "
                f"{len(self._seen):,} came), so nobody can tell when a day is complete. Nothing of this day was landed"
            )

    def _plan_pages(self, part: Slice) -> None:
        """The first page of a pass states the total: ask for the rest, or cut the slice."""
        if part.total >= DEEPEST_OFFSET and part.to_ms - part.from_ms > _THINNEST_SLICE_MS:
            self._cut(part, -(-part.total // _SLICE_TARGET))
            return
        if part.total > part.limit:
            self._queue(part, range(part.limit, part.total, part.limit))

    def _end_pass(self, part: Slice) -> None:
        """All pages came: the slice is complete, or is asked for again, or is cut.

        Raises:
            IncompleteFetchError: nothing is left to try.
        """
        if part.is_cut:
            return
        if len(part.seen_this_pass) > part.total:
            # The API states too few. Distinct calls prove it, and rows would not: a page may repeat the one before.
            part.total = part.reached
        if len(part.seen) + sum(part.listed_again.values()) >= part.total:
            self._open_slices -= 1
            self._whole_slices.append((part.from_ms, part.to_ms))
            part.seen = part.seen_this_pass = set()
        elif part.passes < _PASSES:
            self._begin_pass(part)
        elif part.total > 1 and part.to_ms - part.from_ms > _THINNEST_SLICE_MS:
            # A slice that fits on one page is read in one moment, so no drift can touch it.
            self._cut(part, max(2, -(-part.total * 3 // self._page_size)))
        else:
            raise self._incomplete()

    def _cut(self, part: Slice, pieces: int) -> None:
        """Replace a slice by slices of equal time, which overlap by a millisecond at each side."""
        part.is_cut = True
        self._open_slices -= 1
        span = part.to_ms - part.from_ms
        pieces = min(pieces, span // 2)
        borders = [part.from_ms + span * number // pieces for number in range(pieces + 1)]
        for low, high in itertools.pairwise(borders):
            # Whatever ends are inclusive, and whichever time is filtered, the overlap leaves no gap.
            self._begin_slice(Slice(max(low - 1, part.from_ms), min(high + 1, part.to_ms), part.duration_min))

    def _validate_response(self, part: Slice, page: CallPage) -> None:
        """Refuse an answer of which most is about something else.

        Raises:
            UnexpectedAnswerError: the window was ignored, or the calls are another agent's.
        """
        own = (None, self.window.model_id)
        foreign = sum(call.model_id not in own for call in page.calls)
        if foreign > len(page.calls) // 2:
            raise UnexpectedAnswerError(
                f"asked for agent {self.window.model_id}, but most calls of the answer belong to another one. "
                "Nothing of this day was landed"
            )
        if len(page.calls) < _FEWEST_FOR_A_JUDGEMENT:
            return  # odd ones, which landing rejects one by one
        starts = [call.start_ms for call in page.calls if call.start_ms is not None]
        # A call may start long before the window that it ends in, but none starts after it.
        low, high = part.from_ms - _DAY_MS, part.to_ms + _CLOCK_SLACK_MS
        if 2 * sum(not low <= start <= high for start in starts) > len(page.calls):
            raise UnexpectedAnswerError(
                "most calls of the answer start outside of the asked window: the API seems to ignore from_date and "
                "to_date. Nothing of this day was landed; check that SYNTHFLOW_BASE_URL is Synthflow's v2 API"
            )

    def _is_odd(self, call: CallRecord) -> bool:
        """Whether the start is missing, or cannot be: landing rejects such a call, and keeps it with the reason."""
        if call.start_ms is None:
            return True
        low = self._root.from_ms - _IMPLAUSIBLE_DAYS * _DAY_MS
        return not low <= call.start_ms <= self._root.to_ms + _CLOCK_SLACK_MS

    def _new_records(self, part: Slice, calls: list[CallRecord]) -> list[CallRecord]:
        """The calls that came for the first time and belong to the window; counts all of them."""
        # A collision of hashes would show as a missing call.
        keys = [hash(call.call_id or call.raw) for call in calls]
        distinct = set(keys)
        part.seen_this_pass |= distinct
        if part.passes > 1:
            part.seen |= distinct
        if len(distinct) < len(keys):
            self._note_repeats(part, keys)
        self._received += len(calls)
        agent, start_ms, end_ms = self.window.model_id, self.window.start_ms, self.window.end_ms
        return [
            call
            for call, key, is_new in zip(calls, keys, self._seen.add(keys), strict=True)
            # Nearly all are new, of the agent and of the window, which is seen here without a call.
            if (is_new and call.model_id == agent and start_ms <= (call.start_ms or 0) < end_ms)
            or ((is_new or key in self._left_out) and self._belongs(call, key))
        ]

    def _note_repeats(self, part: Slice, keys: list[int]) -> None:
        """Note the calls that one answer lists more than once: no drift does that, so the API itself counts them so."""
        for key, times in Counter(keys).items():
            for known in (part.listed_again, self._listed_again):
                known[key] = max(known.get(key, 0), times - 1)

    def _belongs(self, call: CallRecord, key: int) -> bool:
        """Whether a call is to be landed; counts those that are not.

        One that started outside when it came may come again with its start corrected.
        """
        self._outside -= key in self._left_out
        self._left_out.discard(key)
        if call.model_id not in (None, self.window.model_id):
            self._other_model += 1
        elif self.window.start_ms <= (call.start_ms or 0) < self.window.end_ms or self._is_odd(call):
            return True
        else:
            self._outside += 1
            self._left_out.add(key)
        return False

    def _incomplete(self) -> IncompleteFetchError:
        return IncompleteFetchError(
            f"{len(self._seen):,} distinct calls came of the {self._root.total:,} that the API states, after asking "
            "again several times. Nothing of this day was landed; the earlier data is untouched. Run it again later"
        )
