"""The message of a failed check: what is wrong, in numbers, and a command that repairs it."""

import dataclasses
import datetime as dt
import json
import re
import shlex
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from markdown_it import MarkdownIt

from synthflow_assets.api.client import SynthflowClient
from synthflow_assets.days import last_closed_day
from synthflow_assets.loading import load_calls, resolve_agents
from synthflow_assets.metrics import compute_metrics
from synthflow_assets.orchestration.build import build_module_defs
from synthflow_assets.quality import CHECKS, SCHEDULED_CHECKS
from synthflow_assets.sandbox import store
from synthflow_assets.sandbox.config import DEFAULT_API_KEY, SandboxConfig
from synthflow_assets.sandbox.server import Sandbox
from synthflow_assets.settings import Settings
from synthflow_assets.texts import from_markdown
from synthflow_assets.warehouse.connection import Warehouse
from tests.instances import definitions_of, without_checks

StartSandbox = Callable[..., Sandbox]
MakeSettings = Callable[..., Settings]


@pytest.fixture(scope="module")
def days() -> tuple[str, str]:
    """The last two closed days. They include the days that are due, also if another one becomes due meanwhile."""
    last = last_closed_day("UTC")
    return f"{last - dt.timedelta(days=1)}", f"{last}"


def run(
    settings: Settings, instance: dg.DagsterInstance, selection: dg.AssetSelection, *, checks: bool = True, **how: Any
) -> dict[str, dg.AssetCheckEvaluation]:
    """Run a selection, with or without its checks, and return their evaluations by name."""
    job = dg.define_asset_job("chosen", selection)
    made = dg.Definitions.merge(definitions_of(settings), dg.Definitions(jobs=[job])).resolve_job_def("chosen")
    chosen = made if checks else without_checks(made)
    result = chosen.execute_in_process(instance=instance, raise_on_error=False, **how)
    return {one.check_name: one for one in result.get_asset_check_evaluations()}


def launch(
    settings: Settings,
    instance: dg.DagsterInstance,
    command: str,
    *,
    checks: bool = True,
    only: dg.AssetSelection | None = None,
) -> dict[str, dg.AssetCheckEvaluation]:
    """Run what a `dg launch` command would run, or only some of its assets, with or without checks."""
    words = shlex.split(command)
    options = dict(zip(words[2::2], words[3::2], strict=True))
    first, _, last = (options.get("--partition") or options["--partition-range"]).partition("...")
    tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last or first}
    config = json.loads(options.get("--config-json", "{}"))
    with warnings.catch_warnings(action="ignore", category=dg.BetaWarning):  # of Dagster's own parser
        assets = dg.AssetSelection.from_string(options["--assets"])
    return run(settings, instance, assets & only if only else assets, checks=checks, tags=tags, run_config=config)


def ask(settings: Settings, instance: dg.DagsterInstance, name: str) -> dg.AssetCheckEvaluation:
    """Return the evaluation of one check that is run alone, over all days."""
    [check] = [check for check in (*CHECKS, *SCHEDULED_CHECKS) if check.name == name]
    key = dg.AssetCheckKey(dg.AssetKey(["synthflow", check.table]), name)
    return run(settings, instance, dg.AssetSelection.checks(key))[name]


def said(evaluation: dg.AssetCheckEvaluation) -> str:
    assert not evaluation.passed
    assert evaluation.description
    assert "\n" not in evaluation.description
    return from_markdown(evaluation.description)


def test_every_check_says_what_to_do() -> None:
    assert [check.name for check in (*CHECKS, *SCHEDULED_CHECKS) if not check.remedy] == []


LANDED = dg.AssetSelection.assets(*(["synthflow", name] for name in ("calls", "call_rejects", "call_loads")))
REPAIRED = [
    ("complete", "UPDATE call_loads SET total_records = total_records + 3", "calls were fetched, the API states "),
    ("within_day", "UPDATE calls SET day = day - 1 WHERE day = '{last}'", "calls started on another day in UTC"),
    ("no_gaps", "DELETE FROM call_loads WHERE day = '{first}'", "{first} Front Desk: never landed"),
    (
        "recount_call_duration_daily",
        "UPDATE call_duration_daily SET p90_duration_seconds = 1",
        "p90_duration_seconds is 1, expected ",
    ),
    (
        "call_rates_reconcile",
        "UPDATE call_duration_daily SET short_calls = short_calls + 1",
        " short calls, in call_duration_daily ",
    ),
]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(SandboxConfig(agents=1, calls_per_day=120, same_volume=True)) as started:
        yield started


