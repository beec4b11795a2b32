"""A warehouse of made-up calls, reports of it, and those reports in a browser."""

import datetime as dt
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from benchmarks.report import fill_warehouse
from synthflow_assets.metrics import compute_metrics
from synthflow_assets.report import write_report
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse
from tests.browser import chromium_or_skip

FIRST = dt.date(2026, 8, 1)
DAYS = 40
LAST = FIRST + dt.timedelta(days=DAYS - 1)
AGENTS = 5

# Computed again after calls were removed, and with a price.
WITH_CALLERS = ["callers_daily", "attempts_daily", "call_costs_daily"]
Open = Callable[..., "OpenReport"]
DESKTOP = {"viewport": {"width": 1280, "height": 900}}
PHONE = {"viewport": {"width": 375, "height": 740}, "is_mobile": True, "has_touch": True}
_RESET = """() => {
    document.querySelectorAll("details").forEach(one => { one.open = false; });
    const [from, to, find] = ["from", "to", "find"].map(id => document.getElementById(id));
    const boxes = [...document.querySelectorAll("#agents input")];
    const areAllDays = from.value === from.min && to.value === to.max;
    if (!areAllDays || find.value !== "" || !boxes.every(box => box.checked)) document.getElementById("reset").click();
}"""
_CHOOSE_DAYS = """([first, last]) => {
    const [from, to] = ["from", "to"].map(id => document.getElementById(id));
    [from.value, to.value] = [first, last];
    to.dispatchEvent(new Event("change"));
}"""
_CHOOSE_AGENTS = """names => {
    document.getElementById("none").click();
    const labels = [...document.querySelectorAll("#agents label")];
    for (const name of names) {
        labels.find(label => label.querySelector("span").textContent === name).querySelector("input").click();
    }
}"""
_ROWS = """table => {
    const heads = [...table.querySelectorAll("thead th")].map(cell => cell.innerText);
    const rows = [...table.querySelectorAll("tbody tr")].map(row => [...row.cells].map(cell => cell.innerText));
    return [heads, rows];
}"""


class OpenReport:
    """A report in a browser, and the problems that the browser reports: messages, errors and network requests."""

    def __init__(self, page: Page, path: Path) -> None:
        self._page = page
        self._own = path.as_uri()
        self._choices: list[tuple[str, Any]] = []
        self.problems: list[str] = []
        self._listeners: dict[Any, Callable[[Any], None]] = {
            "console": lambda said: self.problems.append(f"{said.type}: {said.text}"),
            "pageerror": lambda error: self.problems.append(str(error)),
            "request": lambda request: self._note_request(request.url),
        }
        for event, listener in self._listeners.items():
            page.on(event, listener)
        page.goto(self._own)

    def _note_request(self, url: str) -> None:
        if url != self._own:
            self.problems.append(f"asked for {url[:100]}")

    def leave(self) -> None:
        """Note no more problems: the page opens another report."""
        self.wait()
        for event, listener in self._listeners.items():
            self._page.remove_listener(event, listener)

    @property
    def page(self) -> Page:
        """The page, when all charts are drawn."""
        self.wait()
        return self._page

    def wait(self) -> None:
        """Make the choices, and wait until all charts are drawn."""
        calls = [f"({script})({json.dumps(argument)});" for script, argument in self._choices]
        self._choices = []
        if calls:
            self._page.evaluate(f"() => {{ {' '.join(calls)} }}")
        self._page.wait_for_selector("body[data-drawn-in-ms]")

    # Choices are made together by the next look at the page, because each alone draws all charts.

    def reset(self) -> None:
        """Select everything, and close all tables: open ones are written again with each change."""
        self._choices = [(_RESET, None)]

    def choose_days(self, first: dt.date, last: dt.date) -> None:
        self._choices.append((_CHOOSE_DAYS, [first.isoformat(), last.isoformat()]))

    def choose_agents(self, *names: str) -> None:
        self._choices.append((_CHOOSE_AGENTS, names))

    def headline(self) -> dict[str, float | None]:
        """Return the exact numbers of the cards."""
        cards = self.page.locator("dd.value")
        found = cards.evaluate_all("cards => cards.map(card => [card.id.replace('headline-', ''), card.dataset.value])")
        return {name: float(value) if value else None for name, value in found}

    def table(self, figure: str) -> list[dict[str, str]]:
        """Return the rows of a figure's table."""
        details = self.page.locator(f"#{figure} details")
        details.evaluate("one => { one.open = true; }")
        return rows_of(details.locator("table"))


