"""A window has exactly the calls that started in it, under every reading of the API and every fault."""

import collections
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from synthflow_assets.api import fetch as fetch_module
from synthflow_assets.api import window as window_module
from synthflow_assets.api.client import SynthflowClient
from synthflow_assets.api.concurrency import ConcurrencyLimit
from synthflow_assets.api.events import CallWindow, FailedWindow, FetchedPage, FetchedWindow, FetchProgress
from synthflow_assets.api.fetch import fetch_windows
from synthflow_assets.api.pages import CallPage, CallRecord
from synthflow_assets.errors import (
    AccessDeniedError,
    ApiError,
    AuthenticationError,
    BadRequestError,
    ClientClosedError,
    ConnectionFailedError,
    IncompleteFetchError,
    MalformedResponseError,
    NotFoundError,
    ServerError,
    UnexpectedResponseError,
    UnknownHostError,
)
from synthflow_assets.interfaces import FetchResult
from synthflow_assets.sandbox.config import DEFAULT_API_KEY, SandboxConfig
from synthflow_assets.sandbox.server import Sandbox
from tests.api.servers import agents_page, page, serving

StartSandbox = Callable[..., Sandbox]
DAY_START_MS, HOUR_MS = 1_773_100_800_000, 3_600_000  # 2026-03-10 in UTC
DAY_MS = 24 * HOUR_MS


def day_of(model_id: str, days: int = 0) -> CallWindow:
    return CallWindow(model_id, DAY_START_MS + days * DAY_MS, DAY_START_MS + (days + 1) * DAY_MS)


def fetch(
    sandbox: Sandbox,
    windows: Sequence[CallWindow],
    *,
    margin_seconds: int = 3600,
    page_size: int = 100,
    agents_are_listed: bool = False,
    **options: Any,
) -> tuple[dict[CallWindow, list[str]], dict[CallWindow, FetchResult | Exception]]:
    """Return the ids of each window's calls, and how each window ended."""
    ids: dict[CallWindow, list[str]] = collections.defaultdict(list)
    ends: dict[CallWindow, FetchResult | Exception] = {}
    with SynthflowClient(DEFAULT_API_KEY, sandbox.url) as client:
        if agents_are_listed:
            client.list_agents()
        for event in fetch_windows(client, windows, margin_seconds=margin_seconds, page_size=page_size, **options):
            if isinstance(event, FetchProgress):
                continue
            assert event.window not in ends, "nothing comes after a window's end"
            if isinstance(event, FetchedPage):
                ids[event.window] += [str(record.call_id) for record in event.records]
            else:
                ends[event.window] = event.result if isinstance(event, FetchedWindow) else event.error
    return ids, ends


def assert_exact(sandbox: Sandbox, windows: Sequence[CallWindow], **options: Any) -> list[FetchResult]:
    ids, ends = fetch(sandbox, windows, **options)
    for window in windows:
        stats = ends[window]
        assert isinstance(stats, FetchResult), stats
        expected = sandbox.api.store.ids_between(window.model_id, window.start_ms, window.end_ms)
        assert sorted(ids[window]) == sorted(expected)  # sorted lists: nothing missing, nothing twice
        assert stats.fetched == len(ids[window]) + stats.outside_window + stats.other_model
    return [stats for stats in ends.values() if isinstance(stats, FetchResult)]


FILTERS = ["start", "end", "start_and_end", "creation", "scheduled_start"]
EMPTY_FORMS = [
    "no_calls_null", "no_calls_without_pagination", "no_calls_without_response", "no_calls_204", "no_calls_404",
    "no_calls_400", "no_calls_object", "no_calls_list", "no_calls_message",
]  # fmt: skip
ENDS = ["half_open", "inclusive", "exclusive", "exclusive_begin"]
READINGS = list(itertools.product(FILTERS, ENDS, ["descending", "ascending", "arbitrary"]))


