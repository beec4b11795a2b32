"""Loading the definitions costs little more than loading Dagster."""

import subprocess
import sys

PRINT_ADDED = """
import sys
import dagster, dagster_duckdb
heavy = {"pandas", "pyarrow", "numpy", "requests", "msgspec", "starlette", "uvicorn", "hypothesis"} - set(sys.modules)
import synthflow_assets.definitions
print(*(heavy & set(sys.modules)))
"""


def test_definitions_import_nothing_heavy_that_dagster_does_not() -> None:
    added = subprocess.run([sys.executable, "-c", PRINT_ADDED], check=True, capture_output=True, text=True).stdout
    assert added == "\n"


def test_the_command_starts_without_dagster() -> None:
    code = "import sys, synthflow_assets.cli; print('dagster' in sys.modules, 'pandas' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert said.split() == ["False", "False"]
