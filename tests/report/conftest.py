"""A warehouse of made-up calls, reports of it, and those reports in a browser."""

import datetime as dt
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

FIRST = dt.date(2026, 8, 1)
DAYS = 40
LAST = FIRST + dt.timedelta(days=DAYS - 1)
AGENTS = 5

# Computed again after calls were removed, and with a price.
WITH_CALLERS = ["callers_daily", "attempts_daily", "call_costs_daily"]
Open = Callable[..., "OpenReport"]
DESKTOP = {"viewport": {"width": 1280, "height": 900}}
PHONE = {"viewport": {"width": 375, "height": 740}, "is_mobile": True, "has_touch": True}
_EVERYTHING_IS_SELECTED = """() => {
    const [from, to, find] = ["from", "to", "find"].map(id => document.getElementById(id));
    const boxes = [...document.querySelectorAll("#agents input")];
    return from.value === from.min && to.value === to.max && find.value === "" && boxes.every(box => box.checked);
}"""
# As clicks on the names, but in one step. Returns how many agents it found.
_CHOOSE_AGENTS = """names => {
    document.getElementById("none").click();
    const labels = [...document.querySelectorAll("#agents label")];
    const chosen = labels.filter(label => names.includes(label.querySelector("span").textContent));
    chosen.forEach(label => label.querySelector("input").click());
    return chosen.length;
}"""


class OpenReport:
    """A report in a browser, and the problems that the browser reports: messages, errors and network requests."""

    def __init__(self, page: Page, path: Path) -> None:
        self._page = page
        self.problems: list[str] = []
        page.on("console", lambda said: self.problems.append(f"{said.type}: {said.text}"))
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("request", lambda request: self._note_request(request.url, path.as_uri()))
        page.goto(path.as_uri())

    def _note_request(self, url: str, own: str) -> None:
        if url != own:
            self.problems.append(f"asked for {url[:100]}")

    @property
    def page(self) -> Page:
        """The page, when all charts are drawn."""
        self.wait()
        return self._page

    def wait(self) -> None:
        """Wait until all charts are drawn."""
        self._page.wait_for_selector("body[data-drawn-in-ms]")

    # These change the selection and do not wait, because a new selection ends the drawing of the one before.

    def reset(self) -> None:
        """Select everything, and close all tables: open ones are written again with each change."""
        self._page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = false; })")
        if not self._page.evaluate(_EVERYTHING_IS_SELECTED):
            self._page.click("#reset")

    def choose_days(self, first: dt.date, last: dt.date) -> None:
        script = "([field, day]) => { document.getElementById(field).value = day; }"
        for field, day in (("from", first), ("to", last)):
            self._page.evaluate(script, [field, day.isoformat()])
        self._page.dispatch_event("#to", "change")  # one change, and so one drawing

    def choose_agents(self, *names: str) -> None:
        assert self._page.evaluate(_CHOOSE_AGENTS, names) == len(names)

    def headline(self) -> dict[str, float | None]:
        """Return the exact numbers of the cards."""
        cards = self.page.locator("dd.value")
        found = cards.evaluate_all("cards => cards.map(card => [card.id.replace('headline-', ''), card.dataset.value])")
        return {name: float(value) if value else None for name, value in found}

    def table(self, figure: str) -> list[dict[str, str]]:
        """Return the rows of a figure's table."""
        details = self.page.locator(f"#{figure} details")
        if details.get_attribute("open") is None:
            details.locator("summary").click()
        return rows_of(details.locator("table"))


def rows_of(table: Any) -> list[dict[str, str]]:
    table.wait_for()
    heads = table.locator("thead th").all_inner_texts()
    rows = table.locator("tbody tr").evaluate_all("rows => rows.map(row => [...row.cells].map(cell => cell.innerText))")
    return [dict(zip(heads, row, strict=True)) for row in rows]


@pytest.fixture(scope="session")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """Forty days of five agents. `agent-4` starts late and has missing days, an unsettled day and rejects."""
    made = Warehouse(str(tmp_path_factory.mktemp("warehouse") / "w.duckdb"))
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


def open_page(browser: Browser, warehouse: Warehouse, first: dt.date, last: dt.date, **context: Any) -> OpenReport:
    """Open the report of a warehouse, which is written once for each span of days."""
    path = Path(f"{warehouse.location}.{first}.{last}.html")
    if not path.exists():
        write_report(warehouse, Settings.of(), path, first, last)
    return OpenReport(browser.new_context(**{**DESKTOP, **context}).new_page(), path)


@pytest.fixture(scope="module")
def desktop(warehouse: Warehouse, browser: Browser) -> OpenReport:
    """The report of all days, opened once for all tests of a module."""
    return open_page(browser, warehouse, FIRST, LAST)


@pytest.fixture
def report(desktop: OpenReport) -> Iterator[OpenReport]:
    """The report of all days with everything selected and all tables closed."""
    desktop.reset()
    yield desktop
    assert desktop.problems == []


@pytest.fixture
def open_report(browser: Browser) -> Iterator[Open]:
    """Open reports in pages of their own, and fail if any of them has a problem at the end."""
    opened: list[OpenReport] = []

    def make(warehouse: Warehouse, first: dt.date = FIRST, last: dt.date = LAST, **context: Any) -> OpenReport:
        opened.append(open_page(browser, warehouse, first, last, **context))
        return opened[-1]

    yield make
    problems = [problem for report in opened for problem in report.problems]
    for report in opened:
        report.page.context.close()
    assert problems == []
