"""The numbers on the page are those of SQL over the calls, for each selection of days and agents."""

import datetime as dt
import shutil
from pathlib import Path
from typing import Any

import pytest

from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.metric_tables import CONNECTED_STATUSES
from tests.report.conftest import FIRST, LAST, Open, OpenReport, rows_of

DAY = dt.timedelta(days=1)
EVERYONE = [f"agent-{number}" for number in range(5)]
CHOICES = [
    (FIRST, LAST, EVERYONE),
    (LAST - 6 * DAY, LAST, EVERYONE),
    (FIRST + 20 * DAY, FIRST + 29 * DAY, ["agent-1"]),
    (FIRST + 3 * DAY, FIRST + 30 * DAY, ["agent-4", "agent-0", "agent-2"]),
    (FIRST + 9 * DAY, FIRST + 9 * DAY, ["agent-2", "agent-3"]),
]
HEADLINE = """
SELECT
    count(*)::DOUBLE AS calls,
    count(*) FILTER (connected) / count(*) AS connected,
    coalesce(sum(duration_seconds) FILTER (connected), 0) AS "call-time",
    quantile_cont(duration_seconds, 0.5) FILTER (connected) AS median,
    quantile_cont(duration_seconds, 0.9) FILTER (connected) AS p90,
    count(*) FILTER (voicemail) / count(*) AS voicemail,
    count(*) FILTER (call_status = 'completed' AND NOT voicemail) / count(*) AS reached,
    count(*) FILTER (call_status = 'no-answer') / count(*) AS "no-answer",
    count(*) FILTER (transfer LIKE 'transfer-failed%') / nullif(count(*) FILTER (transfer LIKE 'transfer-%'), 0)
        AS "transfers-failed",
    (count(*) FILTER (preferred_day = 'true') + count(*) FILTER (order_number = 'true') + count(city))
        / (2 * count(preferred_day) + count(executed_actions)) AS collected,
    count(*) FILTER (verdict = 'true') / nullif(count(*) FILTER (verdict IN ('true', 'partial', 'false')), 0) AS goal,
    count(*) FILTER (connected AND duration_seconds < 10) / count(*) FILTER (connected) AS short
FROM (
    SELECT
        *,
        list_contains($statuses, call_status) AS connected,
        call_status LIKE '%voicemail%' OR coalesce(end_call_reason = 'voicemail' AND call_status = 'completed', false)
            AS voicemail,
        CASE
            WHEN (executed_actions ->> '$.action.action_type') LIKE 'transfer%'
                THEN executed_actions ->> '$.action.return_value.status'
        END AS transfer,
        judge_results ->> '$.goal' AS verdict,
        collected_variables ->> '$."preferred day".collected' AS preferred_day,
        collected_variables ->> '$.order_number.collected' AS order_number,
        executed_actions ->> '$.extract_info_city.return_value.city' AS city
    FROM calls
    WHERE day BETWEEN $first AND $last AND list_contains($agents, model_id)
)
"""


def ask(warehouse: Warehouse, query: str, **parameters: Any) -> list[dict[str, Any]]:
    with warehouse.connect(read_only=True) as connection:
        found = connection.execute(query, {name: value for name, value in parameters.items() if f"${name}" in query})
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def headline(warehouse: Warehouse, first: dt.date, last: dt.date, agents: list[str]) -> dict[str, float]:
    statuses = list(CONNECTED_STATUSES)
    return ask(warehouse, HEADLINE, first=first, last=last, agents=agents, statuses=statuses)[0]


def choose(report: OpenReport, first: dt.date, last: dt.date, agents: list[str]) -> None:
    report.choose_days(first, last)
    if agents != EVERYONE:
        report.choose_agents(*(agent.replace("agent-", "Agent ") for agent in agents))


