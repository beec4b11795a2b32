"""The command `synthflow-assets`."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

import click

from synthflow_assets.errors import SynthflowError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from synthflow_assets.settings import Settings
    from synthflow_assets.warehouse.copying import CopiedTable

_LONGEST_REPORT_DAYS = 3660


def _day(_: click.Context, parameter: click.Parameter, value: str | None) -> dt.date | None:
    if value is None:
        return None
    try:
        day = dt.date.fromisoformat(value)
    except ValueError:
        day = dt.date.min
    if not dt.date(2020, 1, 1) <= day <= dt.date(2100, 1, 1):
        raise click.BadParameter(f"{value} is no day from 2020-01-01 on, written YYYY-MM-DD", param=parameter)
    return day


class ErrorFormattingGroup(click.Group):
    """Shows the package's own errors as one line."""

    def invoke(self, context: click.Context) -> object:
        """Run the command; print errors of this package as one line."""
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
    from synthflow_assets.agents import one_line
    from synthflow_assets.api.client import SynthflowClient
    from synthflow_assets.loading import discover_agents
    from synthflow_assets.settings import Settings

    with SynthflowClient.from_settings(Settings.load()) as client:
        for agent in discover_agents(client):
            name = agent.label if agent.name else "-"
            click.echo(f"{one_line(agent.model_id)}  {one_line(agent.type or '-'):<10}  {name}")


@main.command()
def doctor() -> None:
    """Examine settings, key, region, agents, the API and the warehouse; exit 1 if anything is wrong."""
    from synthflow_assets.doctor import Verdict, examine
    from synthflow_assets.settings import Settings, variable

    colours = {Verdict.OK: "green", Verdict.NOTE: "yellow", Verdict.TROUBLE: "red"}
    settings = Settings.load()
    differing = [variable(name) for name in Settings.model_fields if name in settings.model_fields_set]
    click.echo(f"{click.style('ok', fg='green'):<17} settings   {', '.join(differing) or 'all are the defaults'}")
    trouble = 0
    for finding in examine(settings):
        trouble += finding.verdict is Verdict.TROUBLE
        click.echo(
            f"{click.style(finding.verdict, fg=colours[finding.verdict]):<17} {finding.subject:<10} {finding.text}"
        )
    if trouble:
        raise click.ClickException(f"{trouble} of these must be mended")


@main.command()
@click.option("--from", "from_day", callback=_day, help="First day, YYYY-MM-DD. Default: SYNTHFLOW_REPORT_DAYS in all.")
@click.option("--to", "to_day", callback=_day, help="Last day, YYYY-MM-DD. Default: yesterday.")
@click.option("--model", "models", multiple=True, metavar="ID_OR_NAME", help="One agent; repeatable. Default: all.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Default: SYNTHFLOW_REPORT.")
@click.option("--open", "show", is_flag=True, help="Open it in the browser.")
def report(
    from_day: dt.date | None, to_day: dt.date | None, models: tuple[str, ...], output: Path | None, show: bool
) -> None:
    """Write the HTML report from the metric tables."""
    from synthflow_assets.report import last_days, write_report
    from synthflow_assets.settings import Settings
    from synthflow_assets.warehouse.connection import Warehouse

    settings = Settings.load()
    warehouse = Warehouse.from_settings(settings)
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


@main.command()
@click.option("--retry", is_flag=True, help="Type the kept records again, for after an upgrade.")
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
    with warehouse.connect(read_only=True) as connection:
        found = list_rejects(connection)
    for one in found:
        lost = f" ({one.records - one.kept:,} of them without content, which was not kept)"
        days = f"{one.first_day} to {one.last_day}"
        click.echo(f"{one.records:>9,}  {one.reason}; {days}{lost if one.kept < one.records else ''}")
    if not found:
        click.echo("no record is rejected")


def _compute_and_export(connection: DuckDBPyConnection, days: list[dt.date], settings: Settings) -> None:
    """Compute the metrics of these days, and replace the exports of what changed."""
    from synthflow_assets.metrics import replace_metrics
    from synthflow_assets.warehouse.export import export_again
    from synthflow_assets.warehouse.schema import CALLS

    computed = replace_metrics(connection, days, settings)
    if settings.export_folder is not None:
        for table, changed_days in {CALLS.name: days, **computed}.items():
            export_again(connection, [table], changed_days, settings.export_folder)


@main.command()
@click.option("--phone", required=True, help="The person's number with its country code, such as +14155550100.")
@click.confirmation_option(prompt="This cannot be undone. Remove this person's data?")
def forget(phone: str) -> None:
    """Remove one person's data from every table, export and recording, and keep it from coming back."""
    from synthflow_assets.erasure import erase_person
    from synthflow_assets.settings import Settings

    for line in erase_person(Settings.load(), phone):
        click.echo(line)


@main.command()
@click.option("--to", "location", required=True, help="The new place, as SYNTHFLOW_WAREHOUSE is to be.")
@click.option("--data-path", help="Where a new lake's files go, as SYNTHFLOW_LAKE_DATA_PATH is to be.")
def move(location: str, data_path: str | None) -> None:
    """Copy all tables to another place, such as from a file into a lake or back, and prove that they arrived."""
    from synthflow_assets.settings import Settings
    from synthflow_assets.warehouse.connection import Warehouse
    from synthflow_assets.warehouse.copying import copy_warehouse

    settings = Settings.load()
    # As the settings will have it, with the same errors.
    there = Settings.of(warehouse=location, warehouse_schema=settings.warehouse_schema, lake_data_path=data_path)
    _tell_copied(copy_warehouse(Warehouse.from_settings(settings), Warehouse.from_settings(there)))
    click.echo(f"Now set SYNTHFLOW_WAREHOUSE={location}; {settings.warehouse} is as it was, for you to remove")


