"""Exports to a bucket, over the protocol of S3, and how they are read."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import duckdb
import pandas as pd
import pytest
import requests
from pyarrow import fs

from synthflow_assets.erasure import erase_person
from synthflow_assets.errors import WarehouseUnusableError
from synthflow_assets.metrics import compute_metrics
from synthflow_assets.quality import NO_GAPS, find_problems
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.engines.buckets import open_bucket
from synthflow_assets.warehouse.export import EXPORTED_TABLES, examine_export_folder, export_again, export_days
from tests.lake.conftest import BUCKET

DAYS = [dt.date(2026, 3, 10), dt.date(2026, 3, 11)]
PHONE = "+14155550100"
INSERT = (
    "INSERT INTO calls BY NAME SELECT $1::DATE AS day, 'm' AS model_id, $2 AS call_id, 'completed' AS call_status, "
    "'person_reached' AS call_outcome, $3 AS lead_phone_number, now() AS start_time, now() AS loaded_at"
)


@pytest.fixture
def bucket(s3: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of the S3 server; the keys are in the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-real-key")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3)
    client = boto3.client("s3", endpoint_url=s3)
    yield client
    client.close()


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    made = Warehouse(str(tmp_path / "w.duckdb"))
    with made.connect() as connection:
        for number in range(3):
            connection.execute(INSERT, [DAYS[number // 2], f"c{number}", PHONE if number == 0 else None])
    return made


def keys(client: Any, prefix: str) -> list[str]:
    return [one["Key"] for one in client.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])]


def test_absent_exports_are_gaps_unless_the_bucket_cannot_be_listed(
    bucket: Any, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings.of(warehouse=warehouse.location, export_dir=f"s3://{BUCKET}/gaps")

    def gaps() -> list[str]:
        with warehouse.connect() as connection:
            return [str(one) for one in find_problems(connection, NO_GAPS, None, settings, DAYS[0])]

    with warehouse.connect() as connection:
        connection.execute(
            "INSERT INTO call_loads BY NAME SELECT $1::DATE AS day, 'm' AS model_id, now() AS loaded_at", DAYS[:1]
        )
        compute_metrics(connection, DAYS[:1], settings)
    assert gaps() == [f"{DAYS[0]}: no export is as new as its table"]
    with warehouse.connect() as connection:
        for table in EXPORTED_TABLES:
            export_days(connection, table.name, DAYS[:1], str(settings.export_folder))
    assert gaps() == []
    bucket.delete_object(Bucket=BUCKET, Key=f"gaps/calls/day={DAYS[0]}/calls.parquet")
    assert gaps() == [f"{DAYS[0]}: not exported since the table was written: calls"]
    # An outage must not keep the catch-up from fetching.
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert gaps() == []


@pytest.mark.parametrize("scheme", ["s3", "gs"])
def test_days_are_hive_partitions_that_are_replaced_and_forgotten(
    bucket: Any, s3: str, warehouse: Warehouse, scheme: str
) -> None:
    settings = Settings.of(warehouse=warehouse.location, export_dir=f"{scheme}://{BUCKET}/{scheme} out/")
    folder = settings.export_folder
    assert folder == f"{scheme}://{BUCKET}/{scheme} out"
    with warehouse.connect() as connection:
        assert [one.rows for one in export_days(connection, "calls", DAYS, folder).values()] == [2, 1]
        assert export_days(connection, "actions_daily", DAYS[:1], folder)[DAYS[0]].rows == 0
    written = keys(bucket, f"{scheme} out/")
    assert written == [
        f"{scheme} out/actions_daily/day=2026-03-10/actions_daily.parquet",
        *(f"{scheme} out/calls/day={day}/calls.parquet" for day in DAYS),
    ]
    with warehouse.connect() as connection:
        connection.execute("DELETE FROM calls WHERE call_id = 'c1'")
        assert export_again(connection, ["calls", "call_loads"], [*DAYS, dt.date(2026, 3, 12)], folder) == 2
    assert "1 export files rewritten" in list(erase_person(settings, PHONE))
    assert keys(bucket, f"{scheme} out/") == written

    with duckdb.connect() as connection:
        open_bucket(connection, folder)
        query = f"SELECT call_id, day, lead_phone_number FROM read_parquet('{folder}/calls/*/*.parquet') ORDER BY ALL"
        assert connection.execute(query).fetchall() == [("c0", DAYS[0], None), ("c2", DAYS[1], None)]
    frame = pd.read_parquet(f"{BUCKET}/{scheme} out/calls", filesystem=fs.S3FileSystem(endpoint_override=s3))
    assert frame[["call_id", "day"]].astype(str).to_numpy().tolist() == [["c0", "2026-03-10"], ["c2", "2026-03-11"]]


def test_a_bucket_that_cannot_be_written_is_one_line_without_keys(
    bucket: Any, s3: str, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failure(folder: str) -> str:
        with warehouse.connect() as connection, pytest.raises(WarehouseUnusableError) as raised:
            export_days(connection, "calls", DAYS, folder)
        assert "not-a-real-key" not in str(raised.value)
        assert "testing" not in str(raised.value)
        return str(raised.value)

    examine_export_folder(f"s3://{BUCKET}/x")
    with pytest.raises(WarehouseUnusableError, match="s3://nobodys/x: there is no such bucket"):
        examine_export_folder("s3://nobodys/x")
    assert failure("s3://nobodys/x") == (
        "cannot export to s3://nobodys/x: there is no such bucket. Check SYNTHFLOW_EXPORT_DIR"
    )
    requests.post(f"{s3}/moto-api/reset-auth", data=b"0", timeout=10)  # from now on, keys are checked
    try:
        assert "the keys do not allow it" in failure(f"s3://{BUCKET}/x")
    finally:
        requests.post(f"{s3}/moto-api/reset-auth", data=b"inf", timeout=10)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert "the server cannot be reached" in failure(f"s3://{BUCKET}/x")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert "no keys are found" in failure(f"gs://{BUCKET}/x")
    assert keys(bucket, "x") == []
