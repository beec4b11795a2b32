"""Dagster instances, and days that have landed, for tests within one process."""

import datetime as dt
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest

from synthflow_assets.api.client import SynthflowClient
from synthflow_assets.loading import FailedPartition, load_calls, resolve_agents
from synthflow_assets.metrics import compute_metrics
from synthflow_assets.sandbox.server import Sandbox
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse
from tests.instances import SharedInstance


@pytest.fixture
def settings_for(settings_for: Callable[..., Settings]) -> Callable[..., Settings]:
    """Settings for a sandbox. No run draws previews unless a test sets them: they take longer than the rest of it."""
    return lambda sandbox, **values: settings_for(sandbox, **{"previews": False, **values})


@pytest.fixture(scope="session")
def shared_instance() -> Iterator[SharedInstance]:
    """The instance of all tests of this process that need no files."""
    shared = SharedInstance()
    yield shared
    shared.close()


@pytest.fixture
def instance(shared_instance: SharedInstance) -> dg.DagsterInstance:
    """An instance in memory without runs, because files would double the time of a small run."""
    return shared_instance.emptied()


@pytest.fixture(scope="session")
def land_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., None]:
    """Lands days as a run would, and computes metrics if `computed`; for tests of what happens after that.

    Tests of the same days, of sandboxes and settings that are equal, get copies of one file.
    """
    files: dict[tuple[str, ...], Path] = {}

    def land(sandbox: Sandbox, settings: Settings, first: str, last: str, *, computed: bool = False) -> None:
        shared = settings.model_copy(update={"warehouse": "", "base_url": ""})
        key = (repr(sandbox.api.config), repr(shared), first, last, str(computed))
        if key not in files:
            files[key] = tmp_path_factory.mktemp("landed") / "warehouse.duckdb"
            _land(settings, Warehouse(files[key]), first, last, computed=computed)
        shutil.copy(files[key], settings.warehouse)

    return land


def _land(settings: Settings, warehouse: Warehouse, first: str, last: str, *, computed: bool) -> None:
    start, end = dt.date.fromisoformat(first), dt.date.fromisoformat(last)
    days = [start + dt.timedelta(days=number) for number in range((end - start).days + 1)]
    with SynthflowClient.from_settings(settings) as client:
        agents = resolve_agents(client, settings).agents
        outcomes = load_calls(client, warehouse, settings, agents, days, log=lambda _: None)
        assert not [one for one in outcomes if isinstance(one, FailedPartition)]
    if computed:
        with warehouse.connect() as connection:
            compute_metrics(connection, days, settings)


@pytest.fixture(scope="session")
def empty_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of an instance without runs. Tests copy them, because creating the tables takes longer."""
    folder = tmp_path_factory.mktemp("empty") / "dagster"
    folder.mkdir()
    with dg.DagsterInstance.local_temp(str(folder)) as made:
        assert made.get_runs() == []
    return folder


@pytest.fixture
def on_disk(empty_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    """An instance in files, with the event log of `dagster.yaml`, for tests of what Dagster writes."""
    folder = shutil.copytree(empty_home, tmp_path_factory.mktemp("home") / "dagster")
    events = {
        "module": "synthflow_assets.orchestration.instance.event_log",
        "class": "BatchedEventLogStorage",
        "config": {"base_dir": str(folder / "history" / "runs")},
    }
    with dg.DagsterInstance.local_temp(str(folder), {"event_log_storage": events}) as made:
        yield made
