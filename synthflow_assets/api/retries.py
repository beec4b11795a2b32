"""Repeat a request that failed with a transient error.

After attempt n (from 0), the client waits `min(30, 0.5 * 2**n)` seconds times a random factor between 0.5 and 1.5, or
for as long as `Retry-After` says. It gives up when errors of one class have been retried for their `retry_for_seconds`.
After a 429 or 503 all connections of the client wait, because the limit is the account's.
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

Result = TypeVar("Result")


def with_retries(attempt: Callable[[], Result], throttle: Throttle, closed: threading.Event) -> Result:
    """Call `attempt` until it succeeds, and return its result.

    Args:
        attempt: sends one request.
        throttle: gives each attempt its slot, and holds the pauses of all connections.
        closed: set when the client is closed, which ends the waiting.

    Raises:
        ApiError: permanent errors at once, transient errors after retries.
    """
    first_failures: dict[type[TransientApiError], float] = {}  # in seconds of the monotonic clock
    for number in itertools.count():
        throttle.wait_for_slot()
        if closed.is_set():
            raise ClientClosedError("the client was closed while a request waited")
        try:
            return attempt()
        except TransientApiError as error:
            # The time counts from the first failure, not from the request: a read time-out of 60 s would otherwise use
            # up the 10 s of its error class without a single retry.
            first_failure = first_failures.setdefault(type(error), time.monotonic())
            wait_seconds = retry_wait_seconds(number, error)
            if time.monotonic() + wait_seconds - first_failure > error.retry_for_seconds:
                raise _final_error(error, number + 1) from None
            if error.pauses_all_connections:
                throttle.pause(wait_seconds)
            else:
                closed.wait(wait_seconds)
    raise AssertionError("unreachable")


def retry_wait_seconds(attempt: int, error: TransientApiError) -> float:
    """Return how many seconds to wait after the failed attempt with this number, counted from 0."""
    if error.retry_after_seconds is not None:
        return error.retry_after_seconds + random.uniform(0, 0.25)
    return min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2.0**attempt) * random.uniform(0.5, 1.5)


def _final_error(error: TransientApiError, attempts: int) -> TransientApiError:
    tries = "1 attempt" if attempts == 1 else f"{attempts} attempts"
    retry_after = error.retry_after_seconds
    asked = f"; the API asks to wait {retry_after:.0f} s" if retry_after is not None else ""
    final = type(error)(f"{error} (gave up after {tries}{asked})", retry_after)
    final.response_text = error.response_text
    return final
