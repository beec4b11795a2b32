"""What starts users' assets downstream of ours, and what Dagster shows as outdated."""

import datetime as dt
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import dagster as dg
import duckdb
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest

from synthflow_assets.orchestration.build import build_synthflow_defs
from synthflow_assets.orchestration.run_days import lookback_tags
from synthflow_assets.sandbox.server import Sandbox
from synthflow_assets.sandbox.store import Window
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.metric_tables import METRIC_TABLES
from tests.instances import without_checks

AGENTS = dg.AssetKey(["synthflow", "agents"])
CALLS = dg.AssetKey(["synthflow", "calls"])
ACTIONS = dg.AssetKey(["synthflow", "actions_daily"])
ASSETS = [dg.AssetKey(["synthflow", table]) for table in ("calls", "call_rejects", "call_loads", "actions_daily")]
FIRST = dt.date(2026, 3, 8)


def outdated(definitions: dg.Definitions, instance: dg.DagsterInstance, tables: list[str], days: list[str]) -> set[str]:
    """Return the tables of which Dagster's UI shows a day as outdated."""
    graph = definitions.resolve_asset_graph()
    resolver = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
    return {
        table
        for table in tables
        for day in days
        if resolver.get_status(dg.AssetKey(["synthflow", table]), day) is not StaleStatus.FRESH
    }


