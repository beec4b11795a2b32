"""The asset checks: their specs, their evaluation, and their results in Dagster.

The checks of a table run in the step that writes it. The scheduled checks have a step of their own, because a run
cannot notice that no run took place.
"""

import datetime as dt
import json
from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from synthflow_assets.days import last_due_day
from synthflow_assets.orchestration.resources import translate_errors
from synthflow_assets.orchestration.run_days import days_of
from synthflow_assets.orchestration.runs import runs_in_progress
from synthflow_assets.orchestration.workspace import Workspace
from synthflow_assets.quality import (
    CHECKS,
    FRESHNESS,
    SCHEDULED_CHECKS,
    Check,
    Examined,
    Problem,
    Severity,
    count_examined,
    count_retired_agents,
    find_problems,
    merge_days,
)
from synthflow_assets.texts import markdown
from synthflow_assets.warehouse.tables import Table

_SHOWN_PROBLEMS = 200
PLACES, EXAMINED_SPAN = "places", "examined_span"  # metadata for the alert sensor


def checks_of(tables: Sequence[Table]) -> list[Check]:
    """Return the checks that run in the step that writes these tables."""
    names = {table.name for table in tables}
    return [check for check in CHECKS if check.table in names]


def check_key(workspace: Workspace, check: Check) -> dg.AssetCheckKey:
    """Return the key of a check in Dagster."""
    return dg.AssetCheckKey(workspace.asset_key(check.table), check.name)


def check_specs(workspace: Workspace, checks: Sequence[Check]) -> list[dg.AssetCheckSpec]:
    """Return the specs of checks, for the step that evaluates them."""
    return [
        dg.AssetCheckSpec(
            check.name,
            asset=workspace.asset_key(check.table),
            description=check.description,
            blocking=check.blocking,
        )
        for check in checks
    ]


