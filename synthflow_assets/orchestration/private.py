"""Provide the private parts of Dagster that this package uses; no other module may import `dagster._...`.

Dagster may change private names in any release. The table gives the reason for each one and the public alternative. A
name is imported only when the feature that needs it is used. Each of these features is opt-in:

| name | reason | public alternative |
|---|---|---|
| `CheckRunHealthResult`, `WorkerStatus` | the run launcher of `dagster.yaml` answers run monitoring with them | none: \
`dg.DefaultRunLauncher` never reports that the process of a run is gone |
| `CanCancelExecutionRequest`, `CanCancelExecutionResult`, `deserialize_value`, `DagsterUserCodeUnreachableError` | \
with `ask_code_server`, the launcher asks the code server whether it still has the process | none |
| `SqlEventLogStorage`, `SqliteEventLogStorage`, `INDEX_SHARD_NAME`, `AssetCheckEvaluationPlanned` | the event log of \
`dagster.yaml` extends the storage that has the files | none: leave `event_log_storage` out, and a year's backfill \
takes three times as long |
| `AssetCheckExecutionRecordStatus` | the alert sensor reads the failed evaluations of a check | \
`get_latest_asset_check_evaluation_record`, which misses a check that failed and passed between two ticks |
"""
# ruff: noqa: PLC0414 (the aliases tell mypy that these names are exported)

from __future__ import annotations

import importlib
import logging
import re
from functools import cache
from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from dagster._core.definitions.asset_checks.asset_check_evaluation import (
        AssetCheckEvaluationPlanned as AssetCheckEvaluationPlanned,
    )
    from dagster._core.errors import DagsterUserCodeUnreachableError as DagsterUserCodeUnreachableError
    from dagster._core.launcher import CheckRunHealthResult as CheckRunHealthResult
    from dagster._core.launcher import WorkerStatus as WorkerStatus
    from dagster._core.storage.asset_check_execution_record import (
        AssetCheckExecutionRecordStatus as AssetCheckExecutionRecordStatus,
    )
    from dagster._core.storage.event_log import SqlEventLogStorage as SqlEventLogStorage
    from dagster._core.storage.event_log import SqliteEventLogStorage as SqliteEventLogStorage
    from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME as INDEX_SHARD_NAME
    from dagster._grpc.types import CanCancelExecutionRequest as CanCancelExecutionRequest
    from dagster._grpc.types import CanCancelExecutionResult as CanCancelExecutionResult
    from dagster._serdes import deserialize_value as deserialize_value

_MODULES = {
    "AssetCheckEvaluationPlanned": "dagster._core.definitions.asset_checks.asset_check_evaluation",
    "AssetCheckExecutionRecordStatus": "dagster._core.storage.asset_check_execution_record",
    "CanCancelExecutionRequest": "dagster._grpc.types",
    "CanCancelExecutionResult": "dagster._grpc.types",
    "CheckRunHealthResult": "dagster._core.launcher",
    "DagsterUserCodeUnreachableError": "dagster._core.errors",
    "INDEX_SHARD_NAME": "dagster._core.storage.event_log.sqlite.sqlite_event_log",
    "SqlEventLogStorage": "dagster._core.storage.event_log",
    "SqliteEventLogStorage": "dagster._core.storage.event_log",
    "WorkerStatus": "dagster._core.launcher",
    "deserialize_value": "dagster._serdes",
}
NAMES = tuple(_MODULES)
# The lowest and the newest release that the test suite ran with.
OLDEST_TESTED, NEWEST_TESTED = (1, 13, 21), (1, 13, 27)


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


@cache
def warn_if_untested(feature: str) -> None:
    """Log one line, once in a process, if `feature` was not tested with the installed release of Dagster.

    Args:
        feature: what uses private parts of Dagster, as the subject of the sentence.
    """
    release = tuple(int(part) for part in re.findall(r"\d+", dg.__version__)[:3])
    if not OLDEST_TESTED <= release <= NEWEST_TESTED:
        oldest, newest = (".".join(map(str, version)) for version in (OLDEST_TESTED, NEWEST_TESTED))
        logging.getLogger("synthflow_assets").warning(
            "%s was tested with Dagster %s to %s, and %s is installed; if it fails, remove it from your settings",
            feature,
            oldest,
            newest,
            dg.__version__,
        )
