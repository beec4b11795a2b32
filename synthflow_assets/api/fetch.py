"""Fetch the calls of windows in parallel: complete, each call once.

One thread decides what to request (`window`). A pool of threads sends the requests, as many at once as the API answers
without slowing down (`concurrency`). A window that fails does not stop the others.

Requests are sent in the order that ends the fetch soonest. First pages come first, because they state how many pages
follow. Then comes the window with the most calls, because it may have to be read again, or in slices whose totals are
not known yet.
Windows start in the given order and finish in any order.
"""

from __future__ import annotations

import queue
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from synthflow_assets.api.concurrency import ConcurrencyLimit
from synthflow_assets.api.events import CallWindow, FetchedPage, FetchEvent, FetchProgress
from synthflow_assets.api.pages import MAX_PAGE_SIZE, CallPage
from synthflow_assets.api.window import PageRequest, WindowFetch
from synthflow_assets.errors import ApiError, AuthenticationError, TransientApiError, UnknownHostError

PROGRESS_SECONDS = 1.0
_MIN_FAILURES = 3
_SPARE_REQUESTS = 8  # wait for a connection, so that none idles while this thread handles pages
# Windows whose first page has come hold its calls in memory until the others follow: 50 MB, at 5 kB a call.
_MAX_ACTIVE_WINDOWS = 100


class CallLister(Protocol):
    """What fetching needs of a client; `SynthflowClient` has it."""

    @property
    def concurrency(self) -> ConcurrencyLimit:
        """Limits how many requests are in flight at once."""

    @property
    def pause_seconds(self) -> float:
        """Seconds for which all requests still wait, because the API asked to slow down."""

    def list_calls(
        self,
        model_id: str,
        *,
        limit: int,
        offset: int,
        from_date: int | None,
        to_date: int | None,
        duration_min: int | None,
    ) -> CallPage:
        """Return one page of calls, or raise an `ApiError`."""


def fetch_windows(
    client: CallLister,
    windows: Iterable[CallWindow],
    *,
    margin_seconds: int,
    page_size: int = MAX_PAGE_SIZE,
    now_ms: int | None = None,
) -> Iterator[FetchEvent]:
    """Fetch windows over the client's connections.

    Args:
        client: sends the requests; its `concurrency` limits how many are in flight.
        windows: what to fetch; read lazily, as connections become free.
        margin_seconds: how far the requested window reaches before a window's start and past its end.
        page_size: calls in a page, 1 to 100.
        now_ms: the present, in epoch milliseconds; the machine's clock unless given.

    Yields:
        `FetchedPage` for each page with new calls; after the last page of a window, one `FetchedWindow` or
        `FailedWindow`; and about once a second a `FetchProgress`, also while no response comes.

    Raises:
        ApiError: it concerns every window: the key, the host, or an API that no longer responds.
    """
    if now_ms is None:
        now_ms = int(time.time() * 1000)
    fetches = (WindowFetch(window, margin_seconds * 1000, page_size, now_ms) for window in windows)
    state = _State(client, fetches)
    responses: queue.SimpleQueue[_Response] = queue.SimpleQueue()
    pool = ThreadPoolExecutor(client.concurrency.bound, thread_name_prefix="synthflow")
    try:
        while True:
            connections = client.concurrency.connections
            while state.in_flight < connections + min(connections, _SPARE_REQUESTS) and (
                request := state.next_request()
            ):
                pool.submit(_send, client, request, responses)
                state.in_flight += 1
            if not state.in_flight:
                return
            if state.is_progress_due():
                yield state.progress()
            try:
                response = responses.get(timeout=PROGRESS_SECONDS)
            except queue.Empty:
                continue
            yield from state.handle(response)
    finally:
        # Without waiting: a thread that sleeps before a retry ends when the client is closed.
        pool.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True)
class _Response:
    request: PageRequest
    outcome: CallPage | ApiError


