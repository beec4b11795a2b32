"""A landed day whose metrics, exports or report are older than its calls is a gap, which the catch-up closes."""

import datetime as dt
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.test_utils import freeze_time

from synthflow_assets.metrics import compute_metrics
from synthflow_assets.orchestration.build import build_synthflow_defs
from synthflow_assets.quality import CHECKS, NO_GAPS, SCHEDULED_CHECKS, find_problems
from synthflow_assets.sandbox.server import Sandbox
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.export import OutdatedExport, outdated_exports, recorded_exports
from tests.forks import Forks
from tests.instances import without_checks
from tests.orchestration.test_definitions import LANDED, evaluate_catch_up, run

StartSandbox = Callable[..., Sandbox]
MakeSettings = Callable[..., Settings]
LandOnce = Callable[..., None]
ROOT = Path(__file__).parents[2]
FIRST, LAST = "2026-03-09", "2026-03-10"
DAYS = [dt.date(2026, 3, 9), dt.date(2026, 3, 10)]
TICK = dt.datetime(2026, 3, 11, 9, 45, tzinfo=dt.UTC)

# A run whose process dies between landing and metrics, as for lack of memory.
KILLED_RUN = f"""
import os, signal, sys
import dagster as dg
from synthflow_assets import metrics
from synthflow_assets.orchestration.build import build_synthflow_defs
from synthflow_assets.settings import Settings
from tests.instances import without_checks

metrics.compute_metrics = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
job = build_synthflow_defs(Settings.load()).resolve_job_def("synthflow_daily")
job = without_checks(job, ["calls", "call_rejects", "call_loads", "call_rates_daily"])
tags = {{"dagster/asset_partition_range_start": "{FIRST}", "dagster/asset_partition_range_end": "{LAST}"}}
with dg.DagsterInstance.get() as instance:
    job.execute_in_process(instance=instance, tags=tags)
"""


def gaps(settings: Settings, since: dt.datetime | None = None) -> list[str]:
    with Warehouse(settings.warehouse).connect(read_only=True) as connection:
        found = find_problems(connection, NO_GAPS, None, settings, DAYS[-1], in_progress_since=since)
    return [str(problem) for problem in found]


def tick(definitions: dg.Definitions, instance: dg.DagsterInstance, when: dt.datetime = TICK) -> list[Any]:
    return list(evaluate_catch_up(definitions, instance, when).run_requests)


def one_asset_of(definitions: dg.Definitions) -> dg.JobDefinition:
    """Return the daily job of one asset, for runs that are not executed: Dagster stores an event for each asset."""
    return without_checks(definitions.resolve_job_def("synthflow_daily"), ["call_rates_daily"])


def execute(
    definitions: dg.Definitions, instance: dg.DagsterInstance, request: dg.RunRequest
) -> dg.ExecuteInProcessResult:
    """Run what a tick requests, as the daemon does, but without checks."""
    job = definitions.resolve_job_def("synthflow_daily")
    return without_checks(job, request.asset_selection or ()).execute_in_process(
        instance=instance, tags={**job.tags, **request.tags}, run_config=request.run_config, raise_on_error=False
    )


