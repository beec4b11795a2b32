"""Decode a fetched partition in memory, to find out whether a run could land it. Nothing is written."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Self

import duckdb
import pyarrow as pa

from synthflow_assets.errors import SynthflowError, WarehouseUnusableError
from synthflow_assets.interfaces import FetchResult
from synthflow_assets.warehouse.decoding import decode_sql
from synthflow_assets.warehouse.safeguards import COMPARED_COLUMNS, find_losses, unreadable_fields
from synthflow_assets.warehouse.schema import CALLS
from synthflow_assets.warehouse.staging import (
    CHUNK_BYTES,
    MEMORY_LIMIT,
    Chunk,
    Partition,
    ReadyBatch,
    records_table,
)
from synthflow_assets.warehouse.statements import describe

_DECODED = "temp.decoded"
# The columns of `calls` that the safeguards read: `telephony_end` tells whether a call had ended.
LANDED_COLUMNS = (
    *("call_id", "day", "model_id", "listed_day", "telephony_end"),
    *(column.name for column in COMPARED_COLUMNS),
)


@dataclass(frozen=True)
class TrialResult:
    """What landing a partition would say.

    Attributes:
        error: why the partition would not land; None if it would.
        rejected: the number of records that would be rejected, by reason. Those of another day land if the run fetches
            that day too.
        warnings: a message for each field that cannot be decoded and that no metric needs.
    """

    error: SynthflowError | None
    rejected: dict[str, int]
    warnings: list[str]


class LandingTrial:
    """Decodes the records of a partition by the rules of a run, and does not keep their content. A context manager.

    Args:
        partition: whose records are added.
        timezone: IANA name of the time zone of days.
        pii: keep, hash or drop.
        hash_key: for hash.
        landed: calls of this day and the days around it that have landed already, with the `LANDED_COLUMNS`.
        vanished_fields: `keep` or `mirror`, as for landing.
    """

    def __init__(
        self,
        partition: Partition,
        timezone: str,
        pii: str = "keep",
        hash_key: str = "",
        landed: pa.Table | None = None,
        vanished_fields: str = "mirror",
    ) -> None:
        self._partition = partition
        self._timezone = timezone
        self._vanished_fields = vanished_fields
        self._pii = pii
        self._decode = decode_sql("chunk", pii, hash_key)
        self._chunk = Chunk()
        # Without a folder for temporary files, DuckDB never writes raw records to disk.
        self._connection = duckdb.connect(config={"threads": 1, "memory_limit": MEMORY_LIMIT, "temp_directory": ""})
        self._connection.execute("SET TimeZone = 'UTC'")
        types = {column.name: column.sql_type for column in CALLS.columns}
        columns = ", ".join(f"{name} {types[name]}" for name in LANDED_COLUMNS)
        self._connection.execute(f"CREATE TABLE calls ({columns})")
        if landed is not None:
            self._connection.register("landed", landed)
            self._connection.execute("INSERT INTO calls BY NAME FROM landed")
        self._connection.execute(f"CREATE TEMP TABLE decoded ({columns}, reason VARCHAR, unread VARCHAR[])")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def add(self, records: list[bytes]) -> None:
        """Add records of the partition.

        Raises:
            WarehouseUnusableError: decoding failed.
        """
        self._chunk.add(self._partition, records, sum(map(len, records)))
        if self._chunk.size_bytes >= CHUNK_BYTES:
            self._decode_chunk()

    def result(self, fetched: FetchResult) -> TrialResult:
        """Return what landing would say.

        Args:
            fetched: the counts of the fetch.

        Raises:
            WarehouseUnusableError: decoding failed.
        """
        self._decode_chunk()
        batch = ReadyBatch(partitions={self._partition: fetched}, timezone=self._timezone)
        errors = find_losses(
            self._connection, batch, _DECODED, vanished_fields=self._vanished_fields, pii=self._pii
        ).refused
        rejected = self._connection.execute(
            "SELECT reason, count(*) AS n FROM temp.decoded WHERE reason IS NOT NULL GROUP BY reason "
            "ORDER BY n DESC, reason"
        ).fetchall()
        return TrialResult(
            errors.get(self._partition), dict(rejected), unreadable_fields(self._connection, batch, _DECODED)
        )

    def _decode_chunk(self) -> None:
        chunk, self._chunk = self._chunk, Chunk()
        try:
            self._connection.register("chunk", records_table(chunk, self._timezone))
            self._connection.execute(
                f"INSERT INTO temp.decoded SELECT {', '.join(LANDED_COLUMNS)}, reason, unread FROM ({self._decode})"
            )
            self._connection.unregister("chunk")
        except duckdb.Error as error:
            raise WarehouseUnusableError(f"decoding the fetched records failed: {describe(error)}") from None
