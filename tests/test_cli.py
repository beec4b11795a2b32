"""The commands that change data: what they refuse, and what they say."""

import datetime as dt
import json
import os
import pty
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import click
import duckdb
import pytest
from click.testing import CliRunner, Result

from synthflow_assets import local
from synthflow_assets.cli import main
from synthflow_assets.days import last_closed_day
from synthflow_assets.interfaces import FetchResult
from synthflow_assets.local import LocalRunError, validate_installed
from synthflow_assets.metrics import replace_metrics
from synthflow_assets.quality import NO_GAPS, find_problems
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.landing import land
from synthflow_assets.warehouse.personal import SuppressionList
from synthflow_assets.warehouse.staging import Partition, Staging

DAY = dt.date(2026, 3, 10)
PHONE = "+14155550123"
AGENT_PHONE = "+14155550100"
LOCATION = "data/warehouse.duckdb"


def run(*command: str, answer: str | None = None) -> Result:
    return CliRunner().invoke(main, list(command), input=answer)


def refusal(*command: str) -> str:
    """The one line with which a command is refused."""
    result = run(*command)
    assert result.exit_code == 1, result.output
    assert result.output.startswith("Error: ")
    assert len(result.output.splitlines()) == 1
    return result.output


@pytest.fixture(scope="module")
def one_call(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a warehouse with one call of PHONE."""
    path = tmp_path_factory.mktemp("one_call") / "w.duckdb"
    record = {
        "call_id": "one",
        "start_time": int(dt.datetime(2026, 3, 10, 12, tzinfo=dt.UTC).timestamp() * 1000),
        "duration": 5,
        "call_status": "completed",
        "lead_phone_number": PHONE,
        "agent_phone_number": AGENT_PHONE,
    }
    with Staging("keep", "", SuppressionList) as staging, Warehouse(path).connect() as connection:
        staging.add(Partition(DAY, "m"), [json.dumps(record).encode()])
        staging.complete(Partition(DAY, "m"), FetchResult(1, 1, 0, 0, 0, 1, closed=True))
        land(connection, staging.take_ready(), "run", dt.datetime(2026, 3, 12, tzinfo=dt.UTC))
    return path


@pytest.fixture
def warehouse(one_call: Path) -> Warehouse:
    """The default warehouse of the working directory, with one call of PHONE."""
    Path(LOCATION).parent.mkdir()
    shutil.copy(one_call, LOCATION)
    return Warehouse(LOCATION)


def calls_in(path: Path) -> int:
    with Warehouse(path).connect(read_only=True) as connection:
        return len(connection.execute("SELECT call_id FROM calls").fetchall())


def test_a_backup_never_replaces_the_warehouse(warehouse: Warehouse) -> None:  # noqa: ARG001
    Path("link.duckdb").symlink_to(LOCATION)
    Path("hard.duckdb").hardlink_to(LOCATION)
    before = Path(LOCATION).read_bytes()
    own = (LOCATION, f"./data/../{LOCATION}", str(Path(LOCATION).resolve()), "link.duckdb", "hard.duckdb")
    Path(f"{LOCATION}.synthflow.forgotten").touch()
    Path("list.duckdb").hardlink_to(f"{LOCATION}.synthflow.forgotten")
    endings = ("wal", "compacting", "compacting.wal", "synthflow.forgotten", "acme.forgotten", "synthflow.pace")
    for path in (*own, *(f"{LOCATION}.{ending}" for ending in endings), "list.duckdb"):
        assert f"{path.removeprefix('./')} belongs to the warehouse itself" in refusal(
            "backup", "--to", path, "--force"
        )
    assert Path(LOCATION).read_bytes() == before


def test_a_backup_is_written_to_a_file_only(warehouse: Warehouse, tmp_path: Path) -> None:  # noqa: ARG001
    Path("folder").mkdir()
    os.mkfifo("fifo")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket")
        for path in ("folder", "fifo", "socket", "/dev/null"):
            assert f"{path} is not a regular file" in refusal("backup", "--to", path, "--force")
    assert Path("/dev/null").is_char_device()
    for path in (".", "/", ""):
        assert "is not the name of a file" in refusal("backup", "--to", path, "--force")
    assert "the folder backpus does not exist" in refusal("backup", "--to", "backpus/b.duckdb")
    assert "the folder dtaa does not exist" in refusal("move", "--to", "dtaa/b.duckdb")
    assert not Path("backpus").exists()
    assert not Path("dtaa").exists()


def test_the_warehouse_is_not_restored_from_itself(warehouse: Warehouse) -> None:
    Path("hard.duckdb").hardlink_to(LOCATION)
    for path in (LOCATION, "hard.duckdb"):
        said = refusal("restore", "--from", path, "--force")
        assert said.endswith(f"{path} is the current warehouse; name another location\n")
    assert "hard.duckdb is the current warehouse" in refusal("move", "--to", "hard.duckdb")
    assert calls_in(Path(warehouse.location)) == 1


@pytest.mark.parametrize(
    "command", [("report", "--output"), ("dbt-sources", "--output"), ("backup", "--force", "--to")]
)
def test_a_command_replaces_only_what_it_wrote(warehouse: Warehouse, command: tuple[str, ...]) -> None:
    """A mistyped path must not cost a key, a backup or a device."""
    assert run(*command, "first").exit_code == 0
    assert run(*command, "first").exit_code == 0
    Path("empty").touch()
    assert run(*command, "empty").exit_code == 0
    Path(".env").write_text("OTHER=key\n")
    Path("data.bin").write_bytes(b"\xff" * 500)
    policy = '<meta http-equiv="Content-Security-Policy" content="default-src self">'
    Path("page.html").write_text(f"<!doctype html><html><head>{policy}<title>Theirs</title>")
    shutil.copy(LOCATION, "other.duckdb")
    files = [".env", "data.bin", "page.html", *(["other.duckdb"] if command[0] != "backup" else [])]
    before = [Path(name).read_bytes() for name in files]
    for name in files:
        said = "is not a report" if command[0] == "report" else "was not written by this command"
        assert f"{name} {said}" in refusal(*command, name)
    assert [Path(name).read_bytes() for name in files] == before
    os.mkfifo("fifo")
    Path("link").symlink_to("nowhere")
    for name in ("fifo", "/dev/null", "link"):
        assert f"{name} is not a regular file" in refusal(*command, name)
    assert "belongs to the warehouse" in run(*command, LOCATION).output
    assert calls_in(Path(warehouse.location)) == 1


@pytest.mark.parametrize("path", [".env", "fifo", LOCATION, f"{LOCATION}.wal", "."])
def test_the_setting_of_the_report_replaces_nothing_else(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    Path(".env").write_text("OTHER=key\n")
    os.mkfifo("fifo")
    monkeypatch.setenv("SYNTHFLOW_REPORT", path)
    assert "set SYNTHFLOW_REPORT to another path" in refusal("report")
    assert Path(".env").read_text() == "OTHER=key\n"
    assert Path("fifo").is_fifo()
    assert calls_in(Path(warehouse.location)) == 1


def test_an_existing_backup_is_replaced_only_if_forced(warehouse: Warehouse, tmp_path: Path) -> None:
    path = tmp_path / "backup.duckdb"
    assert run("backup", "--to", str(path)).exit_code == 0
    with warehouse.connect() as connection:
        connection.execute("DELETE FROM calls")
    assert "exists; name another file, or add --force" in refusal("backup", "--to", str(path))
    assert calls_in(path) == 1
    assert run("backup", "--to", str(path), "--force").exit_code == 0
    assert calls_in(path) == 0


def test_a_backup_replaces_no_other_database(warehouse: Warehouse) -> None:  # noqa: ARG001
    """`--force` replaced any DuckDB file."""
    with duckdb.connect("other.duckdb") as connection:
        # Migration tools have a table of this name too.
        connection.execute("CREATE TABLE precious AS SELECT 1 AS one; CREATE TABLE schema_version (version INTEGER)")
    Path("damaged.duckdb").write_bytes(b"\0" * 8 + b"DUCK" + b"\xff" * 5000)
    before = {name: Path(name).read_bytes() for name in ("other.duckdb", "damaged.duckdb")}
    said = refusal("backup", "--to", "other.duckdb", "--force")
    assert said == "Error: other.duckdb was not written by this command; name another file\n"
    assert "damaged.duckdb cannot be opened (" in refusal("backup", "--to", "damaged.duckdb", "--force")
    assert {name: Path(name).read_bytes() for name in before} == before


@pytest.mark.parametrize(
    ("statement", "schema", "others"),
    [
        ("CREATE TABLE synthflow.orders (id INTEGER)", "synthflow", "synthflow.orders"),
        ("CREATE VIEW orders AS SELECT 1", "synthflow", "main.orders"),
        ("CREATE MACRO orders(n) AS n + 1", "synthflow", "main.orders"),
        ("CREATE SEQUENCE synthflow.orders", "synthflow", "synthflow.orders"),
        ("CREATE TYPE orders AS ENUM ('open')", "synthflow", "main.orders"),
        ("", "acme", "acme.actions_daily, acme.agents, acme.attempts_daily ..."),
    ],
)
def test_a_backup_replaces_no_file_with_other_tables(
    warehouse: Warehouse,  # noqa: ARG001
    statement: str,
    schema: str,
    others: str,
) -> None:
    """They were lost."""
    shutil.copy(LOCATION, "copy.duckdb")
    with Warehouse("copy.duckdb", schema).connect():
        pass
    with duckdb.connect("copy.duckdb") as connection:
        connection.execute(statement or "SELECT 1")
    before = Path("copy.duckdb").read_bytes()
    said = refusal("backup", "--to", "copy.duckdb", "--force")
    assert said == f"Error: copy.duckdb also holds {others}, which would be lost; name another file\n"
    assert Path("copy.duckdb").read_bytes() == before


def test_a_backup_is_not_written_beside_the_log_of_another_database(warehouse: Warehouse) -> None:  # noqa: ARG001
    """DuckDB applied the log to the backup."""
    shutil.copy(LOCATION, "killed.duckdb")
    for path in ("killed.duckdb", "absent.duckdb"):
        Path(f"{path}.wal").write_bytes(b"log")
        assert f"{path}.wal exists, so {path} is open or was not closed" in refusal("backup", "--to", path, "--force")
        assert Path(f"{path}.wal").read_bytes() == b"log"


def test_a_backup_removes_no_file_beside_it(warehouse: Warehouse) -> None:  # noqa: ARG001
    Path("backup.duckdb.unfinished").write_text("mine")
    assert run("backup", "--to", "backup.duckdb").exit_code == 0
    assert sorted(one.name for one in Path().glob("*backup*")) == ["backup.duckdb", "backup.duckdb.unfinished"]
    assert Path("backup.duckdb.unfinished").read_text() == "mine"


def test_a_name_that_the_terminal_cannot_show_is_no_traceback(warehouse: Warehouse) -> None:  # noqa: ARG001
    said = CliRunner(charset="latin-1").invoke(main, ["report", "--model", "Robot \U0001f916"])
    assert said.exit_code == 1
    assert "Error: no agent with the id or name 'Robot ?' has been fetched" in said.output


def test_a_loop_of_links_or_a_pipe_is_one_line(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    """DuckDB would wait for a pipe for ever."""
    Path("loop").symlink_to("loop")
    os.mkfifo("fifo")
    assert "loop is not a regular file" in refusal("backup", "--to", "loop")
    assert "loop" in refusal("move", "--to", "loop")
    assert "fifo is not a regular file" in refusal("restore", "--from", "fifo", "--force")
    assert run("move", "--to", " ").exit_code == 2
    for name in ("SYNTHFLOW_REPORT", "SYNTHFLOW_WAREHOUSE"):
        with monkeypatch.context() as patch:
            patch.setenv(name, "loop")
            assert "loop" in refusal("report", "--to", "2026-03-10")
    monkeypatch.setenv("SYNTHFLOW_WAREHOUSE", "fifo")
    assert "fifo is not a regular file" in refusal("maintain")


def test_maintain_does_not_create_the_warehouse_that_it_was_to_clean(
    warehouse: Warehouse,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of a misspelt path, it said that all was removed."""
    monkeypatch.setenv("SYNTHFLOW_WAREHOUSE", "other.duckdb")
    assert "other.duckdb holds no tables; check SYNTHFLOW_WAREHOUSE" in refusal("maintain")
    assert not Path("other.duckdb").exists()


@pytest.mark.parametrize(
    ("phone", "says"),
    [
        ("1" * 18, "not a phone number"),
        ("\udcff", "not a phone number"),
        ("5555", "not a phone number"),
        (AGENT_PHONE, "an agent's own number"),
    ],
)
def test_forget_validates_before_it_asks(warehouse: Warehouse, phone: str, says: str) -> None:  # noqa: ARG001
    assert says in refusal("forget", "--phone", phone)


def test_forget_needs_a_warehouse() -> None:
    assert LOCATION in refusal("forget", "--phone", PHONE)
    assert not Path("data").exists()


def test_forget_says_how_much_it_erases_and_asks(warehouse: Warehouse) -> None:
    declined = run("forget", "--phone", PHONE, answer="n\n")
    assert declined.exit_code == 1
    assert "The number occurs in 1 calls and 0 rejected records." in declined.output
    assert warehouse.read_frame("calls")["lead_phone_number"].tolist() == [PHONE]
    erased = run("forget", "--phone", PHONE, answer="y\n")
    assert "1 calls: personal columns set to NULL" in erased.output
    assert warehouse.read_frame("calls")["lead_phone_number"].isna().all()


def test_forget_says_that_a_number_occurs_nowhere_and_is_on_the_list(warehouse: Warehouse) -> None:
    said = run("forget", "--phone", "+14155550199", "--yes").output
    assert "This number occurs in no call and in no rejected record" in said
    assert "on the suppression list: later fetches drop this person's data" in said
    with warehouse.connect(read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM forgotten").fetchone() == (1,)


def test_maintain_writes_the_report_again_and_restore_names_the_command(warehouse: Warehouse) -> None:
    """Until the next run, it showed calls that the warehouse no longer held, or lacked those that it held again."""
    path = Settings.of().report_path
    assert run("backup", "--to", "backup.duckdb").exit_code == 0
    assert "report" not in run("restore", "--from", "backup.duckdb", "--force").output
    assert run("report").exit_code == 0
    os.utime(path, (0, 0))
    # Perhaps into another warehouse, to try out the backup.
    said = run("restore", "--from", "backup.duckdb", "--force").output
    assert f"{path} is older than the restored tables; `synthflow-assets report` writes it again" in said
    assert path.stat().st_mtime == 0
    assert f"The report was written again: {path}" in run("maintain").output
    assert path.stat().st_mtime > 0
    assert calls_in(Path(warehouse.location)) == 1


def test_forget_writes_the_report_again_if_there_is_one(warehouse: Warehouse) -> None:
    """The report would be older than the metrics, which `no_gaps` reports until the next run."""
    with warehouse.connect() as connection:
        replace_metrics(connection, [DAY], Settings.of())

    def gaps() -> list[str]:
        with warehouse.connect(read_only=True) as connection:
            return [str(one) for one in find_problems(connection, NO_GAPS, [DAY], Settings.of(), DAY)]

    assert run("report", "--from", "2026-03-10", "--to", "2026-03-10").exit_code == 0
    said = run("forget", "--phone", PHONE, "--yes")
    assert "The report was written again" in said.output
    assert gaps() == []
    Settings.of().report_path.write_text("notes")
    said = run("forget", "--phone", PHONE, "--yes")
    assert said.exit_code == 0
    [warning] = said.stderr.splitlines()
    assert warning.startswith("Warning: the report shows the earlier numbers until the next run: ")


def test_records_without_content_are_to_be_fetched_again(warehouse: Warehouse) -> None:
    """`rejects --retry` cannot decode them, so advice to use it would lead nowhere."""
    hint = "Records without content are not decoded again; after an upgrade, fetch their days again"
    insert = "INSERT INTO call_rejects VALUES ($1, 'm', 'call_id is missing', $2, now())"
    for record, is_told in (("{}", False), (None, True)):
        with warehouse.connect() as connection:
            connection.execute(insert, [DAY, record])
        assert (hint in run("rejects").output) is is_told


def test_a_report_to_a_future_day_ends_at_the_last_landed_day(warehouse: Warehouse) -> None:  # noqa: ARG001
    tomorrow = last_closed_day("UTC") + dt.timedelta(days=2)
    said = run("report", "--to", tomorrow.isoformat(), "--from", "2026-03-09")
    assert said.exit_code == 0, said.output
    assert "(2 days, 1 agents" in said.output
    assert Path(Settings.of().report).exists()


@pytest.mark.parametrize("value", ["yesterday", "2019-12-31", "2026-02-30"])
def test_a_bad_day_is_refused_with_its_value(value: str) -> None:
    result = run("report", "--to", value)
    assert result.exit_code == 2
    assert value in result.output


def test_a_bad_fault_is_refused_with_its_value() -> None:
    assert "'often', not a number" in run("sandbox", "--fault", "reset=often").output
    assert "unknown fault resets" in run("sandbox", "--fault", "resets=1").output


def test_a_missing_extra_is_one_line() -> None:
    with pytest.raises(LocalRunError, match=r"no_such_module not found; .*pip install 'synthflow-assets\[sandbox\]'"):
        validate_installed("click", "no_such_module")


def test_every_command_and_option_has_help() -> None:
    assert "..." not in run("--help").output.partition("Commands:")[2]  # a first sentence that does not fit
    for name, command in main.commands.items():
        assert command.help, name
        for option in command.params:
            assert isinstance(option, click.Option), (name, option.name)
            assert option.help, (name, option.name)


def test_a_dagster_that_does_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ignores = tmp_path / "ignores"
    stubborn = (
        "import pathlib, signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); "
        f"pathlib.Path({str(ignores)!r}).touch(); time.sleep(60)"
    )
    monkeypatch.setattr(local, "_dg", lambda *_: [sys.executable, "-c", stubborn])
    monkeypatch.setattr(local, "_STOP_SECONDS", 0.5)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)}
    has_ended = threading.Event()

    def stop() -> None:
        while not ignores.exists() and not has_ended.wait(0.05):
            pass
        if not has_ended.is_set():
            os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop, daemon=True).start()
    try:
        assert local._run_dev(tmp_path, "127.0.0.1", 9, dict(os.environ), tmp_path) == -signal.SIGKILL
    finally:
        has_ended.set()
        for number, handler in handlers.items():
            signal.signal(number, handler)