@pytest.fixture(scope="module")
def landed_file(sandbox: Sandbox, days: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse with the two days and their metrics."""
    file = tmp_path_factory.mktemp("landed") / "warehouse.duckdb"
    settings = Settings.of(api_key=DEFAULT_API_KEY, base_url=sandbox.url)
    warehouse, both = Warehouse(file), [dt.date.fromisoformat(day) for day in days]
    with SynthflowClient.from_settings(settings) as client:
        agents = resolve_agents(client, settings).agents
        list(load_calls(client, warehouse, settings, agents, both, log=lambda _: None))
    with warehouse.connect() as connection:
        compute_metrics(connection, both, settings)
    return file


@pytest.fixture
def landed(
    sandbox: Sandbox, landed_file: Path, settings_for: MakeSettings, days: tuple[str, str], tmp_path: Path
) -> Settings:
    """The settings of a copy of that warehouse."""
    return settings_for(sandbox, start_date=days[0], warehouse=str(shutil.copy(landed_file, tmp_path)))


@pytest.mark.parametrize(("name", "damage", "says"), REPAIRED, ids=[name for name, *_ in REPAIRED])
def test_the_command_that_a_failed_check_names_repairs_it(
    landed: Settings, instance: dg.DagsterInstance, days: tuple[str, str], name: str, damage: str, says: str
) -> None:
    first, last = days
    with Warehouse(landed.warehouse).connect() as connection:
        connection.execute(damage.format(first=first, last=last))
    description = said(ask(landed, instance, name))
    assert says.format(first=first) in description
    [command] = [part for part in re.findall("`([^`]+)`", description) if part.startswith("dg launch")]
    # A check of what landed passes as soon as it landed again. Gaps are also days whose metrics are missing.
    launch(landed, instance, command, checks=False, only=LANDED if name in ("complete", "within_day") else None)
    assert ask(landed, instance, name).passed


def test_the_name_of_an_agent_is_text_in_the_description_of_a_check(
    landed: Settings, instance: dg.DagsterInstance
) -> None:
    """Dagster shows descriptions as Markdown: the name would load an image of another host."""
    name = "![](https://evil.example/x.png) <img src=x>"
    with Warehouse(landed.warehouse).connect() as connection:
        connection.execute("UPDATE agents SET name = $1", [name])
        connection.execute("UPDATE call_loads SET total_records = total_records + 3")
    evaluation = ask(landed, instance, "complete")
    shown = MarkdownIt("commonmark").render(str(evaluation.description))
    assert set(re.findall("<.*?>", shown)) == {"<p>", "</p>", "<code>", "</code>"}
    assert name in said(evaluation).replace("\u200b", "")


def test_the_commands_of_the_packages_own_code_location_name_its_module(
    landed: Settings, instance: dg.DagsterInstance, days: tuple[str, str]
) -> None:
    """Without it, `dg launch` finds no definitions in an empty folder."""
    with Warehouse(landed.warehouse).connect() as connection:
        connection.execute("DELETE FROM call_loads WHERE day = $1", [days[0]])
    job = build_module_defs(landed, "synthflow_assets.definitions").resolve_job_def("synthflow_freshness")
    evaluations = job.execute_in_process(instance=instance).get_asset_check_evaluations()
    [gaps] = [one for one in evaluations if one.check_name == "no_gaps"]
    command = "dg launch --module-name synthflow_assets.definitions --assets 'group:synthflow'"
    assert f"`{command} --partition {days[0]}" in said(gaps)


def test_messages_count_new_fields_empty_fields_and_odd_records(
    start_sandbox: StartSandbox,
    settings_for: MakeSettings,
    instance: dg.DagsterInstance,
    days: tuple[str, str],
    land_once: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, last = days
    sandbox = start_sandbox(agents=1, same_volume=True)
    settings = settings_for(sandbox)
    land_once(sandbox, settings, first, first)
    render = store.render
    monkeypatch.setattr(
        store, "render", lambda *of: re.sub('"recording_url":"[^"]*"', '"recording_url":null', render(*of))
    )
    sandbox.api.store.config = dataclasses.replace(sandbox.api.store.config, faults={"odd_records": 1})
    checks = launch(settings, instance, f"dg launch --assets key:synthflow/calls --partition {last}")
    assert checks["complete"].passed
    [loads] = Warehouse(settings.warehouse).read_frame("call_loads").tail(1).to_dict("records")
    landed = Warehouse(settings.warehouse).read_frame("calls", dt.date.fromisoformat(last), dt.date.fromisoformat(last))
    assert (loads["rejected"], loads["landed"]) == (4, len(landed))
    fields = checks["same_fields"]
    assert re.match(
        rf"{last}: recording_url is empty in all \d+ calls; in the week before, \d\d % had it \(and 1 more\)\. "
        r"If you need the field, tell the maintainers",
        said(fields),
    )
    assert f"- {last}: mood is new, in 1 of " in str(fields.metadata["details"].value)
    assert said(checks["no_rejects"]).startswith(f"{last} Front Desk: 3 records rejected: duration is not")
    assert checks["no_rejects"].severity is dg.AssetCheckSeverity.WARN
    assert "`synthflow-assets rejects`" in said(checks["no_rejects"])
    assert "call_status is teleported in 1 calls, which is not documented" in said(checks["known_values"])


def test_freshness_counts_agents_that_are_no_longer_expected(
    start_sandbox: StartSandbox, settings_for: MakeSettings, instance: dg.DagsterInstance, days: tuple[str, str]
) -> None:
    settings = settings_for(start_sandbox(agents=2, calls_per_day=20))
    # Until 07:00, the first of the days is the one that is due.
    launch(settings, instance, f"dg launch --assets key:synthflow/calls --partition-range {'...'.join(days)}")
    fresh = ask(settings, instance, "fresh_per_model")
    assert fresh.passed
    assert "no longer expected" not in str(fresh.description)
    with Warehouse(settings.warehouse).connect() as connection:
        connection.execute(
            "UPDATE call_loads SET day = day - 20 WHERE model_id = (SELECT min(model_id) FROM call_loads)"
        )
    fresh = ask(settings, instance, "fresh_per_model")
    assert fresh.passed
    assert str(fresh.description).endswith(
        "1 agent(s) are no longer expected: not listed any more, or not fetched for two weeks."
    )
