"""What must hold of the metric tables: each has its grain, and is held against something that was counted apart."""

from __future__ import annotations

from synthflow_assets.quality.check import Check, Severity
from synthflow_assets.warehouse.metric_tables import METRIC_TABLES
from synthflow_assets.warehouse.tables import Table

_COMPUTE = "Compute it again: {compute}; if it stays, tell the maintainers"

_CHECKS = (
    Check(
        "call_duration_daily",
        "call_duration_reconciles",
        "Every landed day of an agent has a row, its calls are as many as landed, and its total, mean, percentiles and "
        "maximum are those of the calls.",
        _COMPUTE,
        severity=Severity.ERROR,
    ),
    Check(
        "disconnect_reasons_daily",
        "disconnect_reasons_reconcile",
        "The reasons of a day add up to its calls, and their shares to 1; the mean durations are those of the calls.",
        _COMPUTE,
        severity=Severity.ERROR,
    ),
    Check(
        "disconnect_reasons_daily",
        "usual_disconnects",
        "No reason's share is 20 percentage points off that of the four weeks before, and that of `error` and "
        "`forbidden` no 5 above it, by five calls at least. Shifts below four standard errors, and agents of less than "
        "200 calls in those four weeks, are left out: they may be chance.",
        "Look at the calls of the day with that reason: is it the telephony, or a number?",
    ),
    Check(
        "call_duration_histogram",
        "call_duration_histogram_reconciles",
        "The histogram adds up to the calls that landed, and to the total duration of the connected ones.",
        _COMPUTE,
        depends_on=("call_duration_daily",),
        severity=Severity.ERROR,
    ),
    Check(
        "call_outcomes_daily",
        "call_outcomes_reconcile",
        "In each dimension the calls of a day add up to those that landed, and their shares to 1.",
        _COMPUTE,
        severity=Severity.ERROR,
    ),
    Check(
        "call_rates_daily",
        "call_rates_reconcile",
        "Every landed day of an agent has a row, its counts are those of the outcomes, and its rates follow from them.",
        _COMPUTE,
        depends_on=("call_duration_daily", "call_outcomes_daily"),
        severity=Severity.ERROR,
    ),
    Check(
        "call_load_hourly",
        "call_load_reconciles",
        "Every hour of a landed day has a row; all calls start in one, and the minutes are those of the calls.",
        _COMPUTE,
        severity=Severity.ERROR,
    ),
    Check(
        "workspace_load_hourly",
        "workspace_load_reconciles",
        "The agents' hours add up to the workspace's, and its peak lies between their highest and their sum.",
        _COMPUTE,
        depends_on=("call_load_hourly",),
        severity=Severity.ERROR,
    ),
    Check(
        "judge_results_daily",
        "judge_results_reconcile",
        "The answers to a check add up to the calls that it judged; no more were judged than have verdicts.",
        _COMPUTE,
        severity=Severity.ERROR,
    ),
    Check(
        "collected_variables_daily",
        "collected_variables_reconcile",
        "No variable was collected more often than asked for, nor asked for in more calls than have any.",
        _COMPUTE,
        severity=Severity.ERROR,
    ),
    Check(
        "actions_daily",
        "actions_reconcile",
        "As many actions are counted as the calls have, and no more of them failed.",
        _COMPUTE,
        severity=Severity.ERROR,
    ),
    Check(
        "telephony_timing_daily",
        "telephony_timing_reconciles",
        "Every landed day of an agent has a row, no more calls were measured than landed, and totals, means, "
        "percentiles and extremes are those of the calls.",
        _COMPUTE,
        severity=Severity.ERROR,
    ),
)


def _unique(table: Table) -> Check:
    """That the table has the grain that it is said to have."""
    grain = ", ".join(table.grain)
    description = f"There is one row for each {grain}."
    return Check(
        table.name, f"unique_{table.name}", description, _COMPUTE, severity=Severity.ERROR, file="unique_rows.sql"
    )


# Those of a table stand together: they are asked by one step.
METRIC_CHECKS = tuple(
    check for table in METRIC_TABLES for check in (*(one for one in _CHECKS if one.table == table.name), _unique(table))
)
