"""The Dagster instance of `dagster.yaml`: batched events, retries, and runs that were killed."""

import errno
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import grpc
import psutil
import pytest
import yaml
from dagster._core.instance.config import PoolGranularity
from dagster._core.launcher import WorkerStatus
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._grpc.__generated__.dagster_api_pb2 import CanCancelExecutionReply
from dagster._grpc.__generated__.dagster_api_pb2_grpc import DagsterApiServicer, add_DagsterApiServicer_to_server
from dagster._grpc.types import CanCancelExecutionResult
from dagster._serdes import serialize_value

from synthflow_assets.orchestration import private
from synthflow_assets.orchestration.instance import launcher
from synthflow_assets.orchestration.instance.event_log import BatchedEventLogStorage
from synthflow_assets.orchestration.instance.run_locks import RunLocks
from synthflow_assets.orchestration.resources import WarehouseResource
from tests.forks import Forks

ROOT = Path(__file__).parents[2]
DAYS = dg.DailyPartitionsDefinition("2026-01-01", end_date="2026-01-13")
RANGE = {"dagster/asset_partition_range_start": "2026-01-01", "dagster/asset_partition_range_end": "2026-01-12"}


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


@pytest.fixture(scope="module")
def empty_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of this instance without runs. Tests copy them, because creating the tables takes longer."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "dagster.yaml").symlink_to(ROOT / "synthflow_assets" / "dagster.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(folder))
        with dg.DagsterInstance.from_config(str(folder)) as made:
            assert made.get_runs() == []
    return folder


