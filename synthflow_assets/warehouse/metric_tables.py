"""The tables that are computed from the calls: each number with its meaning, formula and unit.

docs/metrics.md follows from here, so what a number means is written once.
"""

from __future__ import annotations

from synthflow_assets.warehouse.tables import DAY, MODEL_ID, Column, MetricTable

# Somebody, or something, picked up.
CONNECTED_STATUSES = ("completed", "hangup_on_voicemail", "left_voicemail")
VOICEMAIL_STATUSES = ("hangup_on_voicemail", "left_voicemail")
NOT_REPORTED = "not_reported"

_CONNECTED = "connected calls"
_NONE = "Nothing."
_NOT_REPORTED = f"A field that is NULL or blank counts as `{NOT_REPORTED}`."
_NOT_KEPT = "Where SYNTHFLOW_PII is `hash` or `drop` the field is not kept, and there is no row."


def _count(name: str, description: str, formula: str, unit: str = "calls") -> Column:
    return Column(name, "BIGINT", description, unit, required=True, formula=formula)


def _share(name: str, description: str, formula: str, *, required: bool = False) -> Column:
    return Column(name, "DOUBLE", description, "1", required, formula=formula)


def _text(name: str, description: str, formula: str) -> Column:
    return Column(name, "VARCHAR", description, required=True, formula=formula)


def _seconds(name: str, description: str, formula: str, sql_type: str = "DOUBLE") -> Column:
    return Column(name, sql_type, description, "seconds", formula=formula)


def _statistics(of: str, unit_name: str, field: str, what: str) -> tuple[Column, ...]:
    """Mean, percentiles and maximum of a length of time, called `mean_OF_seconds` and so on."""
    percentiles = {"median": ("Median", 0.5)} | {f"p{n}": (f"{n}th percentile", n / 100) for n in (90, 95, 99)}
    return (
        _seconds(f"mean_{unit_name}", f"Mean {of} of {what}.", f"mean({field})"),
        *(
            _seconds(
                f"{name}_{unit_name}",
                f"{title} of the {of} of {what}, interpolated between the two closest calls.",
                f"percentile({field}, {share})",
            )
            for name, (title, share) in percentiles.items()
        ),
    )


_CALLS = _count("calls", "All calls, whatever became of them.", "count(calls)")
_CONNECTED_CALLS = _count(
    "connected_calls",
    "Calls that somebody, or something, picked up.",
    f"count(call_status in {', '.join(CONNECTED_STATUSES)})",
)
_SHORT_CALLS = _count(
    "short_calls",
    "Connected calls under SYNTHFLOW_SHORT_CALL_SECONDS, as it was set when the day was computed.",
    "count(connected and duration_seconds < SYNTHFLOW_SHORT_CALL_SECONDS)",
)

CALL_DURATION_DAILY = MetricTable(
    "call_duration_daily",
    "How many calls there were and how long they lasted, ringing and delay included; statistics over connected calls.",
    ("day", "model_id"),
    (
        DAY,
        MODEL_ID,
        _CALLS,
        _CONNECTED_CALLS,
        _SHORT_CALLS,
        _seconds(
            "total_duration_seconds", "Sum of the durations of connected calls.", "sum(duration_seconds)", "BIGINT"
        ),
        *_statistics("duration", "duration_seconds", "duration_seconds", _CONNECTED),
        _seconds("max_duration_seconds", "Longest duration of connected calls.", "max(duration_seconds)", "BIGINT"),
    ),
    sources=("call_status", "duration_seconds"),
    excluded="From the statistics: calls that were not connected, because their length is that of the ringing.",
    nulls=(
        "A connected call without a duration counts as connected, and takes no part in the statistics; it is no short "
        "call. A day without calls has zeros and NULL statistics."
    ),
)

