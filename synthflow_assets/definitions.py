"""The entry point that `workspace.yaml` and `pyproject.toml` name."""

from synthflow_assets.orchestration.build import build_synthflow_defs
from synthflow_assets.settings import Settings

defs = build_synthflow_defs(Settings.load())
