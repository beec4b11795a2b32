"""The runs of a workspace that are in progress."""

import dagster as dg

from synthflow_assets.orchestration.workspace import Workspace

_IN_PROGRESS = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)


def runs_in_progress(workspace: Workspace, instance: dg.DagsterInstance) -> list[dg.RunRecord]:
    """Return the runs that write to this workspace, or are about to. Those of the freshness job only read."""
    records = instance.get_run_records(filters=dg.RunsFilter(statuses=list(_IN_PROGRESS)))
    freshness = workspace.named("freshness")
    return [
        record
        for record in records
        if workspace.owns_run(record.dagster_run) and record.dagster_run.job_name != freshness
    ]