@pytest.mark.parametrize(("filters", "ends", "order"), READINGS)
def test_days_are_complete_under_every_reading(
    start_sandbox: StartSandbox, filters: str, ends: str, order: str
) -> None:
    """Calls start in the first and last millisecond of each day, where the readings differ."""
    sandbox = start_sandbox(
        window_filters=filters, window_ends=ends, order=order, calls_per_day=90, agents=1, border_calls=True
    )
    days = [day_of(sandbox.model_ids[0], day) for day in range(3)]
    for edge in (edge for day in days for edge in (day.start_ms, day.end_ms - 1)):
        assert sandbox.api.store.started_between(sandbox.model_ids[0], edge, edge + 1) == 1
    assert_exact(sandbox, days, page_size=37)


@pytest.mark.parametrize("filters", ["end", "start_and_end", "creation", "scheduled_start"])
def test_without_margin_a_call_at_midnight_is_lost(start_sandbox: StartSandbox, filters: str) -> None:
    """The margin is needed at both ends, and these tests notice if it is missing."""
    sandbox = start_sandbox(window_filters=filters, calls_per_day=3000, agents=1)
    window = day_of(sandbox.model_ids[0])
    ids, _ = fetch(sandbox, [window], margin_seconds=0)
    expected = sandbox.api.store.ids_between(window.model_id, window.start_ms, window.end_ms)
    assert expected & set(ids[window]) < expected


@pytest.mark.parametrize("filters", FILTERS)
def test_big_days_are_split_so_that_no_offset_is_deep(
    start_sandbox: StartSandbox, monkeypatch: pytest.MonkeyPatch, filters: str
) -> None:
    monkeypatch.setattr(window_module, "MAX_OFFSET", 400)
    monkeypatch.setattr(window_module, "SLICE_TARGET", 200)
    sandbox = start_sandbox(window_filters=filters, calls_per_day=3000, same_volume=True, agents=1)
    [stats] = assert_exact(sandbox, [day_of(sandbox.model_ids[0])])
    assert max(int(request["offset"]) for request in sandbox.api.requests) < 400
    # Each slice has a last page that is not full, and the first page of the whole window comes on top. If the API lists
    # calls across the borders of slices in no slice, a second round with other borders is needed.
    assert stats.requests <= (5 if filters == "start_and_end" else 2.5) * stats.fetched / 100


def test_calls_longer_than_half_a_slice_are_requested_by_their_duration(
    start_sandbox: StartSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window_module, "MAX_OFFSET", 40)
    monkeypatch.setattr(window_module, "SLICE_TARGET", 10)
    sandbox = start_sandbox(window_filters="start_and_end", calls_per_day=2000, same_volume=True, agents=1)
    noon = DAY_START_MS + 12 * HOUR_MS
    assert_exact(sandbox, [CallWindow(sandbox.model_ids[0], noon, noon + HOUR_MS)])
    assert any("duration_min" in request for request in sandbox.api.requests)


@pytest.mark.parametrize(
    "config",
    [
        {"faults": {"arrival": 3}},
        {"faults": {"short_page": 2}},
        {"faults": {"short_page": 0.2}},
        {"faults": {"repeat_page": 2}},
        {"faults": {"repeat_page": 0.2}},
        {"order": "shuffled"},
        {"order": "tied"},
        {"faults": {"capped_total": 10_000}},
        {"faults": {"low_offset_limit": 10_000}},
        {"faults": {"low_offset_limit": 10_000}, "order": "tied"},
        {"faults": {"denied_offset": 10_000}},
        {"faults": {"low_offset_limit": 10_000}, "window_filters": "start_and_end"},
        {"faults": {"low_offset_limit": 2, "error_500": 2}},
        {"faults": {"listed_twice": 10_000}},
        {"faults": {"listed_twice": 10_000}, "order": "tied"},
        {"faults": {"reset": 1, "truncate": 2, "html": 1, "error_500": 2, "wrong_json": 1}},
    ],
    ids=str,
)
@pytest.mark.usefixtures("fast_retries")
def test_days_are_complete_in_spite_of_drift_and_faults(start_sandbox: StartSandbox, config: dict[str, Any]) -> None:
    sandbox = start_sandbox(calls_per_day=700, same_volume=True, agents=1, **config)
    assert_exact(sandbox, [day_of(sandbox.model_ids[0])])


