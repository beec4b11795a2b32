"""Who takes part, how each is started, and where it lands its calls."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.workload import Workload

ROOT = Path(__file__).parents[1]
PEERS = Path(__file__).parent / "peers"
ENVIRONMENTS = ROOT / "data" / "bench"
OWN_BIN = Path(sys.executable).parent

Commands = Callable[["Contestant", Workload], list[str]]


@dataclass(frozen=True)
class Contestant:
    """A way to land calls.

    `land` makes the shell commands that land a workload, one run after the other; `before` those that must have run by
    then and do not count. `lock` names its pinned environment; None is this project's own. `settings` are set besides
    the defaults.
    """

    name: str
    lock: str | None
    table: str
    land: Commands
    before: Commands = lambda *_: []
    settings: tuple[tuple[str, str], ...] = ()
    is_peer: bool = True

    @property
    def bin(self) -> Path:
        """Where its commands are."""
        return OWN_BIN if self.lock is None else ENVIRONMENTS / self.lock / "bin"

    def environment(self, load: Workload, url: str, folder: Path) -> dict[str, str]:
        """The environment of its process: what it is to fetch, and folders of its own."""
        file = folder / "calls.duckdb"
        home = folder / "home"
        home.mkdir(parents=True, exist_ok=True)
        target = {"filepath": str(file), "default_target_schema": "main"}
        (folder / "target.json").write_text(json.dumps(target), encoding="utf-8")  # the Singer target's settings
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "PYTHONPATH": str(ROOT),
            "DAGSTER_HOME": str(home),
            "DAGSTER_DISABLE_TELEMETRY": "1",
            "DO_NOT_TRACK": "1",
            "RUNTIME__DLTHUB_TELEMETRY": "false",
            "AIRBYTE_OFFLINE_MODE": "1",
            "BENCH_URL": url,
            "BENCH_KEY": "sandbox-key",
            "BENCH_MODELS": ",".join(load.model_ids),
            "BENCH_FROM": load.first.isoformat(),
            "BENCH_TO": load.last.isoformat(),
            "BENCH_FILE": str(file),
            "BENCH_FOLDER": str(folder),
            **(self._own_environment(url, file, folder) if self.lock is None else {}),
            **dict(self.settings),
        }

    def _own_environment(self, url: str, file: Path, folder: Path) -> dict[str, str]:
        return {
            "SYNTHFLOW_BASE_URL": url,
            "SYNTHFLOW_API_KEY": "sandbox-key",
            "SYNTHFLOW_WAREHOUSE": str(file),
            "SYNTHFLOW_EXPORT_DIR": str(folder / "export"),
            # What the peers' calls are landed from: no call of another day.
            "SYNTHFLOW_WINDOW_MARGIN_SECONDS": "0",
        }

    def prepare(self) -> None:
        """Make its environment from its lock, once."""
        if self.lock is None or (ENVIRONMENTS / self.lock / ".ready").exists():
            return
        place = ENVIRONMENTS / self.lock
        print(f"Setting up {self.name} from {self.lock}.lock ...", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", place], check=True)
        pip = [f"{place}/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, "--require-hashes", "-r", PEERS / f"{self.lock}.lock"], check=True)
        (place / ".ready").touch()


def _this_package(one: Contestant, load: Workload) -> list[str]:
    # From a project of its own, as the others: `dg` parses `pyproject.toml` four times, and this repository's is long.
    return [f"cd {PEERS}/this_package && {one.bin}/dg launch --assets synthflow/calls {_span(load)}"]


def _span(load: Workload) -> str:
    return f"--partition {load.first}" if load.days == 1 else f"--partition-range {load.first}...{load.last}"


def _plain_dagster(one: Contestant, load: Workload) -> list[str]:
    return [f"cd {PEERS}/plain_dagster && {one.bin}/dg launch --assets calls {_span(load)}"]


def _dagster_alone(one: Contestant, load: Workload) -> list[str]:
    return [f"cd {PEERS}/dagster_alone && {one.bin}/dg launch --assets nothing --partition {load.first}"]


def _dagster_same_graph(one: Contestant, load: Workload) -> list[str]:
    return [f"cd {PEERS}/dagster_same_graph && {one.bin}/dg launch --assets same/calls --partition {load.first}"]


def _script(name: str, pipe: str = "") -> Commands:
    return lambda one, _: [f"{one.bin}/python {PEERS}/{name}" + (pipe.format(bin=one.bin) if pipe else "")]


def _floor(what: str) -> Commands:
    return lambda one, _: [f"{one.bin}/python -m benchmarks.floor {what}"]


SELF = Contestant("synthflow-assets", None, "synthflow.calls", _this_package, is_peer=False)
_DLT = _script("dlt_pipeline.py")
PEER_CONTESTANTS = (
    Contestant("plain Dagster", "plain_dagster", "main.calls", _plain_dagster),
    Contestant("dlt", "dlt", "calls", _DLT),
    Contestant("dlt, 20 workers", "dlt", "calls", _DLT, settings=(("EXTRACT__WORKERS", "20"),)),
    Contestant(
        "singer-sdk",
        "singer",
        "main.calls",
        _script("singer_tap.py", ' | {bin}/target-duckdb --config "$BENCH_FOLDER/target.json"'),
    ),
    Contestant("PyAirbyte", "airbyte", "main.calls", _script("airbyte_source.py")),
)
# What no tool can beat: the start of Dagster alone, the pages alone, and the rows alone. `SAME_GRAPH` is what Dagster
# needs for the assets, checks and events of a run of this package.
ALONE = Contestant("floor: Dagster starts", None, "", _dagster_alone, is_peer=False)
SAME_GRAPH = Contestant("floor: Dagster runs as many assets and checks", None, "", _dagster_same_graph, is_peer=False)
DOWNLOAD = Contestant("floor: download the pages", None, "", _floor("download"), is_peer=False)
STORE = Contestant(
    "floor: DuckDB stores the rows",
    None,
    "main.calls",
    _floor("store"),
    before=lambda one, load: [*_this_package(one, load), f"{one.bin}/python -m benchmarks.floor finish"],
    is_peer=False,
)
