"""The definitions: keys, partitions and schedules, and what runs do with bad input."""

import dataclasses
import datetime as dt
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest
from dagster._core.storage.compute_log_manager import ComputeIOType
from dagster._core.test_utils import freeze_time

from synthflow_assets.metrics import compute_metrics
from synthflow_assets.orchestration.build import build_synthflow_defs
from synthflow_assets.orchestration.schedules import fetching as schedules
from synthflow_assets.sandbox.server import Sandbox
from synthflow_assets.settings import Settings, VariableSecret
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.metric_tables import METRIC_TABLES
from synthflow_assets.warehouse.schema import VIEWS
from tests.instances import ScheduleContext, definitions_of, without_checks

StartSandbox = Callable[..., Sandbox]
MakeSettings = Callable[..., Settings]
LandOnce = Callable[..., None]
DAY = "2026-03-10"
LANDED = ("calls", "call_rejects", "call_loads")


def run(
    settings: Settings,
    instance: dg.DagsterInstance,
    first: str = DAY,
    last: str | None = None,
    assets: Sequence[str] = (),
    *,
    checks: bool = False,
) -> dg.ExecuteInProcessResult:
    """Run the daily job, or some of its assets, over a range of days, as the schedule would, with or without checks."""
    if settings.api_key is not None:
        # As `Settings.load()` would have found it; removed by clean_environment.
        os.environ["SYNTHFLOW_API_KEY"] = settings.api_key.get_secret_value()
        settings = settings.model_copy(update={"api_key": VariableSecret("SYNTHFLOW_API_KEY")})
    job = definitions_of(settings).resolve_job_def("synthflow_daily")
    tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last or first}
    if not checks:
        job = without_checks(job, assets)
    elif assets:
        job = job.get_subset(asset_selection={dg.AssetKey(["synthflow", table]) for table in assets})
    return job.execute_in_process(instance=instance, tags=tags, raise_on_error=False)


def failure(result: dg.ExecuteInProcessResult) -> str:
    [failed] = [event for event in result.all_events if event.is_step_failure]
    error = failed.step_failure_data.error
    assert error is not None
    return error.message


def days_of(instance: dg.DagsterInstance, table: str) -> set[str]:
    return set(instance.get_materialized_partitions(dg.AssetKey(["synthflow", table])))


