"""The fetching step: `calls`, `call_rejects` and `call_loads`, three tables that are always written together.

A day that fails costs nothing but itself: what has landed stays recorded, and what follows from it is computed, though
the step fails and Dagster passes over the steps behind.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import dagster as dg
from dagster._core.events import DagsterEvent, DagsterEventBatchMetadata
from pydantic import Field

from synthflow_assets.agents import Agent
from synthflow_assets.errors import SettingsError, SynthflowError
from synthflow_assets.orchestration.daily import DailyStep, days_of, results, table_spec
from synthflow_assets.orchestration.resources import translate_errors
from synthflow_assets.orchestration.workspace import Workspace
from synthflow_assets.orchestration.write_conflicts import validate_no_write_conflicts
from synthflow_assets.quality import CHECKS, find_problems
from synthflow_assets.settings import with_setting_names
from synthflow_assets.warehouse.schema import CALL_LOADS, CALL_REJECTS, CALLS, LANDED_TABLES
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
_SHOWN_FAILURES = 100


class FetchConfig(dg.Config):
    """What a run may be told, so that it fetches less than everything."""

    models: list[str] = Field(
        default=[], description="Ids of the agents to fetch, for one that was added later or has failed. Empty: all."
    )
    only_missing: bool = Field(
        default=False,
        description="Pass over what has landed and is settled, so that a run that was stopped is gone on with.",
    )


def build_calls_assets(
    workspace: Workspace, partitions: dg.PartitionsDefinition[Any], downstream: Sequence[DailyStep]
) -> dg.AssetsDefinition:
    """The assets of the fetching step.

    Args:
        workspace: what everything is named after.
        partitions: the days.
        downstream: what is computed from the calls, in the order of computation.
    """

    @dg.multi_asset(
        name=workspace.step("fetch_calls"),
        specs=[table_spec(workspace, table, partitions, {"python", "duckdb"}) for table in LANDED_TABLES],
        required_resource_keys={workspace.api_resource, workspace.warehouse_resource},
        can_subset=True,
        backfill_policy=workspace.backfill_policy,
    )
    def fetch_calls(context: dg.AssetExecutionContext, config: FetchConfig) -> Iterator[dg.MaterializeResult[Any]]:
        # Imported when used: loading the definitions must not cost what fetching costs.
        from synthflow_assets.loading import resolve_agents

        workspace.tag_run(context)
        with translate_errors(workspace.settings), workspace.open_clients(context) as (client, warehouse):
            validate_no_write_conflicts(context, workspace)
            resolved = resolve_agents(client, workspace.settings)
            agents, wanted = resolved.agents, _wanted(resolved.agents, config.models)
            # Of an unknown agent a run that is told its agents need not know.
            warning = None if config.models else resolved.warning
            fetch = _Fetch(workspace, context, warehouse, days_of(context), agents, wanted, warning)
            fetch.skip_landed(only_missing=config.only_missing)
            try:
                fetch.load(client)
                fetch.raise_if_failed()
            except Exception:
                fetch.finish_whole_days(downstream)
                raise
            except BaseException:  # somebody stops the run, and waits
                fetch.record_whole_days()
                raise
            metadata = fetch.metadata(fetch.days)
        yield from results(context, metadata)

    return fetch_calls


@dataclass
class _Fetch:
    """One run's fetching of some days of some agents."""

    workspace: Workspace
    context: dg.AssetExecutionContext
    warehouse: "Warehouse"
    days: list[dt.date]
    agents: Sequence[Agent]  # of the workspace
    wanted: Sequence[Agent]  # of this run
    warning: str | None  # of agents that are set and do not exist: the others land, then the run fails
    present: "set[Partition]" = field(default_factory=set)  # landed in this run, or passed over
    failed: "list[FailedPartition]" = field(default_factory=list)

    def skip_landed(self, *, only_missing: bool) -> None:
        """Note what need not be fetched: all that is settled, or what the run that this one repeats has landed."""
        from synthflow_assets.warehouse.loads import settled_partitions

        repeated = None if only_missing else _repeated_runs(self.context)
        if repeated != [] and self.warehouse.exists():
            with self.warehouse.connect() as connection:  # which brings the tables of an older version up to date
                settled = settled_partitions(connection, self.days, repeated)
            wanted = {agent.model_id for agent in self.wanted}
            self.present = {partition for partition in settled if partition.model_id in wanted}

    def load(self, client: "SynthflowClient") -> None:
        """Fetch and land; failures of single days are noted, those that concern all are raised."""
        from synthflow_assets.loading import FailedPartition, load_calls

        passed = f"; {len(self.present)} (day, agent) pairs have landed before" if self.present else ""
        self.context.log.info(f"fetching {len(self.days)} day(s) of {len(self.wanted)} agent(s){passed}")
        for outcome in load_calls(
            client,
            self.warehouse,
            self.workspace.settings,
            self.wanted,
            self.days,
            run_id=self.context.run.run_id,
            skipped=frozenset(self.present),
            log=self.context.log.info,
        ):
            if isinstance(outcome, FailedPartition):
                self.context.log.error(f"failed: {outcome}")
                self.failed.append(outcome)
            else:
                self.present.add(outcome.partition)

    def raise_if_failed(self) -> None:
        """Fail the step if a day of an agent did not land, or an agent does not exist."""
        if self.failed:
            others = f", and {len(self.failed) - 1} more (see the log)" if len(self.failed) > 1 else ""
            shown = "\n".join(f"- {failure}" for failure in self.failed[:_SHOWN_FAILURES])
            warning = f". {self.warning}" if self.warning else ""
            said = (
                f"{len(self.failed)} of {len(self.days) * len(self.wanted)} (day, agent) pairs failed: {self.failed[0]}"
                f"{others}. All others have landed; materialize the failed days again{warning}"
            )
            settings = self.workspace.settings
            raise dg.Failure(
                with_setting_names(said, settings),
                metadata={
                    "failed": len(self.failed),
                    "failures": dg.MarkdownMetadataValue(with_setting_names(shown, settings)),
                },
                allow_retries=False,
            )
        if self.warning:
            raise SettingsError(f"{self.warning}. All others have landed")

    def record_whole_days(self) -> list[dt.date]:
        """Record the days that lack nothing: a step that fails records nothing of its range by itself."""
        pairs = {(day, agent.model_id) for day in self.days for agent in self.wanted}
        lacking = {day for day, _ in pairs - self.present}
        whole = [day for day in self.days if day not in lacking]
        for key, of_days in self.metadata(whole).items():
            _record(self.context, key, of_days)
        return whole

    def finish_whole_days(self, downstream: Sequence[DailyStep]) -> None:
        """Record the days that lack nothing, and compute what follows from all that have landed.

        A day that one agent is missing on is computed for the others, but not recorded.
        """
        try:
            whole = self.record_whole_days()
            days = sorted({partition.day for partition in self.present})
            if not days or self._is_broken(days):
                return
            executable = set(self.context.job_def.asset_layer.executable_asset_keys)
            for step in downstream:
                keys = executable & {spec.key for spec in step.specs}
                for key, of_days in step.write(self.context, days, keys).items() if keys else ():
                    _record(self.context, key, {day: of_days[day] for day in whole})
        except SynthflowError as error:
            # The failure that brought us here is the one to be told.
            self.context.log.warning(f"what follows from the whole days could not be computed: {error}")

    def _is_broken(self, days: Sequence[dt.date]) -> bool:
        """Whether a check is broken that the steps behind would have been stopped by."""
        settings = self.workspace.settings
        with self.warehouse.connect(read_only=True) as connection:
            found = [
                problem
                for check in CHECKS
                if check.blocking
                for problem in find_problems(connection, check, days, settings, max(days))
            ]
        if found:
            self.context.log.error(f"nothing is computed from the landed days: {found[0]}")
        return bool(found)

    def metadata(self, days: Sequence[dt.date]) -> dict[dg.AssetKey, dict[dt.date, dict[str, Any]]]:
        """What Dagster is to show of each day of the selected tables, over all agents, whichever run landed them."""
        from synthflow_assets.warehouse.loads import read_loads

        loads: dict[dt.date, list[LoadSummary]] = defaultdict(list)
        if days:
            with self.warehouse.connect(read_only=True) as connection:
                for load in read_loads(connection, days, [agent.model_id for agent in self.agents]):
                    loads[load.day].append(load)
        keys = {table: self.workspace.asset_key(table.name) for table in LANDED_TABLES}
        return {
            key: {day: _day_metadata(table, loads[day]) for day in days}
            for table, key in keys.items()
            if key in self.context.selected_asset_keys
        }


