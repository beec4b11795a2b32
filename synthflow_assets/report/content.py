"""Read what a page shows from the metric tables: whole numbers in columns, one cell for each day and agent."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt

from synthflow_assets.errors import ReportError
from synthflow_assets.texts import one_line, printable_line
from synthflow_assets.warehouse.metric_tables import CONNECTED_STATUSES, METRIC_TABLES, NOT_REPORTED
from synthflow_assets.warehouse.statements import execute_named, sql_file

Columns = dict[str, npt.NDArray[np.unsignedinteger[Any]]]
_sql = partial(sql_file, __name__.rpartition(".")[0] + ".sql")

# The states of a day of an agent; `page/numbers.js` has the same numbers.
NOT_YET, MISSING, COMPLETE, UNSETTLED, WITH_REJECTS, NOT_COMPUTED = range(6)
# What is counted by value: a list of values in the facts, and its query in `sql/` with parameters of its own.
_COUNTED: dict[str, tuple[str, dict[str, str]]] = {
    "outcomes": ("dimension", {"dimension": "outcome"}),
    "transfers": ("transfers", {}),
    "judge_results": ("judge_results", {}),
    "variables": ("variables", {}),
    "disconnect_reasons": ("disconnect_reasons", {}),
    "end_reasons": ("dimension", {"dimension": "end_call_reason"}),
    "attempts": ("attempts", {}),
    "versions": ("versions", {"not_reported": NOT_REPORTED}),
}
_HOURS = 24
_TODAY = ("calls", "reached", "calls_of_all_hours", "reached_of_all_hours")  # columns of `today.sql`
_BY_HOUR = {"calls_by_hour": "calls", "reached_by_hour": "reached"}
_MOST_LETTERS = 200  # of a name or value
_JOINERS = "\u200c\u200d"  # invisible, but parts of Persian words and of emoji
_NAMED_IN_ERRORS = 5


@dataclass(frozen=True)
class Span:
    """The days that a page shows, `from_day` to `to_day` inclusive."""

    from_day: dt.date
    to_day: dt.date

    @property
    def days(self) -> int:
        """Return the number of days."""
        return (self.to_day - self.from_day).days + 1

    @property
    def day_before(self) -> dt.date:
        """Return the first day of the preceding period of the same length, which the span is compared with."""
        return self.from_day - dt.timedelta(days=self.days)


@dataclass(frozen=True)
class Content:
    """What a page shows.

    Attributes:
        facts: names of agents, days, and the values that the columns refer to by number.
        columns: numbers in the order of the cells: by day, and within a day by agent.
    """

    facts: dict[str, Any]
    columns: Columns

    def headline(self) -> dict[str, float]:
        """Return the page's first numbers, over its days and agents; a rate of nothing is left out."""
        days_before = (dt.date.fromisoformat(self.facts["from"]) - dt.date.fromisoformat(self.facts["first"])).days
        start = days_before * len(self.facts["agents"])

        def total(name: str) -> int:
            return int(self.columns[name][start:].sum())

        calls, connected = total("calls"), total("connected_calls")
        failed, succeeded = total("transfer_failed_calls"), total("transfer_success_calls")
        rates = {
            "person_reached_rate": (total("person_reached_calls"), calls),
            "voicemail_rate": (total("voicemail_calls"), calls),
            "no_answer_rate": (total("no_answer_calls"), calls),
            "transfer_failed_rate": (failed, failed + succeeded),
            "connected_rate": (connected, calls),
            "short_call_rate": (total("short_calls"), connected),
        }
        return {"calls": calls} | {name: part / whole for name, (part, whole) in rates.items() if whole}


@dataclass(frozen=True)
class _Grid:
    """The cells: the days `first` to `last` inclusive, each with all agents."""

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
        """Return the columns of a query in `sql/`."""
        known = {"first": self.first, "last": self.last, "agents": len(self.model_ids), **parameters}
        uncomputed = sql_file("synthflow_assets.warehouse.sql", "uncomputed_metrics.sql")
        query = _sql(f"{name}.sql").replace("{uncomputed_metrics}", uncomputed)
        return execute_named(self.connection, query, known).fetchnumpy()

    def dense(self, cell: Any, values: Any, size: int = 1) -> npt.NDArray[np.unsignedinteger[Any]]:
        """Return a column of `size` numbers a cell: the values at their cells, and zeros elsewhere."""
        column = np.zeros(self.cells * size, np.int64)
        column[cell] = np.ma.filled(values, 0)
        return narrow(column)


def narrow(values: npt.NDArray[Any]) -> npt.NDArray[np.unsignedinteger[Any]]:
    """Return the numbers in the narrowest type that fits: 1, 2 or 4 bytes."""
    largest = int(values.max(initial=0))
    return values.astype(np.uint8 if largest < 1 << 8 else np.uint16 if largest < 1 << 16 else np.uint32)


