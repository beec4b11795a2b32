"""Files with personal data are private, and temporary files of killed processes are removed."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest

from synthflow_assets.api.client import SynthflowClient
from synthflow_assets.erasure import erase_person
from synthflow_assets.files import private_files, temporary_folder
from synthflow_assets.interfaces import FetchResult
from synthflow_assets.loading import load_calls, resolve_agents
from synthflow_assets.metrics import compute_metrics
from synthflow_assets.recordings import store_recordings
from synthflow_assets.report import write_report
from synthflow_assets.sandbox.server import Sandbox
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.copying import back_up
from synthflow_assets.warehouse.export import export_days
from synthflow_assets.warehouse.staging import Partition, Staging
from tests.conftest import DAY

KILLED_WHILE_SPILLING = """
import os, signal, sys
from synthflow_assets.warehouse.connection import Warehouse

with Warehouse(sys.argv[1]).connect() as connection:
    connection.execute("SET memory_limit = '60MB'; SET threads = 1")
    text = "hash(range)::VARCHAR || 'TRANSCRIPTMARK' AS text"
    connection.execute(f"CREATE TEMP TABLE big AS SELECT {text} FROM range(3000000)")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def umask() -> Iterator[Callable[[int], int]]:
    """Sets the umask until the test ends."""
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


def write_everything(settings: Settings, backup: Path) -> Warehouse:
    """Land a day, and write its exports, recordings, report and a backup."""
    warehouse = Warehouse.from_settings(settings)
    with SynthflowClient.from_settings(settings) as client:
        agents = resolve_agents(client, settings).agents
        list(load_calls(client, warehouse, settings, agents, [DAY], log=lambda _: None))
        assert store_recordings(client, warehouse, str(settings.recordings), [DAY], print).stored
    assert settings.export_folder
    with warehouse.connect() as connection:
        compute_metrics(connection, [DAY], settings)
        export_days(connection, "calls", [DAY], settings.export_folder)
    write_report(warehouse, settings, settings.report_path, DAY, DAY)
    back_up(warehouse, backup)
    return warehouse


def modes(folder: Path) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {"files": set(), "folders": set()}
    for path in folder.rglob("*"):
        found["folders" if path.is_dir() else "files"].add(stat.S_IMODE(path.stat().st_mode))
    return found


@pytest.mark.parametrize(
    ("group_access", "mask", "file_mode", "folder_mode"),
    [("none", 0o022, 0o600, 0o700), ("write", 0o002, 0o660, 0o770)],
)
def test_written_files_are_private_unless_they_are_opened_to_the_group(
    start_sandbox: Callable[..., Sandbox],
    settings_for: Callable[..., Settings],
    tmp_path: Path,
    umask: Callable[[int], int],
    group_access: str,
    mask: int,
    file_mode: int,
    folder_mode: int,
) -> None:
    umask(mask)
    data = tmp_path / "data"
    settings = settings_for(
        start_sandbox(agents=1, calls_per_day=6, same_volume=True),
        warehouse=str(data / "here" / "w.duckdb"),
        export_dir=str(data / "exports"),
        recordings=str(data / "audio"),
        report=str(data / "pages" / "report.html"),
        group_access=group_access,
    )
    data.mkdir(mode=0o700)
    warehouse = write_everything(settings, data / "here" / "backup.duckdb")
    assert modes(data) == {"files": {file_mode}, "folders": {folder_mode}}
    assert umask(mask) == mask
    if group_access == "none":
        return
    # A file that replaces another one gets its mode, with any setting.
    for path in data.rglob("*"):
        if path.is_file():
            path.chmod(0o644)
    warehouse.compact()
    with warehouse.connect() as connection:
        export_days(connection, "calls", [DAY], data / "exports")
    back_up(warehouse, data / "here" / "backup.duckdb", replace=True)
    write_report(warehouse, settings, settings.report_path, DAY, DAY)
    assert modes(data)["files"] == {0o644}


@pytest.mark.parametrize(
    ("group_access", "mask", "file_mode", "folder_mode"),
    [
        ("none", 0o022, 0o600, 0o700),
        ("read", 0o022, 0o640, 0o750),
        ("write", 0o022, 0o640, 0o750),
        ("write", 0o002, 0o660, 0o770),
        ("read", 0o077, 0o600, 0o700),
    ],
)
def test_the_umask_restricts_private_files_further(
    tmp_path: Path,
    umask: Callable[[int], int],
    group_access: Literal["none", "read", "write"],
    mask: int,
    file_mode: int,
    folder_mode: int,
) -> None:
    umask(mask)
    with private_files(group_access):
        (tmp_path / "file").touch()
        (tmp_path / "folder").mkdir()
    assert modes(tmp_path) == {"files": {file_mode}, "folders": {folder_mode}}
    assert umask(mask) == mask


