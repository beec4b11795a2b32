"""Types that the API client and the warehouse share, because neither imports the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

# Reserves request slots for one process among several that share a rate: `reserve(count, interval_seconds)` reserves
# `count` slots, `interval_seconds` apart, and returns how many seconds from now the first one is. No slot is reserved
# twice.
ReserveSlots = Callable[[int, float], float]


@dataclass(frozen=True)
class FetchCounts:
    """The counts of fetching the calls of one agent and day, as `call_loads` stores them."""

    total_records: int  # calls, by the API's total for the requested window, margin included
    fetched: int  # distinct calls
    duplicates: int  # calls received more than once
    outside_window: int  # distinct calls that start outside the wanted window
    other_model: int  # distinct calls of another agent
    requests: int


@dataclass(frozen=True)
class FetchResult(FetchCounts):
    """The counts of a complete fetch, and whether calls may still be added or change."""

    closed: bool  # the requested window, margin included, lay in the past
    until_ms: int | None = None  # if the day was not over: the present, in epoch milliseconds
    states_total: bool = True  # False if the API said that there are no calls, but not that their number is 0