@pytest.mark.parametrize(("first", "last", "agents"), CHOICES)
def test_headline(warehouse: Warehouse, report: OpenReport, first: dt.date, last: dt.date, agents: list[str]) -> None:
    choose(report, first, last, agents)
    found = report.headline()
    wanted = headline(warehouse, first, last, agents)
    for name, number in wanted.items():
        assert found[name] == (None if number is None else pytest.approx(number, rel=1e-9)), name
    # The cards show these numbers.
    assert report.page.inner_text("#headline-calls") == f"{wanted['calls']:,.0f}"
    assert report.page.inner_text("#headline-connected") == f"{wanted['connected']:.1%}".replace("%", " %")


NOT_COMPARED = "No changes are shown: data is missing for too many of the selected days or the days before."


def shown_change(now: float, before: float) -> str:
    change = 100 * (now - before) / before
    return f"{'▲' if change > 0 else '▼'} {abs(change):.1f} %"


def test_changes_compare_with_the_days_before(warehouse: Warehouse, report: OpenReport) -> None:
    report.choose_days(LAST - 6 * DAY, LAST)
    now = headline(warehouse, LAST - 6 * DAY, LAST, EVERYONE)
    before = headline(warehouse, LAST - 13 * DAY, LAST - 7 * DAY, EVERYONE)
    assert report.page.inner_text("#headline-median-change") == shown_change(now["median"], before["median"])
    points = 100 * (now["connected"] - before["connected"])
    assert (
        report.page.inner_text("#headline-connected-change") == f"{'▲' if points > 0 else '▼'} {abs(points):.1f} points"
    )
    assert report.page.inner_text("#compared") == "Changes compare with the 7 days before (27 Aug to 2 Sept 2026)."


def test_changes_compare_as_many_days_as_there_are(warehouse: Warehouse, report: OpenReport) -> None:
    # Of all 40 days, the last 20 can be compared with the 20 before.
    now = headline(warehouse, FIRST + 20 * DAY, LAST, EVERYONE)
    before = headline(warehouse, FIRST, FIRST + 19 * DAY, EVERYONE)
    for name in ("calls", "median"):
        assert report.page.inner_text(f"#headline-{name}-change") == shown_change(now[name], before[name])
    assert report.headline()["calls"] == now["calls"] + before["calls"]
    said = report.page.inner_text("#compared")
    assert said.startswith(
        "Changes compare the last 20 days (21 Aug to 9 Sept 2026) with the 20 days before (1 Aug to 20 Aug 2026), "
    )
    assert said.endswith("Days of some agents are missing, so changes may be wrong.")
    # Of days 2 to 32 the last 16 have 16 days before them, because the page has day 1 as well.
    report.choose_days(FIRST + DAY, FIRST + 31 * DAY)
    assert "the last 16 days (17 Aug to 1 Sept 2026)" in report.page.inner_text("#compared")
    # Of days 2 to 39 two spans of 19 days can be compared: the later one is.
    report.choose_days(FIRST + DAY, FIRST + 38 * DAY)
    assert "the last 19 days (21 Aug to 8 Sept 2026)" in report.page.inner_text("#compared")
    # `agent-4` has days 19 to 21 missing: of its last 10 days none can be compared with as many landed ones.
    report.choose_agents("Agent 4")
    report.choose_days(FIRST + 21 * DAY, FIRST + 31 * DAY)
    assert report.page.is_hidden("#headline-calls-change")
    assert report.page.inner_text("#compared") == NOT_COMPARED
    report.choose_days(FIRST, FIRST)
    assert report.page.is_hidden("#headline-calls-change")
    report.choose_agents("Agent 0")
    report.choose_days(FIRST, FIRST + 6 * DAY)  # as in the demo, which fetches 7 days
    no_data = "No changes are shown: this report has no data of the 7 days before (25 Jul to 31 Jul 2026)."
    assert report.page.inner_text("#compared") == no_data


