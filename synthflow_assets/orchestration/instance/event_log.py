"""Write Dagster's SQLite event log in batches, because a backfill of a year has more than ten thousand events.

Dagster's own storage opens and commits several connections for each event, which takes longer than fetching the calls:
a year of three agents takes three times as long with it (docs/benchmarks.md). Here the events of a step share two
transactions, and a check is planned once, not once for each day. The files are Dagster's own: remove the entry from
`dagster.yaml`, and `SqliteEventLogStorage` continues with them.

The process of a run also holds the lock of the run from start to end. So run monitoring notices if it dies between two
steps, when no step holds a lock.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import dagster as dg
from dagster import EventLogEntry
from sqlalchemy import create_engine
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import NullPool

from synthflow_assets.orchestration import private
from synthflow_assets.orchestration.instance.run_locks import RunLocks

_BATCH_SIZE_VARIABLE = "DAGSTER_EVENT_BATCH_SIZE"  # Dagster passes batches only if it is set
_BATCH_SIZE = "1000"
_LOCK_WAIT_SECONDS = 30
_RUN_ENDS = (dg.DagsterEventType.RUN_SUCCESS, dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.RUN_CANCELED)
_KEPT_ENGINES = 8  # they hold compiled statements, but no file


class KnownSchemaStorage(private.SqlEventLogStorage):
    """Remember which tables and columns exist, because Dagster asks for each event.

    The base class of a storage, before the one that has `has_table`.
    """

    @cached_property
    def _known(self) -> set[tuple[str, str]]:
        return set()

    def has_table(self, table_name: str) -> bool:
        """Return whether the table exists."""
        known = ("table", table_name)
        if known not in self._known and super().has_table(table_name):  # type: ignore[safe-super]
            self._known.add(known)
        return known in self._known

    def _has_asset_key_col_on_connection(self, conn: Connection, column_name: str) -> bool:
        """Return whether the index of assets has a column."""
        known = ("column", column_name)
        if known not in self._known and super()._has_asset_key_col_on_connection(conn, column_name):
            self._known.add(known)
        return known in self._known


class BatchedEventLogStorage(KnownSchemaStorage, private.SqliteEventLogStorage):
    """The storage for `event_log_storage` in `dagster.yaml`.

    Args:
        base_dir: folder of the SQLite files; by default that of Dagster's own storage.
        inst_data: Dagster's own description of where this class is named.
    """

    def __init__(self, base_dir: str, inst_data: Any = None) -> None:
        private.warn_if_untested("The event log BatchedEventLogStorage in dagster.yaml")
        os.environ.setdefault(_BATCH_SIZE_VARIABLE, _BATCH_SIZE)
        self._held = threading.local()
        self._engines: dict[str, Engine] = {}
        super().__init__(base_dir, inst_data)

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Return what `config` in `dagster.yaml` may hold."""
        return {"base_dir": dg.Field(dg.StringSource, is_required=False)}

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Mapping[str, Any]) -> Self:
        """Make the storage that `dagster.yaml` describes; Dagster calls this."""
        home = Path(os.environ.get("DAGSTER_HOME", "")).absolute()
        return cls(config_value.get("base_dir") or str(home / "history" / "runs"), inst_data)

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store events, all or none, over one connection to each file."""
        with ExitStack() as stack:
            self._held.connections = {
                shard: stack.enter_context(self._engine(shard).begin())
                for shard in {private.INDEX_SHARD_NAME, *(event.run_id for event in events)}
            }
            stack.callback(self._held.connections.clear)
            for event in _two_milliseconds_apart(events):
                self.store_event(event)

    def store_event(self, event: EventLogEntry) -> None:
        """Store an event. The process that stores the start of a run is the one that executes it."""
        super().store_event(event)
        kind = event.dagster_event.event_type if event.dagster_event else None
        if kind is dg.DagsterEventType.RUN_START and (locks := RunLocks.of(self._instance)) is not None:
            locks.hold(event.run_id)
        elif kind in _RUN_ENDS and (locks := RunLocks.of(self._instance)) is not None:
            locks.release(event.run_id)

    def store_asset_check_event(self, event: EventLogEntry, event_id: int | None) -> None:
        """Store a planned check as one row; Dagster would store one for each day of the run.

        A check without partitions is evaluated once, so the other rows would stay in its history as "Skipped".
        """
        happened = event.get_dagster_event()
        planned = happened.event_specific_data
        if isinstance(planned, private.AssetCheckEvaluationPlanned):
            whole = private.AssetCheckEvaluationPlanned(asset_key=planned.asset_key, check_name=planned.check_name)
            event = event._replace(dagster_event=happened._replace(event_specific_data=whole))
        super().store_asset_check_event(event, event_id)

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
        """Return one engine for all events of a file, because each engine compiles every statement once."""
        if shard not in self._initialized_dbs:
            with super()._connect(shard):
                pass  # which makes the file if it does not exist
        if shard not in self._engines:
            connecting = {"timeout": _LOCK_WAIT_SECONDS}
            if len(self._engines) > _KEPT_ENGINES:
                self._engines.clear()
            made = create_engine(self.conn_string_for_shard(shard), poolclass=NullPool, connect_args=connecting)
            self._engines[shard] = made
        return self._engines[shard]


def _two_milliseconds_apart(events: Sequence[EventLogEntry]) -> Iterator[EventLogEntry]:
    """Yield the events two milliseconds apart: Dagster's UI shows only one of several in the same millisecond."""
    earliest = 0.0
    for event in events:
        earliest = max(event.timestamp, earliest + 0.002)
        yield event._replace(timestamp=earliest)
