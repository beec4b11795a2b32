"""dlt: its declarative REST source with the offset paginator, one parallelized resource for each agent."""

import datetime as dt
import os

import dlt
from dlt.sources.rest_api import rest_api_source

PAGE_SIZE = 100
AGAIN = "BENCH_AGAIN" in os.environ  # the calls have landed before, and are to be replaced


def milliseconds(day: str, days: int = 0) -> int:
    start = dt.datetime.combine(dt.date.fromisoformat(day), dt.time(), dt.UTC) + dt.timedelta(days=days)
    return int(start.timestamp() * 1000)


def resource(model_id: str) -> dict:
    return {
        "name": f"calls_{model_id}",
        "table_name": "calls",
        **({"primary_key": "call_id"} if AGAIN else {}),
        "max_table_nesting": 0,
        "endpoint": {
            "path": "calls",
            "params": {
                "model_id": model_id,
                "from_date": milliseconds(os.environ["BENCH_FROM"]),
                "to_date": milliseconds(os.environ["BENCH_TO"], 1),
            },
            "data_selector": "response.calls",
            "paginator": {
                "type": "offset",
                "limit": PAGE_SIZE,
                "total_path": "response.pagination.total_records",
            },
        },
    }


source = rest_api_source(
    {
        "client": {
            "base_url": os.environ["BENCH_URL"] + "/",
            "auth": {"type": "bearer", "token": os.environ["BENCH_KEY"]},
        },
        "resources": [resource(model_id) for model_id in os.environ["BENCH_MODELS"].split(",")],
    }
)
# The resources' own `parallelized` has no effect in dlt 1.31: their pages would come one after the other.
source = source.parallelize()
pipeline = dlt.pipeline(
    "bench",
    pipelines_dir=os.environ["BENCH_FILE"] + ".dlt",
    destination=dlt.destinations.duckdb(os.environ["BENCH_FILE"]),
)
pipeline.run(source, loader_file_format="parquet", write_disposition="merge" if AGAIN else "append")
