"""A plain Dagster asset: requests in a loop, a DataFrame, the DuckDB IO manager."""

import datetime as dt
import json
import os

import dagster as dg
import pandas as pd
import requests
from dagster_duckdb_pandas import DuckDBPandasIOManager

PAGE_SIZE = 100
partitions = dg.DailyPartitionsDefinition(start_date="2025-01-01")


def fetch(model_id: str, day: dt.date) -> list[dict]:
    start = int(dt.datetime.combine(day, dt.time(), dt.UTC).timestamp() * 1000)
    rows: list[dict] = []
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {os.environ['BENCH_KEY']}"
        while True:
            parameters = {
                "model_id": model_id,
                "limit": PAGE_SIZE,
                "offset": len(rows),
                "from_date": start,
                "to_date": start + 86_400_000,
            }
            answer = session.get(f"{os.environ['BENCH_URL']}/calls", params=parameters, timeout=60)
            answer.raise_for_status()
            page = answer.json()["response"]["calls"]
            rows += page
            if len(page) < PAGE_SIZE:
                return rows


@dg.asset(partitions_def=partitions, metadata={"partition_expr": "day"}, io_manager_key="warehouse")
def calls(context: dg.AssetExecutionContext) -> pd.DataFrame:
    day = dt.date.fromisoformat(context.partition_key)
    rows = [row for model_id in os.environ["BENCH_MODELS"].split(",") for row in fetch(model_id, day)]
    frame = pd.DataFrame(rows)
    nested = [name for name in frame if frame[name].map(lambda value: isinstance(value, (dict, list))).any()]
    for name in nested:
        frame[name] = frame[name].map(json.dumps)
    return frame.assign(day=pd.Timestamp(day))


defs = dg.Definitions(
    assets=[calls],
    resources={"warehouse": DuckDBPandasIOManager(database=os.environ.get("BENCH_FILE", ""), schema="main")},
    executor=dg.in_process_executor,
)
