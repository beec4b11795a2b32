"""The current day so far, beside the same hours of the same weekday."""

import datetime as dt
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Page

from synthflow_assets.metrics import compute_metrics
from synthflow_assets.report import write_report
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse
from tests.report.conftest import DESKTOP, FIRST, LAST, PHONE, Open
from tests.report.reading import facts_of
from tests.report.test_numbers import EVERYONE, headline, shown_change

YESTERDAY = LAST - dt.timedelta(days=1)
UNTIL = dt.datetime.combine(LAST, dt.time(14, 5), dt.UTC)


@pytest.fixture(scope="module")
def on_the_last_day(warehouse: Warehouse, tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """The warehouse as it was at 14:05 of its last day."""
    path = tmp_path_factory.mktemp("today") / "w.duckdb"
    shutil.copy(warehouse.location, path)
    made = Warehouse(str(path))
    with made.connect() as connection:
        connection.execute("DELETE FROM calls WHERE start_time > $1", [UNTIL])
        connection.execute("UPDATE call_loads SET fetched_until = $1, settled = false WHERE day = $2", [UNTIL, LAST])
        compute_metrics(connection, [LAST], Settings.of())
    return made


def calls_until(warehouse: Warehouse, day: dt.date, time: dt.time, agents: str = "%") -> tuple[int, int]:
    """The calls of a day that started before a time, and those that reached a person."""
    with warehouse.connect(read_only=True) as connection:
        [counts] = connection.execute(
            "SELECT count(*), count(*) FILTER (call_outcome = 'person_reached') FROM calls "
            "WHERE day = $1 AND start_time < $2 AND model_id LIKE $3",
            [day, dt.datetime.combine(day, time, dt.UTC), agents],
        ).fetchall()
    return counts


def test_the_day_so_far_is_compared_with_the_same_hours_of_the_same_weekday(
    on_the_last_day: Warehouse, open_report: Open
) -> None:
    first = YESTERDAY - dt.timedelta(days=9)
    report = open_report(on_the_last_day, first, YESTERDAY)
    assert_today_is_compared(report.page, on_the_last_day, "%")
    # Without today, the days of the report are compared with those before them, which are in it for this.
    now, before = (
        headline(on_the_last_day, first - days, YESTERDAY - days, EVERYONE)["calls"]
        for days in (dt.timedelta(0), dt.timedelta(days=10))
    )
    assert report.headline()["calls"] == now
    assert report.page.inner_text("#headline-calls-change") == shown_change(now, before)
    report.choose_agents("Agent 1")
    assert_today_is_compared(report.page, on_the_last_day, "agent-1")
    report.page.set_viewport_size(PHONE["viewport"])
    assert report.page.locator("#today").is_visible()
    assert report.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    report.page.set_viewport_size(DESKTOP["viewport"])


def assert_today_is_compared(page: Page, on_the_last_day: Warehouse, agents: str) -> None:
    calls, reached = calls_until(on_the_last_day, LAST, dt.time(14, 5), agents)
    assert page.inner_text("#today-name") == "Today so far: Wed, 9 Sept 2026, until 14:05"
    assert float(page.get_attribute("#today-calls", "data-value") or "") == calls > 0
    assert float(page.get_attribute("#today-reached", "data-value") or "") == pytest.approx(reached / calls)
    weeks = [LAST - dt.timedelta(days=7 * number) for number in range(1, 6)]
    earlier = [calls_until(on_the_last_day, day, dt.time(14), agents) for day in weeks]
    usual = sorted(count for count, _ in earlier)[2]
    early, early_reached = calls_until(on_the_last_day, LAST, dt.time(14), agents)
    change = 100 * (early - usual) / usual
    expected = "unchanged" if abs(change) < 0.05 else f"{'▲' if change > 0 else '▼'} {abs(change):.1f} %"
    assert page.inner_text("#today-calls-change") == expected
    points = 100 * (early_reached / early - sum(one for _, one in earlier) / sum(count for count, _ in earlier))
    assert page.inner_text("#today-reached-change") == f"{'▲' if points > 0 else '▼'} {abs(points):.1f} points"
    assert page.inner_text("#today-compared") == (
        "Changes compare the hours until 14:00 with the same hours of the last 5 Wednesdays that were fetched. "
        f"Their median is {usual} calls."
    )
    # The numbers of whole days are those without today.
    assert f"{YESTERDAY:%-d} Sept 2026" in page.inner_text("#scope")


def test_before_the_first_hour_is_over_there_is_nothing_to_compare(
    on_the_last_day: Warehouse, open_report: Open, tmp_path: Path
) -> None:
    early = tmp_path / "w.duckdb"
    shutil.copy(on_the_last_day.location, early)
    with Warehouse(str(early)).connect() as connection:
        connection.execute("UPDATE call_loads SET fetched_until = date_trunc('day', fetched_until) + INTERVAL 5 MINUTE")
        connection.execute("DELETE FROM calls WHERE start_time > (SELECT max(fetched_until) FROM call_loads)")
        compute_metrics(connection, [LAST], Settings.of())
    page = open_report(Warehouse(str(early)), YESTERDAY, YESTERDAY).page
    assert page.inner_text("#today-name").endswith("until 00:05")
    assert page.is_hidden("#today-calls-change")
    assert page.inner_text("#today-compared") == "No changes are shown: the first hour is not over."


def test_a_day_that_was_over_is_not_today(warehouse: Warehouse, tmp_path: Path) -> None:
    """Without these facts, the page hides what it says about today: see test_every_chart_is_drawn_and_described."""
    write_report(warehouse, Settings.of(), tmp_path / "report.html", FIRST, YESTERDAY)
    assert facts_of(tmp_path / "report.html")["today"] is None