DISCONNECT_REASONS_DAILY = MetricTable(
    "disconnect_reasons_daily",
    "Why the line was cut, by the telephony layer's reason.",
    ("day", "model_id", "disconnect_reason"),
    (
        DAY,
        MODEL_ID,
        _text(
            "disconnect_reason", f"The reason; `{NOT_REPORTED}` where the API gave none.", "telephony_disconnect_reason"
        ),
        _count("calls", "Calls with this reason.", "count(calls)"),
        _share(
            "share",
            "Part of the day's calls of the agent; sums to 1.",
            "calls / all calls of the day and agent",
            required=True,
        ),
        _seconds("mean_duration_seconds", "Mean duration of these calls, connected or not.", "mean(duration_seconds)"),
    ),
    sources=("telephony_disconnect_reason", "duration_seconds"),
    excluded=_NONE,
    nulls=f"{_NOT_REPORTED} A call without a duration takes no part in the mean.",
)

CALL_DURATION_HISTOGRAM = MetricTable(
    "call_duration_histogram",
    "How many calls lasted how many seconds. It adds up over days, agents and filters, so percentiles of any range are "
    "exact: see `duration_summary`.",
    ("day", "model_id", "type_of_call", "call_status", "duration_seconds"),
    (
        DAY,
        MODEL_ID,
        _text("type_of_call", f"Direction of the calls, or `{NOT_REPORTED}`.", "type_of_call"),
        _text("call_status", f"How the calls went, or `{NOT_REPORTED}`.", "call_status"),
        _seconds(
            "duration_seconds",
            "Length of each of these calls; NULL where the API gave none.",
            "duration_seconds",
            "BIGINT",
        ),
        _count("calls", "Calls of this type, status and length.", "count(calls)"),
    ),
    sources=("type_of_call", "call_status", "duration_seconds"),
    excluded=_NONE,
    nulls=f"{_NOT_REPORTED} Calls without a duration have a row of their own, with NULL.",
)

OUTCOME_DIMENSIONS = ("call_status", "end_call_reason", "telephony_hangup", "type_of_call")

CALL_OUTCOMES_DAILY = MetricTable(
    "call_outcomes_daily",
    "What became of the calls: their number and share by status, by end reason, by who hung up and by type.",
    ("day", "model_id", "dimension", "value"),
    (
        DAY,
        MODEL_ID,
        _text(
            "dimension",
            f"Field that the calls are told apart by: {', '.join(OUTCOME_DIMENSIONS)}.",
            "name of the field",
        ),
        _text("value", f"Its value, or `{NOT_REPORTED}`.", "the field"),
        _count("calls", "Calls with this value.", "count(calls)"),
        _share(
            "share",
            "Part of the day's calls of the agent; sums to 1 in each dimension.",
            "calls / all calls of the day and agent",
            required=True,
        ),
    ),
    sources=OUTCOME_DIMENSIONS,
    excluded=_NONE,
    nulls=_NOT_REPORTED,
)


def _rate(name: str, numerator: str, denominator: str) -> Column:
    words = [text.replace("_", " ") for text in (numerator, denominator)]
    return _share(name, f"{words[0].capitalize()} as a part of the {words[1]}.", f"{numerator} / {denominator}")


def _by_status(name: str, *statuses: str) -> Column:
    is_one_of = "=" if len(statuses) == 1 else "in"
    return _count(
        name, f"Calls whose status is {' or '.join(statuses)}.", f"count(call_status {is_one_of} {', '.join(statuses)})"
    )


CALL_RATES_DAILY = MetricTable(
    "call_rates_daily",
    "How often calls were connected, not answered, busy, failed, met by a voicemail, or short.",
    ("day", "model_id"),
    (
        DAY,
        MODEL_ID,
        _CALLS,
        _CONNECTED_CALLS,
        _by_status("no_answer_calls", "no-answer"),
        _by_status("busy_calls", "busy"),
        _by_status("failed_calls", "failed"),
        _by_status("voicemail_calls", *VOICEMAIL_STATUSES),
        _SHORT_CALLS,
        _rate("connection_rate", "connected_calls", "calls"),
        _rate("no_answer_rate", "no_answer_calls", "calls"),
        _rate("busy_rate", "busy_calls", "calls"),
        _rate("failed_rate", "failed_calls", "calls"),
        _rate("voicemail_rate", "voicemail_calls", "calls"),
        _rate("short_call_rate", "short_calls", "connected_calls"),
    ),
    sources=("call_status", "duration_seconds"),
    excluded=(
        "Nothing: canceled calls, spam, and calls that were still going on when they were fetched count in `calls`, so "
        "in the denominators too. Voicemails are connected calls as well, so the rates do not add up to 1."
    ),
    nulls=(
        "A call without a status is a call, and none of the others. A connected call without a duration is not short. "
        "A rate whose denominator is 0 is NULL."
    ),
)

