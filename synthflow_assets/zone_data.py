"""Find out which zone data Python uses, and whether newer data is installed.

Countries change their clocks every year. With old zone data, days begin at a wrong time. Python prefers the
operating system's data to the package `tzdata`, even if the package is newer.
"""

from __future__ import annotations

import datetime as dt
import zoneinfo
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import duckdb

_PACKAGE_VERSION: str = import_module("tzdata").IANA_VERSION
_DAYS_AHEAD = 366
_FIRST_LINE = "# version "  # of the file `tzdata.zi`


class ZoneData(NamedTuple):
    """The zone data that Python uses for a time zone."""

    version: str  # such as 2026b; empty if the operating system does not say
    folder: str | None  # None for the package `tzdata`
    newer_version: str  # of the package `tzdata`, if it is newer and differs for this time zone; otherwise empty
    differs_from: dt.date | None  # the first day on which the newer version differs
    duckdb_differs_from: dt.date | None  # the first day on which DuckDB's own data differs

    @property
    def year(self) -> int | None:
        """The year of the version; None if it is unknown."""
        return int(self.version[:4]) if self.version[:4].isdecimal() else None


def examine_zone_data(timezone: str, first: dt.date, today: dt.date) -> ZoneData:
    """Return which zone data Python uses for a time zone.

    Args:
        timezone: an IANA name.
        first: compare different data from this day on.
        today: compare it up to a year after this day.
    """
    used = zoneinfo.ZoneInfo(timezone)
    days = [first + dt.timedelta(days=number) for number in range((today - first).days + _DAYS_AHEAD)]
    by_used = _midnights(days, used)
    by_duckdb = _duckdb_midnights(days, timezone)
    folder = next((path for path in zoneinfo.TZPATH if Path(path, timezone).is_file()), None)
    version, newer_version, differs_from = _PACKAGE_VERSION, "", None
    packaged = files("tzdata.zoneinfo").joinpath(timezone)
    if folder is not None:
        version = _folder_version(folder)
        if version < _PACKAGE_VERSION and packaged.is_file():
            with packaged.open("rb") as file:
                differs_from = _first_difference(days, by_used, _midnights(days, zoneinfo.ZoneInfo.from_file(file)))
            newer_version = _PACKAGE_VERSION if differs_from else ""
    return ZoneData(version, folder, newer_version, differs_from, _first_difference(days, by_used, by_duckdb))


def _midnights(days: list[dt.date], zone: zoneinfo.ZoneInfo) -> list[int]:
    return [int(dt.datetime.combine(day, dt.time(), zone).timestamp()) for day in days]


def _duckdb_midnights(days: list[dt.date], timezone: str) -> list[int]:
    query = "SELECT epoch(unnest($1::DATE[])::TIMESTAMP AT TIME ZONE $2)::BIGINT"
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return [seconds for (seconds,) in connection.execute(query, [days, timezone]).fetchall()]


def _first_difference(days: list[dt.date], one: list[int], other: list[int]) -> dt.date | None:
    return next((day for day, a, b in zip(days, one, other, strict=True) if a != b), None)


def _folder_version(folder: str) -> str:
    for name, prefix in (("tzdata.zi", _FIRST_LINE), ("+VERSION", "")):
        path = Path(folder, name)
        if path.is_file():
            with path.open(encoding="utf-8") as file:
                return file.readline().removeprefix(prefix).strip()
    return ""
