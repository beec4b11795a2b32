"""The metric tables: one step, because each is a few milliseconds of SQL over the calls of the day."""

import datetime as dt
import warnings
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from importlib.resources import files
from typing import Any

import dagster as dg

from synthflow_assets.metrics import code_version
from synthflow_assets.orchestration.assets.materializations import MetadataByDay, with_versions
from synthflow_assets.orchestration.assets.metadata import Metadata, metric_metadata, view_lineage, with_lineage
from synthflow_assets.orchestration.assets.steps import DailyStep, table_spec
from synthflow_assets.orchestration.checks import checks_of
from synthflow_assets.orchestration.workspace import Workspace
from synthflow_assets.warehouse.content import content_versions
from synthflow_assets.warehouse.metric_tables import METRIC_TABLES
from synthflow_assets.warehouse.schema import CALL_LOADS, CALLS, VIEWS


def metrics_step(workspace: Workspace, partitions: dg.PartitionsDefinition[Any]) -> DailyStep:
    """Return the step that computes the metric tables."""

    def write(
        context: dg.AssetExecutionContext, days: Sequence[dt.date], keys: AbstractSet[dg.AssetKey]
    ) -> MetadataByDay:
        from synthflow_assets.metrics import compute_metrics
        from synthflow_assets.report.previews import preview_charts, previews

        selected = {key: table for table in METRIC_TABLES if (key := workspace.asset_key(table.name)) in keys}
        warehouse = workspace.warehouse(context)
        with warehouse.get_connection() as connection:
            names = [table.name for table in selected.values()]
            computed = compute_metrics(connection, days, workspace.settings, names)
        # Also other days that the calls of `days` changed. Dagster knows none before the first partition.
        first = min(*days, workspace.settings.start_date)
        computed = {name: [day for day in replaced if day >= first] for name, replaced in computed.items()}
        # Read-only, so that other runs can read at the same time.
        with warehouse.get_connection(read_only=True) as connection:
            shown = {
                key: with_versions(
                    metric_metadata(workspace, table, connection, computed[table.name]),
                    content_versions(connection, table, computed[table.name]),
                )
                for key, table in selected.items()
            }
            drawn = selected.values() if workspace.settings.previews else ()
            charts = {table.name: preview_charts(connection, table, max(days)) for table in drawn}
            # A view is always up to date, and opening the warehouse creates it.
            for view in VIEWS:
                if (key := workspace.asset_key(view.name)) in keys:
                    by_day = with_lineage({day: {} for day in days}, view_lineage(workspace, view))
                    shown[key] = with_versions(by_day, content_versions(connection, view, days))
        pictures = previews(charts, context.log.warning) if charts else {}
        for key, table in selected.items():
            if table.name in pictures:  # on the latest day alone: Dagster stores metadata with each day
                shown[key][max(days)]["preview"] = dg.MarkdownMetadataValue(pictures[table.name])
        return shown

    specs = [
        table_spec(
            workspace,
            table,
            partitions,
            kinds={"sql", workspace.storage_kind},
            deps=[workspace.asset_key(CALLS.name), workspace.asset_key(CALL_LOADS.name)],
            metadata=_code_reference("synthflow_assets.metrics", f"{table.name}.sql"),
            code_version=code_version(table.name, workspace.settings),
        )
        for table in METRIC_TABLES
    ]
    specs += [
        table_spec(
            workspace,
            view,
            partitions,
            kinds={"sql", "view", workspace.storage_kind},
            deps=[workspace.asset_key(name) for name in view.reads],
            metadata=_code_reference("synthflow_assets.warehouse.sql", f"{view.name}.sql"),
        )
        for view in VIEWS
    ]
    return DailyStep("compute_metrics", specs, write, checks_of(METRIC_TABLES))


def _code_reference(package: str, file: str) -> Metadata:
    """Return the metadata by which Dagster's UI shows the SQL file of an asset."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)  # of code references; users cannot do anything about it
        source = dg.LocalFileCodeReference(file_path=str(files(package) / file), line_number=1, label=file)
        return {"dagster/code_references": dg.CodeReferencesMetadataValue(code_references=[source])}
