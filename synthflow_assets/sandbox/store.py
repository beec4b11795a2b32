"""Select the calls that a request lists, under every reading of the API that the config allows."""

from __future__ import annotations

import hashlib
import json
import time
import zlib
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from synthflow_assets.sandbox.calls import DAY_MS, DayOfCalls, SandboxAgent, agents, day_of_calls, odd_records, render
from synthflow_assets.sandbox.config import SandboxConfig

# One of the records of a day has 5 MB, and each request asks for up to three days.
_odd_records = lru_cache(maxsize=8)(odd_records)

_LONGEST_CALL_MS = 3_100_000  # of the made-up calls; how far before a window their starts may lie
# How far after a window a call may start, if `window_filters` is creation or scheduled start.
_LONGEST_WAIT_MS = 5_400_000
_EARLY_MS = 5_400_000
_CREATION_MS = range(10_000, 1_200_001)  # how long before its start a call is created
_SCHEDULE_MS, _LATE_MS = 900_000, 600_000  # scheduled for a multiple of the first, at least the second before the start


@dataclass(frozen=True)
class Window:
    """The filters of a request; None for those it does not set."""

    from_ms: int | None = None
    to_ms: int | None = None
    call_status: str | None = None
    duration_min: int | None = None
    duration_max: int | None = None
    lead_phone_number: str | None = None


@dataclass(frozen=True)
class ExtraCall:
    """A call beside the made-up ones: an odd record, or a call that arrived between two pages."""

    start_ms: int
    end_ms: int
    record: str


@dataclass(frozen=True)
class Selection:
    """The calls that a request lists, in the order of the response: extra ones first."""

    days: list[DayOfCalls]
    day_of: npt.NDArray[np.int32]
    index_of: npt.NDArray[np.int64]
    extra: list[ExtraCall] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.index_of) + len(self.extra)

    def every(self, number: int) -> Selection:
        """Return every second call for 2, every third for 3, and so on."""
        chosen = slice(number - 1, None, number)
        return replace(self, day_of=self.day_of[chosen], index_of=self.index_of[chosen], extra=self.extra[chosen])

    def page(self, offset: int, limit: int, now_ms: int) -> list[str]:
        """Return the JSON texts of the calls from `offset` to `offset + limit`; open if they end after `now_ms`."""
        from_extra = [call.record for call in self.extra[offset : offset + limit]]
        start = max(0, offset - len(self.extra))
        stop = max(0, offset + limit - len(self.extra))
        return from_extra + [
            render(self.days[day], int(index), now_ms)
            for day, index in zip(self.day_of[start:stop], self.index_of[start:stop], strict=True)
        ]


