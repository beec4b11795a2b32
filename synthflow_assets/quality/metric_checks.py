"""The checks of the metric tables. Each compares a table with numbers that are computed in another way."""

from __future__ import annotations

from synthflow_assets.quality.check import Check, Severity
from synthflow_assets.quality.generated import COMPUTE_AGAIN, generated_checks
from synthflow_assets.warehouse.metric_tables import METRIC_TABLES

_CHECKS = (
    Check(
        "disconnect_reasons_daily",
        "usual_disconnects",
        "Each reason's share is within 20 percentage points, or 5 calls, of its share in the four weeks before. The "
        "shares of `error` and `forbidden` rose by at most 5 points, or the day has fewer than 5 such calls. "
        "Differences within four standard errors are ignored, because they may be chance. So are agents with fewer "
        "than 200 calls in those weeks.",
        "Look at the day's calls with this reason, to find out whether the telephony or one number causes them",
    ),
    Check(
        "call_duration_histogram",
        "call_duration_histogram_reconciles",
        "The total duration of connected calls is the same as in `call_duration_daily`.",
        COMPUTE_AGAIN,
        depends_on=("call_duration_daily",),
        severity=Severity.ERROR,
    ),
    Check(
        "call_rates_daily",
        "call_rates_reconcile",
        "The numbers of connected and short calls are those of `call_duration_daily`.",
        COMPUTE_AGAIN,
        depends_on=("call_duration_daily",),
        severity=Severity.ERROR,
    ),
    Check(
        "call_load_hourly",
        "call_load_reconciles",
        "Every hour of a landed day has a row. The minutes are those of the calls, and no peak is above the calls in "
        "progress.",
        COMPUTE_AGAIN,
        severity=Severity.ERROR,
    ),
    Check(
        "call_load_hourly",
        "call_load_over_midnight",
        "The first hour of a day counts every call of the day before that runs past midnight.",
        COMPUTE_AGAIN,
        severity=Severity.ERROR,
    ),
    Check(
        "workspace_load_hourly",
        "workspace_load_reconciles",
        "The hours of the agents sum to those of the workspace. The workspace's peak lies between the highest of "
        "theirs and their sum.",
        COMPUTE_AGAIN,
        depends_on=("call_load_hourly",),
        severity=Severity.ERROR,
    ),
    Check(
        "callers_daily",
        "callers_reconcile",
        "Counted again from earlier calls, the numbers of all, reached, new and repeating callers are the same.",
        COMPUTE_AGAIN,
        severity=Severity.ERROR,
    ),
    Check(
        "attempts_daily",
        "attempts_reconcile",
        "Counted again lead by lead, leads, reached leads and shares are the same.",
        COMPUTE_AGAIN,
        severity=Severity.ERROR,
    ),
)

# The checks of a table stand together, in the order in which Dagster shows them.
METRIC_CHECKS = tuple(
    check
    for table in METRIC_TABLES
    for check in (*(one for one in _CHECKS if one.table == table.name), *generated_checks(table))
)
