"""An erasure is permanent: after a full disk, a restore, a move, and a removed file."""

import datetime as dt
import os
import random
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner

from synthflow_assets.api.client import SynthflowClient
from synthflow_assets.cli import main
from synthflow_assets.erasure import erase_person, maintain, move_warehouse, restore_backup
from synthflow_assets.errors import WarehouseUnusableError
from synthflow_assets.loading import load_calls, resolve_agents
from synthflow_assets.sandbox.config import DEFAULT_API_KEY
from synthflow_assets.sandbox.server import Sandbox
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.copying import back_up
from synthflow_assets.warehouse.export import (
    export_days,
    outdated_exports,
    record_exports,
    recorded_exports,
    rows_written,
)
from tests.conftest import DAY
from tests.warehouse.test_personal_data import PERSON, RECORDS, THEIRS, load, names_of, record

PERSON_BYTES = b"14155550123"
LANDED = len(RECORDS) - 1  # one is rejected
OTHER = "+14155550999"


@contextmanager
def small_disk(largest_file_bytes: int) -> Iterator[None]:
    """Limit the size of files, like a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(scope="module")
def large_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("large") / "w.duckdb"
    noise = random.Random(1)
    long = [record(f"long{n}", transcript=f"human: {noise.randbytes(2500).hex()}") for n in range(500)]
    load(Settings.of(warehouse=str(file)), RECORDS + long)
    return file


@pytest.fixture
def large_warehouse(large_file: Path, tmp_path: Path) -> Settings:
    return Settings.of(warehouse=str(shutil.copy(large_file, tmp_path)))


@pytest.mark.parametrize("finish", ["maintain", "load", "forget"])
def test_on_a_full_disk_forget_says_what_is_left_and_a_later_run_completes_it(
    tmp_path: Path, large_warehouse: Settings, finish: str, start_sandbox: Callable[..., Sandbox]
) -> None:
    settings = large_warehouse
    file, said = Path(settings.warehouse), list[str]()
    with (
        small_disk(file.stat().st_size // 2),
        pytest.raises(WarehouseUnusableError, match="cannot be rewritten: file too large") as caught,
    ):
        said.extend(erase_person(settings, PERSON))
    assert "The data is erased from the tables" in str(caught.value)
    assert "run synthflow-assets maintain" in str(caught.value)
    assert {call_id for call_id, name in names_of(settings).items() if name is None} == THEIRS
    # The list is saved first, in case the warehouse is removed to free the disk.
    assert [path.name for path in tmp_path.iterdir() if path.suffix not in (".duckdb", ".wal")] == [
        "w.duckdb.synthflow.forgotten"
    ]
    assert PERSON_BYTES in file.read_bytes()
    match finish:
        case "maintain":
            maintain(settings, Warehouse(settings.warehouse))
        case "forget":
            list(erase_person(settings, OTHER))
        case "load":
            sandbox = start_sandbox(agents=1, calls_per_day=2, same_volume=True)
            with SynthflowClient(DEFAULT_API_KEY, sandbox.url) as client:
                agents = resolve_agents(client, settings).agents
                list(load_calls(client, Warehouse(settings.warehouse), settings, agents, [DAY], log=print))
    assert PERSON_BYTES not in file.read_bytes()
    assert Warehouse(settings.warehouse).finish_erasures() is False


def test_an_erasure_that_failed_says_that_nothing_is_erased(large_warehouse: Settings) -> None:
    settings = large_warehouse
    with small_disk(0), pytest.raises(WarehouseUnusableError, match=r"file too large\. The tables are unchanged"):
        list(erase_person(settings, PERSON))
    assert names_of(settings)["theirs"] == "NAMEMARK"
    list(erase_person(settings, PERSON))
    assert names_of(settings)["theirs"] is None


BackedUp = Callable[..., tuple[Settings, Path]]


@pytest.fixture(scope="module")
def backed_up_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Returns a folder with a warehouse from which a person was erased, and a backup of the time before."""

    @cache
    def make(pii: str) -> Path:
        folder = tmp_path_factory.mktemp(pii)
        settings = Settings.of(warehouse=str(folder / "w.duckdb"), pii=pii, pii_key="k")
        load(settings, RECORDS)
        back_up(Warehouse(settings.warehouse), folder / "backup.duckdb")
        said = list(erase_person(settings, PERSON))
        assert any(line.startswith("Backups still hold") for line in said)
        return folder

    return make


