"""Percentiles of any range, from the histogram, equal quantile_cont over the calls, to the last digit."""

import datetime as dt
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from synthflow_assets.metrics import compute_metrics
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.combined import CombinedWarehouse
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.metric_views import METRIC_MACROS, METRIC_VIEWS
from tests.spec.calls import Row, land

FIRST = dt.date(2026, 2, 20)
DAYS = [FIRST + dt.timedelta(days=number) for number in range(20)]  # of four weeks and two months
COLUMNS = (
    "calls, connected_calls, total_duration_seconds, mean_duration_seconds, median_duration_seconds, "
    "p90_duration_seconds, p95_duration_seconds, p99_duration_seconds, max_duration_seconds"
)
CONNECTED = "call_status IN ('completed', 'hangup_on_voicemail', 'left_voicemail')"
FROM_CALLS = f"""
    count(*), count(*) FILTER ({CONNECTED}), coalesce(sum(duration_seconds) FILTER ({CONNECTED}), 0),
    avg(duration_seconds) FILTER ({CONNECTED}), quantile_cont(duration_seconds, 0.5) FILTER ({CONNECTED}),
    quantile_cont(duration_seconds, 0.9) FILTER ({CONNECTED}),
    quantile_cont(duration_seconds, 0.95) FILTER ({CONNECTED}),
    quantile_cont(duration_seconds, 0.99) FILTER ({CONNECTED}), max(duration_seconds) FILTER ({CONNECTED})
"""


