"""What can be set on the sandbox: how much data, which reading of the API, which misbehaviour."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Literal

DEFAULT_API_KEY = "sandbox-key"

# Each fault either has a probability below 1, or strikes the first so many requests and then never again.
FAULTS = {
    "error_500": "answers 500",
    "error_503": "answers 503",
    "rate_limit": "answers 429 with Retry-After in seconds",
    "rate_limit_date": "answers 429 with Retry-After as an HTTP date",
    "reset": "closes the connection without an answer",
    "truncate": "closes the connection in the middle of the answer",
    "html": "answers 200 with an HTML page",
    "wrong_json": "answers 200 with JSON of another shape",
    "redirect": "answers 302 to another path",
    "short_page": "leaves the last call out of a page",
    "repeat_page": "answers the page before the one that was asked for",
    "listed_twice": "lists every tenth call twice, and counts it twice",
    "capped_total": "states at most 200 calls, however many there are",
    "ignore_offset": "ignores offset",
    "arrival": "a new call arrives in the window before the page is cut, and shifts the offsets",
    "other_model": "answers with another agent's calls",
    "ignore_window": "ignores from_date and to_date",
    "expired_link": "answers 403 at the signed address of a recording",
    "broken_audio": "closes the connection in the middle of a recording",
    "odd_records": "lets calls through that no schema can type, and texts that no database can store",
}


@dataclass(frozen=True)
class SandboxConfig:
    """Everything that can be set; the defaults are a small, well-behaved workspace."""

    api_key: str = DEFAULT_API_KEY
    seed: int = 7
    agents: int = 3
    calls_per_day: int = 120  # of the busiest agent on a weekday; the others have fewer
    same_volume: bool = False  # exactly calls_per_day for each agent and UTC day
    now: dt.datetime | None = None  # None: the machine's clock. Later calls do not exist, running ones are open
    history_days: int = 400  # what a question without a window covers

    clock_behind_seconds: float = 0.0  # of the `Date` that its answers bear
    latency_seconds: float = 0.0  # of each answer
    requests_per_second: float | None = None  # above it: 429
    faults: dict[str, float] = field(default_factory=dict)
    poisoned_day: dt.date | None = None  # in UTC; questions about it are answered 400, however often they are asked

    # The reference leaves these open.
    window_filters: Literal["start", "end", "start_and_end"] = "start"
    window_ends: Literal["half_open", "inclusive", "exclusive"] = "half_open"
    order: Literal["descending", "ascending", "arbitrary", "tied", "shuffled"] = "descending"
    hide_open_calls: bool = False
    unknown_model: Literal["not_found", "empty"] = "not_found"
    assistants_endpoint: bool = True

    def __post_init__(self) -> None:
        unknown = set(self.faults) - set(FAULTS)
        if unknown:
            raise ValueError(f"unknown fault {', '.join(sorted(unknown))}; known are {', '.join(FAULTS)}")
