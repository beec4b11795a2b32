"""How long a report takes to be made, to open and to react, over many days and agents."""

from __future__ import annotations

import datetime as dt

from synthflow_assets.metrics import compute_metrics
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.statements import sql_file

_LOADS = """
INSERT INTO call_loads BY NAME
SELECT day, model_id, count(*) AS landed, 0 AS rejected, true AS settled, now() AS loaded_at
FROM calls
GROUP BY day, model_id
"""
_AGENTS = "INSERT INTO agents SELECT 'agent-' || n, 'Agent ' || n, 'inbound', now() FROM range($1) AS numbers (n)"


def fill_warehouse(warehouse: Warehouse, first: dt.date, days: int, agents: int, calls_per_day: int) -> None:
    """Put made-up calls where landing would, and compute every metric of them."""
    last = first + dt.timedelta(days=days - 1)
    amounts = {"first": first, "last": last, "agents": agents, "calls_per_day": calls_per_day}
    with warehouse.connect() as connection:
        connection.execute(sql_file(__package__ or "", "report_calls.sql"), amounts)
        connection.execute(_LOADS)
        connection.execute(_AGENTS, [agents])
        compute_metrics(connection, [first + dt.timedelta(days=number) for number in range(days)], Settings.of())
