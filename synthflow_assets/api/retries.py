"""Repeat a request that failed with a transient error.

After attempt n (from 0), the client waits `min(30, 0.5 * 2**n)` seconds times a random factor between 0.5 and 1.5. If
the response has a `Retry-After`, the client waits for that time instead. It gives up when errors of one class have been
retried for their `retry_for_seconds`. After a 429 or 503 all connections of the client wait, because the limit is the
account's.

A client may also wait for outages, for a set time. If the API cannot be reached or answers 5xx, the client gives up
only when no request has succeeded for this time. If the API answers other requests, the error's own time limit applies.
The client finds this out by repeating the last request that was answered, for a single record.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from synthflow_assets.api.throttle import Throttle
from synthflow_assets.errors import ClientClosedError, TransientApiError

FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 30.0
_SILENT_SECONDS = 5.0  # if a retry succeeds within this time, nothing is logged
_MESSAGE_SECONDS = 60.0
_SHORTEST_SECONDS = 10.0  # of the wait for an outage
_DAY_SECONDS = 86_400

Result = TypeVar("Result")


class Outage:
    """The time since the API answered last. All threads of a client share it.

    Args:
        is_alive: sends a small request, and returns whether the API answers it. If one day of one agent fails and the
            API answers everything else, that is no outage.
    """

    def __init__(self, is_alive: Callable[[], bool]) -> None:
        self._is_alive = is_alive
        self._limit_seconds: float | None = None
        self._log: Callable[[str], object] = lambda _: None
        self._lock = threading.Lock()
        self._start: float | None = None  # this and the next in seconds of the monotonic clock
        self._next_message = 0.0

    def wait_for(self, seconds: float, log: Callable[[str], object]) -> None:
        """Wait for outages of up to this many seconds, but at least 10.

        Errors that last are logged soon, and then once a minute.
        """
        self._limit_seconds, self._log = max(seconds, _SHORTEST_SECONDS), log

    def end(self) -> None:
        """Note that the API answered."""
        if self._start is not None:
            with self._lock:
                self._start = None

    def next_wait(self, error: TransientApiError, failure: Failure, wait_seconds: float) -> float | None:
        """Return how many seconds to wait until a request is sent again; None to give up.

        If the API has answered nothing for the whole wait, `error.outlasted` is set.

        Args:
            error: of the last attempt.
            failure: since when the request fails.
            wait_seconds: how long to wait if there is no time limit.
        """
        if self._limit_seconds is None or not error.is_outage:
            within_limit = failure.next_wait(error.retry_for_seconds, wait_seconds)
            if within_limit is not None and self._is_message_due(failure):
                left = _duration(error.retry_for_seconds - failure.seconds)
                self._log(f"{error}. Retrying for at most another {left}")
            return within_limit
        limit_seconds = min(error.retry_for_seconds, self._limit_seconds)
        within_limit = failure.next_wait(limit_seconds, wait_seconds)
        is_due = self._is_message_due(failure)
        if within_limit is not None and wait_seconds <= self._seconds_left() and not is_due:
            return wait_seconds
        if self._is_alive():
            self.end()
            if is_due and within_limit is not None:
                left = _duration(limit_seconds - failure.seconds)
                self._log(f"{error}. The API answers other requests. Retrying for at most another {left}")
            return within_limit
        left_seconds = self._seconds_left()
        error.outlasted = left_seconds <= 0 or (error.retry_after_seconds or 0.0) > left_seconds
        if error.outlasted:
            return None
        if is_due:
            self._log(f"{error}. Retrying for another {_duration(left_seconds)}")
        return min(wait_seconds, left_seconds)

    def _seconds_left(self) -> float:
        """Return the seconds until the end of the wait for an outage, which begins now unless there is one."""
        with self._lock:
            now = time.monotonic()
            self._start = now if self._start is None else self._start
            return self._start + (self._limit_seconds or 0.0) - now

    def _is_message_due(self, failure: Failure) -> bool:
        """Return whether to log the errors now. If so, no other thread logs errors for a minute."""
        with self._lock:
            now = time.monotonic()
            is_due = now - failure.attempted_at >= _SILENT_SECONDS and now >= self._next_message
            if is_due:
                self._next_message = now + _MESSAGE_SECONDS
            return is_due


@dataclass(frozen=True)
class Failure:
    """Since when a request fails with errors of one class, in seconds of the monotonic clock.

    Attributes:
        attempted_at: when the first attempt that failed began.
        failed_at: when it failed. The time limit counts from here: a read time-out of 60 s would otherwise use up the
            10 s of its error class without a single retry.
    """

    attempted_at: float
    failed_at: float

    @property
    def seconds(self) -> float:
        """Seconds since the first attempt failed."""
        return time.monotonic() - self.failed_at

    def next_wait(self, limit_seconds: float, wait_seconds: float) -> float | None:
        """Return the wait until the next attempt; None if it would be after the time limit."""
        return wait_seconds if self.seconds + wait_seconds <= limit_seconds else None


def _duration(seconds: float) -> str:
    return f"{-(-seconds // 60):.0f} min" if seconds > _MESSAGE_SECONDS else f"{max(1.0, seconds):.0f} s"


def with_retries(
    attempt: Callable[[], Result], throttle: Throttle, closed: threading.Event, outage: Outage | None = None
) -> Result:
    """Call `attempt` until it succeeds, and return its result.

    Args:
        attempt: sends one request.
        throttle: gives each attempt a connection and a slot, and holds the pauses of all connections.
        closed: set when the client is closed, which ends the waiting.
        outage: the client's wait for outages; None if it does not wait for them.

    Raises:
        ApiError: permanent errors at once, transient errors after retries.
    """
    failures: dict[type[TransientApiError], Failure] = {}
    began = 0.0

    def timed() -> Result:
        nonlocal began
        began = time.monotonic()
        return attempt()

    for number in itertools.count():
        try:
            result = _send(timed, throttle, closed)
        except TransientApiError as error:
            failure = failures.setdefault(type(error), Failure(began, time.monotonic()))
            planned = retry_wait_seconds(number, error)
            if outage is None:
                wait_seconds = failure.next_wait(error.retry_for_seconds, planned)
            else:
                wait_seconds = outage.next_wait(error, failure, planned)
            if wait_seconds is None:
                raise _final_error(error, number + 1) from None
            if error.pauses_all_connections:
                throttle.pause(wait_seconds)
            else:
                closed.wait(wait_seconds)
        else:
            if outage is not None:
                outage.end()
            return result
    raise AssertionError("unreachable")


def _send(attempt: Callable[[], Result], throttle: Throttle, closed: threading.Event) -> Result:
    # The connection comes first: a slot that waits for a connection would be used later than it was reserved for.
    with throttle.concurrency.connection():
        throttle.wait_for_slot()
        if closed.is_set():
            raise ClientClosedError("the client was closed while a request waited")
        with throttle.concurrency.observing():
            return attempt()


def retry_wait_seconds(attempt: int, error: TransientApiError) -> float:
    """Return how many seconds to wait after the failed attempt with this number, counted from 0."""
    if error.retry_after_seconds is not None:
        return error.retry_after_seconds + random.uniform(0, 0.25)
    return min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2.0**attempt) * random.uniform(0.5, 1.5)


def _final_error(error: TransientApiError, attempts: int) -> TransientApiError:
    tries = "1 attempt" if attempts == 1 else f"{attempts} attempts"
    retry_after = error.retry_after_seconds
    seconds = f"{retry_after:.0f} s" if retry_after is not None and retry_after <= _DAY_SECONDS else "more than a day"
    asked = f"; the API asks to wait {seconds}" if retry_after is not None else ""
    final = type(error)(f"{error} (gave up after {tries}{asked})", retry_after)
    final.response_text = error.response_text
    final.outlasted = error.outlasted
    return final