class _State:
    """The windows that are being fetched, and the counts over all of them."""

    def __init__(self, client: CallLister, fetches: Iterator[WindowFetch]) -> None:
        self.in_flight = 0
        self._client = client
        self._fetches = fetches
        self._active: deque[WindowFetch] = deque()
        self._windows_done = self._pages_done = self._calls = 0
        self._has_succeeded = False
        self._failures_in_a_row = 0
        self._next_progress = time.monotonic() + PROGRESS_SECONDS

    def next_request(self) -> PageRequest | None:
        """Return the first request of the next window, else the next request of the window with the most calls."""
        if len(self._active) < _MAX_ACTIVE_WINDOWS and (started := next(self._fetches, None)) is not None:
            self._active.append(started)
            return started.pending_requests.popleft()
        waiting = [fetch for fetch in self._active if fetch.pending_requests]
        if not waiting:
            return None
        return max(waiting, key=lambda fetch: fetch.total).pending_requests.popleft()

    def handle(self, response: _Response) -> list[FetchEvent]:
        """Account for a response, and return the events that follow from it.

        Raises:
            ApiError: it concerns every window.
        """
        self.in_flight -= 1
        self._pages_done += 1
        fetch = response.request.fetch
        if isinstance(response.outcome, CallPage):
            self._failures_in_a_row = 0
            self._has_succeeded = True
            events = fetch.handle_page(response.request, response.outcome)
        else:
            if not fetch.can_avoid(response.outcome, response.request):
                self._failures_in_a_row += 1
                self._raise_if_fatal(response.outcome)
            events = fetch.handle_error(response.outcome, response.request)
        if fetch.done and fetch in self._active:
            self._active.remove(fetch)
            self._windows_done += 1
        self._calls += sum(len(event.records) for event in events if isinstance(event, FetchedPage))
        return events

    def _raise_if_fatal(self, error: ApiError) -> None:
        """Raise an error that the other windows would meet as well; any other fails its own window only.

        A wrong key fails every request, and so does an outage that lasts too long. If the API no longer responds, more
        requests fail in a row than there are connections. So at least one of them started after others had failed.
        """
        if isinstance(error, (AuthenticationError, UnknownHostError)):
            raise error
        if isinstance(error, TransientApiError) and error.outlasted:
            raise error
        # With one connection, two bad days in a row would otherwise end the run.
        connections = max(self._client.concurrency.bound, _MIN_FAILURES)
        if isinstance(error, TransientApiError) and self._failures_in_a_row > connections:
            raise error
        if not self._has_succeeded and self._failures_in_a_row >= 2 * connections:
            raise error

    def is_progress_due(self) -> bool:
        """Return whether it is time for the next `FetchProgress`."""
        return time.monotonic() >= self._next_progress

    def progress(self) -> FetchProgress:
        """Return how far the fetch is."""
        self._next_progress = time.monotonic() + PROGRESS_SECONDS
        pages_left = self.in_flight + sum(fetch.pages_left for fetch in self._active)
        return FetchProgress(
            windows_done=self._windows_done,
            windows_started=self._windows_done + len(self._active),
            pages_done=self._pages_done,
            pages_expected=self._pages_done + pages_left,
            calls=self._calls,
            connections=self._client.concurrency.connections,
            connections_note=self._client.concurrency.note,
            pause_seconds=self._client.pause_seconds,
        )


def _send(client: CallLister, request: PageRequest, responses: queue.SimpleQueue[_Response]) -> None:
    outcome: CallPage | ApiError
    try:
        outcome = client.list_calls(
            request.fetch.window.model_id,
            limit=request.limit,
            offset=request.offset,
            from_date=request.slice.from_ms,
            to_date=request.slice.to_ms,
            duration_min=request.slice.duration_min,
        )
    except ApiError as error:
        outcome = error
    except Exception as error:  # noqa: BLE001 (without a response, the deciding thread would wait for ever)
        outcome = ApiError(f"unexpected {type(error).__name__} while listing calls; please report it")
    responses.put(_Response(request, outcome))
