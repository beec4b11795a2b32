"""What no tool can beat: to download the same pages with nothing else done, and to store the finished rows.

`download` asks for every page over 32 connections and throws it away. `finish` writes the rows of a landed warehouse to
a file, which does not count, and `store` lets DuckDB make a table of them.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import urllib3

_CONNECTIONS = 32
_PAGE_SIZE = 100
_DAY_MS = 86_400_000


def download() -> None:
    """Every page of every agent, the whole span as one window; the bodies are read and nothing else."""
    pool = urllib3.PoolManager(maxsize=_CONNECTIONS, headers={"Authorization": f"Bearer {os.environ['BENCH_KEY']}"})
    first, last = (dt.date.fromisoformat(os.environ[name]) for name in ("BENCH_FROM", "BENCH_TO"))
    from_ms = int(dt.datetime.combine(first, dt.time(), dt.UTC).timestamp() * 1000)
    window = {"limit": _PAGE_SIZE, "from_date": from_ms, "to_date": from_ms + ((last - first).days + 1) * _DAY_MS}

    def page(model_id: str, offset: int) -> bytes:
        return pool.request(
            "GET", f"{os.environ['BENCH_URL']}/calls", fields={**window, "model_id": model_id, "offset": offset}
        ).data

    def total(model_id: str) -> int:
        return int(json.loads(page(model_id, 0))["response"]["pagination"]["total_records"])

    with ThreadPoolExecutor(_CONNECTIONS) as threads:
        model_ids = os.environ["BENCH_MODELS"].split(",")
        rest = [
            (model_id, offset)
            for model_id, calls in zip(model_ids, threads.map(total, model_ids), strict=True)
            for offset in range(_PAGE_SIZE, calls, _PAGE_SIZE)
        ]
        list(threads.map(lambda one: len(page(*one)), rest))


def finish() -> None:
    """The landed rows, as a file beside the warehouse; the warehouse is removed."""
    warehouse, rows = Path(os.environ["BENCH_FILE"]), Path(os.environ["BENCH_FOLDER"]) / "rows.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{warehouse}' AS landed (READ_ONLY)")
        connection.execute(f"COPY landed.synthflow.calls TO '{rows}'")
    warehouse.unlink()


def store() -> None:
    """A table of the finished rows."""
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{os.environ['BENCH_FILE']}' AS stored")
        rows = Path(os.environ["BENCH_FOLDER"]) / "rows.parquet"
        connection.execute(f"CREATE TABLE stored.main.calls AS FROM '{rows}'")


if __name__ == "__main__":
    {"download": download, "finish": finish, "store": store}[sys.argv[1]]()
