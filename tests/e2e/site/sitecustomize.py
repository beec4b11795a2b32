"""Python imports this module when it starts. It shortens intervals and starts of Dagster that no setting shortens."""

import sys

if "dagster._daemon" in sys.orig_argv[:3]:  # `dg dev` starts it by `python -m dagster._daemon`
    from dagster._core.run_coordinator.queued_run_coordinator import QueuedRunCoordinator
    from dagster._daemon import controller

    controller.DEFAULT_DAEMON_INTERVAL_SECONDS = 5  # between looks at the backfills; 30 by default
    QueuedRunCoordinator.dequeue_interval_seconds = 1  # type: ignore[method-assign, assignment]  # 5 by default

if sys.orig_argv[2:5] == ["dagster", "api", "grpc"]:  # `dg dev` starts it by `python -m dagster api grpc`
    from tests.forks import COMMANDS, fork_what_is_spawned

    fork_what_is_spawned(COMMANDS)
