"""What must hold of the tables: one `.sql` file a promise, each selecting the places where it is broken.

Every file returns the columns `day, model_id, problem`; no row means that the promise is kept. A problem is a count
or a name of a field, never anything of a call.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from synthflow_assets.agents import Agent
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.schema import CALL_FIELDS
from synthflow_assets.warehouse.statements import sql_file


@dataclass(frozen=True)
class Promise:
    """A promise about a table. `blocking`: what is computed from the table would be wrong if it were broken."""

    table: str
    name: str
    description: str
    blocking: bool


@dataclass(frozen=True)
class Problem:
    """A place where a promise is broken. `agent` is the name of the model, or its id where it has none."""

    day: dt.date | None
    agent: str | None
    problem: str

    def __str__(self) -> str:
        place = " ".join(str(part) for part in (self.day, self.agent) if part is not None)
        return f"{place}: {self.problem}" if place else self.problem


PROMISES = (
    Promise("calls", "unique_call_ids", "No call_id occurs twice in the whole table.", blocking=True),
    Promise(
        "calls",
        "complete",
        "As many distinct calls came as the API states, and each one landed, was rejected, or lies in the margin.",
        blocking=True,
    ),
    Promise("calls", "within_day", "Every call started on its day, in the set time zone.", blocking=True),
    Promise("calls", "no_rejects", "Every record that came could be typed.", blocking=False),
    Promise("calls", "known_values", "Statuses and reasons are among those that are documented.", blocking=False),
    Promise(
        "call_duration_daily",
        "call_duration_reconciles",
        "Every landed day of an agent has a row, and its calls are as many as landed.",
        blocking=False,
    ),
    Promise(
        "disconnect_reasons_daily",
        "disconnect_reasons_reconcile",
        "The reasons of a day add up to its calls, and their shares to 1.",
        blocking=False,
    ),
)
FRESHNESS = Promise("calls", "fresh_per_model", "The latest closed day has landed for every agent.", blocking=False)


def find_problems(
    connection: duckdb.DuckDBPyConnection,
    promise: Promise,
    days: Sequence[dt.date] | None,
    settings: Settings,
    last_closed_day: dt.date,
) -> list[Problem]:
    """The places where a promise is broken, on the given days, or on all that were ever landed."""
    query = sql_file(__name__, f"{promise.name}.sql")
    parameters: dict[str, Any] = {
        "days": list(days) if days is not None else None,
        "timezone": settings.timezone,
        "model_ids": list(settings.model_ids),
        "last_closed_day": last_closed_day,
        **{f"known_{column.name}": list(column.values) for column in CALL_FIELDS if column.values},
    }
    used = {key: value for key, value in parameters.items() if f"${key}" in query}
    rows = connection.execute(query, used).fetchall()
    names = dict(connection.execute("SELECT model_id, name FROM agents").fetchall()) if rows else {}
    return [
        Problem(day, Agent(model_id, names.get(model_id), None).label if model_id else None, problem)
        for day, model_id, problem in rows
    ]
