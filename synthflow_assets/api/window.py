"""Decide which pages a window needs, and when it is complete.

Three problems are solved here:

* **Unknown filters.** The API's reference does not specify which time of a call its window filters: the start, end,
  creation or scheduled start. It also leaves open whether the ends of the window are inclusive. So the requested window
  begins a margin and a millisecond early and ends a margin late, and calls are selected by their own start. A call is
  listed if the filtered time and the start are at most a margin apart. A start more than two margins away may be the
  scheduled one, and the window of its own day may not list the call; landing decides about it. The ids of calls that
  start nearer are reported, so that loading can find those that their own day does not list.
* **Drift.** Offsets shift while new calls arrive. So the number of distinct calls is compared with the API's total. If
  calls are missing, the pages are read again, then in thinner slices of time. If calls are still missing, the window
  fails. Duplicates within one response are legitimate, because the API counts both. A call on two pages proves nothing:
  another call may be on neither of them.
* **Deep offsets.** A window with `MAX_OFFSET` calls or more is split into slices of time. So the cost grows with the
  number of calls, not with its square. If the API refuses a smaller offset, its slices are thinner.

Nothing is requested here. `WindowFetch.pending_requests` holds what to request next, and `handle_page` takes the
responses.
"""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from synthflow_assets.api.events import CallWindow, FailedWindow, FetchedPage, FetchedWindow, FetchEvent
from synthflow_assets.api.ids import IdSet
from synthflow_assets.api.pages import MAX_PAGE_SIZE, CallPage, CallRecord, names_two_agents
from synthflow_assets.errors import (
    AccessDeniedError,
    ApiError,
    BadRequestError,
    IncompleteFetchError,
    NotFoundError,
    UnexpectedResponseError,
)
from synthflow_assets.interfaces import FetchResult
from synthflow_assets.texts import one_line

MAX_OFFSET = 10_000
SLICE_TARGET = 5_000  # calls; slices have equal length, so the busiest holds a few times as many
MAX_PASSES = 3  # over the pages of a slice, before it is split
_MIN_SLICE_MS = 3
_DAY_MS = 86_400_000
_MAX_CALLS = 50_000_000  # in one window of one agent
# Splitting a slice adds its total once more. A sum of totals far beyond the window's own total shows that the totals do
# not follow the window.
_MAX_TOTAL_RATIO, _TOTAL_SLACK = 20, 400
# A total may be capped, for example at 10,000, so pages are read beyond it. This limit stops an endless listing.
_MAX_CALLS_RATIO, _CALLS_SLACK = 1_000, 100
# Calls may start this far from the requested window, for example because their start_time is the scheduled start.
_MAX_SCHEDULE_MS = 7 * _DAY_MS
_MIN_CALLS_TO_JUDGE = 5  # calls of a page
_DURATION_SLACK_SECONDS = 30  # how far a call's `duration` may be from the time between its start and end
_WRONG_ADDRESS = "check that SYNTHFLOW_BASE_URL is Synthflow's v2 API"


@dataclass
class Slice:
    """A slice of the requested window, and the state of its pages."""

    from_ms: int
    to_ms: int
    duration_min: int | None = None  # only calls of at least this many seconds
    is_split: bool = False  # replaced by thinner slices
    passes: int = 0
    seen: set[int] = field(default_factory=set)  # hashes of the ids received in all passes
    # How often each call is repeated within one response, over all passes, by the hash of its id.
    repeats: dict[int, int] = field(default_factory=dict)
    # Of the current pass:
    page_size: int = MAX_PAGE_SIZE
    states_total: bool = True
    pages_pending: int = 0
    deepest_offset: int = 0  # requested
    rows: int = 0  # up to the last call received
    total: int = 0  # the largest that a page stated
    seen_this_pass: set[int] = field(default_factory=set)

    @property
    def distinct_total(self) -> int:
        """The API's total without the repeated calls."""
        return self.total - sum(self.repeats.values())

    @property
    def can_be_split(self) -> bool:
        """Whether the slice is long enough for thinner slices."""
        return self.to_ms - self.from_ms > _MIN_SLICE_MS


@dataclass(frozen=True)
class PageRequest:
    """A page to request."""

    fetch: WindowFetch
    slice: Slice
    offset: int
    limit: int