def test_changes_compare_no_span_with_a_gap(warehouse: Warehouse, report: OpenReport) -> None:
    """A span with fewer landed days has fewer calls. `agent-4` has 10 to 19 August, and then none of three days."""
    report.choose_agents("Agent 4")
    report.choose_days(dt.date(2026, 8, 17), dt.date(2026, 8, 22))
    now = headline(warehouse, dt.date(2026, 8, 17), dt.date(2026, 8, 19), ["agent-4"])
    before = headline(warehouse, dt.date(2026, 8, 14), dt.date(2026, 8, 16), ["agent-4"])
    assert report.headline()["calls"] == now["calls"]
    assert report.page.inner_text("#headline-calls-change") == shown_change(now["calls"], before["calls"])
    assert report.page.inner_text("#compared") == (
        "Changes compare 3 days (17 Aug to 19 Aug 2026) with the 3 days before (14 Aug to 16 Aug 2026), "
        "because data for other days is missing."
    )
    # The gap is inside the selection, and less than half of the days are on either side of it.
    report.choose_days(dt.date(2026, 8, 17), dt.date(2026, 8, 26))
    assert report.page.is_hidden("#headline-calls-change")
    assert report.page.inner_text("#compared") == NOT_COMPARED
    # The other agents have landed on each day: the changes are shown with a warning.
    report.choose_agents("Agent 0", "Agent 4")
    assert report.page.inner_text("#compared") == (
        "Changes compare with the 10 days before (7 Aug to 16 Aug 2026). "
        "Days of some agents are missing, so changes may be wrong."
    )


def test_calls_per_day_by_agent(warehouse: Warehouse, report: OpenReport) -> None:
    report.choose_agents("Agent 0", "Agent 4")
    query = "SELECT day, model_id, count(*) AS calls FROM calls WHERE model_id IN ('agent-0', 'agent-4') GROUP BY ALL"
    wanted = {(f"{row['day']:%-d}", row["day"].month, row["model_id"]): row["calls"] for row in ask(warehouse, query)}
    shown = report.table("calls")
    assert len(shown) == 40
    for number, row in enumerate(shown):
        day = FIRST + number * DAY
        assert row["Day"].startswith(f"{day:%a}, {day.day} ")
        for agent in ("agent-0", "agent-4"):
            count = wanted.get((str(day.day), day.month, agent), 0)
            assert row[agent.replace("agent-", "Agent ")] == str(count)


def test_outcomes(warehouse: Warehouse, report: OpenReport) -> None:
    report.choose_agents("Agent 2")
    query = """
        SELECT
            CASE
                WHEN call_status = 'completed' AND coalesce(end_call_reason, '') <> 'voicemail' THEN 'person reached'
                WHEN call_status IN ('completed', 'left_voicemail') THEN 'voicemail'
                ELSE replace(call_status, '-', ' ')
            END AS value,
            count(*) AS calls
        FROM calls WHERE model_id = 'agent-2' GROUP BY ALL
    """
    wanted = {row["value"]: row["calls"] for row in ask(warehouse, query)}
    assert len(wanted) == 5
    rows = report.table("outcomes")
    assert {name: sum(int(row[name]) for row in rows) for name in wanted} == wanted
    [of_agent] = report.table("outcomes-by-agent")
    share = 100 * wanted["person reached"] / sum(wanted.values())
    assert float(of_agent["person reached"].removesuffix(" %")) == pytest.approx(share, abs=0.0501)


def test_transfers_and_their_failures(warehouse: Warehouse, report: OpenReport) -> None:
    query = """
        SELECT
            executed_actions ->> '$.action.return_value.status' AS status,
            executed_actions ->> '$.action.return_value.failed_reason' AS reason,
            count(*) AS transfers
        FROM calls
        WHERE (executed_actions ->> '$.action.action_type') LIKE 'transfer%'
            AND day >= $first
        GROUP BY ALL
    """
    first = LAST - 19 * DAY
    report.choose_days(first, LAST)
    found = ask(warehouse, query, first=first)
    wanted = {
        row["status"].replace("transfer-", "").replace("-", " ")
        + (f": {row['reason'].replace('_', ' ')}" if row["reason"] else ""): row["transfers"]
        for row in found
    }
    assert set(wanted) == {
        "success", "failed timeout: destination unavailable", "failed connection error: rejected by destination",
    }  # fmt: skip
    rows = report.table("transfers")
    assert {name: sum(int(row[name]) for row in rows) for name in wanted} == wanted
    failed = {name: count for name, count in wanted.items() if name.startswith("failed")}
    all_failed, every = sum(failed.values()), sum(wanted.values())
    notice = report.page.inner_text("#transfers-failed")
    assert notice.startswith(
        f"Transfers failed in {all_failed} of {every} calls with a transfer result: {all_failed / every:.1%}, ".replace(
            "%", " %"
        )
    )
    assert f"{report.page.inner_text('#headline-transfers-failed-change')}. Most frequent: " in notice
    assert any(notice.endswith(f"Most frequent: {name}.") for name in failed if failed[name] == max(failed.values()))
    # A day without a failed transfer has no notice.
    report.choose_agents()
    assert not report.page.is_visible("#transfers-failed")


