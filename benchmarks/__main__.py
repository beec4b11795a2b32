"""`make bench`: every scenario, every contestant, several rounds in turn; tables, a chart, docs/benchmarks.md."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.contestants import ENVIRONMENTS, SELF, Contestant
from benchmarks.measure import CommandFailedError, Measurement, measure
from benchmarks.metrics import measure_metrics
from benchmarks.profiling import measure_profile
from benchmarks.render import ALONE, machine, rendered, write_docs
from benchmarks.report import measure_report
from benchmarks.scenarios import CONNECTIONS, GROWTH, SCENARIOS, Scenario
from benchmarks.workload import CHECKSUM_SQL, Workload, serving

_TIMEOUT_SECONDS = 1800.0
_RESULTS = ENVIRONMENTS / "results.json"
_CHECK = f"""
import duckdb, sys
connection = duckdb.connect()
connection.execute(f"ATTACH '{{sys.argv[1]}}' AS landed (READ_ONLY)")
names = connection.execute(
    "SELECT schema_name || '.' || table_name FROM duckdb_tables() "
    "WHERE database_name = 'landed' AND NOT ends_with(schema_name, '_staging')"
).fetchall()
[name] = [name for (name,) in names if name == sys.argv[2] or name.endswith("." + sys.argv[2])]
print(*connection.execute(f"{CHECKSUM_SQL}landed.{{name}}").fetchone())
"""


@dataclass
class Outcome:
    """What became of a contestant in a scenario."""

    runs: list[Measurement] = field(default_factory=list)
    requests: int = 0
    is_peer: bool = True
    problem: str = ""


def run_scenario(scenario: Scenario, rounds: int) -> dict[str, Outcome]:
    """Let all contestants land the workload in turn, verified by count and checksum before its time counts."""
    outcomes = {one.name: Outcome(is_peer=one.is_peer) for one in scenario.contestants}
    with serving(scenario.load) as url:
        for number in range(rounds):
            for contestant in scenario.contestants:
                _one_round(contestant, scenario, url, outcomes[contestant.name], number + 1)
    return outcomes


def _one_round(contestant: Contestant, scenario: Scenario, url: str, outcome: Outcome, number: int) -> None:
    if outcome.problem:
        return
    try:
        measured, outcome.requests = _run_once(contestant, scenario.load, url, again=scenario.again)
    except CommandFailedError as error:
        outcome.problem = str(error)
        print(f"  {contestant.name}: {error}", flush=True)
        return
    outcome.runs.append(measured)
    print(f"  round {number}  {contestant.name:<34} {measured.seconds:7.2f} s  {measured.peak_mb:6.0f} MB", flush=True)


def _run_once(contestant: Contestant, load: Workload, url: str, *, again: bool) -> tuple[Measurement, int]:
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=ENVIRONMENTS))
    log = ENVIRONMENTS / f"{contestant.name.replace(' ', '-').replace(':', '')}.log"
    try:
        environment = contestant.environment(load, url, folder) | ({"BENCH_AGAIN": "1"} if again else {})
        commands = contestant.land(contestant, load)
        before = commands if again else contestant.before(contestant, load)
        if before:
            measure(before, environment, log, _TIMEOUT_SECONDS)
        asked = _requests(url)
        measured = measure(commands, environment, log, _TIMEOUT_SECONDS)
        requests = _requests(url) - asked
        found = _landed(contestant, folder / "calls.duckdb") if contestant.table else load.truth()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if found != load.truth():
        raise CommandFailedError(f"landed {found[0]:,} calls of {load.truth()[0]:,}, or other ones; see {log}")
    return measured, requests


def _landed(contestant: Contestant, file: Path) -> tuple[int, int]:
    """Read by the contestant's own DuckDB, because an older one cannot read the files of a newer."""
    command = [contestant.bin / "python", "-c", _CHECK, str(file), contestant.table]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    count, ids = said.split()
    return int(count), int(ids)


def _requests(url: str) -> int:
    with urllib.request.urlopen(f"{url.removesuffix('/v2')}/sandbox/requests") as answer:  # noqa: S310
        return int(json.load(answer)["list_calls"])


def run_growth() -> dict[str, Outcome]:
    """This package alone, over workloads that grow tenfold in one direction each."""
    slow = Workload(4_000, latency_ms=200)
    series = [(name, SELF, load) for name, load in GROWTH.items()]
    series += [(name, contestant, slow) for name, contestant in CONNECTIONS.items()]
    outcomes = {}
    for name, contestant, load in series:
        print(f"  {name}", flush=True)
        outcomes[name] = run_scenario(Scenario(name, load, (contestant,)), rounds=1)[contestant.name]
    return outcomes


def run(key: str, only: str, rounds: int) -> dict[str, Any]:
    """Measure a scenario, or one of what is measured of this package alone; the figures as JSON."""
    if key == "report":
        return asdict(measure_report())
    if key == "metrics":
        return asdict(measure_metrics())
    if key == "profile":
        return asdict(measure_profile())
    if key == "growth":
        outcomes = run_growth()
    else:
        scenario = SCENARIOS[key]
        chosen = tuple(one for one in scenario.contestants if one.lock is None or only in one.name)
        for contestant in chosen:
            contestant.prepare()
        outcomes = run_scenario(replace(scenario, contestants=chosen), rounds)
    return {name: asdict(one) for name, one in outcomes.items()}


def main() -> int:
    """Run what the command line asks for."""
    titles = {key: scenario.title for key, scenario in SCENARIOS.items()} | {
        key: one.title for key, one in ALONE.items()
    }
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("scenarios", nargs="*", default=[], help=f"of {', '.join(titles)}; all where none is named")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="contestants whose name contains this; this package always runs")
    parser.add_argument(
        "--docs", action="store_true", help="write the results of all runs so far to docs/benchmarks.md"
    )
    options = parser.parse_args()
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    results = json.loads(_RESULTS.read_text(encoding="utf-8")) if _RESULTS.exists() else {}
    for key in options.scenarios or titles:
        print(f"{titles[key]} ...", flush=True)
        results[key] = {"machine": machine(), "outcomes": run(key, options.only, options.rounds)}
        _RESULTS.write_text(json.dumps(results, indent=1), encoding="utf-8")
        print(rendered(key, results[key]["outcomes"]), flush=True)
    if options.docs:
        write_docs(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
