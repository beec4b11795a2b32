"""Asset specs of the user's own: another key, group, owner, tag or description of an asset."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any, Literal

import dagster as dg
from dagster.components.resolved.errors import ResolutionException

from synthflow_assets.errors import SettingsError
from synthflow_assets.orchestration.step_order import validate_whole_steps
from synthflow_assets.orchestration.workspace import ASSET_NAME
from synthflow_assets.texts import one_line

AssetKind = Literal["table", "view", "export", "report"]
# The package finds its assets by these, and refuses two workspaces that write to the same place.
_OWN_METADATA = (ASSET_NAME, "dagster/table_name", "dagster/uri")

# Dagster gives these names a meaning.
_TYPES_OF_METADATA = {
    "dagster/column_schema": dg.TableSchema,
    "dagster/column_lineage": dg.TableColumnLineage,
    "dagster/row_count": int,
    "dagster/partition_row_count": int,
    "dagster/storage_kind": str,
}


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
    specs: Sequence[tuple[AssetKind, str, dg.AssetSpec]], get_asset_spec: GetAssetSpec
) -> Mapping[str, dg.AssetSpec]:
    """Return the translated specs by the name of the asset. Dependencies follow the renamed keys.

    A translation adds dependencies and code versions to those of the package, and never removes one: without them,
    Dagster would compute metrics before the calls, and an upgrade would outdate nothing.

    Args:
        specs: of all assets of a workspace, each with the step that writes it.
        get_asset_spec: returns the spec to use.

    Raises:
        SettingsError: it fails, returns no spec, gives two assets the same key, changes what Dagster may materialize,
            or makes an asset or a step depend on itself.
    """
    translated: dict[str, dg.AssetSpec] = {}
    renamed: dict[dg.AssetKey, dg.AssetKey] = {}
    for kind, _, spec in specs:
        name = str(spec.metadata[ASSET_NAME])
        result = _translate(SynthflowAssetProps(name, kind, spec), get_asset_spec)
        for other, one in translated.items():
            # Dagster names the outputs of a step by these, so `a-b` and `a_b` would be one.
            if one.key.to_python_identifier() == result.key.to_python_identifier():
                keys = " or ".join(dict.fromkeys((one.key.to_user_string(), result.key.to_user_string())))
                raise SettingsError(
                    f"the translation gives {other} and {name} the same key, {keys}; use props.name in it"
                )
        translated[name] = result
        renamed[spec.key] = result.key
    own = {str(spec.metadata[ASSET_NAME]): spec for _, _, spec in specs}
    complete = {name: _with_own_attributes(spec, own[name], renamed) for name, spec in translated.items()}
    _validate_no_cycle(complete)
    steps = {complete[str(spec.metadata[ASSET_NAME])].key: step for _, step, spec in specs}
    deps = {spec.key: [dep.asset_key for dep in spec.deps] for spec in complete.values()}
    validate_whole_steps(steps, lambda key: deps.get(key, ()))
    return complete


def _translate(props: SynthflowAssetProps, get_asset_spec: GetAssetSpec) -> dg.AssetSpec:
    try:
        result: Any = get_asset_spec(props)
    except SettingsError:
        raise
    except Exception as error:
        raise translation_error(props, error) from error
    if not isinstance(result, dg.AssetSpec):
        raise SettingsError(
            f"the translation of {props.name} is of the type {type(result).__name__}, not a dg.AssetSpec"
        )
    if result.partitions_def != props.spec.partitions_def:
        raise SettingsError(f"the translation of {props.name} changes its partitions; leave partitions_def as it is")
    # Earlier versions of Dagster 1.13 lack `is_virtual`. Dagster materializes no virtual asset.
    if getattr(result, "is_virtual", False):
        raise SettingsError(f"the translation of {props.name} sets is_virtual; remove it: a run writes the asset")
    if problem := next(_invalid_values(result), None):
        raise SettingsError(f"the translation of {props.name} {problem}")
    for key in _OWN_METADATA:
        if result.metadata.get(key, props.spec.metadata.get(key)) != props.spec.metadata.get(key):
            raise SettingsError(
                f"the translation of {props.name} changes the metadata {key}, by which this package finds its assets; "
                "use another name"
            )
    return result


def _invalid_values(spec: dg.AssetSpec) -> Iterator[str]:
    """Yield what is wrong with values that Dagster validates too late to name the asset."""
    for use, key in (("has the key", spec.key), *(("has deps with the key", dep.asset_key) for dep in spec.deps)):
        if not all(re.fullmatch(r"[A-Za-z0-9_.-]+", part) for part in key.path):
            yield f"{use} {one_line(repr(list(key.path)))}; allowed in each part are letters, digits, _, - and ."
    for name, kind in _TYPES_OF_METADATA.items():
        value = spec.metadata.get(name)
        if value is not None and not isinstance(getattr(value, "value", value), kind):
            yield (
                f"has the metadata {name} of the type {type(value).__name__}; allowed is {kind.__name__}, so use "
                "another name"
            )


def translation_error(props: SynthflowAssetProps, error: Exception) -> SettingsError:
    """Return one line about a translation that fails.

    Args:
        props: the asset that it was called for.
        error: what it raised. The last line of a template's error says what is wrong; of others, the first.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    is_of_template = isinstance(error, ResolutionException)
    advice = "Templates may use props.name, props.kind and spec" if is_of_template else "Correct this attribute"
    reason = lines[-1 if is_of_template else 0].removesuffix(".")
    return SettingsError(f"the translation of {props.name} fails: {reason}. {advice}")


def _with_own_attributes(
    translated: dg.AssetSpec, own: dg.AssetSpec, renamed: Mapping[dg.AssetKey, dg.AssetKey]
) -> dg.AssetSpec:
    """Return a translated spec with the attributes that the package relies on."""

    def deps_of(spec: dg.AssetSpec) -> Mapping[dg.AssetKey, dg.AssetDep]:
        keyed = [(renamed.get(dep.asset_key, dep.asset_key), dep.partition_mapping) for dep in spec.deps]
        return {key: dg.AssetDep(key, partition_mapping=mapping) for key, mapping in keyed}

    version = translated.code_version
    if own.code_version is not None and own.code_version not in (version or ""):
        version = f"{own.code_version}-{version}" if version else own.code_version
    return translated.replace_attributes(
        deps=list({**deps_of(translated), **deps_of(own)}.values()),
        metadata={**own.metadata, **translated.metadata},
        code_version=version,
    )


def _validate_no_cycle(specs: Mapping[str, dg.AssetSpec]) -> None:
    names = {spec.key: name for name, spec in specs.items()}
    try:
        TopologicalSorter(
            {
                name: [names[dep.asset_key] for dep in spec.deps if dep.asset_key in names]
                for name, spec in specs.items()
            }
        ).prepare()
    except CycleError as error:
        cycle = " -> ".join(error.args[1])
        raise SettingsError(f"the translation makes assets depend on each other: {cycle}; remove one of deps") from None