def evaluations(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {one.check_name: one for one in result.get_asset_check_evaluations()}


def test_assets_are_the_tables_of_the_contract() -> None:
    repository = build_synthflow_defs(Settings.of()).get_repository_def()
    metrics = {f"synthflow/{table.name}" for table in METRIC_TABLES}
    assert metrics >= {"synthflow/call_duration_daily", "synthflow/disconnect_reasons_daily"}
    views = {f"synthflow/{view.name}" for view in VIEWS}
    tables = {"synthflow/calls", "synthflow/call_rejects", "synthflow/call_loads"} | metrics | views
    keys = {key.to_user_string() for key in repository.asset_graph.get_all_asset_keys()}
    assert keys == tables | {"synthflow/agents", "synthflow/call_report"}
    exporting = build_synthflow_defs(Settings.of(export_dir="out")).get_repository_def()
    exports = {f"{table}_export" for table in {"synthflow/calls"} | metrics}
    assert {key.to_user_string() for key in exporting.asset_graph.get_all_asset_keys()} == keys | exports
    for key in repository.asset_graph.get_all_asset_keys():
        node = repository.asset_graph.get(key)
        if key.path[-1] == "agents":
            assert not node.is_materializable
            continue
        assert isinstance(node.partitions_def, dg.DailyPartitionsDefinition)
        assert node.to_asset_spec().freshness_policy is None  # a backfill of last year would satisfy it
        if key.to_user_string() in tables:
            assert node.metadata["dagster/table_name"] == "warehouse." + key.to_user_string().replace("/", ".")


@pytest.mark.parametrize(
    ("location", "database", "kind"),
    [
        ("data/acme.duckdb", "acme", "duckdb"),
        ("ducklake:postgres:dbname=voice host=db.internal user=lake", "voice", "ducklake"),
    ],
)
def test_data_catalogues_distinguish_warehouses(location: str, database: str, kind: str) -> None:
    graph = build_synthflow_defs(Settings.of(warehouse=location)).get_repository_def().asset_graph
    for name in ("calls", "agents", "call_actions", "call_duration_daily"):
        node = graph.get(dg.AssetKey(["synthflow", name]))
        assert node.metadata["dagster/table_name"] == f"{database}.synthflow.{name}"
        assert f"dagster/kind/{kind}" in node.tags


def test_a_partition_depends_on_the_same_partition_alone() -> None:
    """With an offset Dagster would split each backfill of the UI into two runs, one of them over a day too many."""
    graph = build_synthflow_defs(Settings.of(export_dir="out")).get_repository_def().asset_graph
    for key in graph.get_all_asset_keys():
        for upstream in graph.get(key).parent_keys:
            assert isinstance(graph.get_partition_mapping(key, upstream), dg.TimeWindowPartitionMapping)
            assert graph.get_partition_mapping(key, upstream) == dg.TimeWindowPartitionMapping()


def test_recordings_are_an_asset_only_where_they_are_asked_for(tmp_path: Path) -> None:
    repository = build_synthflow_defs(Settings.of(recordings=str(tmp_path))).get_repository_def()
    assert dg.AssetKey(["synthflow", "call_recordings"]) in repository.asset_graph.get_all_asset_keys()


def test_partitions_are_days_of_the_zone(
    start_sandbox: StartSandbox, settings_for: MakeSettings, instance: dg.DagsterInstance
) -> None:
    sandbox = start_sandbox(agents=1, calls_per_day=5)
    settings = settings_for(sandbox, timezone="America/New_York", window_margin_seconds=0)
    assert run(settings, instance, "2026-03-08", assets=["calls"]).success
    asked = sandbox.api.requests[0]
    assert int(asked["to_date"]) - int(asked["from_date"]) - 1 == 23 * 3_600_000


def test_a_range_lands_exactly_what_the_sandbox_has(
    start_sandbox: StartSandbox, settings_for: MakeSettings, instance: dg.DagsterInstance, land_once: LandOnce
) -> None:
    sandbox = start_sandbox(agents=2, calls_per_day=40)
    settings = settings_for(sandbox)
    land_once(sandbox, settings, "2026-03-09", "2026-03-10")  # that they have landed before changes nothing
    assets = (*LANDED, "call_duration_daily", "disconnect_reasons_daily")
    assert run(settings, instance, "2026-03-09", "2026-03-10", assets).success
    for offset, day in enumerate(["2026-03-09", "2026-03-10"]):
        start = int(dt.datetime(2026, 3, 9 + offset, tzinfo=dt.UTC).timestamp() * 1000)
        stored = Warehouse(settings.warehouse).read_frame(
            "calls", dt.date.fromisoformat(day), dt.date.fromisoformat(day)
        )
        for model_id in sandbox.model_ids:
            truth = sandbox.api.store.ids_between(model_id, start, start + 86_400_000)
            assert set(stored.loc[stored["model_id"] == model_id, "call_id"]) == truth
    for table in assets:
        assert days_of(instance, table) == {"2026-03-09", "2026-03-10"}
    agents = Warehouse(settings.warehouse).read_frame("agents")
    assert "Front Desk" in set(agents["name"])
    assert "CONFIDENTIAL" not in agents.to_string()


def test_one_metric_can_be_computed_alone(
    start_sandbox: StartSandbox, settings_for: MakeSettings, instance: dg.DagsterInstance, land_once: LandOnce
) -> None:
    sandbox = start_sandbox(agents=1, calls_per_day=20)
    settings = settings_for(sandbox)
    land_once(sandbox, settings, DAY, DAY, computed=True)
    warehouse = Warehouse(settings.warehouse)
    with warehouse.connect() as connection:
        connection.execute("DELETE FROM call_rates_daily; DELETE FROM call_outcomes_daily")
    job = build_synthflow_defs(settings.model_copy(update={"api_key": None})).resolve_implicit_global_asset_job_def()
    rates = dg.AssetKey(["synthflow", "call_rates_daily"])
    result = job.execute_in_process(instance=instance, partition_key=DAY, asset_selection=[rates])
    assert {event.asset_key for event in result.get_asset_materialization_events()} == {rates}
    assert len(warehouse.read_frame("call_rates_daily")) > 0
    assert warehouse.read_frame("call_outcomes_daily").empty


def test_materializations_show_row_counts_sums_and_the_columns_that_they_come_from(
    start_sandbox: StartSandbox, settings_for: MakeSettings, instance: dg.DagsterInstance
) -> None:
    settings = settings_for(start_sandbox(calls_per_day=40))
    run(settings, instance, "2026-03-09", DAY, assets=(*LANDED, "call_rates_daily", "call_duration_weekly"))
    records = instance.fetch_materializations(dg.AssetKey(["synthflow", "calls"]), limit=10).records
    counts = Warehouse(settings.warehouse).read_frame("calls").groupby("day").size()
    assert {
        record.partition_key: record.asset_materialization.metadata["dagster/partition_row_count"].value
        for record in records
        if record.asset_materialization
    } == {day.date().isoformat(): int(count) for day, count in counts.items()}
    [record] = instance.fetch_materializations(dg.AssetKey(["synthflow", "call_rates_daily"]), limit=1).records
    assert record.asset_materialization
    shown = record.asset_materialization.metadata
    assert record.partition_key == DAY
    frame = Warehouse(settings.warehouse).read_frame("call_rates_daily", dt.date(2026, 3, 10), dt.date(2026, 3, 10))
    assert shown["dagster/partition_row_count"].value == len(frame) == 2
    assert shown["short_calls"].value == frame["short_calls"].sum()
    assert "short_call_rate" not in shown  # a sum of rates says nothing
    calls = dg.AssetKey(["synthflow", "calls"])
    lineage = shown["dagster/column_lineage"].value.deps_by_column
    for column, sources in {"day": ["day"], "short_calls": ["call_status", "duration_seconds"]}.items():
        assert list(lineage[column]) == [dg.TableColumnDep(calls, source) for source in sources]
    [record] = instance.fetch_materializations(dg.AssetKey(["synthflow", "call_duration_weekly"]), limit=1).records
    assert record.asset_materialization
    lineage = record.asset_materialization.metadata["dagster/column_lineage"].value.deps_by_column
    histogram, daily = (dg.AssetKey(["synthflow", f"call_duration_{name}"]) for name in ("histogram", "daily"))
    assert list(lineage["week"]) == [dg.TableColumnDep(histogram, "day")]
    assert list(lineage["short_calls"]) == [dg.TableColumnDep(daily, "short_calls")]
    [record] = instance.fetch_materializations(dg.AssetKey(["synthflow", "agents"]), limit=2).records
    assert record.asset_materialization
    assert record.asset_materialization.metadata["agents"].value == 2


BAD_INPUT = [
    ({"api_key": None}, "api_key is not set"),
    ({"api_key": "wrong"}, "401 .*set region to"),
    ({"base_url": "http://no-such-host.invalid/v2"}, "does not exist; check base_url"),
    ({"model_ids": "nobody"}, "model_ids names nobody"),
    ({"warehouse": "/proc/nowhere/warehouse.duckdb"}, "warehouse=/proc/nowhere"),
    # Without the extra `lake`, the tests may run with a DuckDB that has no extension.
    ({"warehouse": "ducklake:postgres:dbname=x host=/nowhere"}, "cannot be opened: (PostgreSQL says|an extension)"),
]


@pytest.mark.parametrize(("change", "says"), BAD_INPUT, ids=str)
def test_bad_input_is_one_message_and_leaves_the_data(
    start_sandbox: StartSandbox,
    settings_for: MakeSettings,
    instance: dg.DagsterInstance,
    land_once: LandOnce,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, Any],
    says: str,
) -> None:
    sandbox = start_sandbox(agents=1, calls_per_day=20)
    good = settings_for(sandbox)
    monkeypatch.setenv("SYNTHFLOW_API_KEY", "sandbox-key")
    land_once(sandbox, good, DAY, DAY)
    before = Warehouse(good.warehouse).read_frame("call_loads")
    result = run(settings_for(sandbox, **change), instance, assets=LANDED)
    assert not result.success
    message = failure(result)
    assert dg.Failure.__name__ in message
    assert re.search(says, message)
    assert before.equals(Warehouse(good.warehouse).read_frame("call_loads"))