class WindowFetch:
    """The state of fetching one window.

    Args:
        window: the calls to fetch.
        margin_ms: how far the requested window reaches before the window's start and past its end.
        page_size: calls in a page, 1 to 100.
        now_ms: the present, in epoch milliseconds.
    """

    def __init__(self, window: CallWindow, margin_ms: int, page_size: int, now_ms: int) -> None:
        self.window = window
        self.done = False
        self.pending_requests: deque[PageRequest] = deque()
        self._margin_ms = margin_ms
        self._page_size = page_size
        self._offset_limit = MAX_OFFSET
        # One millisecond earlier, in case the start of the API's window is exclusive.
        from_ms, to_ms = window.start_ms - margin_ms - 1, window.end_ms + margin_ms
        self._closed = to_ms <= now_ms
        self._until_ms = now_ms if now_ms < window.end_ms else None
        # Not into the future: a window that ends in the past does not grow while its pages are read.
        self._root = Slice(from_ms, max(from_ms + 1, min(to_ms, now_ms)))
        self._open_slices = 0
        self._sum_of_totals = 0
        self._complete_slices: list[tuple[int, int]] = []  # from_ms and to_ms, since the last search across borders
        self._searches = self._search_across_borders()
        self._seen = IdSet()
        self._repeats: dict[int, int] = {}
        # Ids and starts of calls that start outside the window, by the hash of the id.
        self._outside: dict[int, tuple[str, int]] = {}
        self._received = self._other_model = self._requests = 0
        self._start_slice(self._root)

    @property
    def total(self) -> int:
        """Number of calls, by the API's total or as received; 0 before the first page."""
        return max(self._root.total, len(self._seen))

    @property
    def pages_left(self) -> int:
        """Number of pages still to request, by the totals known so far."""
        if not self._root.is_split:
            return len(self.pending_requests)
        return max(len(self.pending_requests), (self._root.total - len(self._seen)) // self._page_size)

    def handle_page(self, request: PageRequest, page: CallPage) -> list[FetchEvent]:
        """Account for a page, and return the events that follow from it."""
        self._requests += 1
        part = request.slice
        if self.done:
            return []
        try:
            self._validate_page(part, page)
            seen_before = len(part.seen_this_pass)
            records = self._new_records(part, page.calls)
            rows = request.offset + len(page.calls)
            is_full = len(page.calls) == request.limit
            has_new_calls = len(part.seen_this_pass) > seen_before
            part.total = max(part.total, page.total_records)
            part.states_total &= page.states_total
            if len(self._seen) > _MAX_CALLS_RATIO * (max(self._root.total, page.total_records) + _CALLS_SLACK):
                raise self._totals_error(part)
            part.rows = max(part.rows, rows)
            part.pages_pending -= 1
            if request.offset == 0:
                self._validate_total(part)
                self._request_rest(part)
            is_last = rows >= page.total_records and rows > part.deepest_offset and not part.is_split
            if is_last and is_full and has_new_calls:
                # The last page is full, so the total may be capped or wrong. Read on until a page is not full.
                self._request_pages(part, [rows])
            elif not has_new_calls and request.offset < part.total:
                self._drop_requests(part)
            if part.pages_pending == 0 and not part.is_split:
                self._finish_pass(part)
        except ApiError as error:
            return self.handle_error(error)
        events: list[FetchEvent] = [FetchedPage(self.window, records)] if records else []
        return events + self._finish()

    def handle_error(self, error: ApiError, request: PageRequest | None = None) -> list[FetchEvent]:
        """Split the slice if the API refuses its offset; otherwise give up the window. Return the events that follow.

        Args:
            error: why there is no page.
            request: the request that failed; None if the error concerns the window.
        """
        if self.done:
            return []
        if request is not None and self.can_avoid(error, request):
            self._requests += 1
            self._offset_limit = min(self._offset_limit, request.offset)
            if not request.slice.is_split:
                self._drop_requests(request.slice)
                self._split_by_total(request.slice)
            return []
        self._close()
        return [FailedWindow(self.window, error)]

    def can_avoid(self, error: ApiError, request: PageRequest) -> bool:
        """Return whether thinner slices avoid the error: the API refused an offset, and the slice can be split."""
        is_refusal = isinstance(error, (BadRequestError, AccessDeniedError, NotFoundError))
        return is_refusal and request.offset > 0 and (request.slice.is_split or request.slice.can_be_split)

    def _finish(self) -> list[FetchEvent]:
        """Return the final event if all slices are complete."""
        if self.done or self._open_slices:
            return []
        total = self._root.total - sum(self._repeats.values())
        if self._root.is_split and len(self._seen) < total:
            slices = next(self._searches, None)
            if slices is None:
                return self.handle_error(_incomplete(len(self._seen), total))
            for part in slices:
                self._start_slice(part)
            return []
        result = FetchResult(
            total_records=total,
            fetched=len(self._seen),
            duplicates=self._received - len(self._seen),
            outside_window=len(self._outside),
            other_model=self._other_model,
            requests=self._requests,
            closed=self._closed,
            until_ms=self._until_ms,
            states_total=self._root.states_total,
        )
        outside = [found for found in self._outside.values() if found[0]]
        self._close()
        return [FetchedWindow(self.window, result, outside)]

    def _close(self) -> None:
        self.done = True
        self.pending_requests.clear()
        # There may be millions of ids, and this object may live longer.
        self._seen, self._outside = IdSet(), {}

    def _search_across_borders(self) -> Iterator[list[Slice]]:
        """Yield further slices to read, while calls are missing although every slice is complete.

        If the API compares starts with `from_date` but ends with `to_date`, no slice lists a call that runs across the
        border of two slices. So the borders are moved to the middles of the slices. A call longer than half a slice may
        still run across a border; such calls are few, so they are read by their duration, in longer slices.
        """
        duration_min = 0
        while len(self._complete_slices) > 1:
            slices, self._complete_slices = sorted(self._complete_slices), []
            middles = [(from_ms + to_ms) // 2 for from_ms, to_ms in slices]
            yield [Slice(low - 1, high + 1, duration_min or None) for low, high in itertools.pairwise(middles)]
            shortest_half_ms = min(to_ms - from_ms for from_ms, to_ms in slices) // 2
            longer = shortest_half_ms // 1000 - _DURATION_SLACK_SECONDS
            if longer <= duration_min:
                return
            duration_min = longer
            self._complete_slices = []
            yield [Slice(self._root.from_ms, self._root.to_ms, duration_min)]

    def _start_slice(self, part: Slice) -> None:
        self._open_slices += 1
        self._start_pass(part)

    def _start_pass(self, part: Slice) -> None:
        part.passes += 1
        part.total = part.rows = part.deepest_offset = 0
        part.states_total = True
        part.seen_this_pass = set()
        # Each pass has another page size, so that its pages break elsewhere: calls with the same start may change
        # places between two pages.
        part.page_size = max(1, self._page_size * (5 - part.passes) // 4)
        self._request_pages(part, [0])

    def _request_pages(self, part: Slice, offsets: Sequence[int]) -> None:
        part.pages_pending += len(offsets)
        part.deepest_offset = max(part.deepest_offset, *offsets)
        # In front, so that a slice is complete and its memory free before the next one starts.
        requests = [PageRequest(self, part, offset, part.page_size) for offset in offsets]
        self.pending_requests.extendleft(reversed(requests))

    def _request_rest(self, part: Slice) -> None:
        """Request the pages after the first of a pass, which states the total; or split the slice."""
        if part.total >= self._offset_limit and part.can_be_split:
            self._split_by_total(part)
        elif part.total >= part.page_size:
            # If the last page is full, the one after it as well, which shows that the total is not capped.
            self._request_pages(part, range(part.page_size, part.total + 1, part.page_size))

    def _drop_requests(self, part: Slice) -> None:
        """Drop the other pages of a pass: if the offset is ignored or the total is wrong, they may be 500,000."""
        kept = [request for request in self.pending_requests if request.slice is not part]
        part.pages_pending -= len(self.pending_requests) - len(kept)
        self.pending_requests = deque(kept)

    def _finish_pass(self, part: Slice) -> None:
        """Complete the slice, read it again, or split it.

        Raises:
            IncompleteFetchError: calls are missing, and nothing is left to try.
        """
        if len(part.seen_this_pass) > part.total:
            # The total is too low. Only distinct calls prove it: a page may repeat the page before.
            part.total = part.rows
        # "No calls" without a total is accepted only if the API repeats it, because it may come from a gateway.
        if len(part.seen) >= part.distinct_total and (part.states_total or part.passes > 1):
            self._open_slices -= 1
            self._complete_slices.append((part.from_ms, part.to_ms))
        elif part.passes < MAX_PASSES:
            self._start_pass(part)
        elif part.total > 1 and part.can_be_split:
            # So thin that each slice fits on one page, which no drift affects.
            self._split(part, max(2, -(-part.total * 3 // self._page_size)))
        else:
            raise _incomplete(len(part.seen), part.distinct_total)

    def _split_by_total(self, part: Slice) -> None:
        """Replace a slice with slices that need no large offsets."""
        target = SLICE_TARGET
        if self._offset_limit < MAX_OFFSET:
            target = min(target, max(1, self._offset_limit // 2))
        self._split(part, max(2, -(-part.total // target)))

    def _split(self, part: Slice, pieces: int) -> None:
        """Replace a slice by slices of equal length, which overlap by a millisecond at each side."""
        part.is_split = True
        self._open_slices -= 1
        length_ms = part.to_ms - part.from_ms
        pieces = min(pieces, length_ms // 2)
        borders = [part.from_ms + length_ms * number // pieces for number in range(pieces + 1)]
        for low, high in itertools.pairwise(borders):
            # The overlap leaves no gap, whichever ends are inclusive and whichever time the API filters.
            self._start_slice(Slice(max(low - 1, part.from_ms), min(high + 1, part.to_ms), part.duration_min))

    def _validate_page(self, part: Slice, page: CallPage) -> None:
        """Refuse a page if most of its calls were not requested.

        Raises:
            UnexpectedResponseError: the API ignored the window or the agent.
        """
        expected = (None, self.window.model_id)
        if 2 * sum(call.model_id not in expected for call in page.calls) > len(page.calls):
            agent = one_line(self.window.model_id)
            raise UnexpectedResponseError(
                f"most calls of the response belong to another agent than {agent}; {_WRONG_ADDRESS}"
            )
        if len(page.calls) < _MIN_CALLS_TO_JUDGE:
            return  # landing rejects single calls with a wrong start
        starts = [call.start_ms for call in page.calls if call.start_ms is not None]
        low, high = part.from_ms - _MAX_SCHEDULE_MS, part.to_ms + _MAX_SCHEDULE_MS
        if 2 * sum(not low <= start <= high for start in starts) > len(page.calls):
            raise UnexpectedResponseError(
                "most calls of the response start outside the requested window, so the API seems to ignore from_date "
                f"and to_date; {_WRONG_ADDRESS}"
            )

    def _validate_total(self, part: Slice) -> None:
        """Refuse totals that do not follow the window: thinner slices would state them again without end.

        Raises:
            UnexpectedResponseError: a total is impossible, or the slices' totals far exceed the window's.
        """
        self._sum_of_totals += part.total
        limit = _MAX_TOTAL_RATIO * self._root.total + _TOTAL_SLACK
        if part.total > _MAX_CALLS or self._sum_of_totals > limit:
            raise self._totals_error(part)

    def _totals_error(self, part: Slice) -> UnexpectedResponseError:
        stated = f"{part.total:,}" if part.total <= _MAX_CALLS else f"more than {_MAX_CALLS:,}"
        return UnexpectedResponseError(
            f"the API's totals do not follow the requested window ({stated} calls stated, "
            f"{len(self._seen):,} received), so completeness cannot be verified; {_WRONG_ADDRESS}"
        )

    def _new_records(self, part: Slice, calls: list[CallRecord]) -> list[CallRecord]:
        """Count the calls of a page, and return those that are new and wanted."""
        # If two ids had the same hash, a call would be missing and the window would fail.
        keys = [hash(call.call_id or call.raw) for call in calls]
        distinct = set(keys)
        part.seen |= distinct
        part.seen_this_pass |= distinct
        if len(distinct) < len(keys):
            self._count_repeats(part, keys)
        self._received += len(calls)
        return [
            call
            for call, key, is_new in zip(calls, keys, self._seen.add(keys), strict=True)
            # A call outside the window may come again with a corrected start.
            if (is_new or key in self._outside) and self._is_wanted(call, key)
        ]

    def _count_repeats(self, part: Slice, keys: list[int]) -> None:
        """Count calls that one response lists more than once. Drift cannot cause that, so the total includes them."""
        for key, count in Counter(keys).items():
            for repeats in (part.repeats, self._repeats):
                repeats[key] = max(repeats.get(key, 0), count - 1)

    def _is_wanted(self, call: CallRecord, key: int) -> bool:
        """Return whether the call belongs to the window; count it if not."""
        self._outside.pop(key, None)
        # Landing rejects a record that names two agents.
        if call.model_id not in (None, self.window.model_id) and not names_two_agents(call.raw):
            self._other_model += 1
            return False
        start_ms, window = call.start_ms, self.window
        if start_ms is None or window.start_ms <= start_ms < window.end_ms or call.call_id in window.strays:
            return True
        # The window was requested with a margin. If a call starts more than two margins away, its start and the
        # filtered time are more than a margin apart. Then the window of its own day may not list it. Landing assigns it
        # to that day, or rejects it.
        reach_ms = 2 * self._margin_ms
        if not window.start_ms - reach_ms <= start_ms < window.end_ms + reach_ms:
            return True
        self._outside[key] = call.call_id or "", start_ms
        return False


def _incomplete(received: int, total: int) -> IncompleteFetchError:
    return IncompleteFetchError(
        f"received {received:,} distinct calls of the {total:,} that the API counts, after several attempts; "
        "run it again later"
    )
