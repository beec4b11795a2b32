"""Without a browser, tests that need one are skipped with a reason, which fails CI."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


def test_without_a_browser_tests_are_skipped_and_ci_fails(tmp_path: Path) -> None:
    broken = tmp_path / "bin" / "chromium"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    (tmp_path / "test_it.py").write_text("def test_it(browser):\n    assert False\n")
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-ra", "--no-skips", str(tmp_path)]
    environment = {**os.environ, "PATH": f"{broken.parent}:{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Chromium does not start" in "".join(done.stdout.splitlines()[-3:])


def test_if_no_browser_can_be_installed_the_skipped_test_says_why(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_it(browser):\n    assert False\n")
    # No Chromium, no apt-get, no earlier download of Playwright, and no server to download from.
    environment = {
        **os.environ,
        "PATH": str(tmp_path),
        "PLAYWRIGHT_BROWSERS_PATH": str(tmp_path / "browsers"),
        "PLAYWRIGHT_DOWNLOAD_HOST": "http://127.0.0.1:9",
    }
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-ra", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "none can be installed: Error: connect ECONNREFUSED 127.0.0.1:9" in "".join(done.stdout.splitlines()[-3:])
