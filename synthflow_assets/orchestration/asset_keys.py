"""The asset keys of a workspace in the user's Dagster definitions."""

import importlib
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from synthflow_assets.errors import SettingsError
from synthflow_assets.orchestration.workspace import ASSET_NAME


def table_keys(module: str, schema: str) -> Mapping[str, list[str]]:
    """Return the asset keys of the tables of a schema, by table.

    Args:
        module: with a `dg.Definitions`, or a function that `@dg.definitions` decorates. It is also looked for in the
            working directory, and in the folder `src` there.
        schema: of the tables.

    Raises:
        SettingsError: the module cannot be loaded, has no definitions, or not exactly one workspace with this schema.
    """
    keys: dict[str, list[str]] = {}
    definitions = _definitions(module)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nodes = list(definitions.resolve_asset_graph().asset_nodes)
    for node in nodes:
        name, table = node.metadata.get(ASSET_NAME), str(node.metadata.get("dagster/table_name"))
        if table.split(".")[1:] != [schema, name]:
            continue
        if name in keys:
            both = " and ".join("/".join(key) for key in (keys[name], node.key.path))
            raise SettingsError(f"{module} has two workspaces with the schema {schema}: {both}")
        keys[str(name)] = list(node.key.path)
    if not keys:
        raise SettingsError(f"{module} has no workspace with the schema {schema}; set SYNTHFLOW_WAREHOUSE_SCHEMA")
    return keys


def _definitions(module: str) -> dg.Definitions:
    sys.path[:0] = [str(Path.cwd()), str(Path.cwd() / "src")]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Dagster about its own beta features
            found = list(_in_module(importlib.import_module(module)))
    except Exception as error:  # noqa: BLE001 (a project may raise anything)
        lines = str(error).splitlines() or [""]
        raise SettingsError(f"{module} cannot be loaded: {type(error).__name__}: {lines[0]}") from None
    if len(found) != 1:
        raise SettingsError(f"{module} has {len(found)} Dagster definitions; it must have one")
    return found[0]


def _in_module(module: Any) -> Iterator[dg.Definitions]:
    for value in vars(module).values():
        if isinstance(value, dg.Definitions):
            yield value
        elif hasattr(value, "load_fn") and callable(value):  # what `@dg.definitions` returns
            yield value()
