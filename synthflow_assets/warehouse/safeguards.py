"""Find what is wrong with a batch before it lands: partitions that would lose calls or values, and lost fields."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from dataclasses import dataclass, field

import duckdb

from synthflow_assets.days import day_bounds_ms
from synthflow_assets.errors import SynthflowError, UnreadableRecordsError, VanishedCallsError
from synthflow_assets.warehouse.decoding import ANOTHER_DAY
from synthflow_assets.warehouse.schema import CALL_FIELDS, CALLS, NEEDED_COLUMNS
from synthflow_assets.warehouse.staging import Partition, ReadyBatch
from synthflow_assets.warehouse.statements import execute_named, sql_file
from synthflow_assets.warehouse.tables import Column

_SQL = "synthflow_assets.warehouse.sql"
STAGED = "read_parquet($files)"
_FEW = 3  # records of any partition that may be undecodable, and calls that may vanish
_NEARLY_ALL = 0.9
_MANY = 0.1  # of the calls that landed before
# Metrics read these derived columns, here with the field that each is derived from.
_DERIVED = {
    "judge_verdicts": "judge_results",
    "actions": "executed_actions",
    "variables": "collected_variables or an extractor",
}
# The same, but Synthflow may delete these fields after a while.
_DERIVED_FROM_DELETABLE = {"human_turns": "transcript", "telephony_error_code": "error_message"}
# The columns of `calls` whose values may vanish.
COMPARED_COLUMNS = tuple(
    column
    for column in CALLS.columns
    if (column in CALL_FIELDS and column.name in NEEDED_COLUMNS and not (column.personal or column.required))
    or column.name in _DERIVED | _DERIVED_FROM_DELETABLE
)


@dataclass
class Losses:
    """What a batch would lose.

    Attributes:
        refused: partitions that must not land, each with the reason.
        removed: messages about what the other partitions lose, because the API no longer sends it.
    """

    refused: dict[Partition, SynthflowError] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)


def find_losses(
    connection: duckdb.DuckDBPyConnection,
    batch: ReadyBatch,
    decoded: str = STAGED,
    *,
    vanished_fields: str = "mirror",
    accept_deleted: bool = False,
) -> Losses:
    """Return what the partitions of a batch would lose compared with what landed before.

    A partition must not land in these cases:

    * More than three records are rejected that landed before, or more than three and nearly all records. A rejected
      record without an id may be any call that landed and is not listed now.
    * More than three calls that landed before, and more than a tenth of them, are not listed now. If the response says
      that there are no calls but states no total, one call suffices.
    * As many calls that landed before start on another day now. Then the API may have shifted all starts.
    * As many calls lack a value now that landed with it and that metrics read. But Synthflow may delete transcripts and
      error messages, so what is derived from them may vanish.

    Calls that had not ended do not count, because they may start on another day after all.

    Args:
        connection: has the table `calls`.
        batch: the staged partitions.
        decoded: SQL for the relation of the decoded records.
        vanished_fields: `keep` keeps what is derived from a personal field, if that is NULL now; `mirror` does not.
        accept_deleted: whether calls and values may vanish.
    """
    losses = _lost_calls(connection, batch, decoded, accept_deleted=accept_deleted)
    rest = batch.without(losses.refused)
    values = _lost_values(connection, rest, decoded, vanished_fields=vanished_fields, accept_deleted=accept_deleted)
    return Losses(losses.refused | values.refused, [*losses.removed, *values.removed])


def _lost_calls(
    connection: duckdb.DuckDBPyConnection, batch: ReadyBatch, decoded: str, *, accept_deleted: bool
) -> Losses:
    bounds = [day_bounds_ms(partition.day, batch.timezone) for partition in batch.partitions]
    parameters = {
        "files": [str(path) for path in batch.files],
        "days": [partition.day for partition in batch.partitions],
        "model_ids": [partition.model_id for partition in batch.partitions],
        "from_ms": [from_ms for from_ms, _ in bounds],
        "to_ms": [to_ms for _, to_ms in bounds],
        "another_day": ANOTHER_DAY,
    }
    losses = Losses()
    query = sql_file(_SQL, "losses.sql").replace("{decoded}", decoded)
    for row in execute_named(connection, query, parameters).fetchall():
        found = _Counts(*row)
        partition = Partition(found.day, found.model_id)
        if found.is_unreadable:
            losses.refused[partition] = found.unreadable_error()
        elif accept_deleted:
            continue
        elif found.has_moved_many:
            losses.refused[partition] = found.moved_error()
        elif not found.vanished:
            continue
        elif found.has_lost_many or not batch.partitions[partition].states_total:
            losses.refused[partition] = found.vanished_error()
        else:
            losses.removed.append(
                f"{found.day}: the API no longer lists {found.vanished:,} of {found.landed_before:,} calls, which are "
                "removed"
            )
    return losses


@dataclass(frozen=True)
class _Counts:
    """A row of `losses.sql`."""

    day: dt.date
    model_id: str
    records: int
    rejected: int
    rejected_that_landed: int
    rejected_without_id: int
    most_frequent_problem: str
    landed_before: int  # calls of the day that should be listed again
    unlisted: int  # of these, calls of which no record has the id
    moved: int  # of these, calls that now start on another day

    @property
    def may_have_landed(self) -> int:
        """Rejected records whose call landed before, or may have."""
        return self.rejected_that_landed + min(self.rejected_without_id, self.unlisted)

    @property
    def vanished(self) -> int:
        """Calls that landed before and of which there is no record now."""
        return self.unlisted - min(self.rejected_without_id, self.unlisted)

    @property
    def is_unreadable(self) -> bool:
        """Whether a field must have changed its type."""
        is_nearly_all = self.rejected > _FEW and self.rejected >= _NEARLY_ALL * self.records
        return self.may_have_landed > _FEW or is_nearly_all

    @property
    def has_lost_many(self) -> bool:
        """Whether so many calls vanished that the response may be wrong."""
        return _are_many(self.vanished, self.landed_before)

    @property
    def has_moved_many(self) -> bool:
        """Whether so many calls start on another day now that the API may have shifted all starts."""
        return _are_many(self.moved, self.landed_before)

    def unreadable_error(self) -> UnreadableRecordsError:
        before = f", of which {self.may_have_landed:,} landed before" if self.may_have_landed else ""
        return UnreadableRecordsError(
            f"{self.rejected:,} of {self.records:,} records cannot be decoded{before}; most often, "
            f"{self.most_frequent_problem}. Nothing of this day was replaced. The API may have changed: "
            "pip install --upgrade synthflow-assets, then run again"
        )

    def vanished_error(self) -> VanishedCallsError:
        return VanishedCallsError(
            f"the API no longer lists {self.vanished:,} of {self.landed_before:,} calls that landed before. Nothing of "
            "this day was replaced. If Synthflow deleted the calls and you want to remove them here too, run the day "
            "with `accept_deleted` in the run config; otherwise leave the day as it is"
        )

    def moved_error(self) -> VanishedCallsError:
        return VanishedCallsError(
            f"{self.moved:,} of {self.landed_before:,} calls that landed before start on another day now. Nothing of "
            "this day was replaced. Compare some calls with Synthflow's dashboard. If their starts have changed, run "
            "the day with `accept_deleted` in the run config; otherwise tell the maintainers"
        )


def _are_many(lost: int, before: int) -> bool:
    """Return whether so many of what landed before is lost that the response may be wrong."""
    return lost > _FEW and lost > _MANY * before


def _lost_values(
    connection: duckdb.DuckDBPyConnection,
    batch: ReadyBatch,
    decoded: str,
    *,
    vanished_fields: str,
    accept_deleted: bool,
) -> Losses:
    keeps = vanished_fields == "keep"
    had = [f"count_if({_has_value('landed', column)})" for column in COMPARED_COLUMNS]
    lost = [f"count_if({_loses_value(column, keeps=keeps)})" for column in COMPARED_COLUMNS]
    query = sql_file(_SQL, "vanished_values.sql").replace("{decoded}", decoded)
    query = query.replace("{had}", ", ".join(had)).replace("{vanished}", ", ".join(lost))
    parameters = {
        "files": [str(path) for path in batch.files],
        "days": [partition.day for partition in batch.partitions],
    }
    losses = Losses()
    deleted: Counter[str] = Counter()
    for day, model_id, *lists in execute_named(connection, query, parameters).fetchall():
        partition = Partition(day, model_id)
        for column, had_it, lost_it in zip(COMPARED_COLUMNS, *lists, strict=True):
            if partition not in batch.partitions or not _are_many(lost_it, had_it):
                continue
            if column.name in _DERIVED_FROM_DELETABLE:
                deleted[_DERIVED_FROM_DELETABLE[column.name]] += lost_it
            elif not accept_deleted:
                name = _DERIVED.get(column.name, column.name)
                error = VanishedCallsError(
                    f"{name} is missing or empty in {lost_it:,} of {had_it:,} calls that landed with it. Nothing of "
                    "this day was replaced. The API may have changed: pip install --upgrade synthflow-assets. To land "
                    f"the day without {name}, run it with `accept_deleted` in the run config"
                )
                losses.refused.setdefault(partition, error)
    losses.removed += [
        f"{calls:,} calls no longer have {name}, which changes their metrics; SYNTHFLOW_VANISHED_FIELDS=keep keeps "
        "what landed"
        for name, calls in deleted.items()
    ]
    return losses


def _has_value(row: str, column: Column) -> str:
    """Return an SQL condition: the column has a value; a list or a map has an entry, an action its type."""
    value = f"{row}.{column.name}"
    match column.name:
        case "actions":
            return f"coalesce(len(list_filter({value}, lambda action: action.action_type <> '')) > 0, false)"
        case "variables":
            return f"coalesce(len({value}) > 0, false)"
        case "judge_verdicts":
            return f"coalesce(cardinality({value}) > 0, false)"
    return f"coalesce(trim({value}::VARCHAR) <> '', false)"


def _loses_value(column: Column, *, keeps: bool) -> str:
    """Return an SQL condition: the call landed with a value, and lands without one.

    Args:
        column: the column.
        keeps: whether landing keeps a derived value that is NULL now.
    """
    lost = f"{_has_value('landed', column)} AND NOT {_has_value('now', column)}"
    return f"{lost} AND now.{column.name} IS NOT NULL" if keeps and column.source is None else lost


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
