"""Staging: decode fetched records into typed Parquet files until their partitions are complete.

Decoding runs on DuckDB's threads while fetching continues. Personal data is treated before anything is written to disk.
The warehouse is opened only when complete partitions are ready to land.
"""

from __future__ import annotations

import ctypes
import datetime as dt
import itertools
import shutil
import tempfile
from array import array
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import duckdb
import pyarrow as pa

from synthflow_assets.days import day_bounds_ms
from synthflow_assets.errors import WarehouseUnusableError
from synthflow_assets.files import locked_folder, private_files, remove_abandoned_folders
from synthflow_assets.interfaces import FetchResult
from synthflow_assets.warehouse.decoding import decode_sql
from synthflow_assets.warehouse.personal import EMPTY, SuppressionList
from synthflow_assets.warehouse.statements import describe, quoted

# JSON that is decoded at once. For each chunk, DuckDB takes Python's lock a few times, and may wait 5 ms each time.
CHUNK_BYTES = 16 * 2**20
# JSON of the partitions that are being fetched. The first pages of many partitions come before their other pages.
_MAX_INCOMPLETE_BYTES = 4 * CHUNK_BYTES
_MAX_PENDING_CHUNKS = 2
# Decoding usually takes 100 MB. Single records of many megabytes take more.
MEMORY_LIMIT = "2GB"
_BATCH_BYTES = 2 * 2**20  # JSON of one Arrow batch; DuckDB's expressions hold several copies of it
_PREFIX = "synthflow-staging-"
_LIBC = ctypes.CDLL(None)


class Partition(NamedTuple):
    """A day of an agent, which is replaced as a whole."""

    day: dt.date
    model_id: str


@dataclass
class ReadyBatch:
    """Complete partitions, the files of their typed records, and how these were made."""

    partitions: dict[Partition, FetchResult] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    suppressed: SuppressionList = EMPTY
    timezone: str = "UTC"  # of the days
    excluded: frozenset[Partition] = frozenset()  # their records are in the files, and do not land

    def without(self, partitions: Collection[Partition]) -> ReadyBatch:
        """Return the batch without some of its partitions."""
        rest = {partition: result for partition, result in self.partitions.items() if partition not in partitions}
        return replace(self, partitions=rest, excluded=self.excluded | frozenset(partitions))


@dataclass
class Chunk:
    """Records to decode, in the order of their partitions."""

    partitions: list[tuple[Partition, int]] = field(default_factory=list)  # with the number of their records
    records: list[bytes] = field(default_factory=list)
    size_bytes: int = 0

    def add(self, partition: Partition, records: list[bytes], size_bytes: int) -> None:
        """Add records of a partition."""
        self.partitions.append((partition, len(records)))
        self.records += records
        self.size_bytes += size_bytes