OUTCOMES = "SELECT day, model_id, value, calls FROM call_outcomes_daily WHERE dimension = 'outcome'"
TRANSFERS = """
SELECT
    day, model_id, transfers AS calls,
    replace(replace(outcome, 'transfer-', ''), '-', ' ')
    || CASE failed_reason WHEN 'not_reported' THEN '' ELSE ': ' || failed_reason END AS value
FROM transfers_daily
"""


def shown_points(now: float, before: float) -> str:
    size = f"{abs(100 * (now - before)):.1f}"
    return "unchanged" if size == "0.0" else f"{'▲' if now > before else '▼'} {size} points"


@pytest.mark.parametrize(("figure", "counts"), [("outcomes", OUTCOMES), ("transfers", TRANSFERS)])
def test_each_share_has_its_change(warehouse: Warehouse, report: OpenReport, figure: str, counts: str) -> None:
    middle = LAST - 6 * DAY
    report.choose_days(middle, LAST)
    query = f"""
        SELECT
            replace(value, '_', ' ') AS name,
            coalesce(sum(calls) FILTER (day >= $middle), 0) / sum(sum(calls) FILTER (day >= $middle)) OVER () AS now,
            coalesce(sum(calls) FILTER (day < $middle), 0) / sum(sum(calls) FILTER (day < $middle)) OVER () AS before
        FROM ({counts}) WHERE day >= $middle::DATE - 7 GROUP BY name
    """
    found = ask(warehouse, query, middle=middle)
    assert len(found) > 2
    for row in found:
        entry = report.page.locator(f"#{figure} .legend li").filter(has_text=row["name"])
        share = f"{row['now']:.1%}".replace("%", " %")
        assert entry.inner_text().split("\n") == [row["name"], f"{share}, {shown_points(row['now'], row['before'])}"]


def test_each_agent_has_its_change(warehouse: Warehouse, report: OpenReport) -> None:
    middle = LAST - 6 * DAY
    report.choose_days(middle, LAST)
    query = """
        SELECT
            model_id, day >= $middle AS now,
            sum(person_reached_calls) / sum(calls) AS reached,
            sum(transfer_failed_calls) / sum(transfer_success_calls + transfer_failed_calls) AS failed
        FROM call_rates_daily WHERE day >= $middle::DATE - 7 GROUP BY ALL
    """
    rates = {(row["model_id"], row["now"]): row for row in ask(warehouse, query, middle=middle)}
    for figure, name in (("outcomes-by-agent", "Reached"), ("transfers-by-agent", "Failed")):
        labels = report.page.locator(f"#{figure} .chart text").all_text_contents()
        for row in report.table(figure):
            agent = row["Agent"].replace("Agent ", "agent-")
            now, before = (rates[agent, is_now][name.lower()] for is_now in (True, False))
            share = f"{now:.1%}".replace("%", " %")
            assert (row[name], row["Change"]) == (share, shown_points(now, before))
            assert f"{share} {name.lower()}, {row['Change']}" in labels


