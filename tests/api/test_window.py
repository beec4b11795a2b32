"""Which pages a window needs and when it is complete, against an API of plain Python lists."""

import dataclasses
import itertools
import json
import random
from collections import Counter
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from synthflow_assets.api import window as window_module
from synthflow_assets.api.events import CallWindow, FailedWindow, FetchedPage, FetchedWindow
from synthflow_assets.api.pages import CallPage, CallRecord
from synthflow_assets.api.window import PageRequest, WindowFetch
from synthflow_assets.errors import (
    ApiError,
    AuthenticationError,
    BadRequestError,
    IncompleteFetchError,
    NotFoundError,
    ServerError,
    UnexpectedResponseError,
)
from synthflow_assets.interfaces import FetchResult

START, END = 1_773_100_800_000, 1_773_187_200_000  # 2026-03-10 in UTC, in epoch milliseconds
SECOND, HOUR, DAY = 1_000, 3_600_000, 86_400_000
WINDOW = CallWindow("m", START, END)

Respond = Callable[[PageRequest], CallPage]


@dataclasses.dataclass(frozen=True)
class Call:
    id: str
    start_ms: int | None
    end_ms: int = 0
    model_id: str | None = "m"
    duration_seconds: int | None = None  # as the API states it; the time between start and end unless given
    created_ms: int | None = None  # or scheduled for; the start unless given

    @property
    def record(self) -> CallRecord:
        raw = json.dumps({"call_id": self.id, "start_time": self.start_ms}).encode()
        return CallRecord(self.id or None, self.model_id, self.start_ms, raw)


@dataclasses.dataclass(frozen=True)
class Api:
    """A well-behaved API, under one reading of what its window means."""

    calls: list[Call]
    filters: str = "start"
    includes_begin: bool = True
    includes_end: bool = False

    def select(self, request: PageRequest) -> list[Call]:
        low, high = request.slice.from_ms, request.slice.to_ms
        chosen = []
        for call in self.calls:
            start = call.start_ms or 0
            times = {
                "start": start,
                "end": call.end_ms,
                "creation": start if call.created_ms is None else call.created_ms,
            }
            first = times["start" if self.filters == "start_and_end" else self.filters]
            last = times["end" if self.filters == "start_and_end" else self.filters]
            after = first >= low if self.includes_begin else first > low
            before = last <= high if self.includes_end else last < high
            seconds = call.duration_seconds or (call.end_ms - (call.start_ms or 0)) // SECOND
            if after and before and seconds >= (request.slice.duration_min or 0):
                chosen.append(call)
        return chosen

    def __call__(self, request: PageRequest) -> CallPage:
        calls = self.select(request)
        return page(calls[request.offset : request.offset + request.limit], len(calls))


READINGS = list(itertools.product(["start", "end", "start_and_end", "creation"], [True, False], [True, False]))


def page(calls: Iterable[Call], total: int) -> CallPage:
    return CallPage(total, [call.record for call in calls])


def fetch(
    respond: Respond, *, margin_ms: int = HOUR, page_size: int = 100, window: CallWindow = WINDOW, most: int = 5_000
) -> tuple[list[str], FetchResult | ApiError, list[PageRequest]]:
    """The ids that came, how the window ended, and the requests."""
    state = WindowFetch(window, margin_ms, page_size, now_ms=END + DAY)
    ids: list[str] = []
    requests: list[PageRequest] = []
    while state.pending_requests:
        assert len(requests) < most, "no end"
        requests.append(state.pending_requests.popleft())
        try:
            events = state.handle_page(requests[-1], respond(requests[-1]))
        except ApiError as error:
            events = state.handle_error(error, requests[-1])
        for event in events:
            if isinstance(event, FetchedPage):
                assert event.records
                ids += [str(record.call_id) for record in event.records]
            else:
                assert not state.pending_requests
                assert isinstance(event, (FetchedWindow, FailedWindow))
                return ids, event.result if isinstance(event, FetchedWindow) else event.error, requests
    raise AssertionError("the window has no end")


def result_of(respond: Respond, **options: int) -> FetchResult:
    _, end, _ = fetch(respond, **options)
    assert isinstance(end, FetchResult), end
    return end


