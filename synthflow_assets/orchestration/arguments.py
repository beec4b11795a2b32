"""Validate the arguments of `build_synthflow_defs` early: Dagster would fail later, or show a secret in its UI."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dagster as dg

from synthflow_assets.errors import SettingsError
from synthflow_assets.orchestration.resources import SynthflowResource, WarehouseResource
from synthflow_assets.settings import Settings


def validate_types(**arguments: object) -> None:
    """Refuse arguments of a wrong type. Their values are not shown, because one may be a key.

    Raises:
        SettingsError: naming the argument and what is allowed.
    """
    for name, value in arguments.items():
        fits, allowed = _ALLOWED[name]
        if value is not None and not fits(value):
            raise SettingsError(f"{name} is of the type {type(value).__name__}; allowed is {allowed}")


def validate_hidden_key(synthflow: SynthflowResource) -> None:
    """Refuse a key in plain text and invalid values. Fields that are given as `dg.EnvVar` are not read.

    Raises:
        SettingsError: naming the field.
    """
    given = {name: getattr(synthflow, name) for name in SynthflowResource.model_fields if name in Settings.model_fields}
    key = given.pop("api_key") or None
    SynthflowResource.from_settings(Settings.of(api_key=key, **_plain(given)))


def validate_hidden_password(warehouse: WarehouseResource) -> None:
    """Refuse a password and invalid locations. Fields that are given as `dg.EnvVar` are not read.

    Raises:
        SettingsError: naming the field.
    """
    if warehouse.connection_config:
        raise SettingsError(
            "connection_config of the warehouse resource is not used, and Dagster would show it: remove it"
        )
    Settings.of(**_plain({"warehouse": warehouse.database, "lake_data_path": warehouse.data_path}))


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if not hasattr(value, "env_var_name")}


def _is_a(kind: type) -> Callable[[object], bool]:
    return lambda value: isinstance(value, kind)


def _is_list_of_text(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(one, str) for one in value)


def _is_mapping_of_text(value: object) -> bool:
    return isinstance(value, Mapping) and all(isinstance(one, str) for pair in value.items() for one in pair)


def _is_key_prefix(value: object) -> bool:
    return isinstance(value, str | dg.AssetKey) or _is_list_of_text(value)


_ALLOWED: dict[str, tuple[Callable[[object], bool], str]] = {
    "settings": (_is_a(Settings), "Settings.of(...) or Settings.load()"),
    "key_prefix": (_is_key_prefix, "a name, a list of names, or a dg.AssetKey"),
    "group_name": (_is_a(str), "a name"),
    "owners": (_is_list_of_text, 'a list such as ["calls@example.com", "team:voice"]'),
    "tags": (_is_mapping_of_text, "texts by name; quote numbers"),
    "automation_condition": (
        _is_a(dg.AutomationCondition),
        "an object such as dg.AutomationCondition.eager(), in YAML '{{ dg.AutomationCondition.eager() }}'",
    ),
    "executor": (_is_a(dg.ExecutorDefinition), "an executor such as dg.multiprocess_executor"),
    "synthflow": (_is_a(SynthflowResource), 'SynthflowResource(api_key=dg.EnvVar("NAME"))'),
    "get_asset_spec": (callable, "a function of a SynthflowAssetProps that returns a dg.AssetSpec"),
    "warehouse": (_is_a(WarehouseResource), 'WarehouseResource(database="...")'),
}
