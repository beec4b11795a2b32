"""Run the demo and the Dagster UI on this machine, with all data in the folder `data` of the working directory.

The sandbox's made-up calls are kept apart from real calls: `data/sandbox` has a warehouse and a Dagster home of its
own. Works in a clone and, from an installed package, in an empty folder.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import importlib.resources
import importlib.util
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from synthflow_assets.days import last_closed_day
from synthflow_assets.errors import SynthflowError
from synthflow_assets.metrics.frames import headline, named_frame
from synthflow_assets.quality import CHECKS, SCHEDULED_CHECKS, SETTLED, find_problems
from synthflow_assets.settings import Settings, variable
from synthflow_assets.warehouse.connection import Warehouse

if TYPE_CHECKING:
    import pandas as pd

_DATA = Path("data")
_SANDBOX_DATA = _DATA / "sandbox"
_SANDBOX_WAREHOUSE = _SANDBOX_DATA / "warehouse.duckdb"
_SANDBOX_REPORT = _SANDBOX_DATA / "report.html"
_DEMO_DAYS = 7
_LONGEST_REASON = 300  # characters
_POLL_SECONDS = 0.5
_STOP_SECONDS = 30.0  # after which a stopped Dagster is killed
_HOME_FILES = ("dagster.yaml", "workspace.yaml")
_USUAL_PORT, _LAST_PORT = 3000, 65_535
SERVER_MODULES = ("httptools", "starlette", "uvicorn")  # of the sandbox API
_DAGSTER_MODULES = ("dagster_dg_cli", "dagster_webserver")


class LocalRunError(SynthflowError):
    """Dagster cannot be started on this machine, or its run failed."""


def run_demo() -> None:
    """Run the pipeline for the last seven days over the sandbox API, and print the results.

    Raises:
        LocalRunError: the extra `sandbox` is not installed, or the run failed.
    """
    validate_installed(*SERVER_MODULES, *_DAGSTER_MODULES)
    from synthflow_assets.sandbox.server import Sandbox

    first, last = _demo_days()
    with Sandbox() as sandbox:
        environment = _environment(prepare_home(_SANDBOX_DATA), _sandbox_settings(sandbox.url))
        click.echo(f"Sandbox API with made-up calls at {sandbox.url}")
        click.echo(f"Dagster materializes {first} to {last} ...")
        _launch(first, last, environment)
        started = {
            model_id: sandbox.api.store.started_between(model_id, _ms(first), _ms(last + dt.timedelta(days=1)))
            for model_id in sandbox.model_ids
        }
        requests = len(sandbox.api.requests)
    _print_results(Warehouse(str(_SANDBOX_WAREHOUSE)), first, last, sum(started.values()), requests)


def run_dev(host: str, port: int) -> int:
    """Run the Dagster UI and daemon until they are stopped; over the sandbox API if no key is set.

    Args:
        host: host name or address to listen on.
        port: TCP port.

    Returns:
        The exit code of Dagster; 1 if it ended by itself.

    Raises:
        LocalRunError: the extra `sandbox` is not installed, or the address cannot be used.
    """
    validate_installed(*SERVER_MODULES, *_DAGSTER_MODULES)
    _validate_address(host, port)
    with ExitStack() as stack:
        if Settings.load().api_key is not None:
            folder, home, settings = Path(), prepare_home(), {}
        else:
            from synthflow_assets.sandbox.server import Sandbox

            sandbox = stack.enter_context(Sandbox())
            folder, home, settings = _SANDBOX_DATA, prepare_home(_SANDBOX_DATA), _sandbox_settings(sandbox.url)
            click.echo("SYNTHFLOW_API_KEY is not set, so Dagster runs over the sandbox API. Its made-up calls are in")
            click.echo(f"{_SANDBOX_DATA}. To fetch your own calls, set SYNTHFLOW_API_KEY in .env and start again.")
        click.echo("Starting Dagster ...")
        return _run_dev(home, host, port, _environment(home, settings), folder)


def prepare_home(folder: Path = _DATA) -> Path:
    """Return the absolute path of the Dagster home below a folder; make it, with its storages, if necessary.

    Dagster reads `dagster.yaml` only from its home, so a link there leads to the file of this package. A file of your
    own in its place is kept. The storages are made here because several runs that start at once on a fresh home fail
    while each makes them ("table secondary_indexes already exists").

    Raises:
        LocalRunError: Dagster cannot open its storages.
    """
    home = (folder / "dagster").resolve()
    home.mkdir(parents=True, exist_ok=True)
    with (home / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name in _HOME_FILES:
            _link(home / name, Path(str(importlib.resources.files("synthflow_assets") / name)))
        _make_storages(home)
    return home


def _link(link: Path, target: Path) -> None:
    """Link to a file of this package, unless there is another file."""
    # After an upgrade into a new environment, the link leads to the file of the old one, or nowhere.
    if link.is_symlink() and (not link.exists() or link.readlink().parts[-2:] == target.parts[-2:]):
        link.unlink()
    if not link.exists():
        link.symlink_to(target)


def _make_storages(home: Path) -> None:
    from dagster import DagsterInstance

    os.environ["DAGSTER_HOME"] = str(home)  # which storages that `dagster.yaml` names read
    try:
        DagsterInstance.from_config(str(home)).dispose()
    except Exception as error:  # noqa: BLE001 (of YAML, Dagster, SQLite, or a class that `dagster.yaml` names)
        reason = " ".join(str(error).split()) or type(error).__name__
        raise LocalRunError(
            f"Dagster cannot open its storages in {home}: {reason[:_LONGEST_REASON]}; "
            "correct its dagster.yaml, or move the folder away"
        ) from None


def validate_installed(*modules: str) -> None:
    """Check that modules of the extra `sandbox` are installed.

    Raises:
        LocalRunError: one of them is not.
    """
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise LocalRunError(
            f"{', '.join(missing)} not found; install the extra: pip install 'synthflow-assets[sandbox]'"
        )


def _validate_address(host: str, port: int) -> None:
    """Refuse an address that cannot be used. The UI would end later, with a traceback."""
    try:
        socket.create_server((host, port)).close()
    except socket.gaierror:
        raise LocalRunError(f"{host} is not an address of this machine; omit --host to use 127.0.0.1") from None
    except OSError as error:
        another = port + 1 if _USUAL_PORT <= port < _LAST_PORT else _USUAL_PORT
        raise LocalRunError(
            f"{host}:{port} cannot be used ({os.strerror(error.errno or 0)}); if another program uses the port, "
            f"choose another one: synthflow-assets dev --port {another}"
        ) from None


def _run_dev(home: Path, host: str, port: int, environment: dict[str, str], folder: Path) -> int:
    """Run `dg dev` until a signal or the end of the terminal stops it, or until it ends. Return the exit code."""
    is_stopped, terminal = threading.Event(), _foreground_terminal()
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        # `nohup` ignores SIGHUP on purpose. Background jobs of a shell ignore SIGINT, but something must stop them.
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: is_stopped.set())
    # Dagster warns on a new home that it has no cursors yet, and in a clone that its `dagster.yaml` is not used.
    options = ["--host", host, "--port", str(port), "--log-level", "error"]
    command = _dg("dev", "--workspace", str(home / "workspace.yaml"), *options)
    # In a session of its own, so that Ctrl-C in a terminal and a service manager stop it in the same way.
    server = subprocess.Popen(command, env=environment, cwd=folder, start_new_session=True)
    is_announced = False
    while server.poll() is None and not is_stopped.wait(_POLL_SECONDS):
        if any(events & select.POLLHUP for _, events in terminal.poll(0)):
            is_stopped.set()
        elif not is_announced and _answers(host, port):
            is_announced = True
            click.echo(f"The Dagster UI is at http://{host}:{port}. To stop it, press Ctrl-C.")
    if is_stopped.is_set():
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGINT)  # together with its child processes
        try:
            return server.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            # If one of Dagster's processes hangs, end all of them.
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
            return server.wait()
    click.echo("Error: Dagster ended by itself; see the messages above", err=True)
    return 1


def _foreground_terminal() -> select.poll:
    """Return what to poll for the end of the terminal in whose foreground this process runs; nothing if there is none.

    The end sends SIGHUP only to the first process of the terminal. If that is `make`, it does not forward the signal.
    """
    terminal = select.poll()
    # Standard input is not the controlling terminal of a service, nor after `setsid`.
    with suppress(OSError):
        if os.tcgetpgrp(0) == os.getpgrp() and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            terminal.register(0, 0)  # no input is read; POLLHUP is always reported
    return terminal


def _answers(host: str, port: int) -> bool:
    """Return whether a server listens on the address."""
    with suppress(OSError), socket.create_connection((host, port), timeout=_POLL_SECONDS):
        return True
    return False


def _demo_days() -> tuple[dt.date, dt.date]:
    """Return the first and the last day of the demo."""
    last = last_closed_day("UTC")
    return last - dt.timedelta(days=_DEMO_DAYS - 1), last


def _sandbox_settings(url: str) -> dict[str, str]:
    """Return all settings by variable, for the sandbox at this address.

    The others are empty, so that no setting of the environment applies. Dagster's processes run in the sandbox's
    folder, so that they find no `.env`: made-up calls never land in the real warehouse, and no real key is sent.
    """
    return {variable(field): "" for field in Settings.model_fields} | {
        variable("pii"): "keep",  # an empty one is refused
        variable("api_key"): "sandbox-key",
        variable("base_url"): url,
        # So that no partition of the demo is missing.
        variable("start_date"): f"{_demo_days()[0]}",
        variable("warehouse"): str(_SANDBOX_WAREHOUSE.resolve()),
        variable("report"): str(_SANDBOX_REPORT.resolve()),
    }


def _environment(home: Path, settings: dict[str, str]) -> dict[str, str]:
    """Return this process's environment, with these settings and this Dagster home."""
    return {**os.environ, **settings, "DAGSTER_HOME": str(home)}


