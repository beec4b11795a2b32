"""What is asked of the metric tables over any range of days: macros, and the views that stand on them."""

from __future__ import annotations

from synthflow_assets.warehouse.metric_tables import CALL_DURATION_DAILY
from synthflow_assets.warehouse.tables import MODEL_ID, Column, Macro, View

_SUMMARY = tuple(column for column in CALL_DURATION_DAILY.columns[2:] if column.name != "short_calls")
_BY_MODEL = (MODEL_ID, *CALL_DURATION_DAILY.columns[2:])

METRIC_MACROS = (
    Macro(
        "duration_summary_by",
        ("from_day", "to_day", "grouped_by", "condition := true"),
        "How long the calls from one day to another lasted, for each value of `grouped_by`: a column of "
        "`call_duration_histogram`, or an expression over its columns. `condition` picks some of the calls.",
        (Column("key", "ANY", "Value of `grouped_by`."), *_SUMMARY),
    ),
    Macro(
        "duration_summary",
        ("from_day", "to_day", "condition := true"),
        "The same over all calls from one day to another, both included: one row.",
        _SUMMARY,
    ),
)
METRIC_VIEWS = (
    View(
        "call_duration_weekly",
        "`call_duration_daily` by week and agent, over the days of it that are computed. Percentiles are exact, not "
        "means of daily ones.",
        (Column("week", "DATE", "Monday that the week began on."), *_BY_MODEL),
    ),
    View(
        "call_duration_monthly",
        "`call_duration_daily` by month and agent, over the days of it that are computed. Percentiles are exact, not "
        "means of daily ones.",
        (Column("month", "DATE", "First day of the month."), *_BY_MODEL),
    ),
)
