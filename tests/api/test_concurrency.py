"""The number of connections settles at what the API carries, and says why."""

import heapq
import itertools
import random
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from types import SimpleNamespace

import pytest

from synthflow_assets.api import concurrency as concurrency_module
from synthflow_assets.api.client import SynthflowClient
from synthflow_assets.api.concurrency import FIRST_CONNECTIONS, REFUSED, SLOWER, VARYING, ConcurrencyLimit
from synthflow_assets.api.events import CallWindow, FetchedWindow, FetchProgress
from synthflow_assets.api.fetch import fetch_windows
from synthflow_assets.errors import ConnectionFailedError, OverloadedError, RateLimitedError, ServerError
from synthflow_assets.sandbox.config import DEFAULT_API_KEY
from synthflow_assets.sandbox.server import Sandbox
from tests.api.clock import Clock

Seconds = Callable[[int], float]  # the response time, by the number of requests under way


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(concurrency_module, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


class Api:
    """Simulates an API with a clock that is moved from response to response.

    It refuses requests if more than `most` are under way. Then all wait for a second, as the client does.
    """

    def __init__(self, clock: Clock, limit: ConcurrencyLimit, seconds: Seconds, most: int = 1000) -> None:
        self.clock, self.limit, self.seconds, self.most = clock, limit, seconds, most
        self.refusals = 0
        self.connections: list[int] = []  # after each response

    def answer(self, requests: int) -> None:
        """Send requests as fast as the limit lets them, until so many have been answered."""
        under_way: list[tuple[float, int, ExitStack]] = []
        numbers = itertools.count()
        pause_end = 0.0
        while requests or under_way:
            while len(under_way) < min(self.limit.connections, requests) and self.clock.now >= pause_end:
                request = ExitStack()
                request.enter_context(self.limit.connection())
                if len(under_way) >= self.most:
                    self.refusals += 1
                    pause_end = self.clock.now + 1
                    with suppress(RateLimitedError), request, self.limit.observing():
                        raise RateLimitedError("x")
                    continue
                request.enter_context(self.limit.observing())
                end = self.clock.now + self.seconds(len(under_way) + 1)
                heapq.heappush(under_way, (end, next(numbers), request))
            if not under_way:
                self.clock.now = pause_end
                continue
            self.clock.now, _, request = heapq.heappop(under_way)
            request.close()
            requests -= 1
            self.connections.append(self.limit.connections)


def fail(limit: ConcurrencyLimit, error: Exception) -> None:
    with suppress(type(error)), limit.connection(), limit.observing():
        raise error


def test_connections_double_while_the_api_is_as_fast_as_before(clock: Clock) -> None:
    api = Api(clock, ConcurrencyLimit(32), lambda _: 0.5)
    api.answer(170)
    assert list(dict.fromkeys(api.connections)) == [16, 32]
    assert clock.now - 1000 == pytest.approx(3.0)  # 16 + 5 times 32
    assert api.limit.note == ""


@pytest.mark.parametrize(("bound", "first"), [(1, 1), (5, 5), (64, FIRST_CONNECTIONS)])
def test_the_bound_holds_from_the_start(clock: Clock, bound: int, first: int) -> None:
    limit = ConcurrencyLimit(bound)
    assert limit.connections == first
    api = Api(clock, limit, lambda _: 0.5)
    api.answer(600)
    assert max(api.connections) == bound


@pytest.mark.parametrize("capacity", [4, 12, 20])
def test_an_api_that_slows_down_gets_what_it_carries(clock: Clock, capacity: int) -> None:
    api = Api(clock, ConcurrencyLimit(64), lambda under_way: 0.1 * max(1, under_way / capacity))
    api.answer(3000)
    settled = api.connections[1000:]
    assert capacity <= min(settled) <= max(settled) <= 2 * capacity + 1
    assert clock.now - 1000 < 1.1 * 3000 * 0.1 / capacity  # as fast as its capacity allows
    assert api.limit.note == SLOWER


def test_an_api_that_becomes_slower_by_itself_keeps_its_connections(clock: Clock) -> None:
    seconds = [0.1]
    api = Api(clock, ConcurrencyLimit(32), lambda _: seconds[0])
    api.answer(500)
    seconds[0] = 0.5
    api.answer(500)
    assert api.connections[-1] == 32
    assert api.limit.note == VARYING
    assert api.connections[500:].count(16) < 50  # tried once


@pytest.mark.parametrize("most", [1, 2, 10, 31])
def test_refusals_stop(clock: Clock, most: int) -> None:
    seconds = [0.5]
    api = Api(clock, ConcurrencyLimit(32), lambda _: seconds[0], most)
    api.answer(100 * most)
    early, settled = api.refusals, api.connections[50 * most :]
    assert early <= 12
    assert max(settled) <= most + 1
    assert sum(settled) / len(settled) > 0.8 * most
    assert api.limit.note == REFUSED
    seconds[0] = 10.0
    began = clock.now
    api.answer(200 * most)
    # After two minutes, four, eight, sixteen: an hour's run is not spoiled.
    assert clock.now - began > 1800
    assert api.refusals - early <= 6
    # But a limit that was raised is found.
    api.most = 1000
    clock.now += 3600
    api.answer(2000)
    assert api.limit.connections == 32
    assert api.limit.note != REFUSED


def test_response_times_that_are_noise_narrow_little(clock: Clock) -> None:
    averages: list[float] = []
    for seed in range(8):
        noise = random.Random(seed)
        api = Api(clock, ConcurrencyLimit(32), lambda _, noise=noise: noise.expovariate(2))  # type: ignore[misc]
        api.answer(2000)
        averages.append(sum(api.connections) / len(api.connections))
    assert min(averages) >= 8
    assert sum(averages) / len(averages) > 16


def test_noise_does_not_drive_the_connections_into_refusals(clock: Clock) -> None:
    noise = random.Random(1)
    api = Api(clock, ConcurrencyLimit(32), lambda _: noise.expovariate(2), most=12)
    api.answer(8000)
    assert api.refusals < 25  # of 8,000
    assert sum(api.connections) / len(api.connections) > 6


@pytest.mark.parametrize("error", [RateLimitedError("x"), OverloadedError("x"), ConnectionFailedError("x")])
def test_refusals_and_time_outs_halve_the_connections(clock: Clock, error: Exception) -> None:
    limit = ConcurrencyLimit(32)
    fail(limit, error)
    assert (limit.connections, limit.note) == (FIRST_CONNECTIONS // 2, REFUSED)
    for _ in range(5):
        fail(limit, error)
    assert limit.connections == 1
    clock.now += 1


def test_an_error_of_one_window_does_not() -> None:
    limit = ConcurrencyLimit(32)
    fail(limit, ServerError("x"))
    assert limit.connections == FIRST_CONNECTIONS


def test_requests_that_were_refused_together_halve_once() -> None:
    limit = ConcurrencyLimit(32)
    requests = [limit.observing() for _ in range(FIRST_CONNECTIONS)]
    for request in requests:
        request.__enter__()
    for request in requests:
        with suppress(RateLimitedError):
            request.__exit__(RateLimitedError, RateLimitedError("x"), None)
    assert limit.connections == FIRST_CONNECTIONS // 2


def test_after_an_outage_the_connections_come_back(clock: Clock) -> None:
    """An outage refuses whatever the number is, so it must not count as a limit of one connection."""
    api = Api(clock, ConcurrencyLimit(32), lambda _: 0.5)
    api.answer(500)
    for _ in range(20):
        fail(api.limit, OverloadedError("x"))
        clock.now += 3
    assert api.limit.connections == 1
    api.answer(1000)
    assert api.limit.connections >= 28


def test_idle_connections_are_no_reason_for_more(clock: Clock) -> None:
    limit = ConcurrencyLimit(32)
    for _ in range(100):
        with limit.connection(), limit.observing():
            clock.now += 0.5
    assert limit.connections == FIRST_CONNECTIONS


def test_no_more_threads_than_connections_and_a_stop_frees_them() -> None:
    stopped = threading.Event()
    limit = ConcurrencyLimit(2, stopped)
    entered: list[int] = []

    def hold(number: int) -> None:
        with limit.connection():
            entered.append(number)
            stopped.wait()

    threads = [threading.Thread(target=hold, args=[number]) for number in range(5)]
    for thread in threads:
        thread.start()
    while len(entered) < 2:
        time.sleep(0.001)
    time.sleep(0.05)
    assert len(entered) == 2
    stopped.set()
    limit.wake()
    for thread in threads:
        thread.join(5)
    assert len(entered) == 5


def fetch(sandbox: Sandbox, calls: int, max_connections: int = 32) -> tuple[SynthflowClient, list[FetchProgress]]:
    """Fetch a day of each agent; every window must be complete."""
    start = 1_773_100_800_000
    windows = [CallWindow(model_id, start, start + 86_400_000) for model_id in sandbox.model_ids]
    with SynthflowClient(DEFAULT_API_KEY, sandbox.url, max_connections=max_connections) as client:
        events = list(fetch_windows(client, windows, margin_seconds=0, page_size=10))
    ends = [event for event in events if isinstance(event, FetchedWindow)]
    assert [event.result.fetched for event in ends] == [calls] * len(windows)
    return client, [event for event in events if isinstance(event, FetchProgress)]


def test_a_server_that_slows_down_is_not_driven_into_refusals(start_sandbox: Callable[..., Sandbox]) -> None:
    sandbox = start_sandbox(
        calls_per_day=400, same_volume=True, agents=2, latency_seconds=0.2, full_speed_requests=6, max_requests=40
    )
    client, progress = fetch(sandbox, 400, max_connections=64)
    assert sandbox.api.refusals == 0
    # On a busy machine, a response says less about the server. But the 40 that it refuses are never reached.
    assert client.concurrency.connections < 40
    assert progress[-1].connections < 40


@pytest.mark.parametrize("most", [1, 5, 12])
@pytest.mark.usefixtures("fast_retries")
def test_a_limit_that_nobody_states_is_found(start_sandbox: Callable[..., Sandbox], most: int) -> None:
    # On a busy machine, requests start more slowly than the sandbox would answer them in a few milliseconds.
    latency = 0.02 * most
    sandbox = start_sandbox(calls_per_day=400, same_volume=True, agents=2, latency_seconds=latency, max_requests=most)
    client, _ = fetch(sandbox, 400)
    assert 0 < sandbox.api.refusals <= 40
    assert client.concurrency.connections <= most + 1  # which is tried again from time to time, perhaps at the very end
    assert client.concurrency.note in (REFUSED, SLOWER)  # the machine itself may be slow


def test_an_api_whose_latency_is_noise(start_sandbox: Callable[..., Sandbox]) -> None:
    sandbox = start_sandbox(
        calls_per_day=800, same_volume=True, agents=2, latency_seconds=0.05, latency_varies=True, max_requests=33
    )
    client, _ = fetch(sandbox, 800)
    assert sandbox.api.refusals == 0
    assert client.concurrency.connections >= 4