def test_a_run_that_was_killed_before_the_metrics_is_completed_without_fetching(
    start_sandbox: StartSandbox, settings_for: MakeSettings, tmp_path: Path, forks: Forks
) -> None:
    sandbox = start_sandbox(agents=1, calls_per_day=20)
    settings = settings_for(sandbox, export_dir=str(tmp_path / "exports"), report=str(tmp_path / "report.html"))
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").symlink_to(ROOT / "synthflow_assets" / "dagster.yaml")
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(home),
        "SYNTHFLOW_BASE_URL": sandbox.url,
        "SYNTHFLOW_WAREHOUSE": settings.warehouse,
        "SYNTHFLOW_EXPORT_DIR": str(settings.export_dir),
        "SYNTHFLOW_REPORT": str(settings.report),
    }
    (tmp_path / "killed_run.py").write_text(KILLED_RUN)
    killed = forks.command(["python", "-m", "killed_run"], tmp_path, environment, tmp_path / "printed")
    assert forks.exit_code(killed) == -signal.SIGKILL, (tmp_path / "printed").read_text()
    definitions = build_synthflow_defs(settings)
    os.environ["DAGSTER_HOME"] = str(home)  # for `dagster.yaml`; removed by clean_environment
    with dg.DagsterInstance.from_config(str(home)) as instance:
        [dead] = instance.get_runs()
        started = instance.get_run_record_by_id(dead.run_id)
        assert started is not None
        assert started.start_time is not None
        # While the run seems to be in progress, it may still compute them.
        assert gaps(settings, dt.datetime.fromtimestamp(started.start_time, dt.UTC)) == []
        assert tick(definitions, instance) == []
        instance.report_run_failed(dead)  # as run monitoring does
        assert gaps(settings) == [
            f"{day}: {problem}"
            for problem in (
                "landed, but no metric is computed from the latest load",
                "not exported since the table was written: calls",
            )
            for day in DAYS
        ]
        [request] = tick(definitions, instance)
        assert request.tags["dagster/asset_partition_range_start"] == FIRST
        assert request.tags["dagster/asset_partition_range_end"] == LAST
        sandbox.api.requests.clear()
        result = execute(definitions, instance, request)
        assert result.success
        assert sandbox.api.requests == []
        for asset in ("call_load_hourly", "call_load_hourly_export", "calls_export", "call_report"):
            assert instance.get_materialized_partitions(dg.AssetKey(["synthflow", asset])) == {FIRST, LAST}
        assert gaps(settings) == []
        assert tick(definitions, instance) == []


def test_metrics_that_fail_are_tried_again_after_longer_and_longer_waits(
    start_sandbox: StartSandbox, settings_for: MakeSettings, instance: dg.DagsterInstance, land_once: LandOnce
) -> None:
    sandbox = start_sandbox(agents=1, calls_per_day=20)
    settings = settings_for(sandbox)
    definitions = build_synthflow_defs(settings)
    job = one_asset_of(definitions)
    land_once(sandbox, settings, FIRST, LAST)
    with Warehouse(settings.warehouse).connect() as connection:
        connection.execute("ALTER TABLE call_rates_daily RENAME TO set_aside")
    ran = []
    for hours in range(0, 13, 3):
        when = TICK + dt.timedelta(hours=hours)
        for request in tick(definitions, instance, when):
            ran.append(hours)
            with freeze_time(when + dt.timedelta(minutes=2)):
                if ran == [0]:
                    assert not execute(definitions, instance, request).success
                else:  # as Dagster stores the first one
                    tags = {**job.tags, **request.tags}
                    instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.FAILURE)
    assert ran == [0, 3, 9]
    assert len(tick(definitions, instance, TICK + dt.timedelta(hours=21))) == 1
    with Warehouse(settings.warehouse).connect() as connection:
        connection.execute("ALTER TABLE set_aside RENAME TO call_rates_daily")
        compute_metrics(connection, DAYS, settings)  # as the run would that is requested now
    assert tick(definitions, instance, TICK + dt.timedelta(hours=21)) == []


def test_a_run_that_did_not_help_counts_as_failed(
    start_sandbox: StartSandbox, settings_for: MakeSettings, instance: dg.DagsterInstance, land_once: LandOnce
) -> None:
    """For example, the pods of runs may write their exports to a disk that the code server does not see."""
    sandbox = start_sandbox(agents=1, calls_per_day=20)
    land_once(sandbox, settings_for(sandbox), FIRST, LAST)
    definitions = build_synthflow_defs(settings_for(sandbox, export_dir="exports"))
    job = one_asset_of(definitions)
    ran = []
    for hours in (0, 3, 6, 9, 18, 21):
        when = TICK + dt.timedelta(hours=hours)
        for request in tick(definitions, instance, when):
            with freeze_time(when + dt.timedelta(minutes=2)):
                instance.create_run_for_job(job, tags={**job.tags, **request.tags}, status=dg.DagsterRunStatus.SUCCESS)
            ran.append(hours)
    assert ran == [0, 3, 9, 21]


