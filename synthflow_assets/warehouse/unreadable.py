"""Find what cannot be decoded in a batch: partitions that must not land, and fields that are lost."""

from __future__ import annotations

import duckdb

from synthflow_assets.errors import UnreadableRecordsError
from synthflow_assets.warehouse.decoding import ANOTHER_DAY
from synthflow_assets.warehouse.staging import Partition, ReadyBatch
from synthflow_assets.warehouse.statements import execute_named, sql_file

_SQL = "synthflow_assets.warehouse.sql"
STAGED = "read_parquet($files)"
_FEW = 3  # records of any partition that may be undecodable
_NEARLY_ALL = 0.9


def unreadable_partitions(
    connection: duckdb.DuckDBPyConnection, batch: ReadyBatch, decoded: str = STAGED
) -> dict[Partition, UnreadableRecordsError]:
    """Return the partitions in which a field has changed its type, because many records cannot be decoded.

    More than three records that landed before are rejected, or more than three and nearly all records.

    Args:
        connection: has the table `calls`.
        batch: the staged partitions.
        decoded: SQL for the relation of the decoded records.

    Returns:
        For each partition, an error that names the field and the kind of its values.
    """
    parameters = {
        "files": [str(path) for path in batch.files],
        "days": [partition.day for partition in batch.partitions],
        "another_day": ANOTHER_DAY,
        "few": _FEW,
        "nearly_all": _NEARLY_ALL,
    }
    query = sql_file(_SQL, "unreadable_partitions.sql").replace("{decoded}", decoded)
    rows = execute_named(connection, query, parameters).fetchall()
    return {Partition(day, model_id): _error(*counts) for day, model_id, *counts in rows}


def _error(records: int, rejected: int, landed_before: int, field: str) -> UnreadableRecordsError:
    before = f", of which {landed_before:,} landed before" if landed_before else ""
    return UnreadableRecordsError(
        f"{rejected:,} of {records:,} records cannot be decoded{before}; most often, {field}. Nothing of this day was "
        "replaced. The API may have changed: pip install --upgrade synthflow-assets, then run again"
    )


def unreadable_fields(connection: duckdb.DuckDBPyConnection, batch: ReadyBatch, decoded: str = STAGED) -> list[str]:
    """Return a message for each field that no metric needs and that could not be decoded in some calls.

    Args:
        connection: runs the query.
        batch: the staged partitions.
        decoded: SQL for the relation of the decoded records.
    """
    query = sql_file(_SQL, "unreadable_fields.sql").replace("{decoded}", decoded)
    rows = execute_named(connection, query, {"files": [str(path) for path in batch.files]}).fetchall()
    return [f"{field} in {calls:,} calls, which cannot be decoded; see the column extra" for field, calls in rows]