def read_content(
    connection: duckdb.DuckDBPyConnection,
    span: Span,
    selected: Sequence[str],
    *,
    timezone: str,
    with_before: bool,
    percent: int,
) -> Content:
    """Return the content of a page.

    Args:
        connection: to the warehouse.
        span: the days to show.
        selected: ids or names of agents; all agents if empty.
        timezone: the time zone of the days.
        with_before: whether to read the preceding period of the same length too, as far as it has landed.
        percent: durations that differ by less are counted as one; 0 keeps all durations.

    Raises:
        ReportError: an agent is unknown.
    """
    agents = _agents(connection, span, selected)
    first = max(span.day_before, min((agent.first_day for agent in agents), default=span.from_day))
    grid = _Grid(connection, first if with_before and first < span.from_day else span.from_day, span.to_day,
                 [agent.model_id for agent in agents])  # fmt: skip
    connection.execute(_sql("agent_numbers.sql"), {"model_ids": grid.model_ids})
    currency, cost_unit = _cost_unit(grid)
    columns = _cells(grid, agents, currency, cost_unit)
    durations, histogram = _histogram(grid, percent)
    facts = {
        "agents": _names(agents),
        "all_agents": not selected,
        "first": grid.first.isoformat(),
        "from": span.from_day.isoformat(),
        "to": span.to_day.isoformat(),
        "durations": durations,
        "percent": percent,
        "currency": currency,
        "cost_unit": cost_unit,
        "callers": _callers(grid, span),
        "today": _today(grid, timezone),
    }
    columns |= histogram
    for kind in _COUNTED:
        facts[kind], counts = _counts(grid, kind)
        columns |= counts
    return Content(facts, columns | _traffic(grid))


@dataclass(frozen=True)
class _Agent:
    model_id: str
    name: str | None
    first_day: dt.date


def _agents(connection: duckdb.DuckDBPyConnection, span: Span, selected: Sequence[str]) -> list[_Agent]:
    """Return the selected agents that were fetched by the end of the span, busiest first."""
    rows = connection.execute(_sql("agents.sql"), {"from_day": span.from_day, "to_day": span.to_day}).fetchall()
    agents = [_Agent(*row) for row in rows]
    for id_or_name in selected:
        if not any(id_or_name in (agent.model_id, agent.name) for agent in agents):
            raise ReportError(f"no agent with the id or name {one_line(id_or_name)!r} has been fetched{_known(agents)}")
    return [agent for agent in agents if not selected or {agent.model_id, agent.name} & set(selected)]


def _known(agents: Sequence[_Agent]) -> str:
    """Return the end of an error message: the busiest agents."""
    if not agents:
        return ""
    names = ", ".join(one_line(agent.name or agent.model_id) for agent in agents[:_NAMED_IN_ERRORS])
    more = len(agents) - _NAMED_IN_ERRORS
    return f"; fetched agents: {names}" + (f" and {more} more" if more > 0 else "")


def _names(agents: Sequence[_Agent]) -> list[str]:
    """Return the names to show; agents with the same name get the start of their ids as well."""
    plain = [readable(agent.name or "") or readable(agent.model_id) for agent in agents]
    return [
        f"{name} ({readable(agent.model_id)[:8]})" if plain.count(name) > 1 else name
        for name, agent in zip(plain, agents, strict=True)
    ]


def readable(text: str) -> str:
    """Return the text on one line, shortened in the middle, without characters that reverse or overwrite others."""
    line = printable_line(text, allowed=_JOINERS).strip(_JOINERS)
    if len(line) <= _MOST_LETTERS:
        return line
    half = (_MOST_LETTERS - 1) // 2
    return f"{line[:half]}…{line[-half:]}"


def _cost_unit(grid: _Grid) -> tuple[str | None, float]:
    """Return the currency of the costs, and the fraction of it that the page counts in.

    Without a price there is no currency. Costs in several currencies cannot be added, so they are left out as well.
    """
    rows = grid.query("currencies")
    if len(rows["currency"]) != 1:
        return None, 1.0
    # Columns hold whole numbers of up to 32 bits. Some currencies have amounts of many digits.
    return str(rows["currency"][0]), max(1e-4, float(rows["highest"][0]) / 1e9)


def _callers(grid: _Grid, span: Span) -> list[int | None]:
    """Return the numbers of all, reached and new callers of the span; None if callers are unknown."""
    rows = grid.query("callers", from_day=span.from_day, to_day=span.to_day)
    return [None if np.ma.is_masked(values[0]) else int(values[0]) for values in rows.values()]


