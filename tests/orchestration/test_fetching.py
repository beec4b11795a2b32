"""The fetching step: what a run config leaves out, and what happens to the other days if one fails."""

import dataclasses
import datetime as dt
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from synthflow_assets import loading, metrics
from synthflow_assets.orchestration.build import build_synthflow_defs
from synthflow_assets.quality import CHECKS, Check
from synthflow_assets.sandbox.server import Sandbox
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse
from tests.instances import definitions_of, without_checks

StartSandbox = Callable[..., Sandbox]
MakeSettings = Callable[..., Settings]
LandOnce = Callable[..., None]
FIRST, POISONED, LAST = "2026-03-08", "2026-03-09", "2026-03-10"
LANDED = ("calls", "call_rejects", "call_loads")
ASSETS = (*LANDED, "call_duration_daily", "disconnect_reasons_daily")
WITH_EXPORT = (*ASSETS, "calls_export")


def run(
    settings: Settings,
    instance: dg.DagsterInstance,
    first: str = FIRST,
    last: str = LAST,
    tags: dict[str, str] | None = None,
    assets: Sequence[str] = ASSETS,
    *,
    checks: bool = False,
    **config: Any,
) -> dg.ExecuteInProcessResult:
    os.environ["SYNTHFLOW_API_KEY"] = "sandbox-key"
    job = definitions_of(settings).resolve_job_def("synthflow_daily")
    job = job.get_subset(asset_selection=keys_of(assets)) if checks else without_checks(job, keys_of(assets))
    days = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
    return job.execute_in_process(
        instance=instance,
        tags={**days, **(tags or {})},
        run_config={"ops": {"synthflow__fetch_calls": {"config": config}}},
        raise_on_error=False,
    )


def keys_of(tables: Sequence[str]) -> set[dg.AssetKey]:
    return {dg.AssetKey(["synthflow", table]) for table in tables}


def failure(result: dg.ExecuteInProcessResult) -> str:
    [failed] = [event for event in result.all_events if event.is_step_failure]
    return str(failed.step_failure_data.error)


def days_of(instance: dg.DagsterInstance, table: str) -> set[str]:
    return set(instance.get_materialized_partitions(dg.AssetKey(["synthflow", table])))


def evaluation(instance: dg.DagsterInstance, check: Check) -> dg.AssetCheckEvaluation | None:
    """Return the latest evaluation of a check that Dagster has stored."""
    key = dg.AssetCheckKey(dg.AssetKey(["synthflow", check.table]), check.name)
    record = instance.get_latest_asset_check_evaluation_record(key)
    event = record.event.dagster_event if record and record.event else None
    return event.asset_check_evaluation_data if event else None


def mend(sandbox: Sandbox) -> None:
    sandbox.api.config = dataclasses.replace(sandbox.api.config, poisoned_day=None)


def asked_agents(sandbox: Sandbox) -> set[str]:
    return {asked["model_id"] for asked in sandbox.api.requests}


def poisoned(start_sandbox: StartSandbox) -> Sandbox:
    return start_sandbox(agents=2, calls_per_day=20, poisoned_day=dt.date.fromisoformat(POISONED))


def test_metrics_exports_and_checks_of_the_good_days_are_computed_and_recorded_if_a_day_fails(
    start_sandbox: StartSandbox, settings_for: MakeSettings, instance: dg.DagsterInstance
) -> None:
    """Otherwise one bad day would show every check as "Execution failed" and hide the cause."""
    sandbox = poisoned(start_sandbox)
    settings = settings_for(sandbox, export_dir="export")
    result = run(settings, instance, assets=WITH_EXPORT, checks=True)
    assert "2 of 6 (day, agent) pairs failed: 2026-03-09" in failure(result)
    records = {check.name: evaluation(instance, check) for check in CHECKS if check.table in ASSETS}
    assert len(records) > 10
    assert {name for name, record in records.items() if record is None or not record.passed} == set()
    for table in WITH_EXPORT:
        assert days_of(instance, table) == {FIRST, LAST}, table
    computed = Warehouse(settings.warehouse).read_frame("call_duration_daily")
    assert {day.date().isoformat() for day in computed["day"]} == {FIRST, LAST}
    assert not Path(f"export/calls/{POISONED}.parquet").exists()
    mend(sandbox)
    sandbox.api.requests.clear()
    assert run(settings, instance, assets=WITH_EXPORT, only_missing=True).success
    assert {int(asked["from_date"]) + 3_600_001 for asked in sandbox.api.requests} == {
        1_773_014_400_000
    }  # 2026-03-09 alone
    for table in WITH_EXPORT:
        assert days_of(instance, table) == {FIRST, POISONED, LAST}, table


