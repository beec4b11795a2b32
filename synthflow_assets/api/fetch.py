"""Fetches the calls of agents that start within spans of time: complete, each once, in parallel.

One thread decides (`window`), a pool of threads asks. Windows are started in the given order and finish in any; a
window that fails does not stop the others.
"""

from __future__ import annotations

import queue
import time
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from synthflow_assets.api.client import MAX_PAGE_SIZE, SynthflowClient
from synthflow_assets.api.events import CallWindow, FetchedPage, FetchEvent, FetchProgress
from synthflow_assets.api.pages import CallPage
from synthflow_assets.api.window import PageRequest, WindowFetch
from synthflow_assets.errors import ApiError, AuthenticationError, TransientApiError, UnknownHostError

_PROGRESS_SECONDS = 1.0
_FEWEST_FAILURES = 3


def fetch_windows(
    client: SynthflowClient,
    windows: Iterable[CallWindow],
    *,
    margin_seconds: int,
    page_size: int = MAX_PAGE_SIZE,
    now_ms: int | None = None,
) -> Iterator[FetchEvent]:
    """Fetch windows over the client's connections.

    Args:
        client: whom to ask; its `max_connections` bounds the requests under way.
        windows: what to fetch; taken as connections become free.
        margin_seconds: how far past its end a window is asked.
        page_size: calls a request, 1 to 100.
        now_ms: the present in epoch milliseconds, for tests.

    Yields:
        Pages as they come, and for every window one `FetchedWindow` or `FailedWindow` behind its last page. Between
        them a `FetchProgress` now and then, also while no answer comes.

    Raises:
        ApiError: what concerns every window: the key, the host, or an API that has stopped answering.
    """
    present_ms = int(time.time() * 1000) if now_ms is None else now_ms
    fetches = (WindowFetch(window, margin_seconds * 1000, page_size, present_ms) for window in windows)
    answers: queue.SimpleQueue[_Answer] = queue.SimpleQueue()
    active: deque[WindowFetch] = deque()
    under_way = 0
    tally = _Tally(client)
    pool = ThreadPoolExecutor(client.max_connections, thread_name_prefix="synthflow")
    try:
        while True:
            # As many again wait in the pool's queue, so that no connection idles while pages are looked at.
            while under_way < 2 * client.max_connections and (request := _next_request(active, fetches)):
                pool.submit(_ask, client, request, answers)
                under_way += 1
            if not under_way:
                return
            if (progress := tally.due(under_way, active)) is not None:
                yield progress
            try:
                answer = answers.get(timeout=_PROGRESS_SECONDS)
            except queue.Empty:
                continue
            under_way -= 1
            tally.pages_done += 1
            fetch = answer.request.fetch
            if isinstance(answer.outcome, CallPage):
                tally.failures_in_a_row = 0
                tally.successes += 1
                events = fetch.take(answer.request, answer.outcome)
            else:
                tally.failures_in_a_row += 1
                tally.raise_if_it_concerns_all(answer.outcome)
                events = fetch.fail(answer.outcome)
            if fetch.done and fetch in active:
                active.remove(fetch)
                tally.windows_done += 1
            for event in events:
                tally.calls += len(event.records) if isinstance(event, FetchedPage) else 0
                yield event
    finally:
        # Not waited for: a thread that sleeps before a retry ends when the client is closed.
        pool.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True)
class _Answer:
    request: PageRequest
    outcome: CallPage | ApiError


class _Tally:
    """Counts for `FetchProgress`, and what they say of the API as a whole."""

    def __init__(self, client: SynthflowClient) -> None:
        self.windows_done = self.pages_done = self.calls = 0
        self.successes = self.failures_in_a_row = 0
        self._client = client
        self._next = time.monotonic() + _PROGRESS_SECONDS

    def raise_if_it_concerns_all(self, error: ApiError) -> None:
        """Raise what the other windows would meet as well; one window's trouble costs one window.

        A wrong key fails every request. An API that has stopped answering fails more requests in a row than there are
        connections, so that at least one of them was begun after others had failed.
        """
        if isinstance(error, (AuthenticationError, UnknownHostError)):
            raise error
        # At least a few, so that two bad days in a row do not end a run that has one connection.
        connections = max(self._client.max_connections, _FEWEST_FAILURES)
        if isinstance(error, TransientApiError) and self.failures_in_a_row > connections:
            raise error
        if not self.successes and self.failures_in_a_row >= 2 * connections:
            raise error

    def due(self, under_way: int, active: Collection[WindowFetch]) -> FetchProgress | None:
        if time.monotonic() < self._next:
            return None
        self._next = time.monotonic() + _PROGRESS_SECONDS
        pages_known = self.pages_done + under_way + sum(fetch.pages_left for fetch in active)
        begun = self.windows_done + len(active)
        return FetchProgress(
            self.windows_done, begun, self.pages_done, pages_known, self.calls, self._client.pause_seconds
        )


def _ask(client: SynthflowClient, request: PageRequest, answers: queue.SimpleQueue[_Answer]) -> None:
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
    except Exception as error:  # noqa: BLE001 (a defect of ours: without an answer the deciding thread would wait for ever)
        outcome = ApiError(f"unexpected {type(error).__name__} while asking for calls")
    answers.put(_Answer(request, outcome))


def _next_request(active: deque[WindowFetch], fetches: Iterator[WindowFetch]) -> PageRequest | None:
    for fetch in active:
        if fetch.queued:
            return fetch.queued.popleft()
    started = next(fetches, None)
    if started is None:
        return None
    active.append(started)
    return started.queued.popleft()
