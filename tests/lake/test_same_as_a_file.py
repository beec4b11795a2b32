"""A lake gives the same results as a file: every table, check, frame, export, report and command."""

import datetime as dt
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import psycopg2
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from pyarrow import fs

from synthflow_assets.api.client import SynthflowClient
from synthflow_assets.cli import main
from synthflow_assets.doctor import Finding, examine
from synthflow_assets.interfaces import FetchResult
from synthflow_assets.loading import load_calls, resolve_agents
from synthflow_assets.metrics import compute_metrics
from synthflow_assets.quality import CHECKS, FRESHNESS, Check, find_problems
from synthflow_assets.recordings import store_recordings
from synthflow_assets.report import write_report
from synthflow_assets.sandbox.config import DEFAULT_API_KEY, SandboxConfig
from synthflow_assets.sandbox.server import Sandbox
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.combined import CombinedWarehouse
from synthflow_assets.warehouse.connection import Warehouse, days_query
from synthflow_assets.warehouse.content import content_versions
from synthflow_assets.warehouse.export import export_days, export_path
from synthflow_assets.warehouse.frames import with_dtypes
from synthflow_assets.warehouse.landing import land
from synthflow_assets.warehouse.metric_tables import METRIC_TABLES
from synthflow_assets.warehouse.schema import LANDED_TABLES, SCHEMA_VERSION, TABLES, VIEWS
from synthflow_assets.warehouse.staging import Partition, Staging
from tests.conftest import THREADS_VARIABLE
from tests.lake.conftest import Lake, SharedByWorkers, copied_lake

DAYS = [dt.date(2026, 3, 9) + dt.timedelta(days=number) for number in range(3)]
START_MS = int(dt.datetime(2026, 3, 9, tzinfo=dt.UTC).timestamp() * 1000)
PERSON = "+14155550123"
# Columns that differ between two runs.
OF_THE_RUN = ("loaded_at", "calls_loaded_at", "computed_at", "run_id", "salt", "phone_hash", "forgotten_at")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(SandboxConfig(calls_per_day=60, agents=2)) as started:
        yield started


@pytest.fixture(scope="module")
def landed(sandbox: Sandbox, shared: SharedByWorkers, postgres: str) -> tuple[Path, Lake]:
    """A file and a lake with the same days of the same workspace, and their metrics. Two days landed twice.

    One thread writes the file, two threads the lake.
    """
    settings = Settings.of(api_key=DEFAULT_API_KEY, base_url=sandbox.url)

    def fill(lake: Lake, folder: Path) -> None:
        for threads, warehouse in (("1", Warehouse(folder / "w.duckdb")), ("2", lake.warehouse())):
            with SynthflowClient.from_settings(settings) as client, pytest.MonkeyPatch.context() as environment:
                environment.setenv(THREADS_VARIABLE, threads)
                agents = resolve_agents(client, settings).agents
                for days in (DAYS, DAYS[:2]):
                    outcomes = list(load_calls(client, warehouse, settings, agents, days, log=lambda _: None))
                    assert all(hasattr(outcome, "landed") for outcome in outcomes)
                with warehouse.connect() as connection:
                    compute_metrics(connection, DAYS, settings)

    lake, folder = shared.lake("landed", postgres, fill)
    return folder / "w.duckdb", lake


@pytest.fixture
def both(
    landed: tuple[Path, Lake], sandbox: Sandbox, settings_for: Callable[..., Settings], postgres: str, tmp_path: Path
) -> Iterator[dict[str, Settings]]:
    """Settings of copies of the file and of the lake."""
    file, source = landed
    with copied_lake(source, postgres, tmp_path / "lake") as lake:
        yield {
            "file": settings_for(
                sandbox, export_dir=str(tmp_path / "export-file"), warehouse=str(shutil.copy(file, tmp_path))
            ),
            "lake": settings_for(
                sandbox,
                export_dir=str(tmp_path / "export-lake"),
                warehouse=lake.location,
                lake_data_path=lake.data_path,
            ),
        }


