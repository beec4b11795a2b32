"""Says how far a long fetch is, at a pace that a person can follow: calls, pages, rate, time left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from synthflow_assets.api.events import FetchProgress

_LONG_PAUSE_SECONDS = 5.0


def _due_seconds() -> Iterator[float]:
    """When to speak, in seconds from the beginning: short fetches stay silent, long ones are not chatty."""
    yield from (5.0, 15.0, 30.0)
    minutes = 1
    while True:
        yield minutes * 60.0
        minutes += 1 if minutes < 10 else 5  # noqa: PLR2004 (after ten minutes nobody watches every line)


class ProgressLog:
    """Turns the events of a fetch of `windows` windows into some lines of a log."""

    def __init__(self, windows: int, log: Callable[[str], None]) -> None:
        self._windows = windows
        self._log = log
        self._begun = time.monotonic()
        self._due = _due_seconds()
        self._next = next(self._due)

    def update(self, progress: FetchProgress) -> None:
        """Write a line if it is time for one."""
        seconds = time.monotonic() - self._begun
        if seconds < self._next:
            return
        while self._next <= seconds:
            self._next = next(self._due)
        self._log(describe(progress, self._windows, seconds))


def describe(progress: FetchProgress, windows: int, seconds: float) -> str:
    """One line on a fetch that has lasted so many seconds.

    Windows that were not begun yet are taken to need as many pages as the others, so their share is an estimate.
    """
    pages = progress.pages_expected
    if 0 < progress.windows_started < windows:
        pages = round(pages * windows / progress.windows_started)
    about = "" if progress.windows_started == windows else "about "
    line = (
        f"{progress.calls:,} calls; {progress.pages_done:,} of {about}{pages:,} pages, "
        f"{progress.windows_done:,} of {windows:,} (day, agent) pairs"
    )
    rate = progress.pages_done / seconds if seconds else 0.0
    if rate:
        line += f"; {rate:.1f} pages/s, about {_duration((pages - progress.pages_done) / rate)} left"
    if progress.pause_seconds > _LONG_PAUSE_SECONDS:
        line += f"; the API asked for a pause, {progress.pause_seconds:.0f} s of it left"
    return line


def _duration(seconds: float) -> str:
    if seconds < 90:  # noqa: PLR2004 (the words below say it)
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"  # noqa: PLR2004
