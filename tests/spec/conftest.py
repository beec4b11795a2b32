"""An empty warehouse for each test."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from synthflow_assets.warehouse.connection import Warehouse


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(str(tmp_path / "w.duckdb"))


@pytest.fixture
def connection(warehouse: Warehouse) -> Iterator[duckdb.DuckDBPyConnection]:
    with warehouse.connect() as opened:
        yield opened
