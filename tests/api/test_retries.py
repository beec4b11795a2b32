"""What is retried, after how long, and until when."""

import random
import re
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from synthflow_assets.api import retries, throttle
from synthflow_assets.api.retries import Outage, retry_wait_seconds, with_retries
from synthflow_assets.api.throttle import Throttle
from synthflow_assets.errors import (
    ApiError,
    BadRequestError,
    ClientClosedError,
    ConnectionFailedError,
    MalformedResponseError,
    OverloadedError,
    RateLimitedError,
    ServerError,
    TransientApiError,
)
from tests.api.clock import Clock


class Attempts:
    """Fails with the given errors, one after the other (the last again and again), then succeeds if that is None."""

    def __init__(self, clock: Clock, *outcomes: ApiError | None, seconds: float = 0.0) -> None:
        self.clock = clock
        self.outcomes = list(outcomes)
        self.seconds = seconds
        self.times: list[float] = []

    def __call__(self) -> str:
        self.times.append(self.clock.now - 1_000)
        self.clock.now += self.seconds
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if outcome is not None:
            raise outcome
        return "done"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """No jitter: each wait is the formula's own."""
    clock = Clock()
    monkeypatch.setattr(retries, "time", SimpleNamespace(monotonic=clock.monotonic))
    monkeypatch.setattr(throttle, "time", SimpleNamespace(monotonic=clock.monotonic))
    monkeypatch.setattr(
        random, "uniform", lambda low, high: min(1.0, low * high * 2)
    )  # 1 for the factor, 0 for the spread
    return clock


def run(clock: Clock, attempts: Callable[[], str]) -> str:
    return with_retries(attempts, Throttle(None, clock), clock)


@pytest.mark.parametrize(
    ("attempt", "low", "high"),
    [(0, 0.25, 0.75), (1, 0.5, 1.5), (2, 1, 3), (3, 2, 6), (5, 8, 24), (6, 15, 45), (7, 15, 45), (50, 15, 45)],
)
def test_waits_grow_and_are_spread(attempt: int, low: float, high: float) -> None:
    waits = [retry_wait_seconds(attempt, ServerError("x")) for _ in range(2_000)]
    assert low <= min(waits) < low * 1.1
    assert high * 0.95 < max(waits) <= high


@pytest.mark.parametrize("attempt", [0, 9])
def test_retry_after_replaces_the_formula(attempt: int) -> None:
    waits = [retry_wait_seconds(attempt, RateLimitedError("x", 7)) for _ in range(500)]
    assert 7 <= min(waits) < 7.05
    assert 7.2 < max(waits) <= 7.25


def test_a_success_is_returned_at_once(clock: Clock) -> None:
    attempts = Attempts(clock, None)
    assert run(clock, attempts) == "done"
    assert (attempts.times, clock.waits) == ([0], [])


def test_a_transient_error_is_retried(clock: Clock) -> None:
    attempts = Attempts(clock, ServerError("x"), MalformedResponseError("y"), None)
    assert run(clock, attempts) == "done"
    assert attempts.times == [0, 0.5, 1.5]


def test_a_permanent_error_is_not_retried(clock: Clock) -> None:
    attempts = Attempts(clock, BadRequestError("as it is"))
    with pytest.raises(BadRequestError, match=r"^as it is$"):
        run(clock, attempts)
    assert attempts.times == [0]


@pytest.mark.parametrize(
    ("error", "tries", "last"),
    [
        (ConnectionFailedError("x"), 5, 7.5),  # 10 s
        (MalformedResponseError("x"), 5, 7.5),  # 10 s
        (ServerError("x"), 9, 91.5),  # 120 s
        (OverloadedError("x"), 9, 91.5),  # 120 s
        (RateLimitedError("x"), 25, 571.5),  # 600 s
        (RateLimitedError("x", 600.0), 2, 600),
        (RateLimitedError("x", 600.1), 1, 0),
    ],
)
def test_each_class_of_error_has_its_time(clock: Clock, error: ApiError, tries: int, last: float) -> None:
    attempts = Attempts(clock, error)
    with pytest.raises(type(error), match="gave up after") as caught:
        run(clock, attempts)
    assert (len(attempts.times), attempts.times[-1]) == (tries, last)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (RateLimitedError("429", 1e20), r"^429 \(gave up after 1 attempt; the API asks to wait more than a day\)$"),
        (RateLimitedError("429", 601), r"^429 \(gave up after 1 attempt; the API asks to wait 601 s\)$"),
        (ServerError("500"), r"^500 \(gave up after 9 attempts\)$"),
    ],
)
def test_the_last_error_says_how_often_it_was_tried(clock: Clock, error: ApiError, text: str) -> None:
    with pytest.raises(type(error), match=text):
        run(clock, Attempts(clock, error))


def test_the_time_counts_for_each_class_from_its_first_failure(clock: Clock) -> None:
    """Two minutes of 500s leave the first broken connection its ten seconds."""
    attempts = Attempts(clock, *[ServerError("x")] * 8, ConnectionFailedError("y"), None)
    with pytest.raises(ConnectionFailedError, match="gave up after 9 attempts"):
        run(clock, attempts)  # the next wait is 30 s
    attempts = Attempts(clock, *[ServerError("x")] * 4, ConnectionFailedError("y"), None)
    assert run(clock, attempts) == "done"


