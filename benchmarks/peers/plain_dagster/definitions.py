"""A plain Dagster asset: pages over a pool of 8 threads, all days of a backfill in one run, a DataFrame, the IO manager."""

import datetime as dt
import json
import os
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import dagster as dg
import pandas as pd
import requests
from dagster_duckdb_pandas import DuckDBPandasIOManager
from requests.adapters import HTTPAdapter

PAGE_SIZE, THREADS = 100, 8
partitions = dg.DailyPartitionsDefinition(start_date="2025-01-01")


def fetch_page(session: requests.Session, model_id: str, day: dt.date, offset: int) -> tuple[list[dict], int]:
    start = int(dt.datetime.combine(day, dt.time(), dt.UTC).timestamp() * 1000)
    parameters = {
        "model_id": model_id,
        "limit": PAGE_SIZE,
        "offset": offset,
        "from_date": start,
        "to_date": start + 86_400_000,
    }
    answer = session.get(f"{os.environ['BENCH_URL']}/calls", params=parameters, timeout=60)
    answer.raise_for_status()
    response = answer.json()["response"]
    return [{**row, "day": pd.Timestamp(day)} for row in response["calls"]], response["pagination"]["total_records"]


def fetch(model_ids: list[str], days: list[dt.date]) -> list[dict]:
    windows = list(product(model_ids, days))
    with requests.Session() as session, ThreadPoolExecutor(THREADS) as pool:
        session.mount("http://", HTTPAdapter(pool_maxsize=THREADS))
        session.headers["Authorization"] = f"Bearer {os.environ['BENCH_KEY']}"
        first = list(pool.map(lambda window: fetch_page(session, *window, 0), windows))
        rest = [
            (*window, offset)
            for window, (_, total) in zip(windows, first, strict=True)
            for offset in range(PAGE_SIZE, total, PAGE_SIZE)
        ]
        pages = [*first, *pool.map(lambda page: fetch_page(session, *page), rest)]
    return [row for rows, _ in pages for row in rows]


@dg.asset(
    partitions_def=partitions,
    backfill_policy=dg.BackfillPolicy.single_run(),
    metadata={"partition_expr": "day"},
    io_manager_key="warehouse",
)
def calls(context: dg.AssetExecutionContext) -> pd.DataFrame:
    days = [dt.date.fromisoformat(key) for key in context.partition_keys]
    frame = pd.DataFrame(fetch(os.environ["BENCH_MODELS"].split(","), days))
    nested = [name for name in frame if frame[name].map(lambda value: isinstance(value, (dict, list))).any()]
    for name in nested:
        frame[name] = frame[name].map(json.dumps)
    return frame


defs = dg.Definitions(
    assets=[calls],
    resources={"warehouse": DuckDBPandasIOManager(database=os.environ.get("BENCH_FILE", ""), schema="main")},
    executor=dg.in_process_executor,
)
