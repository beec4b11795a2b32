"""Encode columns of numbers and names for a script element of the page: small, and safe whatever the names contain."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import numpy as np
import numpy.typing as npt

from synthflow_assets.report.content import Columns

# Characters that can end a script element, start a comment in it, or end a line, and their escapes in JSON.
_ESCAPES = str.maketrans({char: f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"})


def pack(columns: Columns) -> dict[str, Any]:
    """Return the columns as gzip in base64, which browsers can unpack, with the name, width and length of each.

    The lowest bytes of all values of a column come first, then the next ones. Most higher bytes are zero, so the long
    runs of zeros compress to almost nothing.
    """
    packed = gzip.compress(b"".join(_bytes_by_significance(values) for values in columns.values()), 6, mtime=0)
    return {
        "columns": [[name, values.itemsize, len(values)] for name, values in columns.items()],
        "bytes": base64.b64encode(packed).decode(),
    }


def _bytes_by_significance(values: npt.NDArray[np.unsignedinteger[Any]]) -> bytes:
    little_endian = values.astype(values.dtype.newbyteorder("<"))
    return little_endian.view(np.uint8).reshape(len(values), values.itemsize).T.tobytes()


def script_json(value: Any) -> str:
    """Return the value as JSON that is safe in a script element."""
    return json.dumps(value, separators=(",", ":")).translate(_ESCAPES)