class Staging:
    """Holds fetched records until their partition is complete. A context manager, for one thread.

    Memory is bounded: a large partition is written to files while it is still being fetched.

    Args:
        pii: keep, hash or drop.
        hash_key: for hash.
        read_suppressed: returns the people whose personal data must not be written; called once, before decoding.
        timezone: IANA name of the time zone of days.
    """

    def __init__(
        self,
        pii: str = "keep",
        hash_key: str = "",
        read_suppressed: Callable[[], SuppressionList] = SuppressionList,
        timezone: str = "UTC",
    ) -> None:
        self._pii = pii
        self._hash_key = hash_key
        self._read_suppressed = read_suppressed
        self._suppressed = EMPTY
        self._timezone = timezone
        remove_abandoned()
        self._folder, self._lock = locked_folder(Path(tempfile.gettempdir()), _PREFIX)
        self._unfinished = self._folder / "unfinished.parquet"
        self._names = itertools.count()
        self._incomplete: dict[Partition, Chunk] = {}
        self._files: dict[Partition, list[Path]] = {}
        self._complete = Chunk()
        self._ready = ReadyBatch()
        self._pending: list[Future[None]] = []
        self._decode_executor = ThreadPoolExecutor(1, thread_name_prefix="synthflow-decode")
        # If DuckDB lacks memory, it writes raw records to disk. With `hash` and `drop`, it must not.
        spill_folder = str(self._folder) if pii == "keep" else ""
        self._connection = duckdb.connect(
            config={"threads": 1, "memory_limit": MEMORY_LIMIT, "temp_directory": spill_folder}
        )
        self._pending.append(self._decode_executor.submit(self._prepare))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._decode_executor.shutdown(wait=True, cancel_futures=True)
        self._connection.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._lock.close()

    @property
    def ready_partitions(self) -> int:
        """The number of complete partitions that have not been taken."""
        return len(self._ready.partitions)

    def add(self, partition: Partition, records: list[bytes]) -> None:
        """Add records of a partition that is being fetched."""
        chunk = self._incomplete.setdefault(partition, Chunk())
        chunk.add(partition, records, sum(map(len, records)))
        if chunk.size_bytes >= CHUNK_BYTES:
            self._decode_incomplete(partition)
        elif sum(other.size_bytes for other in self._incomplete.values()) >= _MAX_INCOMPLETE_BYTES:
            self._decode_incomplete(max(self._incomplete, key=lambda other: self._incomplete[other].size_bytes))

    def discard(self, partition: Partition) -> None:
        """Discard the records of a partition."""
        self._incomplete.pop(partition, None)
        self._files.pop(partition, None)

    def complete(self, partition: Partition, result: FetchResult) -> None:
        """Mark a partition as complete."""
        last = self._incomplete.pop(partition, Chunk())
        self._complete.add(partition, last.records, last.size_bytes)
        self._ready.partitions[partition] = result
        self._ready.files += self._files.pop(partition, [])
        if self._complete.size_bytes >= CHUNK_BYTES:
            self._decode_complete()

    def take_ready(self) -> ReadyBatch:
        """Return the complete partitions. Their files exist until the staging is closed."""
        # Even without records: with a file of no rows, landing needs no special case.
        self._decode_complete()
        self._wait(0)
        ready, self._ready = self._ready, ReadyBatch()
        ready.suppressed = self._suppressed
        ready.timezone = self._timezone
        return ready

    def _decode_incomplete(self, partition: Partition) -> None:
        path = self._decode(self._incomplete.pop(partition))
        self._files.setdefault(partition, []).append(path)

    def _decode_complete(self) -> None:
        self._ready.files.append(self._decode(self._complete))
        self._complete = Chunk()

    def _decode(self, chunk: Chunk) -> Path:
        """Start to decode a chunk into a file, which is complete when `_wait(0)` returns."""
        path = self._folder / f"{next(self._names)}.parquet"
        self._wait(_MAX_PENDING_CHUNKS - 1)
        self._pending.append(self._decode_executor.submit(self._write, chunk, path))
        return path

    def _prepare(self) -> None:
        """Prepare decoding, while the first pages are being fetched."""
        self._connection.execute("SET TimeZone = 'UTC'")
        self._suppressed = self._read_suppressed()
        # pyarrow imports pandas for its first array, and DuckDB for its first query with parameters. Here, the
        # first pages are being fetched meanwhile.
        self._source = _Source(self._timezone)
        self._connection.register("chunk", self._source)
        decode = decode_sql("chunk", self._pii, self._hash_key, self._suppressed)
        target = quoted(str(self._unfinished))
        self._connection.execute(f"PREPARE decode AS COPY ({decode}) TO {target} (FORMAT parquet, COMPRESSION lz4_raw)")

    def _write(self, chunk: Chunk, path: Path) -> None:
        try:
            with self._source.holding(chunk), private_files():
                self._connection.execute("EXECUTE decode")
        except duckdb.Error as error:
            raise WarehouseUnusableError(
                f"decoding the fetched records into {tempfile.gettempdir()} failed: {describe(error)}"
            ) from None
        self._unfinished.rename(path)
        chunk.records.clear()
        _release_memory()

    def _wait(self, at_most: int) -> None:
        while len(self._pending) > at_most:
            self._pending.pop(0).result()


class _Source:
    """The relation that decoding reads, which holds one chunk after the other.

    The query is prepared once, because planning it takes as long as decoding 1,000 records. DuckDB requests the stream
    for each execution (Arrow PyCapsule interface).
    """

    def __init__(self, timezone: str) -> None:
        self._timezone = timezone
        self._table = self._empty = records_table(Chunk(), timezone)

    @contextmanager
    def holding(self, chunk: Chunk) -> Iterator[None]:
        """Serve the records of a chunk until the block ends."""
        self._table = records_table(chunk, self._timezone)
        try:
            yield
        finally:
            self._table = self._empty

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)


def _release_memory() -> None:
    """Return freed memory to the system; only glibc needs it.

    Each page is allocated in the thread that requested it, and freed in another one. glibc kept so much of it that
    100,000 calls of 5 kB took 650 MB, and more calls took more.
    """
    trim = getattr(_LIBC, "malloc_trim", None)
    if trim is not None:
        trim(0)


def remove_abandoned() -> None:
    """Remove the staging folders of killed processes."""
    remove_abandoned_folders(Path(tempfile.gettempdir()), _PREFIX)


def records_table(chunk: Chunk, timezone: str) -> pa.Table:
    """Return the chunk as an Arrow table, built from buffers without a Python object for each value."""
    offsets = array("q", itertools.accumulate(map(len, chunk.records), initial=0))
    record = pa.Array.from_buffers(
        pa.large_string(), len(chunk.records), [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(chunk.records))]
    )
    positions = array("i", itertools.chain.from_iterable([i] * n for i, (_, n) in enumerate(chunk.partitions)))
    index = pa.Array.from_buffers(pa.int32(), len(positions), [None, pa.py_buffer(positions)])

    def repeated(values: pa.Array) -> pa.Array:
        """Repeat the value of each partition for each of its records."""
        return values.take(index)

    bounds = [day_bounds_ms(partition.day, timezone) for partition, _ in chunk.partitions]
    table = pa.table(
        {
            "day": repeated(pa.array([partition.day for partition, _ in chunk.partitions], pa.date32())),
            "model_id": repeated(pa.array([partition.model_id for partition, _ in chunk.partitions], pa.string())),
            "record": record,
            "from_ms": repeated(pa.array([bound[0] for bound in bounds], pa.int64())),
            "to_ms": repeated(pa.array([bound[1] for bound in bounds], pa.int64())),
        }
    )
    # DuckDB processes batch by batch, so their size bounds its memory.
    rows = max(1, len(chunk.records) * _BATCH_BYTES // max(1, chunk.size_bytes))
    return pa.Table.from_batches(table.to_batches(max_chunksize=rows), table.schema)
