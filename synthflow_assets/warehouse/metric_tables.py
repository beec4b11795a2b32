"""The metric tables: each column with its meaning, formula and unit, and what it is computed from.

docs/metrics.md, the column descriptions and lineage in Dagster, and the generated checks follow from here.
"""

from __future__ import annotations

from dataclasses import replace

from synthflow_assets.warehouse.tables import DAY, MODEL_ID, AffectedDays, Column, MetricTable, Recount, Statistics

NOT_REPORTED = "not_reported"


def spellings(*statuses: str) -> tuple[str, ...]:
    """Return the statuses with hyphens and with underscores: the API mixes both."""
    spelled = [one for status in statuses for one in (status, status.replace("_", "-"), status.replace("-", "_"))]
    return tuple(dict.fromkeys(spelled))


# A person or a machine picked up. This is not "a person was reached": most connected outbound calls end on a voicemail.
CONNECTED_STATUSES = spellings("completed", "hangup_on_voicemail", "left_voicemail")
VOICEMAIL_STATUSES = spellings("hangup_on_voicemail", "left_voicemail")

_BY_DAY_AND_AGENT = ("day", "model_id")
_NONE = "Nothing."
_BLANK = f"A field that is NULL or blank counts as `{NOT_REPORTED}`."


def _count(
    name: str, description: str, formula: str, *sources: str, unit: str = "calls", summable: bool = True
) -> Column:
    return Column(name, "BIGINT", description, unit, required=True, formula=formula, sources=sources, summable=summable)


def _share(description: str, *sources: str) -> Column:
    formula = "calls / all calls of the day and agent"
    return Column("share", "DOUBLE", description, "1", required=True, formula=formula, sources=sources)


def _ratio(name: str, description: str, numerator: str, denominator: str, *sources: str) -> Column:
    return Column(
        name,
        "DOUBLE",
        description,
        "1",
        formula=f"{numerator} / {denominator}",
        sources=sources,
        ratio=(numerator, denominator),
    )


def _rate(name: str, numerator: str, denominator: str, *sources: str) -> Column:
    return _ratio(name, f"`{numerator}` divided by `{denominator}`.", numerator, denominator, *sources)


def _text(name: str, description: str, formula: str, *sources: str) -> Column:
    return Column(name, "VARCHAR", description, required=True, formula=formula, sources=sources)


def _seconds(name: str, description: str, formula: str, *sources: str, sql_type: str = "DOUBLE") -> Column:
    return Column(name, sql_type, description, "seconds", formula=formula, sources=sources)


def _statistics(of: str, unit_name: str, field: str, what: str, *sources: str) -> tuple[Column, ...]:
    """Return the mean and the percentiles of a length of time, called `mean_UNIT_NAME` and so on."""
    percentiles = {"median": ("Median", 0.5)} | {f"p{n}": (f"{n}th percentile", n / 100) for n in (90, 95, 99)}
    return (
        _seconds(f"mean_{unit_name}", f"Mean {of} of {what}.", f"mean({field})", *sources),
        *(
            _seconds(
                f"{name}_{unit_name}",
                f"{title} of the {of} of {what}, interpolated linearly between the two closest calls.",
                f"percentile({field}, {share})",
                *sources,
            )
            for name, (title, share) in percentiles.items()
        ),
    )


_CALLS = _count("calls", "All calls.", "count(calls)", "call_id")
_ALL_CALLS = Recount("calls")
_CONNECTED_CALLS = _count(
    "connected_calls",
    "Calls that a person or a machine picked up. Voicemails count as well: these are not the persons reached.",
    "count(call_status in completed, hangup_on_voicemail, left_voicemail)",
    "call_status",
)
_SHORT_CALLS = _count(
    "short_calls",
    "Connected calls shorter than the SYNTHFLOW_SHORT_CALL_SECONDS with which the day was computed.",
    "count(connected and duration_seconds < SYNTHFLOW_SHORT_CALL_SECONDS)",
    "call_status",
    "duration_seconds",
)
_PERSON_REACHED_CALLS = _count(
    "person_reached_calls",
    "Calls that a person answered, as far as status and end reason tell.",
    "count(call_outcome = person_reached)",
    "call_outcome",
)
_TRANSFER_COUNTS = (
    _count(
        "transferred_calls",
        "Calls with at least one transfer, whether it succeeded or not.",
        "count(calls with an action whose type contains transfer)",
        "actions",
    ),
    _count(
        "transfer_success_calls",
        "Calls with a transfer that reports a status and no failure.",
        "count(calls with a transfer that has a status and did not fail)",
        "actions",
    ),
    _count(
        "transfer_failed_calls",
        "Calls whose transfers failed: at least one failed, and none is known to have succeeded.",
        "count(calls with a failed transfer and no successful one)",
        "actions",
    ),
)
_DURATION = ("call_status", "duration_seconds")
_IS_CONNECTED = "coalesce(list_contains($connected_statuses::VARCHAR[], trim(call_status)), false)"
_COUNTED_CONNECTED = Recount("connected_calls", f"{_IS_CONNECTED}::BIGINT")


def _reported(column: str) -> str:
    """Return SQL for a text that may be missing."""
    return f"coalesce(nullif(trim({column}), ''), $not_reported)"


