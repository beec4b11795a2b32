"""The days of a run: its partitions, and the days of the look-back.

A run of the daily schedule has one partition, the latest day. It fetches the days before it again, but Dagster does not
know them as partitions: if their content is unchanged, nothing downstream must run again.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import dagster as dg

from synthflow_assets.errors import SettingsError

_PARTITION_TAG = "dagster/partition"
_RANGE_START_TAG, _RANGE_END_TAG = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
_LOOKBACK_TAG = "synthflow/lookback_from"


def days_of(context: Any) -> list[dt.date]:
    """Return the days of the run: the days of the look-back, and the partitions."""
    partitions = partitions_of(context)
    return [*lookback_days(context.run, partitions), *partitions]


def range_tags(first: dt.date, last: dt.date) -> dict[str, str]:
    """Return the tags that give a run its days, both included."""
    return {_RANGE_START_TAG: first.isoformat(), _RANGE_END_TAG: last.isoformat()}


def lookback_tags(first: dt.date, last: dt.date) -> dict[str, str]:
    """Return the tags of a run that has one partition, and fetches the days before it again.

    Args:
        first: the first of the days before it.
        last: the partition.
    """
    return {_PARTITION_TAG: last.isoformat(), **({_LOOKBACK_TAG: first.isoformat()} if first < last else {})}


def days_of_run(run: dg.DagsterRun) -> tuple[str, str]:
    """Return the first and the last day of a run, as YYYY-MM-DD; empty if it has none."""
    first = run.tags.get(_RANGE_START_TAG) or run.tags.get(_PARTITION_TAG) or ""
    return run.tags.get(_LOOKBACK_TAG) or first, run.tags.get(_RANGE_END_TAG) or run.tags.get(_PARTITION_TAG) or first


def all_days_of_run(run: dg.DagsterRun) -> set[dt.date]:
    """Return all days of a run."""
    first, last = days_of_run(run)
    if not first:
        return set()
    from_day, to_day = dt.date.fromisoformat(first), dt.date.fromisoformat(last)
    return {from_day + dt.timedelta(days=number) for number in range((to_day - from_day).days + 1)}


def partitions_of(context: Any) -> list[dt.date]:
    """Return the partitions of the run.

    Raises:
        SettingsError: it has none. Dagster starts a job without a partition, for example from a user's schedule.
    """
    if not (context.has_partition_key or context.has_partition_key_range):
        raise SettingsError("the run has no partition; start it with a day, such as --partition 2026-01-31")
    return [dt.date.fromisoformat(key) for key in context.partition_keys]


def lookback_days(run: dg.DagsterRun, partitions: Sequence[dt.date]) -> list[dt.date]:
    """Return the days before the first partition that the run fetches again."""
    if _LOOKBACK_TAG not in run.tags:
        return []
    first = dt.date.fromisoformat(run.tags[_LOOKBACK_TAG])
    return [first + dt.timedelta(days=number) for number in range((min(partitions) - first).days)]