def error_of(respond: Respond, **options: int) -> ApiError:
    _, end, _ = fetch(respond, **options)
    assert isinstance(end, ApiError), end
    return end


def calls_between(count: int, from_ms: int = START, to_ms: int = END, seconds: int = 30) -> list[Call]:
    """Calls at equal distances, the first at `from_ms`."""
    starts = [from_ms + (to_ms - from_ms) * number // count for number in range(count)]
    return [Call(f"c{number}", start, start + seconds * SECOND) for number, start in enumerate(starts)]


@pytest.mark.parametrize(("filters", "includes_begin", "includes_end"), READINGS)
def test_calls_in_the_first_and_last_millisecond_belong_and_those_beside_do_not(
    filters: str, includes_begin: bool, includes_end: bool
) -> None:
    edges = {"before": START - 1, "first": START, "last": END - 1, "after": END}
    calls = [
        Call(f"{name}-{length}", start, start + length, created_ms=start - length)
        for name, start in edges.items()
        for length in (0, 1, 40 * SECOND, HOUR)
    ]
    ids, result, _ = fetch(Api(calls, filters, includes_begin, includes_end))
    assert isinstance(result, FetchResult)
    assert sorted(ids) == sorted(call.id for call in calls if call.id.startswith(("first", "last")))
    assert result.outside_window == result.fetched - len(ids)


@given(data=st.data())
@hypothesis_settings(max_examples=300)
def test_any_window_under_any_reading_is_complete(data: st.DataObject) -> None:
    """Windows of a few milliseconds, where every call is at an edge, split into slices of a few milliseconds."""
    filters, includes_begin, includes_end = data.draw(st.sampled_from(READINGS), "reading")
    lengths = st.sampled_from([0, 0, 1, 5, 30])
    drawn = data.draw(st.lists(st.tuples(st.integers(-20, 40), lengths, lengths), max_size=40), "calls")
    calls = [
        Call(f"c{n}", START + start, START + start + length, created_ms=START + start - wait)
        for n, (start, length, wait) in enumerate(drawn)
    ]
    window = CallWindow("m", START, START + data.draw(st.integers(1, 30), "length"))
    with pytest.MonkeyPatch.context() as patch:
        if data.draw(st.booleans(), "split"):
            patch.setattr(window_module, "MAX_OFFSET", 6)
            patch.setattr(window_module, "SLICE_TARGET", 3)
        ids, end, _ = fetch(
            Api(calls, filters, includes_begin, includes_end),
            margin_ms=60,
            window=window,
            page_size=data.draw(st.integers(1, 10), "page size"),
        )
    wanted = sorted(call.id for call in calls if window.start_ms <= (call.start_ms or 0) < window.end_ms)
    assert len(ids) == len(set(ids))
    if isinstance(end, FetchResult):
        assert sorted(ids) == wanted
    else:
        # A call across the border of slices is in none of them; calls this short cannot be found by their length.
        assert isinstance(end, IncompleteFetchError)
        assert filters == "start_and_end"


def test_the_requests_of_a_small_window() -> None:
    _, _, [request] = fetch(Api(calls_between(99)))
    assert (request.slice.from_ms, request.slice.to_ms) == (START - HOUR - 1, END + HOUR)
    assert (request.offset, request.limit, request.slice.duration_min) == (0, 100, None)


@pytest.mark.parametrize(
    ("count", "offsets"), [(0, [0]), (99, [0]), (100, [0, 100]), (101, [0, 100]), (250, [0, 100, 200])]
)
def test_the_pages_of_a_window(count: int, offsets: list[int]) -> None:
    """A full last page does not prove the end, because the total may be capped: one more is read."""
    ids, result, requests = fetch(Api(calls_between(count)))
    assert [request.offset for request in requests] == offsets
    assert isinstance(result, FetchResult)
    assert (len(ids), result.total_records, result.fetched, result.requests) == (count, count, count, len(offsets))


@pytest.mark.parametrize(
    ("now_ms", "to_ms", "closed", "until_ms"),
    [
        (END - 1, END - 1, False, END - 1),
        (END, END, False, None),
        (END + HOUR - 1, END + HOUR - 1, False, None),
        (END + HOUR, END + HOUR, True, None),
    ],
)
def test_a_window_that_reaches_into_the_future_is_open(
    now_ms: int, to_ms: int, closed: bool, until_ms: int | None
) -> None:
    state = WindowFetch(WINDOW, HOUR, 100, now_ms)
    request = state.pending_requests.popleft()
    assert request.slice.to_ms == to_ms
    [event] = state.handle_page(request, page([], 0))
    assert isinstance(event, FetchedWindow)
    assert (event.result.closed, event.result.until_ms) == (closed, until_ms)


def test_a_window_of_tomorrow_is_still_a_valid_request() -> None:
    [request] = WindowFetch(WINDOW, HOUR, 100, START - DAY).pending_requests
    assert request.slice.from_ms < request.slice.to_ms


def test_counts() -> None:
    """One call of each kind, two of them on both of two pages."""
    kinds = [
        Call("own", START),
        Call("late", END),
        Call("other", START, model_id="x"),
        Call("anyone", START, model_id=None),
    ]
    more = [Call(f"c{number}", START + number) for number in range(8)]

    def respond(request: PageRequest) -> CallPage:
        return page([*kinds, *more] if request.offset == 0 else [kinds[0], kinds[1], Call("last", START)], 13)

    ids, result, _ = fetch(respond, page_size=12)
    assert sorted(ids) == sorted(["own", "anyone", "last", *(call.id for call in more)])
    assert result == FetchResult(
        total_records=13, fetched=13, duplicates=2, outside_window=1, other_model=1, requests=2, closed=True
    )


def test_a_call_that_starts_beyond_two_margins_is_left_to_landing() -> None:
    kept = [None, 0, START - 2 * HOUR - 1, END + 2 * HOUR]
    left_out = [START - 2 * HOUR, END + 2 * HOUR - 1]
    usual = calls_between(20)
    starts = {f"s{number}": start for number, start in enumerate([*kept, *left_out])}
    calls = [*usual, *(Call(name, start) for name, start in starts.items())]
    ids, result, _ = fetch(lambda _: page(calls, len(calls)))
    assert isinstance(result, FetchResult)
    assert {name for name in ids if name.startswith("s")} == {"s0", "s1", "s2", "s3"}
    assert result.outside_window == 2


def test_calls_without_an_id_are_told_apart_by_their_record() -> None:
    calls = [dataclasses.replace(call, id="") for call in calls_between(3)]
    assert result_of(lambda _: page(calls, 3)).fetched == 3


def test_a_call_with_a_corrected_start_is_not_lost() -> None:
    """It is first listed as a call of the next day, and when the pages are read again as one of this day."""
    others = calls_between(150)

    def respond(request: PageRequest) -> CallPage:
        moving = Call("moving", END if request.slice.passes == 1 else START)
        calls = [moving, *(others[:-1] if request.slice.passes == 1 else others)]
        return page(calls[request.offset : request.offset + request.limit], 151)

    ids, result, _ = fetch(respond)
    assert isinstance(result, FetchResult)
    assert sorted(ids) == sorted(["moving", *(call.id for call in others)])
    assert result.outside_window == 0


def test_pages_break_elsewhere_when_they_are_read_again() -> None:
    calls = calls_between(200)

    def respond(request: PageRequest) -> CallPage:
        listed = [call for call in calls if call.id != "c7" or request.slice.passes == 3]
        return page(listed[request.offset : request.offset + request.limit], 200)

    _, result, requests = fetch(respond)
    assert isinstance(result, FetchResult)
    assert list(dict.fromkeys(request.limit for request in requests)) == [100, 75, 50]


def test_if_the_last_page_is_full_the_page_after_it_is_requested_with_the_others() -> None:
    """Its response is empty. If it comes first, the other pages are still wanted."""
    api = Api(calls_between(300))
    state = WindowFetch(WINDOW, HOUR, 100, now_ms=END + DAY)
    first = state.pending_requests.popleft()
    state.handle_page(first, api(first))
    assert [request.offset for request in state.pending_requests] == [100, 200, 300]
    end = state.pending_requests.pop()
    assert state.handle_page(end, api(end)) == []
    events = []
    while state.pending_requests:
        request = state.pending_requests.popleft()
        events += state.handle_page(request, api(request))
    assert isinstance(events[-1], FetchedWindow)
    assert (events[-1].result.fetched, events[-1].result.requests) == (300, 4)


def test_calls_of_several_passes_add_up() -> None:
    """Each pass misses another call; together they are complete."""
    calls = calls_between(150)

    def respond(request: PageRequest) -> CallPage:
        listed = [call for number, call in enumerate(calls) if number != request.slice.passes]
        return page(listed[request.offset : request.offset + request.limit], 150)

    assert result_of(respond).requests == 5


def test_a_window_that_stays_short_is_read_in_slices_of_a_page_and_then_fails() -> None:
    calls = calls_between(300)

    def respond(request: PageRequest) -> CallPage:
        whole = Api(calls)(request)
        return CallPage(whole.total_records, [record for record in whole.calls if record.call_id != "c7"])

    _, error, requests = fetch(respond)
    assert isinstance(error, IncompleteFetchError)
    # The numbers of the slice that lacks a call, not of the window.
    assert str(error).startswith("received 0 distinct calls of the 1 that the API counts")
    # Pages of 100, 75 and 50, each time one more behind a full last page; then slices of a third of a page.
    assert len([request for request in requests if request.slice is requests[0].slice]) == 4 + 5 + 7
    assert max(request.slice.passes for request in requests) == 3
    text = str(error)
    received, total = (int(word) for word in text.split() if word.isdecimal())
    assert received == total - 1, text
    assert total < 100, "the numbers are the slice's own"


def test_a_short_page_is_read_again() -> None:
    calls = calls_between(140)

    def respond(request: PageRequest) -> CallPage:
        whole = Api(calls)(request)
        return CallPage(whole.total_records, whole.calls[:-1] if request.slice.passes == 1 else whole.calls)

    result = result_of(respond)
    assert (result.fetched, result.requests) == (140, 4)


def test_the_largest_total_of_a_pass_counts() -> None:
    """The second page is short and states one call less, so only the first page shows that a call is missing."""
    calls = calls_between(150)

    def respond(request: PageRequest) -> CallPage:
        whole = Api(calls)(request)
        if request.slice.passes == 1 and request.offset == 100:
            return CallPage(149, whole.calls[:-1])
        return whole

    assert result_of(respond).fetched == 150


def test_calls_that_the_api_lists_twice_in_one_response_count_twice_in_its_total() -> None:
    calls = [call for call in calls_between(150) for _ in range(2 if call.id.endswith("7") else 1)]
    result = result_of(lambda request: page(calls[request.offset : request.offset + request.limit], 165))
    assert (result.total_records, result.fetched, result.duplicates) == (150, 150, 15)


def test_a_repeated_call_that_drifts_to_the_next_page_still_counts_as_repeated() -> None:
    first = [*calls_between(10)[:9], calls_between(10)[0]]
    second = [calls_between(10)[9], calls_between(10)[9], calls_between(10)[0]]
    result = result_of(lambda request: page(second if request.offset else first, 12), page_size=10)
    assert (result.fetched, result.total_records, result.requests) == (10, 10, 2)


def test_a_call_on_two_pages_does_not_make_up_for_one_on_none() -> None:
    calls = calls_between(200)

    def respond(request: PageRequest) -> CallPage:
        listed = calls.copy()
        if request.slice.passes == 1 and request.offset == 100:
            listed[100] = listed[99]
        return page(listed[request.offset : request.offset + request.limit], 200)

    ids, result, requests = fetch(respond)
    assert len(ids) == 200
    assert isinstance(result, FetchResult)
    assert len(requests) > 3


@pytest.mark.parametrize("stated", [0, 1, 50, 100, 149])
def test_a_total_that_is_too_low_cuts_nothing_off(stated: int) -> None:
    calls = calls_between(250)
    result = result_of(lambda request: page(calls[request.offset : request.offset + request.limit], stated))
    assert (result.fetched, result.total_records) == (250, 250)


def test_an_endless_listing_is_an_error() -> None:
    """Each page is full of new calls, for any total."""
    numbers = itertools.count()

    def respond(request: PageRequest) -> CallPage:
        return page([Call(f"c{next(numbers)}", START) for _ in range(request.limit)], 0)

    _, error, requests = fetch(respond)
    assert isinstance(error, UnexpectedResponseError)
    assert "totals do not follow the requested window" in str(error)
    assert len(requests) == 1_001


def test_an_api_that_ignores_the_offset_ends() -> None:
    """A page of calls that are all known must not lead to a further page."""
    calls = calls_between(100)
    _, error, requests = fetch(lambda _: page(calls, 100))
    assert isinstance(error, FetchResult)
    assert [request.offset for request in requests] == [0, 100]


def test_big_windows_are_split_so_that_no_offset_is_deep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window_module, "MAX_OFFSET", 300)
    monkeypatch.setattr(window_module, "SLICE_TARGET", 200)
    ids, result, requests = fetch(Api(calls_between(1_000)))
    assert isinstance(result, FetchResult)
    assert len(ids) == 1_000
    assert max(request.offset for request in requests) < 300
    # Five slices of 200 calls: two pages each, a third where the second is full, and the first look at the whole.
    slices = {(request.slice.from_ms, request.slice.to_ms) for request in requests[1:]}
    assert len(slices) == 5
    # Neighbours overlap by two milliseconds, and the slices cover the whole.
    borders = sorted(slices)
    assert [high - low for (_, high), (low, _) in itertools.pairwise(borders)] == [2] * 4
    assert (borders[0][0], borders[-1][1]) == (START - HOUR - 1, END + HOUR)
    assert len(requests) <= 1 + 5 * 3