CALL_DURATION_DAILY = MetricTable(
    "call_duration_daily",
    "Number and duration of calls. The duration includes ringing and delay; statistics are over connected calls.",
    _BY_DAY_AND_AGENT,
    (
        DAY,
        MODEL_ID,
        _CALLS,
        _CONNECTED_CALLS,
        _SHORT_CALLS,
        replace(
            _seconds(
                "total_duration_seconds",
                "Sum of the durations of connected calls.",
                "sum(duration_seconds)",
                *_DURATION,
                sql_type="BIGINT",
            ),
            summable=True,
        ),
        *_statistics("duration", "duration_seconds", "duration_seconds", "connected calls", *_DURATION),
        _seconds(
            "max_duration_seconds",
            "Longest duration of connected calls.",
            "max(duration_seconds)",
            *_DURATION,
            sql_type="BIGINT",
        ),
    ),
    excluded="Calls that were not connected, from the statistics only, because their duration is that of the ringing.",
    nulls=(
        "A connected call without a duration counts as connected, but neither as short nor in the statistics. "
        "A day without calls has zeros and NULL statistics."
    ),
    every_landed_day=True,
    recounts=(_ALL_CALLS, _COUNTED_CONNECTED),
    statistics=(
        Statistics(
            "duration_seconds",
            f"SELECT day, model_id, duration_seconds AS measurement FROM calls WHERE {_IS_CONNECTED}",
        ),
    ),
)

DISCONNECT_REASONS_DAILY = MetricTable(
    "disconnect_reasons_daily",
    "Why the line was cut, as the telephony layer reports it.",
    ("day", "model_id", "disconnect_reason"),
    (
        DAY,
        MODEL_ID,
        _text(
            "disconnect_reason",
            f"The reason, or `{NOT_REPORTED}`.",
            "telephony_disconnect_reason",
            "telephony_disconnect_reason",
        ),
        _count("calls", "Calls with this reason.", "count(calls)", "call_id"),
        _share("Share of the agent's calls of the day; the shares sum to 1.", "telephony_disconnect_reason"),
        _seconds(
            "mean_duration_seconds",
            "Mean duration of these calls, connected or not.",
            "mean(duration_seconds)",
            "duration_seconds",
        ),
    ),
    excluded=_NONE,
    nulls=f"{_BLANK} A call without a duration is left out of the mean.",
    recounts=(Recount("calls", share="share"),),
    statistics=(
        Statistics(
            "duration_seconds",
            f"SELECT day, model_id, {_reported('telephony_disconnect_reason')} AS disconnect_reason, "
            "duration_seconds AS measurement FROM calls",
        ),
    ),
)

CALL_DURATION_HISTOGRAM = MetricTable(
    "call_duration_histogram",
    "Number of calls by type, status and duration. It adds up over days and agents, so percentiles over any range are "
    "exact: see `duration_summary`.",
    ("day", "model_id", "type_of_call", "call_status", "duration_seconds"),
    (
        DAY,
        MODEL_ID,
        _text("type_of_call", f"Direction of the calls, or `{NOT_REPORTED}`.", "type_of_call", "type_of_call"),
        _text("call_status", f"Status of the calls, or `{NOT_REPORTED}`.", "call_status", "call_status"),
        _seconds(
            "duration_seconds",
            "Duration of each of these calls; NULL if the API gave none.",
            "duration_seconds",
            "duration_seconds",
            sql_type="BIGINT",
        ),
        _count("calls", "Calls of this type, status and duration.", "count(calls)", "call_id"),
    ),
    excluded=_NONE,
    nulls=f"{_BLANK} Calls without a duration have a row of their own, with NULL.",
    recounts=(_ALL_CALLS,),
)

# The dimensions of call_outcomes_daily, each with its column of `calls`.
_DIMENSIONS = {
    "outcome": "call_outcome",
    "call_status": "call_status",
    "end_call_reason": "end_call_reason",
    "telephony_hangup": "telephony_hangup",
    "telephony_error_code": "telephony_error_code",
    "type_of_call": "type_of_call",
    "assistant_version": "assistant_version",
    "campaign_type": "campaign_type",
}
OUTCOME_DIMENSIONS = tuple(_DIMENSIONS)

CALL_OUTCOMES_DAILY = MetricTable(
    "call_outcomes_daily",
    "Number and share of calls by each value of several dimensions.",
    ("day", "model_id", "dimension", "value"),
    (
        DAY,
        MODEL_ID,
        _text(
            "dimension",
            f"One of {', '.join(OUTCOME_DIMENSIONS)}.",
            "name of the column; outcome is call_outcome",
            *_DIMENSIONS.values(),
        ),
        _text("value", f"Value of that column, or `{NOT_REPORTED}`.", "the column", *_DIMENSIONS.values()),
        _count("calls", "Calls with this value.", "count(calls)", *_DIMENSIONS.values(), summable=False),
        _share("Share of the agent's calls of the day; the shares of a dimension sum to 1.", *_DIMENSIONS.values()),
    ),
    excluded=_NONE,
    nulls=_BLANK,
    recounts=(Recount("calls", within=("dimension", OUTCOME_DIMENSIONS), share="share"),),
)


def _by_status(name: str, *statuses: str) -> Column:
    is_one_of = "=" if len(statuses) == 1 else "in"
    return _count(
        name,
        f"Calls with the status {' or '.join(statuses)}.",
        f"count(call_status {is_one_of} {', '.join(statuses)})",
        "call_status",
    )


