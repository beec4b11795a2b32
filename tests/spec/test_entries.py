"""The entries of metric tables: what docs, lineage and checks follow from is complete."""

from importlib.resources import files

import pytest

from synthflow_assets.quality import CHECKS
from synthflow_assets.warehouse.metric_tables import METRIC_TABLES
from synthflow_assets.warehouse.schema import CALLS
from synthflow_assets.warehouse.tables import MetricTable

CALL_COLUMNS = {column.name for column in CALLS.columns}
TABLES = pytest.mark.parametrize("table", METRIC_TABLES, ids=lambda table: table.name)


@TABLES
def test_every_number_names_its_formula_and_the_columns_it_comes_from(table: MetricTable) -> None:
    for column in table.columns:
        assert set(column.sources) <= CALL_COLUMNS
        if column.name not in ("day", "model_id"):
            assert column.sources or str(column.formula).startswith("SYNTHFLOW_"), column.name
            assert column.formula, column.name
            assert column.description.endswith("."), column.name


@TABLES
def test_only_numbers_of_separate_calls_are_summed(table: MetricTable) -> None:
    """A call is in one row of each dimension, judge's check, variable and hour: sums over those say nothing."""
    shared = {"dimension", "judge_check", "variable"} & set(table.grain)
    for column in table.columns:
        if column.summable:
            assert column.required or column.name.startswith("total_")
            assert not shared
            assert column.name not in ("calls_in_progress", "peak_concurrent_calls")
            assert column.unit in ("calls", "actions", "transfers", "leads", "seconds", "minutes")


@TABLES
def test_every_table_is_counted_again(table: MetricTable) -> None:
    names = {column.name for column in table.columns}
    # The day of an attempt is not that of its call, so attempts have a check of their own.
    assert table.recounts or any(check.name == "attempts_reconcile" for check in CHECKS if check.table == table.name)
    for declared in table.recounts:
        assert {declared.column, declared.share or declared.column} <= names
    for one in table.statistics:
        assert any(name.endswith(f"_{one.name}") for name in names)


def test_there_is_one_query_for_each_table() -> None:
    queries = {file.name for file in files("synthflow_assets.metrics").iterdir() if file.name.endswith(".sql")}
    assert queries == {f"{table.name}.sql" for table in METRIC_TABLES} | {"traffic.sql", "headline.sql"}