def rows_of(table: Any) -> list[dict[str, str]]:
    heads, rows = table.evaluate(_ROWS)
    return [dict(zip(heads, row, strict=True)) for row in rows]


@pytest.fixture(scope="session")
def warehouse(tmp_path_factory: pytest.TempPathFactory, empty_file: Path) -> Warehouse:
    """Forty days of five agents. `agent-4` starts late and has missing days, an unsettled day and rejects."""
    made = Warehouse(shutil.copy(empty_file, tmp_path_factory.mktemp("warehouse") / "w.duckdb"))
    fill_warehouse(made, FIRST, DAYS, AGENTS, 20)
    with made.connect() as connection:
        missing = "model_id = 'agent-4' AND (day < '2026-08-10' OR day BETWEEN '2026-08-20' AND '2026-08-22')"
        for (table,) in connection.execute(
            "SELECT table_name FROM duckdb_columns() WHERE column_name = 'model_id' AND table_name <> 'agents' "
            "AND table_name IN (SELECT table_name FROM duckdb_tables())"
        ).fetchall():
            connection.execute(f"DELETE FROM {table} WHERE {missing}")
        days = [FIRST + dt.timedelta(days=number) for number in range(DAYS)]
        compute_metrics(connection, days, Settings.of(price_per_minute=0.09, price_currency="EUR"), WITH_CALLERS)
        connection.execute("UPDATE call_loads SET settled = false WHERE model_id = 'agent-4' AND day = '2026-09-09'")
        connection.execute("UPDATE call_loads SET rejected = 3 WHERE model_id = 'agent-4' AND day = '2026-08-30'")
    return made


# Of this folder, not of the session: Playwright's event loop would be in the way of tests that start one of their own.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One Chromium for all reports."""
    with chromium_or_skip() as found:
        yield found


def new_page(browser: Browser, **context: Any) -> Page:
    return browser.new_context(**{**DESKTOP, **context}).new_page()


def open_in(page: Page, warehouse: Warehouse, first: dt.date = FIRST, last: dt.date = LAST) -> OpenReport:
    """Open the report of a warehouse, which is written once for each span of days."""
    path = Path(f"{warehouse.location}.{first}.{last}.html")
    if not path.exists():
        write_report(warehouse, Settings.of(), path, first, last)
    return OpenReport(page, path)


@pytest.fixture(scope="package")
def desktop(warehouse: Warehouse, browser: Browser) -> OpenReport:
    """The report of all days, opened once for all tests."""
    return open_in(new_page(browser), warehouse)


@pytest.fixture
def report(desktop: OpenReport) -> Iterator[OpenReport]:
    """The report of all days with everything selected and all tables closed."""
    desktop.reset()
    yield desktop
    assert desktop.problems == []


@pytest.fixture(scope="package")
def spare_page(browser: Browser) -> Page:
    """A page that shows one report after the other."""
    return new_page(browser)


@pytest.fixture
def open_report(spare_page: Page) -> Iterator[Open]:
    """Open reports, each in the place of the one before, and fail if any of them has a problem."""
    opened: list[OpenReport] = []

    def make(warehouse: Warehouse, first: dt.date = FIRST, last: dt.date = LAST) -> OpenReport:
        for before in opened[-1:]:
            before.leave()
        opened.append(open_in(spare_page, warehouse, first, last))
        return opened[-1]

    yield make
    for last in opened[-1:]:
        last.leave()
    assert [problem for report in opened for problem in report.problems] == []
