"""What a day is: from local midnight to local midnight, 23 to 25 hours long."""

from __future__ import annotations

import datetime as dt
import zoneinfo


def day_bounds_ms(day: dt.date, timezone: str) -> tuple[int, int]:
    """Begin and end of a day in epoch milliseconds, half-open.

    Where midnight does not exist the day begins with the first moment after it; where midnight comes twice it begins
    with the first. So every moment belongs to exactly one day.
    """
    return _midnight_ms(day, timezone), _midnight_ms(day + dt.timedelta(days=1), timezone)


def _midnight_ms(day: dt.date, timezone: str) -> int:
    midnight = dt.datetime.combine(day, dt.time(), zoneinfo.ZoneInfo(timezone))
    return int(midnight.timestamp() * 1000)


def last_closed_day(timezone: str, now: dt.datetime | None = None) -> dt.date:
    """Yesterday, in the time zone."""
    present = (now or dt.datetime.now(dt.UTC)).astimezone(zoneinfo.ZoneInfo(timezone))
    return present.date() - dt.timedelta(days=1)
