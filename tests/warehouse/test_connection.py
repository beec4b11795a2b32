"""Connections wait for the lock and name its holder, leak nothing, and report unusable locations at once."""

import struct
import subprocess
import sys
import time
from functools import reduce
from operator import xor
from pathlib import Path

import duckdb
import pytest

from synthflow_assets.errors import WarehouseLockedError, WarehouseUnusableError
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.combined import CombinedWarehouse
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.engines.base import unusable
from tests.conftest import THREADS_VARIABLE

HOLD = """
import duckdb, sys, time
connection = duckdb.connect(sys.argv[1])
print("held", flush=True)
time.sleep(float(sys.argv[2]))
"""

FORMAT = "SELECT tags['storage_version'] FROM duckdb_databases() WHERE database_name = 'warehouse'"


def hold(path: Path, seconds: float) -> "subprocess.Popen[str]":
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(path), str(seconds)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    holder.stdout.close()
    return holder


def test_a_held_file_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    said: list[str] = []
    holder = hold(path, 2.5)
    with Warehouse(str(path), on_wait=said.append).connect() as connection:
        assert connection.execute("SELECT count(*) FROM synthflow.calls").fetchone() == (0,)
    holder.wait()
    assert len(said) == 1
    assert f"(process {holder.pid})" in said[0]


@pytest.mark.parametrize("read_only", [True, False])
def test_the_first_statement_may_be_a_relation(tmp_path: Path, read_only: bool) -> None:
    warehouse = Warehouse(str(tmp_path / "w.duckdb"))
    with warehouse.connect():
        pass
    with warehouse.connect(read_only=read_only) as connection:
        assert connection.sql("SELECT count(*) FROM calls").fetchall() == [(0,)]