@pytest.fixture
def home(empty_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(empty_home, tmp_path, symlinks=True, dirs_exist_ok=True)
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


def test_a_batch_stores_the_events_of_single_writes_and_dagsters_own_storage_reads_them(
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
    assert len(records) == 24
    assert len({int(record.timestamp * 1000) for record in records}) == 24  # the UI shows one of each millisecond
    shown = [(r.partition_key, r.asset_materialization) for r in records]
    assert all(made and made.metadata["day"].value == int(str(key)[-2:]) for key, made in shown)
    assert all(made and made.tags and made.tags["colour"] == "blue" for _, made in shown)
    last = instance.get_latest_materialization_event(dg.AssetKey("second"))
    assert last is not None
    assert last.run_id == single.run_id


def test_failed_days_are_known_as_failed(instance: dg.DagsterInstance) -> None:
    assert not backfill(instance, fails="yes").success
    assert len(instance.get_materialized_partitions(dg.AssetKey("first"))) == 12
    planned = instance.event_log_storage.get_latest_asset_partition_materialization_attempts_without_materializations(
        dg.AssetKey("second")
    )
    assert len(planned) == 12


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


# A step that creates a file when it starts, and waits to be killed. Dagster mixes what a step prints with its own log.
HANGING = """
import pathlib, sys, time
import dagster as dg
from synthflow_assets.orchestration.resources import WarehouseResource

@dg.op(required_resource_keys={"warehouse"})
def step():
    pathlib.Path("started").touch()
    time.sleep(60)

@dg.job(executor_def=dg.in_process_executor, resource_defs={"warehouse": WarehouseResource(database="w.duckdb")})
def hanging():
    step()

with dg.DagsterInstance.from_config(sys.argv[1]) as instance:
    hanging.execute_in_process(instance=instance)
"""


def health(instance: dg.DagsterInstance, run: dg.DagsterRun) -> WorkerStatus:
    launcher = instance.run_launcher
    assert launcher.supports_check_run_worker_health
    return launcher.check_run_worker_health(run).status


@pytest.mark.parametrize(
    "program", [HANGING, HANGING.replace('{"warehouse"}', "set()")], ids=["step", "no step of ours"]
)
def test_a_killed_run_differs_from_a_running_one(
    instance: dg.DagsterInstance, home: Path, forks: Forks, program: str
) -> None:
    """Dagster stores both as "started"."""
    (home / "hanging.py").write_text(program)
    printed = home / "printed"
    child = forks.command(["python", "-m", "hanging", str(home)], home, dict(os.environ), printed)
    while not (home / "started").exists():
        assert forks.poll(child) is None, printed.read_text()
        time.sleep(0.01)
    [run] = instance.get_runs()
    alive = health(instance, run)
    os.kill(child, signal.SIGKILL)
    assert alive is WorkerStatus.RUNNING
    assert forks.exit_code(child) == -signal.SIGKILL
    [dead] = instance.get_runs()
    assert dead.status is dg.DagsterRunStatus.STARTED
    assert health(instance, dead) is WorkerStatus.FAILED


def test_a_run_that_has_ended_never_counts_as_dead(instance: dg.DagsterInstance, home: Path) -> None:
    """Dagster stores its end a moment after its last step."""
    asked = []

    @dg.op(required_resource_keys={"warehouse"})
    def step(context: dg.OpExecutionContext) -> None:
        asked.append(health(instance, context.run))
        assert list((home / "running").iterdir()) != []

    @dg.job(resource_defs={"warehouse": WarehouseResource(database="w.duckdb")})
    def job() -> None:
        step()

    done = job.execute_in_process(instance=instance)
    assert asked == [WorkerStatus.RUNNING]
    assert health(instance, done.dagster_run) is WorkerStatus.RUNNING
    assert list((home / "running").iterdir()) == []


def test_a_run_with_one_living_process_is_alive(home: Path) -> None:
    """If one step process of a multiprocess run is killed, the executor fails the run by itself."""
    folder = home / "running"
    folder.mkdir()
    (folder / "run-1").touch()
    locks = RunLocks(folder)
    assert locks.has_died("run")
    assert not locks.has_died("ru")
    locks.hold("run")
    assert not locks.has_died("run")
    locks.release("run")
    assert locks.has_died("run")


def test_a_run_without_locks_never_counts_as_dead(
    instance: dg.DagsterInstance, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs of other packages hold none, and some file systems have none."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    assert health(instance, backfill(instance).dagster_run) is WorkerStatus.RUNNING
    monkeypatch.setattr(fcntl, "flock", refuse)
    locks = RunLocks(home / "running")
    locks.hold("run")
    assert not locks.has_died("run")


def test_an_instance_with_another_launcher_gets_no_locks(tmp_path: Path) -> None:
    @dg.op(required_resource_keys={"warehouse"})
    def step() -> None:
        pass

    @dg.job(resource_defs={"warehouse": WarehouseResource(database="w.duckdb")})
    def job() -> None:
        step()

    with dg.DagsterInstance.local_temp(str(tmp_path)) as other:
        assert job.execute_in_process(instance=other).success
    assert not (tmp_path / "running").exists()


class CodeServer(DagsterApiServicer):
    """Answers the one question of the launcher; other code servers answer it the same way."""

    def __init__(self, *, has_run: bool) -> None:
        self._answer = serialize_value(CanCancelExecutionResult(can_cancel=has_run))

    def CanCancelExecution(self, *_: object) -> CanCancelExecutionReply:  # noqa: N802
        return CanCancelExecutionReply(serialized_can_cancel_execution_result=self._answer)

    @contextmanager
    def serving(self, port: int) -> Iterator[int]:
        """Serve at a port, or at a free one if it is 0. Yields the port."""
        server = grpc.server(ThreadPoolExecutor(1))
        add_DagsterApiServicer_to_server(self, server)
        port = server.add_insecure_port(f"127.0.0.1:{port}")
        server.start()
        try:
            yield port
        finally:
            server.stop(None).wait()


def test_a_run_counts_as_dead_only_if_dagster_can_retry_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dagster tries that once, at once, with the definitions that its daemon has of the code server."""
    [config] = yaml.safe_load_all((ROOT / "deploy/server/dagster.yaml").read_text(encoding="utf-8"))
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump({"run_launcher": config["run_launcher"]}), encoding="utf-8")
    (tmp_path / "running").mkdir()
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        with CodeServer(has_run=True).serving(0) as port:
            at = {".dagster/grpc_info": json.dumps({"host": "127.0.0.1", "port": port})}
            run = instance.create_run_for_job(job(), tags=at, status=dg.DagsterRunStatus.STARTED)
            assert health(instance, run) is WorkerStatus.RUNNING
        # If the server dies, so does the run: its lock is free.
        (tmp_path / "running" / f"{run.run_id}-1").touch()
        assert health(instance, run) is WorkerStatus.RUNNING
        with CodeServer(has_run=False).serving(port):
            assert [health(instance, run) for _ in range(2)] == [WorkerStatus.RUNNING] * 2
            monkeypatch.setattr(launcher, "SETTLING_SECONDS", 0)
            assert health(instance, run) is WorkerStatus.FAILED
            monkeypatch.undo()
        assert health(instance, run) is WorkerStatus.RUNNING
        with CodeServer(has_run=False).serving(port):
            assert health(instance, run) is WorkerStatus.RUNNING


def test_an_untested_release_of_dagster_is_one_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    private.warn_if_untested("The part")
    assert caplog.messages == []
    monkeypatch.setattr(dg, "__version__", "1.14.0")
    for _ in range(2):
        private.warn_if_untested("Another part")
    [message] = caplog.messages
    assert message.startswith("Another part was tested with Dagster 1.13.21 to 1.13.27, and 1.14.0 is installed")


def test_the_installed_dagster_has_every_private_name() -> None:
    for name in private.NAMES:
        assert getattr(private, name) is not None


def test_private_parts_of_dagster_are_imported_in_one_module_only(tmp_path: Path) -> None:
    """`make check` refuses them elsewhere."""
    (tmp_path / "module.py").write_text("from dagster._core.events import DagsterEvent\nimport dagster_shared.check\n")
    command = [sys.executable, "-m", "ruff", "check", "--config", str(ROOT / "pyproject.toml"), "--select", "TID251"]
    found = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, check=False, cwd=ROOT)
    assert found.stdout.count("see synthflow_assets/orchestration/private.py") == 2
    assert subprocess.run([*command, "synthflow_assets"], capture_output=True, check=False, cwd=ROOT).returncode == 0
