"""Where the time of this package goes: a sampling profile of a whole run, summed by what is being done."""

from __future__ import annotations

import re
import shlex
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contestants import ENVIRONMENTS, OWN_BIN, SELF
from benchmarks.measure import measure
from benchmarks.workload import Workload, serving

_SAMPLES_PER_SECOND = 100
_TIMEOUT_SECONDS = 1800.0
# What a thread does, by the innermost frame that says so; the first line that matches it.
_IN_DUCKDB = (
    ("typing the records, in DuckDB", r"Staging\._write .*staging"),
    ("storing the rows, in DuckDB", r"^(land|_in_little_memory|land_agents) .*landing"),
)
_IN_PYTHON = (
    ("handing the records over to DuckDB", "warehouse/staging"),
    ("reading pages: the keys of the calls", r"synthflow_assets/api/pages"),
    ("asking for pages, by requests and urllib3", r"synthflow_assets/api/(client|connections|throttle)"),
    ("deciding what is asked next, and what is whole", r"synthflow_assets/(api|loading)"),
    ("checks", r"synthflow_assets/(quality|orchestration/checks)"),
    ("imports: Dagster's, and what it needs", r"_find_and_load"),
    ("Dagster: its command, runs and events; the rest", ""),
)


@dataclass(frozen=True)
class Profile:
    """How many seconds of a processor each kind of work took."""

    calls: int
    seconds: dict[str, float]


def measure_profile(load: Workload = Workload(300_000)) -> Profile:  # noqa: B008 (frozen)
    """Run this package over the workload under a sampling profiler in another process.

    The profiler cannot distinguish a thread that works from one that waits for Python's lock. So one run counts the
    threads that hold the lock, and another run counts calls of DuckDB, which releases it. DuckDB's own threads are not
    counted.
    """
    seconds = Counter[str]()
    with serving(load) as url:
        for works, options in ((_IN_PYTHON, ["--gil"]), (_IN_DUCKDB, [])):
            for frames, samples in _stacks(load, url, options):
                seconds[_work(frames, works)] += samples / _SAMPLES_PER_SECOND
    del seconds[""]
    return Profile(load.truth()[0], dict(seconds.most_common()))


def _stacks(load: Workload, url: str, options: list[str]) -> Iterator[tuple[list[str], int]]:
    with tempfile.TemporaryDirectory(dir=ENVIRONMENTS) as name:
        folder = Path(name)
        stacks = folder / "stacks.txt"
        command = [str(OWN_BIN / "py-spy"), "record", "--rate", str(_SAMPLES_PER_SECOND), *options, "--subprocesses"]
        command += ["--format", "raw", "--output", str(stacks), "--", "bash", "-c", " && ".join(SELF.land(SELF, load))]
        environment = SELF.environment(load, url, folder)
        measure([shlex.join(command)], environment, ENVIRONMENTS / "profile.log", _TIMEOUT_SECONDS)
        for line in stacks.read_text(encoding="utf-8").splitlines():
            stack, _, samples = line.rpartition(" ")
            yield stack.split(";"), int(samples)


def _work(frames: list[str], works: tuple[tuple[str, str], ...]) -> str:
    found = (work for frame in reversed(frames) for work, pattern in works if pattern and re.search(pattern, frame))
    rest = next((work for work, pattern in works if not pattern), "")
    return next(found, rest)


def profile_table(profile: Profile) -> str:
    """A Markdown table of what the threads did, most first."""
    total = sum(profile.seconds.values())
    lines = [
        f"{profile.calls:,} calls; seconds of a processor, sampled from outside:",
        "",
        "| | seconds | share |",
        "|---|---|---|",
        *(f"| {work} | {seconds:.1f} | {seconds / total:.0%} |" for work, seconds in profile.seconds.items()),
    ]
    return "\n".join(lines) + "\n"
