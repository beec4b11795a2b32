"""The engines that a warehouse can be kept in. Everything in which they differ stands in this folder.

| | file | DuckLake | MotherDuck |
|---|---|---|---|
| `SYNTHFLOW_WAREHOUSE` | a path | `ducklake:postgres:...` | `md:NAME` |
| data | in the file | Parquet in a folder or bucket, and a catalog of it | at MotherDuck |
| writers wait for | the file's lock | an advisory lock in the catalog | nobody; who loses tries again |
| deleted rows stay | until the file is compacted | until older snapshots expire | as long as MotherDuck keeps them |

No engine is asked for a key or a constraint, because DuckLake knows none. That two writers never both replace the same
partition is up to `synthflow_assets.warehouse.statements.write`, on every engine.
"""

from __future__ import annotations

from synthflow_assets.errors import WarehouseUnusableError
from synthflow_assets.settings import check_location
from synthflow_assets.warehouse.engines.base import Engine
from synthflow_assets.warehouse.engines.ducklake import DuckLakeEngine
from synthflow_assets.warehouse.engines.file import FileEngine
from synthflow_assets.warehouse.engines.motherduck import MotherDuckEngine


def engine_for(location: str, data_path: str | None = None) -> Engine:
    """The engine that a location names.

    Raises:
        WarehouseUnusableError: none, or the location holds a password.
    """
    try:
        check_location(location)
    except ValueError as error:
        raise WarehouseUnusableError(f"the warehouse cannot be there; allowed is {error}") from None
    if location.startswith("ducklake:"):
        return DuckLakeEngine(location, data_path)
    return MotherDuckEngine(location) if location.startswith("md:") else FileEngine(location)
