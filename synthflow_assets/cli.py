"""The command `synthflow-assets`."""

from __future__ import annotations

import datetime as dt
import io
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from synthflow_assets.errors import SynthflowError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from synthflow_assets.settings import Settings
    from synthflow_assets.warehouse.connection import Warehouse
    from synthflow_assets.warehouse.copying import Copied

_Command = TypeVar("_Command", bound=Callable[..., Any])
_LONGEST_REPORT_DAYS = 3660
_FIRST_DAY, _LAST_DAY = dt.date(2020, 1, 1), dt.date(2100, 1, 1)
_COLOURS = {"ok": "green", "note": "yellow", "problem": "red"}


def _day(_: click.Context, parameter: click.Parameter, value: str | None) -> dt.date | None:
    if value is None:
        return None
    try:
        day = dt.date.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a date; write it as YYYY-MM-DD", param=parameter) from None
    if not _FIRST_DAY <= day <= _LAST_DAY:
        raise click.BadParameter(f"{day} is not a day from {_FIRST_DAY} to {_LAST_DAY}", param=parameter)
    return day


class ErrorFormattingGroup(click.Group):
    """A group of commands that shows the errors of this package as one line."""

    def invoke(self, context: click.Context) -> object:
        """Run the command.

        Raises:
            ClickException: an error of this package or of the operating system, as one line.
        """
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                # A terminal of another encoding than UTF-8 cannot show the name of every agent.
                stream.reconfigure(errors="replace")
        try:
            return super().invoke(context)
        except SynthflowError as error:
            raise click.ClickException(str(error)) from None
        except OSError as error:
            place = f"{error.filename}: " if error.filename else ""
            raise click.ClickException(f"{place}{error.strerror or error}") from None


@click.group(cls=ErrorFormattingGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="synthflow-assets")
def main() -> None:
    """Synthflow voice-agent calls as Dagster assets."""


@main.command()
def agents() -> None:
    """List the agents of the workspace: id, type, name."""
    from synthflow_assets.api.client import SynthflowClient
    from synthflow_assets.loading import discover_agents
    from synthflow_assets.settings import Settings
    from synthflow_assets.texts import one_line

    with SynthflowClient.from_settings(Settings.load()) as client:
        # The user waits, and 5xx would be retried silently for two minutes.
        client.wait_for_outages(0, partial(click.echo, err=True))
        for agent in discover_agents(client):
            name = agent.label if agent.name else "-"
            click.echo(f"{one_line(agent.model_id)}  {one_line(agent.type or '-'):<10}  {name}")


@main.command()
@click.option("--test", is_flag=True, help="Required, because the command sends a message.")
def alert(test: bool) -> None:
    """Send a test alert through every channel.

    Prints the result of each channel. Exits with 1 if a channel does not accept it, or if none is set.
    """
    from synthflow_assets.orchestration.sensors.channels import send_test_alert
    from synthflow_assets.settings import Settings

    if not test:
        raise click.UsageError("add --test to send a test alert")
    results = send_test_alert(Settings.load())
    if not results:
        raise click.ClickException("no channel is set; set SYNTHFLOW_ALERT_WEBHOOK_URL, or see docs/runbook.md")
    for channel, problem in results.items():
        click.echo(f"{channel}: {problem or 'accepted'}")
    if any(results.values()):
        raise click.ClickException("not every channel accepted the alert; check its SYNTHFLOW_ALERT_... settings")


@main.command()
@click.option(
    "--debug", is_flag=True, help="Print what the API says about a refused request. It may contain personal data."
)
@click.option("--alerts", is_flag=True, help="Also send a test alert through every channel.")
def doctor(debug: bool, alerts: bool) -> None:
    """Examine settings, API and warehouse, and report problems.

    Shows a remedy for each problem. Exits with 1 if there is a problem.
    """
    from synthflow_assets.doctor import Verdict, examine
    from synthflow_assets.settings import Settings

    problems = 0
    for finding in examine(Settings.load(), send_alerts=alerts):
        problems += finding.verdict is Verdict.PROBLEM
        verdict = click.style(f"{finding.verdict:<7}", fg=_COLOURS[finding.verdict])
        click.echo(f"{verdict}  {finding.subject:<10} {finding.text}")
        if finding.remedy:
            click.echo(f"{'':<20}Run: {finding.remedy}")
        if debug and finding.response:
            click.echo(f"{'':<20}The API said: {finding.response}")
    if problems:
        raise click.ClickException(f"{problems} problem{'s' if problems > 1 else ''} found; see above what to do")