@pytest.mark.parametrize("seed", range(8))
def test_calls_that_change_places_between_pages_are_not_missed(start_sandbox: StartSandbox, seed: int) -> None:
    """PostgreSQL does so with equal sort keys. A call on two pages must not make up for a call on none."""
    sandbox = start_sandbox(seed=seed, calls_per_day=310 + 30 * seed, same_volume=True, agents=1, order="tied")
    assert_exact(sandbox, [day_of(sandbox.model_ids[0])])


@pytest.mark.parametrize("form", EMPTY_FORMS)
def test_each_form_of_no_calls_is_a_day_without_calls(start_sandbox: StartSandbox, form: str) -> None:
    sandbox = start_sandbox(calls_per_day=0, agents=1, faults={form: 10_000})
    window = day_of(sandbox.model_ids[0])
    with SynthflowClient(DEFAULT_API_KEY, sandbox.url) as client:
        client.list_agents()
        [event] = fetch_windows(client, [window], margin_seconds=3600)
    assert isinstance(event, FetchedWindow)
    assert (event.result.total_records, event.result.fetched) == (0, 0)
    # Without a stated total, the API is asked a second time.
    assert len(sandbox.api.requests) == (1 if form == "no_calls_null" else 2)


@pytest.mark.parametrize("form", EMPTY_FORMS[1:])
def test_a_day_is_not_empty_because_one_response_says_so(form: str) -> None:
    """A gateway answers once, with one of these forms, for a day that has calls."""
    forms = {
        "no_calls_without_pagination": (200, b'{"status": "ok", "response": {"calls": []}}'),
        "no_calls_without_response": (200, b'{"status": "ok"}'),
        "no_calls_204": (204, b""),
        "no_calls_404": (404, b'{"detail": {"description": "No calls found"}}'),
        "no_calls_400": (400, b'{"message": "No data found"}'),
        "no_calls_object": (200, b'{"response": {"calls": {}}}'),
        "no_calls_list": (200, b"[]"),
        "no_calls_message": (200, b'{"message": "No calls found"}'),
    }
    calls = [{"call_id": f"c{number}", "model_id": "m", "start_time": DAY_START_MS} for number in range(3)]
    answers = iter([agents_page(["m"], 1), forms[form]])
    with serving(lambda _: next(answers, page(calls, 3))) as url, SynthflowClient("key", url) as client:
        client.list_agents()
        found, end = fetch_windows(client, [day_of("m")], margin_seconds=0)
    assert isinstance(found, FetchedPage)
    assert isinstance(end, FetchedWindow)
    assert end.result.fetched == 3


def test_no_calls_found_is_accepted_only_for_listed_agents(start_sandbox: StartSandbox) -> None:
    """Any server at a wrong address may say that something was not found."""
    sandbox = start_sandbox(calls_per_day=0, agents=1, faults={"no_calls_404": 10_000})
    window = day_of(sandbox.model_ids[0])
    assert isinstance(fetch(sandbox, [window])[1][window], NotFoundError)


def test_a_refused_offset_is_avoided_from_then_on(start_sandbox: StartSandbox) -> None:
    """After a refused offset, larger offsets are not requested again, and few requests are added."""
    sandbox = start_sandbox(calls_per_day=2_000, same_volume=True, agents=1, faults={"low_offset_limit": 10_000})
    [stats] = assert_exact(sandbox, [day_of(sandbox.model_ids[0])])
    deep = [request for request in sandbox.api.requests if int(request["offset"]) >= 300]
    whole_day = {(request["from_date"], request["to_date"]) for request in deep}
    assert len(whole_day) == 1
    assert stats.requests < 65


