"""Refuse a code location in which two workspaces would write to the same tables, exports or report.

Tables of the same name in two warehouses are refused as well: data catalogues, and Dagster itself, identify a table by
`dagster/table_name`.

Each workspace is built on its own, so only Dagster knows all of them. Only Dagster also knows dependencies through the
user's own assets, which may split a step; see `step_order`. The checks run when Dagster resolves the job of a
workspace, which a code server does while it loads. They run again in each run.
"""

import re
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import dagster as dg

from synthflow_assets.errors import SettingsError
from synthflow_assets.orchestration.step_order import validate_graph
from synthflow_assets.orchestration.workspace import ASSET_NAME, Workspace

# One asset for each kind of place, and the setting that gives each workspace a place of its own.
_SETTINGS = {"calls": "warehouse_schema", "calls_export": "export_dir", "call_report": "report"}


@dataclass(frozen=True)
class UnsharedAssets(dg.AssetSelection):
    """Select a workspace's assets, and refuse those that another workspace would overwrite."""

    selected: dg.AssetSelection

    def resolve_inner(self, asset_graph: Any, allow_missing: bool) -> AbstractSet[dg.AssetKey]:
        """Return the selected assets; Dagster calls this.

        Raises:
            SettingsError: two workspaces write to the same place.
        """
        keys = self.selected.resolve_inner(asset_graph, allow_missing)
        _validate_not_shared(asset_graph, keys)
        return keys


def validate_no_write_conflicts(context: dg.AssetExecutionContext, workspace: Workspace) -> None:
    """Fail a run if another workspace writes to the same place.

    `dg launch --assets` resolves no job of this package, so `UnsharedAssets` is not used.

    Raises:
        SettingsError: two workspaces write to the same place.
    """
    try:
        asset_graph = context.repository_def.asset_graph
    except Exception:  # noqa: BLE001 (Dagster's class is private; it means a job outside of a code location)
        return
    _validate_not_shared(asset_graph, {workspace.asset_key(name) for name in _SETTINGS})


def _validate_not_shared(asset_graph: Any, own: AbstractSet[dg.AssetKey]) -> None:
    validate_graph(asset_graph)
    if problems := sorted(_problems(asset_graph, own)):
        raise SettingsError("; ".join(problems))


def _problems(asset_graph: Any, own: AbstractSet[dg.AssetKey]) -> Iterator[str]:
    places = _places(asset_graph)
    for key in own & places.keys():
        place = places[key]
        for other in places.keys() - own:
            both = " and ".join(sorted(one.to_user_string() for one in (key, other)))
            advice = f"set another {_SETTINGS[place.asset]} for one of the workspaces"
            if places[other].asset != place.asset:
                continue
            if places[other].location == place.location:
                yield f"{both} would both be {place.location}: {advice}"
            elif place.table and places[other].table == place.table:
                yield f"{both} would both be {place.table} in data catalogues: {advice}, or rename its file"


@dataclass(frozen=True)
class _Place:
    """Where an asset is written.

    Attributes:
        asset: its name, one of `_SETTINGS`.
        location: the file, folder or bucket; of a table, with schema and name.
        table: the name of a table in data catalogues; None for exports and reports.
    """

    asset: str
    location: str
    table: str | None


@lru_cache(maxsize=1)  # all workspaces of a code location have the same graph
def _places(asset_graph: Any) -> dict[dg.AssetKey, _Place]:
    """Return where the assets of `_SETTINGS` are written; those of other packages have no `dagster/uri`."""
    found = {key: asset_graph.get(key).metadata for key in asset_graph.get_all_asset_keys()}
    return {
        key: _place(str(metadata[ASSET_NAME]), metadata)
        for key, metadata in found.items()
        if metadata.get(ASSET_NAME) in _SETTINGS and isinstance(metadata.get("dagster/uri"), str)
    }


def _place(asset: str, metadata: Mapping[str, Any]) -> _Place:
    uri, table = metadata["dagster/uri"], metadata.get("dagster/table_name")
    where = uri if re.match(r"ducklake:|s3:|gs:|[$]", uri) else str(Path(uri).resolve())
    if not table:
        return _Place(asset, where, None)
    # Without the database, because the same file may be reached by a link of another name.
    return _Place(asset, f"{table.partition('.')[2]} in {where}", table.lower())
