"""Dagster's own run launcher, which also tells the daemon of runs whose process is gone.

Dagster notices that only of processes that its code server started and outlived. A run of `dg launch` that was killed,
or any run after a power failure, would stay "started" for as long as a run may take, and keep its place among the runs.
"""

from dagster import DagsterRun
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, WorkerStatus
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster._serdes import deserialize_value

from synthflow_assets.orchestration.event_log import BatchedEventLogStorage

_ANSWER_SECONDS = 10


class WatchfulRunLauncher(DefaultRunLauncher):
    """For `run_launcher` in `dagster.yaml`; run monitoring asks it of each run.

    Beside `BatchedEventLogStorage`, on one machine, it knows by the lock of the run's process. Elsewhere it asks the
    code server whether it still has the process. That is to be a server of `dagster api grpc`: behind `dagster
    code-server` a new one takes its place when the code is loaded again, and knows nothing of the runs of the old one.
    """

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Yes."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Whether the run, which has started and is not over, still has its process. Where nobody knows, it has."""
        events = self._instance.event_log_storage
        if isinstance(events, BatchedEventLogStorage):
            gone = events.run_locks.has_died(run.run_id)
        else:
            gone = self._server_lacks(run)
        return CheckRunHealthResult(WorkerStatus.FAILED if gone else WorkerStatus.RUNNING, "its process is gone")

    def _server_lacks(self, run: DagsterRun) -> bool:
        client = self._get_grpc_client_for_termination(run.run_id)  # type: ignore[no-untyped-call]  # Dagster's
        if client is None:
            return False
        try:
            answer = client.can_cancel_execution(CanCancelExecutionRequest(run_id=run.run_id), timeout=_ANSWER_SECONDS)
        except DagsterUserCodeUnreachableError:
            return False
        return not deserialize_value(answer, CanCancelExecutionResult).can_cancel
