"""Records to rows: types them while fetching goes on, then replaces whole partitions in one transaction.

The spool types records on DuckDB's threads into Parquet files in a private folder; personal data is treated on that
way, so none of it reaches a disk that should not. The warehouse itself is opened only when whole partitions wait.
"""

from __future__ import annotations

import datetime as dt
import itertools
import shutil
import tempfile
import time
from array import array
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import duckdb
import pyarrow as pa

from synthflow_assets.agents import Agent
from synthflow_assets.days import day_bounds_ms
from synthflow_assets.errors import WarehouseUnusableError
from synthflow_assets.warehouse.decoding import decode_sql
from synthflow_assets.warehouse.forgetting import read_forgotten
from synthflow_assets.warehouse.personal import NOBODY, Forgotten
from synthflow_assets.warehouse.schema import CALL_FIELDS, CALLS, LANDED_TABLES, PERSONAL_COLUMNS, UNREADABLE_FIELD
from synthflow_assets.warehouse.statements import describe, lacks_memory, sql_file, write
from synthflow_assets.warehouse.tables import Column, Kind

_CHUNK_BYTES = 8 * 2**20  # of JSON, typed at once
_CHUNKS_UNDER_WAY = 2
# A bound, not a need: typing takes some 100 MB, and more only where single records are many megabytes long.
_MEMORY_LIMIT = "2GB"
# What landing may use: memory, and threads, each of which holds a group of rows until it is full. The next is tried
# where the one before did not suffice: for long texts that all differ, for texts of megabytes.
_LANDING_LIMITS = (("64MB", 2), ("128MB", 1), (_MEMORY_LIMIT, 1))
_BATCH_BYTES = 2**20  # of JSON that DuckDB looks at in one go; its expressions hold several copies of it
_ABANDONED_SECONDS = 86_400.0
_FIELDS: dict[str, Any] = {
    "fields": [column.source for column in CALL_FIELDS],
    "unreadable": UNREADABLE_FIELD,
    "most_fields": 500,  # of those that the package does not know there may be any number
}
_SQL = "synthflow_assets.warehouse.sql"


class Partition(NamedTuple):
    """What is replaced as a whole: a day of an agent."""

    day: dt.date
    model_id: str


@dataclass(frozen=True)
class FetchCounts:
    """What fetching a partition came to, as `call_loads` keeps it."""

    total_records: int
    fetched: int
    duplicates: int
    outside_window: int
    other_model: int
    requests: int
    closed: bool


@dataclass(frozen=True)
class LoadSummary:
    """A row of `call_loads` without its time and run."""

    day: dt.date
    model_id: str
    total_records: int
    fetched: int
    landed: int
    rejected: int
    duplicates: int
    outside_window: int
    other_model: int
    open_calls: int
    requests: int
    settled: bool

    @property
    def partition(self) -> Partition:
        """Which it is."""
        return Partition(self.day, self.model_id)


@dataclass
class ReadyBatch:
    """Complete partitions, the files that hold their typed records, and whose personal data was left out of them."""

    partitions: dict[Partition, FetchCounts] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    forgotten: Forgotten = NOBODY


class ForgottenMeanwhileError(Exception):
    """Somebody was forgotten after a batch was typed, so it still holds what is not to be written any more."""


@dataclass
class _Chunk:
    """Records that wait to be typed."""

    partitions: list[tuple[Partition, int]] = field(default_factory=list)  # and how many records of each
    records: list[bytes] = field(default_factory=list)
    size_bytes: int = 0

    def add(self, partition: Partition, records: list[bytes], size_bytes: int) -> None:
        self.partitions.append((partition, len(records)))
        self.records += records
        self.size_bytes += size_bytes


