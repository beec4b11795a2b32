"""A Dagster instance in memory for the tests of a process: creating its tables takes longer than many tests."""

import datetime as dt
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dagster as dg
from dagster._core.execution.build_resources import wrap_resources_for_execution
from dagster._core.instance import InstanceType
from dagster._core.launcher.sync_in_memory_run_launcher import SyncInMemoryRunLauncher
from dagster._core.run_coordinator import DefaultRunCoordinator
from dagster._core.storage.event_log import InMemoryEventLogStorage
from dagster._core.storage.noop_compute_log_manager import NoOpComputeLogManager
from dagster._core.storage.root import TemporaryLocalArtifactStorage
from dagster._core.storage.runs import InMemoryRunStorage
from sqlalchemy import create_engine
from sqlalchemy.engine import Connection
from sqlalchemy.pool import NullPool

from synthflow_assets.orchestration.build import build_synthflow_defs
from synthflow_assets.orchestration.instance.event_log import KnownSchemaStorage
from synthflow_assets.settings import Settings


class _Database:
    """A SQLite database in memory, which can be emptied. Dagster keeps a connection to it open."""

    def __init__(self, kept_open: Connection) -> None:
        self._database: Any = kept_open.connection.dbapi_connection
        kept_open.rollback()
        self._empty = sqlite3.connect(":memory:")
        self._database.backup(self._empty)

    def empty(self) -> None:
        self._empty.backup(self._database)


class _Events(KnownSchemaStorage, InMemoryEventLogStorage):
    """Events in memory, over one connection; Dagster would open several for each event."""

    def __init__(self) -> None:
        super().__init__()
        one_thread = self._held_conn
        # Steps may log from other threads.
        self._engine = create_engine(self._engine.url, poolclass=NullPool, connect_args={"check_same_thread": False})
        self._held_conn = self._engine.connect()
        one_thread.close()
        self.database = _Database(self._held_conn)

    @contextmanager
    def _connect(self) -> Iterator[Connection]:
        with self._db_lock, self._held_conn.begin():
            yield self._held_conn


class SharedInstance:
    """An instance like `dg.DagsterInstance.ephemeral()`. Each test gets it without runs and events."""

    def __init__(self) -> None:
        self._events, self._runs = _Events(), InMemoryRunStorage()
        self._databases = (self._events.database, _Database(self._runs._held_conn))
        self._instance = dg.DagsterInstance(
            instance_type=InstanceType.EPHEMERAL,
            local_artifact_storage=TemporaryLocalArtifactStorage(),
            run_storage=self._runs,
            event_storage=self._events,
            compute_log_manager=NoOpComputeLogManager(),
            run_coordinator=DefaultRunCoordinator(),
            run_launcher=SyncInMemoryRunLauncher(),
        )

    def emptied(self) -> dg.DagsterInstance:
        for database in self._databases:
            database.empty()
        return self._instance

    def close(self) -> None:
        self._instance.dispose()


_last: dict[str, dg.Definitions] = {}


def definitions_of(settings: Settings) -> dg.Definitions:
    """Return the definitions of settings, kept for the next run of a test: building them takes a tenth of a small run.

    Args:
        settings: without secrets, except the API key in its usual variable.
    """
    key = repr(settings)
    if key not in _last:
        _last.clear()
        _last[key] = build_synthflow_defs(settings)
    return _last[key]


def without_checks(job: dg.JobDefinition, assets: Iterable[str | dg.AssetKey] = ()) -> dg.JobDefinition:
    """Return a job of these assets, or of all its assets, that evaluates no checks.

    The 50 checks take 40 % of the processor time of a run of all assets, most of it to store their events.
    """
    keys = {one if isinstance(one, dg.AssetKey) else dg.AssetKey(["synthflow", one]) for one in assets}
    every = set(job.asset_layer.executable_asset_keys)
    return job.get_subset(asset_selection=keys or every, asset_check_selection=set())


class ScheduleContext(dg.ScheduleEvaluationContext):
    """The context of a schedule's tick, for an instance in memory. Dagster's own opens the instance's files again."""

    def __init__(
        self,
        instance: dg.DagsterInstance,
        definitions: dg.Definitions,
        when: dt.datetime,
        resources: Mapping[str, Any] | None = None,
    ) -> None:
        wrapped = wrap_resources_for_execution(resources)
        super().__init__(None, when, resources=wrapped, repository_def=definitions.get_repository_def())
        self._instance = instance

    @property
    def instance(self) -> dg.DagsterInstance:
        return self._instance
