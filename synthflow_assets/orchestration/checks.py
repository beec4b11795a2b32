"""The asset checks: checks about the tables, asked in the run that writes them and, for freshness, by the clock."""

import datetime as dt
import json
from collections.abc import Iterator, Sequence
from itertools import groupby

import dagster as dg

from synthflow_assets.days import last_closed_day
from synthflow_assets.orchestration.resources import translate_errors
from synthflow_assets.orchestration.workspace import Workspace
from synthflow_assets.quality import (
    CHECKS,
    FRESHNESS,
    SCHEDULED_CHECKS,
    Check,
    Problem,
    Severity,
    count_unwatched,
    find_problems,
    merge_days,
)

_SHOWN = 200


def build_checks(workspace: Workspace) -> list[dg.AssetChecksDefinition]:
    """All checks: one step for each table, and one for what the clock asks."""
    by_table = groupby(CHECKS, key=lambda check: check.table)
    return [
        *(_build(workspace, f"check_{table}", list(checks)) for table, checks in by_table),
        _build(workspace, "check_freshness", SCHEDULED_CHECKS),
    ]


def check_key(workspace: Workspace, check: Check) -> dg.AssetCheckKey:
    """The check of a check."""
    return dg.AssetCheckKey(workspace.asset_key(check.table), check.name)


def _build(workspace: Workspace, name: str, checks: Sequence[Check]) -> dg.AssetChecksDefinition:
    settings = workspace.settings

    @dg.multi_asset_check(
        name=workspace.step(name),
        specs=[
            dg.AssetCheckSpec(
                check.name,
                asset=workspace.asset_key(check.table),
                description=check.description,
                blocking=check.blocking,
                # In a run that computes both, the check waits for both.
                additional_deps=[workspace.asset_key(table) for table in check.depends_on],
            )
            for check in checks
        ],
        required_resource_keys={workspace.warehouse_resource},
        can_subset=True,
        # What the clock asks is to be answered while backfills take all places of the pool.
        pool=None if checks is SCHEDULED_CHECKS else workspace.pool,
    )
    def check(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        with translate_errors(workspace.settings), workspace.warehouse(context).get_connection() as connection:
            latest = last_closed_day(settings.timezone)
            for check in checks:
                key = check_key(workspace, check)
                if key in context.selected_asset_check_keys:
                    # What the clock asks is about all days, also where it is asked in a run over some.
                    days = None if check in SCHEDULED_CHECKS else _days(context)
                    problems = find_problems(connection, check, days, settings, latest)
                    unwatched = count_unwatched(connection, settings, latest) if check is FRESHNESS else 0
                    yield _result(workspace, check, problems, unwatched)

    return check


def _days(context: dg.AssetCheckExecutionContext) -> list[dt.date] | None:
    """The days of the run; None, for all days, in a run of checks alone."""
    step = context.op_execution_context
    return [dt.date.fromisoformat(key) for key in step.partition_keys] if step.has_partition_key_range else None


def _result(workspace: Workspace, check: Check, problems: Sequence[Problem], unwatched: int) -> dg.AssetCheckResult:
    key = check_key(workspace, check)
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
        severity=dg.AssetCheckSeverity.ERROR
        if check.blocking or check.severity is Severity.ERROR
        else dg.AssetCheckSeverity.WARN,
        description=_headline(workspace, check, merged) if merged else check.description + aside,
        metadata={
            "problems": len(problems),
            **({"details": dg.MarkdownMetadataValue("\n".join(lines))} if lines else {}),
        },
    )


def _headline(workspace: Workspace, check: Check, merged: Sequence[Problem]) -> str:
    """What is wrong and what to do, in one line: the first problem stands for all, the command mends all."""
    others = f" (and {len(merged) - 1} more)" if len(merged) > 1 else ""
    firsts = [problem.day for problem in merged if problem.day]
    lasts = [problem.day + dt.timedelta(days=problem.days - 1) for problem in merged if problem.day]
    span = ("", "") if not firsts else (f"{min(firsts)}", f"{max(lasts)}")
    return f"{merged[0]}{others}. {check.remedy.format(**_commands(workspace, check, *span))}"


def _commands(workspace: Workspace, check: Check, first: str, last: str) -> dict[str, str]:
    """The commands that a remedy may name, for the days from the first to the last."""
    days = f"--partition {first}" if first == last else f"--partition-range {first}...{last}"
    fetch = f"dg launch --assets 'group:{workspace.group_name}' {days}"
    only_missing = {"ops": {workspace.step("fetch_calls"): {"config": {"only_missing": True}}}}
    tables = [workspace.asset_key(table).to_user_string() for table in (*check.depends_on, check.table)]
    selection = " or ".join(f'key:"{table}"+' for table in tables)  # and what follows from them, as the exports do
    return {
        "fetch": f"`{fetch}`",
        "fetch_missing": f"`{fetch} --config-json '{json.dumps(only_missing)}'`",
        "compute": f"`dg launch --assets '{selection}' {days}`",
    }
