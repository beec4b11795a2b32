"""Checks that follow from the schema, so that a new metric table or field needs none of its own."""

from __future__ import annotations

import re
from functools import partial

from synthflow_assets.quality.check import Check, Severity
from synthflow_assets.warehouse.schema import CALL_FIELDS
from synthflow_assets.warehouse.statements import quoted, sql_file
from synthflow_assets.warehouse.tables import MetricTable, Recount, Statistics

COMPUTE_AGAIN = "Compute it again: {compute}. If it fails again, tell the maintainers"
_sql = partial(sql_file, "synthflow_assets.quality")


def known_values() -> Check:
    """Return the check that the values of fields with documented values are among them."""
    queries = [
        _sql("unknown_values.sql").format(
            column=column.name,
            values=", ".join(sorted({quoted(value.replace("-", "_")) for value in column.values})),
        )
        for column in CALL_FIELDS
        if column.values
    ]
    return Check(
        "calls",
        "known_values",
        "Every status, type and reason is documented. Hyphens and underscores count as the same.",
        "Tell the maintainers. Until a status is known, its calls do not count as connected; those without an end "
        "count as open",
        query=" UNION ALL ".join(queries) + " ORDER BY ALL LIMIT 100",
    )


def unique_rows(table: MetricTable) -> Check:
    """Return the check that a table has one row for each value of its grain."""
    return Check(
        table.name,
        f"unique_{table.name}",
        f"There is one row for each {', '.join(table.grain)}.",
        COMPUTE_AGAIN,
        severity=Severity.ERROR,
        query=_sql("unique_rows.sql").format(table=table.name, grain=", ".join(table.grain), agent=_agent(table)),
    )


def recount(table: MetricTable) -> Check:
    """Return the check that a table's sums, shares, rates and statistics are those of the calls."""
    queries = [_sums(table), *(_statistics(table, declared) for declared in table.statistics)]
    columns = ", ".join(f"`{declared.column}`" for declared in table.recounts)
    sentences = [f"Counted again from the calls, these sums are the same: {columns}."]
    if any(declared.share for declared in table.recounts):
        sentences.append("Shares sum to 1.")
    if table.statistics:
        sentences.append("Computed again, means, percentiles and extremes are the same.")
    if any(column.ratio for column in table.columns):
        queries.append(_ratios(table))
        sentences.append("Rates are their numerators divided by their denominators.")
    if table.every_landed_day:
        sentences.append("Every landed day has rows.")
    return Check(
        table.name,
        f"recount_{table.name}",
        " ".join(sentences),
        COMPUTE_AGAIN,
        severity=Severity.ERROR,
        query=" UNION ALL ".join(f"FROM ({query})" for query in queries) + " ORDER BY ALL",
    )


def _sums(table: MetricTable) -> str:
    sums = [one for declared in table.recounts for one in _pairs(declared)]
    return _sql("recount.sql").format(
        table=table.name,
        agent=_agent(table),
        computed_sums=", ".join(f"{{name: {quoted(name)}, computed: {found}::DOUBLE}}" for name, found, _ in sums),
        expected_sums=", ".join(f"{{name: {quoted(name)}, expected: {counted}::DOUBLE}}" for name, _, counted in sums),
        every_landed_day=table.every_landed_day,
    )


def _pairs(declared: Recount) -> list[tuple[str, str, str]]:
    """Return (name, SQL over the metric table, SQL over the calls) of each sum that must be the same."""
    counted = f"coalesce(sum({declared.each_call}) FILTER (call_id IS NOT NULL), 0)"
    column, values = declared.within or (None, ("",))
    sums = []
    for value in values:
        name, rows = (f" of {value}", f" FILTER ({column} = {quoted(value)})") if column else ("", "")
        sums.append((f"{declared.column}{name}", f"coalesce(sum({declared.column}){rows}, 0)", counted))
        if declared.share:
            sums.append(
                (f"{declared.share}{name}", f"sum({declared.share}){rows}", "CASE WHEN count(call_id) > 0 THEN 1 END")
            )
    return sums


def _statistics(table: MetricTable, declared: Statistics) -> str:
    columns = [column.name for column in table.columns if re.fullmatch(rf"[a-z0-9]+_{declared.name}", column.name)]
    return _sql("statistics.sql").format(
        table=table.name,
        grain=", ".join(table.grain),
        name=declared.name,
        of=declared.of,
        divided_by=declared.divided_by,
        names=", ".join(columns),
        columns=", ".join(f"{column}::DOUBLE AS {column}" for column in columns),
    )


def _ratios(table: MetricTable) -> str:
    rates = [
        f"{{name: {quoted(column.name)}, formula: {quoted(str(column.formula))}, computed: {column.name}, "
        f"expected: {column.ratio[0]} / nullif({column.ratio[1]}, 0)}}"
        for column in table.columns
        if column.ratio
    ]
    return _sql("ratios.sql").format(table=table.name, agent=_agent(table), rates=", ".join(rates))


def _agent(table: MetricTable) -> str:
    """Return SQL for the agent of a row; a table over all agents has an empty one."""
    return "model_id" if "model_id" in table.grain else "''"


def generated_checks(table: MetricTable) -> tuple[Check, ...]:
    """Return all checks that follow from the entry of a metric table."""
    return (recount(table), unique_rows(table)) if table.recounts else (unique_rows(table),)
