"""What the tables are in pandas: the same dtypes whatever the rows, the version of pandas, or the version of DuckDB.

| column | dtype |
|---|---|
| whole numbers | `int64`; `Int64` where a value may be missing, because a float would not be the number any more |
| hours of the day | `int32` |
| fractions | `float64`, NaN where a value is missing |
| text, JSON | `str`, NaN where a value is missing; JSON is the text that it came as |
| true or false | `boolean` |
| days | `datetime64[us]`, at midnight and without a zone |
| moments | `datetime64[us, UTC]` |
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
    "MAP(VARCHAR, BIGINT)": "object",
    "TIMESTAMPTZ": "datetime64[us, UTC]",
    "VARCHAR": "str",
    "VARCHAR[]": "object",
}


def dtype_of(column: Column) -> str:
    """The pandas dtype of a column."""
    dtype = _DTYPES[column.sql_type]
    return dtype.lower() if column.required and dtype.startswith("Int") else dtype


def with_dtypes(frame: pd.DataFrame, columns: Iterable[Column]) -> pd.DataFrame:
    """The frame with the dtypes of these columns; others stay as they are."""
    import pandas as pd

    # What pandas 3 calls `str`; the word alone would mean Python objects to pandas 2.
    text = pd.StringDtype(na_value=float("nan"))
    wanted = {column.name: dtype_of(column) for column in columns if column.name in frame}
    return frame.astype({name: text if dtype == "str" else dtype for name, dtype in wanted.items()})
