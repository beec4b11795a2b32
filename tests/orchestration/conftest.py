"""Dagster instances for tests within one process."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from synthflow_assets.report import previews


@pytest.fixture
def pictures() -> None:
    """Requested by tests whose runs draw previews."""


@pytest.fixture(autouse=True)
def no_pictures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs draw no previews, which take longer than the rest of a run, unless the test requests `pictures`."""
    if "pictures" not in request.fixturenames:
        monkeypatch.setattr(previews, "preview_charts", lambda *_: [])


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """An instance in memory, because files would double the time of a small run."""
    with dg.DagsterInstance.ephemeral() as made:
        yield made


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
    """An instance in files, for tests of what Dagster writes."""
    folder = shutil.copytree(empty_home, tmp_path_factory.mktemp("home") / "dagster")
    with dg.DagsterInstance.local_temp(str(folder)) as made:
        yield made
