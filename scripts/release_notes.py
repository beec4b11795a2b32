"""Print the changelog's entry for a tag, or say why the tag must not be released.

python3 scripts/release_notes.py v0.1.0
"""

import datetime as dt
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


class NotReleasableError(Exception):
    """The tag does not match pyproject.toml or CHANGELOG.md."""


def release_notes(tag: str, pyproject: str, changelog: str) -> str:
    """Return the text of the changelog's entry for a tag.

    Args:
        tag: `v` and the version.
        pyproject: the text of pyproject.toml.
        changelog: the text of CHANGELOG.md, in the format of Keep a Changelog.

    Raises:
        NotReleasableError: the tag names another version than pyproject.toml, or the entry has no date or no text.
    """
    version = tomllib.loads(pyproject)["project"]["version"]
    if tag != f"v{version}":
        raise NotReleasableError(f"the tag is {tag}, but pyproject.toml has version {version}: tag v{version}")
    entries = re.split(r"(?m)^## ", changelog)
    entry = next((text for text in entries if text.startswith(f"[{version}]")), None)
    if entry is None:
        raise NotReleasableError(f"CHANGELOG.md has no entry [{version}]: add one")
    heading, _, notes = entry.partition("\n")
    try:
        dt.date.fromisoformat(heading.removeprefix(f"[{version}] - ").strip())
    except ValueError:
        raise NotReleasableError(
            f"CHANGELOG.md says '## {heading}': replace the text after the version with the release date, "
            f"as in '## [{version}] - 2026-11-30'"
        ) from None
    if not notes.strip():
        raise NotReleasableError(f"CHANGELOG.md's entry [{version}] is empty: describe the changes")
    return notes.strip()


if __name__ == "__main__":
    try:
        print(
            release_notes(
                sys.argv[1], (ROOT / "pyproject.toml").read_text("utf-8"), (ROOT / "CHANGELOG.md").read_text("utf-8")
            )
        )
    except NotReleasableError as error:
        sys.exit(f"Error: {error}")
