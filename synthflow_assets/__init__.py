"""Synthflow voice-agent calls as Dagster assets.

The packages in the order of the data; a package imports only those above it:

    settings        every setting; the only code that reads the environment
    api             fetches calls: one request (transport), one window (window), all windows (fetch), the client
    warehouse       the tables: their columns (schema), decoding, staging and landing of records, connections
    loading         API -> calls: decides which days of which agents are fetched, and lands them
    metrics         calls -> metrics: one SQL file for each table
    quality         checks of calls and metrics, in SQL
    report          metrics -> an HTML page
    orchestration   the thin Dagster shell: assets, checks, schedules, sensors, resources, the component

Modules beside them: `recordings` downloads audio, `erasure` erases people, `notify` sends alerts, `dbt` writes the
sources of a dbt project, `doctor` examines the setup, `local` runs the demo and the Dagster UI, `cli` has the commands.
`sandbox` is an API with made-up calls; the pipeline does not import it. CONTRIBUTING.md has a glossary, and checklists
for common changes.

The names in `__all__` are the public API. Everything else may change without notice.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from synthflow_assets.agents import Agent as Agent
    from synthflow_assets.api.client import SynthflowClient as SynthflowClient
    from synthflow_assets.errors import ApiError as ApiError
    from synthflow_assets.errors import SettingsError as SettingsError
    from synthflow_assets.errors import SynthflowError as SynthflowError
    from synthflow_assets.errors import WarehouseError as WarehouseError
    from synthflow_assets.orchestration.build import build_synthflow_defs as build_synthflow_defs
    from synthflow_assets.orchestration.component import SynthflowCallsComponent as SynthflowCallsComponent
    from synthflow_assets.orchestration.resources import SynthflowResource as SynthflowResource
    from synthflow_assets.orchestration.resources import WarehouseResource as WarehouseResource
    from synthflow_assets.orchestration.translation import SynthflowAssetProps as SynthflowAssetProps
    from synthflow_assets.settings.model import Settings as Settings
    from synthflow_assets.warehouse.combined import CombinedWarehouse as CombinedWarehouse
    from synthflow_assets.warehouse.connection import Warehouse as Warehouse

# Imported on first use, so that a script that only needs the client does not wait for Dagster.
_MODULES = {
    "Agent": "agents",
    "ApiError": "errors",
    "CombinedWarehouse": "warehouse.combined",
    "Settings": "settings.model",
    "SettingsError": "errors",
    "SynthflowAssetProps": "orchestration.translation",
    "SynthflowCallsComponent": "orchestration.component",
    "SynthflowClient": "api.client",
    "SynthflowError": "errors",
    "SynthflowResource": "orchestration.resources",
    "Warehouse": "warehouse.connection",
    "WarehouseError": "errors",
    "WarehouseResource": "orchestration.resources",
    "build_synthflow_defs": "orchestration.build",
}
__all__ = list(_MODULES)


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
