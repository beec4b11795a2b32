"""Damage that each check must find: (check, SQL that does the damage, part of the problem that the check names).

If the damage causes several problems, there is a tuple with a part of each.
"""

import re
from collections.abc import Iterator

from synthflow_assets.warehouse.metric_tables import METRIC_TABLES
from synthflow_assets.warehouse.tables import Column, MetricTable


def _damage_that_recounts_find(table: MetricTable) -> Iterator[tuple[str, str, str | tuple[str, ...]]]:
    """Yield damage to each number that the check `recount_TABLE` counts again."""
    name, check = f"synthflow.{table.name}", f"recount_{table.name}"
    yield check, f"DELETE FROM {name}", "landed, but not computed"
    yield check, "DELETE FROM synthflow.call_loads", "computed, but never landed"
    if table.every_landed_day:
        quiet = "SELECT * REPLACE (DATE '2026-03-10' AS day, 'quiet' AS model_id) FROM synthflow.call_loads LIMIT 1"
        if "model_id" in table.grain:
            yield check, f"INSERT INTO synthflow.call_loads {quiet}", " quiet: landed, but not computed"
    # The numbers are damaged together, and each must be named: a check takes as long for one as for all.
    counts = [declared.column for declared in table.recounts]
    for change in ("+ 1", "- 1"):
        says = tuple(f": {column} " for column in counts)
        yield check, _set(name, {column: f"{column} {change}" for column in counts}), says
    for declared in table.recounts:
        if declared.share:
            yield check, f"UPDATE {name} SET {declared.share} = {declared.share} / 2", "sums to 0.5, expected 1"
    yield from ((check, damage, says) for damage, says in _wrong_ratios(table))
    # Of several wrong statistics, the check names one, so each is damaged alone.
    for column in table.columns:
        if any(column.name.endswith(f"_{one.name}") for one in table.statistics):
            change = f"SET {column.name} = {column.name} + 1 WHERE {column.name} IS NOT NULL"
            yield check, f"UPDATE {name} {change}", f"{column.name} is "


def _wrong_ratios(table: MetricTable) -> Iterator[tuple[str, tuple[str, ...]]]:
    for ratios in _independent([column for column in table.columns if column.ratio]):
        for change, damaged in (("{} + 0.001", ratios), ("NULL", [one for one in ratios if not one.required])):
            if damaged:
                says = tuple(f"{column.name} is not {column.formula} in " for column in damaged)
                values = {column.name: change.format(column.name) for column in damaged}
                yield _set(f"synthflow.{table.name}", values), says


def _independent(ratios: list[Column]) -> list[list[Column]]:
    """Return the ratios in groups in which none is computed from another one of the group."""
    names = {column.name for column in ratios}
    dependent = [column for column in ratios if names & set(re.findall(r"\w+", str(column.formula)))]
    return [[column for column in ratios if column not in dependent], *([column] for column in dependent)]


def _set(table: str, values: dict[str, str]) -> str:
    return f"UPDATE {table} SET {', '.join(f'{column} = {value}' for column, value in values.items())}"


