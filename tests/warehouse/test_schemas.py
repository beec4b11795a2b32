"""Several workspaces share a file. Each has its own schema and sees no other."""

import datetime as dt
import re
from pathlib import Path

import duckdb
import pytest

import synthflow_assets
from synthflow_assets.agents import Agent
from synthflow_assets.errors import WarehouseUnusableError
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.landing import land_agents
from synthflow_assets.warehouse.schema import TABLES, VIEWS
from synthflow_assets.warehouse.tables import SCHEMA


def test_a_schema_of_its_own_for_each_workspace(tmp_path: Path) -> None:
    file = str(tmp_path / "agency.duckdb")
    for schema in ("synthflow", "acme", "globex"):
        with Warehouse(file, schema).connect() as connection:
            land_agents(connection, [Agent(f"{schema}-1", f"Agent of {schema}", None)], dt.datetime.now(dt.UTC))
    for schema in ("synthflow", "acme", "globex"):
        assert Warehouse(file, schema).read_frame("agents")["model_id"].tolist() == [f"{schema}-1"]
    Warehouse(file, "acme").compact()
    # In DuckDB alone, each view reads the tables of its own schema.
    with duckdb.connect(file, read_only=True) as connection:
        for schema in ("acme", "globex"):
            connection.execute(f"FROM agency.{schema}.call_actions")
            assert connection.execute(f"SELECT model_id FROM {schema}.agents").fetchall() == [(f"{schema}-1",)]


def test_a_schema_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    file = str(tmp_path / "agency.duckdb")
    with Warehouse(file, "acme").connect():
        pass
    with pytest.raises(WarehouseUnusableError, match="in schema globex; materialize globex/calls"):
        Warehouse(file, "globex").read_frame("calls", dt.date(2026, 3, 1))


@pytest.mark.parametrize("suffix", ["sql", "py"])
def test_sql_names_tables_without_a_schema(suffix: str) -> None:
    # With a schema, the query of one workspace would read the tables of another.
    names = "|".join([*TABLES, *(view.name for view in VIEWS)])
    named = re.compile(rf"\b(FROM|JOIN|INTO|UPDATE|TABLE|VIEW)\s+{SCHEMA}\.({names})\b", re.IGNORECASE)
    root = Path(synthflow_assets.__file__).parent
    assert [path.name for path in root.rglob(f"*.{suffix}") if named.search(path.read_text(encoding="utf-8"))] == []
