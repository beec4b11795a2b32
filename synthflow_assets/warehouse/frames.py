"""The pandas dtypes of the tables. They do not depend on the rows or on the versions of pandas and DuckDB.

| column | dtype |
|---|---|
| whole numbers | `int64`; `Int64` if a value may be missing, because a float cannot hold every whole number |
| hours of the day | `int32` |
| fractions | `float64`, NaN if a value is missing |
| text, JSON | `str`, NaN if a value is missing; JSON is text |
| true or false | `boolean` |
| days | `datetime64[us]`, at midnight and without a zone |
| timestamps | `datetime64[us, UTC]` |
| lists, maps | `object` |
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from synthflow_assets.warehouse.tables import Column

if TYPE_CHECKING:
    import pandas as pd

_DTYPES = {
    "BIGINT": "Int64",
    "BOOLEAN": "boolean",
    "DATE": "datetime64[us]",
    "DOUBLE": "float64",
    "INTEGER": "Int32",
    "JSON": "str",
    "TIMESTAMPTZ": "datetime64[us, UTC]",
    "VARCHAR": "str",
}


def dtype_of(column: Column) -> str:
    """Return the pandas dtype of a column."""
    dtype = _DTYPES.get(column.sql_type, "object")
    return dtype.lower() if column.required and dtype.startswith("Int") else dtype


def with_dtypes(frame: pd.DataFrame, columns: Iterable[Column]) -> pd.DataFrame:
    """Return the frame with the dtypes of these columns; other columns keep theirs."""
    import pandas as pd

    # The `str` of pandas 3. In pandas 2, "str" would mean Python objects.
    text = pd.StringDtype(na_value=float("nan"))
    wanted = {column.name: dtype_of(column) for column in columns if column.name in frame}
    return frame.astype({name: text if dtype == "str" else dtype for name, dtype in wanted.items()})
