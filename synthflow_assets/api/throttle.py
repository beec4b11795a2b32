"""Limit the requests of a client: their number at once, their rate, and pauses that the API asks for."""

from __future__ import annotations

import threading
import time

from synthflow_assets.api.concurrency import ConcurrencyLimit
from synthflow_assets.interfaces import ReserveSlots

_BLOCK_SECONDS = 0.5  # how long the slots last that are reserved at once


class Throttle:
    """Spaces the requests of all threads of a client evenly, and holds them back during a pause.

    With `share`, the rate holds for several processes together.

    Args:
        requests_per_second: the limit; None for no limit.
        stopped: when set, nothing waits any more.
        max_connections: how many requests may be under way at once; `concurrency` finds a number up to it.
    """

    def __init__(
        self, requests_per_second: float | None, stopped: threading.Event | None = None, max_connections: int = 32
    ) -> None:
        self._interval_seconds = 1.0 / requests_per_second if requests_per_second else 0.0
        self._stopped = stopped or threading.Event()
        self.concurrency = ConcurrencyLimit(max_connections, self._stopped)
        self._lock = threading.Lock()
        # All times are seconds of the monotonic clock.
        self._next_slot = 0.0
        self._pause_end = 0.0
        self._pauses = 0
        self._reserve: ReserveSlots | None = None
        self._slots_left = 0
        self._block_end = 0.0

    def share(self, reserve: ReserveSlots | None) -> None:
        """Take request slots from `reserve`, which other processes use too; None: use this client's own rate again."""
        with self._lock:
            self._reserve = reserve
            self._slots_left = 0

    def wait_for_slot(self) -> None:
        """Sleep until this thread may send its request, or until the throttle is stopped."""
        while not self._stopped.is_set():
            with self._lock:
                now = time.monotonic()
                pauses = self._pauses
                is_paused = self._pause_end > now
                start = self._pause_end if is_paused else self._take_slot(now)
            if start > now:
                self._stopped.wait(start - now)
            # After a pause, or one that began while this thread slept, it takes a new slot.
            if not is_paused and pauses == self._pauses:
                return

    def stop(self) -> None:
        """Let nothing wait any more."""
        self._stopped.set()
        self.concurrency.wake()

    def pause(self, seconds: float) -> None:
        """Let no request start for this many seconds from now."""
        with self._lock:
            self._pauses += 1
            self._pause_end = max(self._pause_end, time.monotonic() + seconds)
            self._slots_left = 0

    @property
    def pause_seconds(self) -> float:
        """Seconds until the pause ends; 0 if there is none."""
        return max(0.0, self._pause_end - time.monotonic())

    def _take_slot(self, now: float) -> float:
        if self._reserve is not None and self._interval_seconds:
            if not self._slots_left or now > self._block_end:
                # Slots that were not used in time are lost: used later, they would exceed the rate together with
                # the slots of other processes.
                self._slots_left = max(1, int(_BLOCK_SECONDS / self._interval_seconds))
                self._next_slot = now + self._reserve(self._slots_left, self._interval_seconds)
                self._block_end = self._next_slot + self._slots_left * self._interval_seconds
            self._slots_left -= 1
        start = max(now, self._next_slot)
        self._next_slot = start + self._interval_seconds
        return start