@main.command()
@click.option(
    "--from",
    "from_day",
    callback=_day,
    help="First day, YYYY-MM-DD. Default: so that the report covers SYNTHFLOW_REPORT_DAYS days.",
)
@click.option(
    "--to",
    "to_day",
    callback=_day,
    help="Last day, YYYY-MM-DD. Default: yesterday. Today or a later day means the last landed day.",
)
@click.option(
    "--model", "models", multiple=True, metavar="ID_OR_NAME", help="An agent; repeatable. Default: all agents."
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The HTML file, in an existing folder. Default: SYNTHFLOW_REPORT.",
)
@click.option("--open", "show", is_flag=True, help="Open the report in the browser.")
def report(
    from_day: dt.date | None, to_day: dt.date | None, models: tuple[str, ...], output: Path | None, show: bool
) -> None:
    """Write the HTML report from the metric tables."""
    from synthflow_assets.days import last_closed_day
    from synthflow_assets.report import last_days, write_report
    from synthflow_assets.settings import Settings
    from synthflow_assets.warehouse.connection import Warehouse
    from synthflow_assets.warehouse.copying import validate_folder

    if output is not None:
        validate_folder(output)
    settings = Settings.load()
    warehouse = Warehouse.from_settings(settings)
    if to_day is not None and to_day > last_closed_day(settings.timezone):
        to_day = _last_landed_day(warehouse)
    usual = last_days(warehouse, settings, to_day)
    first, last = from_day or usual.from_day, usual.to_day
    if first > last:
        raise click.BadParameter(f"{first} is after {last}", param_hint="--from")
    if (last - first).days > _LONGEST_REPORT_DAYS:
        raise click.BadParameter("a report covers ten years at most", param_hint="--from")
    written = write_report(warehouse, settings, output or settings.report_path, first, last, models)
    click.echo(f"{written.path}  ({written.days} days, {written.agents} agents, {written.size_bytes / 1e6:.1f} MB)")
    if written.warning:
        click.echo(f"Warning: {written.warning}", err=True)
    if show:
        click.launch(str(written.path))


def _last_landed_day(warehouse: Warehouse) -> dt.date | None:
    with warehouse.connect(read_only=True) as connection:
        row = connection.execute("SELECT max(day) FROM call_loads").fetchone()
    return row[0] if row else None


@main.command()
@click.option("--retry", is_flag=True, help="Decode the stored records again, for example after an upgrade.")
def rejects(retry: bool) -> None:
    """List the records that could not be decoded, by reason."""
    from synthflow_assets.settings import Settings
    from synthflow_assets.warehouse.connection import Warehouse
    from synthflow_assets.warehouse.rejects import list_rejects, retry_rejects

    settings = Settings.load()
    warehouse = Warehouse.from_settings(settings)
    if retry:
        with warehouse.connect() as connection:
            landed = retry_rejects(
                connection,
                settings.timezone,
                settings.pii,
                settings.hash_key,
                on_landed=lambda days: _compute_and_export(connection, days, settings),
            )
        count = sum(landed.values())
        click.echo(f"{count:,} records landed now, on {len(landed):,} days; their metrics and exports are up to date")
        if landed:
            _write_report_again(warehouse, settings)
    with warehouse.connect(read_only=True) as connection:
        found = list_rejects(connection)
    for one in found:
        days = f"{one.first_day} to {one.last_day}"
        erased = f" ({one.records - one.kept:,} of them without content)" if one.kept < one.records else ""
        click.echo(f"{one.records:>9,}  {one.reason}; {days}{erased}")
    if any(one.kept < one.records for one in found):
        click.echo("Records without content are not decoded again; after an upgrade, fetch their days again")
    if not found:
        click.echo("No records are rejected")


