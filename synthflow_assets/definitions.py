"""The entry point that `workspace.yaml` and `pyproject.toml` name."""

from synthflow_assets.errors import SettingsError
from synthflow_assets.orchestration.build import build_synthflow_defs
from synthflow_assets.settings import Settings

try:
    defs = build_synthflow_defs(Settings.load())
except SettingsError as error:
    # One line for people instead of a traceback through Dagster's loader.
    raise SystemExit(f"synthflow-assets: {error}") from None
