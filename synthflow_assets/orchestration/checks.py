"""The asset checks: promises about the tables, asked in the run that writes them and, for freshness, by the clock."""

import datetime as dt
import json
from collections.abc import Iterator, Sequence
from itertools import groupby

import dagster as dg

from synthflow_assets.days import last_closed_day
from synthflow_assets.orchestration.resources import failures_for_people
from synthflow_assets.orchestration.workspace import Workspace
from synthflow_assets.quality import (
    FRESHNESS,
    PROMISES,
    WATCHED,
    Problem,
    Promise,
    count_unwatched,
    find_problems,
    merge_days,
)

_SHOWN = 200


def build_checks(workspace: Workspace) -> list[dg.AssetChecksDefinition]:
    """All checks: one step for each table, and one for what the clock asks."""
    by_table = groupby(PROMISES, key=lambda promise: promise.table)
    return [
        *(_build(workspace, f"check_{table}", list(promises)) for table, promises in by_table),
        _build(workspace, "check_freshness", WATCHED),
    ]


def check_key(workspace: Workspace, promise: Promise) -> dg.AssetCheckKey:
    """The check of a promise."""
    return dg.AssetCheckKey(workspace.asset_key(promise.table), promise.name)


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
                # In a run that computes both, the check waits for both.
                additional_deps=[workspace.asset_key(table) for table in promise.compared_with],
            )
            for promise in promises
        ],
        required_resource_keys={workspace.warehouse_resource},
        can_subset=True,
        # What the clock asks is to be answered while backfills take all places of the pool.
        pool=None if promises is WATCHED else workspace.pool,
    )
    def check(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        with failures_for_people(workspace.settings), workspace.warehouse(context).get_connection() as connection:
            latest = last_closed_day(settings.timezone)
            for promise in promises:
                key = check_key(workspace, promise)
                if key in context.selected_asset_check_keys:
                    # What the clock asks is about all days, also where it is asked in a run over some.
                    days = None if promise in WATCHED else _days(context)
                    problems = find_problems(connection, promise, days, settings, latest)
                    unwatched = count_unwatched(connection, settings, latest) if promise is FRESHNESS else 0
                    yield _result(workspace, promise, problems, unwatched)

    return check


def _days(context: dg.AssetCheckExecutionContext) -> list[dt.date] | None:
    """The days of the run; None, for all days, in a run of checks alone."""
    step = context.op_execution_context
    return [dt.date.fromisoformat(key) for key in step.partition_keys] if step.has_partition_key_range else None


def _result(workspace: Workspace, promise: Promise, problems: Sequence[Problem], unwatched: int) -> dg.AssetCheckResult:
    key = check_key(workspace, promise)
    merged = merge_days(problems)
    lines = [f"- {problem}" for problem in merged[:_SHOWN]]
    if len(merged) > _SHOWN:
        lines.append(f"- and {len(merged) - _SHOWN} more")
    # Agents retire by themselves, which shall not be silent.
    aside = f" Not watched: {unwatched} agent(s) that were not fetched in the two weeks before." if unwatched else ""
    return dg.AssetCheckResult(
        passed=not problems,
        asset_key=key.asset_key,
        check_name=key.name,
        severity=dg.AssetCheckSeverity.ERROR if promise.blocking or promise.serious else dg.AssetCheckSeverity.WARN,
        description=_headline(workspace, promise, merged) if merged else promise.description + aside,
        metadata={
            "problems": len(problems),
            **({"details": dg.MarkdownMetadataValue("\n".join(lines))} if lines else {}),
        },
    )


def _headline(workspace: Workspace, promise: Promise, merged: Sequence[Problem]) -> str:
    """What is wrong and what to do, in one line: the first problem stands for all, the command mends all."""
    others = f" (and {len(merged) - 1} more)" if len(merged) > 1 else ""
    firsts = [problem.day for problem in merged if problem.day]
    lasts = [problem.day + dt.timedelta(days=problem.days - 1) for problem in merged if problem.day]
    span = ("", "") if not firsts else (f"{min(firsts)}", f"{max(lasts)}")
    return f"{merged[0]}{others}. {promise.remedy.format(**_commands(workspace, promise, *span))}"


def _commands(workspace: Workspace, promise: Promise, first: str, last: str) -> dict[str, str]:
    """The commands that a remedy may name, for the days from the first to the last."""
    days = f"--partition {first}" if first == last else f"--partition-range {first}...{last}"
    fetch = f"dg launch --assets 'group:{workspace.group_name}' {days}"
    only_missing = {"ops": {workspace.step("fetch_calls"): {"config": {"only_missing": True}}}}
    tables = [workspace.asset_key(table).to_user_string() for table in (*promise.compared_with, promise.table)]
    selection = " or ".join(f'key:"{table}"+' for table in tables)  # and what follows from them, as the exports do
    return {
        "fetch": f"`{fetch}`",
        "fetch_missing": f"`{fetch} --config-json '{json.dumps(only_missing)}'`",
        "compute": f"`dg launch --assets '{selection}' {days}`",
    }
