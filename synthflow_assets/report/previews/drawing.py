"""Draw charts as PNG in a worker process, so that a crash, a hang or a lack of memory costs a picture, not the run.

An escape character in an agent's name once made vl-convert abort the process of the whole step.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from threading import Timer
from typing import Any, Self

Chart = dict[str, Any]

TIMEOUT_SECONDS = 15.0  # the first picture takes about 1 s, each further one 0.1 s
_WORKER = Path(__file__).with_name("worker.py")
_PNG_START = "iVBORw0KGgo"  # the PNG signature in base64
# Everything that XML 1.0 forbids: control characters, surrogates, U+FFFE and U+FFFF. Charts become SVG before PNG.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def drawable(value: Any) -> Any:
    """Return the value with every character that an XML document must not contain replaced by U+FFFD."""
    if isinstance(value, str):
        return _FORBIDDEN.sub("\ufffd", value)
    if isinstance(value, dict):
        return {drawable(key): drawable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [drawable(item) for item in value]
    return value


class DrawingError(Exception):
    """A picture could not be drawn; the message says why."""


class Worker:
    """The drawing process: started for the first picture, and again if a picture ended it. Use it as a context."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def draw(self, chart: Chart) -> str:
        """Return the picture of a Vega-Lite chart as PNG in base64.

        Raises:
            DrawingError: the process cannot start, ends, or takes too long.
        """
        try:
            process = self._process = self._process or _start()
        except OSError as error:
            raise DrawingError(f"the drawing process cannot start: {error.strerror}") from None
        began = time.monotonic()
        timer = Timer(TIMEOUT_SECONDS, process.kill)
        timer.start()
        answer = _ask(process, json.dumps(drawable(chart)))
        timer.cancel()
        if answer.startswith(_PNG_START) and answer.endswith("\n"):
            return answer.rstrip()
        exit_code = self._stop()
        if time.monotonic() - began >= TIMEOUT_SECONDS:
            raise DrawingError(f"drawing it takes more than {TIMEOUT_SECONDS:g} s")
        ending = signal.Signals(-exit_code).name if exit_code < 0 else f"exit code {exit_code}"
        raise DrawingError(f"the drawing process ended with {ending}")

    def _stop(self) -> int:
        """End the process, which keeps nothing, and return its exit code."""
        process, self._process = self._process, None
        if process is None:
            return 0
        process.kill()
        with suppress(OSError):  # closing flushes what the dead process has not read
            process.communicate()
        return process.returncode


def _start() -> subprocess.Popen[str]:
    """Start the worker with this process's import path, which a PEX file does not pass on by itself."""
    return subprocess.Popen(
        [sys.executable, "-P", str(_WORKER)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # a crash prints a page of addresses
        text=True,
    )


def _ask(process: subprocess.Popen[str], question: str) -> str:
    """Return the line that the process answers; empty if it ends instead."""
    if process.stdin is None or process.stdout is None:
        return ""
    try:
        process.stdin.write(f"{question}\n")
        process.stdin.flush()
        return process.stdout.readline()
    except OSError:
        return ""
