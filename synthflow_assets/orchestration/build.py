"""Build the definitions of a workspace, for this project's own code location and for users' projects."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import dagster as dg

from synthflow_assets.errors import SettingsError
from synthflow_assets.orchestration.arguments import validate_hidden_key, validate_hidden_password, validate_types
from synthflow_assets.orchestration.assets.calls import FETCH, agents_spec, build_calls_assets, landed_specs
from synthflow_assets.orchestration.assets.exports import exports_step
from synthflow_assets.orchestration.assets.metrics import metrics_step
from synthflow_assets.orchestration.assets.outdated import RECOMPUTE, build_recompute_job
from synthflow_assets.orchestration.assets.recordings import DOWNLOAD, build_recordings_asset, recordings_spec
from synthflow_assets.orchestration.assets.report import report_step
from synthflow_assets.orchestration.assets.steps import DailyStep, daily_partitions
from synthflow_assets.orchestration.checks import build_scheduled_checks
from synthflow_assets.orchestration.resources import SynthflowResource, WarehouseResource
from synthflow_assets.orchestration.schedules.fetching import build_jobs, build_schedules
from synthflow_assets.orchestration.schedules.maintenance import MAINTENANCE, build_maintenance
from synthflow_assets.orchestration.sensors.alerts import build_alert_sensors
from synthflow_assets.orchestration.translation import AssetKind, GetAssetSpec, translate_specs
from synthflow_assets.orchestration.workspace import Workspace
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.schema import VIEWS


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
    get_asset_spec: GetAssetSpec | None = None,
) -> dg.Definitions:
    """Return the assets, checks, jobs, schedules, sensors and resources of a workspace, to merge with your own.

    The environment is not read, unless the settings come from `Settings.load()`. Every name begins with the key prefix,
    so nothing clashes with other definitions or another workspace. No default executor and no logger is set. If two
    workspaces would write to the same tables, exports or report, the code location does not load.

    Args:
        settings: of the workspace; by default, each setting has its default. Pass secrets as `dg.EnvVar`.
        key_prefix: of every asset; by default the schema of the tables. Unless the settings name a schema, it is also
            the schema, with its parts joined by underscores.
        group_name: of every asset; by default the key prefix.
        owners: of every asset: e-mail addresses, or `team:NAME`.
        tags: of every asset.
        automation_condition: of every asset. The schedules need none.
        executor: of the jobs; by default all steps run in one process.
        synthflow: the API resource; it replaces key, region, base URL, connections and rate of the settings.
        warehouse: the warehouse resource; it replaces the location of the settings.
        get_asset_spec: returns the spec of an asset, for another key, group or description. Dependencies, checks and
            messages follow a renamed key.

    Raises:
        SettingsError: an argument has the wrong type or holds a secret in plain text, the key prefix is not a valid
            schema name, the warehouse resource names another schema, or two assets would have the same key.
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
        get_asset_spec=get_asset_spec,
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
    return _build(workspace, executor, synthflow, warehouse, get_asset_spec)


def build_module_defs(settings: Settings, module: str) -> dg.Definitions:
    """Return the definitions of a workspace for a module that is a code location of its own.

    The commands in messages name the module, because `dg launch` finds it only in a project, such as a clone.

    Args:
        settings: of the workspace.
        module: the name of the module.

    Raises:
        SettingsError: a setting is wrong.
    """
    workspace = replace(Workspace.of(settings), launch_command=f"dg launch --module-name {module}")
    return _build(workspace)


def _build(
    workspace: Workspace,
    executor: dg.ExecutorDefinition | None = None,
    synthflow: SynthflowResource | None = None,
    warehouse: WarehouseResource | None = None,
    get_asset_spec: GetAssetSpec | None = None,
) -> dg.Definitions:
    if warehouse is not None and warehouse.schema_name != workspace.settings.warehouse_schema:
        raise SettingsError(
            f"the warehouse resource has schema_name {warehouse.schema_name}, but the tables of this workspace are in "
            f"{workspace.settings.warehouse_schema}: make them the same"
        )
    if warehouse is not None:
        workspace = replace(workspace, settings=_with_location(workspace.settings, warehouse))
    partitions = daily_partitions(workspace.settings)
    if get_asset_spec is not None:
        workspace = replace(workspace, translated=translate_specs(_specs(workspace, partitions), get_asset_spec))
    metrics, *after = downstream = _downstream_steps(workspace, partitions)
    assets, checks = _build_assets(workspace, downstream, partitions), build_scheduled_checks(workspace)
    computed = [spec.key for step in downstream for spec in step.specs]
    daily, freshness = build_jobs(workspace, assets, executor or dg.in_process_executor)
    maintenance, maintenance_schedule = build_maintenance(workspace, executor or dg.in_process_executor)
    recompute = build_recompute_job(workspace, metrics, after, executor or dg.in_process_executor)
    steps = {definition.node_def.name for definition in (*assets, checks)}
    steps |= {workspace.step(MAINTENANCE), workspace.step(RECOMPUTE)}
    return dg.Definitions(
        assets=[*assets, agents_spec(workspace)],
        asset_checks=[checks],
        jobs=[daily, freshness, maintenance, recompute],
        schedules=[*build_schedules(workspace, daily, freshness, computed), maintenance_schedule],
        sensors=build_alert_sensors(workspace, steps),
        resources={
            workspace.api_resource: synthflow or SynthflowResource.from_settings(workspace.settings),
            workspace.warehouse_resource: warehouse or WarehouseResource.from_settings(workspace.settings),
        },
    )


def _with_location(settings: Settings, warehouse: WarehouseResource) -> Settings:
    """Return the settings with the location of the resource; `$NAME` if it comes from an environment variable."""
    variable = getattr(warehouse.database, "env_var_name", None)
    return settings.model_copy(update={"warehouse": f"${variable}" if variable else warehouse.database})


def _downstream_steps(workspace: Workspace, partitions: dg.PartitionsDefinition[Any]) -> list[DailyStep]:
    """Return the steps downstream of the calls, in the order of computation: first the metrics."""
    export_folder = workspace.settings.export_folder
    return [
        metrics_step(workspace, partitions),
        *([exports_step(workspace, export_folder, partitions)] if export_folder else []),
        report_step(workspace, partitions),
    ]


def _specs(workspace: Workspace, partitions: dg.PartitionsDefinition[Any]) -> list[tuple[AssetKind, str, dg.AssetSpec]]:
    """Return the kind, the step and the spec of each asset of a workspace."""
    views = {workspace.asset_key(view.name) for view in VIEWS}
    kinds: dict[str, AssetKind] = {"export_tables": "export", "write_report": "report"}
    recordings = [recordings_spec(workspace, partitions)] if workspace.settings.recordings else []
    return [
        *(("table", FETCH, spec) for spec in (*landed_specs(workspace, partitions), agents_spec(workspace))),
        *(("table", DOWNLOAD, spec) for spec in recordings),
        *(
            ("view" if spec.key in views else kinds.get(step.name, "table"), step.name, spec)
            for step in _downstream_steps(workspace, partitions)
            for spec in step.specs
        ),
    ]


def _build_assets(
    workspace: Workspace, downstream: Sequence[DailyStep], partitions: dg.PartitionsDefinition[Any]
) -> list[dg.AssetsDefinition]:
    recordings = workspace.settings.recordings
    return [
        build_calls_assets(workspace, partitions, downstream),
        *(step.build(workspace, downstream[number + 1 :]) for number, step in enumerate(downstream)),
        *([build_recordings_asset(workspace, recordings, partitions)] if recordings else []),
    ]
