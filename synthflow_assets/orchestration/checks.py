"""The asset checks: promises about the tables, asked in the run that writes them and, for freshness, by the clock."""

import datetime as dt
from collections.abc import Iterator, Sequence
from itertools import groupby

import dagster as dg

from synthflow_assets.days import last_closed_day
from synthflow_assets.orchestration.assets import asset_key
from synthflow_assets.orchestration.resources import WarehouseResource, failures_for_people
from synthflow_assets.quality import FRESHNESS, PROMISES, Problem, Promise, find_problems
from synthflow_assets.settings import Settings

_SHOWN = 20


def build_checks(settings: Settings) -> list[dg.AssetChecksDefinition]:
    """All checks: one step for each table, and one for freshness."""
    by_table = groupby(PROMISES, key=lambda promise: promise.table)
    return [
        *(_build(f"check_{table}", list(promises), settings) for table, promises in by_table),
        _build("check_freshness", [FRESHNESS], settings),
    ]


def freshness_selection() -> dg.AssetSelection:
    """The freshness check alone."""
    return dg.AssetSelection.checks(dg.AssetCheckKey(asset_key(FRESHNESS.table), FRESHNESS.name))


def _build(name: str, promises: Sequence[Promise], settings: Settings) -> dg.AssetChecksDefinition:
    @dg.multi_asset_check(
        name=name,
        specs=[
            dg.AssetCheckSpec(
                promise.name,
                asset=asset_key(promise.table),
                description=promise.description,
                blocking=promise.blocking,
            )
            for promise in promises
        ],
        can_subset=True,
    )
    def check(context: dg.AssetCheckExecutionContext, warehouse: WarehouseResource) -> Iterator[dg.AssetCheckResult]:
        with failures_for_people(), warehouse.get_connection() as connection:
            days, latest = _days(context), last_closed_day(settings.timezone)
            for promise in promises:
                if dg.AssetCheckKey(asset_key(promise.table), promise.name) in context.selected_asset_check_keys:
                    yield _result(promise, find_problems(connection, promise, days, settings, latest))

    return check


def _days(context: dg.AssetCheckExecutionContext) -> list[dt.date] | None:
    """The days of the run; None, for all days, in a run of checks alone."""
    step = context.op_execution_context
    return [dt.date.fromisoformat(key) for key in step.partition_keys] if step.has_partition_key_range else None


def _result(promise: Promise, problems: Sequence[Problem]) -> dg.AssetCheckResult:
    shown = "\n".join(f"- {problem}" for problem in problems[:_SHOWN])
    more = f"\n- and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    serious = promise.blocking or promise is FRESHNESS or promise.table != "calls"
    return dg.AssetCheckResult(
        passed=not problems,
        asset_key=asset_key(promise.table),
        check_name=promise.name,
        severity=dg.AssetCheckSeverity.ERROR if serious else dg.AssetCheckSeverity.WARN,
        description=f"{problems[0]}" + (f" (and {len(problems) - 1} more)" if len(problems) > 1 else "")
        if problems
        else promise.description,
        metadata={
            "problems": len(problems),
            **({"details": dg.MarkdownMetadataValue(shown + more)} if problems else {}),
        },
    )
