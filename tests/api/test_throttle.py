"""Requests are spaced evenly, and a pause holds all of them back."""

from types import SimpleNamespace

import pytest

from synthflow_assets.api import throttle as throttle_module
from synthflow_assets.api.throttle import Throttle
from tests.api.clock import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(throttle_module, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


def starts(throttle: Throttle, clock: Clock, count: int) -> list[float]:
    """Seconds, from the first call on, at which so many requests may start."""
    found, began = [], clock.now
    for _ in range(count):
        throttle.wait_for_slot()
        found.append(round(clock.now - began, 6))
    return found


def test_without_a_limit_nothing_waits(clock: Clock) -> None:
    assert starts(Throttle(None, clock), clock, 5) == [0, 0, 0, 0, 0]
    assert clock.waits == []


def test_requests_are_spaced_evenly(clock: Clock) -> None:
    assert starts(Throttle(10, clock), clock, 4) == [0, 0.1, 0.2, 0.3]


def test_idle_time_allows_no_burst(clock: Clock) -> None:
    throttle = Throttle(10, clock)
    starts(throttle, clock, 2)
    clock.now += 60
    assert starts(throttle, clock, 3) == [0, 0.1, 0.2]


def test_a_pause_holds_the_next_request_back_until_its_end(clock: Clock) -> None:
    throttle = Throttle(None, clock)
    throttle.pause(7)
    assert throttle.pause_seconds == 7
    assert starts(throttle, clock, 2) == [7, 7]
    assert throttle.pause_seconds == 0


def test_the_longer_of_two_pauses_holds(clock: Clock) -> None:
    throttle = Throttle(None, clock)
    throttle.pause(7)
    throttle.pause(2)
    assert throttle.pause_seconds == 7
    throttle.pause(9)
    assert throttle.pause_seconds == 9


def test_after_a_pause_requests_are_spaced_again(clock: Clock) -> None:
    throttle = Throttle(10, clock)
    throttle.pause(7)
    assert starts(throttle, clock, 3) == [7, 7.1, 7.2]


def test_a_pause_that_begins_during_a_wait_holds_too(clock: Clock) -> None:
    throttle = Throttle(1, clock)
    clock.during_wait.append(lambda: throttle.pause(5))
    assert starts(throttle, clock, 2) == [0, 6]


def test_a_pause_that_was_over_before_the_wait_ended_takes_the_slot_away(clock: Clock) -> None:
    """The request would start together with all others that waited for the end of the pause."""
    throttle = Throttle(1, clock)

    def pause() -> None:
        clock.now -= 0.5
        throttle.pause(0.2)
        clock.now += 0.5

    clock.during_wait.append(pause)
    assert starts(throttle, clock, 2) == [0, 2]


def test_stopping_ends_every_wait(clock: Clock) -> None:
    throttle = Throttle(1, clock)
    throttle.pause(600)
    clock.during_wait.append(clock.set)
    throttle.wait_for_slot()
    assert clock.waits == [600]
    throttle.wait_for_slot()
    assert clock.waits == [600]


class Reserved:
    """Slots that several processes share: each reservation begins where the one before ended."""

    def __init__(self, clock: Clock, ahead: float = 0.0) -> None:
        self.clock = clock
        self.end = clock.now + ahead
        self.calls: list[tuple[int, float]] = []

    def __call__(self, count: int, interval_seconds: float) -> float:
        self.calls.append((count, interval_seconds))
        start = max(self.clock.now, self.end)
        self.end = start + count * interval_seconds
        return start - self.clock.now


def test_shared_slots_are_reserved_half_a_second_at_a_time(clock: Clock) -> None:
    throttle, reserve = Throttle(10, clock), Reserved(clock, ahead=3)
    throttle.share(reserve)
    assert starts(throttle, clock, 6) == [3, 3.1, 3.2, 3.3, 3.4, 3.5]
    assert reserve.calls == [(5, 0.1), (5, 0.1)]


def test_at_a_slow_rate_one_slot_is_reserved_at_a_time(clock: Clock) -> None:
    throttle, reserve = Throttle(0.5, clock), Reserved(clock)
    throttle.share(reserve)
    assert starts(throttle, clock, 3) == [0, 2, 4]
    assert reserve.calls == [(1, 2.0)] * 3


def test_shared_slots_that_were_not_used_in_time_are_lost(clock: Clock) -> None:
    throttle, reserve = Throttle(10, clock), Reserved(clock)
    throttle.share(reserve)
    starts(throttle, clock, 2)
    clock.now += 60
    assert starts(throttle, clock, 2) == [0, 0.1]
    assert len(reserve.calls) == 2


def test_a_pause_gives_shared_slots_up(clock: Clock) -> None:
    throttle, reserve = Throttle(10, clock), Reserved(clock)
    throttle.share(reserve)
    starts(throttle, clock, 2)
    throttle.pause(0.1)
    starts(throttle, clock, 1)
    assert len(reserve.calls) == 2


def test_sharing_begins_and_ends_with_new_slots(clock: Clock) -> None:
    throttle, reserve = Throttle(10, clock), Reserved(clock)
    throttle.share(reserve)
    starts(throttle, clock, 1)
    throttle.share(None)
    assert starts(throttle, clock, 3)[1:] == [0.2, 0.3]
    assert len(reserve.calls) == 1
    throttle.share(reserve)
    starts(throttle, clock, 1)
    assert len(reserve.calls) == 2


def test_without_a_limit_no_slot_is_reserved(clock: Clock) -> None:
    throttle, reserve = Throttle(None, clock), Reserved(clock)
    throttle.share(reserve)
    assert starts(throttle, clock, 3) == [0, 0, 0]
    assert reserve.calls == []
