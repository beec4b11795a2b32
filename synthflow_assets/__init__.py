"""Synthflow voice-agent calls as Dagster assets.

The data's way, which is also the order of the layers; nothing imports what stands behind it:

    settings        every setting, the only reader of the environment
    api             asks Synthflow: one request (transport), a window of calls (window), all windows (fetch), the client
    warehouse       what the tables are (schema), how records become rows (decoding, staging, landing), how to open them
    loading         API -> calls: which agents, which days, what becomes of each
    metrics         calls -> metrics: one SQL file a table
    quality         what must hold of both: one SQL file a promise
    report          metrics -> one page for people
    orchestration   the thin Dagster shell around all of it

Beside them: `sandbox`, the stand-in for the API; `local`, which runs demo and UI on this machine; `cli`, the command.

The names in `__all__` are the public API; everything else may change without notice.
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
    from synthflow_assets.settings.model import Settings as Settings
    from synthflow_assets.warehouse.combined import CombinedWarehouse as CombinedWarehouse
    from synthflow_assets.warehouse.connection import Warehouse as Warehouse

# Imported when they are asked for: a script that only wants the client need not wait for Dagster.
_MODULES = {
    "Agent": "agents",
    "ApiError": "errors",
    "CombinedWarehouse": "warehouse.combined",
    "Settings": "settings.model",
    "SettingsError": "errors",
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