def _today(grid: _Grid, timezone: str) -> dict[str, Any] | None:
    """Return the day after the span, if it was not over when it was fetched; None otherwise.

    It has the day, the moment of the fetch, and lists with a number for each agent: `calls` and `reached` of the day so
    far, `until_hour` of its whole hours, `weeks` of the same hours of the same weekday in the weeks before.
    """
    today = grid.last + dt.timedelta(days=1)
    [(until,)] = grid.connection.execute(_sql("fetched_until.sql"), {"today": today}).fetchall()
    if until is None:
        return None
    local = until.astimezone(zoneinfo.ZoneInfo(timezone))
    numbers: dict[dt.date, dict[str, list[int]]] = {}
    rows = execute_named(grid.connection, _sql("today.sql"), {"today": today, "hour": local.hour}).fetchall()
    for day, agent, *counts in rows:
        of_day = numbers.setdefault(day, {name: [0] * len(grid.model_ids) for name in _TODAY})
        for name, count in zip(_TODAY, counts, strict=True):
            of_day[name][agent] = count
    if today not in numbers:
        return None
    now = numbers.pop(today)

    def until_hour(of_day: dict[str, list[int]]) -> dict[str, list[int]]:
        return {"calls": of_day["calls"], "reached": of_day["reached"]}

    return {
        "day": today.isoformat(),
        "until": f"{local:%H:%M}",
        "hour": local.hour,
        "calls": now["calls_of_all_hours"],
        "reached": now["reached_of_all_hours"],
        "until_hour": until_hour(now),
        "weeks": [until_hour(of_day) for of_day in numbers.values()],
    }


def _cells(grid: _Grid, agents: Sequence[_Agent], currency: str | None, cost_unit: float) -> Columns:
    """Return the state of each cell, its counts of calls and callers, and its cost."""
    metrics = [table.name for table in METRIC_TABLES]
    rows = grid.query("cells", currency=currency, cost_unit=cost_unit, metrics=metrics)
    cell = rows.pop("cell")
    state = np.full((grid.days, len(agents)), MISSING, np.uint8)
    for number, agent in enumerate(agents):
        state[: max(0, (agent.first_day - grid.first).days), number] = NOT_YET
    states = state.reshape(-1)
    states[cell] = rows.pop("state")
    return {"state": states} | {name: grid.dense(cell, values) for name, values in rows.items()}


def _traffic(grid: _Grid) -> Columns:
    """Return calls and persons reached by local hour, and the most concurrent calls of the workspace on each day."""
    rows = grid.query("traffic")
    hour = rows["cell"].astype(np.int64) * _HOURS + rows["hour"]
    peaks = grid.query("workspace_peaks")
    by_day = np.zeros((2, grid.days), np.int64)
    by_day[:, peaks["day_number"]] = peaks["peak"], peaks["hour"]
    by_hour = {name: grid.dense(hour, rows[column], _HOURS) for name, column in _BY_HOUR.items()}
    return by_hour | {"workspace_peak": narrow(by_day[0]), "workspace_peak_hour": narrow(by_day[1])}


def _histogram(grid: _Grid, percent: int) -> tuple[list[int], Columns]:
    """Return the distinct durations in seconds, and the connected calls of each cell by duration.

    `histogram_step` refers to a duration by its number, less the number before it in the cell: steps compress well.
    """
    rows = grid.query("histogram", connected_statuses=list(CONNECTED_STATUSES))
    cell, seconds, calls = (rows[name] for name in ("cell", "seconds", "calls"))
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
    """Return the histogram with each duration rounded to steps that grow by `percent`, and equal ones merged."""
    growth = np.log1p(percent / 100)
    rounded = np.rint(np.exp(np.rint(np.log(np.maximum(seconds, 1)) / growth) * growth)).astype(np.int64)
    rounded[seconds == 0] = 0
    keys = cell.astype(np.int64) << 32 | rounded
    kept, number = np.unique(keys, return_inverse=True)
    return kept >> 32, kept & 0xFFFFFFFF, np.bincount(number, weights=calls).astype(np.int64)


def _counts(grid: _Grid, kind: str) -> tuple[list[str], Columns]:
    """Return the values of a kind, such as disconnect reasons, and the counts of each cell by value."""
    query, parameters = _COUNTED[kind]
    rows = grid.query(query, **parameters)
    cell, value = rows.pop("cell"), rows.pop("value")
    values, number = np.unique(value.astype(str), return_inverse=True) if len(value) else (np.array([], str), value)
    return [readable(value) or "(no name)" for value in values.tolist()], {
        f"{kind}_entries": narrow(np.bincount(cell, minlength=grid.cells)),
        f"{kind}_value": narrow(np.asarray(number, np.int64)),
        **{f"{kind}_{name}": narrow(np.ma.filled(column, 0)) for name, column in rows.items()},
    }