def test_a_day_is_complete_although_the_api_ignores_the_offset(start_sandbox: StartSandbox) -> None:
    sandbox = start_sandbox(calls_per_day=250, same_volume=True, agents=1, faults={"ignore_offset": 10_000})
    window = day_of(sandbox.model_ids[0])
    ids, ends = fetch(sandbox, [window])
    assert isinstance(ends[window], FetchResult)  # read in slices of one page
    assert len(ids[window]) == len(set(ids[window])) == 250
    assert len(sandbox.api.requests) < 60


def test_a_small_day_of_another_agent_fails(start_sandbox: StartSandbox) -> None:
    sandbox = start_sandbox(calls_per_day=2, same_volume=True, agents=2, faults={"other_model": 1000})
    window = day_of(sandbox.model_ids[0])
    _, ends = fetch(sandbox, [window])
    assert isinstance(ends[window], UnexpectedResponseError)


def test_a_day_that_stays_short_fails_after_a_bounded_number_of_requests(start_sandbox: StartSandbox) -> None:
    sandbox = start_sandbox(calls_per_day=300, same_volume=True, agents=1, faults={"short_page": 0.9999})
    window = day_of(sandbox.model_ids[0])
    _, ends = fetch(sandbox, [window])
    assert isinstance(ends[window], IncompleteFetchError)
    assert "distinct calls of the" in str(ends[window])
    assert len(sandbox.api.requests) < 500


@pytest.mark.parametrize(
    ("fault", "message"),
    [("ignore_window", "ignore from_date and to_date"), ("other_model", "belong to another agent")],
)
def test_a_response_to_another_request_fails_the_day(start_sandbox: StartSandbox, fault: str, message: str) -> None:
    sandbox = start_sandbox(faults={fault: 1000})
    window = day_of(sandbox.model_ids[0])
    _, ends = fetch(sandbox, [window])
    assert isinstance(ends[window], UnexpectedResponseError)
    assert message in str(ends[window])


def test_an_agent_that_fails_does_not_affect_others(start_sandbox: StartSandbox) -> None:
    sandbox = start_sandbox()
    windows = [day_of("nobody"), *(day_of(model_id) for model_id in sandbox.model_ids)]
    ids, ends = fetch(sandbox, windows)
    assert isinstance(ends[windows[0]], NotFoundError)
    assert all(isinstance(ends[window], FetchResult) and ids[window] for window in windows[1:])


class Lister:
    """Lists calls without HTTP: what `respond` returns or raises for the number of the window."""

    pause_seconds = 0.0

    def __init__(self, respond: Callable[[int], CallPage], max_connections: int = 1) -> None:
        self.respond = respond
        self.concurrency = ConcurrencyLimit(max_connections)
        self.most_in_flight = self.in_flight = 0

    def list_calls(self, model_id: str, **_: object) -> CallPage:
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return self.respond(int(model_id))
        finally:
            self.in_flight -= 1


def failures_before_the_end(respond: Callable[[int], CallPage], connections: int = 1) -> tuple[int, Exception | None]:
    """Return how many of 30 windows failed, and the error that ended the fetch."""
    windows, failed = [day_of(str(number)) for number in range(30)], 0
    try:
        for event in fetch_windows(Lister(respond, connections), windows, margin_seconds=0):
            failed += isinstance(event, FailedWindow)
    except ApiError as error:
        return failed, error
    return failed, None


def fail(error: Exception) -> CallPage:
    raise error


@pytest.mark.parametrize(
    ("error", "connections", "failed"),
    [
        (AuthenticationError("x"), 1, 0),
        (UnknownHostError("x"), 1, 0),
        (ServerError("x"), 1, 3),  # the fourth in a row
        (ConnectionFailedError("x"), 5, 5),
        (AccessDeniedError("x"), 1, 5),  # the sixth, as none has succeeded
        (BadRequestError("x"), 5, 9),
    ],
)
def test_an_error_of_every_window_ends_the_fetch(error: ApiError, connections: int, failed: int) -> None:
    assert failures_before_the_end(lambda _: fail(error), connections) == (failed, error)