def _compute_and_export(connection: DuckDBPyConnection, days: list[dt.date], settings: Settings) -> None:
    """Compute the metrics of these days, and replace the exports of changed tables."""
    from synthflow_assets.metrics import replace_metrics
    from synthflow_assets.warehouse.export import export_again
    from synthflow_assets.warehouse.schema import CALLS

    computed = replace_metrics(connection, days, settings)
    if settings.export_folder is not None:
        for table, changed_days in {CALLS.name: days, **computed}.items():
            export_again(connection, [table], changed_days, settings.export_folder)


@main.command()
@click.option("--phone", required=True, help="The person's number with its country code, such as +14155550100.")
@click.option("--yes", is_flag=True, help="Erase without a prompt.")
def forget(phone: str, yes: bool) -> None:
    """Erase one person's data, and keep it from being fetched again.

    Covers all tables, exports and recordings. Calls stay, with their times, durations and reasons.
    """
    from synthflow_assets.erasure import count_person, erase_person
    from synthflow_assets.settings import Settings
    from synthflow_assets.warehouse.connection import Warehouse

    settings = Settings.load()
    calls, rejects = count_person(settings, phone)
    if not yes:
        click.echo(f"The number occurs in {calls:,} calls and {rejects:,} rejected records.")
        click.confirm("This cannot be undone. Erase this person's data?", abort=True)
    for line in erase_person(settings, phone):
        click.echo(line)
    _write_report_again(Warehouse.from_settings(settings), settings)


def _write_report_again(warehouse: Warehouse, settings: Settings) -> None:
    """Write the report of the runs again, if there is one here. It would show earlier numbers until the next run.

    A failure is only a warning, because what the command had to do is done.
    """
    from synthflow_assets.report import last_days, write_report

    if not settings.report_path.exists():
        return
    try:
        span = last_days(warehouse, settings)
        write_report(warehouse, settings, settings.report_path, span.from_day, span.to_day)
    except (SynthflowError, OSError) as error:
        click.echo(f"Warning: the report shows the earlier numbers until the next run: {error}", err=True)
    else:
        click.echo(f"The report was written again: {settings.report_path}")


@main.command()
@click.option("--to", "location", required=True, help="The new location, as for SYNTHFLOW_WAREHOUSE.")
@click.option("--data-path", help="The folder of a new lake's files, as for SYNTHFLOW_LAKE_DATA_PATH.")
def move(location: str, data_path: str | None) -> None:
    """Copy all tables to another warehouse, and verify the copy.

    For example from a file to a lake, or back. The other warehouse must be empty.
    """
    from synthflow_assets.erasure import move_warehouse
    from synthflow_assets.settings import Settings
    from synthflow_assets.warehouse.connection import Warehouse
    from synthflow_assets.warehouse.copying import validate_folder
    from synthflow_assets.warehouse.engines.file import FileEngine

    if not location.strip():
        raise click.BadParameter("it is empty; give the new location", param_hint="--to")
    settings = Settings.load()
    # The values are validated as settings, because they become settings.
    target = Settings.of(
        warehouse=location,
        warehouse_schema=settings.warehouse_schema,
        lake_data_path=data_path,
        group_access=settings.group_access,
    )
    moved = Warehouse.from_settings(target)
    if isinstance(moved.engine, FileEngine):
        validate_folder(Path(moved.location))
    _print_copied(move_warehouse(settings, target))
    click.echo(f"Set SYNTHFLOW_WAREHOUSE={location}; then remove {settings.warehouse}, which is unchanged")


@main.command()
@click.option("--to", "path", required=True, type=click.Path(path_type=Path), help="The DuckDB file.")
@click.option("--force", is_flag=True, help="Replace an existing backup.")
def backup(path: Path, force: bool) -> None:
    """Copy all tables into a DuckDB file, and verify the copy."""
    from synthflow_assets.settings import Settings
    from synthflow_assets.warehouse.connection import Warehouse
    from synthflow_assets.warehouse.copying import back_up

    _print_copied(back_up(Warehouse.from_settings(Settings.load()), path, replace=force))