_LOAD_COLUMNS = (
    Column(
        "hour_start",
        "TIMESTAMPTZ",
        "When the hour began.",
        required=True,
        formula="each full hour on the clock of the set time zone, and each change of that clock",
    ),
    Column(
        "local_hour",
        "INTEGER",
        "The hour on the clock, 0 to 23. Where the clock is put back it comes twice, where it is put forward never.",
        "hour of the day",
        required=True,
        formula="hour of hour_start in the set time zone",
    ),
    _count("calls_started", "Calls that started in the hour.", "count(hour_start <= start_time < end of the hour)"),
    _count(
        "calls_in_progress",
        "Calls that were going on at any time of the hour.",
        "count(start_time < end of the hour and start_time + duration_seconds > hour_start), or started in the hour",
    ),
    Column(
        "agent_minutes",
        "DOUBLE",
        "How long agents were on calls in the hour, ringing and calls that were not connected included.",
        "minutes",
        required=True,
        formula="sum(the part of the call that lies in the hour) / 60",
    ),
    _count(
        "peak_concurrent_calls",
        "Most calls that were going on at the same moment.",
        "max over the hour of count(start_time <= moment < start_time + duration_seconds)",
    ),
)
_LOAD_DAY = Column("day", "DATE", "Day that the hour belongs to, in the set time zone.", required=True)
_LOAD_SOURCES = ("start_time", "duration_seconds")
_LOAD_EXCLUDED = (
    "What a call lasted beyond the end of the day after its start: a day looks back at the calls of the day before it "
    "and no further, so that one day can be computed from two. The longest window margin that can be set is a day too."
)
_LOAD_NULLS = (
    "A call without a duration, or of 0 seconds, counts as started and in progress in the hour of its start, adds no "
    "minutes, and takes no part in the peak. A landed day has a row for every hour, with zeros where there was no call."
)

CALL_LOAD_HOURLY = MetricTable(
    "call_load_hourly",
    "How busy each agent was, hour by hour. A call that runs across hours or midnight counts in each of them.",
    ("day", "model_id", "hour_start"),
    (_LOAD_DAY, MODEL_ID, *_LOAD_COLUMNS),
    sources=_LOAD_SOURCES,
    excluded=_LOAD_EXCLUDED,
    nulls=_LOAD_NULLS,
    days_back=1,
)

WORKSPACE_LOAD_HOURLY = MetricTable(
    "workspace_load_hourly",
    "How busy all agents were together, hour by hour. Their peaks come at different moments, so they do not add up.",
    ("day", "hour_start"),
    (_LOAD_DAY, *_LOAD_COLUMNS),
    sources=_LOAD_SOURCES,
    excluded=_LOAD_EXCLUDED,
    nulls=_LOAD_NULLS,
    days_back=1,
)

JUDGE_RESULTS_DAILY = MetricTable(
    "judge_results_daily",
    "How the judge found the calls, check by check.",
    ("day", "model_id", "judge_check"),
    (
        DAY,
        MODEL_ID,
        _text("judge_check", "Name of the check.", "key of judge_results"),
        _count("judged_calls", "Calls that have an answer to this check.", "count(answer)"),
        _count("passes", "Calls that passed.", "count(answer = true, in any case)"),
        _count("partials", "Calls that passed in part.", "count(answer = partial, in any case)"),
        _count("fails", "Calls that failed.", "count(answer = false, in any case)"),
        _count("other_answers", "Calls whose answer is none of these.", "count(any other answer)"),
        _share(
            "pass_share",
            "Part of the calls with a verdict that passed.",
            "passes / (passes + partials + fails)",
        ),
    ),
    sources=("judge_results",),
    excluded=(
        "Keys that end in `_reason` and hold a text: they explain another check. Answers that are no verdict count as "
        "`other_answers`, and not in `pass_share`."
    ),
    nulls=(
        "A call without judge_results, or without an answer to the check, is not judged by it. `pass_share` is NULL "
        f"where there is no verdict. {_NOT_KEPT}"
    ),
)

