"""Every check passes on a sound warehouse, and fails on the damage that it must detect."""

import datetime as dt
import re
from collections.abc import Callable

import duckdb
import pytest

from synthflow_assets.api.client import SynthflowClient
from synthflow_assets.loading import load_calls, resolve_agents
from synthflow_assets.metrics import compute_metrics, replace_metrics
from synthflow_assets.quality import (
    CHECKS,
    NO_GAPS,
    SCHEDULED_CHECKS,
    SETTLED,
    Check,
    Problem,
    Severity,
    count_retired_agents,
    find_problems,
    merge_days,
)
from synthflow_assets.sandbox.server import Sandbox
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.metric_tables import METRIC_TABLES
from synthflow_assets.warehouse.statements import sql_file
from synthflow_assets.warehouse.tables import MetricTable
from tests.quality.conftest import DAYS, LAST
from tests.quality.damage import DAMAGE

BY_NAME = {check.name: check for check in (*CHECKS, *SCHEDULED_CHECKS)}


def problems(
    connection: duckdb.DuckDBPyConnection, settings: Settings, name: str, *, all_days: bool = False
) -> list[str]:
    found = find_problems(connection, BY_NAME[name], None if all_days else DAYS, settings, LAST)
    return [str(problem) for problem in found]


def scheduled(
    connection: duckdb.DuckDBPyConnection, settings: Settings, check: Check, last: dt.date = LAST
) -> list[str]:
    """Evaluate a scheduled check on all days."""
    return [str(problem) for problem in merge_days(find_problems(connection, check, None, settings, last))]


def test_blanks_around_a_value_do_not_make_it_unknown(
    connection: duckdb.DuckDBPyConnection, settings: Settings
) -> None:
    connection.execute("UPDATE synthflow.calls SET call_status = ' ' || call_status || ' ', telephony_hangup = ' '")
    assert problems(connection, settings, "known_values") == []


DOCUMENTED = {
    "call_status": (
        "pending ringing in-progress completed no-answer busy failed canceled user-canceled hangup_on_voicemail "
        "left_voicemail spam paused registered checking queue initiated no_answer in_progress left-voicemail"
    ),
    "end_call_reason": (
        "human_pick_up_cut_off human_hangup human_ended_call human_goodbye user_disconnected user_canceled "
        "agent_ended_call agent_goodbye goodbye_detected custom_end_call voicemail voicemail_cut_off "
        "voicemail_message_left timeout max_duration idle_time_exceeded error undefined user-canceled"
    ),
    "telephony_disconnect_reason": "unknown callee_hangup caller_hangup error forbidden callee-hangup",
    "telephony_hangup": "caller callee agent",
    "type_of_call": "inbound outbound",
}


@pytest.mark.parametrize("column", DOCUMENTED)
def test_documented_values_are_known(connection: duckdb.DuckDBPyConnection, settings: Settings, column: str) -> None:
    for value in (*DOCUMENTED[column].split(), "Insufficient Minutes" if column == "end_call_reason" else ""):
        connection.execute(f"UPDATE calls SET {column} = $1", [value])
        assert problems(connection, settings, "known_values") == []


@pytest.mark.parametrize("check", BY_NAME.values(), ids=BY_NAME)
@pytest.mark.parametrize("all_days", [True, False])
def test_a_sound_warehouse_passes_every_check(
    connection: duckdb.DuckDBPyConnection, settings: Settings, check: Check, all_days: bool
) -> None:
    assert problems(connection, settings, check.name, all_days=all_days) == []


@pytest.mark.parametrize(("name", "damage", "says"), DAMAGE)
def test_damage_is_noticed_and_named(
    connection: duckdb.DuckDBPyConnection, settings: Settings, name: str, damage: str, says: str | tuple[str, ...]
) -> None:
    connection.execute(damage)
    found = problems(connection, settings, name)
    for part in (says,) if isinstance(says, str) else says:
        assert any(part in problem for problem in found), part
    if BY_NAME[name] in CHECKS:
        # Damage of these days does not concern a run of another day.
        assert find_problems(connection, BY_NAME[name], [dt.date(2019, 1, 1)], settings, LAST) == []


