"""Find or install a Chromium for the tests."""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, sync_playwright

_COMMANDS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FETCH_SECONDS = 600
# Playwright's own list is replaced, because Chromium reads the last one; so what matters of it is repeated.
_DISABLED_FEATURES = (
    # Chromium 156 loads two pages for the address bar of each window, which costs as much as a small report.
    *("WebUIOmniboxAimPopup", "WebUIOmniboxPopup"),
    # These make network connections.
    *("AimEnabled", "MediaRouter", "NetworkTimeServiceQuerying", "OptimizationHints", "PreconnectToSearch"),
    "PaintHolding",  # delays the first drawing
)
_ARGUMENTS = [
    "--no-sandbox",  # root has none
    "--disable-gpu",
    f"--disable-features={','.join(_DISABLED_FEATURES)}",
    # Without these, Chromium makes network connections of its own.
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class NoBrowserError(Exception):
    """There is no Chromium, and none can be installed; the message says why."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Yield a headless Chromium: an installed one, or Debian's package, or Playwright's download.

    Raises:
        NoBrowserError: none of the three is available.
    """
    command = _installed() or _fetched()
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=command, args=_ARGUMENTS)
        except Error as error:
            raise NoBrowserError(f"Chromium does not start: {error.message.splitlines()[0]}") from None
        with browser:
            yield browser


@contextmanager
def chromium_or_skip() -> Iterator[Browser]:
    """Yield a headless Chromium. Without one, the test is skipped, which is a failure with `--no-skips`."""
    with ExitStack() as stack:
        try:
            browser = stack.enter_context(chromium())
        except NoBrowserError as error:
            pytest.skip(str(error))
        yield browser


def _installed() -> str | None:
    return next((path for name in _COMMANDS if (path := shutil.which(name))), None)


def _fetched() -> str | None:
    """Install Debian's package if root can, else Playwright's; return its path, or None for Playwright's."""
    # Tests run in parallel processes; one of them installs.
    with Path(tempfile.gettempdir(), "synthflow-assets-chromium.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.geteuid() == 0 and shutil.which("apt-get"):
            install = "apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium"
            _run(["sh", "-c", install])
            if command := _installed():
                return command
        problem = _run([sys.executable, "-m", "playwright", "install", "chromium"])
        if problem:
            raise NoBrowserError(f"no Chromium on this machine, and none can be installed: {problem}")
    return None


def _run(command: list[str]) -> str:
    """Run a command and return its first line with `Error`, else its last line; empty if it succeeds."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_FETCH_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"it takes more than {_FETCH_SECONDS} s"
    lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    if done.returncode == 0:
        return ""
    last = lines[-1].strip() if lines else f"exit code {done.returncode}"
    return next((line for line in lines if line.startswith("Error")), last)
