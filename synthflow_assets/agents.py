"""An agent of a Synthflow workspace, which the API calls a model or an assistant."""

from __future__ import annotations

from typing import NamedTuple


class Agent(NamedTuple):
    """An agent of the workspace. Its prompts are confidential and are never read."""

    model_id: str
    name: str | None
    type: str | None

    @property
    def label(self) -> str:
        """What people call it: its name on one line of at most 60 characters, or its id where it has none."""
        return one_line(self.name or "") or one_line(self.model_id)


def one_line(text: str) -> str:
    """At most 60 printable characters on one line: what came from outside must not steer a terminal."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())[:60]
