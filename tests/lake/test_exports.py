"""Exports to a bucket, over the protocol of S3, and how they are read."""

import datetime as dt
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import boto3
import dagster as dg
import duckdb
import pandas as pd
import pytest
import requests
from pyarrow import fs

from synthflow_assets.erasure import erase_person
from synthflow_assets.errors import BucketUnreachableError, SettingsError, WarehouseUnusableError
from synthflow_assets.metrics import compute_metrics
from synthflow_assets.orchestration.build import build_synthflow_defs
from synthflow_assets.quality import NO_GAPS, find_problems
from synthflow_assets.sandbox.server import Sandbox
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
def warehouse(empty_file: Path, tmp_path: Path) -> Warehouse:
    made = Warehouse(shutil.copy(empty_file, tmp_path / "w.duckdb"))
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


def test_what_changed_while_the_bucket_was_down_is_found_and_exported_by_the_next_run(
    bucket: Any,  # noqa: ARG001
    s3: str,
    warehouse: Warehouse,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also if no look-back reaches the day any more. A bucket does not tell how old an object is."""
    settings = Settings.of(
        warehouse=warehouse.location, export_dir=f"s3://{BUCKET}/down", start_date=DAYS[0], previews=False
    )
    exports = [dg.AssetKey(["synthflow", f"{table.name}_export"]) for table in EXPORTED_TABLES]
    job = build_synthflow_defs(settings).resolve_job_def("synthflow_daily")

    def load_and_compute(day: dt.date) -> None:
        with warehouse.connect() as connection:
            connection.execute("DELETE FROM call_loads WHERE day = $1", [day])
            row = "SELECT $1::DATE AS day, 'm' AS model_id, now() AS loaded_at"
            connection.execute(f"INSERT INTO call_loads BY NAME {row}", [day])
            compute_metrics(connection, [day], settings)

    def export(day: dt.date) -> bool:
        with dg.DagsterInstance.ephemeral() as instance:
            run = job.execute_in_process(
                instance=instance, partition_key=f"{day}", asset_selection=exports, raise_on_error=False
            )
            return run.success

    def gaps() -> list[str]:
        with warehouse.connect() as connection:
            return [str(one) for one in find_problems(connection, NO_GAPS, None, settings, DAYS[1])]

    load_and_compute(DAYS[0])
    assert export(DAYS[0])
    assert gaps() == []
    with warehouse.connect() as connection:
        connection.execute(INSERT, [DAYS[0], "late", None])
    load_and_compute(DAYS[0])
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert not export(DAYS[0])
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3)
    [gap] = gaps()
    assert gap == f"{DAYS[0]}: no export is as new as its table"
    load_and_compute(DAYS[1])
    assert export(DAYS[1])
    assert gaps() == []
    with duckdb.connect() as connection:
        open_bucket(connection, str(settings.export_folder))
        found = connection.execute(
            f"SELECT count(*) FROM 's3://{BUCKET}/down/calls/day={DAYS[0]}/*.parquet'"
        ).fetchone()
    assert found == (3,)


def run_a_day(settings: Settings) -> tuple[bool, str, set[str]]:
    """Whether a daily run succeeds, the messages of its failures, and the assets that it wrote."""
    job = build_synthflow_defs(settings).resolve_job_def("synthflow_daily")
    with dg.DagsterInstance.ephemeral() as instance:
        run = job.execute_in_process(instance=instance, partition_key=f"{DAYS[0]}", raise_on_error=False)
    failures = [event.step_failure_data.error for event in run.all_events if event.is_step_failure]
    written = {event.asset_key.path[-1] for event in run.get_asset_materialization_events()}
    return run.success, " ".join(error.message for error in failures if error), written


def test_a_bucket_that_is_not_there_fails_the_run_before_anything_is_fetched_or_written(
    bucket: Any,  # noqa: ARG001
    start_sandbox: Callable[..., Sandbox],
    settings_for: Callable[..., Settings],
    tmp_path: Path,
) -> None:
    sandbox = start_sandbox(agents=1, calls_per_day=5)
    none = str(tmp_path / "none.duckdb")
    settings = settings_for(sandbox, warehouse=none, export_dir="s3://nobodys/x", previews=False)
    success, message, written = run_a_day(settings)
    assert not success
    assert "cannot export to s3://nobodys/x: there is no such bucket. Check export_dir" in message
    assert (written, sandbox.api.requests) == (set(), [])
    assert not Path(settings.warehouse).exists()


def test_a_bucket_that_cannot_be_reached_does_not_cost_the_day(
    bucket: Any,  # noqa: ARG001
    start_sandbox: Callable[..., Sandbox],
    settings_for: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    settings = settings_for(start_sandbox(agents=1, calls_per_day=5), export_dir=f"s3://{BUCKET}/x", previews=False)
    success, message, written = run_a_day(settings)
    assert not success
    assert message.count("cannot export to") == 1
    assert "the server cannot be reached" in message
    assert {"calls", "call_rates_daily", "call_report"} <= written


@pytest.mark.parametrize("address", ["127.0.0.1:9", "localhost:9000", "s3.example.com", "ftp://host", "https://"])
def test_an_endpoint_that_is_no_address_is_no_outage(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    with pytest.raises(SettingsError, match=r"^AWS_ENDPOINT_URL is not usable .*; allowed is an address such as https"):
        examine_export_folder("s3://calls/x")


def test_keys_that_may_only_list_are_found_before_a_run(bucket: Any, s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    statement = {"Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": "*"}
    with closing(boto3.client("iam", endpoint_url=s3, region_name="us-east-1")) as iam:
        iam.create_user(UserName="reader")
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_user_policy(UserName="reader", PolicyName="list", PolicyDocument=policy)
        key = iam.create_access_key(UserName="reader")["AccessKey"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    requests.post(f"{s3}/moto-api/reset-auth", data=b"0", timeout=10)  # from now on, keys are checked
    try:
        with pytest.raises(WarehouseUnusableError, match="the keys do not allow it") as raised:
            examine_export_folder(f"s3://{BUCKET}/listed")
    finally:
        requests.post(f"{s3}/moto-api/reset-auth", data=b"inf", timeout=10)
    assert not isinstance(raised.value, BucketUnreachableError)
    assert keys(bucket, "listed") == []


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


@pytest.mark.usefixtures("bucket")
def test_nothing_is_forgotten_if_the_bucket_cannot_be_reached(
    s3: str, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the exports would keep the person, and no command would know."""
    settings = Settings.of(warehouse=warehouse.location, export_dir=f"s3://{BUCKET}/forget")
    with warehouse.connect() as connection:
        export_days(connection, "calls", DAYS, settings.export_folder)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(WarehouseUnusableError, match=r"server cannot be reached.* The tables are unchanged"):
        list(erase_person(settings, PHONE))
    with warehouse.connect() as connection:
        assert connection.execute("SELECT count(lead_phone_number) FROM calls").fetchone() == (1,)
        assert connection.execute("SELECT count(*) FROM forgotten").fetchone() == (0,)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3)
    assert "1 export files rewritten" in list(erase_person(settings, PHONE))


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
    assert keys(bucket, "x") == ["x/_synthflow_probe.parquet"]
