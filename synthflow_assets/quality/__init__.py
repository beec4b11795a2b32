"""What must hold of the tables: one `.sql` file a check, each selecting the places where it is broken.

Every file of a check returns the columns `day, model_id, problem`; no row means that the check is kept. A problem
is a count or a name of a field, never anything of a call.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import duckdb

from synthflow_assets.agents import Agent
from synthflow_assets.quality.check import Check as Check
from synthflow_assets.quality.check import Severity as Severity
from synthflow_assets.quality.metric_checks import METRIC_CHECKS
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.metric_tables import CONNECTED_STATUSES, OUTCOME_DIMENSIONS, VOICEMAIL_STATUSES
from synthflow_assets.warehouse.schema import CALL_FIELDS, TABLES
from synthflow_assets.warehouse.statements import execute_named, sql_file


@dataclass(frozen=True)
class Problem:
    """A place where a check is broken. `agent` is the name of the model, or its id where it has none."""

    day: dt.date | None
    agent: str | None
    problem: str
    days: int = 1  # in a row, from `day` on

    def __str__(self) -> str:
        until = f"to {self.day + dt.timedelta(days=self.days - 1)}" if self.day and self.days > 1 else None
        place = " ".join(str(part) for part in (self.day, until, self.agent) if part is not None)
        return f"{place}: {self.problem}" if place else self.problem


# Asked of the days of each run, about what it has written.
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
        "As many distinct calls came as the API states, and each one landed, was rejected, or lies in the margin.",
        "Fetch it again: {fetch}; if it stays, `synthflow-assets doctor`, and ask Synthflow",
        blocking=True,
    ),
    Check(
        "calls",
        "within_day",
        "Every call started on its day, in the set time zone.",
        "If SYNTHFLOW_TIMEZONE was changed, fetch all days again; else these: {fetch}",
        blocking=True,
    ),
    Check(
        "calls",
        "no_rejects",
        "Every record that came could be typed.",
        "`synthflow-assets rejects` tells more; after an upgrade, `synthflow-assets rejects --retry` types them",
    ),
    Check(
        "calls",
        "known_values",
        "Statuses and reasons are among those that are documented.",
        "Tell the maintainers; a status counts as neither connected nor open until it is known to be",
    ),
    Check(
        "calls",
        "usual_volume",
        "The calls of each agent are as many as on the same weekday of the eight weeks before (median), give or take "
        "four times the largest of their spread, the root of the median and a tenth of it. Once in 16,000 days that is "
        "chance. It needs four such days, and some 20 calls a day to notice that all are missing.",
        "A holiday, a campaign, a broken number? If Synthflow's dashboard shows as many, nothing is to be done; else "
        "fetch it again: {fetch}",
    ),
    Check(
        "calls",
        "same_fields",
        "No field has turned up that was not there in the week before, and none that was there is empty in all calls.",
        "Does anything of yours need the field? Tell the maintainers; recording_url is announced to go in January 2027",
    ),
    *METRIC_CHECKS,
)
FRESHNESS = Check(
    "calls",
    "fresh_per_model",
    "The latest closed day has landed for every agent.",
    "Is the daily schedule on, did its run fail, is the agent still there? Then fetch the day: {fetch}",
    severity=Severity.ERROR,
)
NO_GAPS = Check(
    "calls",
    "no_gaps",
    "Every day of every agent has landed, from the first day that is set, or else that ever landed, to the latest "
    "closed one. An agent that was added later is backfilled alone, by `models` of the run config.",
    "The catch-up schedule fetches the latest days; older ones: {fetch_missing}",
)
SETTLED = Check(
    "calls",
    "settled",
    "Every day that the daily schedule does not fetch again was over when it was fetched last.",
    "The catch-up schedule fetches the latest days again; older ones: {fetch}. A call that Synthflow never closes "
    "stays open: leave it",
)
# Asked by the clock, about all days: a run cannot notice that none ran.
SCHEDULED_CHECKS = (FRESHNESS, NO_GAPS, SETTLED)


def find_problems(
    connection: duckdb.DuckDBPyConnection,
    check: Check,
    days: Sequence[dt.date] | None,
    settings: Settings,
    last_closed_day: dt.date,
) -> list[Problem]:
    """The places where a check is broken, on the given days, or on all that were ever landed."""
    query = _query(check)
    parameters: dict[str, Any] = {
        "days": list(days) if days is not None else None,
        "timezone": settings.timezone,
        "model_ids": list(settings.model_ids),
        "last_closed_day": last_closed_day,
        "lookback_days": settings.lookback_days,
        # The default is no statement about when a workspace began.
        "start_date": settings.start_date if "start_date" in settings.model_fields_set else None,
        "connected_statuses": list(CONNECTED_STATUSES),
        "voicemail_statuses": list(VOICEMAIL_STATUSES),
        "outcome_dimensions": list(OUTCOME_DIMENSIONS),
        "fields": [column.source for column in CALL_FIELDS],
        **{f"known_{column.name}": list(column.values) for column in CALL_FIELDS if column.values},
    }
    rows = execute_named(connection, query, parameters).fetchall()
    names = dict(connection.execute("SELECT model_id, name FROM agents").fetchall()) if rows else {}
    return [
        Problem(day, Agent(model_id, names.get(model_id), None).label if model_id else None, problem)
        for day, model_id, problem in rows
    ]


def count_unwatched(connection: duckdb.DuckDBPyConnection, settings: Settings, last_closed_day: dt.date) -> int:
    """How many agents have landed once, and are not expected to be fresh any more."""
    query = sql_file(__name__, "unwatched.sql")
    parameters = {"model_ids": list(settings.model_ids), "last_closed_day": last_closed_day}
    [count] = connection.execute(query, parameters).fetchone() or [0]
    return int(count)


def merge_days(problems: Sequence[Problem]) -> list[Problem]:
    """The same problem of an agent on days in a row as one; the order stays."""
    merged: list[Problem] = []
    for problem in problems:
        last = merged[-1] if merged else None
        if last and last.day and problem == replace(last, day=last.day + dt.timedelta(days=last.days), days=1):
            merged[-1] = replace(last, days=last.days + 1)
        else:
            merged.append(problem)
    return merged


def _query(check: Check) -> str:
    if check.file is None:
        return sql_file(__name__, f"{check.name}.sql")
    table = TABLES[check.table]
    agent = "model_id" if "model_id" in table.grain else "NULL::VARCHAR"
    return sql_file(__name__, check.file).format(table=table.name, grain=", ".join(table.grain), agent=agent)
