"""Replace partitions by their staged records, in one transaction."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import duckdb

from synthflow_assets.agents import Agent
from synthflow_assets.days import bounds_parameters
from synthflow_assets.interfaces import FetchCounts, FetchResult
from synthflow_assets.warehouse.decoding import ANOTHER_DAY
from synthflow_assets.warehouse.erasure import read_suppression_list
from synthflow_assets.warehouse.personal import HASH_PATTERN
from synthflow_assets.warehouse.schema import (
    CALL_FIELDS,
    CALLS,
    DERIVED_COLUMNS,
    FINAL_AFTER_DAYS,
    PERSONAL_COLUMNS,
    UNREADABLE_FIELD,
)
from synthflow_assets.warehouse.staging import Partition, ReadyBatch
from synthflow_assets.warehouse.statements import execute_named, lacks_memory, sql_file, write
from synthflow_assets.warehouse.tables import Column, Kind

# Memory for landing. If the first limit does not suffice, for example for texts of megabytes, the second is tried.
_MEMORY_LIMITS = ("192MB", "2GB")
_MAX_FIELDS = 500  # in `call_loads`, because records may contain any number of unknown fields
_SQL = "synthflow_assets.warehouse.sql"


@dataclass(frozen=True, kw_only=True)
class LoadSummary(FetchCounts):
    """A row of `call_loads` without its time and run."""

    day: dt.date
    model_id: str
    landed: int
    rejected: int
    open_calls: int
    settled: bool
    fetched_until: dt.datetime | None = None  # if the day was not over

    @property
    def partition(self) -> Partition:
        """The partition of the row."""
        return Partition(self.day, self.model_id)


class SuppressionListChangedError(Exception):
    """A person was erased after the batch was typed, so the batch may contain the person's data."""


def land(
    connection: duckdb.DuckDBPyConnection,
    batch: ReadyBatch,
    run_id: str,
    loaded_at: dt.datetime,
    *,
    run_days: Sequence[dt.date] = (),
    vanished_fields: str = "mirror",
    pii: str = "keep",
    accept_deleted: bool = False,
) -> list[LoadSummary]:
    """Replace the batch's partitions in `calls`, `call_rejects` and `call_loads`, in one transaction.

    A call whose new record is rejected keeps the version that landed before. If a rejected record has no id, it may be
    any call of its partition, so the calls that are not listed now stay too.

    Args:
        connection: to the warehouse.
        batch: the staged partitions.
        run_id: the run that fetched the batch.
        loaded_at: the value of `loaded_at`.
        run_days: all days that the run fetches, for calls that are listed for another day than they start on.
        vanished_fields: `keep` keeps the earlier value of a personal column if the new one is NULL; `mirror` does not.
        pii: how personal data of the batch was treated: keep, hash or drop.
        accept_deleted: whether calls that are not listed now are removed, also if a record has no id.

    Returns:
        The new rows of `call_loads`, by day and agent.

    Raises:
        SuppressionListChangedError: a person was erased after the batch was typed; nothing has changed.
    """
    partitions = list(batch.partitions)
    parameters: dict[str, Any] = {
        "days": [partition.day for partition in partitions],
        "model_ids": [partition.model_id for partition in partitions],
        "files": [str(path) for path in batch.files],
        "run_days": list(run_days),
        "excluded_days": [partition.day for partition in batch.excluded],
        "excluded_model_ids": [partition.model_id for partition in batch.excluded],
        "another_day": ANOTHER_DAY,
        "accept_deleted": accept_deleted,
        "run_id": run_id,
        "loaded_at": loaded_at,
        "fields": [column.source for column in CALL_FIELDS],
        "unreadable": UNREADABLE_FIELD,
        "max_fields": _MAX_FIELDS,
        "final_before": loaded_at - dt.timedelta(days=FINAL_AFTER_DAYS),
        **{
            field.name: [getattr(result, field.name) for result in batch.partitions.values()]
            for field in fields(FetchResult)
        },
    }

    def execute(name: str) -> duckdb.DuckDBPyConnection:
        return execute_named(connection, sql_file(_SQL, f"{name}.sql", "staged", "is_open"), parameters)

    def replace() -> None:
        # An erasure between this check and the commit would conflict, and `write` would run this check again.
        if read_suppression_list(connection) != batch.suppressed:
            raise SuppressionListChangedError
        execute("note_strays")
        stray_days = [day for (day,) in connection.execute("SELECT DISTINCT day FROM temp.strays").fetchall()]
        parameters.update(bounds_parameters(sorted({*run_days, *stray_days}), batch.timezone))
        execute("note_staged")
        if vanished_fields == "keep":
            execute("note_earlier")
        for name in ("note_unlisted", "delete_calls", "delete_rejects", "delete_loads", "note_moved"):
            execute(name)
        if connection.execute("SELECT 1 FROM temp.moved LIMIT 1").fetchone():
            execute("delete_moved_calls")
            execute("recount_moved")
        execute("note_repeated")
        execute("insert_calls")
        connection.execute("INSERT INTO calls BY NAME FROM temp.unlisted")
        if vanished_fields == "keep":
            connection.execute(_restore_sql(pii))
            connection.execute("DROP TABLE temp.earlier")
        for name in ("note_stored_rejects", "insert_rejects", "insert_loads", "recount_unlisted", "recount_strays"):
            execute(name)
        for table in ("strays", "staged", "unlisted", "moved", "repeated", "stored_rejects"):
            connection.execute(f"DROP TABLE temp.{table}")

    _with_little_memory(connection, lambda: write(connection, replace))
    rows = execute("read_loads")
    names = [column[0] for column in rows.description or []]
    return [LoadSummary(**dict(zip(names, row, strict=True))) for row in rows.fetchall()]