def _counted_status(name: str, *statuses: str) -> Recount:
    spelled = ", ".join(f"'{status}'" for status in spellings(*statuses))
    return _counted_if(name, f"trim(call_status) IN ({spelled})")


def _counted_if(name: str, condition: str) -> Recount:
    return Recount(name, f"coalesce({condition}, false)::BIGINT")


_IS_TRANSFER = "regexp_matches(action.action_type, 'transfer', 'i')"
_TRANSFERS = f"coalesce([action FOR action IN actions IF {_IS_TRANSFER}], [])"
_SUCCEEDED = f"list_contains([NOT one.failed AND one.status IS NOT NULL FOR one IN {_TRANSFERS}], true)"
_FAILED = f"list_contains([one.failed FOR one IN {_TRANSFERS}], true)"
_REACHED = "call_outcome = 'person_reached'"
_COUNTED_REACHED = _counted_if("person_reached_calls", _REACHED)
_COUNTED_TRANSFERS = (
    _counted_if("transferred_calls", f"{_TRANSFERS} <> []"),
    _counted_if("transfer_success_calls", _SUCCEEDED),
    _counted_if("transfer_failed_calls", f"{_FAILED} AND NOT {_SUCCEEDED}"),
)
_TRANSFER_SUCCESS_RATE = _ratio(
    "transfer_success_rate",
    "`transfer_success_calls` divided by the calls whose transfers have a known result.",
    "transfer_success_calls",
    "(transfer_success_calls + transfer_failed_calls)",
    "actions",
)

CALL_RATES_DAILY = MetricTable(
    "call_rates_daily",
    "Number of calls by outcome, status and result, and rates of these numbers.",
    _BY_DAY_AND_AGENT,
    (
        DAY,
        MODEL_ID,
        _CALLS,
        _CONNECTED_CALLS,
        _PERSON_REACHED_CALLS,
        _count(
            "silent_calls",
            "Calls in which a person was reached and said nothing. Calls without a transcript are not counted.",
            "count(call_outcome = person_reached and human_turns = 0)",
            "call_outcome",
            "human_turns",
        ),
        _by_status("no_answer_calls", "no-answer"),
        _by_status("busy_calls", "busy"),
        _by_status("failed_calls", "failed"),
        _by_status("voicemail_calls", "hangup_on_voicemail", "left_voicemail"),
        _SHORT_CALLS,
        *_TRANSFER_COUNTS,
        _count(
            "contained_calls",
            "Calls in which a person was reached and no transfer was tried.",
            "count(call_outcome = person_reached and no transfer)",
            "call_outcome",
            "actions",
        ),
        _count(
            "calls_with_full_error",
            "Calls in which the judge found at least one check failed.",
            "count(judge_found_full_error)",
            "judge_found_full_error",
        ),
        _count(
            "calls_with_any_error",
            "Calls in which the judge found at least one check failed or passed in part.",
            "count(judge_found_full_error or judge_found_partial_or_error)",
            "judge_found_full_error",
            "judge_found_partial_or_error",
        ),
        _rate("connection_rate", "connected_calls", "calls", "call_status"),
        _rate("person_reached_rate", "person_reached_calls", "calls", "call_outcome"),
        _rate("no_answer_rate", "no_answer_calls", "calls", "call_status"),
        _rate("busy_rate", "busy_calls", "calls", "call_status"),
        _rate("failed_rate", "failed_calls", "calls", "call_status"),
        _rate("voicemail_rate", "voicemail_calls", "calls", "call_status"),
        _rate("short_call_rate", "short_calls", "connected_calls", *_DURATION),
        _TRANSFER_SUCCESS_RATE,
        _rate("containment_rate", "contained_calls", "person_reached_calls", "call_outcome", "actions"),
    ),
    excluded=(
        "Nothing: canceled calls, spam and calls that are still going on count in `calls`, and so in every rate. "
        "Voicemails count as connected too, so the rates do not sum to 1."
    ),
    nulls=(
        "A call without a status counts in `calls` only. A connected call without a duration is not short. A transfer "
        "without a status and without a sign of failure counts in `transferred_calls` only. "
        "If its denominator is 0, a rate is NULL."
    ),
    every_landed_day=True,
    recounts=(
        _ALL_CALLS,
        _COUNTED_CONNECTED,
        _COUNTED_REACHED,
        _counted_if("silent_calls", f"{_REACHED} AND human_turns = 0"),
        _counted_status("no_answer_calls", "no-answer"),
        _counted_status("busy_calls", "busy"),
        _counted_status("failed_calls", "failed"),
        _counted_status("voicemail_calls", "hangup_on_voicemail", "left_voicemail"),
        *_COUNTED_TRANSFERS,
        _counted_if("contained_calls", f"{_REACHED} AND {_TRANSFERS} = []"),
        _counted_if("calls_with_full_error", "judge_found_full_error"),
        _counted_if("calls_with_any_error", "judge_found_full_error OR judge_found_partial_or_error"),
    ),
)