def test_collected_information(warehouse: Warehouse, report: OpenReport) -> None:
    report.choose_days(LAST - 6 * DAY, LAST)
    query = """
        SELECT
            count(collected_variables) AS asked,
            count(*) FILTER ((collected_variables ->> '$."preferred day".collected') = 'true') AS collected,
            count(executed_actions) AS extractors,
            count(executed_actions ->> '$.extract_info_city.return_value.city') AS extracted
        FROM calls WHERE day BETWEEN $first AND $last
    """
    [now] = ask(warehouse, query, first=LAST - 6 * DAY, last=LAST)
    [before] = ask(warehouse, query, first=LAST - 13 * DAY, last=LAST - 7 * DAY)
    shown = {row["Variable"]: row for row in report.table("variables")}
    variable, extractor = shown["preferred day (variable)"], shown["city (extractor)"]
    assert (variable["Calls that asked"], variable["Collected"]) == (str(now["asked"]), str(now["collected"]))
    assert (extractor["Calls that asked"], extractor["Collected"]) == (str(now["extractors"]), str(now["extracted"]))
    # Each variable has its change.
    change = shown_points(now["collected"] / now["asked"], before["collected"] / before["asked"])
    assert variable["Change"] == change
    labels = report.page.locator("#variables .chart text").all_text_contents()
    assert {f"{variable['Share']}, {change}", "preferred day", "city"} <= set(labels)


def test_reasons_and_ends(warehouse: Warehouse, report: OpenReport) -> None:
    report.choose_agents("Agent 1")
    for figure, column in (("disconnects", "telephony_disconnect_reason"), ("ends", "end_call_reason")):
        query = f"""
            SELECT coalesce({column}, 'not_reported') AS value, count(*) AS calls
            FROM calls WHERE model_id = 'agent-1' GROUP BY ALL
        """
        wanted = {row["value"].replace("_", " "): row["calls"] for row in ask(warehouse, query)}
        rows = report.table(figure)
        assert {name: sum(int(row[name]) for row in rows) for name in wanted} == wanted
        [of_agent] = report.table(f"{figure}-by-agent")
        assert {name: of_agent[name] for name in wanted} == {
            name: f"{calls / sum(wanted.values()):.1%}".replace("%", " %") for name, calls in wanted.items()
        }


def test_durations(warehouse: Warehouse, report: OpenReport) -> None:
    rows = report.table("durations")
    query = "SELECT count(*) AS calls FROM calls WHERE list_contains($statuses, call_status)"
    [connected] = ask(warehouse, query, statuses=list(CONNECTED_STATUSES))
    assert sum(int(row["Connected calls"].replace(",", "")) for row in rows) == connected["calls"]
    # Each day's median is that of the metric table.
    report.choose_agents("Agent 3")
    medians = ask(
        warehouse,
        "SELECT median_duration_seconds AS m FROM call_duration_daily WHERE model_id = 'agent-3' ORDER BY day",
    )
    assert [row["Median"] for row in report.table("trend")] == [shown_seconds(row["m"]) for row in medians]


def shown_seconds(seconds: float) -> str:
    whole = int(seconds + 0.5)
    return f"{whole // 60}:{whole % 60:02} min"


def test_hours_of_the_week(warehouse: Warehouse, report: OpenReport) -> None:
    report.choose_days(FIRST + 2 * DAY, FIRST + 15 * DAY)
    query = """
        SELECT isodow(day) AS weekday, hour(start_time) AS hour, count(*) / 2 AS mean FROM calls
        WHERE day BETWEEN $first AND $last GROUP BY ALL
    """
    found = ask(warehouse, query, first=FIRST + 2 * DAY, last=FIRST + 15 * DAY)
    wanted = {(row["weekday"], row["hour"]): row["mean"] for row in found}
    shown = report.table("hours")
    for hour, row in enumerate(shown):
        for weekday, name in enumerate(("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"), start=1):
            assert float(row[name]) == wanted.get((weekday, hour), 0)