def _with_little_memory(connection: duckdb.DuckDBPyConnection, work: Callable[[], None]) -> None:
    """Run `work` with little memory, and again with more if that does not suffice.

    By default, DuckDB keeps written rows in memory, up to most of the machine's. With a limit, the peak does not depend
    on the size of the batch. A retry costs little time, because DuckDB runs out of memory early.
    """
    # One thread, because each thread buffers a row group. Two would spill to disk and take longer.
    connection.execute("SET preserve_insertion_order = false; SET threads = 1")
    *smaller, largest = _MEMORY_LIMITS
    for limit in smaller:
        connection.execute(f"SET memory_limit = '{limit}'")
        try:
            return work()
        except duckdb.Error as error:
            if not lacks_memory(error):
                raise
    connection.execute(f"SET memory_limit = '{largest}'")
    return work()


def _restore_sql(pii: str) -> str:
    """Return SQL that fills NULLs in personal and derived columns with the values that landed before.

    Personal columns are not filled under `drop`; under `hash`, only with hashes. Values that landed under an earlier
    setting do not come back.
    """

    def earlier(column: Column) -> str:
        if pii == "keep" or not column.personal:
            return f"earlier.{column.name}"
        if pii == "drop" or column.sql_type != Kind.TEXT.value:
            return f"NULL::{column.sql_type}"
        return f"CASE WHEN regexp_full_match(earlier.{column.name}, '{HASH_PATTERN}') THEN earlier.{column.name} END"

    filled = ", ".join(
        f"{column.name} = coalesce(calls.{column.name}, {earlier(column)})"
        for column in dict.fromkeys((*PERSONAL_COLUMNS, *DERIVED_COLUMNS))
    )
    return f"UPDATE {CALLS.name} SET {filled} FROM temp.earlier WHERE earlier.call_id = calls.call_id"


def land_agents(connection: duckdb.DuckDBPyConnection, agents: Iterable[Agent], loaded_at: dt.datetime) -> list[Agent]:
    """Add or rename agents. No agent is removed, because its calls still have its id.

    Args:
        connection: to the warehouse.
        agents: all agents that the API lists and that are fetched. Agents with an older `loaded_at` are not listed any
            more, so the checks do not expect them.
        loaded_at: the value of `loaded_at`.

    Returns:
        The agents of the previous listing that this one lacks.
    """
    listed = list(agents)
    if not listed:
        return []
    model_ids, names, types = (list(values) for values in zip(*listed, strict=True))

    def replace() -> list[Agent]:
        missing = connection.execute(
            "SELECT model_id, name, type FROM agents WHERE loaded_at = (SELECT max(loaded_at) FROM agents) "
            "AND model_id NOT IN (SELECT unnest($1::VARCHAR[])) ORDER BY model_id",
            [model_ids],
        ).fetchall()
        connection.execute("DELETE FROM agents WHERE model_id IN (SELECT unnest($1::VARCHAR[]))", [model_ids])
        connection.execute(
            "INSERT INTO agents SELECT unnest($1::VARCHAR[]), unnest($2::VARCHAR[]), unnest($3::VARCHAR[]), $4",
            [model_ids, names, types, loaded_at],
        )
        return [Agent(*row) for row in missing]

    return write(connection, replace)