_TRAFFIC = ("start_time", "duration_seconds")
_TRAFFIC_COLUMNS = (
    Column(
        "hour_start",
        "TIMESTAMPTZ",
        "Start of the hour.",
        required=True,
        formula="each full hour on the clock of the set time zone, and each change of that clock",
        sources=("start_time",),
    ),
    Column(
        "local_hour",
        "INTEGER",
        "The hour on the clock, 0 to 23. An hour that the clock repeats has two rows, an hour that it skips has none.",
        "hour of the day",
        required=True,
        formula="hour of hour_start in the set time zone",
        sources=("start_time",),
    ),
    _count(
        "calls_started",
        "Calls that started in the hour.",
        "count(hour_start <= start_time < end of the hour)",
        "start_time",
    ),
    _count(
        "connected_calls",
        "Calls that started in the hour and were connected.",
        "count(calls_started with call_status in completed, hangup_on_voicemail, left_voicemail)",
        "start_time",
        "call_status",
    ),
    _count(
        "person_reached_calls",
        "Calls that started in the hour and reached a person. Divided by `calls_started`, this says when to call.",
        "count(calls_started with call_outcome = person_reached)",
        "start_time",
        "call_outcome",
    ),
    _count(
        "calls_in_progress",
        "Calls that were going on at any time of the hour.",
        "count(start_time < end of the hour and start_time + duration_seconds > hour_start), or started in the hour",
        *_TRAFFIC,
        summable=False,
    ),
    Column(
        "agent_minutes",
        "DOUBLE",
        "Minutes that agents spent on calls in the hour. Ringing and calls that were not connected count as well.",
        "minutes",
        required=True,
        formula="sum(the part of the call that lies in the hour) / 60",
        sources=_TRAFFIC,
        summable=True,
    ),
    _count(
        "peak_concurrent_calls",
        "Highest number of calls that were going on at the same moment.",
        "max over the hour of count(start_time <= moment < start_time + duration_seconds)",
        *_TRAFFIC,
        summable=False,
    ),
)
_TRAFFIC_RECOUNTS = (
    Recount("calls_started"),
    _COUNTED_CONNECTED,
    _COUNTED_REACHED,
)
_TRAFFIC_DAY = Column("day", "DATE", "Day that the hour belongs to, in the set time zone.", required=True)
_TRAFFIC_EXCLUDED = (
    "The part of a call that runs beyond the end of the day after its start. A day is computed from its own calls and "
    "those of the day before."
)
_TRAFFIC_NULLS = (
    "A call without a duration, or of 0 seconds, counts as started and in progress in the hour of its start. It adds "
    "no minutes and does not count in the peak. A landed day has a row for every hour, with zeros if there was no call."
)

CALL_LOAD_HOURLY = MetricTable(
    "call_load_hourly",
    "How busy each agent was, hour by hour. A call that runs past an hour or midnight counts in each hour it runs in.",
    ("day", "model_id", "hour_start"),
    (_TRAFFIC_DAY, MODEL_ID, *_TRAFFIC_COLUMNS),
    excluded=_TRAFFIC_EXCLUDED,
    nulls=_TRAFFIC_NULLS,
    every_landed_day=True,
    affected_days=AffectedDays.AND_NEXT,
    recounts=_TRAFFIC_RECOUNTS,
)

WORKSPACE_LOAD_HOURLY = MetricTable(
    "workspace_load_hourly",
    "How busy all agents were together, hour by hour. The agents' peaks are at different moments, so they do not add "
    "up to the workspace's.",
    ("day", "hour_start"),
    (_TRAFFIC_DAY, *_TRAFFIC_COLUMNS),
    excluded=_TRAFFIC_EXCLUDED,
    nulls=_TRAFFIC_NULLS,
    every_landed_day=True,
    affected_days=AffectedDays.AND_NEXT,
    recounts=_TRAFFIC_RECOUNTS,
)

_JUDGE = "judge_verdicts"
_VERDICTS = f"map_values({_JUDGE})"


def _verdict(name: str, description: str, value: str) -> Column:
    return _count(name, description, f"count(verdict = {value})", _JUDGE, summable=False)


def _counted_verdicts(name: str, condition: str) -> Recount:
    return Recount(name, f"coalesce(len([verdict FOR verdict IN {_VERDICTS} IF {condition}]), 0)")


JUDGE_RESULTS_DAILY = MetricTable(
    "judge_results_daily",
    "Verdicts of the judge, by check.",
    ("day", "model_id", "judge_check"),
    (
        DAY,
        MODEL_ID,
        _text("judge_check", "Name of the check.", "key of judge_verdicts", _JUDGE),
        _count(
            "judged_calls",
            "Calls that passed, passed in part or failed.",
            "passes + partials + fails",
            _JUDGE,
            summable=False,
        ),
        _verdict("passes", "Calls that passed.", "true"),
        _verdict("partials", "Calls that passed in part.", "partial"),
        _verdict("fails", "Calls that failed.", "false"),
        _verdict("not_applicable", "Calls that the check does not apply to.", "not_applicable"),
        _count(
            "other_answers",
            "Calls whose verdict is another text.",
            "count(verdict is none of these, and no number)",
            _JUDGE,
            summable=False,
        ),
        _ratio("pass_share", "`passes` divided by `judged_calls`.", "passes", "judged_calls", _JUDGE),
        _count("scored_calls", "Calls with a score.", "count(verdict is a number)", _JUDGE, summable=False),
        Column(
            "mean_score",
            "DOUBLE",
            "Mean of the scores.",
            "score",
            formula="mean(verdict is a number)",
            sources=(_JUDGE,),
        ),
    ),
    excluded=(
        "Empty verdicts, explanations (`..._feedback`, `..._reason`) and the judge's aggregates (`all_feedback`, "
        "`judge_found_...`). The aggregates are in call_rates_daily."
    ),
    nulls=(
        "A call without a verdict of the check is not counted. If no call is judged, `pass_share` is NULL. If no call "
        "has a score, `mean_score` is NULL."
    ),
    recounts=(
        _counted_verdicts("judged_calls", "verdict IN ('true', 'partial', 'false')"),
        _counted_verdicts("passes", "verdict = 'true'"),
        _counted_verdicts("partials", "verdict = 'partial'"),
        _counted_verdicts("fails", "verdict = 'false'"),
        _counted_verdicts("not_applicable", "verdict = 'not_applicable'"),
        _counted_verdicts("other_answers", "verdict = 'other'"),
        _counted_verdicts("scored_calls", "regexp_full_match(verdict, '[-0-9.]+')"),
    ),
    statistics=(
        Statistics(
            "score",
            f"SELECT day, model_id, key AS judge_check, TRY_CAST(value AS DOUBLE) AS measurement "
            f"FROM (SELECT day, model_id, unnest(map_entries({_JUDGE}), max_depth := 2) FROM calls)",
        ),
    ),
)

