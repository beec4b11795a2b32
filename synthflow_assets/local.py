"""Runs the project on this machine: the demo, and Dagster's UI with its history in one folder.

What the sandbox makes up is kept apart from real calls: in `data/sandbox`, with a warehouse and a Dagster home of
its own.
"""

from __future__ import annotations

import datetime as dt
import os
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click
import dotenv

from synthflow_assets.days import last_closed_day
from synthflow_assets.errors import SynthflowError
from synthflow_assets.metrics.frames import headline, named_frame
from synthflow_assets.quality import CHECKS, SCHEDULED_CHECKS, SETTLED, find_problems
from synthflow_assets.settings import PREFIX, Settings, variable
from synthflow_assets.warehouse.connection import Warehouse

if TYPE_CHECKING:
    import pandas as pd

_DATA = Path("data")
_SANDBOX_DATA = _DATA / "sandbox"
_SANDBOX_WAREHOUSE = _SANDBOX_DATA / "synthflow.duckdb"
_SANDBOX_REPORT = _SANDBOX_DATA / "report.html"
_DEMO_DAYS = 7


class LocalRunError(SynthflowError):
    """Dagster could not be started here, or its run failed."""


def run_demo() -> None:
    """Run the whole pipeline for the last seven days over the sandbox, and show what came of it.

    Raises:
        LocalRunError: the run failed.
    """
    from synthflow_assets.sandbox.server import Sandbox

    last = last_closed_day("UTC")
    first = last - dt.timedelta(days=_DEMO_DAYS - 1)
    with Sandbox() as sandbox:
        environment = _environment(_SANDBOX_DATA, _sandbox_settings(sandbox.url))
        click.echo(f"Sandbox API with made-up calls at {sandbox.url}")
        click.echo(f"Dagster materializes {first} to {last} ...")
        _launch(first, last, environment)
        started = {
            model_id: sandbox.api.store.started_between(model_id, _ms(first), _ms(last + dt.timedelta(days=1)))
            for model_id in sandbox.model_ids
        }
        requests = len(sandbox.api.requests)
    _show(Warehouse(str(_SANDBOX_WAREHOUSE)), first, last, sum(started.values()), requests)


def run_dev(host: str, port: int) -> int:
    """Start Dagster's UI and daemon; over the sandbox where no key is set. Returns its exit code.

    Raises:
        LocalRunError: the port is taken.
    """
    _refuse_taken_port(host, port)
    with ExitStack() as stack:
        if Settings.load().api_key is not None:
            folder, environment = Path(), _environment(_DATA, {})
        else:
            from synthflow_assets.sandbox.server import Sandbox

            sandbox = stack.enter_context(Sandbox())
            folder, environment = _sandbox_project(), _environment(_SANDBOX_DATA, _sandbox_settings(sandbox.url))
            click.echo("SYNTHFLOW_API_KEY is not set, so this runs over the sandbox: made-up calls, kept apart in")
            click.echo(f"{_SANDBOX_DATA}. Put your key into .env and start again to see your own.")
        command = [_script("dg"), "dev", "--host", host, "--port", str(port)]
        return _run_until_stopped(command, environment, folder)


def _refuse_taken_port(host: str, port: int) -> None:
    """Dagster's UI would die of it while the rest of `dg dev` goes on, without a word on where to look."""
    try:
        socket.create_server((host, port)).close()
    except socket.gaierror:
        raise LocalRunError(f"{host} is no address of this machine; leave --host out for 127.0.0.1") from None
    except OSError as error:
        raise LocalRunError(
            f"{host}:{port} cannot be used ({os.strerror(error.errno or 0)}). Something else runs there, perhaps "
            f"another `make dev`; choose another port: make dev PORT={port + 1}"
        ) from None


def _run_until_stopped(command: list[str], environment: dict[str, str], folder: Path) -> int:
    """Run a server until it ends or this process is told to; then it ends too, with all that it started."""
    # A shell's background jobs ignore this signal and would hand that on to the server, which could not be stopped.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # A session of its own, so that a stop from the terminal and one from a service manager take the same way.
    with subprocess.Popen(command, env=environment, cwd=folder, start_new_session=True) as server:
        for stop in (signal.SIGINT, signal.SIGTERM):
            signal.signal(stop, lambda *_: os.killpg(server.pid, signal.SIGINT))
        return server.wait()


def _sandbox_project() -> Path:
    """The sandbox's folder, made a Dagster project by two links.

    `dg` reads the `.env` of the project that it runs in, over the environment; from here it finds none, so that no
    made-up call can land in the real warehouse, and no real key is sent anywhere.
    """
    _SANDBOX_DATA.mkdir(parents=True, exist_ok=True)
    for name in ("pyproject.toml", "synthflow_assets"):
        link = _SANDBOX_DATA / name
        link.unlink(missing_ok=True)
        link.symlink_to(Path(name).resolve())
    return _SANDBOX_DATA


