"""The entry point that `workspace.yaml` and `pyproject.toml` name: this project as its own user."""

import gc

import dagster as dg

from synthflow_assets.errors import SettingsError
from synthflow_assets.orchestration.build import build_synthflow_defs
from synthflow_assets.settings import Settings

try:
    # Nobody else's assets are in this code location, so one process serves every run, those of the CLI as well.
    defs = dg.Definitions.merge(build_synthflow_defs(Settings.load()), dg.Definitions(executor=dg.in_process_executor))
except SettingsError as error:
    # One line for people instead of a traceback through Dagster's loader.
    raise SystemExit(f"synthflow-assets: {error}") from None

# What was imported lives as long as the process. Left out of every later search for garbage, it lets a run end most of
# a second sooner. In a process of other people's that would not be ours to decide.
gc.freeze()