COLLECTED_VARIABLES_DAILY = MetricTable(
    "collected_variables_daily",
    "How often each variable was asked for, and how often it was collected.",
    ("day", "model_id", "source", "variable"),
    (
        DAY,
        MODEL_ID,
        _text("source", "`variable` (of collected_variables) or `extractor` (an action).", "source", "variables"),
        _text("variable", "Name of the variable or of what the extractor looks for.", "name", "variables"),
        _count("asked", "Calls that ask for the variable.", "count(calls)", "variables", summable=False),
        _count(
            "collected",
            "Calls that collected it, at least once.",
            "count(calls with collected = true)",
            "variables",
            summable=False,
        ),
        replace(
            _ratio("completion_rate", "`collected` divided by `asked`.", "collected", "asked", "variables"),
            required=True,
        ),
    ),
    excluded=_NONE,
    nulls=(
        "A variable that is NULL was asked for and not collected. If the API does not say whether it was collected, a "
        "variable with a value was."
    ),
    recounts=(
        Recount("asked", "coalesce(len(list_distinct([(one.source, one.name) FOR one IN variables])), 0)"),
        Recount(
            "collected",
            "coalesce(len(list_distinct([(one.source, one.name) FOR one IN variables IF one.collected])), 0)",
        ),
    ),
)

ACTIONS_DAILY = MetricTable(
    "actions_daily",
    "Actions that ran in calls, such as extractors, transfers and messages, by type.",
    ("day", "model_id", "action_type"),
    (
        DAY,
        MODEL_ID,
        _text("action_type", f"Type of the action, or `{NOT_REPORTED}`.", "action_type", "actions"),
        _count(
            "executed",
            "Actions that ran, failed ones included. Several actions of a call count each.",
            "count(actions)",
            "actions",
            unit="actions",
        ),
        _count(
            "failed",
            "Actions that report a failure in any way: an error message, a failed status or transfer, or an HTTP "
            "status of 400 or more.",
            "count(failed)",
            "actions",
            unit="actions",
        ),
        _count(
            "calls", "Calls with at least one of these actions.", "count(distinct calls)", "actions", summable=False
        ),
    ),
    excluded=_NONE,
    nulls=f"An action without a type counts as `{NOT_REPORTED}`. Without any sign of a failure, it has not failed.",
    recounts=(
        Recount("executed", "coalesce(len(actions), 0)"),
        Recount("failed", "coalesce(len([one FOR one IN actions IF one.failed]), 0)"),
        Recount(
            "calls",
            "coalesce(len(list_distinct("
            "[coalesce(nullif(trim(one.action_type), ''), $not_reported) FOR one IN actions])), 0)",
        ),
    ),
)

TRANSFERS_DAILY = MetricTable(
    "transfers_daily",
    "Transfers to a human, by outcome and by the reason of a failure.",
    ("day", "model_id", "outcome", "failed_reason"),
    (
        DAY,
        MODEL_ID,
        _text(
            "outcome",
            f"Status as the API reports it, such as `transfer-success`, or `{NOT_REPORTED}`.",
            "status",
            "actions",
        ),
        _text(
            "failed_reason",
            f"Reason of the failure that the API reports, or `{NOT_REPORTED}`.",
            "failed_reason",
            "actions",
        ),
        _count("transfers", "Transfers with this outcome.", "count(transfers)", "actions", unit="transfers"),
        _count("calls", "Calls with at least one of them.", "count(distinct calls)", "actions", summable=False),
        _seconds(
            "mean_seconds_to_human",
            "Mean time from the transfer until a human answered.",
            "mean(human_connected_at - at)",
            "actions",
        ),
        _seconds(
            "median_seconds_to_human",
            "Median of the same time, interpolated linearly between the two closest transfers.",
            "percentile(human_connected_at - at, 0.5)",
            "actions",
        ),
    ),
    excluded="Actions whose type does not contain `transfer`.",
    nulls=(
        f"A missing outcome or reason counts as `{NOT_REPORTED}`. A transfer without both times, or with "
        "the human before the transfer, is left out of mean and median."
    ),
    recounts=(Recount("transfers", f"len({_TRANSFERS})"),),
    statistics=(
        Statistics(
            "seconds_to_human",
            f"SELECT day, model_id, coalesce(action.status, $not_reported) AS outcome, "
            "coalesce(action.failed_reason, $not_reported) AS failed_reason, "
            '(epoch_us(action.human_connected_at) - epoch_us(action."at")) / 1000000 AS measurement '
            f"FROM (SELECT day, model_id, unnest({_TRANSFERS}) AS action FROM calls) "
            'WHERE action.human_connected_at >= action."at"',
        ),
    ),
)