@pytest.fixture
def backed_up(tmp_path: Path, backed_up_once: Callable[[str], Path]) -> BackedUp:
    """Copies such a folder; returns the settings of the warehouse, and the backup."""

    def copy(pii: str = "keep", **values: Any) -> tuple[Settings, Path]:
        shutil.copytree(backed_up_once(pii), tmp_path, dirs_exist_ok=True)
        usual = {"warehouse": str(tmp_path / "w.duckdb"), "export_dir": str(tmp_path / "exports"), "pii_key": "k"}
        return Settings.of(**usual, pii=pii, **values), tmp_path / "backup.duckdb"

    return copy


def test_an_export_on_a_full_disk_is_told_as_such(backed_up: BackedUp) -> None:
    settings, _ = backed_up()
    with (
        Warehouse(settings.warehouse).connect() as connection,
        small_disk(0),
        pytest.raises(WarehouseUnusableError, match=r"cannot export to .*: file too large"),
    ):
        export_days(connection, "calls", [DAY], Path(str(settings.export_dir)))


@pytest.mark.parametrize(
    ("pii", "target"),
    [
        ("keep", "replaced"),
        ("hash", "removed"),
        ("keep", "elsewhere with a list of its own"),
        ("hash", "elsewhere with a list of its own"),
    ],
)
def test_erased_people_stay_erased_after_a_restore(backed_up: BackedUp, tmp_path: Path, pii: str, target: str) -> None:
    settings, backup = backed_up(pii=pii)
    before = backup.read_bytes()
    if target == "removed":
        Path(settings.warehouse).unlink()
    if target.startswith("elsewhere"):
        # The lists have different salts. The backup itself is made after an erasure.
        backup.unlink()
        load(settings, RECORDS)
        back_up(Warehouse(settings.warehouse), backup)
        before = backup.read_bytes()
        settings = settings.model_copy(update={"warehouse": str(tmp_path / "elsewhere.duckdb")})
        Warehouse(settings.warehouse).compact()
        list(erase_person(settings, OTHER))
    else:
        erased_calls = THEIRS if pii == "keep" else {"theirs", "incoming"}
    copied = restore_backup(settings, backup, replace=target == "replaced")
    names = names_of(settings)
    if target.startswith("elsewhere"):
        assert set(names.values()) == {None}
    else:
        assert {call_id for call_id, name in names.items() if name is None} == erased_calls
        assert copied.erased_calls == len(erased_calls)
        assert Warehouse(settings.warehouse).read_frame("call_rejects")["record"].isna().all()
    assert {one.name: one.rows for one in copied.tables}["calls"] == LANDED
    assert PERSON_BYTES not in Path(settings.warehouse).read_bytes()
    # The list still works: the next fetch does not bring the person back.
    load(settings, RECORDS)
    assert names_of(settings)["mentioned"] is None
    assert backup.read_bytes() == before


def test_erased_people_stay_erased_after_a_move(backed_up: BackedUp, tmp_path: Path) -> None:
    settings, _ = backed_up()
    moved = settings.model_copy(update={"warehouse": str(tmp_path / "moved.duckdb")})
    move_warehouse(settings, moved)
    Path(moved.warehouse).unlink()
    load(moved, RECORDS)
    assert names_of(moved)["theirs"] is None


def test_exports_are_outdated_after_a_restore(tmp_path: Path) -> None:
    """They were written from rows that the backup does not have."""
    settings, backup = Settings.of(warehouse=str(tmp_path / "w.duckdb")), tmp_path / "backup.duckdb"
    load(settings, RECORDS)
    folder, warehouse = tmp_path / "exports", Warehouse(settings.warehouse)

    def outdated() -> list[tuple[str, dt.date]]:
        with warehouse.connect() as connection:
            found = outdated_exports(connection, folder, recorded_exports(connection, folder))
        return [(one.table, one.day) for one in found if one.exists]

    with warehouse.connect() as connection:
        record_exports(connection, folder, {("calls", DAY): rows_written(connection)["calls", DAY]})
    assert outdated() == []
    back_up(warehouse, backup)
    restore_backup(settings, backup, replace=True)
    assert outdated() == [("calls", DAY)]


