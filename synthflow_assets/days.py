"""What a day is: from local midnight to local midnight, 23 to 25 hours long."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from typing import NamedTuple

_QUARTER_MS = 15 * 60 * 1000


def day_bounds_ms(day: dt.date, timezone: str) -> tuple[int, int]:
    """Begin and end of a day in epoch milliseconds, half-open.

    Where midnight does not exist the day begins with the first moment after it; where midnight comes twice it begins
    with the first. So every moment belongs to exactly one day.
    """
    return _midnight_ms(day, timezone), _midnight_ms(day + dt.timedelta(days=1), timezone)


class LocalHour(NamedTuple):
    """An hour on the clock of a time zone, in epoch milliseconds, half-open."""

    from_ms: int
    to_ms: int
    hour: int


def local_hours(day: dt.date, timezone: str) -> list[LocalHour]:
    """The hours of a day as the clock shows them, in order.

    Where the clock is put back an hour comes twice, and where it is changed by half an hour, one is only that long.
    """
    zone = zoneinfo.ZoneInfo(timezone)
    from_ms, to_ms = day_bounds_ms(day, timezone)
    hours: list[LocalHour] = []
    shown = None
    # Every clock that is in use is changed at a full quarter of an hour, and is whole quarters away from UTC.
    for quarter_ms in range(from_ms, to_ms, _QUARTER_MS):
        local = dt.datetime.fromtimestamp(quarter_ms / 1000, zone)
        if shown != (local.utcoffset(), local.hour):
            hours.append(LocalHour(quarter_ms, quarter_ms + _QUARTER_MS, local.hour))
            shown = (local.utcoffset(), local.hour)
        else:
            hours[-1] = hours[-1]._replace(to_ms=quarter_ms + _QUARTER_MS)
    return hours


def _midnight_ms(day: dt.date, timezone: str) -> int:
    midnight = dt.datetime.combine(day, dt.time(), zoneinfo.ZoneInfo(timezone))
    return int(midnight.timestamp() * 1000)


def last_closed_day(timezone: str, now: dt.datetime | None = None) -> dt.date:
    """Yesterday, in the time zone."""
    present = (now or dt.datetime.now(dt.UTC)).astimezone(zoneinfo.ZoneInfo(timezone))
    return present.date() - dt.timedelta(days=1)
