"""One self-contained HTML page for people who do not write SQL, from the metric tables alone."""

from __future__ import annotations

import datetime as dt
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2

from synthflow_assets.metrics.frames import completeness, headline, named_frame
from synthflow_assets.warehouse.connection import Warehouse

if TYPE_CHECKING:
    import pandas as pd


def write_report(warehouse: Warehouse, path: Path, from_day: dt.date, to_day: dt.date) -> Path:
    """Write the page over the days `from_day` to `to_day` inclusive; an older page is replaced as a whole.

    Raises:
        WarehouseError: the warehouse cannot be read.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(__name__, "."), autoescape=True, undefined=jinja2.StrictUndefined
    )
    page = environment.get_template("page.html.j2").render(
        from_day=from_day,
        to_day=to_day,
        made_at=dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        headline=headline(warehouse, from_day, to_day),
        tables=[
            ("Calls and durations", _rows(named_frame(warehouse, "call_duration_daily", from_day, to_day))),
            ("Disconnect reasons", _rows(named_frame(warehouse, "disconnect_reasons_daily", from_day, to_day))),
            ("Is the data complete?", _rows(completeness(warehouse, from_day, to_day))),
        ],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target and moved over it, so that a reader never meets half a page.
    descriptor, unfinished = tempfile.mkstemp(dir=path.parent, suffix=".html")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(page)
        Path(unfinished).chmod(0o644)
        return Path(unfinished).replace(path)
    except OSError:
        Path(unfinished).unlink(missing_ok=True)
        raise


def _rows(frame: pd.DataFrame) -> dict[str, Any]:
    return {
        "columns": [str(column).replace("_", " ") for column in frame.columns],
        "rows": [[_shown(value) for value in row] for row in frame.itertuples(index=False)],
    }


def _shown(value: Any) -> str:
    import pandas as pd

    if pd.isna(value):
        return "-"
    if isinstance(value, float):
        return f"{value:,.2f}"
    if isinstance(value, dt.datetime):
        return value.date().isoformat()
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