def _sandbox_settings(url: str) -> dict[str, str]:
    """Every setting by name, most of them empty: an empty one is unset, and keeps `.env` from filling it."""
    settings = {variable(field): "" for field in Settings.model_fields}
    settings |= {
        variable("api_key"): "sandbox-key",
        variable("base_url"): url,
        variable("warehouse"): str(_SANDBOX_WAREHOUSE.resolve()),
        variable("report"): str(_SANDBOX_REPORT.resolve()),
    }
    return settings


def _environment(folder: Path, settings: dict[str, str]) -> dict[str, str]:
    """The environment of a Dagster process whose home is below the folder."""
    from_file = {name: value for name, value in dotenv.dotenv_values(".env").items() if name.startswith(PREFIX)}
    known = {**os.environ, **(settings or from_file)}
    known["DAGSTER_HOME"] = str(prepare_home(folder))
    return {name: value for name, value in known.items() if value is not None}


def prepare_home(folder: Path = _DATA) -> Path:
    """Make the Dagster home below the folder, with this project's `dagster.yaml`: Dagster looks nowhere else for it."""
    home = (folder / "dagster").resolve()
    home.mkdir(parents=True, exist_ok=True)
    link = home / "dagster.yaml"
    if not link.is_symlink() and not link.exists():
        link.symlink_to(Path("dagster.yaml").resolve())
    return home


def _launch(first: dt.date, last: dt.date, environment: dict[str, str]) -> None:
    log = _SANDBOX_DATA / "demo.log"
    command = ["launch", "--assets", "group:synthflow", "--partition-range", f"{first}...{last}"]
    with log.open("w", encoding="utf-8") as output:
        code = subprocess.call(
            [_script("dg"), *command], env=environment, cwd=_sandbox_project(), stdout=output, stderr=subprocess.STDOUT
        )
    if code != 0:
        raise LocalRunError(f"the run failed; {log} tells why:\n{_failures(log)}")


def _show(warehouse: Warehouse, first: dt.date, last: dt.date, sandbox_count: int, requests: int) -> None:
    import pandas as pd

    landed = int(warehouse.read_frame("call_loads", first, last)["landed"].sum())
    durations = named_frame(warehouse, "call_duration_daily", first, last)
    columns = ["day", "agent", "calls", "connected_calls", "short_calls", "median_duration_seconds"]
    reasons = named_frame(warehouse, "disconnect_reasons_daily", last, last)
    with pd.option_context("display.width", 120, "display.max_columns", 20, "display.max_rows", 100):
        click.echo(f"\nsynthflow.call_duration_daily ({', '.join(columns[2:])}, and more columns)")
        click.echo(_text(durations[[*columns, "p90_duration_seconds"]]))
        click.echo(f"\nsynthflow.disconnect_reasons_daily, {last}")
        click.echo(_text(reasons.drop(columns="day")))
    click.echo("\n" + " · ".join(f"{name}: {value}" for name, value in headline(warehouse, first, last)))
    click.echo(f"The sandbox counts {sandbox_count:,} calls for these days; {landed:,} landed, by {requests} requests.")
    click.echo(say_checked(warehouse, first, last))
    click.echo(f"\nWarehouse  {warehouse.location}\nReport     {_SANDBOX_REPORT}")
    click.echo("\nNext:  make dev   (Dagster's UI on these days)")
    click.echo("       then put SYNTHFLOW_API_KEY into .env, as .env.example shows, for your own calls")


def say_checked(warehouse: Warehouse, first: dt.date, last: dt.date) -> str:
    """The asset checks' checks, asked once more for whoever does not open Dagster's UI."""
    days = [first + dt.timedelta(days=number) for number in range((last - first).days + 1)]
    checks = [*CHECKS, *SCHEDULED_CHECKS]
    with warehouse.connect(read_only=True) as connection:
        # As the clock asks: in the first hour after midnight the last day is over, but not settled yet.
        asked = {one.name: None if one is SETTLED else days for one in checks}
        broken = [one.name for one in checks if find_problems(connection, one, asked[one.name], Settings.of(), last)]
    kept = f"{len(checks) - len(broken)} of {len(checks)} checks passed"
    return f"{kept}; look at {', '.join(broken)}" if broken else kept


def _text(frame: pd.DataFrame) -> str:
    return str(frame.to_string(index=False, float_format=lambda value: f"{value:.2f}"))


def _ms(day: dt.date) -> int:
    return int(dt.datetime.combine(day, dt.time(), dt.UTC).timestamp() * 1000)


def _script(name: str) -> str:
    """A command of the environment that this Python belongs to, also where that one is not activated."""
    return str(Path(sys.executable).absolute().with_name(name))


def _failures(path: Path) -> str:
    """What Dagster's log says of the failure, without its stack traces."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    said = [line for line in lines if "Failure: " in line or "Error: " in line]
    return "\n".join(dict.fromkeys(said or lines[-15:]))
