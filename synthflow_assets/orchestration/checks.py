"""The asset checks: promises about the tables, asked in the run that writes them and, for freshness, by the clock."""

import datetime as dt
from collections.abc import Iterator, Sequence
from itertools import groupby

import dagster as dg

from synthflow_assets.days import last_closed_day
from synthflow_assets.orchestration.resources import failures_for_people
from synthflow_assets.orchestration.workspace import Workspace
from synthflow_assets.quality import FRESHNESS, PROMISES, Problem, Promise, find_problems

_SHOWN = 20


def build_checks(workspace: Workspace) -> list[dg.AssetChecksDefinition]:
    """All checks: one step for each table, and one for freshness."""
    by_table = groupby(PROMISES, key=lambda promise: promise.table)
    return [
        *(_build(workspace, f"check_{table}", list(promises)) for table, promises in by_table),
        _build(workspace, "check_freshness", [FRESHNESS]),
    ]


def freshness_selection(workspace: Workspace) -> dg.AssetSelection:
    """The freshness check alone."""
    return dg.AssetSelection.checks(dg.AssetCheckKey(workspace.asset_key(FRESHNESS.table), FRESHNESS.name))


def _build(workspace: Workspace, name: str, promises: Sequence[Promise]) -> dg.AssetChecksDefinition:
    settings = workspace.settings

    @dg.multi_asset_check(
        name=workspace.step(name),
        specs=[
            dg.AssetCheckSpec(
                promise.name,
                asset=workspace.asset_key(promise.table),
                description=promise.description,
                blocking=promise.blocking,
            )
            for promise in promises
        ],
        required_resource_keys={workspace.warehouse_resource},
        can_subset=True,
        pool=workspace.pool,
    )
    def check(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        with failures_for_people(), workspace.warehouse(context).get_connection() as connection:
            days, latest = _days(context), last_closed_day(settings.timezone)
            for promise in promises:
                key = dg.AssetCheckKey(workspace.asset_key(promise.table), promise.name)
                if key in context.selected_asset_check_keys:
                    yield _result(key, promise, find_problems(connection, promise, days, settings, latest))

    return check


def _days(context: dg.AssetCheckExecutionContext) -> list[dt.date] | None:
    """The days of the run; None, for all days, in a run of checks alone."""
    step = context.op_execution_context
    return [dt.date.fromisoformat(key) for key in step.partition_keys] if step.has_partition_key_range else None


def _result(key: dg.AssetCheckKey, promise: Promise, problems: Sequence[Problem]) -> dg.AssetCheckResult:
    shown = "\n".join(f"- {problem}" for problem in problems[:_SHOWN])
    more = f"\n- and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    serious = promise.blocking or promise is FRESHNESS or promise.table != "calls"
    return dg.AssetCheckResult(
        passed=not problems,
        asset_key=key.asset_key,
        check_name=key.name,
        severity=dg.AssetCheckSeverity.ERROR if serious else dg.AssetCheckSeverity.WARN,
        description=f"{problems[0]}" + (f" (and {len(problems) - 1} more)" if len(problems) > 1 else "")
        if problems
        else promise.description,
        metadata={
            "problems": len(problems),
            **({"details": dg.MarkdownMetadataValue(shown + more)} if problems else {}),
        },
    )