def test_days_that_fail_a_blocking_check_are_not_computed(
    start_sandbox: StartSandbox, settings_for: MakeSettings, instance: dg.DagsterInstance, land_once: LandOnce
) -> None:
    sandbox = start_sandbox(agents=1, calls_per_day=20)
    settings = settings_for(sandbox)
    land_once(sandbox, settings, FIRST, LAST)
    with Warehouse(settings.warehouse).connect() as connection:
        connection.execute(f"UPDATE call_loads SET total_records = total_records + 3 WHERE day = '{LAST}'")
    [request] = tick(build_synthflow_defs(settings), instance)
    assert request.tags["dagster/asset_partition_range_end"] == FIRST


def assert_each_check_says_how_much_it_examined(result: dg.ExecuteInProcessResult) -> None:
    evaluated = {one.check_name: one for one in result.get_asset_check_evaluations()}
    assert evaluated.keys() == {check.name for check in (*CHECKS, *SCHEDULED_CHECKS)}
    watched = {check.name for check in SCHEDULED_CHECKS}  # these days are long ago
    for name, one in evaluated.items():
        days, agents, rows = (one.metadata[f"examined_{what}"].value for what in ("days", "agents", "rows"))
        assert (days, agents) == (2, 2), name
        assert one.passed or name in watched, name
        if one.passed:
            assert str(one.description).startswith(f"Examined: 2 days, 2 agents, {rows} rows. "), name
    assert evaluated["settled"].metadata["examined_rows"].value == 4
    assert evaluated["unique_call_duration_daily"].metadata["examined_rows"].value == 4


