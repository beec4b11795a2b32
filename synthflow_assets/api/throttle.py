"""One clock for all connections: the request rate, and the pauses that the server asks for."""

from __future__ import annotations

import threading
import time


class Throttle:
    """Spaces requests evenly and holds every thread back while a pause lasts.

    One instance belongs to one client and is shared by its threads, so the bound holds for all of them
    together and a 429 seen by one connection slows down every other.
    """

    def __init__(self, requests_per_second: float | None, stopped: threading.Event | None = None) -> None:
        self._interval_seconds = 1.0 / requests_per_second if requests_per_second else 0.0
        self._stopped = stopped or threading.Event()
        self._lock = threading.Lock()
        self._next_start = 0.0  # in seconds of the monotonic clock
        self._pauses = 0
        self._pause_ends = 0.0

    def wait_for_turn(self) -> None:
        """Sleep until this thread may send its request, or until the throttle is stopped."""
        while not self._stopped.is_set():
            with self._lock:
                now = time.monotonic()
                start = max(now, self._next_start)
                self._next_start = start + self._interval_seconds
                pauses = self._pauses
            if start > now:
                self._stopped.wait(start - now)
            # A pause that began meanwhile takes the turn away; a new one is queued for after it.
            if pauses == self._pauses:
                return

    def pause(self, seconds: float) -> None:
        """Let no request start for so many seconds from now."""
        with self._lock:
            self._pauses += 1
            self._pause_ends = max(self._pause_ends, time.monotonic() + seconds)
            self._next_start = max(self._next_start, self._pause_ends)

    @property
    def pause_seconds(self) -> float:
        """What is left of the pause; 0 where there is none."""
        return max(0.0, self._pause_ends - time.monotonic())
