"""One clock for all connections: the request rate, and the pauses that the server asks for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

# How many seconds from now the first of so many turns is, which are so many seconds apart.
Reserve = Callable[[int, float], float]

_BLOCK_SECONDS = 0.5  # of turns, reserved at once


class Throttle:
    """Spaces requests evenly and holds every thread back while a pause lasts.

    One instance belongs to one client and is shared by its threads, so the bound holds for all of them
    together and a 429 seen by one connection slows down every other. With `share` it holds for several processes.
    """

    def __init__(self, requests_per_second: float | None, stopped: threading.Event | None = None) -> None:
        self._interval_seconds = 1.0 / requests_per_second if requests_per_second else 0.0
        self._stopped = stopped or threading.Event()
        self._lock = threading.Lock()
        self._next_start = 0.0  # in seconds of the monotonic clock, as all times here
        self._pauses = 0
        self._pause_ends = 0.0
        self._reserve: Reserve | None = None
        self._turns_left = 0
        self._block_ends = 0.0

    def share(self, reserve: Reserve | None) -> None:
        """Take turns from a clock that other processes take theirs from as well; None: from this one's own again."""
        with self._lock:
            self._reserve = reserve
            self._turns_left = 0

    def wait_for_turn(self) -> None:
        """Sleep until this thread may send its request, or until the throttle is stopped."""
        while not self._stopped.is_set():
            with self._lock:
                now = time.monotonic()
                pauses = self._pauses
                start = self._pause_ends if self._pause_ends > now else self._next_turn(now)
                is_turn = self._pause_ends <= now
            if start > now:
                self._stopped.wait(start - now)
            # A pause that began meanwhile takes the turn away.
            if is_turn and pauses == self._pauses:
                return

    def pause(self, seconds: float) -> None:
        """Let no request start for so many seconds from now."""
        with self._lock:
            self._pauses += 1
            self._pause_ends = max(self._pause_ends, time.monotonic() + seconds)
            self._turns_left = 0

    @property
    def pause_seconds(self) -> float:
        """What is left of the pause; 0 where there is none."""
        return max(0.0, self._pause_ends - time.monotonic())

    def _next_turn(self, now: float) -> float:
        if self._reserve is not None and self._interval_seconds:
            if not self._turns_left or now > self._block_ends:
                # Turns that were not taken in time are lost: taken later, they would be on top of other processes'.
                self._turns_left = max(1, int(_BLOCK_SECONDS / self._interval_seconds))
                self._next_start = now + self._reserve(self._turns_left, self._interval_seconds)
                self._block_ends = self._next_start + self._turns_left * self._interval_seconds
            self._turns_left -= 1
        start = max(now, self._next_start)
        self._next_start = start + self._interval_seconds
        return start