@pytest.mark.parametrize(
    ("error", "failed"), [(AccessDeniedError("x"), 29), (ClientClosedError("x"), 29), (ServerError("x"), 3)]
)
def test_after_a_success_only_an_api_that_stops_responding_ends_the_fetch(error: ApiError, failed: int) -> None:
    count, raised = failures_before_the_end(lambda number: fail(error) if number else CallPage(0, []))
    assert count == failed
    assert raised is (error if failed == 3 else None)


def test_an_outage_that_lasts_too_long_ends_the_fetch_at_once() -> None:
    error = ServerError("x")
    error.outlasted = True
    assert failures_before_the_end(lambda number: fail(error) if number else CallPage(0, []), 8) == (0, error)


def test_a_success_among_failures_keeps_the_fetch_going() -> None:
    error = ServerError("x")
    assert failures_before_the_end(lambda n: fail(error) if n % 4 else CallPage(0, [])) == (22, None)


def test_an_unexpected_exception_fails_its_window() -> None:
    [event] = fetch_windows(Lister(lambda _: fail(KeyError("Jane Doe"))), [day_of("0")], margin_seconds=0)
    assert isinstance(event, FailedWindow)
    assert "unexpected KeyError" in str(event.error)
    assert "Jane" not in str(event.error)


def test_all_connections_are_used_and_no_more() -> None:
    lister = Lister(lambda _: time.sleep(0.1) or CallPage(0, []), max_connections=4)  # type: ignore[func-returns-value]
    list(fetch_windows(lister, [day_of(str(number)) for number in range(12)], margin_seconds=0))
    assert lister.most_in_flight == 4


def test_requests_that_wait_are_not_sent_after_the_consumer_stopped() -> None:
    sent: list[int] = []
    has_stopped = threading.Event()

    def respond(number: int) -> CallPage:
        sent.append(number)
        if number:
            has_stopped.wait()
        return CallPage(0, [])

    events = fetch_windows(
        Lister(respond, max_connections=4), [day_of(str(number)) for number in range(20)], margin_seconds=0
    )
    next(events)
    events.close()  # type: ignore[attr-defined]
    has_stopped.set()
    for thread in threading.enumerate():
        if thread.name.startswith("synthflow_"):  # not `synthflow-decode`, which other tests leave waiting
            thread.join()
    assert len(sent) <= 5  # of the eight that were submitted: the first, and one on each connection


def test_progress_is_yielded_while_no_response_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch_module, "PROGRESS_SECONDS", 0.02)
    records = [CallRecord(str(number), "0", DAY_START_MS + number, b"{}") for number in range(50)]

    def respond(number: int) -> CallPage:
        time.sleep(0.1)
        return CallPage(50, records) if number == 0 else CallPage(0, [])

    lister = Lister(respond)
    lister.pause_seconds = 3.0
    started = time.monotonic()
    events = list(fetch_windows(lister, [day_of(str(number)) for number in range(4)], margin_seconds=0))
    progress = [event for event in events if isinstance(event, FetchProgress)]
    # Four responses one after the other take 0.4 s, and longer on a busy machine.
    assert 4 < len(progress) <= (time.monotonic() - started) / 0.02
    assert progress[0] == FetchProgress(0, 2, 0, 2, 0, 1, "", 3.0)
    assert progress[-1] == FetchProgress(3, 4, 3, 4, 50, 1, "", 3.0)
    assert [event.pages_done for event in progress] == sorted(event.pages_done for event in progress)


