"""Days are the same in Python and in SQL, although DuckDB has its own zone data."""

import datetime as dt
import json
import zoneinfo
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from synthflow_assets.days import day_bounds_ms
from synthflow_assets.interfaces import FetchResult
from synthflow_assets.metrics import compute_metrics
from synthflow_assets.quality import CHECKS, find_problems
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.landing import land
from synthflow_assets.warehouse.staging import Partition, Staging

HOUR_MS = 3_600_000
MIDNIGHTS = [dt.datetime(2026, 8, 1) + dt.timedelta(days=number) for number in range(270)]  # noqa: DTZ001
CHECKS_OF_DAYS = ("complete", "within_day", "call_load_reconciles", "call_load_over_midnight")
NOW = dt.datetime(2028, 1, 1, tzinfo=dt.UTC)


@pytest.fixture
def newest_zone_data() -> Iterator[None]:
    """Use the zone data of the package `tzdata`, which is newer than DuckDB's."""
    zoneinfo.reset_tzpath(to=())
    zoneinfo.ZoneInfo.clear_cache()
    yield
    zoneinfo.reset_tzpath()
    zoneinfo.ZoneInfo.clear_cache()


def differing_days() -> dict[str, dt.date]:
    """The first day of each zone that begins at different times in Python and DuckDB. Equal zones are tested once."""
    found, seen = {}, []
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for zone in sorted(zoneinfo.available_timezones()):
            query = "SELECT list_transform($1::TIMESTAMP[], lambda midnight: epoch(midnight AT TIME ZONE $2)::BIGINT)"
            [by_duckdb] = connection.execute(query, [MIDNIGHTS, zone]).fetchone() or [[]]
            info = zoneinfo.ZoneInfo(zone)
            by_python = [int(midnight.replace(tzinfo=info).timestamp()) for midnight in MIDNIGHTS]
            if by_python != by_duckdb and by_python not in seen:
                seen.append(by_python)
                pairs = zip(MIDNIGHTS, by_python, by_duckdb, strict=True)
                found[zone] = next(midnight.date() for midnight, one, other in pairs if one != other)
    return found


def record(zone: str, start_ms: int) -> bytes:
    call = {"call_id": f"{zone}-{start_ms}", "start_time": start_ms, "duration": 1_900, "call_status": "completed"}
    return json.dumps(call).encode()


@pytest.mark.slow
@pytest.mark.usefixtures("newest_zone_data")
def test_days_and_hours_are_right_in_every_zone_that_differs(tmp_path: Path) -> None:
    """A call at each half hour of two days, two of them listed for the other day only; all checks pass."""
    zones = differing_days()
    assert len(zones) > 3, zones
    for number, (zone, first) in enumerate(zones.items()):
        settings = Settings.of(timezone=zone, warehouse=str(tmp_path / f"{number}.duckdb"))
        days = [first, first + dt.timedelta(days=1)]
        starts = [range(*day_bounds_ms(day, zone), HOUR_MS // 2) for day in days]
        listed = [[*starts[0][:-1], starts[1][0]], [starts[0][-1], *starts[1][1:]]]
        with Staging(timezone=zone) as staging, Warehouse(settings.warehouse).connect() as connection:
            for day, one in zip(days, listed, strict=True):
                staging.add(Partition(day, "a"), [record(zone, start_ms) for start_ms in one])
                staging.complete(Partition(day, "a"), FetchResult(len(one), len(one), 0, 0, 0, 1, closed=True))
            land(connection, staging.take_ready(), "run", NOW, run_days=days)
            compute_metrics(connection, days, settings, ["call_load_hourly"])
            stored = connection.execute(
                "SELECT day, count(*) FROM synthflow.calls GROUP BY day ORDER BY day"
            ).fetchall()
            assert stored == [(day, len(one)) for day, one in zip(days, starts, strict=True)], zone
            hours = connection.execute("SELECT count(*) FROM synthflow.call_load_hourly WHERE day = $1", [days[0]])
            assert hours.fetchall() == [(-(-len(starts[0]) // 2),)], zone
            for check in (check for check in CHECKS if check.name in CHECKS_OF_DAYS):
                assert [str(one) for one in find_problems(connection, check, days, settings, days[1])] == [], zone