def test_a_total_just_below_the_limit_is_not_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window_module, "MAX_OFFSET", 300)
    monkeypatch.setattr(window_module, "SLICE_TARGET", 150)
    _, _, requests = fetch(Api(calls_between(299)))
    assert {request.slice is requests[0].slice for request in requests} == {True}
    _, _, requests = fetch(Api(calls_between(300)))
    assert {request.slice is requests[0].slice for request in requests} == {True, False}


@pytest.mark.parametrize("seconds", [30, 1_000, 5_000, 40_000])
def test_calls_across_the_borders_of_slices_are_found(monkeypatch: pytest.MonkeyPatch, seconds: int) -> None:
    """The API filters the start by from_date and the end by to_date, so it lists such a call in no slice."""
    monkeypatch.setattr(window_module, "MAX_OFFSET", 100)
    monkeypatch.setattr(window_module, "SLICE_TARGET", 50)
    long = [
        Call(f"long{n}", call.start_ms, (call.start_ms or 0) + seconds * SECOND)
        for n, call in enumerate(calls_between(20))
    ]
    calls = [*calls_between(300), *long]
    ids, result, _ = fetch(Api(calls, "start_and_end"), margin_ms=12 * HOUR)
    assert isinstance(result, FetchResult), result
    assert sorted(ids) == sorted(call.id for call in calls)