COLLECTED_VARIABLES_DAILY = MetricTable(
    "collected_variables_daily",
    "Which variables the agents were to collect from their callers, and how often they did.",
    ("day", "model_id", "variable"),
    (
        DAY,
        MODEL_ID,
        _text("variable", "Name of the variable.", "key of collected_variables, or of the agents in it"),
        _count("asked", "Calls in which it was to be collected.", "count(variable is named)"),
        _count(
            "collected",
            "Calls in which it was.",
            "count(collected is true, or missing where there is a value, for at least one agent of the call)",
        ),
        _share("completion_rate", "Part of the calls that it was collected in.", "collected / asked", required=True),
    ),
    sources=("collected_variables",),
    excluded=(
        "Entries that are neither a variable (an object with `value` or `collected`) nor an agent with variables in it."
    ),
    nulls=(
        "A variable that is NULL was asked and not collected. Where `collected` is missing, it is collected if "
        f"it has a value. {_NOT_KEPT}"
    ),
)

ACTIONS_DAILY = MetricTable(
    "actions_daily",
    "Which actions ran in calls, such as transfers and messages, and how many of them failed.",
    ("day", "model_id", "action_type"),
    (
        DAY,
        MODEL_ID,
        _text("action_type", f"Kind of the action, or `{NOT_REPORTED}`.", "action_type of the action"),
        _count(
            "executed", "Actions that ran, failed ones too; several in a call count each.", "count(actions)", "actions"
        ),
        _count(
            "failed",
            "Actions whose return value says that they failed.",
            "count(return_value has a status of error, failed or failure, a success of false, or an error that is not "
            "empty or false)",
            "actions",
        ),
    ),
    sources=("executed_actions",),
    excluded=_NONE,
    nulls=(
        f"An action without a type counts as `{NOT_REPORTED}`; one without a return value has not failed, as far as is "
        f"known. {_NOT_KEPT}"
    ),
)

TELEPHONY_TIMING_DAILY = MetricTable(
    "telephony_timing_daily",
    "How long it rang and how long people talked, as the telephony layer says, and how far that is from the duration.",
    ("day", "model_id"),
    (
        DAY,
        MODEL_ID,
        _CALLS,
        _count(
            "ringing_calls",
            "Calls whose ringing was measured, connected or not.",
            "count(telephony_ringing_duration_ms)",
        ),
        *_statistics("ringing", "ringing_seconds", "telephony_ringing_duration_ms / 1000", "ringing_calls"),
        _seconds(
            "max_ringing_seconds", "Longest ringing of ringing_calls.", "max(telephony_ringing_duration_ms) / 1000"
        ),
        _count("talk_calls", "Connected calls whose talk time was measured.", "count(telephony_duration_ms)"),
        _seconds(
            "total_talk_seconds", "Sum of the talk times of connected calls.", "sum(telephony_duration_ms) / 1000"
        ),
        *_statistics("talk time", "talk_seconds", "telephony_duration_ms / 1000", _CONNECTED),
        _seconds("max_talk_seconds", "Longest talk time of connected calls.", "max(telephony_duration_ms) / 1000"),
        _count(
            "compared_calls",
            "Connected calls that have a duration and a talk time.",
            "count(duration_seconds and telephony_duration_ms)",
        ),
        *_statistics(
            "difference between duration and talk time",
            "difference_seconds",
            "duration_seconds - telephony_duration_ms / 1000",
            "compared calls",
        ),
        _seconds(
            "min_difference_seconds",
            "Smallest difference; below 0 where the connection was longer than the call.",
            "min(duration_seconds - telephony_duration_ms / 1000)",
        ),
        _seconds(
            "max_difference_seconds", "Largest difference.", "max(duration_seconds - telephony_duration_ms / 1000)"
        ),
    ),
    sources=("call_status", "duration_seconds", "telephony_duration_ms", "telephony_ringing_duration_ms"),
    excluded=(
        "From talk time and difference: calls that were not connected, because nobody talked. The duration includes "
        "ringing and delay, so some difference is to be expected."
    ),
    nulls="A call without a field takes no part in its statistics. A day without calls has zeros and NULL statistics.",
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
    TELEPHONY_TIMING_DAILY,
)
