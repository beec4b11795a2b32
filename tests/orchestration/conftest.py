"""Dagster instances for tests within one process."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest

from synthflow_assets.settings import Settings
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
