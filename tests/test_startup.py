"""Loading the definitions costs little more than loading Dagster."""

import subprocess
import sys

PRINT_HEAVY = """
import sys
import {module}
heavy = ("pandas", "pyarrow", "numpy", "requests", "msgspec", "starlette", "uvicorn", "hypothesis")
print(*[name for name in heavy if name in sys.modules])
"""


def heavy_modules(module: str) -> set[str]:
    code = PRINT_HEAVY.format(module=module)
    return set(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split())


def test_definitions_import_nothing_heavy_that_dagster_does_not() -> None:
    assert heavy_modules("synthflow_assets.definitions") - heavy_modules("dagster, dagster_duckdb") == set()


def test_the_command_starts_without_dagster() -> None:
    code = "import sys, synthflow_assets.cli; print('dagster' in sys.modules, 'pandas' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert said.split() == ["False", "False"]