def test_windows_start_in_order_when_connections_are_free() -> None:
    taken: list[int] = []

    def windows() -> Iterator[CallWindow]:
        for number in range(20):
            taken.append(number)
            yield day_of(str(number))

    events = fetch_windows(Lister(lambda _: CallPage(0, [])), windows(), margin_seconds=0)
    next(events)
    assert taken == [0, 1]
    assert [event.window.model_id for event in events if isinstance(event, FetchedWindow)] == [
        str(n) for n in range(1, 20)
    ]


def test_first_pages_come_first_and_then_the_window_with_the_most_calls() -> None:
    totals = {"small": 150, "large": 850, "tiny": 20}
    requested: list[tuple[str, int]] = []

    class InOrder(Lister):
        def list_calls(self, model_id: str, *, offset: int = 0, limit: int = 100, **_: object) -> CallPage:
            requested.append((model_id, offset))
            numbers = range(offset, min(offset + limit, totals[model_id]))
            calls = [CallRecord(f"{model_id}{n}", model_id, DAY_START_MS + n, b"{}") for n in numbers]
            return CallPage(totals[model_id], calls)

    events = list(
        fetch_windows(InOrder(lambda _: fail(KeyError())), [day_of(name) for name in totals], margin_seconds=0)
    )
    assert sum(isinstance(event, FetchedWindow) for event in events) == 3
    assert requested[:3] == [("small", 0), ("large", 0), ("tiny", 0)]
    assert requested[3:] == [*(("large", offset) for offset in range(100, 900, 100)), ("small", 100)]