def tables(settings: Settings) -> dict[str, pd.DataFrame]:
    """Read all tables as `read_frame` does, but over one connection, because opening a lake takes longer."""
    found = {}
    with Warehouse.from_settings(settings).connect(read_only=True) as connection:
        for name, table in TABLES.items():
            query, days = days_query(table, None, None)
            found[name] = with_dtypes(connection.execute(query, days).df(), table.columns)
    return found


def assert_same_tables(places: dict[str, Settings]) -> None:
    file, lake = tables(places["file"]), tables(places["lake"])
    for table in TABLES:
        frames = [kind[table].drop(columns=list(OF_THE_RUN), errors="ignore") for kind in (file, lake)]
        pd.testing.assert_frame_equal(*frames, obj=table)


def problems(settings: Settings, checks: Sequence[Check] = (*CHECKS, FRESHNESS)) -> list[str]:
    with Warehouse.from_settings(settings).connect(read_only=True) as connection:
        return [str(one) for check in checks for one in find_problems(connection, check, None, settings, DAYS[-1])]


def test_tables_checks_views_exports_and_report(both: dict[str, Settings], tmp_path: Path) -> None:
    assert_same_tables(both)
    assert len(Warehouse.from_settings(both["lake"]).read_frame("call_duration_daily")) == 6
    assert problems(both["lake"]) == problems(both["file"])
    views: dict[str, list[Any]] = {}
    pages: dict[str, str] = {}
    versions: dict[str, list[Any]] = {}
    for kind, settings in both.items():
        warehouse = Warehouse.from_settings(settings)
        with warehouse.connect(read_only=True) as connection:
            views[kind] = [connection.execute(f"FROM {view.name} ORDER BY ALL").fetchall() for view in VIEWS]
            versions[kind] = [
                content_versions(connection, table, DAYS) for table in (*LANDED_TABLES, *METRIC_TABLES, *VIEWS)
            ]
            export_days(connection, "calls", DAYS, settings.export_folder)
        path = tmp_path / f"{kind}.html"
        write_report(warehouse, Settings.of(), path, DAYS[0], DAYS[-1], made_at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
        pages[kind] = path.read_text()
    assert views["lake"] == views["file"]
    assert versions["lake"] == versions["file"]
    assert len(set(versions["file"][0].values())) == len(DAYS)
    assert pages["lake"] == pages["file"]
    exported = {
        kind: duckdb.read_parquet(f"{settings.export_folder}/calls/*.parquet").df().drop(columns="loaded_at")
        for kind, settings in both.items()
    }
    pd.testing.assert_frame_equal(exported["file"], exported["lake"])


def test_all_metrics_of_a_run_are_one_commit(both: dict[str, Settings]) -> None:
    with Warehouse.from_settings(both["lake"]).connect() as connection:
        snapshots = "SELECT count(*) FROM ducklake_snapshots('warehouse')"
        [(before,)] = connection.execute(snapshots).fetchall()
        compute_metrics(connection, DAYS, both["lake"])
        assert connection.execute(snapshots).fetchall() == [(before + 1,)]
    assert_same_tables(both)


def test_recordings_checks_doctor_and_several_workspaces(
    both: dict[str, Settings], postgres: str, tmp_path: Path
) -> None:
    settings = both["lake"]
    warehouse = Warehouse.from_settings(settings)
    with SynthflowClient.from_settings(settings) as client:
        counts = store_recordings(client, warehouse, str(tmp_path / "audio"), DAYS[:1], print)
        assert counts.stored > 5
        assert store_recordings(client, warehouse, str(tmp_path / "audio"), DAYS[:1], print).stored == 0
    assert warehouse.read_frame("call_recordings")["location"].notna().sum() == counts.stored

    everybody = CombinedWarehouse(
        {
            "file": Warehouse(both["file"].warehouse),
            "lake": Warehouse(settings.warehouse),
            "again": Warehouse(settings.warehouse),
        }
    )
    calls = everybody.read_frame("call_duration_daily").groupby("workspace")["calls"].sum()
    assert calls["file"] == calls["lake"] == calls["again"]

    def doctor_says(**values: Any) -> Finding:
        return next(one for one in examine(settings.model_copy(update=values)) if one.subject == "warehouse")

    # Later days never landed.
    said = doctor_says().text
    assert " calls from 2026-03-09 to 2026-03-11. " in said
    assert " days have gaps, from 2026-03-" in said
    nowhere = f"ducklake:postgres:dbname=nowhere {postgres}"
    assert 'database "nowhere" does not exist' in doctor_says(warehouse=nowhere).text
    empty = f"ducklake:postgres:dbname=postgres {postgres}"
    assert "does not exist yet. The first run creates it." in doctor_says(warehouse=empty).text
    assert "SYNTHFLOW_LAKE_DATA_PATH is not set" in doctor_says(warehouse=empty, lake_data_path=None).text

    with warehouse.connect() as connection:
        connection.execute("INSERT INTO calls FROM calls LIMIT 1")
    [unique] = [check for check in CHECKS if check.name == "unique_call_ids"]
    assert any("have a call_id that is in the table 2 times" in problem for problem in problems(settings, [unique]))


# Rejected records and personal data


def record(call_id: str, **fields: Any) -> dict[str, Any]:
    return {
        "call_id": call_id,
        "start_time": START_MS,
        "duration": 5,
        "lead_phone_number": "+14155550999",
        "agent_phone_number": "+14155550100",
        "transcript": "human: hello",
        **fields,
    }


PEOPLE = [
    record("theirs", lead_phone_number=PERSON, lead_name="AAMARK", collected_variables={"a": {"value": "VARMARK"}}),
    record("mentioned", transcript="human: call me at 14155550123, ZZMARK"),
    record("another", lead_name="SOMEBODY"),
    record("rejected", lead_phone_number=PERSON, duration="long"),
]
MARKS = ("4155550123", "AAMARK", "VARMARK", "ZZMARK")


def put(warehouse: Warehouse, records: list[dict[str, Any]]) -> None:
    with warehouse.connect() as connection:
        put_now(connection, records)


def put_now(
    connection: duckdb.DuckDBPyConnection, records: list[dict[str, Any]], vanished_fields: str = "mirror"
) -> None:
    with Staging() as staging:
        partition = Partition(DAYS[0], "m")
        staging.add(partition, [json.dumps(one).encode() for one in records])
        staging.complete(partition, FetchResult(len(records), len(records), 0, 0, 0, 1, closed=True))
        land(connection, staging.take_ready(), "run", dt.datetime.now(dt.UTC), vanished_fields=vanished_fields)


def traces(lake: Lake) -> Iterator[str]:
    """Yield all that a lake stores: the bytes and the values of its files, and the catalog."""
    if lake.data_path.startswith("s3://"):
        store, path = fs.FileSystem.from_uri(lake.data_path)
    else:
        store, path = fs.LocalFileSystem(), lake.data_path
    with duckdb.connect() as files:
        for info in store.get_file_info(fs.FileSelector(path, recursive=True)):
            if info.is_file:
                content = store.open_input_file(info.path).read()
                yield content.decode("latin-1")
                Path("one.parquet").write_bytes(content)
                yield str(files.execute("FROM 'one.parquet'").fetchall())
    connection = psycopg2.connect(lake.dsn)
    with connection.cursor() as cursor:
        cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
        for (table,) in cursor.fetchall():
            cursor.execute(f'SELECT * FROM "{table}"')
            yield str(cursor.fetchall())
    connection.close()


def marks_found(lake: Lake) -> set[str]:
    return {mark for trace in traces(lake) for mark in MARKS if mark in trace}


@pytest.mark.parametrize("kind", ["lake", "lake_on_s3"])
def test_an_erased_person_is_in_no_file_snapshot_or_statistic(
    kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake: Lake = request.getfixturevalue(kind)
    warehouse = lake.warehouse()
    for _ in range(2):  # so that there are older files too
        put(warehouse, PEOPLE)
    assert marks_found(lake) == set(MARKS)
    for name, value in lake.environment().items():
        monkeypatch.setenv(name, value)
    said = CliRunner().invoke(main, ["forget", "--phone", PERSON, "--yes"])
    assert said.exit_code == 0, said.output
    assert "2 calls: personal columns set to NULL" in said.output
    assert marks_found(lake) == set()
    frame = warehouse.read_frame("calls").set_index("call_id")
    assert frame.loc["another", "lead_name"] == "SOMEBODY"
    assert frame["duration_seconds"].tolist() == [5, 5, 5]
    # The erasure invalidates statistics; they must not hide a row.
    with warehouse.connect(read_only=True) as connection:
        assert connection.execute("SELECT call_id FROM calls WHERE lead_name = 'SOMEBODY'").fetchall() == [("another",)]
        assert connection.execute("SELECT call_id FROM calls WHERE lead_name > 'A'").fetchall() == [("another",)]


def test_rejected_records_are_tried_again(lake: Lake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    warehouse = lake.warehouse()
    put(warehouse, [record("good")])
    with warehouse.connect() as connection:
        connection.execute(
            "INSERT INTO call_rejects VALUES ($1, 'm', 'not known yet', $2, now())",
            [DAYS[0], json.dumps(record("better", start_time=START_MS + 85_800_000, duration=3600))],
        )
        connection.execute("UPDATE call_loads SET rejected = 1, fetched = 2, total_records = 2")
        connection.execute(
            "INSERT INTO call_loads BY NAME SELECT * REPLACE (day + 1 AS day, 0 AS landed) FROM call_loads"
        )
        export_days(connection, "calls", DAYS[:1], tmp_path)
    for name, value in {**lake.environment(), "SYNTHFLOW_EXPORT_DIR": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    said = CliRunner().invoke(main, ["rejects", "--retry"])
    assert "1 records landed now, on 1 days" in said.output, said.output
    assert "metrics and exports are up to date" in said.output
    assert pq.read_metadata(export_path(tmp_path, "calls", DAYS[0])).num_rows == 2
    assert warehouse.read_frame("calls")["call_id"].tolist() == ["better", "good"]
    assert warehouse.read_frame("call_loads", DAYS[0], DAYS[0])["rejected"].tolist() == [0]
    # The call began ten minutes before midnight, and 50 of its 60 minutes are in the next day.
    assert warehouse.read_frame("call_load_hourly", DAYS[1])["agent_minutes"].sum() == 50


def test_an_older_lake_is_migrated_and_vanished_fields_can_be_kept(lake: Lake) -> None:
    """An earlier version lacked two of the fields and two of the tables."""
    warehouse = lake.warehouse()
    put(warehouse, [record("a", labels=["vip"], mood=1, lead_name="KEPT")])
    with warehouse.connect() as connection:
        connection.execute("ALTER TABLE calls DROP COLUMN labels; ALTER TABLE calls DROP COLUMN assistant_version")
        connection.execute("DROP TABLE call_recordings; DROP TABLE forgotten")
        extra = json.dumps({"labels": ["vip"], "assistant_version": "3", "mood": 1})
        connection.execute("UPDATE calls SET extra = $1::JSON", [extra])
        connection.execute("UPDATE schema_version SET version = 0")
    with warehouse.connect() as connection:
        row = connection.execute("SELECT labels, assistant_version, extra FROM calls").fetchone()
        assert row == (["vip"], "3", '{"mood":1}')
        assert connection.execute("SELECT count(*) FROM forgotten").fetchone() == (0,)
        assert connection.execute("SELECT version FROM schema_version").fetchall() == [(SCHEMA_VERSION,)]
        put_now(connection, [{**record("a"), "transcript": None}], vanished_fields="keep")
        row = connection.execute("SELECT lead_name, transcript IS NOT NULL FROM calls").fetchone()
        assert row == ("KEPT", True)
        connection.execute("UPDATE schema_version SET version = 99")
    with pytest.raises(Exception, match="created by a later version"):
        warehouse.read_frame("calls")
