"""Small pictures of the metrics, as Markdown for Dagster's UI; they look like the charts of the page.

Each is a `.sql` file: `day`, `name` and `value` of the days `$first` to `$last`.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import duckdb

from synthflow_assets.report.charts import PERCENT, PRINTED, SERIES, columns, config, lines, shares
from synthflow_assets.report.previews.drawing import Chart, DrawingError, Worker
from synthflow_assets.warehouse.statements import sql_file

DAYS = 30
_DAY_MS = 86_400_000
_sql = partial(sql_file, __name__)


@dataclass(frozen=True)
class _Preview:
    """What is drawn of a table."""

    title: str
    kind: str  # piled, shares, lines or rates
    query: str  # name of the .sql file


_PREVIEWS = {
    "call_duration_daily": (
        _Preview("Calls per day", "piled", "calls"),
        _Preview("Mean duration of connected calls, in seconds", "piled", "mean_duration"),
    ),
    "call_duration_histogram": (_Preview("Duration of connected calls, in seconds", "lines", "duration_percentiles"),),
    "disconnect_reasons_daily": (_Preview("Why the line was cut", "shares", "disconnect_reasons"),),
    "call_outcomes_daily": (_Preview("Why the conversation ended", "shares", "end_reasons"),),
    "call_rates_daily": (_Preview("Connected, voicemail and short calls", "rates", "rates"),),
    "workspace_load_hourly": (_Preview("Most calls at once", "piled", "peaks"),),
    "judge_results_daily": (_Preview("What the judge passed", "rates", "judge_passes"),),
}


def preview_charts(connection: duckdb.DuckDBPyConnection, table: str, last: dt.date) -> list[Chart]:
    """Return the charts of a table over the `DAYS` days up to `last`; none if it has no rows in them."""
    first = last - dt.timedelta(days=DAYS - 1)
    gaps = [{"from": _ms(day), "to": _ms(day) + _DAY_MS, "share": 1.0} for day in _missing(connection, first, last)]
    charts = []
    for drawn in _PREVIEWS.get(table, ()):
        rows = connection.execute(_sql(f"{drawn.query}.sql"), {"first": first, "last": last}).fetchall()
        if rows:
            charts.append(_chart(drawn, rows, gaps, first, last) | {"title": f"{drawn.title}, {first} to {last}"})
    return charts


def previews(charts: Mapping[str, Sequence[Chart]], warn: Callable[[str], None]) -> dict[str, str]:
    """Return the pictures of each table as Markdown, for those tables that have any.

    Args:
        charts: of each table, from `preview_charts`.
        warn: is called with one line for each picture that cannot be drawn.
    """
    markdown: dict[str, str] = {}
    with Worker() as worker:
        for table, of_table in charts.items():
            pictures = []
            for chart in of_table:
                try:
                    pictures.append(f"![{chart['title']}](data:image/png;base64,{worker.draw(chart)})")
                except DrawingError as error:
                    warn(f"a preview of {table} is missing: {error}; its data is not affected")
            if pictures:
                markdown[table] = "\n\n".join(pictures)
    return markdown


def _missing(connection: duckdb.DuckDBPyConnection, first: dt.date, last: dt.date) -> list[dt.date]:
    """The days of which nothing landed; those before the very first that did are not missing."""
    loads = "SELECT DISTINCT day FROM call_loads WHERE day <= $last"
    landed = {day for (day,) in connection.execute(loads, {"last": last}).fetchall()}
    days = [first + dt.timedelta(days=number) for number in range(DAYS)]
    return [day for day in days if day not in landed and min(landed, default=last) < day]


def _chart(
    preview: _Preview,
    rows: list[tuple[dt.date, str, float]],
    gaps: list[dict[str, float]],
    first: dt.date,
    last: dt.date,
) -> Chart:
    sums: dict[str, float] = defaultdict(float)
    for _, name, value in rows:
        sums[name] += value
    largest = sorted(sums, key=lambda name: -sums[name])
    shown = largest if len(largest) <= SERIES else largest[: SERIES - 1]
    names = [*shown, *(["others"] if len(shown) < len(largest) else [])]
    if preview.kind in ("lines", "rates"):
        chart = lines(PRINTED, names, PERCENT if preview.kind == "rates" else None)
        drawn = [_at(day) | {"name": name, "value": value} for day, name, value in rows if name in shown]
    else:
        chart = (shares if preview.kind == "shares" else columns)(PRINTED, names)
        drawn = _piled(rows, names, whole=preview.kind == "shares")
    span = [_ms(first), _ms(last) + _DAY_MS]
    return {
        **chart,
        "params": [
            {"name": "span", "value": span},
            {"name": "ticks", "value": list(range(span[0] + _DAY_MS // 2, span[1], 5 * _DAY_MS))},
            {"name": "half", "value": _DAY_MS // 2},
        ],
        "datasets": {"rows": drawn, "gaps": gaps},
        "width": 560,
        "height": 150,
        "config": config(PRINTED),
    }


def _piled(rows: list[tuple[dt.date, str, float]], names: list[str], *, whole: bool) -> list[dict[str, Any]]:
    """The values of each day on each other, in the order of the names; as parts of a whole, where it is asked for."""
    days: dict[dt.date, dict[str, float]] = defaultdict(lambda: dict.fromkeys(names, 0.0))
    for day, name, value in rows:
        days[day][name if name in names else "others"] += value
    drawn = []
    for day, values in days.items():
        low, divisor = 0.0, (sum(values.values()) or 1) if whole else 1
        for name, value in values.items():
            high = low + value / divisor
            drawn.append(_at(day) | {"name": name, "low": low, "high": high})
            low = high
    return drawn


def _at(day: dt.date) -> dict[str, float]:
    air = 0.08 * _DAY_MS
    begin = _ms(day)
    return {"from": begin + air, "to": begin + _DAY_MS - air, "middle": begin + _DAY_MS / 2}


def _ms(day: dt.date) -> int:
    return (day - dt.date(1970, 1, 1)).days * _DAY_MS