@main.command()
@click.option(
    "--from", "path", required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False), help="The backup."
)
@click.option("--force", is_flag=True, help="Replace the calls that the warehouse holds.")
def restore(path: Path, force: bool) -> None:
    """Copy a backup into an empty warehouse, and verify the copy.

    People who were erased before or after the backup are erased from the restored calls.
    """
    from synthflow_assets.erasure import restore_backup
    from synthflow_assets.settings import Settings

    settings = Settings.load()
    _print_copied(restore_backup(settings, path, replace=force))
    # The report is not written again, because users may restore into another warehouse to try out a backup.
    if settings.report_path.exists():
        click.echo(
            f"{settings.report_path} is older than the restored tables; `synthflow-assets report` writes it again"
        )


def _print_copied(copied: Copied) -> None:
    for table in copied.tables:
        click.echo(f"{table.rows:>13,}  {table.name}: the same checksum in both places")
    if copied.suppressed:
        click.echo(f"{copied.suppressed:>13,}  entries of the suppression list, merged")
    if copied.erased_calls:
        click.echo(f"{copied.erased_calls:>13,}  calls: personal columns set to NULL, because the person was erased")


@main.command()
def maintain() -> None:
    """Make the warehouse smaller and faster, and complete erasures.

    Merges the files of a lake and removes old ones, or rewrites a file that has much free space. Removes
    personal data that killed or failed commands left behind. If the report exists, it is written again.
    """
    from synthflow_assets.erasure import maintain as maintain_warehouse
    from synthflow_assets.errors import WarehouseUnusableError
    from synthflow_assets.settings import Settings
    from synthflow_assets.warehouse.connection import Warehouse

    settings = Settings.load()
    warehouse = Warehouse.from_settings(settings)
    if not warehouse.exists():  # it would be created, and nothing of the one that was meant would be removed
        raise WarehouseUnusableError(f"{warehouse.location} holds no tables; check SYNTHFLOW_WAREHOUSE")
    for name, count in maintain_warehouse(settings, warehouse).items():
        click.echo(f"{count:>13,}  {name.replace('_', ' ')}")
    _write_report_again(warehouse, settings)


@main.command(name="dbt-sources")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="The YAML file. Default: print it.")
@click.option("--key-prefix", help="Key prefix of the assets, with / between its parts. Default: the schema.")
@click.option(
    "--definitions",
    metavar="MODULE",
    help="Python module with your Dagster definitions. Set it if you translate asset keys.",
)
@click.option("--database", help="Name under which dbt attaches the warehouse. Default: warehouse.")
@click.option("--source", help="Name of the source in dbt. Default: the schema.")
def dbt_sources(output: Path | None, definitions: str | None, **names: str | None) -> None:
    """Write the tables and views as sources of a dbt project.

    Each has its columns, units, tests and Dagster asset key.
    """
    from synthflow_assets import dbt
    from synthflow_assets.settings import Settings
    from synthflow_assets.warehouse.connection import Warehouse

    settings = Settings.load()
    if output is not None and Warehouse.from_settings(settings).engine.owns(output):
        raise click.BadParameter(f"{output} belongs to the warehouse; name another file", param_hint="--output")
    keys = None
    if definitions is not None:
        from synthflow_assets.orchestration.asset_keys import table_keys

        keys = table_keys(definitions, settings.warehouse_schema)
    given = {name: value for name, value in names.items() if value is not None}
    text = dbt.dbt_sources(settings, keys=keys, **given)
    if output is None:
        click.echo(text, nl=False)
        return
    dbt.write_dbt_sources(output, text)
    click.echo(output)


_HOST = click.option("--host", default="127.0.0.1", show_default=True, help="Host name or address to listen on.")


def _port(default: int) -> Callable[[_Command], _Command]:
    return click.option(
        "--port", default=default, show_default=True, type=click.IntRange(1, 65535), help="TCP port to listen on."
    )


def _choice(name: str, *choices: str, help: str) -> Callable[[_Command], _Command]:  # noqa: A002 (as in click)
    return click.option(name, default=choices[0], show_default=True, type=click.Choice(choices), help=help)


