"""Dagster's event log in SQLite, written in batches: a backfill of a year is thousands of events, one a day and asset.

Dagster opens and commits several connections for each of them, which takes longer than fetching the calls. Here the
events of a step share two transactions, and a check is planned once, not for each day. The files are Dagster's own, and
`SqliteEventLogStorage` goes on with them.
"""

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import dagster as dg
from dagster import EventLogEntry
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationPlanned
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME
from dagster._serdes import ConfigurableClassData
from sqlalchemy import create_engine
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import NullPool

from synthflow_assets.orchestration.run_locks import RunLocks

_BATCH_SIZE_VARIABLE = "DAGSTER_EVENT_BATCH_SIZE"  # Dagster hands over batches only where it is set
_BATCH_SIZE = "1000"
_LOCK_WAIT_SECONDS = 30
_KEPT_ENGINES = 8  # they hold compiled statements, but no file
_ENDS = (dg.DagsterEventType.RUN_SUCCESS, dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.RUN_CANCELED)


class BatchedEventLogStorage(SqliteEventLogStorage):
    """For `event_log_storage` in `dagster.yaml`; keeps the events where Dagster does, unless `base_dir` is set."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        os.environ.setdefault(_BATCH_SIZE_VARIABLE, _BATCH_SIZE)
        self._held = threading.local()
        self._tables: set[str] = set()
        self._columns: set[str] = set()
        self._engines: dict[str, Engine] = {}
        self.run_locks = RunLocks(Path(base_dir).parent / "running")
        super().__init__(base_dir, inst_data)

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """What may be set in `dagster.yaml`."""
        return {"base_dir": dg.Field(dg.StringSource, is_required=False)}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        """Made by Dagster, from `dagster.yaml`."""
        home = Path(os.environ.get("DAGSTER_HOME", "")).absolute()
        return cls(config_value.get("base_dir") or str(home / "history" / "runs"), inst_data)

    def store_event(self, event: EventLogEntry) -> None:
        """Store an event. The process that says that a run starts is the one that executes it."""
        kind = event.dagster_event.event_type if event.dagster_event else None
        if kind is dg.DagsterEventType.RUN_START:
            self.run_locks.hold(event.run_id)
        super().store_event(event)
        if kind in _ENDS:
            self.run_locks.release(event.run_id)

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store events, all or none, over one connection to each file."""
        with ExitStack() as stack:
            self._held.connections = {
                shard: stack.enter_context(self._engine(shard).begin())
                for shard in {INDEX_SHARD_NAME, *(event.run_id for event in events)}
            }
            stack.callback(self._held.connections.clear)
            for event in _apart(events):
                self.store_event(event)

    def store_asset_check_event(self, event: EventLogEntry, event_id: int | None) -> None:
        """Store a check that is planned as one row. Dagster would plan it for each day of the run.

        A check that has no partitions answers once, and the other rows would stay in its history as skipped.
        """
        happened = event.get_dagster_event()
        planned = happened.event_specific_data
        if isinstance(planned, AssetCheckEvaluationPlanned):
            whole = AssetCheckEvaluationPlanned(asset_key=planned.asset_key, check_name=planned.check_name)
            event = event._replace(dagster_event=happened._replace(event_specific_data=whole))
        super().store_asset_check_event(event, event_id)

    def has_table(self, table_name: str) -> bool:
        """Whether there is such a table; Dagster asks for each event."""
        if table_name not in self._tables and super().has_table(table_name):
            self._tables.add(table_name)
        return table_name in self._tables

    def _has_asset_key_col_on_connection(self, conn: Connection, column_name: str) -> bool:
        """Whether the index of assets has a column; Dagster looks for each event."""
        if column_name not in self._columns and super()._has_asset_key_col_on_connection(conn, column_name):
            self._columns.add(column_name)
        return column_name in self._columns

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        held = getattr(self._held, "connections", {}).get(shard)
        if held is not None:
            yield held
            return
        engine = self._engine(shard)
        with self._db_lock, engine.begin() as connection:
            yield connection

    def _engine(self, shard: str) -> Engine:
        """The same for all events of a file, as each engine compiles every statement anew."""
        if shard not in self._initialized_dbs:
            with super()._connect(shard):
                pass  # makes the file where there is none
        if shard not in self._engines:
            connecting = {"timeout": _LOCK_WAIT_SECONDS}
            if len(self._engines) > _KEPT_ENGINES:
                self._engines.clear()
            made = create_engine(self.conn_string_for_shard(shard), poolclass=NullPool, connect_args=connecting)
            self._engines[shard] = made
        return self._engines[shard]


def _apart(events: Sequence[EventLogEntry]) -> Iterator[EventLogEntry]:
    """The events, two milliseconds apart: Dagster's UI takes those of the same millisecond for one."""
    earliest = 0.0
    for event in events:
        earliest = max(event.timestamp, earliest + 0.002)
        yield event._replace(timestamp=earliest)
