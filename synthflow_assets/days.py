"""Days of a time zone: from local midnight to local midnight, 23 to 25 hours long.

This is the only source of days. SQL gets their bounds as parameters and never computes days itself, because DuckDB has
zone data of its own: America/Vancouver has no winter time from 2026 on in newer data, and still has it in older data.
"""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections.abc import Sequence
from typing import Any, NamedTuple

_QUARTER_MS = 15 * 60 * 1000
DAILY_RUN_HOUR = 5  # late enough that calls across midnight have ended, early enough for dashboards in the morning
_DUE = dt.time(DAILY_RUN_HOUR + 2)  # the daily run takes two hours at most, with retries


def day_bounds_ms(day: dt.date, timezone: str) -> tuple[int, int]:
    """Return the start and the end of a day, half-open, in epoch milliseconds.

    If midnight does not exist, the day begins with the first moment after it. If midnight occurs twice, the day begins
    with the first. So every moment belongs to exactly one day.

    Args:
        day: the day.
        timezone: an IANA name.
    """
    return _midnight_ms(day, timezone), _midnight_ms(day + dt.timedelta(days=1), timezone)


def bounds_parameters(days: Sequence[dt.date], timezone: str) -> dict[str, list[Any]]:
    """Return the bounds of days as the SQL parameters `bound_days`, `from_ms` and `to_ms`, lists of equal length.

    Args:
        days: the days.
        timezone: an IANA name.
    """
    bounds = [day_bounds_ms(day, timezone) for day in days]
    return {
        "bound_days": list(days),
        "from_ms": [from_ms for from_ms, _ in bounds],
        "to_ms": [to_ms for _, to_ms in bounds],
    }


class LocalHour(NamedTuple):
    """An hour on the clock of a time zone, half-open, in epoch milliseconds."""

    from_ms: int
    to_ms: int
    hour: int


def local_hours(day: dt.date, timezone: str) -> list[LocalHour]:
    """Return the hours of a day as the local clock shows them, in order.

    If the clock is set back by an hour, one hour occurs twice. If it is changed by half an hour, one hour is half as
    long.

    Args:
        day: the day.
        timezone: an IANA name.
    """
    zone = zoneinfo.ZoneInfo(timezone)
    from_ms, to_ms = day_bounds_ms(day, timezone)
    hours: list[LocalHour] = []
    previous = None
    # In every time zone of today, offsets from UTC and the times of changes are multiples of a quarter of an hour.
    for quarter_ms in range(from_ms, to_ms, _QUARTER_MS):
        local = dt.datetime.fromtimestamp(quarter_ms / 1000, zone)
        if previous != (local.utcoffset(), local.hour):
            hours.append(LocalHour(quarter_ms, quarter_ms + _QUARTER_MS, local.hour))
            previous = (local.utcoffset(), local.hour)
        else:
            hours[-1] = hours[-1]._replace(to_ms=quarter_ms + _QUARTER_MS)
    return hours


def _midnight_ms(day: dt.date, timezone: str) -> int:
    midnight = dt.datetime.combine(day, dt.time(), zoneinfo.ZoneInfo(timezone))
    return int(midnight.timestamp() * 1000)


def last_closed_day(timezone: str, now: dt.datetime | None = None) -> dt.date:
    """Return yesterday in a time zone.

    Args:
        timezone: an IANA name.
        now: the present, with a time zone; the machine's clock unless given.
    """
    present = (now or dt.datetime.now(dt.UTC)).astimezone(zoneinfo.ZoneInfo(timezone))
    return present.date() - dt.timedelta(days=1)


def last_due_day(timezone: str, now: dt.datetime | None = None) -> dt.date:
    """Return the latest day that the daily run has had time to land: yesterday, from 07:00 on.

    Args:
        timezone: an IANA name.
        now: the present; by default that of this machine's clock.
    """
    present = (now or dt.datetime.now(dt.UTC)).astimezone(zoneinfo.ZoneInfo(timezone))
    # By the local clock, like the daily schedule. Seven hours after midnight, it may be 06:00 or 08:00.
    return present.date() - dt.timedelta(days=1 if present.time() >= _DUE else 2)