def test_peaks_of_the_workspace_and_of_single_agents(warehouse: Warehouse, report: OpenReport) -> None:
    whole = ask(
        warehouse, "SELECT day, max(peak_concurrent_calls) AS peak FROM workspace_load_hourly GROUP BY day ORDER BY day"
    )
    assert [row["Most concurrent calls"] for row in report.table("peaks")] == [str(row["peak"]) for row in whole]
    assert report.headline()["concurrent"] == max(row["peak"] for row in whole)
    assert "all agents together" in report.page.inner_text("#peaks-summary")
    report.choose_agents("Agent 0", "Agent 1")
    query = """
        SELECT day, max(peak_concurrent_calls) AS peak FROM call_load_hourly
        WHERE model_id IN ('agent-0', 'agent-1') GROUP BY day ORDER BY day
    """
    assert [row["Most concurrent calls"] for row in report.table("peaks")] == [
        str(row["peak"]) for row in ask(warehouse, query)
    ]
    assert "the highest of these agents alone" in report.page.inner_text("#peaks-summary")


def test_judge(warehouse: Warehouse, report: OpenReport) -> None:
    query = """
        SELECT
            judge_check,
            sum(passes) AS passes,
            sum(passes) + sum(partials) + sum(fails) AS verdicts,
            sum(other_answers) AS other,
            sum(not_applicable) AS not_applicable,
            sum(passes) FILTER (day >= $middle)
                / sum(results.passes + results.partials + fails) FILTER (day >= $middle) AS now,
            sum(passes) FILTER (day < $middle)
                / sum(results.passes + results.partials + fails) FILTER (day < $middle) AS before
        FROM judge_results_daily AS results GROUP BY judge_check
        ORDER BY sum(results.passes) / (sum(results.passes) + sum(results.partials) + sum(results.fails))
    """
    shown, wanted = report.table("judge"), ask(warehouse, query, middle=LAST - 19 * DAY)
    labels = report.page.locator("#judge .chart text").all_text_contents()
    assert len(shown) > 1
    for row, check in zip(shown, wanted, strict=True):
        assert row["Check"] == check["judge_check"].replace("_", " ")
        assert row["Passed"] == f"{check['passes'] / check['verdicts']:.1%}".replace("%", " %")
        assert (row["Verdicts"], row["Other answers"]) == (f"{check['verdicts']:,}", str(check["other"]))
        assert row["Not applicable"] == str(check["not_applicable"])
        change = shown_points(check["now"], check["before"])
        assert row["Change of passed"] == change
        assert f"{row['Passed']} passed, {change}" in labels


def test_agent_by_agent_sorted_by_any_column(warehouse: Warehouse, report: OpenReport) -> None:
    table = report.page.locator("#agent-table table")
    query = """
        SELECT
            model_id,
            count(*) AS calls,
            quantile_cont(duration_seconds, 0.5) FILTER (list_contains($statuses, call_status)) AS median
        FROM calls GROUP BY model_id ORDER BY median DESC, model_id
    """
    wanted = ask(warehouse, query, statuses=list(CONNECTED_STATUSES))
    table.get_by_role("button", name="Median duration").click()
    assert [(row["Agent"], row["Calls"], row["Median duration"]) for row in rows_of(table)] == [
        (row["model_id"].replace("agent-", "Agent "), f"{row['calls']:,}", shown_seconds(row["median"]))
        for row in wanted
    ]
    table.get_by_role("button", name="Median duration").press("Enter")
    assert rows_of(table)[0]["Median duration"] == shown_seconds(wanted[-1]["median"])


def test_missing_days_differ_from_days_without_calls(report: OpenReport) -> None:
    notice = report.page.locator("#state")
    # 40 days of four agents, and the 31 days of the fifth from its first day on.
    assert notice.inner_text().startswith(
        "Incomplete: of 191 agent days (one day of one agent), 3 were never fetched; "
        "1 was fetched before all calls had ended; 3 records could not be read."
    )
    [of_agent] = [row for row in report.table("states") if row["Agent"] == "Agent 4"]
    assert of_agent == {
        "Agent": "Agent 4",
        "Days fetched": "28",
        "Never fetched": "3",
        "Fetched too early": "1",
        "Metrics not computed": "0",
        "Rejected records": "3",
        "Last fetched day": "9 Sept 2026",
    }
    assert report.page.locator("#calls .chart path[fill='var(--gap)']").count() == 3
    report.choose_agents("Agent 0")
    report.wait()
    assert notice.inner_text().startswith("Complete: all days of all agents are here (40 agent days).")
    assert report.page.locator("#calls .chart path[fill='var(--gap)']").count() == 0
    report.choose_agents("Agent 4")
    report.choose_days(FIRST, FIRST + 5 * DAY)
    report.wait()
    assert "have never been fetched" in notice.inner_text()
    assert report.page.locator("#calls .none").is_visible()


