"""A tag is released only if version and changelog match it, and the workflow runs existing commands."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
CHANGELOG = """# Changelog

## [0.2.0] - 2027-01-15

### Added

- A thing.

## [0.1.0] - 2026-12-01

First release.
"""


def notes(
    folder: Path, tag: str, *, version: str = "0.2.0", changelog: str = CHANGELOG
) -> subprocess.CompletedProcess[str]:
    """Run the script in a checkout with this version and changelog."""
    (folder / "scripts").mkdir()
    script = folder / "scripts" / "release_notes.py"
    script.write_text((ROOT / "scripts" / "release_notes.py").read_text("utf-8"), "utf-8")
    (folder / "pyproject.toml").write_text(f'[project]\nversion = "{version}"\n')
    (folder / "CHANGELOG.md").write_text(changelog)
    return subprocess.run([sys.executable, str(script), tag], capture_output=True, text=True, check=False)


def test_the_notes_are_the_entry_of_the_version(tmp_path: Path) -> None:
    assert notes(tmp_path, "v0.2.0").stdout == "### Added\n\n- A thing.\n"


@pytest.mark.parametrize(
    ("tag", "version", "changelog", "said"),
    [
        ("v0.2.0", "0.1.0", CHANGELOG, "pyproject.toml has version 0.1.0: tag v0.1.0"),
        ("v0.3.0", "0.3.0", CHANGELOG, "no entry [0.3.0]"),
        ("v0.2.0", "0.2.0", CHANGELOG.replace("2027-01-15", "Unreleased"), "with the release date"),
        ("v0.1.0", "0.1.0", CHANGELOG.replace("First release.", ""), "is empty"),
    ],
)
def test_a_mismatch_is_reported_in_one_line(tmp_path: Path, tag: str, version: str, changelog: str, said: str) -> None:
    result = notes(tmp_path, tag, version=version, changelog=changelog)
    assert result.returncode == 1
    assert result.stdout == ""
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_the_workflow_runs_existing_commands() -> None:
    """Steps call the scripts, targets and workflows of this checkout, and publishing waits for tests and build."""
    jobs = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text("utf-8"))["jobs"]
    commands = " ".join(step.get("run", "") for job in jobs.values() for step in job.get("steps", []))
    targets = re.findall(r"make ([a-z-]+)", commands)
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert targets == ["wheel"]
    assert all(f"\n{target}:" in makefile for target in targets)
    assert all((ROOT / script).is_file() for script in re.findall(r"scripts/\S+", commands))
    called = ROOT / jobs["tests"]["uses"]
    assert "workflow_call" in yaml.safe_load(called.read_text("utf-8"))[True]  # YAML 1.1 reads the key `on` as true
    assert set(jobs["publish"]["needs"]) == {"tests", "build"}
    assert jobs["publish"]["permissions"]["id-token"] == "write"
    assert "secrets." not in (ROOT / ".github/workflows/release.yml").read_text("utf-8")