@pytest.fixture(scope="module")
def filled(empty_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    copied = shutil.copy(empty_file, tmp_path_factory.mktemp("filled") / "w.duckdb")
    with Warehouse(str(copied)).connect() as connection:
        fill(connection)
        yield connection


def fill(connection: duckdb.DuckDBPyConnection) -> None:
    chance = random.Random(5)
    land(
        connection,
        [
            {
                "model_id": chance.choice("ab"),
                "start_ms": int(dt.datetime.combine(chance.choice(DAYS), dt.time(12), dt.UTC).timestamp() * 1000),
                "call_status": chance.choice(["completed", "hangup_on_voicemail", "left_voicemail", "busy", None]),
                "type_of_call": chance.choice(["inbound", "outbound", None]),
                "duration_seconds": chance.choice([None, 0, 7, *range(20, 900, 13)]),
            }
            for _ in range(600)
        ],
        DAYS,
        "ab",
    )
    compute_metrics(connection, DAYS, Settings.of(), ["call_duration_histogram", "call_duration_daily"])


def rows(connection: duckdb.DuckDBPyConnection, query: str) -> list[Row]:
    found = connection.execute(f"{query} ORDER BY ALL").fetchall()
    # DuckDB 2 interpolates in another order than the macros do, and may differ in the last bit.
    return [tuple(round(value, 9) if isinstance(value, float) else value for value in row) for row in found]


@pytest.mark.parametrize("condition", ["true", "type_of_call = 'inbound'", "model_id = 'b' AND duration_seconds > 30"])
@pytest.mark.parametrize("span", [(0, 19), (3, 9), (4, 4)])
def test_everything_of_a_range(filled: duckdb.DuckDBPyConnection, span: tuple[int, int], condition: str) -> None:
    from_day, to_day = DAYS[span[0]], DAYS[span[1]]
    found = rows(filled, f"SELECT {COLUMNS} FROM duration_summary('{from_day}', '{to_day}', condition := {condition})")
    where = f"day BETWEEN '{from_day}' AND '{to_day}' AND {condition}"
    assert found == rows(filled, f"SELECT {FROM_CALLS} FROM calls WHERE {where}")


@pytest.mark.parametrize("key", ["model_id", "date_trunc('week', day)", "duration_seconds // 100", "call_status"])
def test_by_any_expression(filled: duckdb.DuckDBPyConnection, key: str) -> None:
    found = rows(filled, f"SELECT key, {COLUMNS} FROM duration_summary_by('{DAYS[0]}', '{DAYS[-1]}', {key})")
    of_calls = "coalesce(call_status, 'not_reported')" if key == "call_status" else key
    assert found == rows(filled, f"SELECT {of_calls} AS key, {FROM_CALLS} FROM calls GROUP BY key")


def test_a_range_without_calls_is_a_row_of_zeros(filled: duckdb.DuckDBPyConnection) -> None:
    assert rows(filled, "FROM duration_summary('2020-01-01', '2020-12-31')") == [(0, 0, 0, *(None,) * 6)]
    assert rows(filled, "FROM duration_summary_by('2020-01-01', '2020-12-31', model_id)") == []


@pytest.mark.parametrize("period", ["week", "month"])
def test_weeks_and_months(filled: duckdb.DuckDBPyConnection, period: str) -> None:
    found = rows(filled, f"SELECT {period}, model_id, {COLUMNS} FROM call_duration_{period}ly")
    of_calls = f"SELECT date_trunc('{period}', day)::DATE AS period, model_id, {FROM_CALLS} FROM calls"
    assert found == rows(filled, f"{of_calls} GROUP BY period, model_id")
    short = f"SELECT sum(short_calls) FROM call_duration_{period}ly"
    assert rows(filled, short) == rows(filled, "SELECT sum(short_calls) FROM call_duration_daily")


def test_they_have_the_columns_that_are_documented(filled: duckdb.DuckDBPyConnection) -> None:
    for view in METRIC_VIEWS:
        described = filled.execute(f"DESCRIBE FROM {view.name}").fetchall()
        assert [row[:2] for row in described] == [(column.name, column.sql_type) for column in view.columns]
    arguments = {"from_day": "'2026-01-01'", "to_day": "'2026-12-31'", "grouped_by": "model_id"}
    arguments |= {"in_segment": "'assistant_version'", "first_value": "'1'", "second_value": "'2'"}
    for macro in METRIC_MACROS:
        given = ", ".join(arguments[name] for name in macro.parameters if ":=" not in name)
        described = filled.execute(f"DESCRIBE FROM {macro.name}({given})").fetchall()
        wanted = [(one.name, "VARCHAR" if one.sql_type == "ANY" else one.sql_type) for one in macro.columns]
        assert [row[:2] for row in described] == wanted


def test_other_programs_use_them_by_the_name_of_the_schema(tmp_path: Path) -> None:
    file = tmp_path / "warehouse.duckdb"
    for schema in ("synthflow", "acme"):
        with Warehouse(str(file), schema).connect() as connection:
            land(connection, [{"call_status": "completed", "duration_seconds": len(schema)}])
            compute_metrics(connection, [dt.date(2026, 3, 10)], Settings.of())
    with duckdb.connect() as other:
        other.execute(f"ATTACH '{file}' AS warehouse (READ_ONLY); USE warehouse")
        for schema in ("synthflow", "acme"):
            summary = f"SELECT max_duration_seconds FROM {schema}.duration_summary('2026-03-01', '2026-03-31')"
            assert other.execute(summary).fetchall() == [(len(schema),)]
            assert other.execute(f"SELECT calls FROM {schema}.call_duration_weekly").fetchall() == [(1,)]


def test_several_workspaces_are_summed_up_exactly(tmp_path: Path) -> None:
    places = {name: Warehouse(str(tmp_path / f"{name}.duckdb")) for name in ("acme", "globex")}
    for name, seconds in (("acme", [10, 20, 400]), ("globex", [30, 90])):
        with places[name].connect() as connection:
            land(connection, [{"call_status": "completed", "duration_seconds": one} for one in seconds])
            compute_metrics(connection, [dt.date(2026, 3, 10)], Settings.of())
    with CombinedWarehouse(places).connect() as connection:
        march = "'2026-03-01', '2026-03-31'"
        wanted = "connected_calls, median_duration_seconds"
        # Neither the median of the medians, 40, nor their mean.
        assert rows(connection, f"SELECT {wanted} FROM duration_summary({march})") == [(5, 30)]
        one = f"SELECT {wanted} FROM duration_summary({march}, condition := workspace = 'globex')"
        assert rows(connection, one) == [(2, 60)]
        # Withheld numbers are no caller in either workspace.
        assert rows(connection, f"SELECT calls, callers FROM caller_summary({march})") == [(5, None)]
        by_workspace = f"SELECT key, {wanted} FROM duration_summary_by({march}, workspace)"
        assert rows(connection, by_workspace) == [("acme", 3, 20), ("globex", 2, 60)]
