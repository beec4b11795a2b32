"""Puts the definitions together: the one way in, for this project's own code location and for everybody else's."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import dagster as dg

from synthflow_assets.errors import SettingsError
from synthflow_assets.orchestration.alerts import build_alert_sensors
from synthflow_assets.orchestration.arguments import validate_hidden_key, validate_hidden_password, validate_types
from synthflow_assets.orchestration.assets import (
    build_recordings_asset,
    export_step,
    metric_steps,
    report_step,
)
from synthflow_assets.orchestration.checks import build_checks
from synthflow_assets.orchestration.daily import daily_partitions
from synthflow_assets.orchestration.fetching import build_calls_assets
from synthflow_assets.orchestration.maintenance import MAINTENANCE, build_maintenance
from synthflow_assets.orchestration.resources import SynthflowResource, WarehouseResource
from synthflow_assets.orchestration.schedules import build_jobs, build_schedules
from synthflow_assets.orchestration.workspace import Workspace
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.metric_tables import METRIC_TABLES
from synthflow_assets.warehouse.schema import CALLS


def build_synthflow_defs(
    settings: Settings | None = None,
    *,
    key_prefix: str | Sequence[str] | dg.AssetKey | None = None,
    group_name: str | None = None,
    owners: Sequence[str] = (),
    tags: Mapping[str, str] | None = None,
    automation_condition: dg.AutomationCondition[Any] | None = None,
    executor: dg.ExecutorDefinition | None = None,
    synthflow: SynthflowResource | None = None,
    warehouse: WarehouseResource | None = None,
) -> dg.Definitions:
    """Everything that Dagster is to know of a Synthflow workspace, to be merged with other definitions.

    The environment is not read, unless the settings come from `Settings.load()`. Every name begins with the key
    prefix, so nothing clashes with other definitions or another workspace; no executor and no logger is set for
    others. Definitions in which two workspaces would write to the same tables, exports or report cannot be loaded.

    Args:
        settings: the defaults, unless given. Keys in it as `dg.EnvVar`.
        key_prefix: of every asset; the default is the schema of the tables. It is also the schema, its parts joined
            by underscores, unless the settings name one.
        group_name: of every asset; the default is the key prefix.
        owners: of every asset, as Dagster wants them: e-mail addresses, or `team:NAME`.
        tags: of every asset.
        automation_condition: of every asset; the schedules, which are off until somebody switches them on, need none.
        executor: of the jobs; the default runs all steps in one process, because they wait for the network and for
            DuckDB's threads, and a process for each would only cost its start.
        synthflow: who is asked, in place of what the settings say of key, region, address and rate.
        warehouse: where the tables are, in place of what the settings say.

    Raises:
        SettingsError: an argument of a wrong type, a key or a password in plain text, a key prefix that cannot name a
            schema, or a resource of another schema.
    """
    validate_types(
        settings=settings,
        key_prefix=key_prefix,
        group_name=group_name,
        owners=owners,
        tags=tags,
        automation_condition=automation_condition,
        executor=executor,
        synthflow=synthflow,
        warehouse=warehouse,
    )
    if synthflow is not None:
        validate_hidden_key(synthflow)
    if warehouse is not None:
        validate_hidden_password(warehouse)
    workspace = Workspace.of(
        settings or Settings.of(),
        key_prefix.path if isinstance(key_prefix, dg.AssetKey) else key_prefix,
        group_name,
        owners=owners,
        tags=tags or {},
        automation_condition=automation_condition,
    )
    if warehouse is not None and warehouse.schema_name != workspace.settings.warehouse_schema:
        raise SettingsError(
            f"the warehouse resource has schema_name {warehouse.schema_name}, but the tables of this workspace are in "
            f"{workspace.settings.warehouse_schema}: make them the same"
        )
    if warehouse is not None:
        workspace = replace(workspace, settings=_moved(workspace.settings, warehouse))
    assets, checks = _assets(workspace), build_checks(workspace)
    daily, freshness = build_jobs(workspace, assets, executor or dg.in_process_executor)
    maintenance, maintenance_schedule = build_maintenance(workspace, executor or dg.in_process_executor)
    steps = {definition.node_def.name for definition in (*assets, *checks)} | {workspace.step(MAINTENANCE)}
    return dg.Definitions(
        assets=assets,
        asset_checks=checks,
        jobs=[daily, freshness, maintenance],
        schedules=[*build_schedules(workspace, daily, freshness), maintenance_schedule],
        sensors=build_alert_sensors(workspace, steps),
        resources={
            workspace.api_resource: synthflow or SynthflowResource.from_settings(workspace.settings),
            workspace.warehouse_resource: warehouse or WarehouseResource.from_settings(workspace.settings),
        },
    )


def _moved(settings: Settings, warehouse: WarehouseResource) -> Settings:
    """The settings, with the tables where the resource says; of a location that is read in the run, the variable."""
    variable = getattr(warehouse.database, "env_var_name", None)
    return settings.model_copy(update={"warehouse": f"${variable}" if variable else warehouse.database})


def _assets(workspace: Workspace) -> list[dg.AssetsDefinition]:
    partitions = daily_partitions(workspace.settings)
    recordings = workspace.settings.recordings
    downstream = [
        *metric_steps(workspace, partitions),
        *(export_step(workspace, table, partitions) for table in (CALLS, *METRIC_TABLES)),
        report_step(workspace, partitions),
    ]
    return [
        build_calls_assets(workspace, partitions, downstream),
        *(step.build(workspace) for step in downstream),
        *([build_recordings_asset(workspace, recordings, partitions)] if recordings else []),
    ]