@pytest.mark.parametrize(
    ("name", "damage"),
    [(name, damage) for name, damage, _ in DAMAGE if name in ("usual_volume", "usual_disconnects", "same_fields")],
)
def test_checks_of_whole_days_leave_out_a_day_that_was_not_over(
    connection: duckdb.DuckDBPyConnection, settings: Settings, name: str, damage: str
) -> None:
    connection.execute(damage)
    found = problems(connection, settings, name)
    connection.execute(
        "UPDATE call_loads SET fetched_until = now() WHERE day = $1", [min(problem[:10] for problem in found)]
    )
    assert len(problems(connection, settings, name)) < len(found)


@pytest.mark.parametrize("table", METRIC_TABLES, ids=lambda table: table.name)
def test_every_number_of_the_sound_warehouse_has_a_value(
    connection: duckdb.DuckDBPyConnection, table: MetricTable
) -> None:
    """Otherwise damage to it would change nothing."""
    counts = ", ".join(f"count({column.name})" for column in table.columns)
    assert 0 not in (connection.execute(f"SELECT {counts} FROM {table.name}").fetchone() or [0])


def test_every_check_has_damage_that_it_finds() -> None:
    assert {name for name, *_ in DAMAGE} == set(BY_NAME)


def test_wrong_numbers_are_errors_and_wrong_calls_block_downstream_steps() -> None:
    assert {check.name for check in BY_NAME.values() if check.blocking} == {"unique_call_ids", "complete", "within_day"}
    warnings = {check.name for check in BY_NAME.values() if check.severity is Severity.WARN and not check.blocking}
    assert warnings == {
        *("no_rejects", "known_values", "plausible_times", "usual_volume", "same_fields", "usual_disconnects"),
        *("no_gaps", "settled"),
    }


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_a_check_depends_on_the_metric_tables_that_it_reads(check: Check) -> None:
    query = check.query or sql_file("synthflow_assets.quality", f"{check.name}.sql")
    read = {table.name for table in METRIC_TABLES if re.search(rf"\b{table.name}\b", query)}
    assert read - {check.table} == set(check.depends_on)


def test_a_backfill_of_old_days_does_not_make_an_agent_fresh(
    connection: duckdb.DuckDBPyConnection, settings: Settings
) -> None:
    connection.execute("DELETE FROM synthflow.call_loads WHERE day = '2026-03-10'")
    connection.execute("UPDATE synthflow.call_loads SET loaded_at = now()")
    assert len(problems(connection, settings, "fresh_per_model")) == 2


def test_a_call_that_runs_beyond_the_day_after_is_named_if_the_hours_agree(
    connection: duckdb.DuckDBPyConnection, settings: Settings
) -> None:
    connection.execute(
        "UPDATE calls SET duration_seconds = 200000 WHERE call_id = (SELECT min(call_id) FROM calls WHERE day = $1)",
        DAYS[:1],
    )
    replace_metrics(connection, DAYS, settings, ["call_load_hourly"])
    [problem] = problems(connection, settings, "call_load_reconciles")
    assert problem.endswith("1 calls run beyond the end of the day after, where they are not counted")


def test_a_bad_reason_that_rose_is_named_before_one_that_rose_and_one_that_fell(
    connection: duckdb.DuckDBPyConnection, settings: Settings
) -> None:
    connection.execute("DELETE FROM synthflow.disconnect_reasons_daily")
    shares = {"caller_hangup": (80, 20), "agent_hangup": (10, 45), "error": (2, 31), "forbidden": (8, 4)}
    for reason, (before, now) in shares.items():
        for agent in ("a", "b") if reason != "error" else ("b",):
            connection.execute(
                "INSERT INTO synthflow.disconnect_reasons_daily SELECT $1::DATE - n::INTEGER, $2, $3, "
                "if(n = 0, $5, $4), 0, 0 FROM range(11) AS days (n)",
                [LAST, agent, reason, before, now],
            )
    assert [problem.split(": ")[1] for problem in problems(connection, settings, "usual_disconnects")] == [
        "error rose from 2 % of the calls in the four weeks before to 31 % (31 of 100)",
        "agent_hangup rose from 10 % of the calls in the four weeks before to 65 % (45 of 69)",
        "agent_hangup rose from 10 % of the calls in the four weeks before to 45 % (45 of 100)",
        "caller_hangup fell from 82 % of the calls in the four weeks before to 29 % (20 of 69)",
        "caller_hangup fell from 80 % of the calls in the four weeks before to 20 % (20 of 100)",
    ]