class Spool:
    """Holds what was fetched until its partition is complete. For a `with` block; one thread only.

    Memory stays bounded: a partition beyond some megabytes goes to files while it is still being fetched.

    `read_forgotten` is asked once, before anything is typed, whose personal data is not to be written.
    """

    def __init__(
        self,
        pii: str = "keep",
        hash_key: str = "",
        read_forgotten: Callable[[], Forgotten] = Forgotten,
        timezone: str = "UTC",
    ) -> None:
        self._pii = pii
        self._hash_key = hash_key
        self._read_forgotten = read_forgotten
        self._timezone = timezone
        self._forgotten = NOBODY
        self._decode_sql = ""
        self._folder = _spool_folder()
        self._names = itertools.count()
        self._incomplete: dict[Partition, _Chunk] = {}
        self._files: dict[Partition, list[Path]] = {}
        self._complete = _Chunk()
        self._ready = ReadyBatch()
        self._under_way: list[Future[None]] = []
        self._typist = ThreadPoolExecutor(1, thread_name_prefix="synthflow-typing")
        self._connection = duckdb.connect(config={"threads": 1, "memory_limit": _MEMORY_LIMIT})
        self._under_way.append(self._typist.submit(self._prepare))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._typist.shutdown(wait=True, cancel_futures=True)
        self._connection.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def ready_partitions(self) -> int:
        """How many partitions wait to be landed."""
        return len(self._ready.partitions)

    def add(self, partition: Partition, records: list[bytes]) -> None:
        """Take records of a partition that is being fetched."""
        chunk = self._incomplete.setdefault(partition, _Chunk())
        chunk.add(partition, records, sum(map(len, records)))
        if chunk.size_bytes >= _CHUNK_BYTES:
            self._files.setdefault(partition, []).append(self._type(self._incomplete.pop(partition)))

    def discard(self, partition: Partition) -> None:
        """Forget what came of a partition."""
        self._incomplete.pop(partition, None)
        self._files.pop(partition, None)

    def complete(self, partition: Partition, counts: FetchCounts) -> None:
        """Say that a partition has all its records."""
        rest = self._incomplete.pop(partition, _Chunk())
        self._complete.add(partition, rest.records, rest.size_bytes)
        self._ready.partitions[partition] = counts
        self._ready.files += self._files.pop(partition, [])
        if self._complete.size_bytes >= _CHUNK_BYTES:
            self._type_complete()

    def take_ready(self) -> ReadyBatch:
        """The complete partitions, all typed; the spool forgets them, their files stay until its end."""
        # Even without a record: a file of no rows saves every query below a case of its own.
        self._type_complete()
        self._wait(0)
        ready, self._ready = self._ready, ReadyBatch()
        ready.forgotten = self._forgotten
        return ready

    def _type_complete(self) -> None:
        self._ready.files.append(self._type(self._complete))
        self._complete = _Chunk()

    def _type(self, chunk: _Chunk) -> Path:
        """Begin to type a chunk; its file is whole once `_wait(0)` returns."""
        path = self._folder / f"{next(self._names)}.parquet"
        self._wait(_CHUNKS_UNDER_WAY - 1)
        self._under_way.append(self._typist.submit(self._write, chunk, path))
        return path

    def _prepare(self) -> None:
        """What takes time before the first chunk, while the first pages are on their way."""
        self._connection.execute("SET TimeZone = 'UTC'")
        self._forgotten = self._read_forgotten()
        self._decode_sql = decode_sql("chunk", self._pii, self._hash_key, self._forgotten)
        # DuckDB imports it with the first parameter of a query, which would be in the middle of landing.
        import_module("pandas")

    def _write(self, chunk: _Chunk, path: Path) -> None:
        self._connection.register("chunk", _arrow(chunk, self._timezone))
        try:
            target = str(path).replace("'", "''")
            self._connection.execute(f"COPY ({self._decode_sql}) TO '{target}' (FORMAT parquet, COMPRESSION lz4_raw)")
        except duckdb.Error as error:
            raise WarehouseUnusableError(
                f"the fetched records cannot be typed in {tempfile.gettempdir()}: {describe(error)}"
            ) from None
        finally:
            self._connection.unregister("chunk")

    def _wait(self, at_most: int) -> None:
        while len(self._under_way) > at_most:
            self._under_way.pop(0).result()


