"""Refuse dependencies that make Dagster run a step in parts.

If `call_rejects` depends on a metric, Dagster splits the fetching step into one part before and one after the metrics.
The second part lands calls that the metrics do not count.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

import dagster as dg

from synthflow_assets.errors import SettingsError
from synthflow_assets.orchestration.workspace import ASSET_NAME

Parents = Callable[[dg.AssetKey], Iterable[dg.AssetKey]]


def validate_whole_steps(steps: Mapping[dg.AssetKey, str], parents: Parents) -> None:
    """Refuse an asset that depends on its own step through an asset of another step.

    Args:
        steps: the step that writes each asset.
        parents: returns what an asset depends on.

    Raises:
        SettingsError: naming the asset and the dependency.
    """
    for key, step in steps.items():
        for parent in parents(key):
            own = None if steps.get(parent) == step else _upstream_of_step(parent, step, steps, parents)
            if own is not None:
                one, other, same = (each.to_user_string() for each in (key, parent, own))
                raise SettingsError(
                    f"{one} depends on {other}, but one step writes {one} and {same}, from which {other} is computed; "
                    f"remove {other} from the dependencies of {one}"
                )


@lru_cache(maxsize=1)  # all workspaces of a code location have the same graph
def validate_graph(asset_graph: Any) -> None:
    """Validate the steps of all workspaces in Dagster's graph, which has the user's assets as well.

    Args:
        asset_graph: of a code location.

    Raises:
        SettingsError: naming the asset and the dependency.
    """
    nodes = {key: asset_graph.get(key) for key in asset_graph.get_all_asset_keys()}
    steps = {
        key: node.assets_def.node_def.name
        for key, node in nodes.items()
        if ASSET_NAME in node.metadata and node.is_executable
    }
    validate_whole_steps(steps, lambda key: nodes[key].parent_keys if key in nodes else ())


def _upstream_of_step(
    key: dg.AssetKey, step: str, steps: Mapping[dg.AssetKey, str], parents: Parents
) -> dg.AssetKey | None:
    """Return an asset of the step that `key` is computed from; None if there is none."""
    seen, left = {key}, [key]
    while left:
        for parent in set(parents(left.pop())) - seen:
            if steps.get(parent) == step:
                return parent
            seen.add(parent)
            left.append(parent)
    return None
