"""Runs a command and measures the whole of it: wall time, and peak memory over all of its processes."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

_SAMPLE_SECONDS = 0.05


class CommandFailedError(Exception):
    """A contestant's command failed; the message tells where its output is."""


@dataclass(frozen=True)
class Measurement:
    """One run."""

    seconds: float
    peak_mb: float


def measure(commands: list[str], environment: dict[str, str], log: Path, timeout_seconds: float) -> Measurement:
    """Run shell commands one after the other, as one.

    Raises:
        CommandFailedError: one of them failed, or all took too long.
    """
    peak = 0
    started = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["bash", "-o", "pipefail", "-c", " && ".join(commands)], env=environment, stdout=output, stderr=output
        )
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            peak = max(peak, _resident_bytes(watched))
            if time.monotonic() - started > timeout_seconds:
                for child in watched.children(recursive=True):
                    child.kill()
                process.kill()
                raise CommandFailedError(f"took more than {timeout_seconds:.0f} s; see {log}")
            time.sleep(_SAMPLE_SECONDS)
    seconds = time.monotonic() - started
    if process.returncode:
        raise CommandFailedError(f"exit {process.returncode}; see {log}")
    return Measurement(seconds, peak / 2**20)


def _resident_bytes(process: psutil.Process) -> int:
    total = 0
    try:
        family = [process, *process.children(recursive=True)]
    except psutil.Error:
        return 0
    for member in family:
        try:
            total += member.memory_info().rss
        except psutil.Error:
            continue
    return total