@main.command()
@_HOST
@_port(8765)
@click.option("--api-key", default="sandbox-key", show_default=True, help="The accepted API key.")
@click.option(
    "--agents", "agent_count", default=3, show_default=True, type=click.IntRange(1, 1000), help="Number of agents."
)
@click.option(
    "--calls-per-day",
    default=120,
    show_default=True,
    type=click.IntRange(0, 5_000_000),
    help="Calls of the busiest agent on a weekday.",
)
@click.option("--same-volume", is_flag=True, help="Make --calls-per-day calls for each agent and day.")
@click.option("--small-records", is_flag=True, help="Make records of about 2 kB, most of them without actions.")
@click.option("--seed", default=7, show_default=True, help="Seed of the made-up calls; equal seeds make equal calls.")
@click.option(
    "--latency-ms", default=0.0, show_default=True, type=click.FloatRange(0), help="Delay of each response in ms."
)
@click.option("--latency-varies", is_flag=True, help="Vary the delay at random, with --latency-ms as the mean.")
@click.option(
    "--full-speed-requests",
    type=click.IntRange(1),
    help="Lengthen the delay when more requests than this are under way at once. Default: never.",
)
@click.option(
    "--max-requests",
    type=click.IntRange(1),
    help="Respond with 429 when more requests than this are under way at once. Default: no limit.",
)
@click.option(
    "--requests-per-second",
    type=click.FloatRange(0, min_open=True),
    help="Respond with 429 to more requests than this. Default: no limit.",
)
@_choice(
    "--window-filters",
    *("start", "end", "start_and_end", "creation", "early_creation", "scheduled_start"),
    help="The time that from_date and to_date filter.",
)
@_choice(
    "--window-ends",
    "half_open",
    "inclusive",
    "exclusive",
    "exclusive_begin",
    help="Which ends of the window are included: half_open only from_date, exclusive_begin only to_date.",
)
@_choice("--order", "descending", "ascending", "arbitrary", "tied", "shuffled", help="Order of the calls by start.")
@click.option("--hide-open-calls", is_flag=True, help="Do not list calls in progress.")
@click.option("--poisoned-day", callback=_day, help="Respond with 400 to requests for this UTC day, YYYY-MM-DD.")
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="NAME=CHANCE",
    help="Switch on a fault; repeatable. `--fault help` lists the faults.",
)
def sandbox(
    host: str, port: int, agent_count: int, latency_ms: float, faults: tuple[str, ...], **config: object
) -> None:
    """Serve the sandbox API, which has made-up calls."""
    from synthflow_assets.sandbox.config import FAULTS, SandboxConfig

    if "help" in faults:
        width = max(map(len, FAULTS))
        for name, effect in FAULTS.items():
            click.echo(f"{name:<{width}} {effect}")
        click.echo("CHANCE: below 1, the probability for each request; from 1 on, the number of first requests.")
        return
    try:
        known = SandboxConfig(
            agents=agent_count,
            latency_seconds=latency_ms / 1000,
            faults=dict(_parse_fault(fault) for fault in faults),
            **config,  # type: ignore[arg-type]
        )
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--fault") from None
    from synthflow_assets.local import SERVER_MODULES, validate_installed

    validate_installed(*SERVER_MODULES)
    from synthflow_assets.sandbox.server import serve

    click.echo(f"SYNTHFLOW_BASE_URL=http://{host}:{port}/v2 SYNTHFLOW_API_KEY={known.api_key}")
    serve(known, host, port)


def _parse_fault(fault: str) -> tuple[str, float]:
    name, _, chance = fault.partition("=")
    try:
        return name, float(chance or 1)
    except ValueError:
        raise click.BadParameter(f"the chance of {name} is {chance!r}, not a number", param_hint="--fault") from None


@main.command()
def demo() -> None:
    """Run the pipeline over the sandbox API, and print the results.

    Lands the last seven days in data/sandbox of this folder. Needs no API key.
    """
    from synthflow_assets.local import run_demo

    run_demo()


@main.command()
@_HOST
@_port(3000)
def dev(host: str, port: int) -> None:
    """Run the Dagster UI and daemon.

    If SYNTHFLOW_API_KEY is not set, they run over the sandbox API.
    """
    from synthflow_assets.local import run_dev

    raise SystemExit(run_dev(host, port))


@main.command()
def home() -> None:
    """Make the Dagster home data/dagster, and print its path.

    Use it as DAGSTER_HOME: export DAGSTER_HOME="$(synthflow-assets home)"
    """
    from synthflow_assets.local import prepare_home

    click.echo(prepare_home())
