"""Records to typed rows, while fetching goes on: held in files until their partition is complete.

Records are typed on DuckDB's threads into Parquet files in a private folder; personal data is treated on that way, so
none of it reaches a disk that should not. The warehouse itself is opened only when whole partitions wait.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import itertools
import shutil
import tempfile
from array import array
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self, TextIO

import duckdb
import pyarrow as pa

from synthflow_assets.days import day_bounds_ms
from synthflow_assets.errors import WarehouseUnusableError
from synthflow_assets.interfaces import FetchResult
from synthflow_assets.warehouse.decoding import decode_sql
from synthflow_assets.warehouse.personal import EMPTY, SuppressionList
from synthflow_assets.warehouse.statements import describe, quoted

# Of JSON, typed at once. DuckDB asks for Python's lock a few times for each, and may wait 5 ms for it each time.
_CHUNK_BYTES = 16 * 2**20
_CHUNKS_UNDER_WAY = 2
# A bound, not a need: typing takes some 100 MB, and more only where single records are many megabytes long.
_MEMORY_LIMIT = "2GB"
_BATCH_BYTES = 2**20  # of JSON that DuckDB looks at in one go; its expressions hold several copies of it
_PREFIX, _LOCK = "synthflow-staging-", "lock"


class Partition(NamedTuple):
    """What is replaced as a whole: a day of an agent."""

    day: dt.date
    model_id: str


@dataclass
class ReadyBatch:
    """Complete partitions, the files that hold their typed records, and whose personal data was left out of them."""

    partitions: dict[Partition, FetchResult] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    forgotten: SuppressionList = EMPTY


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


class Staging:
    """Holds what was fetched until its partition is complete. For a `with` block; one thread only.

    Memory stays bounded: a partition beyond some megabytes goes to files while it is still being fetched.

    `read_forgotten` is asked once, before anything is typed, whose personal data is not to be written.
    """

    def __init__(
        self,
        pii: str = "keep",
        hash_key: str = "",
        read_forgotten: Callable[[], SuppressionList] = SuppressionList,
        timezone: str = "UTC",
    ) -> None:
        self._pii = pii
        self._hash_key = hash_key
        self._read_forgotten = read_forgotten
        self._forgotten = EMPTY
        self._source = _Source(timezone)
        remove_abandoned()
        self._folder, self._lock = _locked_folder()
        self._typed = self._folder / "typed.parquet"
        self._names = itertools.count()
        self._incomplete: dict[Partition, _Chunk] = {}
        self._files: dict[Partition, list[Path]] = {}
        self._complete = _Chunk()
        self._ready = ReadyBatch()
        self._under_way: list[Future[None]] = []
        self._decode_executor = ThreadPoolExecutor(1, thread_name_prefix="synthflow-typing")
        self._connection = duckdb.connect(config={"threads": 1, "memory_limit": _MEMORY_LIMIT})
        self._under_way.append(self._decode_executor.submit(self._prepare))

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

    def complete(self, partition: Partition, result: FetchResult) -> None:
        """Say that a partition has all its records."""
        rest = self._incomplete.pop(partition, _Chunk())
        self._complete.add(partition, rest.records, rest.size_bytes)
        self._ready.partitions[partition] = result
        self._ready.files += self._files.pop(partition, [])
        if self._complete.size_bytes >= _CHUNK_BYTES:
            self._type_complete()

    def take_ready(self) -> ReadyBatch:
        """The complete partitions, all typed; the staging forgets them, their files stay until its end."""
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
        self._under_way.append(self._decode_executor.submit(self._write, chunk, path))
        return path

    def _prepare(self) -> None:
        """What takes time before the first chunk, while the first pages are on their way."""
        self._connection.execute("SET TimeZone = 'UTC'")
        self._forgotten = self._read_forgotten()
        self._connection.register("chunk", self._source)
        decode = decode_sql("chunk", self._pii, self._hash_key, self._forgotten)
        self._connection.execute(
            f"PREPARE typing AS COPY ({decode}) TO {quoted(str(self._typed))} (FORMAT parquet, COMPRESSION lz4_raw)"
        )
        # DuckDB imports it with the first parameter of a query, which would be in the middle of landing.
        import_module("pandas")

    def _write(self, chunk: _Chunk, path: Path) -> None:
        try:
            with self._source.holding(chunk):
                self._connection.execute("EXECUTE typing")
        except duckdb.Error as error:
            raise WarehouseUnusableError(
                f"the fetched records cannot be typed in {tempfile.gettempdir()}: {describe(error)}"
            ) from None
        self._typed.rename(path)

    def _wait(self, at_most: int) -> None:
        while len(self._under_way) > at_most:
            self._under_way.pop(0).result()


class _Source:
    """What the typing reads: one chunk after the other under one name, because planning takes as long as typing 1,000.

    DuckDB asks for the stream anew whenever it reads (the Arrow PyCapsule interface).
    """

    def __init__(self, timezone: str) -> None:
        self._timezone = timezone
        self._table = self._nothing = _arrow(_Chunk(), timezone)

    @contextmanager
    def holding(self, chunk: _Chunk) -> Iterator[None]:
        """Hold the records of a chunk until the block ends."""
        self._table = _arrow(chunk, self._timezone)
        try:
            yield
        finally:
            self._table = self._nothing

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)


def remove_abandoned() -> None:
    """Remove the records that killed processes have left behind: nobody holds the lock of their folder any more."""
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError), (left / _LOCK).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left)


def _locked_folder() -> tuple[Path, TextIO]:
    """A folder that only this user can read, and the lock that says that its process lives."""
    folder = Path(tempfile.mkdtemp(prefix="synthflow-new-"))
    lock = (folder / _LOCK).open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    # Under its own name only now, so that nobody finds it without its lock.
    return folder.rename(folder.with_name(folder.name.replace("synthflow-new-", _PREFIX))), lock


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
