"""The report and the previews as Dagster shows them: one of each per run, also if a day fails."""

import datetime as dt
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from synthflow_assets import report as report_module
from synthflow_assets.orchestration.build import build_synthflow_defs
from synthflow_assets.report.content import COMPLETE, MISSING
from synthflow_assets.sandbox.server import Sandbox
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.schema import AGENTS, TABLES
from tests.instances import definitions_of, without_checks
from tests.report.reading import columns_of

FIRST, LAST = dt.date(2026, 3, 8), dt.date(2026, 3, 10)
REPORT = dg.AssetKey(["synthflow", "call_report"])

StartSandbox = Callable[..., Sandbox]
MakeSettings = Callable[..., Settings]
LandOnce = Callable[..., None]


def run(settings: Settings, instance: dg.DagsterInstance, *assets: str) -> dg.ExecuteInProcessResult:
    """Run assets of the daily job, or all of them, without checks."""
    os.environ["SYNTHFLOW_API_KEY"] = "sandbox-key"
    days = {"dagster/asset_partition_range_start": f"{FIRST}", "dagster/asset_partition_range_end": f"{LAST}"}
    job = definitions_of(settings).resolve_job_def("synthflow_daily")
    return without_checks(job, assets).execute_in_process(instance=instance, tags=days, raise_on_error=False)


def metadata_of(instance: dg.DagsterInstance, key: dg.AssetKey) -> dict[str, dict[str, Any]]:
    """Return the metadata of the latest materialization of each partition."""
    found = instance.fetch_materializations(key, limit=100, ascending=True).records
    return {
        str(one.partition_key): dict(one.asset_materialization.metadata) for one in found if one.asset_materialization
    }


def test_a_run_over_days_writes_one_report_and_one_picture_a_metric(
    start_sandbox: StartSandbox, settings_for: MakeSettings, instance: dg.DagsterInstance
) -> None:
    settings = settings_for(start_sandbox(calls_per_day=60), start_date=f"{FIRST}", previews=True)
    pictured = ("call_duration_daily", "disconnect_reasons_daily", "workspace_load_hourly")
    assert run(settings, instance, "calls", *pictured, "call_outcomes_daily", "call_rates_daily", "call_report").success
    shown = metadata_of(instance, REPORT)
    assert set(shown) == {f"{FIRST}", "2026-03-09", f"{LAST}"}
    metadata = shown[f"{LAST}"]
    path = Path(metadata["path"].value)
    assert path == Path("data/report.html").resolve()
    assert metadata["size_bytes"].value == path.stat().st_size
    assert "warning" not in metadata
    # The last days have not landed, so the report shows the landed ones.
    assert (metadata["days"].value, metadata["agents"].value) == (3, 2)
    numbers = Warehouse(settings.warehouse).read_frame("call_rates_daily").sum(numeric_only=True)
    assert metadata["calls"].value == numbers["calls"]
    assert metadata["person_reached_rate"].value == numbers["person_reached_calls"] / numbers["calls"]
    transfers = numbers["transfer_success_calls"] + numbers["transfer_failed_calls"]
    assert metadata["transfer_failed_rate"].value == numbers["transfer_failed_calls"] / transfers
    # The preview is that of the outcomes, which the step of the metrics has drawn.
    outcomes = metadata_of(instance, dg.AssetKey(["synthflow", "call_outcomes_daily"]))
    assert metadata["preview"] == outcomes[f"{LAST}"]["preview"]
    assert "preview" not in shown[f"{FIRST}"]
    assert sum(columns_of(path)["calls"]) == len(Warehouse(settings.warehouse).read_frame("calls")) > 0
    for table in pictured:
        pictures = {
            day: one["preview"].value
            for day, one in metadata_of(instance, dg.AssetKey(["synthflow", table])).items()
            if "preview" in one
        }
        assert list(pictures) == [f"{LAST}"]
        assert pictures[f"{LAST}"].startswith("![")
    # If the outcomes are not computed, the report draws its own preview. A control character in a text ends no step.
    with Warehouse(settings.warehouse).connect() as connection:
        connection.execute("UPDATE call_outcomes_daily SET calls = 2 * calls WHERE value = 'person_reached'")
        connection.execute("UPDATE calls SET end_call_reason = $1", ["said\x0bbye"])
        connection.execute("UPDATE agents SET name = $1 || name", ["\x1b]0;"])
    assert run(settings, instance, "call_duration_daily", "call_report").success
    durations = metadata_of(instance, dg.AssetKey(["synthflow", "call_duration_daily"]))[f"{LAST}"]
    assert durations["preview"].value.startswith("![")
    alone = metadata_of(instance, REPORT)[f"{LAST}"]
    assert alone["person_reached_rate"].value == 2 * metadata["person_reached_rate"].value
    assert alone["preview"].value.startswith("![")
    assert alone["preview"] != metadata["preview"]


def test_where_a_day_fails_the_report_says_so(
    start_sandbox: StartSandbox, settings_for: MakeSettings, instance: dg.DagsterInstance
) -> None:
    settings = settings_for(start_sandbox(calls_per_day=20, poisoned_day=dt.date(2026, 3, 9)), start_date=f"{FIRST}")
    assert not run(settings, instance).success
    shown = metadata_of(instance, REPORT)
    assert set(shown) == {f"{FIRST}", f"{LAST}"}
    assert "preview" not in shown[f"{LAST}"]  # previews are switched off
    states = columns_of(Path("data/report.html"))["state"]
    assert states == [COMPLETE] * 2 + [MISSING] * 2 + [COMPLETE] * 2


def test_a_report_that_is_too_large_is_shown_with_a_warning(
    start_sandbox: StartSandbox,
    settings_for: MakeSettings,
    instance: dg.DagsterInstance,
    land_once: LandOnce,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sandbox = start_sandbox(agents=1, calls_per_day=20)
    land_once(sandbox, settings_for(sandbox), f"{FIRST}", f"{LAST}", computed=True)
    monkeypatch.setattr(report_module, "LARGEST_BYTES", 100_000)
    assert run(settings_for(sandbox, start_date=f"{FIRST}"), instance, "call_report").success
    assert "SYNTHFLOW_REPORT_DAYS" in metadata_of(instance, REPORT)[f"{LAST}"]["warning"].value


def test_a_report_that_cannot_be_written_fails_alone(
    start_sandbox: StartSandbox, settings_for: MakeSettings, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    settings = settings_for(start_sandbox(calls_per_day=20), start_date=f"{FIRST}", report="file/report.html")
    result = run(settings, instance, "calls", "call_rates_daily", "call_report")
    failed = [event for event in result.all_events if event.is_step_failure]
    assert [event.step_key for event in failed] == ["synthflow__write_report"]
    assert "cannot write the report to file/report.html" in str(failed[0].step_failure_data.error)
    assert set(metadata_of(instance, dg.AssetKey(["synthflow", "call_rates_daily"]))) == {
        f"{FIRST}", "2026-03-09", f"{LAST}",
    }  # fmt: skip


def test_the_report_depends_on_what_it_shows(settings_for: MakeSettings, start_sandbox: StartSandbox) -> None:
    graph = build_synthflow_defs(settings_for(start_sandbox())).resolve_asset_graph()
    queries = "".join(path.read_text() for path in Path(report_module.__file__).with_name("sql").glob("*.sql"))
    read = set(re.findall(r"(?:FROM|JOIN) (\w+)", queries)) & set(TABLES) - {AGENTS.name}
    assert {key.path[-1] for key in graph.get(REPORT).parent_keys} == read
