"""What a fetch is asked for, and what it tells while it goes on."""

from __future__ import annotations

from dataclasses import dataclass

from synthflow_assets.api.pages import CallRecord
from synthflow_assets.errors import ApiError


@dataclass(frozen=True)
class CallWindow:
    """The calls of one agent whose start lies in [start_ms, end_ms), in epoch milliseconds."""

    model_id: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True)
class FetchStats:
    """What fetching a window came to. All figures count calls, `requests` excepted."""

    total_records: int  # what the API stated for the asked window, margin included
    fetched: int  # distinct calls that came
    duplicates: int  # came more than once
    outside_window: int  # came, but start outside the wanted span
    other_model: int  # came, but belong to another agent
    requests: int
    closed: bool  # the asked window, margin included, lay in the past


@dataclass(frozen=True)
class FetchedPage:
    """Some calls of a window, none of which came before."""

    window: CallWindow
    records: list[CallRecord]


@dataclass(frozen=True)
class FetchedWindow:
    """A window is complete: all its calls came in pages before."""

    window: CallWindow
    stats: FetchStats


@dataclass(frozen=True)
class FailedWindow:
    """A window could not be fetched; what came of it before is to be thrown away."""

    window: CallWindow
    error: ApiError


@dataclass(frozen=True)
class FetchProgress:
    """How far a fetch has come; sent between the other events about once a second."""

    windows_done: int
    windows_begun: int
    pages_done: int
    pages_known: int  # of the windows that were begun; what the others need is not known yet
    calls: int  # distinct ones that came
    pause_seconds: float  # left of a pause that the API asked for


FetchEvent = FetchedPage | FetchedWindow | FailedWindow | FetchProgress
