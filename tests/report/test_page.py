"""The page in both themes, on a phone, printed, by keyboard, and with odd names of agents."""

import datetime as dt
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from synthflow_assets import report as report_module
from synthflow_assets.metrics import compute_metrics, replace_metrics
from synthflow_assets.report import write_report
from synthflow_assets.report.content import COMPLETE, NOT_COMPUTED
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.metric_tables import METRIC_TABLES
from tests.report.conftest import DESKTOP, FIRST, LAST, PHONE, Open, OpenReport, new_page, open_in
from tests.report.reading import columns_of
from tests.report.test_scripts import script

CHARTS = (
    "outcomes", "outcomes-by-agent", "transfers", "transfers-by-agent", "judge", "variables", "attempts", "reach",
    "callers", "versions", "calls", "hours", "peaks",
    "rates", "durations", "trend", "disconnects", "disconnects-by-agent", "ends",
    "ends-by-agent", "states",
)  # fmt: skip
A4_PIXELS = 688  # between the margins
SCRIPT = "</script><script>alert(1)</script>"
AGENTS = 60  # more than the colours, and than the rows that the table shows at first
LONG_NAMES = [f"{'Donaudampfschifffahrtsgesellschaft' * 4}, Region {number}" for number in range(AGENTS)]
MARKUP = '<img src=x onerror="alert(1)"> & \u2028 {{ 7 * 7 }}'
CONTROLS = "Front\x01\x1b]0;\x0bOffice\ufffe"
REVERSED = "drawer \u202egpj.exe"

_NAMED_CELLS = """
CREATE TEMP TABLE cells AS SELECT $first::DATE + day::INT AS day, 'id-' || agent AS model_id, name
FROM range($days) AS days (day), (
    SELECT unnest($names::VARCHAR[]) AS name, generate_subscripts($names::VARCHAR[], 1) AS agent
)
"""
_LOADS_OF_CELLS = """
INSERT INTO call_loads BY NAME
SELECT day, model_id, 1 AS landed, 0 AS rejected, true AS settled, now() AS loaded_at FROM cells
"""
_CALLS_OF_CELLS = """
INSERT INTO calls BY NAME
SELECT
    day, model_id, day || model_id AS call_id, day + to_hours(9) AS start_time, 60 AS duration_seconds,
    'completed' AS call_status, 'person_reached' AS call_outcome, 'inbound' AS type_of_call, $reason AS end_call_reason,
    $reason AS telephony_disconnect_reason, now() AS loaded_at
FROM cells
"""

Named = Callable[..., Warehouse]


@pytest.fixture(scope="module")
def make_named(tmp_path_factory: pytest.TempPathFactory, empty_file: Path) -> Named:
    """Make a warehouse with agents of the given names, each with one call of a minute on each day."""
    made: dict[tuple[tuple[str, ...], int], Path] = {}

    def make(names: Sequence[str], days: int = 3) -> Warehouse:
        """Copy the file if there is one of these agents and days: tests may change it."""
        key, path = (tuple(names), days), tmp_path_factory.mktemp("named") / "named.duckdb"
        if key not in made:
            made[key] = fill(names, days)
        return Warehouse(shutil.copy(made[key], path))

    def fill(names: Sequence[str], days: int) -> Path:
        path = shutil.copy(empty_file, tmp_path_factory.mktemp("filled") / "filled.duckdb")
        warehouse = Warehouse(path)
        with warehouse.connect() as connection:
            numbered = {"names": list(names), "first": FIRST, "days": days}
            connection.execute(_NAMED_CELLS, numbered)
            connection.execute("INSERT INTO agents SELECT DISTINCT model_id, name, 'inbound', now() FROM cells")
            connection.execute(_LOADS_OF_CELLS)
            connection.execute(_CALLS_OF_CELLS, {"reason": SCRIPT})
            compute_metrics(connection, [FIRST + dt.timedelta(days=day) for day in range(days)], Settings.of())
        return path

    return make


_DRAWN = """names => names.filter(name =>
    [...document.querySelectorAll(`#${name} .chart svg .mark-rect path, #${name} .chart svg .mark-line path`)].some(
        mark => mark.getClientRects().length > 0
    )
)"""


def drawn_charts(report: OpenReport) -> tuple[str, ...]:
    """Return the charts that have marks, not only axes."""
    return tuple(report.page.evaluate(_DRAWN, CHARTS))