def test_a_long_fetch_holds_the_first_pages_of_few_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The calls of a window are held until all its pages have come."""
    monkeypatch.setattr(fetch_module, "_MAX_ACTIVE_WINDOWS", 4)
    open_windows = most = 0

    class TwoPages(Lister):
        def list_calls(self, model_id: str, *, offset: int = 0, **_: object) -> CallPage:
            nonlocal open_windows, most
            open_windows += 1 if offset == 0 else -1
            most = max(most, open_windows)
            calls = [CallRecord(f"{offset + n}", model_id, DAY_START_MS + n, b"{}") for n in range(100)]
            return CallPage(200, calls if offset < 200 else [])

    list(fetch_windows(TwoPages(lambda _: fail(KeyError())), [day_of(str(n)) for n in range(20)], margin_seconds=0))
    assert most <= 4


def test_a_wrong_key_ends_the_fetch_at_once(start_sandbox: StartSandbox) -> None:
    sandbox = start_sandbox()
    windows = [day_of(sandbox.model_ids[0], day) for day in range(100)]
    with SynthflowClient("wrong", sandbox.url) as client, pytest.raises(AuthenticationError):
        list(fetch_windows(client, windows, margin_seconds=0))
    assert client.requests_sent < 50


@pytest.mark.usefixtures("fast_retries")
def test_an_api_that_stops_responding_ends_the_fetch(
    start_sandbox: StartSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ServerError, "retry_for_seconds", 0.05)
    sandbox = start_sandbox(faults={"error_500": 10_000})
    windows = [day_of(sandbox.model_ids[0], day) for day in range(100)]
    with SynthflowClient(DEFAULT_API_KEY, sandbox.url) as client, pytest.raises(ServerError):
        list(fetch_windows(client, windows, margin_seconds=0))


@pytest.mark.parametrize("total", [4, 20_000, 10**12, 10**30])
@pytest.mark.usefixtures("fast_retries")
def test_totals_that_do_not_follow_the_window_fail_soon(monkeypatch: pytest.MonkeyPatch, total: int) -> None:
    monkeypatch.setattr(MalformedResponseError, "retry_for_seconds", 0.02)
    requests: list[dict[str, str]] = []
    calls = [{"call_id": f"c{number}", "model_id": "m", "start_time": DAY_START_MS + number} for number in range(3)]
    with serving(lambda _: page(calls, total), requests) as url, SynthflowClient("key", url) as client:
        [event] = [
            event
            for event in fetch_windows(client, [day_of("m")], margin_seconds=0)
            if not isinstance(event, (FetchedPage, FetchProgress))
        ]
    assert isinstance(event, FailedWindow)
    assert isinstance(event.error, (UnexpectedResponseError, IncompleteFetchError, MalformedResponseError))
    assert len(requests) < 300


def test_a_small_day_needs_one_request(start_sandbox: StartSandbox) -> None:
    sandbox = start_sandbox(calls_per_day=60, agents=1)
    stats = assert_exact(sandbox, [day_of(sandbox.model_ids[0], day) for day in range(10)])
    assert [one.requests for one in stats] == [1] * 10


def test_a_window_that_reaches_into_the_present_is_not_closed(start_sandbox: StartSandbox) -> None:
    sandbox = start_sandbox(agents=1)
    window = day_of(sandbox.model_ids[0])
    for hours, closed in ((24.5, False), (25.0, True)):
        _, ends = fetch(sandbox, [window], now_ms=int(DAY_START_MS + hours * HOUR_MS))
        stats = ends[window]
        assert isinstance(stats, FetchResult)
        assert stats.closed is closed
    assert int(sandbox.api.requests[0]["to_date"]) == DAY_START_MS + 24.5 * HOUR_MS  # never asks for the future


def test_no_window_no_request(start_sandbox: StartSandbox) -> None:
    sandbox = start_sandbox()
    assert fetch(sandbox, []) == ({}, {})
    assert sandbox.api.requests == []


def test_a_consumer_may_stop_early(start_sandbox: StartSandbox) -> None:
    sandbox = start_sandbox(calls_per_day=2000)
    with SynthflowClient(DEFAULT_API_KEY, sandbox.url) as client:
        events = fetch_windows(client, [day_of(sandbox.model_ids[0])], margin_seconds=0)
        next(events)
        events.close()  # type: ignore[attr-defined]


@given(data=st.data())
@hypothesis_settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_window_of_any_api_is_complete(monkeypatch: pytest.MonkeyPatch, data: st.DataObject) -> None:
    """With random calls, windows, page sizes, orders, readings and drift, each call comes once or the window fails."""
    sliced = data.draw(st.booleans(), "sliced")
    monkeypatch.setattr(window_module, "MAX_OFFSET", 60 if sliced else 10_000)
    monkeypatch.setattr(window_module, "SLICE_TARGET", 30 if sliced else 5_000)
    config = SandboxConfig(
        seed=data.draw(st.integers(0, 1000), "seed"),
        agents=1,
        calls_per_day=data.draw(st.integers(0, 500), "calls"),
        window_filters=data.draw(st.sampled_from(FILTERS), "filters"),
        window_ends=data.draw(st.sampled_from(ENDS), "ends"),
        order=data.draw(st.sampled_from(["descending", "ascending", "arbitrary", "tied", "shuffled"]), "order"),
        faults=data.draw(
            st.dictionaries(
                st.sampled_from(["arrival", "short_page", "repeat_page", "listed_twice", *EMPTY_FORMS]),
                st.integers(1, 3),
                max_size=2,
            )
            | st.just({"low_offset_limit": 10_000}),
            "faults",
        ),
    )
    start = DAY_START_MS + data.draw(st.integers(0, DAY_MS), "start")
    length = data.draw(st.integers(1, 2 * DAY_MS), "length")
    with Sandbox(config) as sandbox:
        window = CallWindow(sandbox.model_ids[0], start, start + length)
        page_size = data.draw(st.integers(5, 100), "page size")
        ids, ends = fetch(sandbox, [window], page_size=page_size, agents_are_listed=True)
        expected = sandbox.api.store.ids_between(window.model_id, window.start_ms, window.end_ms)
        assert len(ids[window]) == len(set(ids[window]))
        if isinstance(ends[window], FetchResult):
            assert set(ids[window]) == expected
        else:
            assert isinstance(ends[window], IncompleteFetchError)
            # A window may fail only if several requests are needed.
            assert config.faults or (sliced and config.window_filters == "start_and_end")
