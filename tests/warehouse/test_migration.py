"""A warehouse of an earlier version is migrated without loss; one of a later version is refused."""

import datetime as dt
import hashlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from synthflow_assets.api.client import SynthflowClient
from synthflow_assets.errors import WarehouseUnusableError
from synthflow_assets.loading import load_calls, resolve_agents
from synthflow_assets.metrics import compute_metrics
from synthflow_assets.quality import NO_GAPS, find_problems
from synthflow_assets.sandbox.server import Sandbox
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.metric_tables import METRIC_TABLES
from synthflow_assets.warehouse.schema import CALLS, DERIVED_COLUMNS, MACROS, SCHEMA_VERSION, TABLES, VIEWS
from synthflow_assets.warehouse.statements import sql_file
from tests.conftest import DAY

# The fingerprint of all tables, views and macros. When this test fails, raise SCHEMA_VERSION and set both here.
PINNED = (8, "07444d553b2b")


def fingerprint() -> str:
    queries = [sql_file("synthflow_assets.warehouse.sql", f"{one.name}.sql") for one in (*VIEWS, *MACROS)]
    text = "\n".join([*(table.ddl() for table in TABLES.values()), *queries])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def test_every_change_of_the_schema_raises_its_version() -> None:
    assert (SCHEMA_VERSION, fingerprint()) == PINNED


@pytest.fixture
def old(tmp_path: Path) -> Warehouse:
    """A file of an earlier version, which lacked four of the fields and all tables but `calls`."""
    path = tmp_path / "old.duckdb"
    missing = ("labels", "judge_results", "telephony_ringing_duration_ms", "assistant_version")
    columns = ", ".join(f'"{c.name}" {c.sql_type}' for c in CALLS.columns if c.name not in missing)
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{path}' AS warehouse")
        connection.execute("USE warehouse")
        connection.execute(f"CREATE SCHEMA synthflow; CREATE TABLE synthflow.calls ({columns})")
        connection.execute(
            "INSERT INTO synthflow.calls BY NAME SELECT DATE '2026-03-10' AS day, 'm' AS model_id, 'a' AS call_id, "
            "now() AS start_time, now() AS loaded_at, 5 AS duration_seconds, "
            """'{"labels":["vip"],"judge_results":{"polite":"true"},"telephony_ringing_duration":"long","""
            """"assistant_version":"3","mood":1}' AS extra"""
        )
    return Warehouse(str(path))


