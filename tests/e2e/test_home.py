"""The Dagster home: which files it has, and what `home` says of one that cannot be used."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from synthflow_assets.cli import main
from tests.e2e.processes import ROOT

HOME = Path("data/dagster")
OURS = ROOT / "synthflow_assets" / "dagster.yaml"


@pytest.fixture(autouse=True)
def home(clean_environment: None) -> None:  # noqa: ARG001
    """An empty home in the working directory."""
    HOME.mkdir(parents=True)


def settings_after_home() -> Path:
    done = CliRunner().invoke(main, ["home"])
    assert done.exit_code == 0, done.output
    return (HOME / "dagster.yaml").resolve()


def test_a_clone_has_the_settings_of_the_package() -> None:
    for name in ("dagster.yaml", "workspace.yaml"):
        assert (ROOT / name).read_bytes() == (ROOT / "synthflow_assets" / name).read_bytes()


def test_links_to_another_environment_lead_to_this_one() -> None:
    old = Path("old/synthflow_assets/dagster.yaml")
    old.parent.mkdir(parents=True)
    old.write_text("telemetry: {enabled: true}\n")
    (HOME / "dagster.yaml").symlink_to(old.resolve())
    assert settings_after_home() == OURS
    (HOME / "dagster.yaml").unlink()
    (HOME / "dagster.yaml").symlink_to("/removed/synthflow_assets/dagster.yaml")
    assert settings_after_home() == OURS


@pytest.mark.parametrize("linked", [False, True])
def test_settings_of_the_users_own_are_kept(linked: bool) -> None:
    own = Path("own.yaml").resolve() if linked else HOME.resolve() / "dagster.yaml"
    own.write_text("telemetry: {enabled: false}\n")
    if linked:
        (HOME / "dagster.yaml").symlink_to(own)
    assert settings_after_home() == own
    assert own.read_text() == "telemetry: {enabled: false}\n"


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("dagster.yaml", "telemetry: [", "expected the node content"),
        ("dagster.yaml", "telemetri: {}", "telemetri"),
        ("history/runs.db", "no database" * 500, "file is not a database"),
    ],
)
def test_a_home_that_cannot_be_used_is_one_line(file: str, content: str, says: str) -> None:
    (HOME / file).parent.mkdir(exist_ok=True)
    (HOME / file).write_text(content)
    done = CliRunner().invoke(main, ["home"])
    assert done.exit_code == 1
    [line] = done.output.splitlines()
    assert line.startswith(f"Error: Dagster cannot open its storages in {HOME.resolve()}: ")
    assert says in line