def test_one_refused_call_of_three_is_no_shift(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Of a quiet Sunday: a third of its calls, and no more than chance."""
    connection.execute("DELETE FROM synthflow.disconnect_reasons_daily")
    for reason, before, now in (("caller_hangup", 60, 2), ("forbidden", 1, 1)):
        connection.execute(
            "INSERT INTO synthflow.disconnect_reasons_daily SELECT $1::DATE - n::INTEGER, 'a', $2, "
            "if(n = 0, $4, $3), 0, 0 FROM range(11) AS days (n)",
            [LAST, reason, before, now],
        )
    assert problems(connection, settings, "usual_disconnects") == []


def test_records_of_other_agents_are_accounted_for(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    connection.execute(
        "UPDATE call_loads SET other_model = 3, outside_window = outside_window + 2, "
        "fetched = fetched + 5, total_records = total_records + 5"
    )
    assert problems(connection, settings, "complete") == []


def test_agents_that_are_not_expected_any_more_are_counted(
    connection: duckdb.DuckDBPyConnection, settings: Settings
) -> None:
    assert count_retired_agents(connection, settings, LAST) == 0
    connection.execute("UPDATE call_loads SET day = day - 14 WHERE model_id = (SELECT min(model_id) FROM calls)")
    assert len(problems(connection, settings, "fresh_per_model")) == 1
    assert count_retired_agents(connection, settings, LAST) == 0
    connection.execute("UPDATE call_loads SET day = day - 1 WHERE model_id = (SELECT min(model_id) FROM calls)")
    assert problems(connection, settings, "fresh_per_model") == []
    assert count_retired_agents(connection, settings, LAST) == 1
    assert count_retired_agents(connection, settings.model_copy(update={"model_ids": ("a",)}), LAST) == 0


def test_set_agents_are_expected_though_they_never_landed(
    connection: duckdb.DuckDBPyConnection, settings: Settings
) -> None:
    known = [row[0] for row in connection.execute("SELECT DISTINCT model_id FROM synthflow.calls").fetchall()]
    with_new = settings.model_copy(update={"model_ids": (*known, "new")})
    assert problems(connection, with_new, "fresh_per_model") == ["2026-03-10 new: nothing has ever landed"]


def test_only_set_agents_are_expected(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    one, other = [row[0] for row in connection.execute("SELECT DISTINCT model_id FROM agents ORDER BY 1").fetchall()]
    connection.execute("DELETE FROM call_loads WHERE day = $1 AND model_id = $2", [LAST, other])
    assert len(problems(connection, settings, "fresh_per_model")) == 1
    only_one = settings.model_copy(update={"model_ids": (one,)})
    assert problems(connection, only_one, "fresh_per_model") == []
    assert scheduled(connection, settings, NO_GAPS)
    assert scheduled(connection, only_one, NO_GAPS) == []


def test_a_day_that_landed_before_it_was_due_is_not_the_latest(
    connection: duckdb.DuckDBPyConnection, settings: Settings
) -> None:
    """With SYNTHFLOW_INCLUDE_TODAY, today lands every hour."""
    connection.execute(
        "INSERT INTO call_loads SELECT * REPLACE (day + 1 AS day) FROM call_loads WHERE day = $1", [LAST]
    )
    assert problems(connection, settings, "fresh_per_model") == []


def test_nothing_is_expected_before_the_first_partition_is_due(
    connection: duckdb.DuckDBPyConnection, settings: Settings
) -> None:
    connection.execute("DELETE FROM call_loads")
    tomorrow = settings.model_copy(update={"start_date": LAST + dt.timedelta(days=1)})
    tomorrow.model_fields_set.add("start_date")
    assert problems(connection, tomorrow, "fresh_per_model") == []
    today = tomorrow.model_copy(update={"start_date": LAST, "model_ids": ("a",)})
    assert problems(connection, today, "fresh_per_model") == ["2026-03-10 a: nothing has ever landed"]
    assert scheduled(connection, tomorrow, NO_GAPS) == []


def test_an_empty_warehouse_lacks_every_day_since_the_start_date(
    connection: duckdb.DuckDBPyConnection, settings: Settings
) -> None:
    connection.execute("DELETE FROM call_loads; DELETE FROM agents")
    since = settings.model_copy(update={"start_date": LAST - dt.timedelta(days=2)})
    since.model_fields_set.add("start_date")
    assert scheduled(connection, since, NO_GAPS) == ["2026-03-08 to 2026-03-10: nothing has landed"]


def test_gaps_are_expected_from_the_first_day_that_landed_or_that_is_set(
    connection: duckdb.DuckDBPyConnection, settings: Settings
) -> None:
    assert scheduled(connection, settings, NO_GAPS) == []  # nobody has set it, and the default says nothing
    since = Settings.of(timezone="America/New_York", start_date="2026-03-01")
    assert sorted(scheduled(connection, since, NO_GAPS)) == [
        "2026-03-01 to 2026-03-08 Front Desk: never landed",
        "2026-03-01 to 2026-03-08 Lead Qualifier: never landed",
    ]


def test_days_on_which_nothing_ran_are_gaps(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    later = LAST + dt.timedelta(days=20)
    assert min(scheduled(connection, settings, NO_GAPS, later)) == "2026-03-11 to 2026-03-30 Front Desk: never landed"


def test_an_agent_that_was_added_lacks_all_days_and_one_that_is_gone_lacks_none(
    connection: duckdb.DuckDBPyConnection, settings: Settings
) -> None:
    connection.execute("INSERT INTO agents SELECT 'new', 'Night Line', NULL, max(loaded_at) FROM agents")
    assert scheduled(connection, settings, NO_GAPS) == ["2026-03-09 to 2026-03-10 Night Line: never landed"]
    connection.execute("UPDATE agents SET loaded_at = loaded_at - INTERVAL 1 DAY WHERE name = 'Front Desk'")
    connection.execute(
        "DELETE FROM call_loads USING agents "
        "WHERE day = '2026-03-10' AND name = 'Front Desk' AND call_loads.model_id = agents.model_id"
    )
    connection.execute("DELETE FROM agents WHERE model_id = 'new'")
    assert scheduled(connection, settings, NO_GAPS, LAST + dt.timedelta(days=1)) == [
        "2026-03-11 Lead Qualifier: never landed"
    ]


def test_a_day_that_is_not_due_is_no_gap_between_landed_days(
    connection: duckdb.DuckDBPyConnection, settings: Settings
) -> None:
    """At night the current day has landed, and the day before is not due yet."""
    connection.execute("DELETE FROM call_loads WHERE day = '2026-03-09'")
    tomorrow = "SELECT * REPLACE (day + 1 AS day) FROM call_loads"
    connection.execute(f"INSERT INTO call_loads {tomorrow}; DELETE FROM call_loads WHERE day = '2026-03-10'")
    connection.execute("INSERT INTO call_loads SELECT * REPLACE (day - 2 AS day) FROM call_loads")
    connection.execute("UPDATE call_loads SET fetched_until = now() WHERE day = '2026-03-11'")
    assert scheduled(connection, settings, NO_GAPS, LAST - dt.timedelta(days=1)) == []
    assert len(scheduled(connection, settings, NO_GAPS, LAST)) == 2


def test_an_agent_that_was_never_listed_lacks_the_days_between_its_first_and_last(
    connection: duckdb.DuckDBPyConnection, settings: Settings
) -> None:
    for day in (LAST - dt.timedelta(days=3), LAST):
        unlisted = "SELECT * REPLACE ($1::DATE AS day, 'unlisted' AS model_id) FROM call_loads LIMIT 1"
        connection.execute(f"INSERT INTO call_loads {unlisted}", [day])
    assert "2026-03-08 to 2026-03-09 unlisted: never landed" in scheduled(connection, settings, NO_GAPS)


@pytest.mark.parametrize("is_set", [False, True])
def test_an_agent_that_is_not_listed_any_more_is_not_expected(
    connection: duckdb.DuckDBPyConnection, settings: Settings, is_set: bool
) -> None:
    """It cannot be fetched, so the catch-up would start a run at every tick."""
    agents = [row[0] for row in connection.execute("SELECT model_id FROM agents ORDER BY model_id").fetchall()]
    if is_set:
        settings = settings.model_copy(update={"model_ids": tuple(agents)})
    connection.execute("UPDATE call_loads SET settled = false WHERE model_id = $1", agents[:1])
    connection.execute("DELETE FROM call_loads WHERE day = '2026-03-10' AND model_id = $1", agents[:1])
    later = LAST + dt.timedelta(days=10)
    checks = {check.name: check for check in SCHEDULED_CHECKS}
    assert all(scheduled(connection, settings, checks[name]) for name in ("fresh_per_model", "no_gaps"))
    assert len(scheduled(connection, settings, SETTLED, later)) == 1
    connection.execute("UPDATE agents SET loaded_at = loaded_at - INTERVAL 1 DAY WHERE model_id = $1", agents[:1])
    assert [scheduled(connection, settings, check) for check in SCHEDULED_CHECKS] == [[], [], []]
    assert scheduled(connection, settings, SETTLED, later) == []
    assert count_retired_agents(connection, settings, LAST) == 1


def test_what_the_daily_schedule_fetches_again_may_be_unsettled(
    connection: duckdb.DuckDBPyConnection, settings: Settings
) -> None:
    connection.execute("UPDATE call_loads SET settled = false")
    assert scheduled(connection, settings, SETTLED) == []
    assert len(scheduled(connection, settings, SETTLED, LAST + dt.timedelta(days=2))) == 2


@pytest.mark.slow
def test_ordinary_weeks_raise_no_alarm(
    start_sandbox: Callable[..., Sandbox], settings_for: Callable[..., Settings]
) -> None:
    settings = settings_for(start_sandbox(calls_per_day=60))
    days = [LAST - dt.timedelta(days=number) for number in range(70)]
    warehouse = Warehouse(settings.warehouse)
    with SynthflowClient.from_settings(settings) as client:
        list(load_calls(client, warehouse, settings, resolve_agents(client, settings).agents, days, log=lambda _: None))
    with warehouse.connect() as opened:
        compute_metrics(opened, days, settings)
        for name in ("usual_volume", "usual_disconnects", "same_fields"):
            found = find_problems(opened, BY_NAME[name], days, settings, LAST)
            assert [str(problem) for problem in found] == []


def test_days_in_a_row_are_one_line() -> None:
    day = dt.date(2026, 2, 27)
    gaps = [Problem(day + dt.timedelta(days=number), "a", "never landed") for number in (0, 1, 2, 4)]
    assert [
        str(problem) for problem in merge_days([*gaps, Problem(None, None, "odd"), Problem(None, None, "odd")])
    ] == [
        "2026-02-27 to 2026-03-01 a: never landed",
        "2026-03-03 a: never landed",
        "odd",
        "odd",
    ]


def test_computing_a_day_refreshes_the_hours_of_the_day_after(
    own_connection: duckdb.DuckDBPyConnection, settings: Settings
) -> None:
    own_connection.execute(
        "UPDATE synthflow.calls SET duration_seconds = 86400 "
        "WHERE call_id = (SELECT max_by(call_id, start_time) FROM synthflow.calls WHERE day = $1)",
        [DAYS[0]],
    )
    for name in ("call_load_over_midnight", "call_load_reconciles"):
        found = find_problems(own_connection, BY_NAME[name], DAYS[:1], settings, LAST)
        assert DAYS[1] in [problem.day for problem in found]
    computed = compute_metrics(own_connection, DAYS[:1], settings)
    assert computed["call_load_hourly"] == computed["workspace_load_hourly"] == DAYS
    assert computed["call_rates_daily"] == DAYS[:1]
    for name in ("call_load_over_midnight", "call_load_reconciles", "workspace_load_reconciles"):
        for days in (None, DAYS, DAYS[:1], DAYS[1:]):
            assert find_problems(own_connection, BY_NAME[name], days, settings, LAST) == []