def _spool_folder() -> Path:
    """A folder that only this user can read; what killed processes left behind is removed."""
    for left in Path(tempfile.gettempdir()).glob("synthflow-spool-*"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(left)
    return Path(tempfile.mkdtemp(prefix="synthflow-spool-"))


def _arrow(chunk: _Chunk, timezone: str) -> pa.Table:
    """The chunk as Arrow, without a Python object for each value: one buffer of bytes and one of offsets."""
    offsets = array("q", itertools.accumulate(map(len, chunk.records), initial=0))
    record = pa.Array.from_buffers(
        pa.large_string(), len(chunk.records), [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(chunk.records))]
    )
    positions = array("i", itertools.chain.from_iterable([i] * n for i, (_, n) in enumerate(chunk.partitions)))
    index = pa.Array.from_buffers(pa.int32(), len(positions), [None, pa.py_buffer(positions)])

    def spread(values: pa.Array) -> pa.Array:
        return values.take(index)

    bounds = [day_bounds_ms(partition.day, timezone) for partition, _ in chunk.partitions]
    table = pa.table(
        {
            "day": spread(pa.array([partition.day for partition, _ in chunk.partitions], pa.date32())),
            "model_id": spread(pa.array([partition.model_id for partition, _ in chunk.partitions], pa.string())),
            "record": record,
            "from_ms": spread(pa.array([bound[0] for bound in bounds], pa.int64())),
            "to_ms": spread(pa.array([bound[1] for bound in bounds], pa.int64())),
        }
    )
    # DuckDB takes a batch as it comes, so batches bound what it holds at once.
    rows = max(1, len(chunk.records) * _BATCH_BYTES // max(1, chunk.size_bytes))
    return pa.Table.from_batches(table.to_batches(max_chunksize=rows), table.schema)


def land(
    connection: duckdb.DuckDBPyConnection,
    batch: ReadyBatch,
    run_id: str,
    loaded_at: dt.datetime,
    *,
    vanished_fields: str = "mirror",
    pii: str = "keep",
) -> list[LoadSummary]:
    """Replace the batch's partitions in `calls`, `call_rejects` and `call_loads`, in one transaction.

    Args:
        connection: to the warehouse.
        batch: what to land.
        run_id: of the run that fetched it.
        loaded_at: the time to note.
        vanished_fields: `keep` leaves personal fields as they landed before where they have come back empty.
        pii: how personal data of this batch was treated.

    Returns:
        What `call_loads` now says of them, by day and agent.

    Raises:
        ForgottenMeanwhileError: the batch was typed before somebody was forgotten; nothing has changed.
    """
    partitions = list(batch.partitions)
    keys: dict[str, Any] = {"days": [p.day for p in partitions], "model_ids": [p.model_id for p in partitions]}
    files: dict[str, Any] = {"files": [str(path) for path in batch.files]}
    stamp: dict[str, Any] = {"loaded_at": loaded_at}
    counts: dict[str, Any] = {
        name: [getattr(counted, name) for counted in batch.partitions.values()]
        for name in FetchCounts.__dataclass_fields__
    }

    def replace() -> None:
        # Of two transactions that overlap one begins again, so nobody can be forgotten between this and the commit.
        if read_forgotten(connection) != batch.forgotten:
            raise ForgottenMeanwhileError
        if vanished_fields == "keep" and pii != "drop":
            connection.execute(sql_file(_SQL, "note_earlier.sql"), {"days": keys["days"], **files})
        for table in LANDED_TABLES:
            # The name is the schema's own, never a user's.
            connection.execute(sql_file(_SQL, "delete_partitions.sql").format(table=table.name), keys)
        connection.execute(sql_file(_SQL, "delete_moved_calls.sql"), {"days": keys["days"], **files})
        connection.execute(sql_file(_SQL, "insert_calls.sql"), {**files, **stamp})
        if vanished_fields == "keep" and pii != "drop":
            connection.execute(_restore_sql(pii))
            connection.execute("DROP TABLE temp.earlier")
        connection.execute(sql_file(_SQL, "insert_rejects.sql"), {**files, **stamp})
        load = {**keys, **files, **counts, **_FIELDS, **stamp, "run_id": run_id}
        connection.execute(sql_file(_SQL, "insert_loads.sql"), load)

    _in_little_memory(connection, lambda: write(connection, replace))
    rows = connection.execute(sql_file(_SQL, "read_loads.sql"), keys)
    names = [column[0] for column in rows.description or []]
    return [LoadSummary(**dict(zip(names, row, strict=True))) for row in rows.fetchall()]


def _in_little_memory(connection: duckdb.DuckDBPyConnection, work: Callable[[], None]) -> None:
    """Do what can be done twice, with more memory only where it must be.

    DuckDB would keep what it has written in memory, up to most of the machine's. A bound makes the peak independent of
    the batch, and costs hardly any time: what does not fit is noticed soon.
    """
    connection.execute("SET preserve_insertion_order = false")
    *smaller, largest = _LANDING_LIMITS
    for memory, threads in smaller:
        connection.execute(f"SET memory_limit = '{memory}'; SET threads = {threads}")
        try:
            return work()
        except duckdb.Error as error:
            if not lacks_memory(error):
                raise
    connection.execute("SET memory_limit = '{}'; SET threads = {}".format(*largest))
    return work()


def _restore_sql(pii: str) -> str:
    """Fill personal fields that came back empty from what landed before.

    Under `hash` only what is a hash comes back: data that landed before hashing was asked for is not to return.
    """

    def earlier(column: Column) -> str:
        if pii == "keep" or column.sql_type != Kind.TEXT.value:
            return f"earlier.{column.name}" if pii == "keep" else f"NULL::{column.sql_type}"
        return f"CASE WHEN regexp_full_match(earlier.{column.name}, '[0-9a-f]{{64}}') THEN earlier.{column.name} END"

    filled = ", ".join(
        f"{column.name} = coalesce(calls.{column.name}, {earlier(column)})" for column in PERSONAL_COLUMNS
    )
    return f"UPDATE {CALLS.name} SET {filled} FROM temp.earlier WHERE earlier.call_id = calls.call_id"


def land_agents(connection: duckdb.DuckDBPyConnection, agents: Iterable[Agent], loaded_at: dt.datetime) -> None:
    """Add or rename agents; one without a name tells nothing new. None is removed: its calls still bear its id."""
    named = [agent for agent in agents if agent.name]
    if not named:
        return
    model_ids, names, types = (list(values) for values in zip(*named, strict=True))

    def replace() -> None:
        connection.execute("DELETE FROM agents WHERE model_id IN (SELECT unnest($1::VARCHAR[]))", [model_ids])
        connection.execute(
            "INSERT INTO agents SELECT unnest($1::VARCHAR[]), unnest($2::VARCHAR[]), unnest($3::VARCHAR[]), $4",
            [model_ids, names, types, loaded_at],
        )

    write(connection, replace)