def test_new_columns_are_filled_from_extra(old: Warehouse) -> None:
    with old.connect() as connection:
        row = connection.execute(
            "SELECT duration_seconds, labels, judge_results, assistant_version, telephony_ringing_duration_ms, extra "
            "FROM synthflow.calls"
        ).fetchone()
        assert row is not None
        # What cannot be typed stays where it was.
        assert row[:5] == (5, ["vip"], '{"polite":"true"}', "3", None)
        assert row[5] == '{"telephony_ringing_duration":"long","mood":1}'
        tables = {name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        assert tables >= set(TABLES)
    with old.connect() as connection:
        assert connection.execute("SELECT version FROM synthflow.schema_version").fetchall() == [(SCHEMA_VERSION,)]


def test_an_old_file_can_be_read_but_is_not_changed_by_readers(old: Warehouse) -> None:
    with old.connect(read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM synthflow.calls").fetchone() == (1,)
    with pytest.raises(WarehouseUnusableError, match="lacks tables of this version"):
        old.read_frame("call_loads")


@pytest.mark.parametrize("read_only", [False, True])
def test_a_later_version_is_refused(old: Warehouse, read_only: bool) -> None:
    with old.connect() as connection:
        connection.execute("UPDATE synthflow.schema_version SET version = version + 1")
    with (
        pytest.raises(WarehouseUnusableError, match=r"created by a later version.*pip install --upgrade"),
        old.connect(read_only=read_only),
    ):
        pass


def test_metrics_of_old_calls_can_be_computed_and_summarized(old: Warehouse) -> None:
    with old.connect() as connection:
        connection.execute("UPDATE calls SET call_status = 'completed'")
        connection.execute(
            "INSERT INTO call_loads BY NAME SELECT DATE '2026-03-10' AS day, 'm' AS model_id, 1 AS landed, "
            "now() AS loaded_at"
        )
        compute_metrics(connection, [dt.date(2026, 3, 10)], Settings.of())
        for table in METRIC_TABLES:
            assert connection.execute(f"SELECT count(*) FROM {table.name}").fetchone() != (0,) or table.name in EMPTY
    with duckdb.connect() as other:
        other.execute(f"ATTACH '{old.location}' AS warehouse (READ_ONLY); USE warehouse")
        found = other.execute("SELECT max_duration_seconds FROM synthflow.duration_summary('2026-03-10', '2026-03-10')")
        assert found.fetchall() == [(5,)]


EMPTY = ("attempts_daily", "actions_daily", "collected_variables_daily", "transfers_daily")  # the old call has neither


@pytest.fixture
def older(
    start_sandbox: Callable[..., Sandbox], settings_for: Callable[..., Settings], tmp_path: Path
) -> Callable[[str], tuple[Warehouse, Warehouse]]:
    """Lands the sandbox's calls; returns their warehouse, and a copy as a version without derived columns made it."""

    def make(pii: str) -> tuple[Warehouse, Warehouse]:
        settings = settings_for(start_sandbox(calls_per_day=60), pii=pii, pii_key="a long random text")
        fresh = Warehouse.from_settings(settings)
        with SynthflowClient.from_settings(settings) as client:
            agents = resolve_agents(client, settings).agents
            list(load_calls(client, fresh, settings, agents, [DAY], log=lambda _: None))
        copied = Warehouse(shutil.copy(fresh.location, tmp_path / "older.duckdb"))
        with duckdb.connect() as connection:
            connection.execute(f"ATTACH '{copied.location}' AS warehouse; USE warehouse.synthflow")
            for view in VIEWS:
                connection.execute(f"DROP VIEW IF EXISTS {view.name}")
            for column in DERIVED_COLUMNS:
                connection.execute(f"ALTER TABLE calls DROP COLUMN {column.name}")
            connection.execute("UPDATE schema_version SET version = 5")
        return fresh, copied

    return make


def test_metrics_of_an_earlier_version_count_as_computed(older: Callable[[str], tuple[Warehouse, Warehouse]]) -> None:
    """Otherwise every day of an older file would be a gap. A day that lands after the migration has no metrics yet."""
    _, copied = older("keep")
    with copied.connect() as connection:
        connection.execute("DROP TABLE metric_computations; UPDATE schema_version SET version = 7")
    with copied.connect() as connection:
        assert find_problems(connection, NO_GAPS, None, Settings.of(), DAY) == []
        connection.execute("INSERT INTO call_loads SELECT * REPLACE (day - 1 AS day) FROM call_loads")
        assert {problem.day for problem in find_problems(connection, NO_GAPS, None, Settings.of(), DAY)} == {
            DAY - dt.timedelta(days=1)
        }


def derived(warehouse: Warehouse) -> pd.DataFrame:
    names = ", ".join(column.name for column in DERIVED_COLUMNS)
    with warehouse.connect() as connection:
        return connection.execute(f"SELECT call_id, {names} FROM calls ORDER BY call_id").df()


def test_derived_columns_of_an_older_file_equal_those_of_a_fresh_landing(
    older: Callable[[str], tuple[Warehouse, Warehouse]], caplog: pytest.LogCaptureFixture
) -> None:
    fresh, copied = older("keep")
    expected = derived(fresh)
    assert not expected.isna().all().any()
    pd.testing.assert_frame_equal(derived(copied), expected)
    with fresh.connect() as one, copied.connect() as other:
        for warehouse in (one, other):
            compute_metrics(warehouse, [DAY], Settings.of())
        for table in METRIC_TABLES:
            query = f"FROM {table.name} ORDER BY ALL"
            assert other.execute(query).fetchall() == one.execute(query).fetchall()
    assert caplog.messages == []


@pytest.mark.parametrize("pii", ["hash", "drop"])
def test_an_older_file_without_json_says_what_is_absent_and_has_every_outcome(
    pii: str, older: Callable[[str], tuple[Warehouse, Warehouse]], caplog: pytest.LogCaptureFixture
) -> None:
    fresh, copied = older(pii)
    expected, found = derived(fresh), derived(copied)
    assert list(found["call_outcome"]) == list(expected["call_outcome"])
    # Nothing is counted in a hash or in what was dropped.
    assert found.drop(columns=["call_id", "call_outcome"]).isna().all(axis=None)
    [message] = caplog.messages
    assert re.fullmatch(
        rf"\d+ completed calls from {DAY} to {DAY} were stored without JSON and transcript, so their verdicts, "
        r"actions, variables and turns stay NULL; load these days again to fill them",
        message,
    )


def test_derived_columns_stay_if_their_sources_were_dropped(tmp_path: Path) -> None:
    warehouse = Warehouse(str(tmp_path / "dropped.duckdb"))
    with warehouse.connect() as connection:
        connection.execute(
            "INSERT INTO calls BY NAME SELECT DATE '2026-03-10' AS day, 'm' AS model_id, 'a' AS call_id, "
            "now() AS start_time, now() AS loaded_at, 'voicemail' AS call_outcome, 2 AS human_turns, "
            "'+1 415 555 0100' AS lead_phone_number"
        )
        connection.execute("UPDATE schema_version SET version = version - 1")
    with warehouse.connect() as connection:
        found = connection.execute("SELECT call_outcome, human_turns, caller_key FROM calls").fetchall()
        assert found == [("voicemail", 2, "14155550100")]