_RINGING = "telephony_ringing_duration_ms"
_TALK = "telephony_duration_ms"
_CONNECTED_TALK = f"CASE WHEN {_IS_CONNECTED} THEN {_TALK} END"
_DIFFERENCE = f"duration_seconds - {_TALK} / 1000"
TELEPHONY_TIMING_DAILY = MetricTable(
    "telephony_timing_daily",
    "Ringing and talk time, as the telephony layer reports them, and the difference between duration and talk time.",
    _BY_DAY_AND_AGENT,
    (
        DAY,
        MODEL_ID,
        _CALLS,
        _count(
            "ringing_calls", "Calls with a measured ringing time, connected or not.", f"count({_RINGING})", _RINGING
        ),
        *_statistics("ringing time", "ringing_seconds", f"{_RINGING} / 1000", "ringing_calls", _RINGING),
        _seconds("max_ringing_seconds", "Longest ringing time of ringing_calls.", f"max({_RINGING}) / 1000", _RINGING),
        _count("talk_calls", "Connected calls with a measured talk time.", f"count({_TALK})", "call_status", _TALK),
        replace(
            _seconds(
                "total_talk_seconds",
                "Sum of the talk times of talk_calls.",
                f"sum({_TALK}) / 1000",
                "call_status",
                _TALK,
            ),
            summable=True,
        ),
        *_statistics("talk time", "talk_seconds", f"{_TALK} / 1000", "talk_calls", "call_status", _TALK),
        _seconds("max_talk_seconds", "Longest talk time of talk_calls.", f"max({_TALK}) / 1000", "call_status", _TALK),
        _count(
            "compared_calls",
            "Connected calls with a duration and a talk time.",
            f"count(duration_seconds and {_TALK})",
            *_DURATION,
            _TALK,
        ),
        *_statistics(
            "difference between duration and talk time",
            "difference_seconds",
            _DIFFERENCE,
            "compared_calls",
            *_DURATION,
            _TALK,
        ),
        _seconds(
            "min_difference_seconds",
            "Smallest difference; it is below 0 if the connection was longer than the call.",
            f"min({_DIFFERENCE})",
            *_DURATION,
            _TALK,
        ),
        _seconds("max_difference_seconds", "Largest difference.", f"max({_DIFFERENCE})", *_DURATION, _TALK),
    ),
    excluded=(
        "Calls that were not connected, from talk time and difference only, because there was no conversation. Some "
        "difference is normal, because the duration includes ringing and delay."
    ),
    nulls=(
        "A call without a field is left out of the statistics of that field. A day without calls has zeros and NULL "
        "statistics."
    ),
    every_landed_day=True,
    recounts=(
        _ALL_CALLS,
        Recount("ringing_calls", f"({_RINGING} IS NOT NULL)::BIGINT"),
        Recount("talk_calls", f"({_CONNECTED_TALK} IS NOT NULL)::BIGINT"),
        Recount("compared_calls", f"({_CONNECTED_TALK} + duration_seconds IS NOT NULL)::BIGINT"),
    ),
    statistics=tuple(
        Statistics(f"{name}_seconds", f"SELECT day, model_id, {value} AS measurement FROM calls", divided_by=1000)
        for name, value in (
            ("ringing", _RINGING),
            ("talk", _CONNECTED_TALK),
            ("difference", f"1000 * duration_seconds - {_CONNECTED_TALK}"),
        )
    ),
)

_KEY = "caller_key"
_UNKNOWN_CALLERS = "NULL if the day has calls, but none with a `caller_key`."


def _callers(name: str, description: str, formula: str, *sources: str) -> Column:
    return Column(
        name, "BIGINT", f"{description} {_UNKNOWN_CALLERS}", "callers", formula=formula, sources=(_KEY, *sources)
    )


CALLERS_DAILY = MetricTable(
    "callers_daily",
    "Numbers of callers. A caller is the other side of an inbound or outbound call, identified by `caller_key`.",
    _BY_DAY_AND_AGENT,
    (
        DAY,
        MODEL_ID,
        _CALLS,
        _count("identified_calls", "Calls whose caller is known.", f"count({_KEY})", _KEY),
        _callers("callers", "Distinct callers.", f"count(distinct {_KEY})"),
        _callers(
            "reached_callers",
            "Callers with at least one call of this day in which a person was reached.",
            f"count(distinct {_KEY} with call_outcome = person_reached)",
            "call_outcome",
        ),
        _callers(
            "new_callers",
            "Callers without a call on an earlier day in the warehouse, with any agent.",
            f"count(distinct {_KEY} whose first day is this one)",
        ),
        _callers(
            "repeat_callers_24h",
            "Callers with a call that started at most 24 hours after their previous call, with any agent.",
            f"count(distinct {_KEY} with start_time - earlier start_time <= 24 hours)",
            "start_time",
        ),
        _callers(
            "repeat_callers_7d",
            "Callers with a call that started at most 168 hours after their previous call, with any agent.",
            f"count(distinct {_KEY} with start_time - earlier start_time <= 168 hours)",
            "start_time",
        ),
        _ratio(
            "calls_per_caller",
            "`identified_calls` divided by `callers`.",
            "identified_calls",
            "callers",
            _KEY,
        ),
    ),
    excluded=(
        "Calls without a `caller_key`, except from `calls`: withheld numbers, web calls without a number, and an agent "
        "that calls its own number. With `SYNTHFLOW_PII=drop`, these are all calls."
    ),
    nulls=(
        "If a day has calls but none with a key, its numbers of callers are NULL, never 0. A day without calls has "
        "zeros. Callers do not add up over days or agents: use `caller_summary`."
    ),
    every_landed_day=True,
    affected_days=AffectedDays.AND_LATER,
    recounts=(_ALL_CALLS, Recount("identified_calls", f"({_KEY} IS NOT NULL)::BIGINT")),
)

