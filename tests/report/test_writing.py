"""The command, the default days, the size of the file, and errors."""

import datetime as dt
import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from synthflow_assets import report as report_module
from synthflow_assets.cli import main
from synthflow_assets.days import last_closed_day
from synthflow_assets.errors import ReportError
from synthflow_assets.report import Span, last_days, write_report
from synthflow_assets.report.content import narrow, readable
from synthflow_assets.report.encoding import pack, script_json
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse
from tests.report.conftest import FIRST, LAST
from tests.report.reading import facts_of, unpacked


def run(*arguments: str, warehouse: Warehouse, code: int = 0) -> str:
    result = CliRunner().invoke(main, ["report", *arguments], env={"SYNTHFLOW_WAREHOUSE": warehouse.location})
    assert result.exit_code == code, result.output
    return result.output.strip()


def test_the_command_writes_to_the_output_and_prints_it(warehouse: Warehouse, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    said = run("--from", "2026-08-11", "--to", "2026-08-20", "--output", "out/calls.html", warehouse=warehouse)
    path = tmp_path / "out" / "calls.html"
    assert said.startswith("out/calls.html  (10 days, 5 agents, ")
    facts = facts_of(path)
    assert (facts["from"], facts["to"], facts["first"]) == ("2026-08-11", "2026-08-20", "2026-08-01")
    assert [one.name for one in path.parent.iterdir()] == ["calls.html"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_default_is_the_last_landed_days(warehouse: Warehouse, tmp_path: Path) -> None:
    run(warehouse=warehouse)
    facts = facts_of(tmp_path / "data" / "report.html")
    usual = last_days(warehouse, Settings.of())
    assert (facts["from"], facts["to"]) == (usual.from_day.isoformat(), usual.to_day.isoformat())


def test_a_report_that_is_too_large_is_written_with_a_warning(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_module, "LARGEST_BYTES", 100_000)
    place, warning = run(warehouse=warehouse).splitlines()
    assert place.startswith("data/report.html  (")
    size = (tmp_path / "data" / "report.html").stat().st_size
    said = (
        f"Warning: the report is {size / 1e6:.1f} MB, and many mail servers reject more than 0.1 MB; choose fewer days "
    )
    assert warning.startswith(said)
    assert "--from" in warning
    assert "--model" in warning


def test_agents_by_id_and_by_name(warehouse: Warehouse, tmp_path: Path) -> None:
    run("--to", LAST.isoformat(), "--model", "agent-3", "--model", "Agent 1", warehouse=warehouse)
    facts = facts_of(tmp_path / "data" / "report.html")
    assert sorted(facts["agents"]) == ["Agent 1", "Agent 3"]
    said = run("--model", "Agent 9", warehouse=warehouse, code=1)
    assert said.startswith("Error: no agent with the id or name 'Agent 9' has been fetched; fetched agents: Agent ")
    assert "\n" not in said


def test_a_mistyped_folder_is_not_created(tmp_path: Path) -> None:
    """It is refused first, even if there is no warehouse."""
    nowhere = Warehouse(str(tmp_path / "none.duckdb"))
    said = run("--output", "nodir/x/d.html", warehouse=nowhere, code=1)
    assert said == "Error: the folder nodir/x does not exist; create it, or name another file"
    assert list(tmp_path.iterdir()) == []


def test_errors_are_one_line(warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with monkeypatch.context() as patch:
        patch.setenv("SYNTHFLOW_REPORT", "file/report.html")
        said = run(warehouse=warehouse, code=1)
    wanted = r"Error: cannot write the report to file/report\.html: [A-Za-z ]+; set SYNTHFLOW_REPORT to another path"
    assert re.fullmatch(wanted, said)
    assert "2026-09-02 is after 2026-09-01" in run(
        "--from", "2026-09-02", "--to", "2026-09-01", warehouse=warehouse, code=2
    )


def test_a_failure_keeps_the_previous_page(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.html"
    write_report(warehouse, Settings.of(), path, FIRST, FIRST)
    before = path.read_bytes()
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(ReportError, match=r"cannot write the report to .*: No space left on device; give another path"):
        write_report(warehouse, Settings.of(), path, FIRST, LAST)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("report_days", "to_day", "wanted"),
    [
        (100, None, Span(FIRST, LAST)),  # none of the last days has landed: the landed days
        (30, dt.date(2026, 9, 5), Span(dt.date(2026, 8, 7), dt.date(2026, 9, 5))),
        (30, dt.date(2026, 8, 10), Span(FIRST, dt.date(2026, 8, 10))),  # no days before the first landed one
        (30, dt.date(2026, 7, 1), Span(dt.date(2026, 7, 1), dt.date(2026, 7, 1))),
    ],
)
def test_the_default_days(
    warehouse: Warehouse, report_days: int, to_day: dt.date | None, wanted: Span, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("synthflow_assets.report.last_closed_day", lambda _: LAST + dt.timedelta(days=200))
    assert last_days(warehouse, Settings.of(report_days=report_days), to_day) == wanted


def test_the_default_days_of_an_empty_warehouse_end_yesterday(empty_file: Path) -> None:
    empty = Warehouse(empty_file)
    yesterday = last_closed_day("UTC")
    found = last_days(empty, Settings.of(report_days=2))
    assert found.to_day in (yesterday, last_closed_day("UTC"))  # midnight may pass
    assert found.days == 2


@pytest.mark.parametrize("values", [[], [0], [255], [256, 1, 0], [65_535], [65_536, 3, 2**32 - 1]])
def test_packed_columns_can_be_unpacked(values: list[int]) -> None:
    column = narrow(np.array(values, np.int64))
    packed = pack({"one": column, "other": narrow(np.array([7, 300]))})
    assert packed["columns"] == [["one", column.itemsize, len(values)], ["other", 2, 2]]
    assert unpacked(packed) == {"one": values, "other": [7, 300]}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (" two\n lines\t", "two lines"),
        ("drawer \u202egpj.exe", "drawer gpj.exe"),  # reverses what follows
        ("\x1b]0;title\x07", "]0;title"),  # controls a terminal
        ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"),
        ("\u200b \u200d", ""),
        ("x" * 200, "x" * 200),
        ("x" * 201, f"{'x' * 99}…{'x' * 99}"),
    ],
)
def test_text_is_shown_on_one_line(text: str, shown: str) -> None:
    assert readable(text) == shown


def test_json_cannot_end_or_start_a_script_element() -> None:
    hostile = {"<!--": "</script>&\u2028\u2029 ]]> \ud83d"}
    written = script_json(hostile)
    assert not set("<>&\u2028\u2029") & set(written)
    assert json.loads(written) == hostile


def test_each_workspace_has_its_own_file() -> None:
    assert Settings.of().report_path == Path("data/report.html")
    assert Settings.of(warehouse_schema="acme", report="out/calls.html").report_path == Path("out/acme/calls.html")
