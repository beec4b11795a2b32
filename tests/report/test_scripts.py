"""The parts of `make check` about the report: an outdated picture, outdated charts and errors in scripts."""

import importlib.util
import struct
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_an_outdated_picture_is_detected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = script("take_picture")
    monkeypatch.setattr(sys, "argv", ["take_picture.py", "--check"])
    monkeypatch.setattr(picture, "RECORD", tmp_path / "report.inputs")
    assert picture.main() == 1
    picture.RECORD.write_text("an older report\n")
    assert picture.main() == 1
    assert capsys.readouterr().out.splitlines()[-1] == "docs/images/report.png is outdated; run: make picture"
    picture.RECORD.write_text(picture.inputs())
    assert picture.main() == 0


def test_the_picture_in_the_readme_exists_and_is_small() -> None:
    assert "(docs/images/report.png)" in (ROOT / "README.md").read_text()
    content = (ROOT / "docs/images/report.png").read_bytes()
    assert len(content) < 300_000
    assert struct.unpack(">II", content[16:24]) == (1280, 1385)


def test_an_error_in_a_script_is_detected(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    lint = script("lint_page")
    assert lint.main() == 0
    monkeypatch.setattr(lint, "page_script", lambda: "(() => {\nconst forgotten = missing;\n})();\n")
    assert lint.main() == 1
    said = capsys.readouterr().out
    assert "'missing' is not defined" in said
    assert "'forgotten' is declared but never used" in said


def test_outdated_charts_are_detected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    charts = script("compile_charts")
    monkeypatch.setattr(sys, "argv", ["compile_charts.py", "--check"])
    monkeypatch.setattr(charts, "compiled", charts.COMPILED.read_text)
    assert charts.main() == 0
    monkeypatch.setattr(charts, "COMPILED", tmp_path / "charts.json")
    assert charts.main() == 1
    charts.COMPILED.write_text("{}")
    monkeypatch.setattr(charts, "compiled", lambda: "{...}")
    assert charts.main() == 1
    assert capsys.readouterr().out.splitlines()[-1] == "the report's compiled charts are outdated; run: make charts"