def test_a_response_that_never_came_is_requested_once_more(clock: Clock) -> None:
    """Its time-out takes longer than its error is retried for."""
    attempts = Attempts(clock, ConnectionFailedError("x"), None, seconds=60)
    assert run(clock, attempts) == "done"


@pytest.mark.parametrize(
    ("error", "pauses"), [(RateLimitedError("x"), True), (OverloadedError("x"), True), (ServerError("x"), False)]
)
def test_only_an_overloaded_api_pauses_every_connection(clock: Clock, error: ApiError, pauses: bool) -> None:
    throttle_of_all = Throttle(None, clock)
    seen = []
    clock.during_wait.append(lambda: seen.append(throttle_of_all._pauses > 0))
    with_retries(Attempts(clock, error, None), throttle_of_all, clock)
    assert seen == [pauses]


@pytest.mark.parametrize("error", [ConnectionFailedError("x"), ServerError("x"), OverloadedError("x")])
def test_requests_are_retried_during_an_outage_and_messages_are_logged(clock: Clock, error: TransientApiError) -> None:
    outage, said = Outage(lambda: False), []
    outage.wait_for(600, said.append)
    # Back after nine and a half minutes.
    attempts = Attempts(clock, *[error] * 24, None)
    assert with_retries(attempts, Throttle(None, clock), clock, outage) == "done"
    assert 500 < attempts.times[-1] < 600
    assert re.fullmatch("x. Retrying for another (9|10) min", said[0])
    assert 6 <= len(said) <= 10
    # The next outage is another one.
    with pytest.raises(type(error), match="gave up after") as caught:
        with_retries(Attempts(clock, error), Throttle(None, clock), clock, outage)
    assert caught.value.outlasted
    assert len(said) > 12


@pytest.mark.parametrize("error", [ConnectionFailedError("x"), ServerError("x"), OverloadedError("x")])
@pytest.mark.parametrize(("seconds", "announced"), [(0, 10), (60, 60), (90, 90), (600, 600)])
def test_an_outage_is_logged_soon_and_waited_for_as_long_as_announced(
    clock: Clock, error: TransientApiError, seconds: float, announced: float
) -> None:
    """With one minute, 5xx were retried for two; all were silent for the first two."""
    outage, said = Outage(lambda: False), list[float]()
    outage.wait_for(seconds, lambda _: said.append(clock.now - 1_000))
    attempts = Attempts(clock, error)
    with pytest.raises(type(error)) as caught:
        with_retries(attempts, Throttle(None, clock), clock, outage)
    assert caught.value.outlasted
    assert attempts.times[-1] == announced
    assert 5 <= said[0] < 10
    assert len(said) <= 1 + announced / 60


def test_a_response_that_never_comes_is_logged_at_its_first_time_out(clock: Clock) -> None:
    outage, said = Outage(lambda: False), list[str]()
    outage.wait_for(600, said.append)
    assert with_retries(Attempts(clock, ServerError("x"), None, seconds=60), Throttle(None, clock), clock, outage)
    assert said == ["x. Retrying for another 10 min"]


def test_a_request_that_fails_while_the_api_answers_others_is_no_outage(clock: Clock) -> None:
    """Such as the day of one agent with a record that the server cannot read."""
    outage, said = Outage(lambda: True), list[str]()
    outage.wait_for(600, said.append)
    attempts = Attempts(clock, ServerError("x"))
    with pytest.raises(ServerError) as caught:
        with_retries(attempts, Throttle(None, clock), clock, outage)
    assert attempts.times[-1] < 120
    assert not caught.value.outlasted
    assert said == ["x. The API answers other requests. Retrying for at most another 2 min"]


def test_all_requests_share_an_outage(clock: Clock) -> None:
    """A request that begins when the others have waited for ten minutes does not wait for another ten."""
    outage = Outage(lambda: False)
    outage.wait_for(600, lambda _: None)
    with pytest.raises(ServerError):
        with_retries(Attempts(clock, ServerError("x")), Throttle(None, clock), clock, outage)
    attempts = Attempts(clock, ConnectionFailedError("x"))
    began = clock.now
    with pytest.raises(ConnectionFailedError) as caught:
        with_retries(attempts, Throttle(None, clock), clock, outage)
    assert clock.now - began < 60
    assert caught.value.outlasted


@pytest.mark.parametrize("error", [RateLimitedError("x"), MalformedResponseError("x")])
def test_other_errors_are_not_retried_for_longer(clock: Clock, error: TransientApiError) -> None:
    outage, said = Outage(lambda: False), list[str]()
    outage.wait_for(6_000, said.append)
    with pytest.raises(type(error)) as caught:
        with_retries(Attempts(clock, error), Throttle(None, clock), clock, outage)
    assert clock.now - 1_000 <= error.retry_for_seconds
    minutes = error.retry_for_seconds // 60
    assert bool(said) == bool(minutes)
    assert len(said) <= minutes
    assert said[:1] in ([], ["x. Retrying for at most another 10 min"])
    assert not caught.value.outlasted


def test_closing_ends_the_wait(clock: Clock) -> None:
    clock.during_wait.append(clock.set)
    attempts = Attempts(clock, ServerError("x"))
    with pytest.raises(ClientClosedError):
        run(clock, attempts)
    assert attempts.times == [0]
