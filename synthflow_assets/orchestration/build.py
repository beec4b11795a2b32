"""Puts the definitions together from settings: the one way in."""

import dagster as dg

from synthflow_assets.orchestration.assets import (
    build_calls_assets,
    build_export_asset,
    build_metric_asset,
    build_recordings_asset,
    daily_partitions,
)
from synthflow_assets.orchestration.checks import build_checks
from synthflow_assets.orchestration.resources import SynthflowResource, WarehouseResource
from synthflow_assets.orchestration.schedules import build_jobs, build_schedules
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.schema import CALLS, METRIC_TABLES


def build_synthflow_defs(settings: Settings) -> dg.Definitions:
    """Everything that Dagster is to know of a Synthflow workspace."""
    partitions = daily_partitions(settings)
    daily, freshness = build_jobs()
    return dg.Definitions(
        assets=[
            build_calls_assets(settings, partitions),
            *(build_metric_asset(table, settings, partitions) for table in METRIC_TABLES),
            *(build_export_asset(table.name, settings, partitions) for table in (CALLS, *METRIC_TABLES)),
            *([build_recordings_asset(settings.recordings, partitions)] if settings.recordings else []),
        ],
        asset_checks=build_checks(settings),
        jobs=[daily, freshness],
        schedules=build_schedules(settings, daily, freshness),
        resources={
            "synthflow": SynthflowResource.from_settings(settings),
            "warehouse": WarehouseResource(database=settings.warehouse),
        },
        # The steps wait for the network and for DuckDB's threads; a process for each would only cost its start.
        executor=dg.in_process_executor,
    )
