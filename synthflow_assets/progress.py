"""Log how far a long fetch is: calls, pages, rate, time left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from synthflow_assets.api.events import FetchProgress

_LONG_PAUSE_SECONDS = 5.0


def due_seconds() -> Iterator[float]:
    """Yield when to log, in seconds from the start: never in the first 5 s, and less often the longer a fetch takes."""
    yield from (5.0, 15.0, 30.0)
    minutes = 1
    while True:
        yield minutes * 60.0
        minutes += 1 if minutes < 10 else 5  # noqa: PLR2004 (after ten minutes, every five)


class ProgressLog:
    """Logs some of the `FetchProgress` events of a fetch.

    Args:
        windows: how many windows the fetch has, one for each (day, agent) pair.
        log: gets the messages.
    """

    def __init__(self, windows: int, log: Callable[[str], None]) -> None:
        self._windows = windows
        self._log = log
        self._started = time.monotonic()
        self._due = due_seconds()
        self._next = next(self._due)

    def update(self, progress: FetchProgress) -> None:
        """Log the progress if a message is due."""
        seconds = time.monotonic() - self._started
        if seconds < self._next:
            return
        while self._next <= seconds:
            self._next = next(self._due)
        self._log(describe(progress, self._windows, seconds))


def describe(progress: FetchProgress, windows: int, seconds: float) -> str:
    """Return the progress as one line.

    Args:
        progress: how far the fetch is.
        windows: how many windows the fetch has. Those that have not started count as many pages as the others.
        seconds: since the fetch started.
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
    line += f"; {progress.connections} connection{'s' if progress.connections != 1 else ''}"
    if progress.connections_note:
        line += f" ({progress.connections_note})"
    if progress.pause_seconds > _LONG_PAUSE_SECONDS:
        line += f"; paused for {progress.pause_seconds:.0f} s more, because the API asked for it"
    return line


def _duration(seconds: float) -> str:
    if seconds < 90:  # noqa: PLR2004
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"  # noqa: PLR2004
