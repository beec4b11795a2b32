"""Extend Dagster's default run launcher, so that run monitoring notices runs whose process is gone.

Dagster notices this only if the code server that started the process is still running. A killed `dg launch`, or any run
after a power failure, would stay "started" for `max_runtime_seconds` and keep its slot in the run queue.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import dagster as dg

from synthflow_assets.orchestration import private
from synthflow_assets.orchestration.instance.run_locks import RunLocks

_ANSWER_TIMEOUT_SECONDS = 10
# The daemon launches each retry once. If its copy of the definitions is not loaded at that moment, it gives up.
# After a code server has returned, the daemon loads them within 1 s, or if that fails, within the next 10 s.
SETTLING_SECONDS = 20


class WatchfulRunLauncher(dg.DefaultRunLauncher):
    """The run launcher for `run_launcher` in `dagster.yaml`; run monitoring asks it about each run.

    Each step of this package holds a lock while it runs (see `WarehouseResource`). With `BatchedEventLogStorage`, the
    process of each run holds one as well. If all processes with a lock have died, the run is reported as failed. Runs
    without a lock are reported as running.

    Args:
        inst_data: Dagster's own description of where this class is named.
        ask_code_server: for a run that a code server started, ask that server, which may be in another container,
            whether it still has the process. While the server is away, its runs are reported as running, because
            Dagster could not retry them. It must be started by `dagster api grpc`: `dagster code-server` replaces its
            server when it reloads the code, and the new one does not know the runs of the old one.
    """

    def __init__(self, inst_data: Any = None, *, ask_code_server: bool = False) -> None:
        super().__init__(inst_data)
        self._ask_code_server = ask_code_server
        self._missing_since: dict[str, float] = {}  # by run id, in seconds of the monotonic clock
        private.warn_if_untested("The run launcher WatchfulRunLauncher in dagster.yaml")

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Return what `config` in `dagster.yaml` may hold."""
        return {"ask_code_server": dg.Field(dg.BoolSource, is_required=False, default_value=False)}

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Mapping[str, Any]) -> Self:
        """Make the launcher that `dagster.yaml` describes; Dagster calls this."""
        return cls(inst_data, ask_code_server=config_value["ask_code_server"])

    @cached_property
    def run_locks(self) -> RunLocks:
        """The locks of this instance's runs, in `$DAGSTER_HOME/running`."""
        return RunLocks(Path(self._instance.root_directory) / "running")

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Tell run monitoring that `check_run_worker_health` works."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> private.CheckRunHealthResult:
        """Return FAILED if the process of a started run is gone, RUNNING if it exists or nothing is known."""
        client = None
        if self._ask_code_server:
            client = self._get_grpc_client_for_termination(run.run_id)  # type: ignore[no-untyped-call]  # Dagster's
        gone = self.run_locks.has_died(run.run_id) if client is None else self._is_missing(run.run_id, client)
        status = private.WorkerStatus.FAILED if gone else private.WorkerStatus.RUNNING
        return private.CheckRunHealthResult(status, "the process of the run is gone")

    def _is_missing(self, run_id: str, client: Any) -> bool:
        """Return whether the code server has been answering for a while that it does not have the run."""
        request = private.CanCancelExecutionRequest(run_id=run_id)
        try:
            answer = client.can_cancel_execution(request, timeout=_ANSWER_TIMEOUT_SECONDS)
        except private.DagsterUserCodeUnreachableError:
            self._missing_since.pop(run_id, None)
            return False
        if private.deserialize_value(answer, private.CanCancelExecutionResult).can_cancel:
            self._missing_since.pop(run_id, None)
            return False
        now = time.monotonic()
        return now - self._missing_since.setdefault(run_id, now) >= SETTLING_SECONDS
