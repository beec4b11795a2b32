"""Empty warehouses: one that the tests of a module share, and one for a test alone."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.schema import TABLES, VERSION


# Closed after each module: an open warehouse changes the umask, which tests/test_files.py checks.
@pytest.fixture(scope="module")
def shared_connection(
    empty_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[duckdb.DuckDBPyConnection]:
    copied = shutil.copy(empty_file, tmp_path_factory.mktemp("shared") / "w.duckdb")
    with Warehouse(str(copied)).connect() as opened:
        yield opened


@pytest.fixture
def connection(shared_connection: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    """Empty for each test."""
    yield shared_connection
    for name in TABLES:
        if name != VERSION.name:
            shared_connection.execute(f"DELETE FROM {name}")


@pytest.fixture
def warehouse(empty_file: Path, tmp_path: Path) -> Warehouse:
    """For a test that opens it itself."""
    return Warehouse(str(shutil.copy(empty_file, tmp_path / "w.duckdb")))
