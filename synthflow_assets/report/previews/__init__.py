"""Small pictures of the metric tables for Dagster's UI, as Markdown. They look like the charts of the report."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import duckdb

from synthflow_assets.report.charts import LIGHT, MINUTES, PERCENT, SERIES, columns, config, lines, shares
from synthflow_assets.report.previews.choice import Preview, Shape, previews_of
from synthflow_assets.report.previews.drawing import Chart, DrawingError, Worker
from synthflow_assets.warehouse.metric_tables import CONNECTED_STATUSES
from synthflow_assets.warehouse.statements import execute_named
from synthflow_assets.warehouse.tables import MetricTable

DAYS = 30
_DAY_MS = 86_400_000
_OTHERS = "others"
_AXES = {Shape.RATES: PERCENT, Shape.MINUTES: MINUTES, Shape.MINUTE_COLUMNS: MINUTES}


def preview_charts(connection: duckdb.DuckDBPyConnection, table: MetricTable, last: dt.date) -> list[Chart]:
    """Return the charts of a table over the `DAYS` days up to `last`; none if it has no rows in them."""
    first = last - dt.timedelta(days=DAYS - 1)
    parameters = {"first": first, "last": last, "connected_statuses": list(CONNECTED_STATUSES)}
    gaps = [{"from": _ms(day), "to": _ms(day) + _DAY_MS, "share": 1.0} for day in _missing(connection, first, last)]
    charts = []
    for preview in previews_of(table):
        rows = execute_named(connection, preview.query, parameters).fetchall()
        if rows:
            charts.append(_chart(preview, rows, gaps, first, last))
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
    """Return the days of which no agent has landed, after the first day that has."""
    loads = "SELECT DISTINCT day FROM call_loads WHERE day <= $last"
    landed = {day for (day,) in connection.execute(loads, {"last": last}).fetchall()}
    days = [first + dt.timedelta(days=number) for number in range(DAYS)]
    return [day for day in days if day not in landed and min(landed, default=last) < day]


def _chart(
    preview: Preview,
    rows: list[tuple[dt.date, str, float]],
    gaps: list[dict[str, float]],
    first: dt.date,
    last: dt.date,
) -> Chart:
    """Return a chart of the series with the largest values; all others are one series, or left out of lines."""
    sums: dict[str, float] = defaultdict(float)
    for _, name, value in rows:
        sums[name] += value
    largest = sorted(sums, key=lambda name: -sums[name])
    shown = largest if len(largest) <= SERIES else largest[: SERIES - 1]
    names = [*shown, *([_OTHERS] if len(shown) < len(largest) else [])]
    axis = _AXES.get(preview.shape)
    if preview.shape in (Shape.RATES, Shape.MINUTES):
        chart = lines(LIGHT, names, axis)
        drawn = [_position(day) | {"name": name, "value": value} for day, name, value in rows if name in shown]
    else:
        chart = shares(LIGHT, names) if preview.shape is Shape.SHARES else columns(LIGHT, names, axis)
        drawn = _stacked(rows, names, is_whole=preview.shape is Shape.SHARES)
    span = [_ms(first), _ms(last) + _DAY_MS]
    return {
        **chart,
        "title": f"{preview.title}, {first} to {last}",
        "params": [
            {"name": "span", "value": span},
            {"name": "ticks", "value": list(range(span[0] + _DAY_MS // 2, span[1], 5 * _DAY_MS))},
            {"name": "half", "value": _DAY_MS // 2},
        ],
        "datasets": {"rows": drawn, "gaps": gaps},
        "width": 560,
        "height": 150,
        "config": config(LIGHT),
    }


def _stacked(rows: list[tuple[dt.date, str, float]], names: list[str], *, is_whole: bool) -> list[dict[str, Any]]:
    """Return the values of each day stacked in the order of the names; as parts of 1 if `is_whole`."""
    days: dict[dt.date, dict[str, float]] = defaultdict(lambda: dict.fromkeys(names, 0.0))
    for day, name, value in rows:
        days[day][name if name in names else _OTHERS] += value
    drawn = []
    for day, values in days.items():
        low, divisor = 0.0, (sum(values.values()) or 1) if is_whole else 1
        for name, value in values.items():
            high = low + value / divisor
            drawn.append(_position(day) | {"name": name, "low": low, "high": high})
            low = high
    return drawn


def _position(day: dt.date) -> dict[str, float]:
    """Return the extent of a day's column on the time axis, with a gap to the next one."""
    gap = 0.08 * _DAY_MS
    start = _ms(day)
    return {"from": start + gap, "to": start + _DAY_MS - gap, "middle": start + _DAY_MS / 2}


def _ms(day: dt.date) -> int:
    return (day - dt.date(1970, 1, 1)).days * _DAY_MS
