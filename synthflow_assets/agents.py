"""An agent of a Synthflow workspace, which the API calls a model or an assistant."""

from __future__ import annotations

from typing import NamedTuple

from synthflow_assets.texts import one_line


class Agent(NamedTuple):
    """An agent of the workspace, without its prompts, which are confidential."""

    model_id: str
    name: str | None
    type: str | None

    @property
    def label(self) -> str:
        """The name on one line of at most 60 characters; the id if there is no name."""
        return one_line(self.name or "") or one_line(self.model_id)
