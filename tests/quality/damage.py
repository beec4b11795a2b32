"""Damage that each check is there to notice: whose it is, what is done to the tables, what is said of it then."""

from synthflow_assets.warehouse.metric_tables import (
    CALL_DURATION_DAILY,
    DISCONNECT_REASONS_DAILY,
    METRIC_TABLES,
    TELEPHONY_TIMING_DAILY,
)

SHIFTED_REASONS = (
    "INSERT INTO synthflow.disconnect_reasons_daily "
    "SELECT reasons.* REPLACE (reasons.day - days_ago::INTEGER AS day) "
    "FROM synthflow.disconnect_reasons_daily AS reasons, range(2, 29) AS t(days_ago) WHERE day = '2026-03-10'; "
    "UPDATE synthflow.disconnect_reasons_daily SET disconnect_reason = '{}' "
    "WHERE day = '2026-03-10' AND disconnect_reason = 'caller_hangup'"
)
# Every mean, percentile, total and extreme of the tables that are computed from single calls.
STATISTICS = [
    (check, table.name, [column.name for column in table.columns if column.unit == "seconds"])
    for check, table in (
        ("call_duration_reconciles", CALL_DURATION_DAILY),
        ("disconnect_reasons_reconcile", DISCONNECT_REASONS_DAILY),
        ("telephony_timing_reconciles", TELEPHONY_TIMING_DAILY),
    )
]
DAMAGE = [
    (
        "unique_call_ids",
        "INSERT INTO synthflow.calls SELECT * REPLACE (DATE '2020-01-01' AS day) FROM synthflow.calls LIMIT 1",
        "1 calls have a call_id that is in the table 2 times",
    ),
    ("complete", "UPDATE synthflow.call_loads SET total_records = total_records + 3", "calls came, of"),
    ("complete", "UPDATE synthflow.call_loads SET landed = landed + 1", "calls came, but"),
    (
        "complete",
        "DELETE FROM synthflow.calls WHERE call_id = (SELECT min(call_id) FROM synthflow.calls)",
        "calls landed, but",
    ),
    (
        "complete",
        "DELETE FROM synthflow.call_loads WHERE day = '2026-03-10'",
        "calls are stored, but no row in call_loads",
    ),
    (
        "within_day",
        "UPDATE synthflow.calls SET start_time = start_time + INTERVAL 1 DAY WHERE day = '2026-03-10'",
        "calls started on another day in America/New_York",
    ),
    (
        "no_rejects",
        "INSERT INTO synthflow.call_rejects VALUES ('2026-03-10', 'a', 'duration is odd', '{}', now())",
        "2026-03-10 a: 1 records rejected: duration is odd",
    ),
    ("known_values", "UPDATE synthflow.calls SET call_status = 'teleported'", "calls, which is not documented"),
    ("known_values", "UPDATE synthflow.calls SET telephony_hangup = 'Ada, +1415'", "is something unreadable"),
    (
        "call_duration_reconciles",
        "UPDATE synthflow.call_duration_daily SET calls = calls + 1",
        "calls computed",
    ),
    (
        "call_duration_reconciles",
        "DELETE FROM synthflow.call_duration_daily WHERE day = '2026-03-10'",
        "landed, but not computed",
    ),
    (
        "call_duration_reconciles",
        "DELETE FROM synthflow.call_loads WHERE day = '2026-03-10'",
        "computed, but never landed",
    ),
    (
        "disconnect_reasons_reconcile",
        "UPDATE synthflow.disconnect_reasons_daily SET share = share / 2",
        "the shares add up to 0.5",
    ),
    (
        "disconnect_reasons_reconcile",
        "DELETE FROM synthflow.disconnect_reasons_daily WHERE disconnect_reason = 'caller_hangup'",
        "calls have a reason",
    ),
    ("disconnect_reasons_reconcile", "DELETE FROM synthflow.disconnect_reasons_daily", "0 calls have a reason"),
    (
        "call_duration_histogram_reconciles",
        "DELETE FROM synthflow.call_duration_histogram WHERE call_status = 'completed'",
        "calls in the histogram",
    ),
    (
        "call_duration_histogram_reconciles",
        "UPDATE synthflow.call_duration_histogram SET duration_seconds = duration_seconds + 1",
        "s by the histogram",
    ),
    (
        "call_duration_histogram_reconciles",
        "DELETE FROM synthflow.call_duration_histogram",
        "landed, but not computed",
    ),
    (
        "call_outcomes_reconcile",
        "DELETE FROM synthflow.call_outcomes_daily WHERE dimension = 'telephony_hangup'",
        "telephony_hangup: 0 calls counted",
    ),
    (
        "call_outcomes_reconcile",
        "UPDATE synthflow.call_outcomes_daily SET share = share / 2 WHERE dimension = 'call_status'",
        "the shares add up to 0.5",
    ),
    ("call_rates_reconcile", "DELETE FROM synthflow.call_rates_daily", "landed, but not computed"),
    ("call_rates_reconcile", "DELETE FROM synthflow.call_loads", "computed, but never landed"),
    ("call_rates_reconcile", "UPDATE synthflow.call_rates_daily SET calls = calls + 1", "calls computed"),
    ("call_rates_reconcile", "UPDATE synthflow.call_rates_daily SET busy_calls = busy_calls + 1", "busy_calls is "),
    (
        "call_rates_reconcile",
        "UPDATE synthflow.call_rates_daily SET short_calls = short_calls + 1",
        "short_calls is ",
    ),
    ("call_rates_reconcile", "UPDATE synthflow.call_rates_daily SET busy_rate = 1.5", "busy_rate is 1.5, expected 0."),
    ("call_load_reconciles", "DELETE FROM synthflow.call_load_hourly", "landed, but not computed"),
    ("call_load_reconciles", "DELETE FROM synthflow.call_loads", "computed, but never landed"),
    (
        "call_load_reconciles",
        "UPDATE synthflow.call_load_hourly SET calls_started = calls_started + 1",
        "calls started",
    ),
    (
        "call_load_reconciles",
        "DELETE FROM synthflow.call_load_hourly WHERE calls_started = 0",
        "hours, but the day has 24",
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
        (
            "UPDATE synthflow.calls SET duration_seconds = 200000 "
            "WHERE call_id = (SELECT min(call_id) FROM synthflow.calls WHERE day = '2026-03-09')"
        ),
        "1 calls run beyond the day after, where they are never counted",
    ),
    ("workspace_load_reconciles", "DELETE FROM synthflow.workspace_load_hourly", "landed, but not computed"),
    (
        "workspace_load_reconciles",
        "DELETE FROM synthflow.workspace_load_hourly WHERE local_hour = 12",
        "calls started",
    ),
    (
        "workspace_load_reconciles",
        "UPDATE synthflow.workspace_load_hourly SET peak_concurrent_calls = 1000",
        "2026-03-10: 24 hours differ from those of call_load_hourly",
    ),
    ("judge_results_reconcile", "DELETE FROM synthflow.judge_results_daily", "calls have verdicts, none is counted"),
    (
        "judge_results_reconcile",
        "UPDATE synthflow.judge_results_daily SET judged_calls = judged_calls + 1000, passes = passes + 1000",
        "a check has judged",
    ),
    (
        "judge_results_reconcile",
        "UPDATE synthflow.judge_results_daily SET fails = fails + 1",
        "not add up to the calls",
    ),
    ("judge_results_reconcile", "UPDATE synthflow.judge_results_daily SET pass_share = NULL", "do not add up"),
    (
        "collected_variables_reconcile",
        "DELETE FROM synthflow.collected_variables_daily",
        "calls have variables, none is counted",
    ),
    (
        "collected_variables_reconcile",
        (
            "UPDATE synthflow.collected_variables_daily "
            "SET asked = asked + 1000, completion_rate = collected / (asked + 1000)"
        ),
        "a variable was asked for in",
    ),
    (
        "collected_variables_reconcile",
        "UPDATE synthflow.collected_variables_daily SET collected = asked + 1",
        "variables were collected more often than asked for",
    ),
    ("actions_reconcile", "DELETE FROM synthflow.actions_daily", "0 actions counted"),
    ("actions_reconcile", "UPDATE synthflow.actions_daily SET failed = executed + 1", "of them failed"),
    ("telephony_timing_reconciles", "DELETE FROM synthflow.telephony_timing_daily", "landed, but not computed"),
    ("telephony_timing_reconciles", "DELETE FROM synthflow.call_loads", "computed, but never landed"),
    ("telephony_timing_reconciles", "UPDATE synthflow.telephony_timing_daily SET calls = calls + 1", "calls computed"),
    (
        "telephony_timing_reconciles",
        "UPDATE synthflow.telephony_timing_daily SET p90_talk_seconds = 0",
        "p90_talk_seconds is 0, by the calls ",
    ),
    *(
        (
            check,
            f"UPDATE synthflow.{table} SET {column} = {column} + 1 WHERE {column} IS NOT NULL",
            f"{column} is ",
        )
        for check, table, columns in STATISTICS
        for column in columns
    ),
    (
        "call_duration_reconciles",
        "UPDATE synthflow.call_duration_daily SET median_duration_seconds = NULL",
        "median_duration_seconds is nothing, by the calls ",
    ),
    (
        "call_duration_reconciles",
        (
            "DELETE FROM synthflow.calls; "
            "UPDATE synthflow.call_duration_daily SET max_duration_seconds = 1, total_duration_seconds = 0"
        ),
        "max_duration_seconds is 1, by the calls nothing; 5 other statistics differ too",
    ),
    (
        "call_duration_reconciles",
        "UPDATE synthflow.call_duration_daily SET short_calls = calls + 1, connected_calls = calls",
        "of them connected, ",
    ),
    (
        "telephony_timing_reconciles",
        "UPDATE synthflow.telephony_timing_daily SET compared_calls = talk_calls + 1",
        "of these compared",
    ),
    (
        "call_rates_reconcile",
        "UPDATE synthflow.call_duration_daily SET connected_calls = connected_calls + 1",
        "in call_duration_daily ",
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
        "are usual on this weekday",
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
    (
        "no_gaps",
        "DELETE FROM synthflow.call_loads WHERE day = '2026-03-09' AND landed > 20",
        "Front Desk: never landed",
    ),
    ("settled", "UPDATE synthflow.call_loads SET settled = false, open_calls = 2", "2 calls were still going on"),
    ("settled", "UPDATE synthflow.call_loads SET settled = false", "it was fetched before it was over"),
]
