"""Asset specs of the user's own: another key, group, owner, tag or description of an asset."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import dagster as dg

from synthflow_assets.errors import SettingsError
from synthflow_assets.orchestration.workspace import ASSET_NAME

AssetKind = Literal["table", "view", "export", "report"]


@dataclass(frozen=True)
class SynthflowAssetProps:
    """An asset of a workspace, before its spec is translated.

    Attributes:
        name: of the table or view, or `TABLE_export`, or `call_report`.
        kind: table, view, export or report.
        spec: as it is without a translation.
    """

    name: str
    kind: AssetKind
    spec: dg.AssetSpec


GetAssetSpec = Callable[[SynthflowAssetProps], dg.AssetSpec]


def translate_specs(
    specs: Sequence[tuple[AssetKind, dg.AssetSpec]], get_asset_spec: GetAssetSpec
) -> Mapping[str, dg.AssetSpec]:
    """Return the translated specs by the name of the asset. Dependencies follow the renamed keys.

    Args:
        specs: of all assets of a workspace.
        get_asset_spec: returns the spec to use.

    Raises:
        SettingsError: it returns no spec, gives two assets the same key, or changes the partitions.
    """
    translated: dict[str, dg.AssetSpec] = {}
    renamed: dict[dg.AssetKey, dg.AssetKey] = {}
    for kind, spec in specs:
        name = str(spec.metadata[ASSET_NAME])
        result: Any = get_asset_spec(SynthflowAssetProps(name, kind, spec))
        if not isinstance(result, dg.AssetSpec):
            raise SettingsError(f"the translation of {name} is of the type {type(result).__name__}, not a dg.AssetSpec")
        if result.partitions_def != spec.partitions_def:
            raise SettingsError(f"the translation of {name} changes its partitions; leave partitions_def as it is")
        same = next((other for other, one in translated.items() if one.key == result.key), None)
        if same is not None:
            raise SettingsError(f"the translation gives {same} and {name} the same key, {result.key.to_user_string()}")
        # The package finds its own assets by their metadata.
        translated[name] = result.replace_attributes(metadata={**spec.metadata, **result.metadata})
        renamed[spec.key] = result.key
    return {name: _with_renamed_deps(spec, renamed) for name, spec in translated.items()}


def _with_renamed_deps(spec: dg.AssetSpec, renamed: Mapping[dg.AssetKey, dg.AssetKey]) -> dg.AssetSpec:
    deps = [
        dg.AssetDep(renamed.get(dep.asset_key, dep.asset_key), partition_mapping=dep.partition_mapping)
        for dep in spec.deps
    ]
    return spec.replace_attributes(deps=deps)