def _wanted(agents: Sequence[Agent], models: Sequence[str]) -> Sequence[Agent]:
    """The agents of the run config; all where it names none."""
    unknown = set(models) - {agent.model_id for agent in agents}
    if unknown:
        raise SettingsError(
            f"`models` of the run config names {', '.join(sorted(unknown))}, which the workspace does not have; "
            "`synthflow-assets agents` lists the agents' ids"
        )
    return [agent for agent in agents if agent.model_id in models] if models else agents


def _repeated_runs(context: dg.AssetExecutionContext) -> list[str]:
    """The runs that did not succeed and that this one repeats, by hand or by Dagster after a crash."""
    found: list[str] = []
    parent = context.run.get_parent_run_id()
    while parent and (run := context.instance.get_run_by_id(parent)) and not run.is_success:
        found.append(run.run_id)
        parent = run.get_parent_run_id()
    return found


def _record(context: dg.AssetExecutionContext, key: dg.AssetKey, of_days: dict[dt.date, dict[str, Any]]) -> None:
    """Record days of a step that is to fail, as one batch: `context.log_event` would write each of a year singly."""
    step, batch = context.op_execution_context.get_step_execution_context(), str(uuid4())
    for number, (day, metadata) in enumerate(of_days.items(), start=1):
        recorded = dg.AssetMaterialization(key, partition=day.isoformat(), metadata=metadata)
        in_batch = DagsterEventBatchMetadata(batch, is_end=number == len(of_days))
        DagsterEvent.asset_materialization(step, recorded, in_batch)  # logs it


def _day_metadata(table: Table, loads: "Sequence[LoadSummary]") -> dict[str, Any]:
    """Numbers of a day, over its agents; Dagster plots them over the partitions."""
    total = {name: sum(getattr(load, name) for load in loads) for name in _SUMMED}
    rows = {CALLS.name: total["landed"], CALL_REJECTS.name: total["rejected"], CALL_LOADS.name: len(loads)}
    return {
        "dagster/partition_row_count": rows[table.name],
        "agents": len(loads),
        "settled": all(load.settled for load in loads),
        **total,
    }
