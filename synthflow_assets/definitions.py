"""The entry point that `workspace.yaml` and `pyproject.toml` name: this project as a user of its own package."""

import dagster as dg

from synthflow_assets.errors import SettingsError
from synthflow_assets.orchestration.build import build_module_defs
from synthflow_assets.settings import Settings

try:
    # This code location holds no other assets, so one process serves every run, those of `dg launch` as well.
    defs = dg.Definitions.merge(
        build_module_defs(Settings.load(), __name__), dg.Definitions(executor=dg.in_process_executor)
    )
except SettingsError as error:
    # One line instead of a traceback through Dagster's loader.
    raise SystemExit(f"synthflow-assets: {error}") from None