def test_an_incomplete_day_never_has_the_fewest_calls(warehouse: Warehouse, report: OpenReport) -> None:
    # On the last two of these days an agent is missing, and so they have the fewest calls.
    report.choose_days(FIRST + 16 * DAY, FIRST + 20 * DAY)
    by_day = {
        row["day"]: row["calls"]
        for row in ask(
            warehouse,
            "SELECT day, count(*) AS calls FROM calls WHERE day BETWEEN $first AND $last GROUP BY day",
            first=FIRST + 16 * DAY,
            last=FIRST + 20 * DAY,
        )
    }
    fewest = min((day for day in by_day if day < FIRST + 19 * DAY), key=lambda day: by_day[day])
    assert min(by_day, key=lambda day: by_day[day]) >= FIRST + 19 * DAY
    said = report.page.inner_text("#calls-summary")
    assert f"; fewest of the complete days on {fewest:%a}, {fewest:%-d %b %Y}: {by_day[fewest]:,}." in said
    assert "2 of 5 days are incomplete" in report.page.inner_text("#hours-summary")
    # A day that was fetched before all calls had ended is incomplete too.
    report.choose_days(LAST - DAY, LAST)
    assert "fewest" not in report.page.inner_text("#calls-summary")
    report.choose_days(FIRST + 16 * DAY, FIRST + 18 * DAY)
    assert "fewest on" in report.page.inner_text("#calls-summary")
    assert "incomplete" not in report.page.inner_text("#hours-summary")


def test_no_selected_agent_is_not_missing_data(report: OpenReport) -> None:
    report.choose_agents()
    assert report.page.inner_text("#state") == "No agent is selected. Select at least one in the filter."
    assert "fetched" not in report.page.inner_text("#calls-summary")
    assert not report.page.is_visible("#compared")


def test_the_sum_of_durations_is_called_call_time(desktop: OpenReport) -> None:
    # Talk time is what the telephony provider measures.
    assert "Call time" in desktop.page.locator("#headline dt").all_inner_texts()
    assert "Call time" in desktop.page.locator("#agent-table th").all_inner_texts()
    assert "talk time" not in desktop.page.content().lower()


def shown_share(part: float, whole: float) -> str:
    return f"{part / whole:.1%}".replace("%", " %")


def test_leads_by_number_of_calls(warehouse: Warehouse, report: OpenReport) -> None:
    report.choose_agents("Agent 1", "Agent 3")
    wanted = ask(
        warehouse,
        "SELECT attempt, sum(leads)::INT AS leads, sum(reached)::INT AS reached FROM attempts_daily "
        "WHERE model_id IN ('agent-1', 'agent-3') GROUP BY attempt ORDER BY attempt",
    )
    rows, reached = report.table("attempts"), 0
    assert len(rows) == len(wanted) > 2
    for row, step in zip(rows, wanted, strict=True):
        reached += step["reached"]
        assert row["Leads called this often"] == f"{step['leads']:,}"
        assert (row["Reached by this call"], row["Reached so far"]) == (f"{step['reached']:,}", f"{reached:,}")
        assert row["Share"] == shown_share(reached, wanted[0]["leads"])
    summary = report.page.inner_text("#attempts-summary")
    assert summary.startswith(f"{wanted[0]['leads']:,} leads. Reached: after 1 call {rows[0]['Share']}")


