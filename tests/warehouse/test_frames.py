"""Frames have the dtypes of the schema, with or without rows."""

import datetime as dt
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from synthflow_assets.errors import WarehouseUnusableError
from synthflow_assets.warehouse.combined import CombinedWarehouse
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.frames import dtype_of
from synthflow_assets.warehouse.schema import TABLES

DAY, NEXT = dt.date(2026, 3, 10), dt.date(2026, 3, 11)


def with_calls(location: Path, schema: str = "synthflow") -> Warehouse:
    """Return a warehouse with two calls: one with each kind of value, one with required values only."""
    warehouse = Warehouse(str(location), schema)
    with warehouse.connect() as connection:
        connection.execute(
            "INSERT INTO calls "
            "(day, model_id, call_id, start_time, call_outcome, duration_seconds, labels, extra, loaded_at) VALUES "
            "($1, 'm', $2, '2026-03-10 23:59:59.999+00', 'other', 9007199254740991, ['a', 'b'], '{\"x\": 1}', now()), "
            "($3, 'm', 'z', '2026-03-11 00:00:00+00', 'other', NULL, NULL, NULL, now())",
            [DAY, f"{schema}-a", NEXT],
        )
        connection.execute("INSERT INTO agents VALUES ('m', NULL, NULL, now())")
    return warehouse


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """Two calls, for tests that only read."""
    return with_calls(tmp_path_factory.mktemp("filled") / "w.duckdb")


@pytest.mark.parametrize(
    ("kind", "table"), [*(("empty", table) for table in TABLES), ("filled", "calls"), ("filled", "agents")]
)
def test_dtypes_follow_from_the_schema(empty_file: Path, filled: Warehouse, kind: str, table: str) -> None:
    frame = {"empty": Warehouse(empty_file), "filled": filled}[kind].read_frame(table)
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == {
        column.name: dtype_of(column) for column in TABLES[table].columns
    }


def test_values_are_those_of_the_table(filled: Warehouse) -> None:
    frame = filled.read_frame("calls", DAY, NEXT)
    first, second = frame.to_dict("records")
    assert first["day"] == pd.Timestamp(DAY)
    assert first["start_time"] == pd.Timestamp("2026-03-10 23:59:59.999", tz="UTC")
    assert list(first["labels"]) == ["a", "b"]
    assert first["extra"] == '{"x": 1}'
    assert pd.isna(second["duration_seconds"])
    assert pd.isna(second["call_status"])
    assert frame["duration_seconds"].sum() == 9007199254740991
    assert frame.groupby("day")["call_id"].count().index.month.tolist() == [3, 3]
    assert len(filled.read_frame("calls", NEXT)) == 1
    # A date-time is an instance of date; its day is used.
    assert len(filled.read_frame("calls", dt.datetime(2026, 3, 11, 13), dt.datetime(2026, 3, 11, 14))) == 1  # noqa: DTZ001


def test_days_may_be_text_and_locations_paths(filled: Warehouse) -> None:
    frame = Warehouse(Path(filled.location)).read_frame("calls", "2026-03-11", "2026-03-11")  # type: ignore[arg-type]
    assert len(frame) == 1


@pytest.mark.parametrize(
    ("days", "says"),
    [
        (("soon",), "from_day is 'soon'; allowed is a date such as 2026-01-31"),
        ((DAY, 5), "to_day is 5; allowed is a date such as 2026-01-31"),
        ((NEXT, DAY), "from_day 2026-03-11 is after to_day 2026-03-10"),
    ],
)
def test_bad_days_are_errors_in_both_kinds_of_warehouse(
    filled: Warehouse, days: tuple[dt.date, ...], says: str
) -> None:
    for reader in (filled, CombinedWarehouse({"one": filled})):
        with pytest.raises(ValueError, match=f"^{says}$"):
            reader.read_frame("calls", *days)


@pytest.mark.parametrize("given", [{}, "acme.duckdb", {"acme": "acme.duckdb"}], ids=str)
def test_bad_arguments_of_a_combined_warehouse_are_errors_at_once(given: Any) -> None:
    with pytest.raises(ValueError, match=r"^warehouses must map names to warehouses, such as"):
        CombinedWarehouse(given)


def test_an_unknown_table_is_an_error_that_lists_the_tables(filled: Warehouse) -> None:
    with pytest.raises(KeyError, match=r"no table 'call_duratoin_daily'; there are calls, .*call_duration_daily"):
        filled.read_frame("call_duratoin_daily")
    with pytest.raises(KeyError, match="call_duration_weekly is a view: read it by SQL"):
        filled.read_frame("call_duration_weekly")


def test_several_workspaces_are_one_table_with_the_column_workspace(tmp_path: Path) -> None:
    combined = CombinedWarehouse(
        {
            "acme": with_calls(tmp_path / "agency.duckdb", "acme"),
            "globex": with_calls(tmp_path / "agency.duckdb", "warehouse_1"),  # the catalogs need other names
            "o'brien": with_calls(tmp_path / "own.duckdb"),
        }
    )
    frame = combined.read_frame("calls", DAY, DAY)
    assert list(zip(frame["workspace"], frame["call_id"], strict=True)) == [
        ("acme", "acme-a"),
        ("globex", "warehouse_1-a"),
        ("o'brien", "synthflow-a"),
    ]
    assert list(frame.columns) == ["workspace", *(column.name for column in TABLES["calls"].columns)]
    assert str(frame["duration_seconds"].dtype) == "Int64"
    with combined.connect() as connection:
        counted = connection.execute("SELECT workspace, count(*) FROM calls GROUP BY ALL ORDER BY ALL").fetchall()
        assert counted == [("acme", 2), ("globex", 2), ("o'brien", 2)]
        connection.execute("FROM call_actions")
    assert combined.read_frame("agents")["workspace"].tolist() == ["acme", "globex", "o'brien"]


def test_a_missing_workspace_is_an_error(tmp_path: Path) -> None:
    here = with_calls(tmp_path / "agency.duckdb", "acme")
    for missing, says in (
        (Warehouse(str(tmp_path / "nowhere.duckdb")), "there is no such file yet"),
        (Warehouse(str(tmp_path / "agency.duckdb"), "globex"), "globex.*materialize the calls of each workspace once"),
    ):
        with pytest.raises(WarehouseUnusableError, match=says):
            CombinedWarehouse({"acme": here, "globex": missing}).read_frame("calls")