SHIFTED_REASONS = (
    "INSERT INTO synthflow.disconnect_reasons_daily "
    "SELECT reasons.* REPLACE (reasons.day - days_ago::INTEGER AS day) "
    "FROM synthflow.disconnect_reasons_daily AS reasons, range(2, 29) AS t(days_ago) WHERE day = '2026-03-10'; "
    "UPDATE synthflow.disconnect_reasons_daily SET disconnect_reason = '{}' "
    "WHERE day = '2026-03-10' AND disconnect_reason = 'caller_hangup'"
)
DAMAGE = [
    (
        "unique_call_ids",
        "INSERT INTO synthflow.calls SELECT * REPLACE (DATE '2020-01-01' AS day) FROM synthflow.calls LIMIT 1",
        "1 calls have a call_id that is in the table 2 times",
    ),
    (
        "complete",
        "UPDATE synthflow.call_loads SET total_records = total_records + 3",
        "calls were fetched, the API states ",
    ),
    (
        "complete",
        "UPDATE synthflow.call_loads SET fetched = fetched + 1, total_records = total_records + 1",
        "calls were fetched, but ",
    ),
    (
        "complete",
        "DELETE FROM synthflow.calls WHERE call_id = (SELECT min(call_id) FROM synthflow.calls)",
        "calls landed, but",
    ),
    ("complete", "DELETE FROM synthflow.calls WHERE day = '2026-03-10'", "calls landed, but 0 are stored"),
    (
        "complete",
        "DELETE FROM synthflow.call_loads WHERE day = '2026-03-10'",
        "calls are stored, but call_loads has no row of them",
    ),
    (
        "within_day",
        "UPDATE synthflow.calls SET start_time = start_time + INTERVAL 1 DAY WHERE day = '2026-03-10'",
        "calls started on another day in America/New_York",
    ),
    (
        "no_rejects",
        "INSERT INTO synthflow.call_rejects VALUES ('2026-03-10', 'a', 'duration is odd', '{}', now())",
        "2026-03-10 a: 1 record rejected: duration is odd",
    ),
    (
        "plausible_times",
        "UPDATE synthflow.calls SET duration_seconds = 90000, telephony_duration_ms = NULL",
        " calls last longer than a day",
    ),
    (
        "plausible_times",
        "UPDATE synthflow.calls SET duration_seconds = duration_seconds * 1000",
        " calls last a hundred times as long as their connection",
    ),
    (
        "plausible_times",
        "UPDATE synthflow.calls SET day = day - 1, listed_day = day WHERE day = '2026-03-10'",
        "calls that the API listed for this day start on another day",
    ),
    ("known_values", "UPDATE synthflow.calls SET call_status = 'teleported'", "calls, which is not documented"),
    ("known_values", "UPDATE synthflow.calls SET telephony_hangup = 'Ada, +1415'", "is something unreadable"),
    (
        "call_duration_histogram_reconciles",
        "UPDATE synthflow.call_duration_histogram SET duration_seconds = duration_seconds + 1",
        "s, in call_duration_daily ",
    ),
    (
        "call_rates_reconcile",
        "UPDATE synthflow.call_rates_daily SET short_calls = short_calls + 1",
        " short calls, in call_duration_daily ",
    ),
    (
        "call_rates_reconcile",
        "UPDATE synthflow.call_duration_daily SET connected_calls = connected_calls + 1",
        " connected and ",
    ),
    (
        "call_load_over_midnight",
        (
            "UPDATE synthflow.calls "
            "SET duration_seconds = date_diff('second', start_time, TIMESTAMPTZ '2026-03-10 04:00:00+00') + 1 "
            "WHERE call_id = (SELECT max_by(call_id, start_time) FROM synthflow.calls WHERE day = '2026-03-09')"
        ),
        "1 calls of the day before run past midnight, 0 are counted",
    ),
    (
        "call_load_reconciles",
        "DELETE FROM synthflow.call_load_hourly WHERE calls_started = 0",
        "hours, expected 24",
    ),
    (
        "call_load_reconciles",
        (
            "INSERT INTO synthflow.call_load_hourly "
            "SELECT * REPLACE (hour_start + INTERVAL 30 MINUTE AS hour_start, 0 AS agent_minutes) "
            "FROM synthflow.call_load_hourly WHERE local_hour = 12"
        ),
        "25 hours, expected 24",
    ),
    (
        "call_load_reconciles",
        "UPDATE synthflow.call_load_hourly SET agent_minutes = agent_minutes + 1",
        "minutes in the",
    ),
    (
        "call_load_reconciles",
        "UPDATE synthflow.call_load_hourly SET peak_concurrent_calls = 1000 WHERE local_hour = 12",
        "1 of 24 hours have fewer calls in progress than started, or than their peak",
    ),
    (
        "call_load_reconciles",
        "UPDATE synthflow.call_load_hourly SET calls_started = 1000 WHERE local_hour = 12",
        "1 of 24 hours have fewer calls in progress than started, or than their peak",
    ),
    (
        "call_load_reconciles",
        (
            "UPDATE synthflow.calls SET duration_seconds = 200000 "
            "WHERE call_id = (SELECT min(call_id) FROM synthflow.calls WHERE day = '2026-03-09')"
        ),
        "1 calls run beyond the end of the day after, where they are not counted",
    ),
    (
        "workspace_load_reconciles",
        "UPDATE synthflow.workspace_load_hourly SET peak_concurrent_calls = 1000",
        "2026-03-10: 24 hours differ from those of call_load_hourly",
    ),
    *(
        ("workspace_load_reconciles", f"UPDATE synthflow.workspace_load_hourly SET {change}", "2026-03-10: ")
        for change in (
            "calls_started = calls_started + 1",
            "calls_in_progress = calls_in_progress + 1",
            "agent_minutes = agent_minutes + 1",
            "peak_concurrent_calls = -1",
        )
    ),
    *(damage for table in METRIC_TABLES if table.recounts for damage in _damage_that_recounts_find(table)),
    *(
        ("callers_reconcile", f"UPDATE synthflow.callers_daily SET {column} = {value}", "new callers and those that")
        for column in ("callers", "reached_callers", "new_callers", "repeat_callers_24h", "repeat_callers_7d")
        for value in (f"{column} + 1", "NULL")
    ),
    (
        "callers_reconcile",
        "UPDATE synthflow.calls SET caller_key = '0' || caller_key WHERE day = '2026-03-09'",
        "new callers and those that",
    ),
    *(
        ("attempts_reconcile", f"UPDATE synthflow.attempts_daily SET {column} = {column} + 1 WHERE attempt = 1", says)
        for column, says in (
            ("leads", "attempt 1: "),
            ("reached", "attempt 1: "),
            ("reached_so_far", "or the share reached differs"),
            ("all_leads", "or the share reached differs"),
            ("reached_share", "or the share reached differs"),
        )
    ),
    ("attempts_reconcile", "DELETE FROM synthflow.attempts_daily WHERE attempt = 1", "attempt 1: 0 leads"),
    (
        "attempts_reconcile",
        "UPDATE synthflow.calls SET call_outcome = 'busy' WHERE call_outcome = 'person_reached'",
        "attempt 1: ",
    ),
    (
        "recount_call_duration_daily",
        "UPDATE synthflow.call_duration_daily SET median_duration_seconds = NULL",
        "median_duration_seconds is nothing, expected ",
    ),
    (
        "recount_call_duration_daily",
        (
            "DELETE FROM synthflow.calls; "
            "UPDATE synthflow.call_duration_daily SET max_duration_seconds = 1, total_duration_seconds = 0"
        ),
        "max_duration_seconds is 1, expected nothing; 5 more statistics differ",
    ),
    (
        "recount_call_outcomes_daily",
        "DELETE FROM synthflow.call_outcomes_daily WHERE dimension = 'telephony_hangup'",
        "calls of telephony_hangup sums to 0, expected ",
    ),
    *(
        (
            f"unique_{table.name}",
            f"INSERT INTO synthflow.{table.name} SELECT * FROM synthflow.{table.name} WHERE day = '2026-03-10' LIMIT 1",
            "2 rows where there must be one",
        )
        for table in METRIC_TABLES
    ),
    (
        "fresh_per_model",
        (
            "DELETE FROM synthflow.call_loads WHERE day = '2026-03-10' "
            "AND model_id = (SELECT min(model_id) FROM synthflow.calls)"
        ),
        "the latest landed day is 2026-03-09",
    ),
    ("fresh_per_model", "DELETE FROM synthflow.call_loads", "nothing has landed in the two weeks before"),
    (
        "usual_volume",
        (
            "INSERT INTO synthflow.call_loads "
            "SELECT loads.* REPLACE (loads.day - 7 * week::INTEGER AS day, 3 * landed AS landed) "
            "FROM synthflow.call_loads AS loads, range(1, 5) AS weeks(week)"
        ),
        "usual on this weekday are ",
    ),
    (
        "usual_disconnects",
        SHIFTED_REASONS.format("error"),
        "error rose from 0 % of the calls in the four weeks before to ",
    ),
    (
        "usual_disconnects",
        SHIFTED_REASONS.format("Ada, +1415"),
        "something unreadable rose from 0 % of the calls in the four weeks before to ",
    ),
    (
        "same_fields",
        (
            "UPDATE synthflow.call_loads SET fields = "
            "map_from_entries(list_filter(map_entries(fields), lambda entry: entry.key <> 'recording_url')) "
            "WHERE day = '2026-03-10'"
        ),
        "recording_url is empty in all",
    ),
    (
        "same_fields",
        (
            "UPDATE synthflow.call_loads SET fields = map_concat(fields, MAP {'mood': 3::BIGINT}) "
            "WHERE day = '2026-03-10'"
        ),
        "2026-03-10: mood is new, in",
    ),
    *(
        (
            check,
            "UPDATE synthflow.call_loads SET fetched_until = '2026-03-10 20:00:00+00' WHERE day = '2026-03-10'",
            says,
        )
        for check, says in (
            ("no_gaps", "landed only in part"),
            ("fresh_per_model", "the latest landed day is 2026-03-09"),
        )
    ),
    (
        "no_gaps",
        "DELETE FROM synthflow.call_loads WHERE day = '2026-03-09' AND landed > 20",
        "Front Desk: never landed",
    ),
    (
        "no_gaps",
        "DELETE FROM metric_computations",
        "2026-03-10: landed, but no metric is computed from the latest load",
    ),
    (
        "no_gaps",
        "DELETE FROM metric_computations WHERE metric = 'call_load_hourly' AND day = '2026-03-10'",
        "2026-03-10: not computed from the latest load: call_load_hourly",
    ),
    (
        "no_gaps",
        "UPDATE call_loads SET loaded_at = loaded_at + INTERVAL 1 SECOND WHERE day = '2026-03-09'",
        "2026-03-09: landed, but no metric is computed from the latest load",
    ),
    ("settled", "UPDATE synthflow.call_loads SET settled = false, open_calls = 2", "2 calls were still going on"),
    ("settled", "UPDATE synthflow.call_loads SET settled = false", "it was fetched before it was over"),
]