def test_a_damaged_metric_of_a_good_day_is_reported_if_another_day_fails(
    start_sandbox: StartSandbox,
    settings_for: MakeSettings,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The check belongs to a step that Dagster skips, so the failing step records what it finds."""
    honest = metrics.compute_metrics

    def damaging(connection: Any, *arguments: Any) -> dict[str, list[dt.date]]:
        computed = honest(connection, *arguments)
        connection.execute("UPDATE call_duration_daily SET calls = calls + 1")
        return computed

    monkeypatch.setattr(metrics, "compute_metrics", damaging)
    run(settings_for(poisoned(start_sandbox)), instance, FIRST, POISONED, assets=ASSETS[:4], checks=True)
    [check] = [check for check in CHECKS if check.name == "recount_call_duration_daily"]
    damaged = evaluation(instance, check)
    assert damaged is not None
    assert not damaged.passed
    assert damaged.severity is dg.AssetCheckSeverity.ERROR
    assert "Compute it again: `dg launch" in str(damaged.description)
    assert damaged.metadata["problems"].value == 2


def test_a_run_of_checks_alone_fetches_nothing_and_looks_at_all_days(
    start_sandbox: StartSandbox, settings_for: MakeSettings, instance: dg.DagsterInstance, land_once: LandOnce
) -> None:
    sandbox = start_sandbox(agents=1, calls_per_day=20)
    settings = settings_for(sandbox)
    land_once(sandbox, settings, FIRST, LAST)
    with Warehouse(settings.warehouse).connect() as connection:
        connection.execute(f"UPDATE call_loads SET total_records = total_records + 3 WHERE day = '{FIRST}'")
    sandbox.api.requests.clear()
    key = dg.AssetCheckKey(dg.AssetKey(["synthflow", "calls"]), "complete")
    job = dg.define_asset_job("one_check", dg.AssetSelection.checks(key))
    definitions = dg.Definitions.merge(build_synthflow_defs(settings), dg.Definitions(jobs=[job]))
    result = definitions.resolve_job_def("one_check").execute_in_process(instance=instance, raise_on_error=False)
    [found] = result.get_asset_check_evaluations()
    assert not found.passed
    assert str(found.description).startswith(f"{FIRST} ")
    assert sandbox.api.requests == []


def test_a_run_that_was_started_from_assets_is_found_by_its_workspace(
    start_sandbox: StartSandbox, settings_for: MakeSettings, instance: dg.DagsterInstance
) -> None:
    definitions = build_synthflow_defs(settings_for(start_sandbox(agents=1, calls_per_day=2)))
    job = definitions.resolve_implicit_global_asset_job_def()
    days = {"dagster/asset_partition_range_start": FIRST, "dagster/asset_partition_range_end": FIRST}
    started = without_checks(job, ["calls"]).execute_in_process(instance=instance, tags=days)
    [found] = instance.get_runs(dg.RunsFilter(tags={"synthflow/workspace": "synthflow"}))
    assert found.run_id == started.run_id


def test_a_run_without_a_partition_says_what_to_do(instance: dg.DagsterInstance) -> None:
    """Such as of `dg launch --job synthflow_daily`."""
    os.environ["SYNTHFLOW_API_KEY"] = "sandbox-key"
    job = build_synthflow_defs(Settings.of(api_key=dg.EnvVar("SYNTHFLOW_API_KEY"))).resolve_job_def("synthflow_daily")
    assert "the run has no partition; start it with a day, such as --partition " in failure(
        without_checks(job, ["calls"]).execute_in_process(instance=instance, raise_on_error=False)
    )


def test_a_failed_agent_does_not_cost_the_others(
    start_sandbox: StartSandbox, settings_for: MakeSettings, instance: dg.DagsterInstance
) -> None:
    sandbox = start_sandbox(agents=1, calls_per_day=20, assistants_endpoint=False)
    [good] = sandbox.model_ids
    settings = settings_for(sandbox, model_ids=f"nobody,{good}")
    assert "2 of 4 (day, agent) pairs failed" in failure(run(settings, instance, POISONED, LAST))
    computed = Warehouse(settings.warehouse).read_frame("call_duration_daily")
    assert computed["model_id"].tolist() == [good] * 2
    assert days_of(instance, "calls") == set()  # no day is whole


def test_a_deleted_agent_does_not_cost_the_others(
    start_sandbox: StartSandbox, settings_for: MakeSettings, instance: dg.DagsterInstance
) -> None:
    sandbox = start_sandbox(agents=1, calls_per_day=20)
    [good] = sandbox.model_ids
    settings = settings_for(sandbox, model_ids=f"deleted,{good}")
    message = "model_ids names deleted, which the workspace does not have"
    days = (FIRST, POISONED)
    assert message in failure(run(settings, instance, *days))
    assert asked_agents(sandbox) == {good}
    for table in ("calls", "call_duration_daily"):
        assert days_of(instance, table) == set(days), table
    assert run(settings, instance, *days, assets=LANDED, models=[good]).success
    sandbox.api.config = dataclasses.replace(sandbox.api.config, poisoned_day=dt.date.fromisoformat(POISONED))
    both = failure(run(settings, instance, *days, assets=LANDED))
    assert "1 of 2 (day, agent) pairs failed" in both
    assert message in both


def test_an_agent_that_was_added_later_is_backfilled_alone(
    start_sandbox: StartSandbox, settings_for: MakeSettings, instance: dg.DagsterInstance
) -> None:
    sandbox = start_sandbox(agents=2, calls_per_day=20)
    old, new = sandbox.model_ids
    days = (POISONED, LAST)
    assets = (*LANDED, "call_duration_daily")
    assert run(settings_for(sandbox, model_ids=old), instance, *days, assets=LANDED).success
    before = Warehouse(settings_for(sandbox).warehouse).read_frame("call_loads")
    sandbox.api.requests.clear()
    assert run(settings_for(sandbox), instance, *days, assets=assets, models=[new]).success
    assert asked_agents(sandbox) == {new}
    after = Warehouse(settings_for(sandbox).warehouse).read_frame("call_loads")
    assert after[after["model_id"] == old].reset_index(drop=True).equals(before)
    assert len(after) == 4
    # The metadata of a day counts all its agents.
    [record, *_] = instance.fetch_materializations(dg.AssetKey(["synthflow", "call_loads"]), limit=1).records
    assert record.asset_materialization is not None
    assert record.asset_materialization.metadata["agents"].value == 2
    assert len(Warehouse(settings_for(sandbox).warehouse).read_frame("call_duration_daily")) == 4


def test_calls_that_vanished_are_removed_only_if_the_run_config_accepts_it(
    start_sandbox: StartSandbox,
    settings_for: MakeSettings,
    instance: dg.DagsterInstance,
    land_once: LandOnce,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loading, "CONFIRM_AFTER_SECONDS", 0.0)
    sandbox = start_sandbox(agents=1, calls_per_day=20, same_volume=True)
    settings = settings_for(sandbox)
    land_once(sandbox, settings, LAST, LAST)
    sandbox.api.config = dataclasses.replace(sandbox.api.config, faults={"no_calls": 1e9})
    assert "the API no longer lists 20 of 20 calls" in failure(run(settings, instance, LAST, LAST, assets=LANDED))
    assert len(Warehouse(settings.warehouse).read_frame("calls")) == 20
    assert run(settings, instance, LAST, LAST, assets=LANDED, accept_deleted=True).success
    assert len(Warehouse(settings.warehouse).read_frame("calls")) == 0


def test_an_unknown_agent_in_the_run_config_is_one_message(
    start_sandbox: StartSandbox, settings_for: MakeSettings, instance: dg.DagsterInstance
) -> None:
    result = run(settings_for(start_sandbox()), instance, assets=LANDED, models=["nobody"])
    assert "`models` of the run config names nobody, which the workspace does not have" in failure(result)


def test_only_missing_asks_again_for_what_is_not_settled(
    start_sandbox: StartSandbox, settings_for: MakeSettings, instance: dg.DagsterInstance, land_once: LandOnce
) -> None:
    sandbox = start_sandbox(agents=2, calls_per_day=20)
    settings = settings_for(sandbox)
    land_once(sandbox, settings, POISONED, LAST)
    with Warehouse(settings.warehouse).connect() as connection:
        connection.execute(
            "UPDATE call_loads SET settled = false WHERE day = $day AND model_id = $model_id",
            {"day": POISONED, "model_id": sandbox.model_ids[1]},
        )
    sandbox.api.requests.clear()
    assert run(settings, instance, POISONED, LAST, assets=LANDED, only_missing=True).success
    assert asked_agents(sandbox) == {sandbox.model_ids[1]}
    sandbox.api.requests.clear()
    assert run(settings, instance, POISONED, LAST, assets=LANDED, only_missing=True).success
    assert sandbox.api.requests == []


def test_a_repeated_run_goes_on_where_the_failed_one_stopped(
    start_sandbox: StartSandbox, settings_for: MakeSettings, instance: dg.DagsterInstance, land_once: LandOnce
) -> None:
    sandbox = poisoned(start_sandbox)
    settings = settings_for(sandbox)
    land_once(sandbox, settings, FIRST, FIRST)  # the days of another run are fetched again
    sandbox.api.requests.clear()
    days = (FIRST, POISONED)
    failed = run(settings, instance, *days, assets=LANDED)
    assert len({asked["from_date"] for asked in sandbox.api.requests}) == 2
    mend(sandbox)
    sandbox.api.requests.clear()
    parents = {"dagster/parent_run_id": failed.run_id, "dagster/root_run_id": failed.run_id}
    repeated = run(settings, instance, *days, assets=LANDED, tags=parents)
    assert repeated.success
    assert {int(asked["from_date"]) + 3_600_001 for asked in sandbox.api.requests} == {1_773_014_400_000}
    # Re-executing a successful run fetches again.
    sandbox.api.requests.clear()
    again = {"dagster/parent_run_id": repeated.run_id}
    assert run(settings, instance, *days, assets=LANDED, tags=again).success
    assert len({asked["from_date"] for asked in sandbox.api.requests}) == 2


def test_nothing_is_computed_from_days_that_fail_a_blocking_check(
    start_sandbox: StartSandbox, settings_for: MakeSettings, instance: dg.DagsterInstance
) -> None:
    sandbox = poisoned(start_sandbox)
    settings = settings_for(sandbox)
    assets = (*LANDED, "call_duration_daily")
    assert run(settings, instance, FIRST, FIRST, assets=assets).success
    with Warehouse(settings.warehouse).connect() as connection:
        # The same call on a day far away: the check of unique ids fails.
        connection.execute("INSERT INTO calls SELECT * REPLACE (DATE '2020-01-01' AS day) FROM calls LIMIT 1")
    assert "(day, agent) pairs failed" in failure(run(settings, instance, assets=assets))
    assert days_of(instance, "calls") == {FIRST, LAST}
    assert days_of(instance, "call_duration_daily") == {FIRST}
