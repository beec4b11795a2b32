"""The results for people: tables, a chart, and their place in docs/benchmarks.md."""

from __future__ import annotations

import os
import platform
import re
import statistics
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.contestants import PEERS, ROOT, SELF
from benchmarks.metrics import MetricsMeasurement, metrics_table
from benchmarks.profiling import Profile, profile_table
from benchmarks.report import ReportMeasurement, report_table
from benchmarks.scenarios import SCENARIOS

DOCS = ROOT / "docs" / "benchmarks.md"
CHART = ROOT / "docs" / "images" / "benchmarks.svg"
_OWN = ("synthflow-assets", "dagster", "duckdb", "pandas", "pyarrow")
_PEERS = {"plain_dagster": "dagster", "dlt": "dlt", "singer": "singer-sdk", "airbyte": "airbyte"}

Outcomes = dict[str, dict[str, Any]]  # by contestant: `Outcome` as JSON


def table(outcomes: Outcomes) -> str:
    """A Markdown table; ratios are to the fastest alternative."""
    seconds = {name: _median(one, "seconds") for name, one in outcomes.items() if one["runs"]}
    fastest = min((value for name, value in seconds.items() if outcomes[name]["is_peer"]), default=None)
    lines = [
        "| | seconds (median) | spread | times the fastest alternative | peak MB | requests |",
        "|---|---|---|---|---|---|",
    ]
    for name, one in outcomes.items():
        if not one["runs"]:
            lines.append(f"| {name} | - | - | - | - | {one['problem']} |")
            continue
        each = [run["seconds"] for run in one["runs"]]
        ratio = f"{fastest / seconds[name]:.1f}" if fastest and not name.startswith("floor") else ""
        lines.append(
            f"| {name} | {seconds[name]:.1f} | {min(each):.1f} to {max(each):.1f} | {ratio} "
            f"| {_median(one, 'peak_mb'):.0f} | {one['requests']:,} |"
        )
    floors = [seconds.get(name) for name in ("floor: Dagster starts", "floor: download the pages")]
    if None not in floors and SELF.name in seconds:
        ratio = seconds[SELF.name] / sum(floors)
        lines += ["", f"This package takes {ratio:.2f} times Dagster's start plus the download."]
    return "\n".join(lines) + "\n"


def growth_table(outcomes: Outcomes) -> str:
    """A Markdown table of this package alone."""
    lines = ["| | seconds | peak MB | requests |", "|---|---|---|---|"]
    for name, one in outcomes.items():
        figures = f"{_median(one, 'seconds'):.1f} | {_median(one, 'peak_mb'):.0f}" if one["runs"] else "- | -"
        lines.append(f"| {name} | {figures} | {one['requests']:,} |")
    return "\n".join(lines) + "\n"


class Alone(NamedTuple):
    """What is measured of this package alone: its heading, and the table of the figures as JSON."""

    title: str
    table: Callable[[dict[str, Any]], str]


ALONE = {
    "profile": Alone("Where the time goes", lambda figures: profile_table(Profile(**figures))),
    "growth": Alone("How the cost grows", growth_table),
    "report": Alone("A report of 365 days of 50 agents", lambda figures: report_table(ReportMeasurement(**figures))),
    "metrics": Alone(
        "The metrics of a day on two cores, and summaries of a year of 10,000 calls a day",
        lambda figures: metrics_table(MetricsMeasurement(**figures)),
    ),
}


def rendered(key: str, figures: dict[str, Any]) -> str:
    """The figures of a scenario, or of what is measured of this package alone, as Markdown."""
    return ALONE[key].table(figures) if key in ALONE else table(figures)


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    cpu = re.search(r"model name\s*: (.+)", _read("/proc/cpuinfo"))
    memory = re.search(r"MemTotal:\s*(\d+)", _read("/proc/meminfo"))
    return {
        "processor": f"{os.cpu_count()} x {cpu[1] if cpu else platform.machine()}",
        "memory": f"{int(memory[1]) / 2**20:.0f} GB" if memory else "?",
        "python": platform.python_version(),
        "versions": ", ".join(f"{name} {version(name)}" for name in _OWN),
        "alternatives": ", ".join(f"{name} {_locked(lock, name)}" for lock, name in _PEERS.items()),
    }


def write_docs(results: dict[str, Any]) -> None:
    """Put the tables of all results, and the chart of the scenarios, into docs/benchmarks.md, between the marks."""
    parts = ["![Seconds by scenario](images/benchmarks.svg)", ""]
    for key, one in (SCENARIOS | ALONE).items():
        if key in results:
            parts += [
                f"### {one.title}",
                "",
                f"`make bench SCENARIOS={key}`",
                "",
                rendered(key, results[key]["outcomes"]),
            ]
    on = next(iter(results.values()))["machine"]
    parts += ["### Measured on", "", *(f"* {name}: {text}" for name, text in on.items()), ""]
    marked = re.sub(
        r"(<!-- results -->\n).*(<!-- end of results -->)",
        lambda found: found[1] + "\n" + "\n".join(parts) + found[2],
        DOCS.read_text(encoding="utf-8"),
        flags=re.DOTALL,
    )
    DOCS.write_text(marked, encoding="utf-8")
    _draw(results)


def _draw(results: dict[str, Any]) -> None:
    import vl_convert

    rows = [
        {"scenario": scenario.title, "who": name, "seconds": _median(one, "seconds")}
        for key, scenario in SCENARIOS.items()
        if key in results
        for name, one in results[key]["outcomes"].items()
        if one["runs"] and not name.startswith("floor")
    ]
    spec = {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "data": {"values": rows},
        "facet": {"field": "scenario", "title": None, "sort": None},
        "columns": 2,
        "resolve": {"scale": {"x": "independent", "y": "independent"}},
        "spec": {
            "width": 330,
            "layer": [
                {"mark": "bar"},
                {
                    "mark": {"type": "text", "align": "left", "dx": 4},
                    "encoding": {"text": {"field": "seconds", "format": ".1f"}, "color": {"value": "#444"}},
                },
            ],
            "encoding": {
                "y": {"field": "who", "title": None, "sort": "x"},
                "x": {"field": "seconds", "type": "quantitative", "title": "seconds, less is better"},
                "color": {
                    "condition": {"test": "indexof(datum.who, 'synthflow-assets') === 0", "value": "#0072b2"},
                    "value": "#b0b0b0",
                },
            },
        },
    }
    CHART.parent.mkdir(exist_ok=True)
    CHART.write_text(vl_convert.vegalite_to_svg(spec), encoding="utf-8")


def _median(outcome: dict[str, Any], figure: str) -> float:
    return statistics.median(run[figure] for run in outcome["runs"])


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""


def _locked(lock: str, name: str) -> str:
    found = re.search(rf"^{name}==(\S+)", (PEERS / f"{lock}.lock").read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else "?"