def test_exports_and_a_report_that_are_older_than_the_metrics_are_gaps(
    start_sandbox: StartSandbox, settings_for: MakeSettings, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    sandbox = start_sandbox(agents=2, calls_per_day=20)
    settings = settings_for(sandbox, export_dir=str(tmp_path / "exports"), report=str(tmp_path / "report.html"))
    result = run(settings, instance, FIRST, LAST, checks=True)
    assert result.success
    assert gaps(settings) == []
    # Each step is a process in a project with Dagster's default executor.
    assert {event.step_key for event in result.all_events if event.is_step_success} == {
        "synthflow__fetch_calls",
        "synthflow__compute_metrics",
        "synthflow__export_tables",
        "synthflow__write_report",
        "synthflow__check_freshness",
    }
    assert_each_check_says_how_much_it_examined(result)
    with Warehouse(settings.warehouse).connect() as connection:
        compute_metrics(connection, DAYS[:1], settings, ["call_rates_daily"])
    older = [
        f"{FIRST}: not exported since the table was written: call_rates_daily",
        f"{FIRST}: the report is older than the metrics",
    ]
    assert gaps(settings) == older
    assert len(tick(build_synthflow_defs(settings), instance)) == 1
    (tmp_path / "report.html").unlink()  # a pod may write it to a disk of its own
    (tmp_path / f"exports/actions_daily/{LAST}.parquet").unlink()
    assert gaps(settings) == [f"{LAST}: not exported since the table was written: actions_daily", older[0]]
    assert gaps(settings.model_copy(update={"export_dir": None})) == []
    rewritten = ("actions_daily_export", "call_rates_daily_export", "call_report")
    assert run(settings, instance, FIRST, LAST, assets=rewritten).success
    assert gaps(settings) == []


def test_a_day_of_another_run_is_exported_and_recorded_only_if_its_rows_changed(
    settings_for: MakeSettings, start_sandbox: StartSandbox, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    """`attempts_daily` is computed for all days: a lead that is reached now was first called on an earlier day."""
    settings = settings_for(start_sandbox(), start_date=FIRST, export_dir=str(tmp_path / "out"))
    computed = [dg.AssetKey(["synthflow", name]) for name in ("attempts_daily", "attempts_daily_export")]
    job = without_checks(build_synthflow_defs(settings).resolve_job_def("synthflow_daily"), computed)

    def compute_and_export(day: str, caller: str | None = None) -> set[tuple[str, str | None]]:
        with Warehouse(settings.warehouse).connect() as connection:
            if caller:
                columns = (
                    "$1::DATE AS day, 'm' AS model_id, $1 || $2 AS call_id, 'no-answer' AS call_status, 'outbound' AS "
                    "type_of_call, 'no_answer' AS call_outcome, $2 AS caller_key, $1::TIMESTAMPTZ AS start_time"
                )
                connection.execute(f"INSERT INTO calls BY NAME SELECT {columns}, now() AS loaded_at", [day, caller])
            connection.execute("DELETE FROM call_loads WHERE day = $1", [day])
            connection.execute(
                "INSERT INTO call_loads BY NAME SELECT $1::DATE AS day, 'm' AS model_id, now() AS loaded_at", [day]
            )
        done = job.execute_in_process(instance=instance, partition_key=day)
        found = done.get_asset_materialization_events()
        return {(event.asset_key.path[-1], event.partition) for event in found}

    def both(*days: str) -> set[tuple[str, str | None]]:
        return {(key.path[-1], day) for key in computed for day in days}

    middle, last = LAST, "2026-03-11"
    assert compute_and_export(FIRST, "one") == both(FIRST)
    assert compute_and_export(middle, "two") == both(middle)
    files = {day: tmp_path / f"out/attempts_daily/{day}.parquet" for day in (FIRST, middle)}
    times = {day: path.stat().st_mtime_ns for day, path in files.items()}
    assert compute_and_export(last, "one") == both(FIRST, last)
    assert {day for day, path in files.items() if path.stat().st_mtime_ns != times[day]} == {FIRST}
    assert compute_and_export(last) == both(last)
    with Warehouse(settings.warehouse).connect() as connection:
        assert outdated_exports(connection, tmp_path / "out", recorded_exports(connection, tmp_path / "out")) == [
            OutdatedExport("calls", dt.date.fromisoformat(day), exists=False) for day in (FIRST, middle, last)
        ]


def test_a_check_that_examined_nothing_says_so(
    start_sandbox: StartSandbox, settings_for: MakeSettings, instance: dg.DagsterInstance
) -> None:
    """Otherwise it looks like a check that passed on all days."""
    settings = settings_for(start_sandbox(agents=2, calls_per_day=20))
    job = build_synthflow_defs(settings).resolve_job_def("synthflow_freshness")
    empty = {one.check_name: one for one in job.execute_in_process(instance=instance).get_asset_check_evaluations()}
    for name in ("no_gaps", "settled"):
        assert empty[name].passed
        assert str(empty[name].description).startswith("Nothing was examined, because none of these days has landed.")
        assert [empty[name].metadata[f"examined_{what}"].value for what in ("days", "agents", "rows")] == [0, 0, 0]


def test_a_call_that_moves_to_another_day_outdates_the_day_that_it_left(
    start_sandbox: StartSandbox, settings_for: MakeSettings, instance: dg.DagsterInstance, land_once: LandOnce
) -> None:
    """Only the day that it moved to is in the run."""
    sandbox = start_sandbox(agents=1, calls_per_day=20)
    settings = settings_for(sandbox)
    land_once(sandbox, settings, FIRST, LAST, computed=True)
    with Warehouse(settings.warehouse).connect() as connection:
        moved = f"(SELECT min(call_id) FROM calls WHERE day = '{LAST}')"
        connection.execute(f"UPDATE calls SET day = '{FIRST}' WHERE call_id = {moved}")
    assert gaps(settings) == []
    assert run(settings, instance, LAST, assets=LANDED).success
    assert gaps(settings) == [f"{day}: landed, but no metric is computed from the latest load" for day in DAYS]
