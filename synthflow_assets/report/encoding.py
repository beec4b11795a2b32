"""Puts columns of numbers into a page: small, and harmless whatever the names say."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import numpy as np
import numpy.typing as npt

from synthflow_assets.report.content import Columns

# What could end a script element, or begin a comment in one, as JSON may write it too.
_HARMLESS = str.maketrans({char: f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"})


def pack(columns: Columns) -> dict[str, Any]:
    """The columns as gzip in base64, which browsers unpack by themselves, with their names, widths and lengths.

    The lowest bytes of a column come first, then the next: so the many zeros of the higher ones cost almost nothing.
    """
    packed = gzip.compress(b"".join(_planes(values) for values in columns.values()), compresslevel=6, mtime=0)
    return {
        "columns": [[name, values.itemsize, len(values)] for name, values in columns.items()],
        "bytes": base64.b64encode(packed).decode(),
    }


def _planes(values: npt.NDArray[np.unsignedinteger[Any]]) -> bytes:
    little = values.astype(values.dtype.newbyteorder("<"))
    return little.view(np.uint8).reshape(len(values), values.itemsize).T.tobytes()


def script_json(value: Any) -> str:
    """JSON that can stand in a script element."""
    return json.dumps(value, separators=(",", ":")).translate(_HARMLESS)
