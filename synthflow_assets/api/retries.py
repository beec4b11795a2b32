"""Repeat a request that failed with a transient error.

After attempt n (from 0), the client waits `min(30, 0.5 * 2**n)` seconds times a random factor between 0.5 and 1.5, or
for as long as `Retry-After` says. It gives up when errors of one class have been retried for their `retry_for_seconds`.
After a 429 or 503 all connections of the client wait, because the limit is the account's. A client may also wait
for outages: if the API cannot be reached or answers 5xx, it retries until no request has succeeded for that time.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from synthflow_assets.api.throttle import Throttle
from synthflow_assets.errors import ClientClosedError, TransientApiError

FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 30.0
_MESSAGE_SECONDS = 60.0
_DAY_SECONDS = 86_400

Result = TypeVar("Result")


class Outage:
    """The time since the API answered last. All threads of a client share it.

    Args:
        is_alive: sends a small request of another kind, and returns whether the API answers it. If one day of one agent
            fails and the API answers everything else, that is no outage.
    """

    def __init__(self, is_alive: Callable[[], bool]) -> None:
        self._is_alive = is_alive
        self._limit_seconds: float | None = None
        self._log: Callable[[str], object] = lambda _: None
        self._lock = threading.Lock()
        self._start: float | None = None  # this and the next in seconds of the monotonic clock
        self._next_message = 0.0

    def wait_for(self, seconds: float, log: Callable[[str], object]) -> None:
        """Wait for outages of up to this many seconds, and log them once a minute."""
        self._limit_seconds, self._log = seconds, log

    def note_failure(self, error: TransientApiError) -> None:
        """Note that a request failed."""
        with self._lock:
            if error.is_outage and self._start is None:
                self._start = self._next_message = time.monotonic()

    def end(self) -> None:
        """Note that the API answered."""
        if self._start is not None:
            with self._lock:
                self._start = None

    def is_waited_for(self, error: TransientApiError, wait_seconds: float) -> bool:
        """Return whether a request is retried beyond the time limit of its error.

        If the API has answered nothing for the whole wait, `error.outlasted` is set.

        Args:
            error: of the last attempt.
            wait_seconds: until the next attempt.
        """
        if self._limit_seconds is None or not error.is_outage:
            return False
        if self._is_alive():
            self.end()
            return False
        with self._lock:
            now = time.monotonic()
            left = now if self._start is None else self._start
            left += self._limit_seconds - now
            error.outlasted = wait_seconds > left
            is_due = not error.outlasted and now >= self._next_message
            if is_due:
                self._next_message = now + _MESSAGE_SECONDS
        if is_due:
            self._log(f"{error}. The run retries for another {-(-left // 60):.0f} min")
        return not error.outlasted


def with_retries(
    attempt: Callable[[], Result], throttle: Throttle, closed: threading.Event, outage: Outage | None = None
) -> Result:
    """Call `attempt` until it succeeds, and return its result.

    Args:
        attempt: sends one request.
        throttle: gives each attempt a connection and a slot, and holds the pauses of all connections.
        closed: set when the client is closed, which ends the waiting.
        outage: of the client; None: it does not wait for outages.

    Raises:
        ApiError: permanent errors at once, transient errors after retries.
    """
    first_failures: dict[type[TransientApiError], float] = {}  # in seconds of the monotonic clock
    for number in itertools.count():
        try:
            result = _send(attempt, throttle, closed)
        except TransientApiError as error:
            # The time counts from the first failure, not from the request: a read time-out of 60 s would otherwise use
            # up the 10 s of its error class without a single retry.
            first_failure = first_failures.setdefault(type(error), time.monotonic())
            wait_seconds = retry_wait_seconds(number, error)
            if outage is not None:
                outage.note_failure(error)
            if time.monotonic() + wait_seconds - first_failure > error.retry_for_seconds and not (
                outage is not None and outage.is_waited_for(error, wait_seconds)
            ):
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
