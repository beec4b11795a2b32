"""Choose what the previews of a metric table show: its own pictures, or one that follows from its schema entry."""

# ruff: noqa: S608 -- SQL contains names from the schema; days are parameters
from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import partial

from synthflow_assets.warehouse.statements import sql_file
from synthflow_assets.warehouse.tables import Column, MetricTable

MOST_LINES = 3  # each line adds about 8 kB to a picture
_sql = partial(sql_file, __package__ or "")


class Shape(Enum):
    """How the values of a preview are drawn."""

    COLUMNS = "columns"  # stacked numbers
    SHARES = "shares"  # stacked parts of 100 %
    RATES = "rates"  # lines of shares
    MINUTES = "minutes"  # lines of minutes
    MINUTE_COLUMNS = "minute columns"  # stacked minutes


@dataclass(frozen=True)
class Preview:
    """A picture of a table.

    Attributes:
        title: of the picture, without the days.
        shape: how the values are drawn.
        query: SQL that selects `day`, `name` and `value` of the days `$first` to `$last`.
    """

    title: str
    shape: Shape
    query: str


# Pictures by table: the title, the shape, and the query in a file.
_OWN = {
    "call_duration_histogram": ("Duration of connected calls, in minutes", Shape.MINUTES, "duration_percentiles.sql"),
    "call_outcomes_daily": ("Calls by outcome", Shape.SHARES, "outcomes.sql"),
    "call_rates_daily": ("Persons reached, failed transfers and short calls", Shape.RATES, "rates.sql"),
    "workspace_load_hourly": ("Most concurrent calls", Shape.COLUMNS, "peaks.sql"),
    "telephony_timing_daily": ("Mean ringing and talk time, in minutes", Shape.MINUTES, "mean_times.sql"),
    "callers_daily": ("Callers by agent", Shape.COLUMNS, "callers.sql"),
    "attempts_daily": ("Share of leads reached", Shape.RATES, "attempts.sql"),
    "call_segments_daily": ("Persons reached by version", Shape.RATES, "versions.sql"),
    "call_costs_daily": ("Estimated cost by agent", Shape.COLUMNS, "costs.sql"),
}


def previews_of(table: MetricTable) -> tuple[Preview, ...]:
    """Return the previews of a table."""
    if table.name in _OWN:
        title, shape, query = _OWN[table.name]
        return (Preview(title, shape, _sql(query)),)
    if table.name == "call_duration_daily":
        title = "Mean duration of connected calls, in minutes"
        return (*_default(table), Preview(title, Shape.MINUTE_COLUMNS, _sql("mean_duration.sql")))
    return _default(table)


def _default(table: MetricTable) -> tuple[Preview, ...]:
    """Return the preview that follows from the schema entry.

    A ratio by the table's dimension, else the table's ratios, else its first number that can be summed, by its
    dimension or by agent.
    """
    dimension = next((column for column in table.columns if _is_dimension(table, column)), None)
    ratios = [column for column in table.columns if column.ratio]
    numbers = [column for column in table.columns if column.summable]
    if ratios and dimension:
        return (_ratio_by_dimension(table, ratios[0], dimension),)
    if ratios:
        return (_ratios(table, ratios[:MOST_LINES]),)
    if numbers:
        return (_number(table, numbers[0], dimension),)
    return ()


def _is_dimension(table: MetricTable, column: Column) -> bool:
    return column.name in table.grain and column.name != "model_id" and column.sql_type == "VARCHAR"


def _ratio_by_dimension(table: MetricTable, ratio: Column, dimension: Column) -> Preview:
    """Return lines for the values with the largest denominators."""
    numerator, denominator = ratio.ratio or ("", "")
    return Preview(
        _title(f"{ratio.name} by {dimension.name}"),
        Shape.RATES,
        f"""
        WITH sums AS (
            SELECT day, {dimension.name} AS name, sum({numerator}) AS numerator, sum({denominator}) AS denominator
            FROM {table.name}
            WHERE day BETWEEN $first AND $last
            GROUP BY day, {dimension.name}
        ),
        largest AS (SELECT name FROM sums GROUP BY name ORDER BY sum(denominator) DESC, name LIMIT {MOST_LINES})
        SELECT day, replace(name, '_', ' ') AS name, numerator / denominator AS value
        FROM sums
        WHERE denominator > 0 AND name IN (SELECT largest.name FROM largest)
        ORDER BY day, name
        """,
    )


def _ratios(table: MetricTable, ratios: list[Column]) -> Preview:
    """Return a line for each ratio, over all agents."""
    sums = ", ".join(
        f"sum({numerator}) / nullif(sum({denominator}), 0) AS {ratio.name}"
        for ratio in ratios
        for numerator, denominator in [ratio.ratio or ("", "")]
    )
    return Preview(
        _title(", ".join(ratio.name for ratio in ratios)),
        Shape.RATES,
        f"""
        WITH rates AS (SELECT day, {sums} FROM {table.name} WHERE day BETWEEN $first AND $last GROUP BY day)
        SELECT day, replace(name, '_', ' ') AS name, value
        FROM (UNPIVOT rates ON COLUMNS(* EXCLUDE day) INTO NAME name VALUE value)
        ORDER BY day, name
        """,
    )


def _number(table: MetricTable, number: Column, dimension: Column | None) -> Preview:
    """Return columns by dimension, by agent, or of the whole workspace if the table has neither."""
    agents = ""
    if dimension:
        name, by = f"replace({dimension.name}, '_', ' ')", f" by {dimension.name}"
    elif "model_id" in table.grain:
        name, by, agents = "coalesce(agents.name, model_id)", " by agent", "LEFT JOIN agents USING (model_id)"
    else:
        name, by = "'all agents'", ""
    what = number.name if not number.unit or number.unit in number.name else f"{number.name} {number.unit}"
    return Preview(
        _title(f"{what}{by}"),
        Shape.SHARES if any(column.name == "share" for column in table.columns) else Shape.COLUMNS,
        f"""
        SELECT day, {name} AS name, sum({number.name})::DOUBLE AS value
        FROM {table.name} {agents}
        WHERE day BETWEEN $first AND $last
        GROUP BY day, {name}
        ORDER BY day, name
        """,
    )


def _title(text: str) -> str:
    words = text.replace("_", " ")
    return words[0].upper() + words[1:]
