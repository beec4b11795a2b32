"""The audio of the calls. The asset exists only if `recordings` is set."""

from dataclasses import asdict
from typing import Any

import dagster as dg

from synthflow_assets.orchestration.assets.calls import retried_after_outage
from synthflow_assets.orchestration.assets.steps import table_spec
from synthflow_assets.orchestration.resources import translate_errors
from synthflow_assets.orchestration.run_days import days_of
from synthflow_assets.orchestration.workspace import Workspace
from synthflow_assets.warehouse.schema import CALL_RECORDINGS, CALLS

DOWNLOAD = "download_recordings"  # the step


def recordings_spec(workspace: Workspace, partitions: dg.PartitionsDefinition[Any]) -> dg.AssetSpec:
    """Return the spec of the recordings."""
    kinds, deps = {"python", workspace.storage_kind}, [workspace.asset_key(CALLS.name)]
    return table_spec(workspace, CALL_RECORDINGS, partitions, kinds, deps)


def build_recordings_asset(
    workspace: Workspace, target: str, partitions: dg.PartitionsDefinition[Any]
) -> dg.AssetsDefinition:
    """Build the asset that downloads the recordings of the day's calls.

    Args:
        workspace: whose calls.
        target: a folder, or `s3://bucket/prefix`.
        partitions: the days.
    """
    key = workspace.asset_key(CALL_RECORDINGS.name)

    @dg.multi_asset(
        name=workspace.step(DOWNLOAD),
        specs=[recordings_spec(workspace, partitions)],
        required_resource_keys={workspace.api_resource, workspace.warehouse_resource},
        backfill_policy=workspace.backfill_policy,
    )
    def download(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        from synthflow_assets.recordings import store_recordings

        with (
            translate_errors(workspace.settings),
            workspace.open_clients(context) as (client, warehouse),
            retried_after_outage(context),
        ):
            client.wait_for_outages(60.0 * workspace.settings.outage_minutes, context.log.warning)
            counts = store_recordings(client, warehouse, target, days_of(context), context.log.warning)
        if counts.failed:
            raise dg.Failure(
                f"{counts.failed} recordings failed and {counts.stored} were stored; the log says why. "
                "Materialize the same days again: only the missing ones are downloaded",
                allow_retries=False,
            )
        return dg.MaterializeResult(asset_key=key, metadata=asdict(counts))

    return download