def overflow(report: OpenReport) -> int:
    return int(report.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


_DESCRIBED = """names => names.filter(name => {
    const image = document.querySelector(`#${name} .chart[role=img]`);
    const textOf = words => document.getElementById(image.getAttribute(words)).innerText.trim();
    return image && textOf("aria-labelledby") && textOf("aria-describedby");
})"""
_HAVE_ROWS = "names => names.every(name => document.querySelector(`#${name} details tbody tr`))"


def test_every_chart_is_drawn_and_described(report: OpenReport) -> None:
    assert drawn_charts(report) == CHARTS
    assert report.page.locator("#today").is_hidden()
    assert tuple(report.page.evaluate(_DESCRIBED, CHARTS)) == CHARTS
    report.page.evaluate("document.querySelectorAll('figure details').forEach(one => { one.open = true; })")
    report.page.wait_for_function(_HAVE_ROWS, arg=CHARTS)
    assert report.page.locator("#disconnects .legend li").count() == 5
    report.reset()
    report.choose_days(LAST, LAST)
    assert drawn_charts(report) == CHARTS


@pytest.fixture(scope="module")
def phone(warehouse: Warehouse, browser: Browser) -> OpenReport:
    """The report of two days on a phone, opened once for all tests."""
    return open_in(new_page(browser, **PHONE), warehouse, LAST - dt.timedelta(days=1), LAST)


@pytest.mark.parametrize(
    ("screen", "scheme"),
    # Colours do not depend on the screen, nor the other rules on the colours.
    [("report", "light"), ("phone", "dark")],
    ids=["desktop-light", "phone-dark"],
)
def test_axe_finds_nothing(request: pytest.FixtureRequest, screen: str, scheme: Literal["light", "dark"]) -> None:
    report: OpenReport = request.getfixturevalue(screen)
    # Axe looks at each mark, and those of other days and agents are alike.
    report.choose_days(LAST - dt.timedelta(days=1), LAST)
    report.choose_agents("Agent 0", "Agent 4")
    report.page.emulate_media(color_scheme=scheme)
    report.table("calls")
    report.page.click("#selected")
    found = Axe().run(report.page, options={"resultTypes": ["violations"]}).response["violations"]
    # It would find a pale title.
    pale = {"light": "#cccccc", "dark": "#333333"}[scheme]
    report.page.evaluate(f"document.querySelector('h1').style.color = '{pale}'")
    of_title = report.page.evaluate("axe.run('h1')")["violations"]
    report.page.evaluate("document.querySelector('h1').style.color = ''")
    assert "color-contrast" in [one["id"] for one in of_title]
    report.page.keyboard.press("Escape")
    report.page.emulate_media(color_scheme="light")
    assert [(one["id"], one["impact"], one["nodes"][0]["html"]) for one in found] == []
    assert overflow(report) == 0
    assert report.problems == []


def test_tables_that_scroll_sideways_say_so(report: OpenReport, phone: OpenReport) -> None:
    phone.table("states")
    for table in ("#agent-table", "#states details"):
        hint, box = (phone.page.locator(f"{table} {part}") for part in (".hint", ".scroll"))
        assert hint.inner_text() == "Scroll sideways to see all columns →"
        assert "more" in str(box.get_attribute("class"))
        box.evaluate("box => { box.scrollLeft = box.scrollWidth; }")
        phone.page.wait_for_selector(f"{table} .scroll:not(.more)")  # at the end nothing is cut
    report.table("states")
    for table in ("#agent-table", "#states details"):
        assert report.page.locator(f"{table} .scroll").count() == 1
        assert not report.page.is_visible(f"{table} .hint")


def test_names_and_reasons_are_never_markup(make_named: Named, open_report: Open) -> None:
    alerts: list[str] = []
    report = open_report(
        make_named([SCRIPT, MARKUP, CONTROLS, REVERSED, "x" * 3000, "Front Desk", "Front Desk"]),
        FIRST,
        FIRST + dt.timedelta(days=2),
    )
    report.page.on("dialog", lambda dialog: alerts.append(dialog.message))
    names = report.page.locator("#agents label").all_text_contents()
    assert SCRIPT in names
    assert [name for name in names if name.startswith("<img")] == [" ".join(MARKUP.split())]
    # Characters that control a terminal, or reverse the letters after them, are left out.
    assert [name for name in names if name.endswith("Office")] == ["Front ]0; Office"]
    assert "drawer gpj.exe" in names
    assert [name for name in names if name.startswith("xxx")] == [f"{'x' * 99}…{'x' * 99}"]
    # Agents with the same name are distinguishable.
    assert sorted(name for name in names if name.startswith("Front Desk")) == ["Front Desk (id-6)", "Front Desk (id-7)"]
    for chart in ("calls", "disconnects", "ends-by-agent", "states"):
        report.table(chart)
    report.page.hover("#calls .chart svg .mark-rect path >> nth=0", force=True)
    report.choose_agents(SCRIPT)
    assert report.page.inner_text("#selected").startswith("</script>")
    assert report.page.locator("main img, main script, nav img, nav script").count() == 0
    assert alerts == []


@pytest.fixture(scope="module")
def many(make_named: Named) -> Warehouse:
    """A warehouse of many agents, whose long names begin with the same letters."""
    return make_named(LONG_NAMES, days=2)


@pytest.fixture(scope="module")
def crowded(many: Warehouse, browser: Browser) -> dict[str, OpenReport]:
    """The report on many agents, opened once on each screen."""
    last = FIRST + dt.timedelta(days=1)
    screens: dict[str, dict[str, Any]] = {"desktop": {}, "phone": PHONE}
    return {screen: open_in(new_page(browser, **context), many, FIRST, last) for screen, context in screens.items()}


@pytest.fixture(params=["desktop", "phone"])
def crowd(request: pytest.FixtureRequest, crowded: dict[str, OpenReport]) -> Iterator[OpenReport]:
    """The report on many agents, with all of them selected."""
    report = crowded[request.param]
    report.reset()
    yield report
    assert report.problems == []


def test_many_agents_with_long_names(crowd: OpenReport) -> None:
    assert overflow(crowd) == 0
    assert crowd.headline()["calls"] == 2 * AGENTS
    assert crowd.page.locator("#calls .legend li").all_inner_texts()[-1] == f"{AGENTS - 6} other agents"
    crowd.page.click("#selected")
    crowd.page.fill("#find", f"region {AGENTS - 1}")
    assert crowd.page.locator("#agents li:visible").count() == 1
    assert overflow(crowd) == 0
    crowd.page.click("#none")
    crowd.wait()
    assert crowd.headline()["calls"] == 2 * AGENTS - 2
    crowd.page.keyboard.press("Escape")
    crowd.page.get_by_role("button", name=f"Show all {AGENTS - 1}").click()
    assert crowd.page.locator("#agent-table tbody tr:visible").count() == AGENTS - 1
    assert overflow(crowd) == 0
    crowd.page.get_by_role("button", name="Show the first 15").click()
    assert crowd.page.locator("#agent-table tbody tr:visible").count() == 15


def test_an_empty_warehouse(empty_file: Path, open_report: Open) -> None:
    report = open_report(Warehouse(empty_file))
    assert report.page.inner_text("#state").startswith("No data: ")
    for card in ("calls", "median"):
        assert report.headline()[card] is None
        assert report.page.inner_text(f"#headline-{card}") == "-"
    assert report.page.locator("figure .none:visible").count() == len(CHARTS)
    assert overflow(report) == 0


def test_what_is_not_known_is_said_and_not_shown_as_zero(make_named: Named, open_report: Open) -> None:
    """Callers with `drop`, and costs without a price. A day without calls is complete."""
    warehouse = make_named(["Front Desk"], days=2)
    second = FIRST + dt.timedelta(days=1)
    with warehouse.connect() as connection:
        connection.execute("UPDATE calls SET caller_key = NULL")
        connection.execute("DELETE FROM calls WHERE day = $1", [second])
        compute_metrics(connection, [FIRST, second], Settings.of())
    report = open_report(warehouse, FIRST, second)
    for figure in ("attempts", "callers"):
        assert report.page.inner_text(f"#{figure}-summary").endswith("SYNTHFLOW_PII=drop removes all of them.")
        assert report.page.is_visible(f"#{figure} .none")
    assert report.headline().keys() & {"cost", "cost-per-person", "cost-per-goal"} == set()
    report.choose_days(second, second)
    assert report.page.inner_text("#state") == "Complete: all days of all agents are here (1 agent day)."
    assert report.headline()["calls"] == 0
    assert [row["All"] for row in report.table("calls")] == ["0"]


def test_a_day_that_lacks_a_metric_is_in_no_share(make_named: Named, tmp_path: Path) -> None:
    warehouse = make_named(["Front Desk"], days=4)
    with warehouse.connect() as connection:
        for number, table in enumerate(("call_duration_daily", "call_rates_daily", "call_outcomes_daily")):
            connection.execute(f"DELETE FROM {table} WHERE day = $1", [FIRST + dt.timedelta(days=number)])
    last = FIRST + dt.timedelta(days=3)
    report = write_report(warehouse, Settings.of(), tmp_path / "report.html", FIRST, last)
    assert report.headline["calls"] == report.headline["person_reached_rate"] == 1
    assert columns_of(report.path)["state"] == [*[NOT_COMPUTED] * 3, COMPLETE]


def test_a_day_whose_metrics_are_older_than_its_calls_is_incomplete(make_named: Named, tmp_path: Path) -> None:
    warehouse = make_named(["Front Desk"], days=4)
    changes = (
        # A table that the page does not read, of a run that was killed before its metrics, and of a second landing.
        "DELETE FROM metric_computations WHERE day = $1 AND metric = 'call_load_hourly'",
        "DELETE FROM metric_computations WHERE day = $1",
        "UPDATE call_loads SET loaded_at = loaded_at + INTERVAL 1 SECOND WHERE day = $1",
    )
    with warehouse.connect() as connection:
        for number, change in enumerate(changes):
            connection.execute(change, [FIRST + dt.timedelta(days=number)])
    last = FIRST + dt.timedelta(days=3)
    report = write_report(warehouse, Settings.of(), tmp_path / "report.html", FIRST, last)
    assert columns_of(report.path)["state"] == [*[NOT_COMPUTED] * 3, COMPLETE]


def test_a_fetched_day_without_metrics_is_in_no_average_and_no_change(make_named: Named, open_report: Open) -> None:
    """It counted as a day with 0 calls: two Saturdays with 1 call each had an average of 0.5 if one had no metrics.

    A day with 0 calls stays in the averages if its metrics are of an earlier fetch. Free Sundays left the average when
    they were fetched again, so it became too high.
    """
    warehouse = make_named(["Front Desk"], days=9)
    second, third, saturday, sunday = (FIRST + dt.timedelta(days=number) for number in (1, 2, 7, 8))
    with warehouse.connect() as connection:
        connection.execute("DELETE FROM calls WHERE day = $1", [sunday])
        replace_metrics(connection, [sunday], Settings.of())
        for table in METRIC_TABLES:
            connection.execute(f"DELETE FROM {table.name} WHERE day = $1", [saturday])
        connection.execute("DELETE FROM metric_computations WHERE day IN ($1, $2, $3)", [third, saturday, sunday])
    report = open_report(warehouse, FIRST, sunday)
    assert report.page.inner_text("#state").startswith("Incomplete")
    [nine] = [row for row in report.table("hours") if row["Hour"] == "09:00"]
    assert (nine["Sat"], nine["Sun"]) == ("1", "0.5")
    assert [row["All"] for row in report.table("calls")[-2:]] == ["-", "0"]
    report.choose_days(saturday, saturday)
    assert report.page.inner_text("#state").startswith(
        "Incomplete: of 1 agent day (one day of one agent), 1 has no metrics of the latest fetch."
    )
    assert report.page.inner_text("#calls-summary") == "The metrics of these days have not been computed."
    assert {value for name, value in report.headline().items() if not name.startswith("today")} == {None}
    assert report.page.inner_text("#agent-table td:nth-child(2)") == "-"
    assert report.page.inner_text("#said").endswith(": no data")
    report.choose_days(sunday, sunday)
    assert report.headline()["calls"] == 0
    report.choose_days(second, third)
    assert report.page.inner_text("#compared") == (
        "Changes compare 1 day (2 Aug 2026) with the day before (1 Aug 2026), because data for other days is missing."
    )


def test_the_filter_shows_what_is_selected(report: OpenReport) -> None:
    report.page.click("#selected")
    report.page.click("#none")
    report.page.locator("#agents label").get_by_text("Agent 1", exact=True).click()
    report.page.keyboard.press("Escape")
    report.choose_days(FIRST, FIRST)
    shown = (
        "() => [document.getElementById('from').value, document.getElementById('to').value, "
        "[...document.querySelectorAll('#agents input')].filter(box => box.checked).length]"
    )
    assert report.page.evaluate(shown) == [f"{FIRST}", f"{FIRST}", 1]
    report.reset()
    assert report.page.evaluate(shown) == [f"{FIRST}", f"{LAST}", 5]


def test_by_keyboard(report: OpenReport) -> None:
    keyboard = report.page.keyboard
    report.page.evaluate("document.body.tabIndex = -1; document.body.focus()")  # the first Tab starts from here
    for _ in range(50):
        keyboard.press("Tab")
        if report.page.evaluate("document.activeElement.id") == "selected":
            break
    keyboard.press("Enter")
    for _ in range(4):  # from the search over All and None to the first agent
        keyboard.press("Tab")
    keyboard.press("Space")
    report.wait()
    assert report.page.inner_text("#selected") == "4 of 5 agents"
    keyboard.press("Escape")
    assert report.page.evaluate("document.activeElement.id") == "selected"
    assert not report.page.is_visible("#agents")
    assert "4 of 5 agents" in report.page.inner_text("#said")
    report.page.focus("#reset")
    keyboard.press("Enter")
    report.wait()
    assert report.page.inner_text("#selected") == "All agents"


def test_printed_it_is_light_and_without_controls(report: OpenReport, tmp_path: Path) -> None:
    report.page.emulate_media(media="print", color_scheme="dark")
    assert not report.page.is_visible(".filters")
    assert not report.page.is_visible("figure details")
    assert report.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert report.page.evaluate("getComputedStyle(document.querySelector('h1')).color") == "rgb(23, 33, 43)"
    printed = report.page.pdf(path=tmp_path / "report.pdf", format="A4")
    report.page.emulate_media(media="screen", color_scheme="light")
    report.page.evaluate("dispatchEvent(new Event('resize'))")
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) in range(2, 8)


