"""What a page holds: the metric tables as columns of whole numbers, one cell for each day and agent."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt

from synthflow_assets.agents import one_line
from synthflow_assets.errors import ReportError
from synthflow_assets.warehouse.metric_tables import CONNECTED_STATUSES
from synthflow_assets.warehouse.statements import execute_named, sql_file

Columns = dict[str, npt.NDArray[np.unsignedinteger[Any]]]
_sql = partial(sql_file, __name__.rpartition(".")[0] + ".sql")

# What is known of a day of an agent; `page/numbers.js` has the same numbers.
NOT_YET, MISSING, COMPLETE, UNSETTLED, WITH_REJECTS, NOT_COMPUTED = range(6)
_HOURS = 24


@dataclass(frozen=True)
class Span:
    """The days that a page shows, and the equally many before them that they are compared with."""

    from_day: dt.date
    to_day: dt.date

    @property
    def days(self) -> int:
        """How many days are shown."""
        return (self.to_day - self.from_day).days + 1

    @property
    def day_before(self) -> dt.date:
        """The first day of those that are compared with."""
        return self.from_day - dt.timedelta(days=self.days)


@dataclass(frozen=True)
class Content:
    """Names and other facts, and columns in the order of the cells: by day, and within a day by agent."""

    facts: dict[str, Any]
    columns: Columns


@dataclass(frozen=True)
class _Grid:
    """The cells: `first` to `last` inclusive, for each of the agents."""

    connection: duckdb.DuckDBPyConnection
    first: dt.date
    last: dt.date
    model_ids: list[str]

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1

    @property
    def cells(self) -> int:
        return self.days * len(self.model_ids)

    def query(self, name: str, **parameters: Any) -> dict[str, Any]:
        """The columns that a query answers."""
        known = {"first": self.first, "last": self.last, "agents": len(self.model_ids), **parameters}
        return execute_named(self.connection, _sql(f"{name}.sql"), known).fetchnumpy()

    def dense(self, cell: Any, values: Any, size: int = 1) -> npt.NDArray[np.unsignedinteger[Any]]:
        """The values where their cells are, zeros elsewhere."""
        column = np.zeros(self.cells * size, np.int64)
        column[cell] = np.ma.filled(values, 0)
        return narrow(column)


def narrow(values: npt.NDArray[Any]) -> npt.NDArray[np.unsignedinteger[Any]]:
    """The same numbers in the narrowest of the types that the page reads: 1, 2 or 4 bytes."""
    largest = int(values.max(initial=0))
    return values.astype(np.uint8 if largest < 1 << 8 else np.uint16 if largest < 1 << 16 else np.uint32)


def read_content(
    connection: duckdb.DuckDBPyConnection, span: Span, wanted: Sequence[str], *, with_before: bool, percent: int
) -> Content:
    """Read the days of a span, and where there are any the days before.

    Args:
        connection: of the warehouse.
        span: the days.
        wanted: agents, by id or name; none of them means all.
        with_before: also the days before the span, for comparison.
        percent: 0 keeps durations as they are; else those that differ by less than so much become one.

    Raises:
        ReportError: no agent is called so.
    """
    agents = _agents(connection, span, wanted)
    first = max(span.day_before, min((one.first_day for one in agents), default=span.from_day))
    grid = _Grid(connection, first if with_before and first < span.from_day else span.from_day, span.to_day,
                 [one.model_id for one in agents])  # fmt: skip
    connection.execute(_sql("agent_numbers.sql"), {"model_ids": grid.model_ids})
    columns = _cells(grid, agents)
    durations, histogram = _histogram(grid, percent)
    facts = {
        "agents": _names(agents),
        "all_agents": not wanted,
        "first": grid.first.isoformat(),
        "from": span.from_day.isoformat(),
        "to": span.to_day.isoformat(),
        "durations": durations,
        "percent": percent,
    }
    columns |= histogram
    for kind in ("reasons", "ends", "checks"):
        facts[kind], found = _counts(grid, kind)
        columns |= found
    return Content(facts, columns | _load(grid))


@dataclass(frozen=True)
class _Agent:
    model_id: str
    name: str | None
    first_day: dt.date


def _agents(connection: duckdb.DuckDBPyConnection, span: Span, wanted: Sequence[str]) -> list[_Agent]:
    """Every agent that was fetched up to the end of the span, busiest first."""
    rows = connection.execute(_sql("agents.sql"), {"from_day": span.from_day, "to_day": span.to_day}).fetchall()
    agents = [_Agent(*row) for row in rows]
    for one in wanted:
        if not any(one in (agent.model_id, agent.name) for agent in agents):
            known = ", ".join(one_line(agent.name or agent.model_id) for agent in agents[:5])
            raise ReportError(
                f"no agent with the id or name {one_line(one)!r} has calls here"
                + (f"; known are {known}" + (" and others" if len(agents) > 5 else "") if agents else "")  # noqa: PLR2004
            )
    return [agent for agent in agents if not wanted or {agent.model_id, agent.name} & set(wanted)]


def _names(agents: Sequence[_Agent]) -> list[str]:
    """What people call the agents; those who share a name are told apart by the beginning of their ids."""
    plain = [" ".join((agent.name or "").split()) or agent.model_id for agent in agents]
    return [
        f"{name} ({agent.model_id[:8]})" if plain.count(name) > 1 else name
        for name, agent in zip(plain, agents, strict=True)
    ]


def _cells(grid: _Grid, agents: Sequence[_Agent]) -> Columns:
    """What is known of each day of each agent, and its counts."""
    found = grid.query("cells")
    cell = found.pop("cell")
    state = np.full((grid.days, len(agents)), MISSING, np.uint8)
    for number, agent in enumerate(agents):
        state[: max(0, (agent.first_day - grid.first).days), number] = NOT_YET
    states = state.reshape(-1)
    states[cell] = found.pop("state")
    return {"state": states} | {name: grid.dense(cell, values) for name, values in found.items()}


def _load(grid: _Grid) -> Columns:
    """Calls by hour of the day, and how many there were at once."""
    found = grid.query("hours")
    started = grid.dense(found["cell"].astype(np.int64) * _HOURS + found["hour"], found["calls"], _HOURS)
    peaks = grid.query("workspace_peaks")
    by_day = np.zeros((2, grid.days), np.int64)
    by_day[:, peaks["day_number"]] = peaks["peak"], peaks["hour"]
    return {"hours": started, "workspace_peak": narrow(by_day[0]), "workspace_peak_hour": narrow(by_day[1])}


def _histogram(grid: _Grid, percent: int) -> tuple[list[int], Columns]:
    """The durations that occur, and how often each does in a cell: by their number, less the one before."""
    found = grid.query("histogram", connected_statuses=list(CONNECTED_STATUSES))
    cell, seconds, calls = (found[name] for name in ("cell", "seconds", "calls"))
    if percent and len(seconds):
        cell, seconds, calls = _merged(cell, seconds, calls, percent)
    values, number = np.unique(seconds, return_inverse=True)
    step = np.diff(number, prepend=0)
    starts = np.flatnonzero(np.diff(cell, prepend=-1))
    step[starts] = number[starts]
    return values.tolist(), {
        "histogram_entries": narrow(np.bincount(cell, minlength=grid.cells)),
        "histogram_step": narrow(step),
        "histogram_calls": narrow(calls),
    }


def _merged(cell: Any, seconds: Any, calls: Any, percent: int) -> tuple[Any, Any, Any]:
    """Durations that differ by less than so many percent as one, the one in their middle."""
    growth = np.log1p(percent / 100)
    rough = np.rint(np.exp(np.rint(np.log(np.maximum(seconds, 1)) / growth) * growth)).astype(np.int64)
    rough[seconds == 0] = 0
    keys = cell.astype(np.int64) << 32 | rough
    kept, number = np.unique(keys, return_inverse=True)
    return kept >> 32, kept & 0xFFFFFFFF, np.bincount(number, weights=calls).astype(np.int64)


def _counts(grid: _Grid, kind: str) -> tuple[list[str], Columns]:
    """Calls by a value, such as the reason of their end: the values, and for each cell which of them how often."""
    found = grid.query(kind)
    cell, value = found.pop("cell"), found.pop("value")
    values, number = np.unique(value.astype(str), return_inverse=True) if len(value) else (np.array([], str), value)
    return values.tolist(), {
        f"{kind}_entries": narrow(np.bincount(cell, minlength=grid.cells)),
        f"{kind}_value": narrow(np.asarray(number, np.int64)),
        **{f"{kind}_{name}": narrow(np.ma.filled(column, 0)) for name, column in found.items()},
    }
