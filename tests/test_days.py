"""Days have the length of the local clock, and each moment is in exactly one day."""

import datetime as dt
import zoneinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthflow_assets.days import day_bounds_ms, last_closed_day, last_due_day

HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    ("timezone", "day", "hours"),
    [
        ("UTC", "2026-03-08", 24),
        ("America/New_York", "2026-03-08", 23),
        ("America/New_York", "2026-11-01", 25),
        ("Europe/Berlin", "2026-03-29", 23),
        ("Australia/Lord_Howe", "2026-04-05", 24.5),
        ("Africa/Cairo", "2026-04-24", 23),  # midnight does not exist
        ("America/Havana", "2026-11-01", 25),  # midnight comes twice
    ],
)
def test_length_of_days(timezone: str, day: str, hours: float) -> None:
    start, end = day_bounds_ms(dt.date.fromisoformat(day), timezone)
    assert (end - start) / HOUR_MS == hours


@given(
    st.dates(dt.date(2020, 1, 1), dt.date(2030, 12, 31)),
    st.sampled_from(sorted(zoneinfo.available_timezones() - {"localtime", "Factory"})),
)
def test_days_meet_without_gap_or_overlap(day: dt.date, timezone: str) -> None:
    start, end = day_bounds_ms(day, timezone)
    assert start < end
    assert day_bounds_ms(day + dt.timedelta(days=1), timezone)[0] == end
    zone = zoneinfo.ZoneInfo(timezone)
    assert dt.datetime.fromtimestamp(start / 1000, zone).date() == day
    assert dt.datetime.fromtimestamp((end - 1) / 1000, zone).date() == day


def test_last_closed_day_is_yesterday_in_the_zone() -> None:
    now = dt.datetime(2026, 3, 10, 3, tzinfo=dt.UTC)
    assert last_closed_day("UTC", now) == dt.date(2026, 3, 9)
    assert last_closed_day("America/New_York", now) == dt.date(2026, 3, 8)
    assert last_closed_day("Asia/Tokyo", now) == dt.date(2026, 3, 9)


def test_yesterday_is_due_when_the_daily_run_has_had_time_to_land_it() -> None:
    """Until then, a check that missed it would send an alert each night."""
    night, morning = (dt.datetime(2026, 3, 10, hour, 59, tzinfo=dt.UTC) for hour in (6, 7))
    assert last_due_day("UTC", night) == dt.date(2026, 3, 8)
    assert last_due_day("UTC", morning) == dt.date(2026, 3, 9)
    assert last_due_day("America/New_York", morning) == dt.date(2026, 3, 8)
    assert last_due_day("Asia/Tokyo", dt.datetime(2026, 3, 9, 21, 59, tzinfo=dt.UTC)) == dt.date(2026, 3, 8)
    assert last_due_day("Asia/Tokyo", dt.datetime(2026, 3, 9, 22, 0, tzinfo=dt.UTC)) == dt.date(2026, 3, 9)


@pytest.mark.parametrize(
    ("day", "utc_hour"),
    [
        (dt.date(2026, 3, 29), 5),  # 07:00 in summer time is six hours after midnight
        (dt.date(2026, 10, 25), 6),  # 07:00 in winter time is eight hours after midnight
    ],
)
def test_a_day_is_due_at_the_same_local_time_after_a_clock_change(day: dt.date, utc_hour: int) -> None:
    seven = dt.datetime(day.year, day.month, day.day, utc_hour, tzinfo=dt.UTC)
    yesterday = day - dt.timedelta(days=1)
    assert last_due_day("Europe/Berlin", seven) == yesterday
    assert last_due_day("Europe/Berlin", seven - dt.timedelta(seconds=1)) == yesterday - dt.timedelta(days=1)
