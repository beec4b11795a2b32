"""An asset of the agency, over the calls of all clients."""

from pathlib import Path

import dagster as dg

from synthflow_assets import CombinedWarehouse, Warehouse

ROOT = Path(__file__).parents[3]
CLIENTS = ("acme", "globex")


@dg.asset(deps=[dg.AssetKey([client, "call_duration_daily"]) for client in CLIENTS], kinds={"pandas"})
def calls_by_client() -> dg.MaterializeResult[None]:
    """Write the calls and seconds of each client to a CSV file."""
    file = str(ROOT / "data" / "agency.duckdb")
    warehouse = CombinedWarehouse({client: Warehouse(file, client) for client in CLIENTS})
    daily = warehouse.read_frame("call_duration_daily")
    totals = daily.groupby("workspace")[["calls", "total_duration_seconds"]].sum()
    totals.to_csv(ROOT / "data" / "calls_by_client.csv")
    return dg.MaterializeResult(metadata={"calls": dg.MetadataValue.md(f"```\n{totals.to_string()}\n```")})