def test_dev_ends_with_its_terminal_if_make_does_not_forward_sighup(tmp_path: Path) -> None:
    """`make` is the first process of a terminal that runs only `make dev`. It waits for its child processes."""
    started = tmp_path / "pid"
    server = f"import os, pathlib, time; pathlib.Path({str(started)!r}).write_text(f'{{os.getpid()}}'); time.sleep(90)"
    dev = (
        "import os, sys; from pathlib import Path; from synthflow_assets import local; "
        f"local._dg = lambda *_: [sys.executable, '-c', {server!r}]; "
        "local._run_dev(Path(), '127.0.0.1', 9, dict(os.environ), Path())"
    )
    main_end, terminal = pty.openpty()
    # The first terminal that the first process of a session opens becomes its controlling terminal.
    like_make = f'exec < {os.ttyname(terminal)} > {os.ttyname(terminal)} 2>&1; trap : HUP; "$@"; exit'
    command = ["sh", "-c", like_make, "make", sys.executable, "-c", dev]
    with subprocess.Popen(command, start_new_session=True) as made:
        while not (started.exists() and started.read_text()):
            assert made.poll() is None
            time.sleep(0.1)
        os.close(terminal)
        os.close(main_end)
        try:
            made.wait(20)
        finally:
            made.kill()
    with pytest.raises(ProcessLookupError):
        os.kill(int(started.read_text()), 0)
