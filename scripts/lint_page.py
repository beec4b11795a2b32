"""Lint the scripts of the report joined into one, as they are on the page."""

import subprocess
import sys
import tempfile
from pathlib import Path

from synthflow_assets.report.page import page_script

ROOT = Path(__file__).parents[1]


def main() -> int:
    """Return the exit code of the linter."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "page.js")
        script.write_text(page_script(), encoding="utf-8")
        oxlint = Path(sys.executable).with_name("oxlint")
        command = [str(oxlint), "--quiet", "--format=unix", "--config", str(ROOT / ".oxlintrc.json"), str(script)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        print(done.stdout + done.stderr)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
