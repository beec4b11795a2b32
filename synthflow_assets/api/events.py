"""What is fetched (`CallWindow`), and the events that a fetch yields."""

from __future__ import annotations

from dataclasses import dataclass, field

from synthflow_assets.api.pages import CallRecord
from synthflow_assets.errors import ApiError
from synthflow_assets.interfaces import FetchResult


@dataclass(frozen=True)
class CallWindow:
    """The calls of one agent that start in [start_ms, end_ms), in epoch milliseconds.

    `strays`: ids of calls that are wanted although they start shortly before or after.
    """

    model_id: str
    start_ms: int
    end_ms: int
    strays: frozenset[str] = frozenset()


@dataclass(frozen=True)
class FetchedPage:
    """Calls of a window that were not yielded before."""

    window: CallWindow
    records: list[CallRecord]


@dataclass(frozen=True)
class FetchedWindow:
    """The window is complete: all its calls were yielded before.

    `outside`: ids and starts, in epoch milliseconds, of calls that were listed but start shortly before or after. The
    window of their own day lists them too, unless the API filters another time of them.
    """

    window: CallWindow
    result: FetchResult
    outside: list[tuple[str, int]] = field(default_factory=list)


@dataclass(frozen=True)
class FailedWindow:
    """The window could not be fetched; discard its calls that were yielded before."""

    window: CallWindow
    error: ApiError


@dataclass(frozen=True)
class FetchProgress:
    """How far the fetch is, about once a second."""

    windows_done: int
    windows_started: int
    pages_done: int
    pages_expected: int  # of the windows started so far; the others are not known yet
    calls: int  # distinct calls yielded
    connections: int  # requests in flight at once
    connections_note: str  # why there are not more connections; empty if nothing is known
    pause_seconds: float  # left of a pause that the API asked for


FetchEvent = FetchedPage | FetchedWindow | FailedWindow | FetchProgress