def test_the_umask_is_restored_when_blocks_of_several_threads_overlap(umask: Callable[[int], int]) -> None:
    first_is_open, second_is_open = threading.Event(), threading.Event()

    def first() -> None:
        with private_files("none"):
            first_is_open.set()
            second_is_open.wait(10)

    thread = threading.Thread(target=first)
    thread.start()
    first_is_open.wait(10)
    with private_files("read"):
        second_is_open.set()
        thread.join(10)
        assert os.umask(0o027) == 0o027
    assert umask(0o022) == 0o022


@pytest.fixture(scope="module")
def killed_while_spilling(tmp_path_factory: pytest.TempPathFactory, empty_file: Path) -> Path:
    """The folder of a warehouse whose writer was killed. Tests copy it, because the writer takes longer."""
    folder = tmp_path_factory.mktemp("killed")
    warehouse = Warehouse(shutil.copy(empty_file, folder / "w.duckdb"))
    with warehouse.connect() as connection:
        connection.execute("INSERT INTO forgotten BY NAME SELECT 'a' AS phone_hash, 'b' AS salt, now() AS forgotten_at")
    done = subprocess.run([sys.executable, "-c", KILLED_WHILE_SPILLING, warehouse.location], check=False, umask=0)
    assert done.returncode == -signal.SIGKILL
    return folder


@pytest.mark.parametrize("finish", ["load", "maintain", "forget"])
def test_spilled_files_of_a_killed_process_are_private_and_soon_removed(
    tmp_path: Path, killed_while_spilling: Path, finish: str
) -> None:
    shutil.copytree(killed_while_spilling, tmp_path, dirs_exist_ok=True)
    warehouse = Warehouse(tmp_path / "w.duckdb")
    [spilled] = [path for path in tmp_path.iterdir() if path.is_dir()]
    assert any(b"TRANSCRIPTMARK" in path.read_bytes() for path in spilled.iterdir())
    assert stat.S_IMODE(spilled.stat().st_mode) == 0o700
    # A reader keeps its own folder meanwhile.
    with temporary_folder([tmp_path], spilled.name.partition("spill-")[0] + "spill-") as live:
        match finish:
            case "load":
                with warehouse.connect():
                    pass
            case "maintain":
                warehouse.maintain()
            case "forget":
                list(erase_person(Settings.of(warehouse=warehouse.location), "+14155550123"))
        assert not spilled.exists()
        assert Path(live).exists()
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


@pytest.mark.parametrize(("pii", "spills"), [("keep", True), ("hash", False), ("drop", False)])
def test_raw_records_are_not_spilled(pii: str, spills: bool) -> None:
    with Staging(pii, "key") as staging:
        staging._wait(0)  # its thread uses the connection at first
        row = staging._connection.execute("SELECT current_setting('temp_directory')").fetchone()
    assert row is not None
    assert bool(row[0]) == spills


def test_staged_files_are_private(umask: Callable[[int], int]) -> None:
    umask(0o022)
    partition = Partition(DAY, "m")
    with Staging() as staging:
        staging.add(partition, [b'{"call_id":"a"}'])
        staging.complete(partition, FetchResult(1, 1, 0, 0, 0, 1, closed=True))
        [file] = staging.take_ready().files
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert umask(0o022) == 0o022


def test_the_folder_of_a_process_that_was_killed_before_it_locked_it_is_removed(tmp_path: Path) -> None:
    left, fresh = tmp_path / "new-work-a", tmp_path / "new-work-b"
    for folder in (left, fresh):
        folder.mkdir()
        (folder / "lock").touch()
    an_hour_ago = time.time() - 3600
    os.utime(left, (an_hour_ago, an_hour_ago))
    with temporary_folder([tmp_path], "work-"):
        pass
    assert list(tmp_path.iterdir()) == [fresh]  # its process may be about to lock it


def test_maintenance_removes_the_copy_of_a_killed_compaction(tmp_path: Path, empty_file: Path) -> None:
    warehouse = Warehouse(shutil.copy(empty_file, tmp_path / "w.duckdb"))
    for name in ("w.duckdb.compacting", "w.duckdb.compacting.wal"):
        (tmp_path / name).write_bytes(b"TRANSCRIPTMARK")
    warehouse.maintain()
    assert [path.name for path in tmp_path.iterdir()] == ["w.duckdb"]
