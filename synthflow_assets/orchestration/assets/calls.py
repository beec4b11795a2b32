"""The fetching step: `calls`, `call_rejects` and `call_loads`, three tables that are always written together.

If some days fail, the step fails, and Dagster skips every step downstream. So the failing step itself records the days
that landed, computes what is downstream of them, and evaluates all checks: a failed day affects no other day.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from synthflow_assets.agents import Agent
from synthflow_assets.errors import SettingsError, SynthflowError, TransientApiError
from synthflow_assets.orchestration.assets.materializations import (
    DATA_VERSION,
    MaterializationLog,
    MetadataByDay,
    log_days,
    results,
    with_versions,
)
from synthflow_assets.orchestration.assets.metadata import Metadata
from synthflow_assets.orchestration.assets.steps import DailyStep, table_spec, validate_targets
from synthflow_assets.orchestration.checks import check_key, check_specs, checks_of, evaluate, evaluate_selected
from synthflow_assets.orchestration.resources import translate_errors
from synthflow_assets.orchestration.run_days import days_of
from synthflow_assets.orchestration.workspace import Workspace
from synthflow_assets.orchestration.write_conflicts import validate_no_write_conflicts
from synthflow_assets.quality import Check
from synthflow_assets.settings import with_setting_names
from synthflow_assets.texts import from_markdown, markdown, one_line
from synthflow_assets.warehouse.content import agents_version, content_versions
from synthflow_assets.warehouse.schema import AGENTS, CALL_LOADS, CALL_REJECTS, CALLS, LANDED_TABLES
from synthflow_assets.warehouse.tables import Table

if TYPE_CHECKING:
    from synthflow_assets.api.client import SynthflowClient
    from synthflow_assets.loading import FailedPartition
    from synthflow_assets.warehouse.connection import Warehouse
    from synthflow_assets.warehouse.landing import LoadSummary
    from synthflow_assets.warehouse.staging import Partition

_SUMMED = (
    "total_records", "fetched", "landed", "rejected", "duplicates", "outside_window", "open_calls", "requests",
)  # fmt: skip
FETCH = "fetch_calls"  # the step
_SHOWN_FAILURES = 100
OUTAGE_TAG = "synthflow/outage"  # of a run that failed because of an outage of the API
_CHECKS = checks_of(LANDED_TABLES)


class FetchConfig(dg.Config):
    """The run config of the fetching step, which limits what is fetched."""

    models: list[str] = Field(
        default=[], description="Ids of the agents to fetch, such as one that was added later. Empty: all agents."
    )
    only_missing: bool = Field(
        default=False, description="Skip settled partitions, to resume an interrupted run or to fill gaps."
    )
    accept_deleted: bool = Field(
        default=False,
        description="Remove calls that the API no longer lists, and values that it no longer sends, however many they "
        "are. Otherwise a day fails if it would lose many.",
    )


def build_calls_assets(
    workspace: Workspace, partitions: dg.PartitionsDefinition[Any], downstream: Sequence[DailyStep]
) -> dg.AssetsDefinition:
    """Build the assets of the fetching step.

    Args:
        workspace: whose calls.
        partitions: the days.
        downstream: the steps that depend on the calls, in the order of computation.
    """
    specs = landed_specs(workspace, partitions)

    @dg.multi_asset(
        name=workspace.step(FETCH),
        specs=specs,
        check_specs=check_specs(workspace, _CHECKS),
        required_resource_keys={workspace.api_resource, workspace.warehouse_resource},
        can_subset=True,
        backfill_policy=workspace.backfill_policy,
    )
    def fetch_calls(
        context: dg.AssetExecutionContext, config: FetchConfig
    ) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        workspace.tag_run(context)
        with translate_errors(workspace.settings):
            if context.selected_asset_keys:  # if not, the run is about checks alone
                validate_no_write_conflicts(context, workspace)
                validate_targets(context, downstream)
                yield from _fetch(context, workspace, specs, config, downstream)
            yield from evaluate_selected(context, workspace, _CHECKS)

    return fetch_calls


def landed_specs(workspace: Workspace, partitions: dg.PartitionsDefinition[Any]) -> list[dg.AssetSpec]:
    """Return the specs of the tables that the fetching step writes."""
    return [table_spec(workspace, table, partitions, {"python", workspace.storage_kind}) for table in LANDED_TABLES]


def agents_spec(workspace: Workspace) -> dg.AssetSpec:
    """Return the spec of the table of agents, which the fetching step records.

    It is no output of the step: it has no partitions, and Dagster would split a backfill of assets with different
    partitions into several runs.
    """
    kinds = {"python", workspace.storage_kind}
    return table_spec(workspace, AGENTS, None, kinds).replace_attributes(automation_condition=None)


def _fetch(
    context: dg.AssetExecutionContext,
    workspace: Workspace,
    specs: Sequence[dg.AssetSpec],
    config: FetchConfig,
    downstream: Sequence[DailyStep],
) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
    # Imported when used: a code location must load quickly.
    from synthflow_assets.loading import resolve_agents

    days = days_of(context)
    with workspace.open_clients(context) as (client, warehouse), retried_after_outage(context):
        client.wait_for_outages(60.0 * workspace.settings.outage_minutes, context.log.warning)
        resolved = resolve_agents(client, workspace.settings)
        agents, wanted = resolved.agents, _select(resolved.agents, config.models)
        # Ignore unknown configured agents when the run names its own.
        warning = None if config.models else resolved.warning
        listed = agents if resolved.are_listed else []
        fetch = _Fetch(workspace, specs, context, warehouse, days, agents, listed, wanted, warning)
        fetch.skip_landed(only_missing=config.only_missing)
        try:
            fetch.load(client, accept_deleted=config.accept_deleted)
            fetch.record_agents()
            fetch.raise_if_failed()
        except Exception:
            yield from fetch.finish(downstream)
            raise
        except BaseException:  # the run is being canceled, so nothing downstream is computed
            fetch.record_complete_days()
            raise
        metadata = fetch.metadata(fetch.days)
    yield from results(context, specs, metadata)


@contextmanager
def retried_after_outage(context: dg.AssetExecutionContext) -> Iterator[None]:
    """If the block fails because of an outage, tag the run, so that Dagster retries it.

    Dagster's run retries repeat it, although `dagster.yaml` restricts them to runs whose process died. If the outage
    lasts longer, the catch-up schedule fetches the run's days.
    """
    try:
        yield
    except Exception as error:
        if is_outage(error):
            tags = {OUTAGE_TAG: "true", "dagster/retry_on_asset_or_op_failure": "true"}
            context.instance.add_run_tags(context.run.run_id, tags)
        raise


def is_outage(error: Exception) -> bool:
    """Return whether a step failed because the API could not be reached or did not work."""
    causes: Sequence[Exception] = [error]
    if isinstance(error, _PartitionsFailedError):
        causes = error.causes
    return any(isinstance(cause, TransientApiError) and cause.outlasted for cause in causes)


class _PartitionsFailedError(dg.Failure):
    """Some partitions did not land; the others did."""

    causes: Sequence[SynthflowError] = ()


@dataclass
class _Fetch:
    """One run's fetching of some days of some agents."""

    workspace: Workspace
    specs: Sequence[dg.AssetSpec]
    context: dg.AssetExecutionContext
    warehouse: "Warehouse"
    days: list[dt.date]
    agents: Sequence[Agent]  # of the workspace
    listed: Sequence[Agent]  # the same; none if the account does not list its agents
    wanted: Sequence[Agent]  # of this run
    warning: str | None  # about configured agents that do not exist: the others land, then the run fails
    present: "set[Partition]" = field(default_factory=set)  # landed in this run, or skipped
    failed: "list[FailedPartition]" = field(default_factory=list)

    def skip_landed(self, *, only_missing: bool) -> None:
        """Skip settled partitions: all with `only_missing`, otherwise those that the re-executed runs landed."""
        from synthflow_assets.warehouse.loads import settled_partitions

        parents = None if only_missing else _failed_parents(self.context)
        if parents != [] and self.warehouse.exists():
            with self.warehouse.connect() as connection:  # which migrates tables of an older version
                settled = settled_partitions(connection, self.days, parents)
            wanted = {agent.model_id for agent in self.wanted}
            self.present = {partition for partition in settled if partition.model_id in wanted}

    def load(self, client: "SynthflowClient", *, accept_deleted: bool = False) -> None:
        """Fetch and land; collect the failures of single partitions.

        Args:
            client: sends the requests.
            accept_deleted: whether calls that the API no longer lists are removed, however many they are.

        Raises:
            ApiError: the error concerns every partition.
            WarehouseError: the warehouse cannot be opened or written.
        """
        from synthflow_assets.loading import FailedPartition, load_calls

        skipped = f"; {len(self.present)} (day, agent) pairs have landed before" if self.present else ""
        self.context.log.info(f"fetching {len(self.days)} day(s) of {len(self.wanted)} agent(s){skipped}")
        for outcome in load_calls(
            client,
            self.warehouse,
            self.workspace.settings,
            self.wanted,
            self.days,
            run_id=self.context.run.run_id,
            skipped=frozenset(self.present),
            listed=self.listed,
            accept_deleted=accept_deleted,
            log=self.context.log.info,
        ):
            if isinstance(outcome, FailedPartition):
                self.context.log.error(f"failed: {outcome}")
                self.failed.append(outcome)
            else:
                self.present.add(outcome.partition)

    def raise_if_failed(self) -> None:
        """Fail the step if a partition did not land, or a configured agent does not exist."""
        if self.failed:
            total = len(self.days) * len(self.wanted)
            others = f", and {len(self.failed) - 1} more (see the log)" if len(self.failed) > 1 else ""
            landed = "The other pairs have landed" if self.present else "No pair has landed"
            warning = f". {self.warning}" if self.warning else ""
            message = (
                f"{len(self.failed)} of {total} (day, agent) pairs failed: {self.failed[0]}{others}. "
                f"{landed}; materialize the failed days again{warning}"
            )
            lines = "\n".join(f"- {markdown(str(failure))}" for failure in self.failed[:_SHOWN_FAILURES])
            settings = self.workspace.settings
            failure = _PartitionsFailedError(
                with_setting_names(message, settings),
                metadata={
                    "failed": len(self.failed),
                    "failures": dg.MarkdownMetadataValue(with_setting_names(lines, settings)),
                },
                allow_retries=False,
            )
            failure.causes = [failed.error for failed in self.failed]
            raise failure
        if self.warning:
            raise SettingsError(f"{self.warning}. The other agents have landed")

    def record_complete_days(self) -> list[dt.date]:
        """Record the days that landed for every wanted agent, and return them.

        A step that fails records no partition of its range, so each is logged as an event of its own.
        """
        pairs = {(day, agent.model_id) for day in self.days for agent in self.wanted}
        incomplete = {day for day, _ in pairs - self.present}
        complete = [day for day in self.days if day not in incomplete]
        log_days(self.context, self.specs, self.metadata(complete))
        return complete

    def record_agents(self) -> None:
        """Record the table of agents if its content changed. If not, nothing downstream must start."""
        if self.present:
            with self.warehouse.connect(read_only=True) as connection:
                shown = {"agents": len(self.agents), DATA_VERSION: agents_version(connection)}
            log, spec = MaterializationLog(self.context), agents_spec(self.workspace)
            if log.is_changed(spec, None, shown):
                log.add(spec, None, shown)

    def finish(self, downstream: Sequence[DailyStep]) -> Iterator[dg.AssetCheckResult]:
        """Record the complete days, evaluate the checks, and write what is downstream of all days that landed.

        If a day failed for one agent, it is computed for the others, but not recorded. If a blocking check fails,
        nothing downstream is written, as in a run that succeeds.
        """
        try:
            complete = self.record_complete_days()
            days = sorted({partition.day for partition in self.present})
            if not days:
                return
            checks = self._selected(_CHECKS)
            evaluated = list(zip(checks, evaluate(self.context, self.workspace, checks, days), strict=True))
            yield from (result for _, result in evaluated)
            if failed := [result for check, result in evaluated if check.blocking and not result.passed]:
                self.context.log.error(f"nothing downstream is computed: {from_markdown(failed[0].description or '')}")
                return
            executable = set(self.context.job_def.asset_layer.executable_asset_keys)
            for step in downstream:
                if keys := executable & {spec.key for spec in step.specs}:
                    metadata = step.write(self.context, days, keys)
                    incomplete = {*self.days} - {*complete}
                    recorded = {
                        key: {day: shown for day, shown in by_day.items() if day not in incomplete}
                        for key, by_day in metadata.items()
                    }
                    log_days(self.context, step.specs, recorded)
                    self._log_evaluations(self._selected(step.checks), days)
        except SynthflowError as error:
            # Only a warning, because the error of the fetch is raised next.
            self.context.log.warning(f"what is downstream of the landed days could not be computed: {error}")

    def _selected(self, checks: Sequence[Check]) -> list[Check]:
        """Return those of the checks that are part of the run's job."""
        known = self.context.job_def.asset_layer.executable_asset_keys
        return [check for check in checks if self.workspace.asset_key(check.table) in known]

    def _log_evaluations(self, checks: Sequence[Check], days: Sequence[dt.date]) -> None:
        """Evaluate checks of another step, which Dagster is going to skip."""
        for check, result in zip(checks, evaluate(self.context, self.workspace, checks, days), strict=True):
            key = check_key(self.workspace, check)
            self.context.log_event(
                dg.AssetCheckEvaluation(
                    asset_key=key.asset_key,
                    check_name=key.name,
                    passed=result.passed,
                    metadata=result.metadata,
                    severity=result.severity,
                    description=result.description,
                )
            )

    def metadata(self, days: Sequence[dt.date]) -> MetadataByDay:
        """Return the metadata of each day of the selected tables: sums over all agents, also of other runs."""
        from synthflow_assets.warehouse.loads import read_loads

        loads: dict[dt.date, list[LoadSummary]] = defaultdict(list)
        shown: dict[dg.AssetKey, dict[dt.date, Metadata]] = {}
        if not days:
            return shown
        with self.warehouse.connect(read_only=True) as connection:
            for load in read_loads(connection, days, [agent.model_id for agent in self.agents]):
                loads[load.day].append(load)
            for table in LANDED_TABLES:
                if (key := self.workspace.asset_key(table.name)) in self.context.selected_asset_keys:
                    by_day = {day: _day_metadata(table, loads[day]) for day in days}
                    shown[key] = with_versions(by_day, content_versions(connection, table, days))
        return shown


