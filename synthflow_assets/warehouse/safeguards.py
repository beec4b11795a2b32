"""Find what is wrong with a batch before it lands: partitions that would lose calls or values, and lost fields."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import duckdb

from synthflow_assets.days import day_bounds_ms
from synthflow_assets.errors import SynthflowError, UnreadableRecordsError, VanishedCallsError
from synthflow_assets.warehouse.decoding import ANOTHER_DAY
from synthflow_assets.warehouse.schema import CALL_FIELDS, CALLS, NEEDED_COLUMNS
from synthflow_assets.warehouse.staging import Partition, ReadyBatch
from synthflow_assets.warehouse.statements import execute_named, sql_file
from synthflow_assets.warehouse.tables import Column, Kind

_SQL = "synthflow_assets.warehouse.sql"
STAGED = "read_parquet($files)"
_FEW = 3  # records of any partition that may be undecodable, and calls that may vanish
_NEARLY_ALL = 0.9
_MANY = 0.1  # of the calls that landed before
_CALLS, _STARTS = "calls", "starts"  # what may vanish besides values
_REJECTED, _REPLACED = "rejected records", "rejected records that landed before"


class _Value(NamedTuple):
    """What a call may lose: the value of a column, or a part of it."""

    name: str  # for messages: the field of the API
    column: Column
    condition: str = "coalesce(trim({value}::VARCHAR) <> '', false)"  # SQL: `{value}` is a value
    change: str | None = None  # SQL: `{now}` replaces `{landed}` and is a loss; by default, if it is no value
    verb: str = "is missing or empty"  # for messages
    is_deletable: bool = False  # Synthflow may delete it, so a partition lands without it
    changes_metrics: bool = True
    part_of: str | None = None  # another value, without which this one cannot be there

    def is_in(self, row: str) -> str:
        """Return an SQL condition: the row has the value."""
        return self.condition.replace("{value}", f"{row}.{self.column.name}")

    def is_lost(self, *, keeps: bool) -> str:
        """Return an SQL condition: the call landed with the value, and lands without it or with a changed one.

        Args:
            keeps: whether landing keeps a personal or derived value that is NULL now.
        """
        landed, now = f"landed.{self.column.name}", f"now.{self.column.name}"
        if self.change is None:
            change = f"NOT {self.is_in('now')}"
        else:
            change = self.change.replace("{landed}", landed).replace("{now}", now)
        lost = f"{self.is_in('landed')} AND {change}"
        is_kept = keeps and (self.column.personal or self.column.source is None)
        return f"{lost} AND {now} IS NOT NULL" if is_kept else lost


def _value(column: Column) -> _Value:
    """Return the value of a field. Another unit of a number, and another time zone of a start, are losses too."""
    match column.kind:
        case Kind.WHOLE_NUMBER:
            return _Value(
                str(column.source),
                column,
                "coalesce({value} > 0, false)",
                "NOT coalesce({now} * 10 > {landed} AND {now} < {landed} * 10, false)",
                "is missing or changed tenfold",
            )
        case Kind.EPOCH_MS:
            return _Value(
                str(column.source),
                column,
                # Calls that start on another day are counted apart.
                change="now.day = landed.day AND abs(epoch_ms({now}) - epoch_ms({landed})) > 60000",
                verb="differs by more than a minute",
            )
    return _Value(str(column.source), column)


def _entry(condition: str) -> str:
    """Return an SQL condition: an entry of a list has a property."""
    return f"coalesce(len(list_filter({{value}}, lambda entry: {condition})) > 0, false)"


_COLUMNS = {column.name: column for column in CALLS.columns}
_VALUES = (
    _value(_COLUMNS["start_time"]),
    *(
        _value(column)
        for column in CALL_FIELDS
        if column.name in NEEDED_COLUMNS and not (column.personal or column.required)
    ),
    # Only calls that had ended are compared.
    _Value("call_outcome", _COLUMNS["call_outcome"], change="{now} = 'open'", verb="became open"),
    # `other` is a text that is not understood.
    _Value(
        "judge_results",
        _COLUMNS["judge_verdicts"],
        "coalesce(len(list_filter(map_values({value}), lambda verdict: verdict <> 'other')) > 0, false)",
    ),
    *(
        _Value(f"{name} in judge_results", _COLUMNS[name], part_of="judge_results")
        for name in ("judge_found_full_error", "judge_found_partial_or_error")
    ),
    _Value("executed_actions", _COLUMNS["actions"], _entry("entry.action_type <> ''")),
    _Value(
        "the status of transfers in executed_actions",
        _COLUMNS["actions"],
        _entry("entry.status <> 'other'"),
        part_of="executed_actions",
    ),
    _Value("collected_variables", _COLUMNS["variables"], _entry("entry.source = 'variable' AND entry.collected")),
    _Value(
        "what extractors found in executed_actions",
        _COLUMNS["variables"],
        _entry("entry.source = 'extractor' AND entry.collected"),
        part_of="executed_actions",
    ),
    _Value("transcript", _COLUMNS["human_turns"], is_deletable=True),
    _Value(
        "human: in transcript",
        _COLUMNS["human_turns"],
        "coalesce({value} > 0, false)",
        "coalesce({now} = 0, false)",
        "is missing",
    ),
    _Value("error_message", _COLUMNS["telephony_error_code"], is_deletable=True),
    _Value("caller_key", _COLUMNS["caller_key"], is_deletable=True),
    # Long texts and JSON are compared by what is derived from them, because reading them takes long.
    *(
        _Value(str(column.source), column, is_deletable=True, changes_metrics=False)
        for column in CALL_FIELDS
        if column.personal and column.kind is not Kind.JSON and column.name not in ("transcript", "error_message")
    ),
)
# The columns of `calls` whose values may vanish.
COMPARED_COLUMNS = tuple(dict.fromkeys(value.column for value in _VALUES))


class _Loss(NamedTuple):
    """How many calls vanished, or lost a value, of those that landed with it."""

    lost: int = 0
    before: int = 0

    @property
    def is_many(self) -> bool:
        """Whether so many are lost that the response may be wrong."""
        return self.lost > _FEW and self.lost > _MANY * self.before

    @property
    def is_nearly_all(self) -> bool:
        """Whether so many are lost that a field must have changed its type."""
        return self.lost > _FEW and self.lost >= _NEARLY_ALL * self.before

    def __str__(self) -> str:
        return f"{self.lost:,} of {self.before:,}"


class RunLosses:
    """What the partitions of a run lose, summed over each day, over each agent, and over the run.

    If each of 20 agents loses 3 of 3 calls, no partition exceeds its limit, but the sums do.
    """

    def __init__(self) -> None:
        self._of_partitions: dict[Partition, dict[str, _Loss]] = {}
        self._lost: Counter[tuple[object, str]] = Counter()
        self._before: Counter[tuple[object, str]] = Counter()

    def put(self, partition: Partition, losses: dict[str, _Loss]) -> None:
        """Set what a partition loses, by what is lost."""
        self._add(partition, self._of_partitions.get(partition, {}), -1)
        self._of_partitions[partition] = losses
        self._add(partition, losses, 1)

    def many(self, partition: Partition, what: str) -> str | None:
        """Return a text about the first sum that includes the partition and is too large; None if there is none."""
        for scope, text in _scopes(partition).items():
            if (loss := self._sum(scope, what)).is_many:
                return f"{loss} {text}"
        return None

    def nearly_all_rejected(self, partition: Partition) -> str | None:
        """Return a text if nearly all records of the day are rejected; None if not.

        The sum over an agent or the run does not count: if an agent has one odd call a day, each day can land alone.
        """
        loss = self._sum(partition.day, _REJECTED)
        return f"{loss} {_scopes(partition)[partition.day]}" if loss.is_nearly_all else None

    def _sum(self, scope: object, what: str) -> _Loss:
        return _Loss(self._lost[scope, what], self._before[scope, what])

    def _add(self, partition: Partition, losses: Mapping[str, _Loss], sign: int) -> None:
        for what, loss in losses.items():
            for scope in _scopes(partition):
                self._lost[scope, what] += sign * loss.lost
                self._before[scope, what] += sign * loss.before


def _scopes(partition: Partition) -> dict[object, str]:
    """Return what includes a partition, with a text for messages."""
    return {
        partition.day: "over all agents of the day",
        partition.model_id: "over all days of the agent",
        None: "over the whole run",
    }


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
    run: RunLosses | None = None,
    confirmed: bool = True,
    vanished_fields: str = "mirror",
    pii: str = "keep",
    accept_deleted: bool = False,
) -> Losses:
    """Return what the partitions of a batch would lose compared with what landed before.

    A partition must not land in these cases:

    * More than three records that landed before are rejected, or more than three and nearly all records. A rejected
      record without an id may be any call that landed and is not listed now.
    * More than three calls that landed before, and more than a tenth of them, are not listed now. If the response says
      that there are no calls but states no total, one call suffices.
    * More than three calls that landed before, and more than a tenth of them, start on another day now. Then the API
      may have shifted all starts.
    * The value of a column that metrics read has changed in more than three calls, and in more than a tenth of those
      that landed with it: it is missing, another time, a number that changed tenfold, or an outcome that is open again.
      Transcripts, error messages, numbers of callers and what is derived from them do not count, because Synthflow
      may delete them.
    * The partition has losses below these limits, but a sum exceeds them: over all agents of its day, over all days of
      its agent, or over the run. In sums, the rejected records that landed before must also be more than a tenth of all
      records. Rejected records that did not land before are summed over the day only.

    What a refused partition would lose does not count in the sums: it stays, so it is no reason to refuse others.

    Calls that had not ended do not count, because they may start on another day after all.

    Args:
        connection: has the table `calls`.
        batch: the staged partitions.
        decoded: SQL for the relation of the decoded records.
        run: the losses of the run so far, to which those of the batch are added.
        confirmed: whether the partitions are fetched for the second time. If not, a partition that loses a single call
            or value must not land. All such partitions of a run are fetched again and judged in one batch, because the
            sums are known only then.
        vanished_fields: `keep` keeps what is derived from a personal field, if that is NULL now; `mirror` does not.
        pii: how personal data of the batch was treated: keep, hash or drop.
        accept_deleted: whether calls and values may vanish.
    """
    run = RunLosses() if run is None else run
    counts = _count_calls(connection, batch, decoded)
    values = _count_values(connection, batch, decoded, keeps=vanished_fields == "keep", drops=pii == "drop")
    all_losses = {partition: _losses(counts[partition], values.get(partition, {})) for partition in batch.partitions}
    losses = Losses()

    def judge(partition: Partition, run: RunLosses | None) -> None:
        states_total = batch.partitions[partition].states_total
        judged = _Judged(partition, all_losses[partition], run, confirmed=confirmed, states_total=states_total)
        error: SynthflowError | None = judged.unreadable_error(counts[partition].most_frequent_problem)
        if error is None and not accept_deleted:
            error = judged.vanished_error()
        if error is not None:
            losses.refused[partition] = error

    for partition in batch.partitions:
        judge(partition, None)
        # A partition that does not land loses nothing. Its rejected records are a sign of a changed type nevertheless.
        is_refused = partition in losses.refused
        run.put(partition, {_REJECTED: all_losses[partition][_REJECTED]} if is_refused else all_losses[partition])
    for partition in batch.partitions:
        if partition not in losses.refused:
            judge(partition, run)
    landing = [partition for partition in batch.partitions if partition not in losses.refused]
    losses.removed = _removed({partition: all_losses[partition] for partition in landing})
    return losses


def _count_calls(connection: duckdb.DuckDBPyConnection, batch: ReadyBatch, decoded: str) -> dict[Partition, _Counts]:
    bounds = [day_bounds_ms(partition.day, batch.timezone) for partition in batch.partitions]
    parameters = {
        "files": [str(path) for path in batch.files],
        "days": [partition.day for partition in batch.partitions],
        "model_ids": [partition.model_id for partition in batch.partitions],
        "from_ms": [from_ms for from_ms, _ in bounds],
        "to_ms": [to_ms for _, to_ms in bounds],
        "another_day": ANOTHER_DAY,
    }
    query = sql_file(_SQL, "losses.sql", "is_open").replace("{decoded}", decoded)
    rows = execute_named(connection, query, parameters).fetchall()
    return {Partition(*row[:2]): _Counts(*row[2:]) for row in rows}


def _count_values(
    connection: duckdb.DuckDBPyConnection, batch: ReadyBatch, decoded: str, *, keeps: bool, drops: bool
) -> dict[Partition, dict[str, _Loss]]:
    parameters = {
        "files": [str(path) for path in batch.files],
        "days": [partition.day for partition in batch.partitions],
    }
    # If nothing landed near these days, nothing can vanish. Planning the comparison takes a tenth of a small landing.
    landed = "SELECT 1 FROM calls WHERE day BETWEEN list_min($days::DATE[]) - 7 AND list_max($days::DATE[]) + 7 LIMIT 1"
    if not execute_named(connection, landed, parameters).fetchall():
        return {}
    # With `drop`, the setting removes personal values, not the API.
    compared = [value for value in _VALUES if not (drops and value.column.personal)]
    had = [f"count_if({value.is_in('landed')})" for value in compared]
    lost = [f"count_if({value.is_lost(keeps=keeps)})" for value in compared]
    query = sql_file(_SQL, "vanished_values.sql", "is_open").replace("{decoded}", decoded)
    query = query.replace("{had}", ", ".join(had)).replace("{vanished}", ", ".join(lost))
    return {
        Partition(day, model_id): {
            value.name: _Loss(lost, had) for value, had, lost in zip(compared, *lists, strict=True)
        }
        for day, model_id, *lists in execute_named(connection, query, parameters).fetchall()
    }


def _losses(counts: _Counts, values: dict[str, _Loss]) -> dict[str, _Loss]:
    """Return what a partition loses, by what is lost."""
    return {
        _STARTS: _Loss(counts.moved, counts.landed_before),
        _CALLS: _Loss(counts.vanished, counts.landed_before),
        _REJECTED: _Loss(counts.rejected, counts.records),
        _REPLACED: _Loss(counts.may_have_landed, counts.records),
        **values,
    }


@dataclass(frozen=True)
class _Judged:
    """What a partition loses, and whether it must not land because of that."""

    partition: Partition
    losses: Mapping[str, _Loss]
    run: RunLosses | None  # judges by the sums; None judges by the limits of a partition
    confirmed: bool
    states_total: bool

    def unreadable_error(self, problem: str) -> UnreadableRecordsError | None:
        """Return why the partition must not land because of records that cannot be decoded.

        Args:
            problem: the most frequent reason why a record cannot be decoded.
        """
        rejected, replaced = self.losses[_REJECTED], self.losses[_REPLACED]
        in_all = ""
        if self.run is None:
            if replaced.lost <= _FEW and not rejected.is_nearly_all:
                return None
        else:
            found = self.run.nearly_all_rejected(self.partition) if rejected.lost else None
            found = found or (self.run.many(self.partition, _REPLACED) if replaced.lost else None)
            if found is None:
                return None
            in_all = f" ({found})"
        before = f", of which {replaced.lost:,} landed before" if replaced.lost else ""
        return UnreadableRecordsError(
            f"{rejected} records cannot be decoded{before}{in_all}; most often, {problem}. Nothing of this day was "
            "replaced. The API may have changed: pip install --upgrade synthflow-assets, then run again"
        )

    def vanished_error(self) -> VanishedCallsError | None:
        """Return why the partition must not land because of what it loses."""
        if self.is_refused(_STARTS):
            return VanishedCallsError(
                f"{self.losses[_STARTS]} calls that landed before start on another day now{self.in_all(_STARTS)}. "
                "Nothing of this day was replaced. Compare some calls with Synthflow's dashboard. If their starts have "
                "changed, run the day with `accept_deleted` in the run config; otherwise tell the maintainers"
            )
        if self.is_refused(_CALLS) or (self.losses[_CALLS].lost and not self.states_total):
            return VanishedCallsError(
                f"the API no longer lists {self.losses[_CALLS]} calls that landed before{self.in_all(_CALLS)}. Nothing "
                "of this day was replaced. If Synthflow deleted the calls and you want to remove them here too, run "
                "the day with `accept_deleted` in the run config; otherwise leave the day as it is"
            )
        refused = [value for value in _VALUES if not value.is_deletable and self.is_refused(value.name)]
        if not refused:
            return None
        names = [value.name for value in refused]
        gone = ", ".join(
            f"{value.name} {value.verb} in {self.losses[value.name]} calls that landed with it{self.in_all(value.name)}"
            for value in refused
            if value.part_of not in names
        )
        return VanishedCallsError(
            f"{gone}. Nothing of this day was replaced. The API may have changed: pip install --upgrade "
            "synthflow-assets. To land the day with these changes, run it with `accept_deleted` in the run config"
        )

    def is_refused(self, what: str) -> bool:
        """Return whether the partition must not land because it loses this."""
        loss = self.losses.get(what, _Loss())
        if not loss.lost:
            return False
        if self.run is None:
            return not self.confirmed or loss.is_many
        return self.run.many(self.partition, what) is not None

    def in_all(self, what: str) -> str:
        """Return a text about the sum that exceeds the limits, if the partition alone does not."""
        found = self.run and self.run.many(self.partition, what)
        return f" ({found})" if found else ""


def _removed(landing: Mapping[Partition, Mapping[str, _Loss]]) -> list[str]:
    """Return messages about what the landing partitions lose."""
    sums: dict[tuple[dt.date, str], _Loss] = {}
    deleted: Counter[str] = Counter()
    values = {value.name: value for value in _VALUES}
    for partition, losses in sorted(landing.items()):
        for what, loss in losses.items():
            if what in values and values[what].is_deletable:
                deleted[what] += loss.lost
            elif what not in (_REJECTED, _REPLACED):
                earlier = sums.get((partition.day, what), _Loss())
                sums[partition.day, what] = _Loss(earlier.lost + loss.lost, earlier.before + loss.before)
    messages = []
    for (day, what), loss in sums.items():
        if what in values:
            text = f"{what} {values[what].verb} in {loss} calls that landed with it"
        elif what == _CALLS:
            text = f"the API no longer lists {loss} calls, which are removed"
        else:
            text = f"{loss} calls that landed before start on another day now"
        if loss.lost:
            messages.append(f"{day}: {text}")
    for what, calls in (+deleted).items():
        metrics = ", which changes their metrics" if values[what].changes_metrics else ""
        messages.append(
            f"{calls:,} calls no longer have {what}{metrics}; SYNTHFLOW_VANISHED_FIELDS=keep keeps what landed"
        )
    return messages


@dataclass(frozen=True)
class _Counts:
    """A row of `losses.sql`."""

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
