"""The run launcher of one machine: Dagster's own, which also tells the daemon of runs whose process is gone.

Dagster notices that only of processes that its code server started and outlived. A run of `dg launch` that was killed,
or any run after a power failure, would stay "started" for as long as a run may take, and keep its place among the runs.
"""

from dagster import DagsterRun
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, WorkerStatus

from synthflow_assets.orchestration.event_log import BatchedEventLogStorage


class WatchfulRunLauncher(DefaultRunLauncher):
    """For `run_launcher` in `dagster.yaml`, beside `BatchedEventLogStorage`; run monitoring asks it of each run."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Yes."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Whether the run, which has started and is not over, still has its process."""
        events = self._instance.event_log_storage
        if isinstance(events, BatchedEventLogStorage) and events.run_locks.has_died(run.run_id):
            return CheckRunHealthResult(WorkerStatus.FAILED, "its process is gone")
        return CheckRunHealthResult(WorkerStatus.RUNNING)