@pytest.mark.parametrize("longer_ms", [-1_000, 5_000, 60_000])
def test_a_call_across_the_old_and_the_new_border_is_found_by_its_duration(
    monkeypatch: pytest.MonkeyPatch, longer_ms: int
) -> None:
    """It is about half a slice long, starts just before a border, and its duration is stated 29 s too short."""
    monkeypatch.setattr(window_module, "MAX_OFFSET", 100)
    monkeypatch.setattr(window_module, "SLICE_TARGET", 50)
    _, _, requests = fetch(Api(calls_between(300), "start_and_end"))
    slices = sorted({(one.slice.from_ms, one.slice.to_ms) for one in requests[1:]})
    half_ms = (slices[2][1] - slices[2][0]) // 2 + longer_ms
    start_ms = slices[2][0] - 2 * SECOND
    long = Call("long", start_ms, start_ms + half_ms, duration_seconds=half_ms // SECOND - 29)
    ids, result, _ = fetch(Api([*calls_between(299), long], "start_and_end"))
    assert isinstance(result, FetchResult), result
    assert "long" in ids


def test_the_limits_of_offsets_and_slices() -> None:
    for total, requests in ((9_999, 99), (10_000, 2), (20_001, 5)):
        state = WindowFetch(WINDOW, HOUR, 100, END + DAY)
        state.handle_page(state.pending_requests.popleft(), page(calls_between(100), total))
        assert len(state.pending_requests) == requests


def test_slices_are_completed_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a slice has seen is in memory until it is complete."""
    monkeypatch.setattr(window_module, "MAX_OFFSET", 300)
    monkeypatch.setattr(window_module, "SLICE_TARGET", 200)
    _, _, requests = fetch(Api(calls_between(1_000)))
    order = [id(request.slice) for request in requests]
    assert len(list(itertools.groupby(order))) == len(set(order))


def test_the_first_requests_are_the_first_pages() -> None:
    state = WindowFetch(WINDOW, HOUR, 100, END + DAY)
    state.handle_page(
        state.pending_requests.popleft(), Api(calls_between(350))(PageRequest(state, state._root, 0, 100))
    )
    assert [request.offset for request in state.pending_requests] == [100, 200, 300]
    assert state.pages_left == 3


@pytest.mark.parametrize(
    ("own", "foreign", "refused"), [(0, 1, True), (1, 1, False), (1, 2, True), (50, 50, False), (49, 51, True)]
)
def test_a_page_of_another_agent_is_refused(own: int, foreign: int, refused: bool) -> None:
    calls = calls_between(own + foreign)
    calls = [*calls[:own], *(dataclasses.replace(call, model_id="x") for call in calls[own:])]
    _, end, _ = fetch(lambda _: page(calls, len(calls)))
    if refused:
        assert isinstance(end, UnexpectedResponseError)
        assert "another agent than m" in str(end)
    else:
        assert isinstance(end, FetchResult)
        assert (end.fetched, end.other_model) == (own + foreign, foreign)


def test_calls_that_name_no_agent_are_the_windows() -> None:
    calls = [dataclasses.replace(call, model_id=None) for call in calls_between(20)]
    result = result_of(lambda _: page(calls, 20))
    assert (result.fetched, result.other_model) == (20, 0)


@pytest.mark.parametrize(
    ("inside", "starts", "refused"),
    [
        (2, [END + 8 * DAY] * 3, True),
        (3, [END + 8 * DAY] * 3, False),
        (0, [END + 8 * DAY] * 4, False),  # too few to judge
        (0, [END + 8 * DAY] * 5, True),
        (0, [START - HOUR - 1 - 7 * DAY - 1] * 5, True),
        (0, [START - HOUR - 1 - 7 * DAY] * 5, False),  # the scheduled start may be days before the real one
        (0, [END + HOUR + 7 * DAY] * 5, False),
        (0, [END + HOUR + 7 * DAY + 1] * 5, True),
        (0, [None] * 5, False),
    ],
)
def test_a_page_of_another_window_is_refused(inside: int, starts: list[int | None], refused: bool) -> None:
    calls = [*calls_between(inside or 1)[:inside], *(Call(f"s{n}", start) for n, start in enumerate(starts))]
    _, end, _ = fetch(lambda _: page(calls, len(calls)))
    assert isinstance(end, UnexpectedResponseError) is refused
    assert ("ignore from_date" in str(end)) is refused


@pytest.mark.parametrize("total", [50_000_001, 10**12])
def test_an_impossible_total_is_refused_at_once(total: int) -> None:
    _, error, requests = fetch(lambda _: page([], total))
    assert isinstance(error, UnexpectedResponseError)
    assert "totals do not follow the requested window" in str(error)
    assert len(requests) == 1


def test_a_possible_total_is_not_refused() -> None:
    state = WindowFetch(WINDOW, HOUR, 100, END + DAY)
    assert state.handle_page(state.pending_requests.popleft(), page([], 50_000_000)) == []
    assert len(state.pending_requests) == 10_000


@pytest.mark.parametrize("total", [150, 5_000, 20_000, 10**6])
def test_totals_that_do_not_follow_the_slices_are_refused_soon(total: int) -> None:
    """The thinnest slice states all calls as well, and lists none, or the same few."""
    for calls in ([], calls_between(49)):
        _, error, requests = fetch(lambda _: page(calls, total))  # noqa: B023
        assert isinstance(error, (UnexpectedResponseError, IncompleteFetchError))
        assert len(requests) < 50


def refuse_deep(respond: Respond, limit: int) -> Respond:
    """The API, but it refuses offsets from `limit` on."""

    def refuse(request: PageRequest) -> CallPage:
        if request.offset >= limit:
            raise BadRequestError("x")
        return respond(request)

    return refuse


@given(data=st.data())
@hypothesis_settings(max_examples=100)
def test_no_call_is_lost_with_any_limit_of_offsets(data: st.DataObject) -> None:
    """For any limit and page size, the window is complete, or fails because one page cannot be split."""
    filters, includes_begin, includes_end = data.draw(st.sampled_from(READINGS), "reading")
    starts = data.draw(st.lists(st.integers(0, 86_399), max_size=120), "starts in seconds")
    calls = [
        Call(f"c{n}", START + start * SECOND, START + (start + 30) * SECOND, created_ms=START + (start - 60) * SECOND)
        for n, start in enumerate(starts)
    ]
    respond = refuse_deep(Api(calls, filters, includes_begin, includes_end), data.draw(st.integers(1, 40), "limit"))
    ids, end, requests = fetch(respond, page_size=data.draw(st.integers(2, 20), "page size"))
    assert len(ids) == len(set(ids))
    if isinstance(end, FetchResult):
        assert sorted(ids) == sorted(call.id for call in calls)
        assert end.requests == len(requests)
    else:
        # Calls of the same second and more than a page, or a call across the borders of slices.
        assert max(Counter(starts).values()) > 1 or filters == "start_and_end", end


@pytest.mark.parametrize("error", [BadRequestError("x"), NotFoundError("x")])
def test_a_first_page_that_is_refused_fails_the_window(error: ApiError) -> None:
    state = WindowFetch(WINDOW, HOUR, 100, END + DAY)
    [event] = state.handle_error(error, state.pending_requests.popleft())
    assert isinstance(event, FailedWindow)


@pytest.mark.parametrize("error", [ServerError("x"), UnexpectedResponseError("x"), AuthenticationError("x")])
def test_any_other_error_at_a_deep_offset_fails_the_window(error: ApiError) -> None:
    state = WindowFetch(WINDOW, HOUR, 100, END + DAY)
    first = state.pending_requests.popleft()
    state.handle_page(first, Api(calls_between(350))(first))
    [event] = state.handle_error(error, state.pending_requests.popleft())
    assert isinstance(event, FailedWindow)


def test_an_error_ends_the_window_once() -> None:
    state = WindowFetch(WINDOW, HOUR, 100, END + DAY)
    first = state.pending_requests.popleft()
    state.handle_page(first, Api(calls_between(350))(first))
    late = state.pending_requests.popleft()
    [event] = state.handle_error(ServerError("x"))
    assert isinstance(event, FailedWindow)
    assert (state.done, list(state.pending_requests)) == (True, [])
    assert state.handle_error(ServerError("y")) == []
    assert state.handle_page(late, Api(calls_between(350))(late)) == []


@pytest.mark.parametrize("seed", range(20))
def test_pages_may_come_back_in_any_order(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Several connections finish in any order, and pages of a slice that was split meanwhile still come."""
    monkeypatch.setattr(window_module, "MAX_OFFSET", 300)
    monkeypatch.setattr(window_module, "SLICE_TARGET", 150)
    shuffle, calls = random.Random(seed), calls_between(700)
    state, in_flight, ids = WindowFetch(WINDOW, HOUR, 50, END + DAY), [], []
    while not state.done:
        while state.pending_requests and len(in_flight) < 8:
            in_flight.append(state.pending_requests.popleft())
        request = in_flight.pop(shuffle.randrange(len(in_flight)))
        response = Api(calls)(request)
        if request.slice.passes == 1 and shuffle.random() < 0.2:
            response = CallPage(response.total_records, response.calls[:-1])
        for event in state.handle_page(request, response):
            if isinstance(event, FetchedPage):
                ids += [record.call_id for record in event.records]
            else:
                assert isinstance(event, FetchedWindow)
    assert sorted(ids) == sorted(call.id for call in calls)
