"""`make bench`: every scenario, every contestant, several rounds in turn; tables, and data/bench/results.json."""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.contestants import CONTESTANTS, ENVIRONMENTS, SIXTEEN, Contestant
from benchmarks.measure import CommandFailedError, Measurement, measure
from benchmarks.workload import CHECKSUM_SQL, Workload, serving

_TIMEOUT_SECONDS = 900.0
_CHECK = f"""
import duckdb, sys
connection = duckdb.connect()
connection.execute(f"ATTACH '{{sys.argv[1]}}' AS landed (READ_ONLY)")
names = connection.execute(
    "SELECT schema_name || '.' || table_name FROM duckdb_tables() WHERE database_name = 'landed'"
).fetchall()
[name] = [name for (name,) in names if name == sys.argv[2] or name.endswith("." + sys.argv[2])]
print(*connection.execute(f"{CHECKSUM_SQL}landed.{{name}}").fetchone())
"""


@dataclass(frozen=True)
class Scenario:
    """A workload, and who lands it."""

    name: str
    load: Workload
    contestants: tuple[Contestant, ...] = CONTESTANTS


SCENARIOS = {
    "start-up": Scenario("1 day of 3,000 calls", Workload(3_000)),
    "100k": Scenario("100,000 calls, no latency", Workload(100_000)),
    "300k": Scenario("300,000 calls, no latency", Workload(300_000)),
    "latency": Scenario("16,000 calls at 200 ms a page", Workload(16_000, latency_ms=200), (*CONTESTANTS, SIXTEEN)),
    "backfill": Scenario("365 days, 3 agents, 100 calls each", Workload(100, days=365, agents=3)),
}


@dataclass
class Outcome:
    """What became of a contestant in a scenario."""

    runs: list[Measurement]
    requests: int = 0
    problem: str = ""


def run_scenario(scenario: Scenario, rounds: int) -> dict[str, Outcome]:
    """Let all contestants land the workload in turn, verified by count and checksum before its time counts."""
    truth = scenario.load.truth()
    outcomes = {one.name: Outcome([]) for one in scenario.contestants}
    with serving(scenario.load) as url:
        for number in range(rounds):
            for contestant in scenario.contestants:
                outcome = outcomes[contestant.name]
                if outcome.problem:
                    continue
                before = _requests(url)
                try:
                    outcome.runs.append(_run_once(contestant, scenario.load, url, truth))
                except CommandFailedError as error:
                    outcome.problem = str(error)
                    print(f"  {contestant.name}: {error}", flush=True)
                    continue
                outcome.requests = _requests(url) - before
                last = outcome.runs[-1]
                print(
                    f"  round {number + 1}  {contestant.name:<34} {last.seconds:7.2f} s  {last.peak_mb:6.0f} MB",
                    flush=True,
                )
    return outcomes


def _run_once(contestant: Contestant, load: Workload, url: str, truth: tuple[int, int]) -> Measurement:
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=ENVIRONMENTS))
    log = ENVIRONMENTS / f"{contestant.name.replace(' ', '-')}.log"
    try:
        environment = contestant.environment(load, url, folder)
        measured = measure(contestant.commands(load), environment, log, _TIMEOUT_SECONDS)
        found = _landed(contestant, folder / "calls.duckdb")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if found != truth:
        raise CommandFailedError(f"landed {found[0]:,} calls of {truth[0]:,}, or other ones; see {log}")
    return measured


def _landed(contestant: Contestant, file: Path) -> tuple[int, int]:
    """Read by the contestant's own DuckDB, because an older one cannot read the files of a newer."""
    command = [contestant.bin / "python", "-c", _CHECK, str(file), contestant.table]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    count, ids = said.split()
    return int(count), int(ids)


def _requests(url: str) -> int:
    with urllib.request.urlopen(f"{url.removesuffix('/v2')}/sandbox/requests") as answer:  # noqa: S310
        return int(json.load(answer)["list_calls"])


def table(scenario: Scenario, outcomes: dict[str, Outcome]) -> str:
    """The outcomes as a Markdown table; ratios are to the fastest peer."""
    medians = {name: statistics.median(run.seconds for run in one.runs) for name, one in outcomes.items() if one.runs}
    peers = [seconds for name, seconds in medians.items() if not name.startswith("synthflow-assets")]
    lines = [
        f"### {scenario.name}", "",
        "| | seconds (median) | spread | times the fastest peer | peak MB | requests |", "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for name, one in outcomes.items():
        if not one.runs:
            lines.append(f"| {name} | - | - | - | - | {one.problem} |")
            continue
        seconds = [run.seconds for run in one.runs]
        ratio = f"{min(peers) / medians[name]:.2f}x" if peers else "-"
        peak = statistics.median(run.peak_mb for run in one.runs)
        spread = f"{min(seconds):.1f} to {max(seconds):.1f}"
        lines.append(f"| {name} | {medians[name]:.1f} | {spread} | {ratio} | {peak:.0f} | {one.requests:,} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("scenarios", nargs="*", default=[], help=f"of {', '.join(SCENARIOS)}; all where none is named")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="contestants whose name contains this; this package always runs")
    options = parser.parse_args()
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    results = {}
    for key in options.scenarios or SCENARIOS:
        scenario = SCENARIOS[key]
        chosen = tuple(one for one in scenario.contestants if one.lock is None or options.only in one.name)
        scenario = Scenario(scenario.name, scenario.load, chosen)
        for contestant in chosen:
            contestant.prepare()
        print(f"{scenario.name} ...", flush=True)
        outcomes = run_scenario(scenario, options.rounds)
        results[key] = {name: asdict(one) for name, one in outcomes.items()}
        print(table(scenario, outcomes), flush=True)
    machine = {"python": platform.python_version(), "system": platform.platform()}
    (ENVIRONMENTS / "results.json").write_text(json.dumps({"machine": machine, "results": results}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
