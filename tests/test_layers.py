"""Each contract on imports rejects an import that breaks it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINT = "import sys; from importlinter.cli import lint_imports_command; sys.path.insert(0, ''); lint_imports_command()"


@pytest.mark.parametrize(
    ("module", "imported", "contract"),
    [
        ("warehouse/tables.py", "warehouse.landing", "no circle of imports"),
        ("api/throttle.py", "api.client", "no circle of imports"),
        ("warehouse/landing.py", "api.client", "data flows one way"),
    ],
)
def test_a_forbidden_import_is_found(tmp_path: Path, module: str, imported: str, contract: str) -> None:
    shutil.copytree(ROOT / "synthflow_assets", tmp_path / "synthflow_assets", ignore=shutil.ignore_patterns("*.pyc"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / "synthflow_assets" / module).open("a") as file:
        # Inside a function, where a circle does not fail at import.
        file.write(f"\ndef late() -> None:\n    import synthflow_assets.{imported}\n")
    done = subprocess.run(
        [sys.executable, "-c", LINT, "--no-cache"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert [line for line in done.stdout.splitlines() if line.startswith(contract) and line.endswith("BROKEN")]