@main.command()
@click.option("--to", "path", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The file.")
def backup(path: Path) -> None:
    """Copy all tables into a DuckDB file, and prove that they arrived."""
    from synthflow_assets.settings import Settings
    from synthflow_assets.warehouse.connection import Warehouse
    from synthflow_assets.warehouse.copying import back_up

    _tell_copied(back_up(Warehouse.from_settings(Settings.load()), path))


@main.command()
@click.option("--from", "path", required=True, type=click.Path(path_type=Path, exists=True), help="The file.")
def restore(path: Path) -> None:
    """Copy all tables of a backup into the warehouse, which must hold nothing, and prove that they arrived."""
    from synthflow_assets.settings import Settings
    from synthflow_assets.warehouse.connection import Warehouse
    from synthflow_assets.warehouse.copying import copy_warehouse

    settings = Settings.load()
    source = Warehouse(str(path), settings.warehouse_schema)
    _tell_copied(copy_warehouse(source, Warehouse.from_settings(settings)))


def _tell_copied(tables: list[CopiedTable]) -> None:
    for table in tables:
        click.echo(f"{table.rows:>13,}  {table.name}: the same checksum in both places")


@main.command()
def maintain() -> None:
    """Keep the warehouse small and fast: merge a lake's files and remove old ones, write a bloated file anew."""
    from synthflow_assets.settings import Settings
    from synthflow_assets.warehouse.connection import Warehouse

    settings = Settings.load()
    for name, count in Warehouse.from_settings(settings).maintain(settings.lake_snapshot_days).items():
        click.echo(f"{count:>13,}  {name.replace('_', ' ')}")


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8765, show_default=True, type=click.IntRange(1, 65535))
@click.option("--api-key", default="sandbox-key", show_default=True, help="The key that it accepts.")
@click.option("--agents", "agent_count", default=3, show_default=True, type=click.IntRange(1, 1000))
@click.option("--calls-per-day", default=120, show_default=True, type=click.IntRange(0, 5_000_000))
@click.option("--same-volume", is_flag=True, help="Exactly so many calls for every agent and day.")
@click.option("--seed", default=7, show_default=True)
@click.option("--latency-ms", default=0.0, show_default=True, type=click.FloatRange(0))
@click.option("--requests-per-second", type=click.FloatRange(0, min_open=True), help="Above it: 429.")
@click.option("--window-filters", type=click.Choice(["start", "end", "start_and_end"]), default="start")
@click.option(
    "--window-ends", type=click.Choice(["half_open", "inclusive", "exclusive", "exclusive_begin"]), default="half_open"
)
@click.option(
    "--order", type=click.Choice(["descending", "ascending", "arbitrary", "tied", "shuffled"]), default="descending"
)
@click.option("--hide-open-calls", is_flag=True)
@click.option("--poisoned-day", callback=_day, help="Questions about this day, YYYY-MM-DD in UTC, are answered 400.")
@click.option("--fault", "faults", multiple=True, metavar="NAME=CHANCE", help="Repeatable; `help` lists them.")
def sandbox(
    host: str, port: int, agent_count: int, latency_ms: float, faults: tuple[str, ...], **config: object
) -> None:
    """Serve the stand-in for Synthflow's API, with made-up calls."""
    from synthflow_assets.sandbox.config import FAULTS, SandboxConfig

    if "help" in faults:
        for name, effect in FAULTS.items():
            click.echo(f"{name:<16} {effect}")
        click.echo("A CHANCE below 1 is a probability; from 1 on it strikes the first so many requests.")
        return
    chances: dict[str, float] = {}
    for fault in faults:
        name, _, chance = fault.partition("=")
        try:
            chances[name] = float(chance or 1)
            known = SandboxConfig(
                agents=agent_count,
                latency_seconds=latency_ms / 1000,
                faults=chances,
                **config,  # type: ignore[arg-type]
            )
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--fault") from None
    if not faults:
        known = SandboxConfig(agents=agent_count, latency_seconds=latency_ms / 1000, **config)  # type: ignore[arg-type]
    from synthflow_assets.sandbox.server import serve

    click.echo(f"SYNTHFLOW_BASE_URL=http://{host}:{port}/v2 SYNTHFLOW_API_KEY={known.api_key}")
    serve(known, host, port)


@main.command()
def demo() -> None:
    """Run the pipeline for the last seven days over the sandbox and show the result."""
    from synthflow_assets.local import run_demo

    run_demo()


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=3000, show_default=True, type=click.IntRange(1, 65535))
def dev(host: str, port: int) -> None:
    """Start Dagster's UI and daemon on this project, over the sandbox where no key is set."""
    from synthflow_assets.local import run_dev

    raise SystemExit(run_dev(host, port))


@main.command()
def home() -> None:
    """Make the Dagster home of this project and print it, for DAGSTER_HOME."""
    from synthflow_assets.local import prepare_home

    click.echo(prepare_home())