def _select(agents: Sequence[Agent], models: Sequence[str]) -> Sequence[Agent]:
    """Return the agents that the run config names; all if it names none."""
    unknown = set(models) - {agent.model_id for agent in agents}
    if unknown:
        names = ", ".join(map(one_line, sorted(unknown)))
        raise SettingsError(
            f"`models` of the run config names {names}, which the workspace does not have; "
            "`synthflow-assets agents` lists the agents' ids"
        )
    return [agent for agent in agents if agent.model_id in models] if models else agents


def _failed_parents(context: dg.AssetExecutionContext) -> list[str]:
    """Return the ids of the failed runs that this run re-executes, by hand or by Dagster's retry of a crash."""
    found: list[str] = []
    parent = context.run.get_parent_run_id()
    while parent and (run := context.instance.get_run_by_id(parent)) and not run.is_success:
        found.append(run.run_id)
        parent = run.get_parent_run_id()
    return found


def _day_metadata(table: Table, loads: "Sequence[LoadSummary]") -> Metadata:
    """Return the numbers of a day, summed over its agents; Dagster plots them over the partitions."""
    total = {name: sum(getattr(load, name) for load in loads) for name in _SUMMED}
    rows = {CALLS.name: total["landed"], CALL_REJECTS.name: total["rejected"], CALL_LOADS.name: len(loads)}
    # Of a day that was not over. Dagster's UI shows it in the reader's own time zone.
    until = min((load.fetched_until for load in loads if load.fetched_until), default=None)
    return {
        "dagster/partition_row_count": rows[table.name],
        "agents": len(loads),
        "settled": all(load.settled for load in loads),
        **({"so_far_until": dg.TimestampMetadataValue(until.timestamp())} if until else {}),
        **total,
    }
