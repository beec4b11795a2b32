"""Macros and views over the metric tables, for any range of days."""

from __future__ import annotations

from synthflow_assets.warehouse.metric_tables import CALL_DURATION_DAILY
from synthflow_assets.warehouse.tables import MODEL_ID, Column, Macro, View

_SUMMARY = tuple(column for column in CALL_DURATION_DAILY.columns[2:] if column.name != "short_calls")
_BY_MODEL = (MODEL_ID, *CALL_DURATION_DAILY.columns[2:])

METRIC_MACROS = (
    Macro(
        "duration_summary_by",
        ("from_day", "to_day", "grouped_by", "condition := true"),
        "Number and duration of the calls between two days, both included, for each value of `grouped_by`. That is a "
        "column of `call_duration_histogram`, or an expression over its columns. `condition` selects calls.",
        (Column("key", "ANY", "Value of `grouped_by`."), *_SUMMARY),
    ),
    Macro(
        "duration_summary",
        ("from_day", "to_day", "condition := true"),
        "The same without groups: one row.",
        _SUMMARY,
    ),
)
METRIC_VIEWS = (
    View(
        "call_duration_weekly",
        "`call_duration_daily` by week and agent, over the days that are computed. Percentiles are exact.",
        (Column("week", "DATE", "First day of the week, a Monday."), *_BY_MODEL),
    ),
    View(
        "call_duration_monthly",
        "`call_duration_daily` by month and agent, over the days that are computed. Percentiles are exact.",
        (Column("month", "DATE", "First day of the month."), *_BY_MODEL),
    ),
)
