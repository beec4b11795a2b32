"""Read the content of a report without a browser."""

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np


def facts_of(path: Path) -> dict[str, Any]:
    """Return names, days and other facts."""
    return dict(_data_of(path)["facts"])


def columns_of(path: Path) -> dict[str, list[int]]:
    """Return the numbers of each column, in the order of the cells."""
    return unpacked(_data_of(path))


def unpacked(packed: dict[str, Any]) -> dict[str, list[int]]:
    """Return the columns that `synthflow_assets.report.encoding.pack` packed."""
    data, columns, at = gzip.decompress(base64.b64decode(packed["bytes"])), {}, 0
    for name, width, length in packed["columns"]:
        planes = np.frombuffer(data[at : at + width * length], np.uint8).reshape(width, length)
        columns[name] = [sum(int(byte) << 8 * place for place, byte in enumerate(cell)) for cell in planes.T]
        at += width * length
    return columns


def _data_of(path: Path) -> dict[str, Any]:
    text = path.read_text(encoding="utf-8")
    begin = text.index('id="data">') + len('id="data">')
    return dict(json.loads(text[begin : text.index("</script>", begin)]))