def colours(report: OpenReport, figure: str) -> dict[str, str]:
    """Return the colour of each name in a figure's legend."""
    return dict(
        report.page.locator(f"#{figure} .legend li").evaluate_all(
            "entries => entries.map(one => "
            "[one.querySelector('span').innerText.trim(), one.querySelector('i').style.background])"
        )
    )


def test_a_selection_changes_no_colour(report: OpenReport) -> None:
    figures = ("calls", "disconnects", "ends", "ends-by-agent")
    before = {figure: colours(report, figure) for figure in figures}
    assert len(set(before["calls"].values())) == 5
    assert before["disconnects"]["not reported"] == before["ends"]["not reported"] == "var(--series-7)"
    report.choose_agents("Agent 3", "Agent 1")
    assert set(colours(report, "calls")) == {"Agent 1", "Agent 3"}
    report.choose_days(LAST - dt.timedelta(days=2), LAST - dt.timedelta(days=1))
    for figure in figures:
        found = colours(report, figure)
        assert found == {name: before[figure][name] for name in found}
    # The marks have the colours of the legend.
    drawn = report.page.locator("#calls .chart .mark-rect path[fill^='var(--series']").evaluate_all(
        "marks => marks.map(mark => mark.getAttribute('fill'))"
    )
    assert set(drawn) == set(colours(report, "calls").values())


