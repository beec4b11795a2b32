"""The Dagster instance that `dagster.yaml` describes: events in batches, crashes retried, nothing kept for ever."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import psutil
import pytest
from dagster._core.instance.config import PoolGranularity
from dagster._core.launcher import WorkerStatus
from dagster._core.storage.event_log import SqliteEventLogStorage

from synthflow_assets.orchestration.event_log import BatchedEventLogStorage
from synthflow_assets.orchestration.run_locks import RunLocks

ROOT = Path(__file__).parents[2]
DAYS = dg.DailyPartitionsDefinition("2026-01-01", end_date="2026-02-01")
RANGE = {"dagster/asset_partition_range_start": "2026-01-01", "dagster/asset_partition_range_end": "2026-01-31"}


@dg.multi_asset(specs=[dg.AssetSpec("first", partitions_def=DAYS)], backfill_policy=dg.BackfillPolicy.single_run())
def first(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    for key in context.partition_keys:
        context.add_asset_metadata({"day": int(key[-2:])}, "first", key)
    return dg.MaterializeResult(tags={"colour": "blue"})


@dg.multi_asset(
    specs=[dg.AssetSpec("second", partitions_def=DAYS, deps=["first"])], backfill_policy=dg.BackfillPolicy.single_run()
)
def second(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    if context.run.tags.get("fails"):
        raise dg.Failure("as asked")
    return dg.MaterializeResult()


@dg.asset_check(asset="first")
def sound() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "dagster.yaml").symlink_to(ROOT / "dagster.yaml")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.delenv("DAGSTER_EVENT_BATCH_SIZE", raising=False)
    return tmp_path


@pytest.fixture
def instance(home: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.from_config(str(home)) as made:
        yield made


def job() -> dg.JobDefinition:
    return dg.Definitions([first, second], asset_checks=[sound]).resolve_implicit_global_asset_job_def()


def backfill(instance: dg.DagsterInstance, **tags: str) -> dg.ExecuteInProcessResult:
    return job().execute_in_process(instance=instance, tags={**RANGE, **tags}, raise_on_error=False)


def test_a_batch_says_what_single_events_say_and_dagsters_own_storage_reads_it(
    instance: dg.DagsterInstance, home: Path
) -> None:
    assert isinstance(instance.event_log_storage, BatchedEventLogStorage)
    batched = backfill(instance)
    os.environ["DAGSTER_EVENT_BATCH_SIZE"] = "0"
    single = backfill(instance)
    dagsters_own = SqliteEventLogStorage(str(home / "history" / "runs"))

    def said(result: dg.ExecuteInProcessResult) -> list[tuple[object, ...]]:
        events = [entry.get_dagster_event() for entry in dagsters_own.get_logs_for_run(result.run_id)]
        return sorted((e.event_type_value, str(e.asset_key), str(e.partition), e.step_key or "") for e in events)

    assert said(batched) == said(single)
    records = instance.fetch_materializations(dg.AssetKey("first"), limit=100).records
    assert len(records) == 62
    assert len({int(record.timestamp * 1000) for record in records}) == 62  # the UI shows one of each millisecond
    shown = [(r.partition_key, r.asset_materialization) for r in records]
    assert all(made and made.metadata["day"].value == int(str(key)[-2:]) for key, made in shown)
    assert all(made and made.tags and made.tags["colour"] == "blue" for _, made in shown)
    last = instance.get_latest_materialization_event(dg.AssetKey("second"))
    assert last is not None
    assert last.run_id == single.run_id


def test_failed_days_are_known_as_failed(instance: dg.DagsterInstance) -> None:
    assert not backfill(instance, fails="yes").success
    assert len(instance.get_materialized_partitions(dg.AssetKey("first"))) == 31
    planned = instance.event_log_storage.get_latest_asset_partition_materialization_attempts_without_materializations(
        dg.AssetKey("second")
    )
    assert len(planned) == 31


def test_a_run_over_many_days_is_one_row_of_a_checks_history(instance: dg.DagsterInstance) -> None:
    key = dg.AssetCheckKey(dg.AssetKey("first"), "sound")

    def history() -> list[tuple[str, str]]:
        records = instance.event_log_storage.get_asset_check_execution_history(key, limit=100)
        return [(record.run_id, record.status.name) for record in records]

    waiting = instance.create_run_for_job(job(), tags=RANGE)
    assert history() == [(waiting.run_id, "PLANNED")]
    done = backfill(instance)
    assert history() == [(done.run_id, "SUCCEEDED"), (waiting.run_id, "PLANNED")]


def test_no_file_stays_open(instance: dg.DagsterInstance, home: Path) -> None:
    backfill(instance)
    assert [file.path for file in psutil.Process().open_files() if file.path.startswith(str(home / "history"))] == []


def test_only_crashes_are_retried_and_ticks_are_purged(instance: dg.DagsterInstance) -> None:
    assert instance.run_retries_enabled
    assert not instance.run_retries_retry_on_asset_or_op_failure
    assert instance.run_monitoring_enabled
    assert not instance.telemetry_enabled
    concurrency = instance.get_concurrency_config()
    assert concurrency.pool_config.pool_granularity is PoolGranularity.RUN  # else a waiting step takes a whole CPU
    places = concurrency.run_queue_config
    assert places is not None
    assert concurrency.pool_config.default_pool_limit == places.max_concurrent_runs - 1


KILLED = """
import os, signal, sys
import dagster as dg

@dg.op
def step():
    os.kill(os.getpid(), signal.SIGKILL)

@dg.job(executor_def=dg.in_process_executor)
def killed():
    step()

with dg.DagsterInstance.from_config(sys.argv[1]) as instance:
    killed.execute_in_process(instance=instance)
"""


def test_a_run_whose_process_is_gone_is_told_from_one_that_goes_on(instance: dg.DagsterInstance, home: Path) -> None:
    """The kill leaves it "started", which nobody but the launcher can tell from a run that takes long."""
    done = subprocess.run([sys.executable, "-c", KILLED, str(home)], check=False, stderr=subprocess.DEVNULL)
    assert done.returncode == -signal.SIGKILL
    [dead] = instance.get_runs()
    assert dead.status is dg.DagsterRunStatus.STARTED
    launcher = instance.run_launcher
    assert launcher.supports_check_run_worker_health
    assert launcher.check_run_worker_health(dead).status is WorkerStatus.FAILED
    asked = []

    @dg.op
    def step(context: dg.OpExecutionContext) -> None:
        asked.append(launcher.check_run_worker_health(context.run).status)

    @dg.job
    def alive() -> None:
        step()

    over = alive.execute_in_process(instance=instance).dagster_run
    assert asked == [WorkerStatus.RUNNING]
    # The run is over for Dagster a moment after its process has said so; in between it must not count as dead.
    assert launcher.check_run_worker_health(over).status is WorkerStatus.RUNNING
    instance.report_run_failed(dead)
    assert list((home / "history" / "running").iterdir()) == []


def test_where_files_cannot_be_locked_runs_go_on_and_none_counts_as_dead(
    instance: dg.DagsterInstance, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    locks = RunLocks(home / "running")
    locks.hold("run")
    assert not locks.has_died("run")
    assert backfill(instance).success
