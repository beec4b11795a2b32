"""The docs name only what exists: files, headings, settings, commands, options, targets of make, public names."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

import synthflow_assets
from synthflow_assets.cli import main
from synthflow_assets.settings import Settings, variable

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "deploy/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "examples").rglob("README.md")),
]
TEXTS = {str(page.relative_to(ROOT)): page.read_text("utf-8") for page in PAGES}


def all_found(pattern: str) -> list[tuple[str, Any]]:
    """Every match of a pattern, with the page that it is on."""
    return [(page, found) for page, text in TEXTS.items() for found in re.findall(pattern, text)]


def blocks(language: str) -> Iterator[tuple[str, str]]:
    for page, text in TEXTS.items():
        for block in re.findall(rf"^ *```{language}\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE):
            yield page, block


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(("page", "link"), all_found(r"\]\((?!https?:)([^)\s]+)\)"))
def test_links_lead_somewhere(page: str, link: str) -> None:
    path, _, anchor = link.partition("#")
    target = (ROOT / page).parent / path if path else ROOT / page
    assert target.exists()
    assert not anchor or anchor in anchors(target)


def test_settings_exist() -> None:
    known = {variable(name) for name in Settings.model_fields}
    named = set(all_found(r"\b(SYNTHFLOW_[A-Z_]*[A-Z])\b(?!_SYNTHFLOW)"))
    assert len(named) > 30
    assert [(page, name) for page, name in named if name not in known and not name.endswith("SYNTHFLOW_KEY")] == []


def test_commands_and_options_exist() -> None:
    options = r"((?: +--[a-z-]+(?:[ =][^-\s`][^\s`]*)?)*)"
    calls = all_found(rf"(?m)(?:^|`|&& |\$\(|exec code |bin/)synthflow-assets +([a-z][a-z-]*){options}")
    assert len(calls) > 10
    for page, (name, arguments) in calls:
        command = main.commands.get(name)
        assert command is not None, f"{page}: synthflow-assets {name}"
        known = {option for one in command.params if isinstance(one, click.Option) for option in one.opts}
        assert set(re.findall(r"--[a-z-]+", arguments)) <= known, f"{page}: synthflow-assets {name}{arguments}"


def test_targets_of_make_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = set(all_found(r"(?m)(?:^|`|&& |bin/)make ([a-z][a-z-]*)"))
    assert len(named) > 10
    assert [(page, name) for page, name in named if name not in targets] == []


@pytest.mark.parametrize(("page", "code"), list(blocks("python")))
def test_python_imports_public_names(page: str, code: str) -> None:
    for node in ast.walk(ast.parse(code, page)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("synthflow_assets"):
            assert node.module == "synthflow_assets"
            assert {name.name for name in node.names} <= set(synthflow_assets.__all__)