def test_when_people_answer(warehouse: Warehouse, report: OpenReport) -> None:
    query = """
        SELECT isodow(day) AS weekday, hour(start_time) AS hour, count(*) AS calls,
            count(*) FILTER (call_outcome = 'person_reached') AS reached
        FROM calls GROUP BY ALL
    """
    found = {(row["weekday"], row["hour"]): row for row in ask(warehouse, query)}
    shown = report.table("reach")
    for hour, row in enumerate(shown):
        for weekday, name in enumerate(("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"), start=1):
            of_hour = found.get((weekday, hour), {"calls": 0, "reached": 0})
            few = of_hour["calls"] < 10
            assert row[name] == ("-" if few else shown_share(of_hour["reached"], of_hour["calls"]))
    assert {row["Sat"] for row in shown} > {"-"}


def test_callers(warehouse: Warehouse, report: OpenReport) -> None:
    [whole] = ask(warehouse, f"FROM caller_summary('{FIRST}', '{LAST}')")
    summary = report.page.inner_text("#callers-summary")
    together = (
        f"All days together: {whole['callers']:,} callers, "
        f"{shown_share(whole['reached_callers'], whole['callers'])} reached, 100.0 % without a call before these days."
    )
    assert summary.endswith(together)
    days = ask(
        warehouse,
        "SELECT sum(new_callers) AS new, sum(callers) - sum(new_callers) AS known, "
        "sum(repeat_callers_24h) / sum(callers) AS repeats FROM callers_daily GROUP BY day ORDER BY day",
    )
    rows = report.table("callers")
    assert [(row["New callers per day"], row["Known callers per day"]) for row in rows] == [
        (str(day["new"]), str(day["known"])) for day in days
    ]
    repeats = [float(row["Repeating within 24 hours"].removesuffix(" %")) for row in rows]
    assert repeats == pytest.approx([100 * day["repeats"] for day in days], abs=0.0501)
    # Callers do not add up over agents, so a selection has no such number.
    report.choose_agents("Agent 1")
    assert "All days together" not in report.page.inner_text("#callers-summary")


def test_versions_have_the_interval_of_the_macro(warehouse: Warehouse, report: OpenReport) -> None:
    rows = report.table("versions")
    for agent in EVERYONE:
        macro = (
            f"compare_segments('{FIRST}', '{LAST}', 'assistant_version', '1', '2', condition := model_id = '{agent}')"
        )
        [rate] = ask(warehouse, f"FROM {macro} WHERE rate = 'person_reached_rate'")
        first, second = (row for row in rows if row["Version"].startswith(agent.replace("agent-", "Agent ") + ": "))
        assert first["Person reached"] == shown_share(rate["first_calls"], rate["first_of"])
        assert second["Calls"] == f"{rate['second_of']:,}"
        points = [f"{100 * rate[name]:+.1f}" for name in ("difference", "difference_low", "difference_high")]
        shown = next(value for name, value in second.items() if name.startswith("Difference"))
        assert shown == f"{points[0]} points ({points[1]} to {points[2]})"


def test_costs(warehouse: Warehouse, report: OpenReport) -> None:
    [wanted] = ask(
        warehouse,
        """
        SELECT
            sum(duration_seconds) * 0.09 / 60 AS cost,
            cost / count(*) FILTER (call_outcome = 'person_reached') AS "cost-per-person",
            cost / count(*) FILTER (judge_verdicts['goal'] = 'true') AS "cost-per-goal"
        FROM calls
        """,
    )
    found = report.headline()
    for name, cost in wanted.items():
        assert found[name] == pytest.approx(cost, rel=1e-4)
        assert report.page.inner_text(f"#headline-{name}").replace("\u00a0", " ") == f"EUR {cost:,.2f}"


def test_the_number_of_all_callers_is_hidden_if_a_day_has_no_metrics(
    warehouse: Warehouse, open_report: Open, tmp_path: Path
) -> None:
    """It comes from the calls, and stood beside numbers of fewer days."""
    copy = Warehouse(shutil.copy(warehouse.location, tmp_path / "copy.duckdb"))
    with copy.connect() as connection:
        connection.execute("DELETE FROM metric_computations WHERE day = $1", [FIRST + DAY])
    summary = open_report(copy, FIRST, FIRST + 2 * DAY).page.inner_text("#callers-summary")
    assert "All days together" not in summary  # see test_callers
