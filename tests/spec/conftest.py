"""An empty warehouse for each test: a copy of one that is made once."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from synthflow_assets.warehouse.connection import Warehouse


@pytest.fixture(scope="session")
def empty_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("empty") / "w.duckdb"
    with Warehouse(str(path)).connect():
        return path


@pytest.fixture
def warehouse(empty_file: Path, tmp_path: Path) -> Warehouse:
    return Warehouse(str(shutil.copy(empty_file, tmp_path / "w.duckdb")))


@pytest.fixture
def connection(warehouse: Warehouse) -> Iterator[duckdb.DuckDBPyConnection]:
    with warehouse.connect() as opened:
        yield opened
