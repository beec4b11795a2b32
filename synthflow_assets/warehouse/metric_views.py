"""Macros and views over the metric tables, for any range of days."""

from __future__ import annotations

from dataclasses import replace

from synthflow_assets.warehouse.metric_tables import CALL_DURATION_DAILY, CALLERS_DAILY
from synthflow_assets.warehouse.tables import MODEL_ID, Column, Macro, View

_SUMMARY = tuple(column for column in CALL_DURATION_DAILY.columns[2:] if column.name != "short_calls")


def _from_histogram(column: Column) -> Column:
    """Return a column of `call_duration_daily` as it is computed from the histogram, where a row stands for `calls`."""
    if column.name == "short_calls":  # the one that is summed from the days
        return replace(column, sources=("short_calls",))
    return replace(column, sources=("calls", *(source for source in column.sources if source != "call_id")))


_CALLERS = (
    *CALLERS_DAILY.columns[2:6],
    replace(CALLERS_DAILY.columns[6], description="Callers without a call before the first day, with any agent."),
    *CALLERS_DAILY.columns[7:],
)


def _compared(name: str) -> tuple[Column, ...]:
    return (
        Column(f"{name}_calls", "BIGINT", f"Calls of the {name} value that the rate counts.", "calls"),
        Column(f"{name}_of", "BIGINT", "Calls that the rate is a share of.", "calls"),
        Column(f"{name}_rate", "DOUBLE", f"`{name}_calls` divided by `{name}_of`; NULL without calls.", "1"),
    )


_BY_MODEL = (MODEL_ID, *map(_from_histogram, CALL_DURATION_DAILY.columns[2:]))
_READS = ("call_duration_histogram", "call_duration_daily")

METRIC_MACROS = (
    Macro(
        "duration_summary_by",
        ("from_day", "to_day", "grouped_by", "condition := true"),
        "Number and duration of the calls between two days, both included, for each value of `grouped_by`. That is a "
        "column of `call_duration_histogram`, or an expression over its columns. `condition` selects calls. Days whose "
        "metrics are not computed are left out; the check `no_gaps` names them.",
        (Column("key", "ANY", "Value of `grouped_by`."), *_SUMMARY),
    ),
    Macro(
        "duration_summary",
        ("from_day", "to_day", "condition := true"),
        "`duration_summary_by` without groups: one row.",
        _SUMMARY,
    ),
    Macro(
        "caller_summary_by",
        ("from_day", "to_day", "grouped_by", "condition := true"),
        "Distinct callers between two days, both included, for each value of `grouped_by`. That is a column of "
        "`calls`, or an expression over its columns. `condition` selects the calls to count. Whether a caller is new "
        "or repeats depends on all calls.",
        (Column("key", "ANY", "Value of `grouped_by`."), *_CALLERS),
    ),
    Macro(
        "caller_summary",
        ("from_day", "to_day", "condition := true"),
        "`caller_summary_by` without groups: one row.",
        _CALLERS,
    ),
    Macro(
        "compare_segments",
        ("from_day", "to_day", "in_segment", "first_value", "second_value", "condition := true"),
        "Compare the rates of two values of a segment of `call_segments_daily` between two days, both included, such "
        "as two versions of an agent. One row for each rate. `condition` selects rows, such as one agent's.",
        (
            Column("rate", "VARCHAR", "Name of the rate in `call_segments_daily`."),
            *_compared("first"),
            *_compared("second"),
            Column("difference", "DOUBLE", "`second_rate` minus `first_rate`."),
            Column("difference_low", "DOUBLE", "Lower end of the 95 % confidence interval of the difference."),
            Column("difference_high", "DOUBLE", "Upper end of that interval."),
            Column("is_conclusive", "BOOLEAN", "Whether the interval lies on one side of 0."),
        ),
    ),
)
METRIC_VIEWS = (
    View(
        "call_duration_weekly",
        "`call_duration_daily` by week and agent, over the days that are computed. Percentiles are exact.",
        (Column("week", "DATE", "First day of the week, a Monday.", sources=("day",)), *_BY_MODEL),
        reads=_READS,
    ),
    View(
        "call_duration_monthly",
        "`call_duration_daily` by month and agent, over the days that are computed. Percentiles are exact.",
        (Column("month", "DATE", "First day of the month.", sources=("day",)), *_BY_MODEL),
        reads=_READS,
    ),
)