def test_the_command_restores_into_a_warehouse_in_use_only_by_force(
    backed_up: BackedUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, backup = backed_up()
    monkeypatch.setenv("SYNTHFLOW_WAREHOUSE", settings.warehouse)
    said = CliRunner().invoke(main, ["restore", "--from", str(backup)])
    assert (said.exit_code, said.output.strip()) == (
        1,
        (
            f"Error: {settings.warehouse} already holds {LANDED} rows of calls; "
            "add --force to replace them with the backup"
        ),
    )
    said = CliRunner().invoke(main, ["restore", "--from", str(backup), "--force"])
    assert said.exit_code == 0, said.output
    erased = f"{len(THEIRS)}  calls: personal columns set to NULL, because the person was erased"
    assert erased in said.output
    assert "2  entries of the suppression list, merged" in said.output


def test_a_backup_is_only_read_even_if_an_earlier_version_made_it(backed_up: BackedUp) -> None:
    settings, backup = backed_up()
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{backup}' AS old; USE old.synthflow")
        connection.execute("ALTER TABLE forgotten DROP COLUMN rewritten_at; DROP TABLE call_recordings")
        connection.execute("UPDATE schema_version SET version = 6")
    before = backup.read_bytes()
    os.utime(backup, (1, 1))
    restore_backup(settings, backup, replace=True)
    assert (backup.read_bytes(), backup.stat().st_mtime) == (before, 1)
    assert names_of(settings)["theirs"] is None
    assert Warehouse(settings.warehouse).read_frame("call_recordings").empty


def test_recordings_of_erased_people_do_not_come_back_with_a_restore(backed_up: BackedUp, tmp_path: Path) -> None:
    settings, backup = backed_up(recordings=str(tmp_path / "audio"))
    audio = tmp_path / "audio" / str(DAY) / "m" / "theirs.wav"
    audio.parent.mkdir(parents=True)
    audio.write_bytes(b"restored from a backup of the folder")
    restore_backup(settings, backup, replace=True)
    assert not audio.exists()


def test_maintenance_erases_people_from_an_older_file_that_was_copied_back(backed_up: BackedUp) -> None:
    settings, backup = backed_up()
    Path(settings.warehouse).write_bytes(backup.read_bytes())
    assert names_of(settings)["theirs"] == "NAMEMARK"
    maintain(settings, Warehouse(settings.warehouse))
    assert {call_id for call_id, name in names_of(settings).items() if name is None} == THEIRS
    assert PERSON_BYTES not in Path(settings.warehouse).read_bytes()


def test_a_copy_of_the_list_that_cannot_be_read_is_an_error(backed_up: BackedUp, tmp_path: Path) -> None:
    settings, _ = backed_up()
    Path(settings.warehouse).unlink()
    copy = tmp_path / "w.duckdb.synthflow.forgotten"
    assert copy.stat().st_mode & 0o777 == 0o600
    assert PERSON_BYTES not in copy.read_bytes()
    copy.write_text("phone_hash,salt,forgotten_at\na,b,c\n")
    with pytest.raises(WarehouseUnusableError, match=r"the copy of the suppression list, .* cannot be read"):
        load(settings, RECORDS)


def test_the_copy_of_the_list_of_another_folder_is_not_read(tmp_path: Path) -> None:
    """DuckDB takes a star in a path for a pattern."""
    for folder, phone in (("calls", PERSON), ("c*", OTHER)):
        settings = Settings.of(warehouse=str(tmp_path / folder / "w.duckdb"))
        load(settings, RECORDS)
        list(erase_person(settings, phone))
    Path(settings.warehouse).unlink()
    load(settings, RECORDS)
    assert names_of(settings)["theirs"] == "NAMEMARK"
    with Warehouse(settings.warehouse).connect(read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM forgotten").fetchall() == [(1,)]