class CallStore:
    """The workspace's calls. For one thread only."""

    def __init__(self, config: SandboxConfig) -> None:
        self.config = config
        self.agents = {agent.model_id: agent for agent in agents(config.agents, config.seed)}
        self._arrived: dict[str, list[ExtraCall]] = {}
        self._selections: dict[tuple[str, Window, int], Selection] = {}

    def now_ms(self) -> int:
        """Return the sandbox's present, in epoch milliseconds."""
        return int((self.config.now.timestamp() if self.config.now else time.time()) * 1000)

    def select(self, model_id: str, window: Window) -> Selection:
        """Return the calls that the API lists for these filters."""
        # One selection a minute, so that all pages of a fetch come from the same one.
        key = (model_id, window, self.now_ms() // 60_000)
        if key not in self._selections:
            if len(self._selections) >= 32:
                self._selections.pop(next(iter(self._selections)))
            self._selections[key] = self._select(self.agents[model_id], window)
        return self._selections[key]

    def started_between(self, model_id: str, from_ms: int, to_ms: int) -> int:
        """Return how many calls of the agent start in [from_ms, to_ms)."""
        made_up = sum(
            int(np.count_nonzero((day.start_ms >= from_ms) & (day.start_ms < min(to_ms, self.now_ms()))))
            for day in self._days(self.agents[model_id], from_ms, to_ms)
        )
        return made_up + sum(from_ms <= call.start_ms < to_ms for call in self._extra(model_id, from_ms, to_ms))

    def ids_between(self, model_id: str, from_ms: int, to_ms: int) -> set[str]:
        """Return the ids of the calls of the agent that start in [from_ms, to_ms), without odd records."""
        days = self._days(self.agents[model_id], from_ms, min(to_ms, self.now_ms()))
        return {
            day.call_id(int(index))
            for day in days
            for index in np.flatnonzero((day.start_ms >= from_ms) & (day.start_ms < min(to_ms, self.now_ms())))
        } | {
            str(json.loads(call.record)["call_id"])
            for call in self._arrived.get(model_id, [])
            if from_ms <= call.start_ms < to_ms
        }

    def add_arrival(self, model_id: str, window: Window) -> None:
        """Add a call that starts in the middle of the window, before a page is selected."""
        from_ms, to_ms = window.from_ms or 0, window.to_ms or self.now_ms()
        number = len(self._arrived.setdefault(model_id, []))
        start = (from_ms + to_ms) // 2 + number
        day = day_of_calls(self.agents[model_id], start // DAY_MS, self.config.seed, 1, same_volume=True)
        record = json.loads(render(day, 0, day.end_ms.item(0)))
        record |= {
            "call_id": f"{start}x{zlib.crc32(model_id.encode()) * 1_000_000 + number:018d}",
            "start_time": str(start),
        }
        end = start + int(record["duration"]) * 1000
        self._arrived[model_id].append(ExtraCall(start, end, json.dumps(record)))
        self._selections.clear()

    def _days(self, agent: SandboxAgent, from_ms: int, to_ms: int) -> list[DayOfCalls]:
        config = self.config
        return [
            day_of_calls(
                agent,
                day,
                config.seed,
                config.calls_per_day,
                config.same_volume,
                border_calls=config.border_calls,
                small=config.small_records,
            )
            for day in range(from_ms // DAY_MS, -(-max(to_ms, from_ms) // DAY_MS))
        ]

    def _extra(self, model_id: str, from_ms: int, to_ms: int) -> list[ExtraCall]:
        extra = list(self._arrived.get(model_id, []))
        if "odd_records" in self.config.faults:
            for day in range(from_ms // DAY_MS, -(-to_ms // DAY_MS)):
                noon = day * DAY_MS + DAY_MS // 2
                extra += [ExtraCall(noon, noon + 25_000, record) for _, record in _odd_records(model_id, noon)]
        return extra

    def _select(self, agent: SandboxAgent, window: Window) -> Selection:
        now = self.now_ms()
        from_ms = window.from_ms if window.from_ms is not None else now - self.config.history_days * DAY_MS
        to_ms = window.to_ms if window.to_ms is not None else now + DAY_MS
        days = self._days(agent, from_ms - _LONGEST_CALL_MS, min(to_ms + _LONGEST_WAIT_MS, now) + 1)
        chosen = [np.flatnonzero(self._matches(day, window, now)) for day in days]
        day_of = np.concatenate([np.full(len(c), i, np.int32) for i, c in enumerate(chosen)] or [np.empty(0, np.int32)])
        index_of = np.concatenate(chosen or [np.empty(0, np.int64)])
        order = self._order(len(index_of), agent.model_id)
        extra = [
            call
            for call in self._extra(agent.model_id, from_ms, min(to_ms + _LONGEST_WAIT_MS, now))
            if self._in_window(np.array([call.start_ms]), np.array([call.end_ms]), window)[0]
        ]
        return Selection(days, day_of[order], index_of[order], extra)

    def _order(self, count: int, model_id: str) -> Any:
        if self.config.order == "descending":
            return slice(None, None, -1)
        if self.config.order == "arbitrary":
            seed = int.from_bytes(hashlib.sha256(model_id.encode()).digest()[:4], "big")
            return np.random.default_rng(seed).permutation(count)
        return slice(None)

    def _matches(self, day: DayOfCalls, window: Window, now_ms: int) -> npt.NDArray[np.bool_]:
        keep = (day.start_ms <= now_ms) & self._in_window(day.start_ms, day.end_ms, window)
        is_open = day.end_ms > now_ms
        if self.config.hide_open_calls:
            keep &= ~is_open
        if window.duration_min is not None:
            keep &= day.duration_seconds >= window.duration_min
        if window.duration_max is not None:
            keep &= day.duration_seconds <= window.duration_max
        if window.call_status is not None:
            for index in np.flatnonzero(keep):
                keep[index] = day.call_status(int(index), now_ms) == window.call_status
        if window.lead_phone_number is not None:
            for index in np.flatnonzero(keep):
                keep[index] = day.lead_phone_number(int(index)) == window.lead_phone_number
        return keep

    def _in_window(
        self, start_ms: npt.NDArray[np.int64], end_ms: npt.NDArray[np.int64], window: Window
    ) -> npt.NDArray[np.bool_]:
        match self.config.window_filters:
            case "start":
                lower = upper = start_ms
            case "end":
                lower = upper = end_ms
            case "start_and_end":
                lower, upper = start_ms, end_ms
            case "creation":
                lower = upper = start_ms - _CREATION_MS.start - start_ms * 7 % len(_CREATION_MS)
            case "early_creation":
                lower = upper = start_ms - (start_ms % 2) * _EARLY_MS
            case "scheduled_start":
                lower = upper = (start_ms - _LATE_MS) // _SCHEDULE_MS * _SCHEDULE_MS
        includes_begin = self.config.window_ends in ("half_open", "inclusive")
        includes_end = self.config.window_ends in ("exclusive_begin", "inclusive")
        keep = np.ones(len(start_ms), bool)
        if window.from_ms is not None:
            keep &= lower >= window.from_ms if includes_begin else lower > window.from_ms
        if window.to_ms is not None:
            keep &= upper <= window.to_ms if includes_end else upper < window.to_ms
        return keep