def test_agents_beyond_the_colours_are_distinguishable(crowded: dict[str, OpenReport]) -> None:
    crowd = crowded["desktop"]  # colours do not depend on the screen
    crowd.reset()
    first = colours(crowd, "calls")
    assert len(first) == 7
    assert first[f"{AGENTS - 6} other agents"] == "var(--series-6)"
    # The first, seventh and thirteenth agent have the same colour on the whole page.
    names = crowd.page.locator("#agents label span").all_text_contents()
    crowd.choose_agents(names[0], names[6], names[12])
    selected = colours(crowd, "calls")
    assert len(set(selected.values())) == 3
    [largest] = set(first) & set(selected)
    assert selected[largest] == first[largest]


def test_long_names_that_start_alike_are_distinguishable(crowd: OpenReport) -> None:
    legend = crowd.page.locator("#calls .legend span")
    assert legend.evaluate_all("texts => texts.filter(text => text.scrollWidth > text.clientWidth).length") == 0
    for texts in ("#calls .legend span", "#disconnects-by-agent .chart text"):
        shown = crowd.page.locator(texts).all_text_contents()
        alike = [text for text in shown if text.startswith("Donau")]
        assert len(alike) > 5, texts
        assert len(set(alike)) == len(alike), texts
        assert all("…" in text and text[-1].isdigit() for text in alike), texts
    shown = crowd.page.locator("#agent-table tbody tr:visible th").all_inner_texts()
    assert len(set(shown) & set(LONG_NAMES)) == 15  # on several lines
    crowd.choose_agents(*LONG_NAMES[1:3])
    shown = crowd.page.locator("#states .chart text").all_text_contents()
    assert sorted(text[-4:] for text in shown if text.startswith("Donau")) == ["on 1", "on 2"]
    crowd.choose_agents(LONG_NAMES[1])
    assert crowd.page.inner_text("#selected").startswith("Donau")
    assert crowd.page.inner_text("#selected").endswith("Region 1")