@pytest.mark.usefixtures("fast_retries")
def test_an_answer_that_is_no_json_fails_within_seconds(
    start_sandbox: StartSandbox,
    settings_for: MakeSettings,
    instance: dg.DagsterInstance,
) -> None:
    sandbox = start_sandbox(faults={"html": 100_000})
    result = run(settings_for(sandbox), instance, assets=LANDED)
    assert "is an HTML page" in failure(result)


def test_an_account_without_the_agents_endpoint_needs_ids(
    start_sandbox: StartSandbox, settings_for: MakeSettings, instance: dg.DagsterInstance
) -> None:
    sandbox = start_sandbox(assistants_endpoint=False)
    assert "set model_ids to their ids" in failure(run(settings_for(sandbox), instance, assets=LANDED))


def test_an_address_without_v2_is_named_in_the_error(
    start_sandbox: StartSandbox, settings_for: MakeSettings, instance: dg.DagsterInstance
) -> None:
    sandbox = start_sandbox()
    elsewhere = settings_for(sandbox, base_url=sandbox.url.removesuffix("/v2"))
    assert "does not end in /v2, as the API's address does; check base_url" in failure(
        run(elsewhere, instance, assets=LANDED)
    )


def test_a_key_that_is_refused_is_in_no_file(
    start_sandbox: StartSandbox, settings_for: MakeSettings, on_disk: dg.DagsterInstance, tmp_path: Path
) -> None:
    key = "very-secret-key-1234567890"
    assert not run(settings_for(start_sandbox(api_key="another"), api_key=key), on_disk, assets=LANDED).success
    folders = tmp_path, Path(on_disk.root_directory)
    written = [path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert any(b"401" in content for content in written)
    assert not [content for content in written if key.encode() in content]


def test_schedule_covers_the_look_back_once_a_tick() -> None:
    settings = Settings.of(timezone="America/New_York", start_date="2026-03-01", lookback_days=3)
    definitions = build_synthflow_defs(settings)
    schedule = definitions.resolve_schedule_def("synthflow_daily_schedule")

    def tick(*moment: int) -> Any:
        when = dt.datetime(*moment, tzinfo=dt.UTC)  # type: ignore[arg-type]
        with dg.build_schedule_context(
            scheduled_execution_time=when, repository_def=definitions.get_repository_def()
        ) as c:
            return schedule.evaluate_tick(c)

    [request] = tick(2026, 3, 10, 9).run_requests
    assert request.run_key == "2026-03-09"
    assert request.tags["dagster/partition"] == "2026-03-09"
    assert request.tags["synthflow/lookback_from"] == "2026-03-07"
    [early] = tick(2026, 3, 3, 10).run_requests  # the second day of all
    assert early.tags["synthflow/lookback_from"] == "2026-03-01"
    assert tick(2026, 3, 1, 10).run_requests == []  # nothing is closed yet
    assert schedule.execution_timezone == "America/New_York"


def evaluate_catch_up(definitions: dg.Definitions, instance: dg.DagsterInstance, when: dt.datetime) -> Any:
    """What the catch-up schedule decides at a time."""
    schedule = definitions.resolve_schedule_def("synthflow_catch_up_schedule")
    resources = {key: (definitions.resources or {})[key] for key in schedule.required_resource_keys}
    with ScheduleContext(instance, definitions, when, resources) as context:
        return schedule.evaluate_tick(context)


def compute(settings: Settings) -> None:
    """Compute the metrics of all landed days."""
    with Warehouse(settings.warehouse).connect() as connection:
        days = [day for (day,) in connection.execute("SELECT DISTINCT day FROM call_loads").fetchall()]
        compute_metrics(connection, days, settings)


def test_catching_up_is_one_run_over_what_is_missing_or_unsettled(
    start_sandbox: StartSandbox, settings_for: MakeSettings, instance: dg.DagsterInstance, land_once: LandOnce
) -> None:
    sandbox = start_sandbox(agents=1, calls_per_day=20)
    settings = settings_for(sandbox, catch_up_days=5)
    definitions = build_synthflow_defs(settings)

    def tick(hour: int = 9) -> Any:
        return evaluate_catch_up(definitions, instance, dt.datetime(2026, 3, 11, hour, tzinfo=dt.UTC))

    assert "nothing of the last 5 days is missing, unsettled or outdated" in tick().skip_message  # nothing ever landed
    land_once(sandbox, settings, "2026-03-01", "2026-03-10", computed=True)
    assert tick().run_requests == []
    with Warehouse(settings.warehouse).connect() as connection:
        connection.execute("DELETE FROM call_loads WHERE day = '2026-03-10'")
    assert tick(hour=6).run_requests == []  # the daily run is about to fetch it
    [request] = tick().run_requests
    assert request.tags["dagster/asset_partition_range_start"] == "2026-03-10"
    land_once(sandbox, settings, "2026-03-01", "2026-03-10", computed=True)
    with Warehouse(settings.warehouse).connect() as connection:
        connection.execute("UPDATE call_loads SET settled = false WHERE day IN ('2026-03-02', '2026-03-07')")
        connection.execute("DELETE FROM call_loads WHERE day = '2026-03-09'")
    [request] = tick().run_requests
    assert request.tags["dagster/asset_partition_range_start"] == "2026-03-07"  # 03-02 is too long ago
    assert request.tags["dagster/asset_partition_range_end"] == "2026-03-09"
    sandbox.api.requests.clear()
    job = definitions.resolve_job_def("synthflow_daily")
    landing = without_checks(job, LANDED)
    assert landing.execute_in_process(instance=instance, tags=request.tags, run_config=request.run_config).success
    assert len({asked["from_date"] for asked in sandbox.api.requests}) == 2
    compute(settings)
    assert tick().run_requests == []
    with Warehouse(settings.warehouse).connect() as connection:
        connection.execute("UPDATE call_loads SET settled = false WHERE day >= '2026-03-08'")
    assert tick().run_requests == []  # the daily runs fetch these days again
    with Warehouse(settings.warehouse).connect() as connection:
        connection.execute("UPDATE call_loads SET settled = false")
    under_way = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    assert tick().skip_message == f"run {under_way.run_id} is already fetching or computing"


def test_the_catch_up_waits_longer_after_each_failed_run(
    start_sandbox: StartSandbox, settings_for: MakeSettings, instance: dg.DagsterInstance
) -> None:
    settings = settings_for(start_sandbox(agents=1), start_date="2026-03-08")
    definitions = build_synthflow_defs(settings)
    # Of one asset, because Dagster stores an event for each.
    job = without_checks(definitions.resolve_job_def("synthflow_daily"), ["calls"])
    ran = []
    for hours in (0, 3, 6, 9, 18, 21, 42, 45, 66, 69):  # the ticks at which it runs, and the last ones before
        when = dt.datetime(2026, 3, 10, 9, 45, tzinfo=dt.UTC) + dt.timedelta(hours=hours)
        for request in evaluate_catch_up(definitions, instance, when).run_requests:
            with freeze_time(when + dt.timedelta(minutes=2)):
                instance.create_run_for_job(job, tags={**job.tags, **request.tags}, status=dg.DagsterRunStatus.FAILURE)
            ran.append(hours)
    assert ran == [0, 3, 9, 21, 45, 69]


def test_a_run_that_failed_in_an_outage_is_repeated_automatically(
    start_sandbox: StartSandbox,
    settings_for: MakeSettings,
    instance: dg.DagsterInstance,
    land_once: LandOnce,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Dagster's run retries repeat it. If these fail too, the catch-up does, even if the days had landed before."""
    monkeypatch.setattr("synthflow_assets.api.retries._SHORTEST_SECONDS", 0.05)
    sandbox = start_sandbox(agents=1, calls_per_day=5)
    settings = settings_for(sandbox, outage_minutes=0)
    definitions = build_synthflow_defs(settings)
    job = definitions.resolve_job_def("synthflow_daily")
    landing = without_checks(job, LANDED)
    days = {"dagster/asset_partition_range_start": "2026-03-09", "dagster/asset_partition_range_end": "2026-03-10"}

    def fetch(tags: dict[str, str], job: dg.JobDefinition = landing) -> dg.DagsterRun:
        result = job.execute_in_process(instance=instance, tags={**job.tags, **tags}, raise_on_error=False)
        if result.success:
            compute(settings)
        ran = instance.get_run_by_id(result.run_id)
        assert ran is not None
        return ran

    def ended(status: dg.DagsterRunStatus, tags: dict[str, str]) -> None:
        """Record a run as Dagster stores the ones above."""
        instance.create_run_for_job(landing, tags={**job.tags, **tags}, status=status)

    def caught_up() -> list[Any]:
        when = dt.datetime(2026, 3, 11, 9, 45, tzinfo=dt.UTC)
        return list(evaluate_catch_up(definitions, instance, when).run_requests)

    land_once(sandbox, settings, "2026-03-09", "2026-03-10", computed=True)
    assert caught_up() == []
    sandbox.api.config = dataclasses.replace(sandbox.api.config, faults={"error_500": 1_000})
    failed = fetch(days, job)  # of a whole job, Dagster stores no selection or an empty one
    assert failed.is_failure
    assert failed.tags["dagster/retry_on_asset_or_op_failure"] == "true"
    [request] = caught_up()
    assert {key: request.tags[key] for key in days} == days
    sandbox.api.config = dataclasses.replace(sandbox.api.config, faults={})
    assert fetch(dict(request.tags)).is_success
    assert caught_up() == []
    day = {"dagster/partition": "2026-03-10"}
    ended(dg.DagsterRunStatus.FAILURE, {**day, schedules.OUTAGE_TAG: failed.tags[schedules.OUTAGE_TAG]})
    [request] = caught_up()
    assert request.tags["dagster/asset_partition_range_start"] == "2026-03-10"
    ended(dg.DagsterRunStatus.SUCCESS, day)
    assert caught_up() == []
    sandbox.api.config = dataclasses.replace(sandbox.api.config, api_key="another")
    assert "dagster/retry_on_asset_or_op_failure" not in fetch(days).tags


def test_a_vanished_warehouse_is_filled_again_from_the_start_date(
    start_sandbox: StartSandbox, settings_for: MakeSettings, instance: dg.DagsterInstance
) -> None:
    sandbox = start_sandbox(agents=1, calls_per_day=20)
    settings = settings_for(sandbox, catch_up_days=5, start_date="2026-03-08")
    Path(settings.warehouse).unlink()
    definitions = build_synthflow_defs(settings)
    when = dt.datetime(2026, 3, 11, 9, tzinfo=dt.UTC)
    [request] = evaluate_catch_up(definitions, instance, when).run_requests
    assert request.tags["dagster/asset_partition_range_start"] == "2026-03-08"
    assert request.tags["dagster/asset_partition_range_end"] == "2026-03-10"


def test_the_freshness_check_runs_alone_and_notices_that_nothing_ran(
    start_sandbox: StartSandbox, settings_for: MakeSettings, instance: dg.DagsterInstance, land_once: LandOnce
) -> None:
    sandbox = start_sandbox(calls_per_day=20)
    settings = settings_for(sandbox)
    land_once(sandbox, settings, "2025-01-05", "2025-01-05")  # a backfill of an old day
    job = build_synthflow_defs(settings).resolve_job_def("synthflow_freshness")
    result = job.execute_in_process(instance=instance, raise_on_error=False)
    checks = evaluations(result)
    assert set(checks) == {"fresh_per_model", "no_gaps", "settled"}
    assert not checks["fresh_per_model"].passed
    assert not checks["no_gaps"].passed


def test_runs_of_the_hourly_check_are_deleted_after_a_month(
    settings_for: MakeSettings,
    start_sandbox: StartSandbox,
    on_disk: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(schedules, "RUNS_DELETED_PER_TICK", 1)
    definitions = build_synthflow_defs(settings_for(start_sandbox()))
    schedule = definitions.resolve_schedule_def("synthflow_freshness_schedule")

    def add(job: str, days_ago: int, status: dg.DagsterRunStatus) -> str:
        selected = definitions.resolve_job_def(job)
        if job == "synthflow_daily":
            selected = without_checks(selected, ["calls"])  # Dagster stores an event for each asset and check
        with freeze_time(dt.datetime.now(dt.UTC) - dt.timedelta(days=days_ago)):
            return on_disk.create_run_for_job(selected, status=status).run_id

    ended, under_way = dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.STARTED
    old = [add("synthflow_freshness", 31, ended) for _ in range(2)]
    kept = {
        add("synthflow_freshness", 29, ended),
        add("synthflow_freshness", 31, under_way),
        add("synthflow_daily", 400, ended),
    }
    logs = on_disk.compute_log_manager.get_log_keys_for_log_key_prefix
    with on_disk.compute_log_manager.open_log_stream([old[0], "compute_logs", "step"], ComputeIOType.STDERR) as log:
        assert log is not None
        log.write("said")
    assert logs([old[0], "compute_logs"], ComputeIOType.STDERR)

    def tick() -> set[str]:
        with dg.build_schedule_context(
            on_disk, scheduled_execution_time=dt.datetime.now(dt.UTC), repository_def=definitions.get_repository_def()
        ) as context:
            assert len(schedule.evaluate_tick(context).run_requests) == 1
        return {run.run_id for run in on_disk.get_runs()}

    assert tick() == {old[1], *kept}  # some at once, since a tick has a minute
    assert tick() == kept
    with pytest.raises(FileNotFoundError):  # not even an empty folder of it
        logs([old[0], "compute_logs"], ComputeIOType.STDERR)
    assert on_disk.all_logs(old[0]) == []


def test_exports_hold_what_the_tables_hold_after_a_backfill_of_the_day_before_and_recordings_are_stored(
    start_sandbox: StartSandbox,
    settings_for: MakeSettings,
    instance: dg.DagsterInstance,
    land_once: LandOnce,
    tmp_path: Path,
) -> None:
    """The usual order: the schedule lands a day, and a later backfill lands the days before it."""
    # Midnight in Auckland is 11:00 UTC, when the sandbox is busy. With this seed, a call runs past it.
    sandbox = start_sandbox(agents=1, calls_per_day=40, seed=17)
    settings = settings_for(
        sandbox, export_dir=str(tmp_path / "out"), recordings=str(tmp_path / "audio"), timezone="Pacific/Auckland"
    )
    tables = ("calls", "call_load_hourly")
    assets = (*LANDED, *tables[1:], *(f"{table}_export" for table in tables), "call_recordings")
    for day in ("2026-03-10", "2026-03-09"):
        assert run(settings, instance, day, assets=assets).success
    for table in tables:
        files = sorted((tmp_path / "out" / table).glob("*.parquet"))
        assert [file.stem for file in files] == ["2026-03-09", "2026-03-10"]
        exported = pd.concat([pd.read_parquet(file) for file in files])
        stored_rows = Warehouse(settings.warehouse).read_frame(table)
        assert len(exported) == len(stored_rows) > 0
        assert days_of(instance, f"{table}_export") == {"2026-03-09", "2026-03-10"}
    # The hours of the later day, with the calls of the day before that run past midnight, are computed and exported.
    other = settings.model_copy(update={"warehouse": str(tmp_path / "other.duckdb")})
    land_once(sandbox, other, "2026-03-09", "2026-03-10", computed=True)
    in_order = Warehouse(other.warehouse).read_frame("call_load_hourly")
    pd.testing.assert_frame_equal(stored_rows, in_order)
    first_hour = in_order[in_order["hour_start"] == "2026-03-09T11:00Z"]
    assert int(first_hour["calls_in_progress"].sum()) > int(first_hour["calls_started"].sum())
    later_day = in_order.loc[in_order["day"] == "2026-03-10", "calls_in_progress"]
    assert int(pd.read_parquet(files[-1])["calls_in_progress"].sum()) == int(later_day.sum())
    stored = Warehouse(settings.warehouse).read_frame("call_recordings")["location"].dropna()
    assert len(stored) == len(list((tmp_path / "audio").rglob("*.wav"))) > 10
