"""Decodes records as a run does: through the page reader, then the SQL."""

import json
from functools import cache
from typing import Any

import duckdb

from synthflow_assets.api.pages import CallPage, parse_calls
from synthflow_assets.warehouse.decoding import decode_sql

START_MS = 1_773_100_800_000


def decode(*records: Any, pii: str = "keep", key: str = "") -> list[dict[str, Any]]:
    texts = [record if isinstance(record, str) else json.dumps(record) for record in records]
    return decode_page(parse_calls(page_of(*texts)), pii, key)


def decode_page(page: CallPage, pii: str = "keep", key: str = "") -> list[dict[str, Any]]:
    connection = decoder(pii, key)
    connection.execute("DELETE FROM source")
    connection.execute(
        "INSERT INTO source SELECT DATE '2026-03-10', 'agent', unnest($1::VARCHAR[]), $2, $3",
        [[call.raw.decode() for call in page.calls], START_MS, START_MS + 86_400_000],
    )
    result = connection.execute("EXECUTE decode")
    names = [column[0] for column in result.description or []]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def page_of(*records: str) -> bytes:
    body = f'{{"response":{{"pagination":{{"total_records":{len(records)}}},"calls":[{",".join(records)}]}}}}'
    return body.encode("utf-8", "surrogatepass")


@cache
def decoder(pii: str, key: str) -> duckdb.DuckDBPyConnection:
    """Return a connection with a prepared decoder of `source`, because planning takes longer than decoding."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("CREATE TABLE source (day DATE, model_id VARCHAR, record VARCHAR, from_ms BIGINT, to_ms BIGINT)")
    connection.execute(f"PREPARE decode AS {decode_sql('source', pii, key)}")
    return connection


def call(**fields: Any) -> dict[str, Any]:
    return {"call_id": "c1", "model_id": "agent", "start_time": str(START_MS), **fields}