class Morning:
    """Each morning a daily run, then a tick of the sensor, then the runs that it requested."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance) -> None:
        self._instance = instance
        self._cursor = None
        ours = build_synthflow_defs(settings)
        partitions = ours.resolve_asset_graph().get(CALLS).partitions_def
        condition = dg.AutomationCondition.eager().without(dg.AutomationCondition.in_latest_time_window())

        @dg.asset(partitions_def=partitions, deps=[ACTIONS], automation_condition=condition)
        def somebodys() -> None: ...

        @dg.asset(deps=[AGENTS], automation_condition=dg.AutomationCondition.eager())
        def names() -> None: ...

        self._definitions = dg.Definitions.merge(ours, dg.Definitions([somebodys, names]))
        self._job = without_checks(self._definitions.resolve_job_def("synthflow_daily"), ASSETS)
        self.tick()

    def outdated(self, days: list[str]) -> set[str]:
        return outdated(self._definitions, self._instance, ["calls", "actions_daily"], days)

    def run(self, last: dt.date, first: dt.date = FIRST) -> tuple[list[str], bool]:
        """Fetch a day and those before it again.

        Returns:
            The days for which the asset downstream of the actions runs, and whether the one of the agents runs.
        """
        done = self._job.execute_in_process(instance=self._instance, tags=lookback_tags(first, last))
        assert done.success
        requested = self.tick()
        assert self.tick() == ([], False)  # Dagster sees that they ran
        return requested

    def tick(self) -> tuple[list[str], bool]:
        theirs = dg.AssetSelection.assets("somebodys", "names")
        result = dg.evaluate_automation_conditions(self._definitions, self._instance, theirs, cursor=self._cursor)
        self._cursor = result.cursor
        requested = sorted(result.get_requested_partitions(dg.AssetKey("somebodys")))
        for day in requested:
            self._instance.report_runless_asset_event(dg.AssetMaterialization("somebodys", partition=day))
        if is_woken := result.get_num_requested(dg.AssetKey("names")) > 0:
            self._instance.report_runless_asset_event(dg.AssetMaterialization("names"))
        return requested, is_woken


@pytest.fixture
def sandbox(start_sandbox: Callable[..., Sandbox]) -> Sandbox:
    return start_sandbox(agents=1, calls_per_day=5)


def test_a_look_back_or_a_list_of_agents_that_is_the_same_wakes_no_eager_asset_downstream(
    sandbox: Sandbox, settings_for: Callable[..., Settings], instance: dg.DagsterInstance
) -> None:
    morning = Morning(settings_for(sandbox), instance)
    days = [FIRST + dt.timedelta(days=number) for number in range(4)]
    [model_id] = sandbox.model_ids
    assert morning.run(days[0]) == ([f"{days[0]}"], True)
    assert morning.run(days[1]) == ([f"{days[1]}"], False)
    sandbox.api.store.agents[model_id] = replace(sandbox.api.store.agents[model_id], name="Nora")
    assert morning.run(days[2]) == ([f"{days[2]}"], True)
    midnight_ms = int(dt.datetime(2026, 3, 9, tzinfo=dt.UTC).timestamp() * 1000)
    sandbox.api.store.add_arrival(model_id, Window(midnight_ms, midnight_ms + 86_400_000))
    sandbox.api.store._selections.clear()
    assert morning.run(days[3]) == (["2026-03-09", "2026-03-11"], False)
    made = [record.asset_materialization for record in instance.fetch_materializations(AGENTS, limit=9).records]
    versions = [(one.tags or {})["dagster/data_version"] for one in made if one]
    assert len(versions) == len(set(versions)) == 2


def test_a_changed_day_of_the_look_back_has_a_version_of_its_own_and_is_up_to_date(
    sandbox: Sandbox, settings_for: Callable[..., Settings], instance: dg.DagsterInstance
) -> None:
    morning = Morning(settings_for(sandbox), instance)
    morning.run(FIRST)
    morning.run(FIRST + dt.timedelta(days=1), FIRST - dt.timedelta(days=1))
    versions = {}
    for key in (CALLS, ACTIONS):
        for record in instance.fetch_materializations(key, limit=10).records:
            made = record.asset_materialization
            assert made is not None
            assert made.tags is not None
            assert made.tags["dagster/data_version"] == made.metadata["data_version"].value
            versions[key, made.partition] = made.tags["dagster/data_version"]
    assert len(versions) == len(set(versions.values())) == 6
    assert morning.outdated(["2026-03-07", "2026-03-08", "2026-03-09"]) == set()


def test_the_documented_asset_without_partitions_starts_before_the_backfill_is_complete() -> None:
    """`eager()` alone waits for all days since the start date."""
    page = (Path(__file__).parents[2] / "docs" / "downstream.md").read_text("utf-8")
    module: dict[str, dg.Definitions] = {}
    exec(page.split("```python\n")[1].split("```")[0], module)  # noqa: S102 (the code is our own)
    weekly = dg.AssetKey("weekly_rates")
    selected = dg.AssetSelection.assets(weekly)
    with dg.DagsterInstance.ephemeral() as instance:
        before = dg.evaluate_automation_conditions(module["defs"], instance, selected)
        rates = dg.AssetKey(["synthflow", "call_rates_daily"])
        instance.report_runless_asset_event(dg.AssetMaterialization(rates, partition=FIRST.isoformat()))
        after = dg.evaluate_automation_conditions(module["defs"], instance, selected, cursor=before.cursor)
    assert (before.get_num_requested(weekly), after.get_num_requested(weekly)) == (0, 1)


def test_a_day_of_the_look_back_is_up_to_date_with_an_asset_of_ones_own_upstream(
    sandbox: Sandbox, settings_for: Callable[..., Settings], instance: dg.DagsterInstance
) -> None:
    """It has no partitions, so its materialization is of no day."""

    @dg.asset
    def leads() -> None: ...

    ours = build_synthflow_defs(
        settings_for(sandbox), get_asset_spec=lambda props: props.spec.replace_attributes(deps=["leads"])
    )
    definitions = dg.Definitions.merge(ours, dg.Definitions([leads]))
    assert dg.materialize([leads], instance=instance).success
    job = without_checks(definitions.resolve_job_def("synthflow_daily"), ASSETS)
    tags = lookback_tags(FIRST, FIRST + dt.timedelta(days=1))
    assert job.execute_in_process(instance=instance, tags=tags).success
    assert outdated(definitions, instance, ["calls", "actions_daily"], [f"{FIRST}"]) == set()


def test_only_what_a_changed_setting_outdates_is_computed_again_also_after_a_failure(
    sandbox: Sandbox, settings_for: Callable[..., Settings], instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    """If the exports fail, the metrics were computed, and logged as computed, before."""
    days = [f"{FIRST + dt.timedelta(days=number)}" for number in range(2)]
    report, folder = tmp_path / "report.html", tmp_path / "out/call_duration_daily"
    settings = settings_for(sandbox, export_dir=str(tmp_path / "out"), report=str(report))
    definitions = build_synthflow_defs(settings)
    tags = {"dagster/asset_partition_range_start": days[0], "dagster/asset_partition_range_end": days[1]}
    daily = without_checks(definitions.resolve_job_def("synthflow_daily"))
    assert daily.execute_in_process(instance=instance, tags=tags).success

    def recompute(definitions: dg.Definitions, *, fails: bool = False) -> set[tuple[str, str | None]]:
        job = without_checks(definitions.resolve_job_def("synthflow_recompute"))
        done = job.execute_in_process(instance=instance, raise_on_error=False)
        assert done.success is not fails
        logged = instance.all_logs(done.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
        found = [entry.get_dagster_event() for entry in logged]
        return {(event.asset_key.path[-1], event.partition) for event in found if event.asset_key}

    assert recompute(definitions) == set()
    names = [table.name for table in METRIC_TABLES]
    assert outdated(definitions, instance, names, days) == set()
    changed = build_synthflow_defs(settings.model_copy(update={"short_call_seconds": 3600}))
    tables = ("call_duration_daily", "call_rates_daily")
    assert outdated(changed, instance, names, days) == set(tables)
    before = report.read_text()
    folder.rename(tmp_path / "aside")
    folder.write_text("not a folder")
    written = recompute(changed, fails=True)
    assert report.read_text() != before  # what can be written is written
    os.utime(report, (0, 0))
    folder.unlink()
    (tmp_path / "aside").rename(folder)
    report_of_last = {("call_report", days[1])}
    assert written == {(table, day) for table in tables for day in days} | report_of_last
    assert recompute(changed) == {(f"{table}_export", day) for table in tables for day in days} | report_of_last
    frame = Warehouse(settings.warehouse).read_frame("call_duration_daily")
    assert (frame["short_calls"] == frame["connected_calls"]).all()
    exported = duckdb.read_parquet(str(folder / "*.parquet"))
    assert exported.project("short_calls = connected_calls").fetchall() == [(True,)] * 2
    assert recompute(changed) == set()
    assert outdated(changed, instance, names, days) == set()
