"""Who takes part, how each is started, and where it lands its calls."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.workload import Workload

ROOT = Path(__file__).parents[1]
PEERS = Path(__file__).parent / "peers"
ENVIRONMENTS = ROOT / "data" / "bench"
OWN_BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Contestant:
    """A way to land calls. `lock` names its pinned environment; None is this project's own."""

    name: str
    lock: str | None
    table: str
    settings: tuple[tuple[str, str], ...] = ()  # for this package: what is set besides the defaults

    @property
    def bin(self) -> Path:
        """Where its commands are."""
        return OWN_BIN if self.lock is None else ENVIRONMENTS / self.lock / "bin"

    def commands(self, load: Workload) -> list[str]:
        """The shell commands that land the workload; more than one run one after the other."""
        span = f"--partition {load.first}" if load.days == 1 else f"--partition-range {load.first}...{load.last}"
        match self.name.split(",")[0]:
            case "synthflow-assets":
                return [f"{self.bin}/dg launch --assets synthflow/calls {span}"]
            case "plain Dagster":
                each = [f"{self.bin}/dg launch --assets calls --partition {day}" for day in load.every_day]
                return [f"cd {PEERS}/plain_dagster && {' && '.join(each)}"]
            case "dlt":
                return [f"{self.bin}/python {PEERS}/dlt_pipeline.py"]
            case "PyAirbyte":
                return [f"{self.bin}/python {PEERS}/airbyte_source.py"]
            case _:
                target = f'{self.bin}/target-duckdb --config "$BENCH_FOLDER/target.json"'
                return [f"{self.bin}/python {PEERS}/singer_tap.py | {target}"]

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
            **(
                {
                    "SYNTHFLOW_BASE_URL": url,
                    "SYNTHFLOW_API_KEY": "sandbox-key",
                    "SYNTHFLOW_WAREHOUSE": str(file),
                    "SYNTHFLOW_EXPORT_DIR": str(folder / "export"),
                    # What the peers' calls are landed from: no call of another day.
                    "SYNTHFLOW_WINDOW_MARGIN_SECONDS": "0",
                    **dict(self.settings),
                }
                if self.lock is None
                else {}
            ),
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


CONTESTANTS = (
    Contestant("synthflow-assets", None, "synthflow.calls"),
    Contestant("plain Dagster", "plain_dagster", "main.calls"),
    Contestant("dlt", "dlt", "calls"),
    Contestant("singer-sdk", "singer", "main.calls"),
    Contestant("PyAirbyte", "airbyte", "main.calls"),
)
SIXTEEN = Contestant(
    "synthflow-assets, 16 connections", None, "synthflow.calls", (("SYNTHFLOW_MAX_CONNECTIONS", "16"),)
)