def test_the_printed_table_has_all_agents_and_columns(crowded: dict[str, OpenReport]) -> None:
    report = crowded["desktop"]
    report.reset()
    rows = report.page.locator("#agent-table tbody tr:visible")
    assert rows.count() == 15
    report.page.emulate_media(media="print")
    report.page.set_viewport_size({"width": A4_PIXELS, "height": 1000})
    assert rows.count() == AGENTS
    assert not report.page.is_visible("#agent-table > button")
    assert report.page.locator("#agent-table th:visible").count() == 10 + AGENTS
    assert overflow(report) == 0
    # No text is cut: long names take several lines.
    cut = "cells => cells.filter(cell => cell.scrollWidth > cell.clientWidth).length"
    assert report.page.locator("#agent-table th, #agent-table td").evaluate_all(cut) == 0
    assert report.page.evaluate("getComputedStyle(document.querySelector('#agent-table thead')).display") == (
        "table-header-group"  # repeated on each page
    )
    report.page.set_viewport_size(DESKTOP["viewport"])
    report.page.emulate_media(media="screen")


def test_printed_charts_are_drawn_for_paper(report: OpenReport) -> None:
    widths = "charts => charts.map(chart => chart.viewBox.baseVal.width)"
    charts = report.page.locator(".chart svg")
    wide = charts.evaluate_all(widths)
    report.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert max(charts.evaluate_all(widths)) <= A4_PIXELS < max(wide)
    report.page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert charts.evaluate_all(widths) == wide


