"""Metrics as pandas frames, for the demo and for notebooks."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.statements import sql_file

if TYPE_CHECKING:
    import pandas as pd


def named_frame(warehouse: Warehouse, table: str, from_day: dt.date, to_day: dt.date) -> pd.DataFrame:
    """Return a daily table with the names of agents in place of their ids, if the names are known.

    Args:
        warehouse: to read.
        table: name of a table with `day` and `model_id`.
        from_day: first day.
        to_day: last day.

    Raises:
        WarehouseError: the warehouse cannot be read.
    """
    frame = warehouse.read_frame(table, from_day, to_day)
    agents = warehouse.read_frame("agents").set_index("model_id")["name"]
    frame.insert(1, "agent", frame["model_id"].map(agents).fillna(frame["model_id"]))
    return frame.drop(columns="model_id").sort_values(["day", "agent"], kind="stable", ignore_index=True)


def headline(warehouse: Warehouse, from_day: dt.date, to_day: dt.date) -> list[tuple[str, str]]:
    """Return the headline numbers of a range of days as (name, text).

    Args:
        warehouse: to read.
        from_day: first day.
        to_day: last day.

    Raises:
        WarehouseError: the warehouse cannot be read.
    """
    with warehouse.connect(read_only=True) as connection:
        row = connection.execute(
            sql_file(__package__ or "", "headline.sql"), {"from_day": from_day, "to_day": to_day}
        ).fetchone()
    calls, persons, connected, failed_transfers, transfers, minutes, mean_seconds = row or (0, 0, 0, 0, 0, 0, None)
    return [
        ("Calls", f"{calls:,}"),
        ("Person reached", _of(persons, calls)),
        ("Connected", _of(connected, calls)),
        ("Calls with a failed transfer", f"{failed_transfers:,} of {transfers:,}"),
        ("Minutes", f"{minutes:,.0f}"),
        ("Average call duration", f"{mean_seconds:.0f} s" if mean_seconds is not None else "-"),
    ]


def _of(part: int, whole: int) -> str:
    return f"{part:,} ({part / whole:.0%})" if whole else "0"
