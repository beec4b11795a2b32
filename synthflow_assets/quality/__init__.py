"""Checks of the tables: each is one query that selects what is wrong.

The query is the `.sql` file that is named after the check, or follows from the schema. It returns `day`, `model_id` and
`problem`; a check without rows passes. A problem names counts and columns, never values of a call.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import duckdb

from synthflow_assets.agents import Agent
from synthflow_assets.days import bounds_parameters
from synthflow_assets.errors import WarehouseUnusableError
from synthflow_assets.files import file_time
from synthflow_assets.quality.check import Check as Check
from synthflow_assets.quality.check import Examined as Examined
from synthflow_assets.quality.check import Severity as Severity
from synthflow_assets.quality.generated import known_values
from synthflow_assets.quality.metric_checks import METRIC_CHECKS
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.export import (
    ExistingExport,
    existing_exports,
    export_parameters,
    outdated_exports_sql,
)
from synthflow_assets.warehouse.metric_tables import CONNECTED_STATUSES, METRIC_TABLES, NOT_REPORTED
from synthflow_assets.warehouse.schema import CALL_FIELDS, CALL_LOADS, FINAL_AFTER_DAYS, TABLES
from synthflow_assets.warehouse.statements import execute_named, sql_file

_NOT_LANDED = sql_file(__name__, "not_landed.sql")
_NOT_COMPUTED = (
    sql_file(__name__, "not_computed.sql")
    .replace("{uncomputed_metrics}", sql_file("synthflow_assets.warehouse.sql", "uncomputed_metrics.sql"))
    .replace("{outdated_exports}", outdated_exports_sql())
)


@dataclass(frozen=True)
class Problem:
    """One thing that a failed check has found.

    Attributes:
        day: the day of the problem, or the first of several; None if it concerns no day.
        agent: name of the agent, or its id if it has no name; None if it concerns no agent.
        problem: what is wrong.
        days: number of consecutive days that have the problem.
    """

    day: dt.date | None
    agent: str | None
    problem: str
    days: int = 1

    def __str__(self) -> str:
        until = f"to {self.day + dt.timedelta(days=self.days - 1)}" if self.day and self.days > 1 else None
        place = " ".join(str(part) for part in (self.day, until, self.agent) if part is not None)
        return f"{place}: {self.problem}" if place else self.problem


# Evaluated on the days of each run.
CHECKS = (
    Check(
        "calls",
        "unique_call_ids",
        "No call_id occurs twice in the whole table.",
        "Fetch these days again: {fetch}",
        blocking=True,
    ),
    Check(
        "calls",
        "complete",
        "As many distinct calls were fetched as the API states. Each one landed, was rejected, or is in the margin.",
        "Fetch it again: {fetch}. If it fails again, run `synthflow-assets doctor`, then ask Synthflow",
        blocking=True,
    ),
    Check(
        "calls",
        "within_day",
        "Every call started on its day, in the set time zone.",
        "If SYNTHFLOW_TIMEZONE was changed, fetch all days again. Otherwise fetch these: {fetch}",
        blocking=True,
    ),
    Check(
        "calls",
        "no_rejects",
        "No record was rejected.",
        "Run `synthflow-assets rejects` to see why. After an upgrade, run `synthflow-assets rejects --retry`. If "
        "SYNTHFLOW_PII is hash or drop, fetch the day again instead: {fetch}",
    ),
    known_values(),
    Check(
        "calls",
        "plausible_times",
        "For each agent and day, most calls are shorter than a day and than a hundred times their connection. At least "
        "one call starts on the day that the API listed it for. Otherwise the API may have changed a unit or a time. "
        "The check needs more than three calls.",
        "Compare some calls with Synthflow's dashboard. If they differ, tell the maintainers, and fetch the day again "
        "after an upgrade: {fetch}",
    ),
    Check(
        "calls",
        "usual_volume",
        "Each agent has about as many calls as on the same weekday of the eight weeks before. The allowed difference "
        "from their median is four times the largest of: their spread, the root of the median, a tenth of the median. "
        "By chance this fails once in 16,000 days. It needs at least four earlier days. From 20 calls a day on, it "
        "notices a day without calls.",
        "Look for a holiday, a campaign or a broken number. If Synthflow's dashboard shows the same number of calls, "
        "do nothing. Otherwise fetch the day again: {fetch}",
    ),
    Check(
        "calls",
        "same_fields",
        "No field is new since the week before, and none that had values is empty in all calls.",
        "If you need the field, tell the maintainers. The API drops recording_url in January 2027",
    ),
    *METRIC_CHECKS,
)
FRESHNESS = Check(
    "calls",
    "fresh_per_model",
    "The latest day that is due has landed for every agent. A day is due at 07:00 of the next day, two hours after "
    "the daily schedule.",
    "Find out whether the daily schedule is off, its run failed, or the agent was deleted. Then fetch the day: {fetch}",
    severity=Severity.ERROR,
    examines="call_loads",
)
NO_GAPS = Check(
    "calls",
    "no_gaps",
    "Every day of every agent has landed, up to the latest day that is due. The first day is SYNTHFLOW_START_DATE if "
    "it is set, otherwise the first day that landed. All metrics of landed days are computed from the latest load. The "
    "exports and the report are at least as new as the metrics. For an agent that was added later, backfill it alone "
    "with `models` in the run config. Agents that the API no longer lists are ignored.",
    "The catch-up schedule repairs the latest days. Repair older ones: {fetch_missing}",
    query=" UNION ALL ".join(f"FROM ({query})" for query in (_NOT_LANDED, _NOT_COMPUTED))
    + " ORDER BY model_id, problem, day",
    examines="call_loads",
)
# The two parts of `no_gaps`: the days to fetch, and the days to compute without fetching.
NOT_LANDED = replace(NO_GAPS, query=_NOT_LANDED)
NOT_COMPUTED = replace(NO_GAPS, query=_NOT_COMPUTED)
SETTLED = Check(
    "calls",
    "settled",
    "Every day that the daily schedule no longer fetches was over, without open calls, when it was last fetched. A "
    "call that is open two days after its start counts as ended. So days are examined from the third day on. Agents "
    "that the API no longer lists are ignored.",
    "The catch-up schedule fetches the latest days again. Fetch older ones: {fetch}. If a day fails each time because "
    "calls or values are missing, decide whether to accept that with `accept_deleted` in the run config",
    examines="call_loads",
)
# Evaluated by a schedule on all days, because a run cannot notice that no run took place.
SCHEDULED_CHECKS = (FRESHNESS, NO_GAPS, SETTLED)


def find_problems(
    connection: duckdb.DuckDBPyConnection,
    check: Check,
    days: Sequence[dt.date] | None,
    settings: Settings,
    last_due_day: dt.date,
    in_progress_since: dt.datetime | None = None,
) -> list[Problem]:
    """Evaluate a check; it passes if nothing is returned.

    Args:
        connection: to the warehouse.
        check: the check.
        days: days to look at; None for all days.
        settings: the time zone, the agents, the look-back, and the places of exports and report.
        last_due_day: the latest day that must have landed.
        in_progress_since: when the earliest run in progress started; None if there is none. That run is about to
            compute the metrics of what has landed since, and to export what was computed since.
    """
    query = check.query or sql_file(__name__, f"{check.name}.sql")
    parameters: dict[str, Any] = {
        "days": list(days) if days is not None else None,
        "timezone": settings.timezone,
        "model_ids": list(settings.model_ids),
        "last_due_day": last_due_day,
        "in_progress_since": in_progress_since,
        # On the third day after a day, all its calls count as ended, and the catch-up fetches it once more.
        "settling_days": max(settings.lookback_days, FINAL_AFTER_DAYS + 1),
        # The default says nothing about when a workspace began.
        "start_date": settings.start_date if "start_date" in settings.model_fields_set else None,
        "connected_statuses": list(CONNECTED_STATUSES),
        "not_reported": NOT_REPORTED,
        "fields": [column.source for column in CALL_FIELDS],
    }
    if "$exported_at" in query:
        parameters |= _outputs(connection, settings, days)
    if "$bound_days" in query:
        parameters |= bounds_parameters(_days_with_neighbours(connection, days), settings.timezone)
    rows = execute_named(connection, query, parameters).fetchall()
    names = dict(connection.execute("SELECT model_id, name FROM agents").fetchall()) if rows else {}
    return [
        Problem(day, Agent(model_id, names.get(model_id), None).label if model_id else None, problem)
        for day, model_id, problem in rows
    ]


def _outputs(
    connection: duckdb.DuckDBPyConnection, settings: Settings, days: Sequence[dt.date] | None
) -> dict[str, Any]:
    """Return the SQL parameters about metrics, exports and report: which there must be, and which there are."""
    exported: list[ExistingExport] | None = None
    if settings.export_folder:
        # An outage of the bucket must not keep the catch-up from fetching. The export step reports it.
        with suppress(WarehouseUnusableError):
            exported = existing_exports(connection, settings.export_folder, None if days is None else set(days))
    return {
        "metrics": [table.name for table in METRIC_TABLES],
        "has_exports": exported is not None,
        **export_parameters(settings.export_folder or "", exported or []),
        "report_days": settings.report_days,
        "report_at": file_time(settings.report_path),
    }


def _days_with_neighbours(connection: duckdb.DuckDBPyConnection, days: Sequence[dt.date] | None) -> list[dt.date]:
    """Return the days, or all that have landed, with the two days before and after: calls may run past midnight."""
    first, last = (min(days), max(days)) if days else (None, None)
    if first is None or last is None:
        bounds = "SELECT min(day), max(day) FROM (SELECT day FROM calls UNION ALL SELECT day FROM call_loads)"
        first, last = connection.execute(bounds).fetchone() or (None, None)
    if first is None or last is None:
        return []
    return [first + dt.timedelta(days=number) for number in range(-2, (last - first).days + 3)]


def count_examined(
    connection: duckdb.DuckDBPyConnection, checks: Sequence[Check], days: Sequence[dt.date] | None
) -> dict[Check, Examined]:
    """Return how many landed days, agents and rows each check looks at. Each table is counted once.

    Args:
        connection: to the warehouse.
        checks: the checks.
        days: days to look at; None for all days.
    """
    parameters = {"days": list(days) if days is not None else None}

    def one_row(columns: str, table: str) -> list[Any]:
        these = "$days IS NULL OR list_contains($days::DATE[], day)"
        query = f"SELECT {columns} FROM {TABLES[table].name} WHERE {these}"  # noqa: S608 (names are the schema's own)
        [row] = connection.execute(query, parameters).fetchall()
        return list(row)

    found_days, agents = one_row("count(DISTINCT day), count(DISTINCT model_id)", CALL_LOADS.name)
    rows = {table: one_row("count(*)", table)[0] for table in sorted({check.examined_table for check in checks})}
    return {check: Examined(found_days, agents, rows[check.examined_table]) for check in checks}


def count_retired_agents(connection: duckdb.DuckDBPyConnection, settings: Settings, last_due_day: dt.date) -> int:
    """Return how many agents have landed once and are no longer expected by the freshness check.

    Args:
        connection: to the warehouse.
        settings: the agents; if they are set, only those count.
        last_due_day: the latest day that must have landed.
    """
    query = sql_file(__name__, "retired_agents.sql")
    parameters = {"model_ids": list(settings.model_ids), "last_due_day": last_due_day}
    [count] = connection.execute(query, parameters).fetchone() or [0]
    return int(count)


def merge_days(problems: Sequence[Problem]) -> list[Problem]:
    """Return the problems, with the same problem of an agent on days in a row as one.

    Args:
        problems: ordered by agent and day, or by day.
    """
    merged: list[Problem] = []
    for problem in problems:
        last = merged[-1] if merged else None
        if last and last.day and problem == replace(last, day=last.day + dt.timedelta(days=last.days), days=1):
            merged[-1] = replace(last, days=last.days + 1)
        else:
            merged.append(problem)
    return merged