def test_the_policy_forbids_connections_and_code_from_strings(desktop: OpenReport) -> None:
    assert desktop.page.evaluate("fetch('https://example.com').then(() => 'sent', () => 'refused')") == "refused"
    desktop.page.evaluate("setTimeout('window.ran = 1')")
    desktop.page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {text: 'window.ran = 2'}))"
    )
    desktop.page.evaluate("new Promise(resume => setTimeout(resume))")  # the earlier timer runs first
    assert desktop.page.evaluate("window.ran") is None
    assert len(desktop.problems) >= 3  # the console reports each refusal
    desktop.problems.clear()


def test_the_library_has_the_stated_versions_and_its_licences(desktop: OpenReport) -> None:
    versions = script("fetch_vega").VERSIONS
    assert desktop.page.evaluate("[vega.version, vegaEmbed.version]") == [versions["vega"], versions["vega-embed"]]
    source = desktop.page.content()
    for holder in ("University of Washington Interactive Data Lab", "Mike Bostock", "Mapbox", "Microsoft"):
        assert holder in source


def test_a_report_that_does_not_fit_is_less_exact_and_says_so(
    warehouse: Warehouse, report: OpenReport, spare_page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = LAST - dt.timedelta(days=9)
    whole = write_report(warehouse, Settings.of(), tmp_path / "whole.html", first, LAST)
    monkeypatch.setattr(report_module, "LARGEST_BYTES", whole.size_bytes - 8000)
    smaller = write_report(warehouse, Settings.of(), tmp_path / "smaller.html", first, LAST)
    assert smaller.size_bytes < whole.size_bytes
    # The days before the span are left out first, then durations are rounded.
    rounded = OpenReport(spare_page, smaller.path)
    report.choose_days(first, LAST)
    assert "the last 5 days" in rounded.page.inner_text("#compared")
    assert rounded.headline()["calls"] == report.headline()["calls"]
    said = re.search(
        r"Durations that differ by less than (\d+) % are counted as one", rounded.page.inner_text("footer")
    )
    if said:
        assert rounded.headline()["p90"] == pytest.approx(report.headline()["p90"], rel=int(said[1]) / 100)
    rounded.leave()
    assert rounded.problems == []