def _launch(first: dt.date, last: dt.date, environment: dict[str, str]) -> None:
    log = _SANDBOX_DATA / "demo.log"
    command = ["launch", "--assets", "group:synthflow", "--partition-range", f"{first}...{last}"]
    with log.open("w", encoding="utf-8") as output:
        code = subprocess.call(
            _dg(*command, "--module-name", "synthflow_assets.definitions"),
            env=environment,
            cwd=_SANDBOX_DATA,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    if code != 0:
        raise LocalRunError(f"the run failed; see {log}:\n{_failures(log)}")


def _print_results(warehouse: Warehouse, first: dt.date, last: dt.date, sandbox_count: int, requests: int) -> None:
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
    click.echo(f"The sandbox has {sandbox_count:,} calls in these days; {landed:,} landed, with {requests} requests.")
    click.echo(summarize_checks(warehouse, first, last))
    click.echo(f"\nWarehouse  {warehouse.location}\nReport     {_SANDBOX_REPORT}")
    click.echo("\nNext:  synthflow-assets dev   (the Dagster UI with these days; in a clone: make dev)")
    click.echo("       then set SYNTHFLOW_API_KEY in .env to fetch your own calls")


def summarize_checks(warehouse: Warehouse, first: dt.date, last: dt.date) -> str:
    """Return how many asset checks pass for these days, and which fail."""
    days = [first + dt.timedelta(days=number) for number in range((last - first).days + 1)]
    checks, settings = [*CHECKS, *SCHEDULED_CHECKS], Settings.of(report=str(_SANDBOX_REPORT))
    with warehouse.connect(read_only=True) as connection:
        # SETTLED gets no days, as in its schedule: in the first hour of a day, the day before is not settled yet.
        asked = {one.name: None if one is SETTLED else days for one in checks}
        failed = [one.name for one in checks if find_problems(connection, one, asked[one.name], settings, last)]
    passed = f"{len(checks) - len(failed)} of {len(checks)} checks passed"
    return f"{passed}; failed: {', '.join(failed)}" if failed else passed


def _text(frame: pd.DataFrame) -> str:
    return str(frame.to_string(index=False, float_format=lambda value: f"{value:.2f}"))


def _ms(day: dt.date) -> int:
    return int(dt.datetime.combine(day, dt.time(), dt.UTC).timestamp() * 1000)


def _dg(*arguments: str) -> list[str]:
    """Return a `dg` command of this Python's environment, which need not be activated."""
    return [sys.executable, "-m", "dagster_dg_cli.cli", *arguments]


def _failures(path: Path) -> str:
    """Return the failures in a log of Dagster, without stack traces; its last lines if there are none."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    failures = [line for line in lines if "Failure: " in line or "Error: " in line]
    return "\n".join(dict.fromkeys(failures or lines[-15:]))