def build_scheduled_checks(workspace: Workspace) -> dg.AssetChecksDefinition:
    """Build the step of the checks that the freshness job evaluates, over all days."""

    @dg.multi_asset_check(
        name=workspace.step("check_freshness"),
        specs=check_specs(workspace, SCHEDULED_CHECKS),
        required_resource_keys={workspace.warehouse_resource},
        can_subset=True,
        # No pool: backfills may fill it, and these checks must still run.
    )
    def check_freshness(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        with translate_errors(workspace.settings):
            yield from evaluate(context, workspace, _selected(context, workspace, SCHEDULED_CHECKS), days=None)

    return check_freshness


def evaluate_selected(
    context: dg.AssetExecutionContext, workspace: Workspace, checks: Sequence[Check]
) -> Iterator[dg.AssetCheckResult]:
    """Evaluate a step's checks, if the run selects them, on the days of the run.

    If a run selects checks alone, it has no partitions. Its checks then look at all days.
    """
    has_days = context.has_partition_key or context.has_partition_key_range
    days = days_of(context) if has_days else None
    yield from evaluate(context, workspace, _selected(context, workspace, checks), days)


def evaluate(
    context: Any, workspace: Workspace, checks: Sequence[Check], days: Sequence[dt.date] | None
) -> Iterator[dg.AssetCheckResult]:
    """Evaluate checks against the warehouse.

    Args:
        context: of the step, which has the warehouse resource.
        workspace: whose checks they are.
        checks: which to evaluate.
        days: which to look at; None for all.

    Raises:
        WarehouseError: the warehouse cannot be read.
    """
    if not checks:
        return
    settings = workspace.settings
    latest = last_due_day(settings.timezone)
    starts = [run.start_time for run in runs_in_progress(workspace, context.instance) if run.start_time]
    since = dt.datetime.fromtimestamp(min(starts), dt.UTC) if starts else None
    with workspace.warehouse(context).get_connection() as connection:
        examined = count_examined(connection, checks, days)
        for check in checks:
            problems = find_problems(connection, check, days, settings, latest, in_progress_since=since)
            retired = count_retired_agents(connection, settings, latest) if check is FRESHNESS else 0
            yield _result(workspace, check, problems, examined[check], retired, days)


def _selected(context: Any, workspace: Workspace, checks: Sequence[Check]) -> list[Check]:
    """Return those of the checks that the run selects."""
    return [check for check in checks if check_key(workspace, check) in context.selected_asset_check_keys]


def _result(
    workspace: Workspace,
    check: Check,
    problems: Sequence[Problem],
    examined: Examined,
    retired: int,
    days: Sequence[dt.date] | None,
) -> dg.AssetCheckResult:
    key = check_key(workspace, check)
    merged = merge_days(problems)
    lines = [f"- {markdown(str(problem))}" for problem in merged[:_SHOWN_PROBLEMS]]
    if len(merged) > _SHOWN_PROBLEMS:
        lines.append(f"- and {len(merged) - _SHOWN_PROBLEMS} more")
    # Agents that are no longer expected are counted, so that a lost agent is noticed.
    reason = "not listed any more, or not fetched for two weeks"
    not_expected = f" {retired} agent(s) are no longer expected: {reason}." if retired else ""
    is_error = check.blocking or check.severity is Severity.ERROR
    return dg.AssetCheckResult(
        passed=not problems,
        asset_key=key.asset_key,
        check_name=key.name,
        severity=dg.AssetCheckSeverity.ERROR if is_error else dg.AssetCheckSeverity.WARN,
        description=(
            _headline(workspace, check, merged) if merged else f"{examined} {check.description}{not_expected}"
        ),
        metadata={
            "problems": len(problems),
            "examined_days": examined.days,
            "examined_agents": examined.agents,
            "examined_rows": examined.rows,
            # The alert sensor compares places to find new and resolved failures, not texts, whose numbers vary.
            PLACES: dg.JsonMetadataValue(sorted({_place(problem) for problem in problems})[:_SHOWN_PROBLEMS]),
            EXAMINED_SPAN: dg.JsonMetadataValue([f"{min(days)}", f"{max(days)}"] if days else []),
            **({"details": dg.MarkdownMetadataValue("\n".join(lines))} if lines else {}),
        },
    )


def _place(problem: Problem) -> str:
    """Return the day and the agent of a problem."""
    return " ".join(str(part) for part in (problem.day, problem.agent) if part is not None)


def _headline(workspace: Workspace, check: Check, merged: Sequence[Problem]) -> str:
    """Return one line: the first problem, how many others there are, and the command that fixes all of them.

    It is Markdown, because Dagster shows descriptions as such: an agent's name could be an image of another host.
    """
    others = f" (and {len(merged) - 1} more)" if len(merged) > 1 else ""
    first_days = [problem.day for problem in merged if problem.day]
    last_days = [problem.day + dt.timedelta(days=problem.days - 1) for problem in merged if problem.day]
    span = ("", "") if not first_days else (f"{min(first_days)}", f"{max(last_days)}")
    return f"{markdown(str(merged[0]))}{others}. {check.remedy.format(**launch_commands(workspace, check, *span))}"


def launch_commands(workspace: Workspace, check: Check, first: str, last: str) -> dict[str, str]:
    """Return the commands that a remedy may name, as Markdown, for the days from the first to the last."""
    days = f"--partition {first}" if first == last else f"--partition-range {first}...{last}"
    fetch = f"{workspace.launch_command} --assets '{workspace.selection}' {days}"
    only_missing = {"ops": {workspace.step("fetch_calls"): {"config": {"only_missing": True}}}}
    tables = [workspace.asset_key(table).to_user_string() for table in (*check.depends_on, check.table)]
    selection = " or ".join(f'key:"{table}"+' for table in tables)  # with what is downstream, such as exports
    return {
        "fetch": f"`{fetch}`",
        "fetch_missing": f"`{fetch} --config-json '{json.dumps(only_missing)}'`",
        "compute": f"`{workspace.launch_command} --assets '{selection}' {days}`",
    }