def test_queries_use_all_threads(empty_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only opening uses one."""
    monkeypatch.setenv(THREADS_VARIABLE, "3")
    warehouse = Warehouse(empty_file)
    for opened in (warehouse.connect(read_only=True), CombinedWarehouse({"acme": warehouse}).connect()):
        with opened as connection:
            assert connection.execute("SELECT current_setting('threads')").fetchone() == (3,)


def test_a_short_wait_is_not_logged(tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    said: list[str] = []
    holder = hold(path, 0.1)
    with Warehouse(str(path), on_wait=said.append).connect():
        pass
    holder.wait()
    assert said == []


def test_after_the_limit_the_holder_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "w.duckdb"
    holder = hold(path, 30)
    try:
        started = time.monotonic()
        with (
            pytest.raises(WarehouseLockedError, match=rf"process {holder.pid}\).*Close that program"),
            Warehouse(str(path), lock_wait_seconds=2.5).connect(),
        ):
            pass
        assert time.monotonic() - started < 20
    finally:
        holder.kill()
        holder.wait()
    assert [record.getMessage() for record in caplog.records] == [
        f"{path} is held by {Path(sys.executable).resolve().name} (process {holder.pid}); waiting"
    ]


def test_no_connection_is_leaked_after_an_exception(tmp_path: Path) -> None:
    warehouse = Warehouse(str(tmp_path / "w.duckdb"))

    def fail() -> None:
        with warehouse.connect():
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        fail()
    hold(tmp_path / "w.duckdb", 0).wait()  # another process gets the lock


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda folder: folder, "is a directory|cannot be opened"),
        (lambda folder: folder / "text.duckdb", "not a DuckDB file"),
        (lambda folder: folder / "text.duckdb" / "below.duckdb", "cannot be created|not a directory"),
        (lambda _: Path("/proc/nowhere/w.duckdb"), "cannot be created"),
    ],
)
def test_unusable_locations_are_reported_at_once(tmp_path: Path, make: "object", says: str) -> None:
    (tmp_path / "text.duckdb").write_text("not a database " * 1000)
    place = make(tmp_path)  # type: ignore[operator]
    started = time.monotonic()
    with (
        pytest.raises(WarehouseUnusableError, match=f"(?i)SYNTHFLOW_WAREHOUSE.*|{says}") as caught,
        Warehouse(str(place)).connect(),
    ):
        pass
    assert time.monotonic() - started < 15  # a lock would be waited for five minutes
    assert "SYNTHFLOW_WAREHOUSE" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_of_a_later_duckdb_is_an_error_that_says_how_to_copy_it(tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    with Warehouse(str(path)).connect():
        pass
    content = bytearray(path.read_bytes())
    content[12:20] = struct.pack("<Q", 9999)  # the format's number, and who made the file
    content[52:60] = b"v9.1.0\0\0"
    words = struct.unpack("<511Q", content[8:4096])
    # DuckDB's checksum of a block.
    content[:8] = struct.pack("<Q", reduce(xor, (word * 0xBF58476D1CE4E5B9 % 2**64 for word in words), 5381))
    path.write_bytes(content)
    for read_only in (True, False):
        with (
            pytest.raises(WarehouseUnusableError, match=r"created by DuckDB 9\.1\.0, and the installed .*backup --to"),
            Warehouse(str(path)).connect(read_only=read_only),
        ):
            pass


def test_messages_of_duckdb_end_with_one_full_stop() -> None:
    assert str(unusable("w.duckdb", duckdb.IOException("IO Error: It broke."))).endswith(
        ": It broke. Check the location (SYNTHFLOW_WAREHOUSE)"
    )


def test_a_new_file_has_the_format_of_the_oldest_duckdb_allowed_and_an_old_one_keeps_its_own(tmp_path: Path) -> None:
    def formats(path: Path) -> tuple[str, str]:
        """Return the format of the file as it is, and after it is rewritten."""
        with Warehouse(str(path)).connect() as connection:
            [(before,)] = connection.execute(FORMAT).fetchall()
        Warehouse(str(path)).compact()
        with Warehouse(str(path)).connect() as connection:
            [(after,)] = connection.execute(FORMAT).fetchall()
        return before, after

    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{tmp_path}/old.duckdb' (STORAGE_VERSION 'v1.0.0')")
    assert formats(tmp_path / "new.duckdb") == ("v1.5.0+", "v1.5.0+")
    assert formats(tmp_path / "old.duckdb") == ("v1.0.0+", "v1.5.0+")


def test_reading_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(WarehouseUnusableError, match="materialize synthflow/calls first"):
        Warehouse(str(tmp_path / "none.duckdb")).read_frame("calls")
    assert not (tmp_path / "none.duckdb").exists()


def test_schema_and_file_may_have_the_same_name(tmp_path: Path) -> None:
    with Warehouse(str(tmp_path / "synthflow.duckdb")).connect() as connection:
        assert connection.execute("SELECT count(*) FROM synthflow.calls").fetchone() == (0,)


def test_the_default_file_opens_directly(tmp_path: Path) -> None:
    file = tmp_path / Path(str(Settings.model_fields["warehouse"].default)).name
    with Warehouse(str(file)).connect():
        pass
    with duckdb.connect(str(file), read_only=True) as connection:
        names = connection.execute("SELECT table_name FROM information_schema.tables").fetchall()
        assert {name for (name,) in names} >= {"calls", "call_duration_daily", "call_actions", "call_duration_weekly"}
        for (name,) in names:
            assert connection.sql(f"FROM synthflow.{name}").fetchall() is not None
        summary = connection.sql("SELECT calls FROM synthflow.duration_summary('2026-11-01', '2026-11-30')")
        assert summary.fetchall() == [(0,)]


def test_a_quote_in_the_path_is_only_a_quote(tmp_path: Path) -> None:
    with Warehouse(str(tmp_path / "o'neil.duckdb")).connect():
        pass
    assert (tmp_path / "o'neil.duckdb").exists()


def test_a_request_clock_that_cannot_be_written_is_reported_in_one_line(tmp_path: Path) -> None:
    place = Warehouse(str(tmp_path / "warehouse.duckdb"))
    (tmp_path / "warehouse.duckdb.synthflow.pace").mkdir()
    with pytest.raises(WarehouseUnusableError, match="make its folder writable"), place.request_clock():
        pass