_ATTEMPTS = ("type_of_call", _KEY, "call_outcome", "start_time")
ATTEMPTS_DAILY = MetricTable(
    "attempts_daily",
    "How many calls it takes to reach a lead: an agent's outbound calls to the same number, until a person is reached.",
    ("day", "model_id", "attempt"),
    (
        replace(DAY, description="Day of the first attempt, in the set time zone."),
        MODEL_ID,
        Column(
            "attempt",
            "BIGINT",
            "Number of the attempt, from 1 to 10. Later attempts count as 10.",
            required=True,
            formula="rank of start_time among the outbound calls to the lead",
            sources=_ATTEMPTS,
        ),
        _count(
            "leads",
            "Leads that were called at least this often, and were not reached before.",
            "count(leads with that many attempts)",
            *_ATTEMPTS,
            unit="leads",
            summable=False,
        ),
        _count(
            "reached",
            "Leads that were reached for the first time by this attempt.",
            "count(leads whose first person_reached is this attempt)",
            *_ATTEMPTS,
            unit="leads",
        ),
        _count(
            "reached_so_far",
            "Leads that were reached by this attempt or an earlier one.",
            "sum(reached of attempts up to this one)",
            *_ATTEMPTS,
            unit="leads",
            summable=False,
        ),
        _count(
            "all_leads",
            "Leads whose first attempt was on this day; the same in each of its rows.",
            "leads of attempt 1",
            *_ATTEMPTS,
            unit="leads",
            summable=False,
        ),
        _ratio(
            "reached_share",
            "Share of the day's leads that were reached by this attempt or an earlier one.",
            "reached_so_far",
            "all_leads",
            *_ATTEMPTS,
        ),
    ),
    excluded="Calls that are not `outbound` or have no `caller_key`; calls to a lead after it was reached.",
    nulls=(
        "Every other outbound call counts as an attempt, whatever its outcome. A day without a first attempt has no "
        "rows. With `SYNTHFLOW_PII=drop`, the table is empty, because leads cannot be identified."
    ),
    affected_days=AffectedDays.ALL,
)

SEGMENTS = ("assistant_version", "campaign_type", "agent_phone_number", "deployment_type")
_GOAL = f"{_JUDGE}['goal']"
_GOAL_PASSES = _count(
    "goal_passes", "Calls that passed the judge's check `goal`.", "count(judge_verdicts['goal'] = true)", _JUDGE
)
_COUNTED_PASSES = _counted_if("goal_passes", f"{_GOAL} = 'true'")
_IS_GOAL_JUDGED = f"{_GOAL} IN ('true', 'partial', 'false')"


def _in_segment(column: Column) -> Column:
    return replace(column, sources=(*SEGMENTS, *column.sources), summable=False)


CALL_SEGMENTS_DAILY = MetricTable(
    "call_segments_daily",
    "What calls achieve by version of the agent, campaign type, own number and deployment type.",
    ("day", "model_id", "segment", "value"),
    (
        DAY,
        MODEL_ID,
        _text("segment", f"One of {', '.join(SEGMENTS)}.", "name of the column", *SEGMENTS),
        _text(
            "value",
            f"Value of that column, or `{NOT_REPORTED}`. The agent's own number is hashed with `SYNTHFLOW_PII=hash`; "
            f"with `drop` it is `{NOT_REPORTED}`.",
            "the column",
            *SEGMENTS,
        ),
        _in_segment(_count("calls", "Calls with this value.", "count(calls)")),
        _in_segment(replace(_CONNECTED_CALLS, description="Calls that a person or a machine picked up.")),
        _in_segment(_PERSON_REACHED_CALLS),
        _seconds(
            "total_duration_seconds",
            "Sum of the durations of connected calls.",
            "sum(duration_seconds)",
            *SEGMENTS,
            *_DURATION,
            sql_type="BIGINT",
        ),
        _seconds(
            "median_duration_seconds",
            "Median of the duration of connected calls, interpolated linearly between the two closest calls.",
            "percentile(duration_seconds, 0.5)",
            *SEGMENTS,
            *_DURATION,
        ),
        _in_segment(
            _count(
                "goal_judged_calls",
                "Calls whose judge check `goal` passed, passed in part or failed.",
                "count(judge_verdicts['goal'] in true, partial, false)",
                _JUDGE,
            )
        ),
        _in_segment(_GOAL_PASSES),
        *map(_in_segment, _TRANSFER_COUNTS),
        _rate("connection_rate", "connected_calls", "calls", *SEGMENTS, "call_status"),
        _rate("person_reached_rate", "person_reached_calls", "calls", *SEGMENTS, "call_outcome"),
        _rate("goal_pass_share", "goal_passes", "goal_judged_calls", *SEGMENTS, _JUDGE),
        _in_segment(_TRANSFER_SUCCESS_RATE),
    ),
    excluded="Calls that were not connected, from total and median duration only.",
    nulls=f"{_BLANK} A rate whose denominator is 0 is NULL. Daily medians cannot be combined.",
    recounts=tuple(
        replace(one, within=("segment", SEGMENTS))
        for one in (
            _ALL_CALLS,
            _COUNTED_CONNECTED,
            _COUNTED_REACHED,
            Recount(
                "total_duration_seconds", f"CASE WHEN {_IS_CONNECTED} THEN coalesce(duration_seconds, 0) ELSE 0 END"
            ),
            _counted_if("goal_judged_calls", _IS_GOAL_JUDGED),
            _COUNTED_PASSES,
            *_COUNTED_TRANSFERS,
        )
    ),
    statistics=(
        Statistics(
            "duration_seconds",
            "SELECT day, model_id, segment, coalesce(nullif(trim(value), ''), $not_reported) AS value, measurement "
            f"FROM (SELECT day, model_id, {', '.join(SEGMENTS)}, duration_seconds AS measurement FROM calls "
            f"WHERE {_IS_CONNECTED}) UNPIVOT INCLUDE NULLS (value FOR segment IN ({', '.join(SEGMENTS)}))",
        ),
    ),
)


