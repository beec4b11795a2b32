"""Query the tables in SQL and in pandas.

After `make demo`, run:

    .venv/bin/python examples/analysis.py data/sandbox/warehouse.duckdb
"""

import calendar
import datetime as dt
import sys

import pandas as pd

from synthflow_assets import Warehouse, WarehouseError


def busiest_hours(warehouse: Warehouse) -> pd.DataFrame:
    """Return the hours of the week with the most concurrent calls, in SQL."""
    with warehouse.connect(read_only=True) as connection:  # runs wait while it is open
        return connection.execute("""
            SELECT dayname(day) AS weekday, local_hour, max(peak_concurrent_calls) AS most_concurrent_calls
            FROM workspace_load_hourly
            GROUP BY weekday, local_hour
            ORDER BY most_concurrent_calls DESC, weekday, local_hour
            LIMIT 5
        """).df()


def weekly_median(warehouse: Warehouse) -> pd.DataFrame:
    """Return the exact median of each week over all agents, in SQL.

    Daily medians cannot be combined. The macro computes the median from the histogram, for any days and any grouping.
    """
    with warehouse.connect(read_only=True) as connection:
        return connection.execute("""
            SELECT key AS week, connected_calls, median_duration_seconds
            FROM duration_summary_by('0001-01-01', '9999-12-31', date_trunc('week', day)::DATE)
            ORDER BY week
        """).df()


def weekday_pattern(warehouse: Warehouse) -> pd.DataFrame:
    """Return the mean number of calls of each agent by weekday, in pandas."""
    daily = warehouse.read_frame("call_duration_daily", to_day=dt.date.today())
    names = warehouse.read_frame("agents").set_index("model_id")["name"]
    daily["agent"] = daily["model_id"].map(names).fillna(daily["model_id"])
    daily["weekday"] = pd.to_datetime(daily["day"]).dt.day_name()
    pattern = daily.pivot_table("calls", index="agent", columns="weekday", aggfunc="mean").round(1)
    return pattern.reindex(columns=[day for day in calendar.day_name if day in pattern])


def reasons_that_grew(warehouse: Warehouse) -> pd.DataFrame:
    """Return how the share of each reason changed from the first half of the days to the second, in pandas."""
    reasons = warehouse.read_frame("disconnect_reasons_daily")
    days = pd.to_datetime(reasons["day"])
    if not days.min() < days.max():
        return pd.DataFrame()  # one day has no two halves
    half = (days > days.min() + (days.max() - days.min()) / 2).map({False: "before", True: "after"})
    calls = reasons.pivot_table("calls", index="disconnect_reason", columns=half, aggfunc="sum", fill_value=0)
    shares = calls / calls.sum()
    return shares.assign(change=shares["after"] - shares["before"]).sort_values("change", ascending=False).round(3)


def main(location: str) -> None:
    """Print the answers from the warehouse at this location."""
    warehouse = Warehouse(location)
    for question in (busiest_hours, weekly_median, weekday_pattern, reasons_that_grew):
        answer = question(warehouse)
        print(f"\n{question.__name__.replace('_', ' ').capitalize()}")
        print("No answer yet: this needs calls of more days." if answer.empty else answer.to_string())


if __name__ == "__main__":
    try:
        main(sys.argv[1] if len(sys.argv) > 1 else "data/warehouse.duckdb")
    except WarehouseError as error:
        sys.exit(f"Error: {error}")
