"""The storage engines of a warehouse. All code that depends on the engine is in this folder.

| | file | DuckLake |
|---|---|---|
| `SYNTHFLOW_WAREHOUSE` | a path | `ducklake:postgres:...` |
| data | in the file | Parquet in a folder or bucket, and a catalog of it |
| writers wait for | the file's lock | an advisory lock in the catalog |
| deleted rows stay | until the file is compacted | until older snapshots expire |

No table has a key or a constraint, because DuckLake supports none. On every engine,
`synthflow_assets.warehouse.statements.write` keeps two writers from both replacing the same partition.
"""

from __future__ import annotations

from synthflow_assets.errors import WarehouseUnusableError
from synthflow_assets.settings import check_location
from synthflow_assets.warehouse.engines.base import Engine
from synthflow_assets.warehouse.engines.ducklake import DuckLakeEngine
from synthflow_assets.warehouse.engines.file import FileEngine


def engine_for(location: str, data_path: str | None = None) -> Engine:
    """Return the engine for a location.

    Args:
        location: a value of `SYNTHFLOW_WAREHOUSE`.
        data_path: a value of `SYNTHFLOW_LAKE_DATA_PATH`; only a DuckLake uses it.

    Raises:
        WarehouseUnusableError: no engine supports the location, or it contains a password.
    """
    try:
        check_location(location)
    except ValueError as error:
        raise WarehouseUnusableError(f"the warehouse cannot be there; allowed is {error}") from None
    if location.startswith("ducklake:"):
        return DuckLakeEngine(location, data_path)
    return FileEngine(location)