def _cost(name: str, description: str, formula: str, *sources: str) -> Column:
    described = f"{description} NULL if no price was set."
    return Column(name, "DOUBLE", described, "currency", formula=formula, sources=sources)


_IS_BILLED = "replace(lower(trim(call_status)), '_', '-') IS DISTINCT FROM 'user-canceled'"
CALL_COSTS_DAILY = MetricTable(
    "call_costs_daily",
    "Estimated cost of calls: the minutes that may be billed, times `SYNTHFLOW_PRICE_PER_MINUTE`.",
    _BY_DAY_AND_AGENT,
    (
        DAY,
        MODEL_ID,
        _CALLS,
        _count(
            "billed_calls",
            "Calls that are not known to be free of charge.",
            "count(call_status is not user-canceled)",
            "call_status",
        ),
        replace(
            _seconds(
                "billed_seconds",
                "Sum of the durations of billed calls, including ringing and delay, without rounding.",
                "sum(duration_seconds)",
                *_DURATION,
                sql_type="BIGINT",
            ),
            required=True,
            summable=True,
        ),
        _PERSON_REACHED_CALLS,
        _GOAL_PASSES,
        _cost(
            "price_per_minute", "SYNTHFLOW_PRICE_PER_MINUTE when the day was computed.", "SYNTHFLOW_PRICE_PER_MINUTE"
        ),
        Column(
            "currency",
            "VARCHAR",
            "SYNTHFLOW_PRICE_CURRENCY when the day was computed. NULL if no price was set.",
            formula="SYNTHFLOW_PRICE_CURRENCY",
        ),
        replace(
            _cost(
                "estimated_cost", "Estimated cost of the calls.", "billed_seconds / 60 * price_per_minute", *_DURATION
            ),
            ratio=("billed_seconds * price_per_minute", "60"),
        ),
        replace(
            _cost(
                "cost_per_person_reached",
                "`estimated_cost` divided by `person_reached_calls`.",
                "estimated_cost / person_reached_calls",
                *_DURATION,
                "call_outcome",
            ),
            ratio=("estimated_cost", "person_reached_calls"),
        ),
        replace(
            _cost(
                "cost_per_goal_passed",
                "`estimated_cost` divided by `goal_passes`.",
                "estimated_cost / goal_passes",
                *_DURATION,
                _JUDGE,
            ),
            ratio=("estimated_cost", "goal_passes"),
        ),
    ),
    excluded=(
        "`user-canceled` calls, from the billed ones only: Synthflow documents that it does not bill them. It does not "
        "document how it rounds, or whether it bills the ringing of unanswered calls. So the cost is an "
        "estimate. For connected calls alone, use `total_duration_seconds` of call_duration_daily."
    ),
    nulls=(
        "A call without a duration adds nothing. A day without calls has zeros. If no price is set, prices and costs "
        "are NULL. A new price applies to days that are computed from then on."
    ),
    every_landed_day=True,
    recounts=(
        _ALL_CALLS,
        _counted_if("billed_calls", _IS_BILLED),
        Recount("billed_seconds", f"CASE WHEN {_IS_BILLED} THEN coalesce(duration_seconds, 0) ELSE 0 END"),
        _COUNTED_REACHED,
        _COUNTED_PASSES,
    ),
)

METRIC_TABLES = (
    CALL_DURATION_DAILY,
    DISCONNECT_REASONS_DAILY,
    CALL_DURATION_HISTOGRAM,
    CALL_OUTCOMES_DAILY,
    CALL_RATES_DAILY,
    CALL_LOAD_HOURLY,
    WORKSPACE_LOAD_HOURLY,
    JUDGE_RESULTS_DAILY,
    COLLECTED_VARIABLES_DAILY,
    ACTIONS_DAILY,
    TRANSFERS_DAILY,
    TELEPHONY_TIMING_DAILY,
    CALLERS_DAILY,
    ATTEMPTS_DAILY,
    CALL_SEGMENTS_DAILY,
    CALL_COSTS_DAILY,
)
