"""Every promise is kept by a sound warehouse, and broken by the damage that it is there to notice."""

import datetime as dt
from collections.abc import Callable, Iterator

import duckdb
import pytest

from synthflow_assets.api.client import SynthflowClient
from synthflow_assets.loading import load_calls, resolve_agents
from synthflow_assets.metrics import compute_metric
from synthflow_assets.quality import FRESHNESS, PROMISES, Promise, find_problems
from synthflow_assets.sandbox.server import Sandbox
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.metric_tables import METRIC_TABLES

LAST = dt.date(2026, 3, 10)
DAYS = [LAST - dt.timedelta(days=1), LAST]
PROMISE = {promise.name: promise for promise in (*PROMISES, FRESHNESS)}


@pytest.fixture
def settings(start_sandbox: Callable[..., Sandbox], settings_for: Callable[..., Settings]) -> Settings:
    return settings_for(start_sandbox(calls_per_day=40), timezone="America/New_York")


@pytest.fixture
def connection(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """A sound warehouse: two days of two agents, with metrics."""
    warehouse = Warehouse(settings.warehouse)
    with SynthflowClient.from_settings(settings) as client:
        agents = resolve_agents(client, settings)
        list(load_calls(client, warehouse, settings, agents, DAYS, log=lambda _: None))
    with warehouse.connect() as opened:
        for table in METRIC_TABLES:
            compute_metric(opened, table.name, DAYS, settings)
        yield opened


def problems(
    connection: duckdb.DuckDBPyConnection, settings: Settings, name: str, *, all_days: bool = False
) -> list[str]:
    found = find_problems(connection, PROMISE[name], None if all_days else DAYS, settings, LAST)
    return [str(problem) for problem in found]


@pytest.mark.parametrize("promise", PROMISE.values(), ids=PROMISE)
@pytest.mark.parametrize("all_days", [True, False])
def test_a_sound_warehouse_keeps_every_promise(
    connection: duckdb.DuckDBPyConnection, settings: Settings, promise: Promise, all_days: bool
) -> None:
    assert problems(connection, settings, promise.name, all_days=all_days) == []


DAMAGE = [
    (
        "unique_call_ids",
        "INSERT INTO synthflow.calls SELECT * REPLACE (DATE '2020-01-01' AS day) FROM synthflow.calls LIMIT 1",
        "a call_id occurs 2 times",
    ),
    ("complete", "UPDATE synthflow.call_loads SET total_records = total_records + 3", "calls came"),
    ("complete", "UPDATE synthflow.call_loads SET landed = landed + 1", "calls came, but"),
    (
        "complete",
        "DELETE FROM synthflow.calls WHERE call_id = (SELECT min(call_id) FROM synthflow.calls)",
        "calls landed, but",
    ),
    (
        "complete",
        "DELETE FROM synthflow.call_loads WHERE day = '2026-03-10'",
        "calls, but no row in call_loads",
    ),
    (
        "within_day",
        "UPDATE synthflow.calls SET start_time = start_time + INTERVAL 1 DAY WHERE day = '2026-03-10'",
        "calls started on another day",
    ),
    (
        "no_rejects",
        "INSERT INTO synthflow.call_rejects VALUES ('2026-03-10', 'a', 'duration is odd', '{}', now())",
        "2026-03-10 a: 1 records rejected: duration is odd",
    ),
    ("known_values", "UPDATE synthflow.calls SET call_status = 'teleported'", "call_status is teleported in"),
    ("known_values", "UPDATE synthflow.calls SET telephony_hangup = 'Ada, +1415'", "is something unreadable"),
    (
        "call_duration_reconciles",
        "UPDATE synthflow.call_duration_daily SET calls = calls + 1",
        "calls computed",
    ),
    (
        "call_duration_reconciles",
        "DELETE FROM synthflow.call_duration_daily WHERE day = '2026-03-10'",
        "landed, but not computed",
    ),
    (
        "call_duration_reconciles",
        "DELETE FROM synthflow.call_loads WHERE day = '2026-03-10'",
        "computed, but never landed",
    ),
    (
        "disconnect_reasons_reconcile",
        "UPDATE synthflow.disconnect_reasons_daily SET share = share / 2",
        "the shares add up to 0.5",
    ),
    (
        "disconnect_reasons_reconcile",
        "DELETE FROM synthflow.disconnect_reasons_daily WHERE disconnect_reason = 'caller_hangup'",
        "calls have a reason",
    ),
    ("disconnect_reasons_reconcile", "DELETE FROM synthflow.disconnect_reasons_daily", "0 calls have a reason"),
    (
        "fresh_per_model",
        (
            "DELETE FROM synthflow.call_loads WHERE day = '2026-03-10' "
            "AND model_id = (SELECT min(model_id) FROM synthflow.calls)"
        ),
        "the latest landed day is 2026-03-09",
    ),
    ("fresh_per_model", "DELETE FROM synthflow.call_loads", "nothing has landed in the two weeks before"),
]


@pytest.mark.parametrize(("name", "damage", "says"), DAMAGE)
def test_damage_is_noticed_and_named(
    connection: duckdb.DuckDBPyConnection, settings: Settings, name: str, damage: str, says: str
) -> None:
    connection.execute(damage)
    assert any(says in problem for problem in problems(connection, settings, name))


def test_every_promise_has_damage_that_breaks_it() -> None:
    assert {name for name, *_ in DAMAGE} == set(PROMISE)


def test_a_backfill_of_old_days_does_not_make_an_agent_fresh(
    connection: duckdb.DuckDBPyConnection, settings: Settings
) -> None:
    connection.execute("DELETE FROM synthflow.call_loads WHERE day = '2026-03-10'")
    connection.execute("UPDATE synthflow.call_loads SET loaded_at = now()")
    assert len(problems(connection, settings, "fresh_per_model")) == 2


def test_set_agents_are_expected_though_they_never_landed(
    connection: duckdb.DuckDBPyConnection, settings: Settings
) -> None:
    known = [row[0] for row in connection.execute("SELECT DISTINCT model_id FROM synthflow.calls").fetchall()]
    with_new = settings.model_copy(update={"model_ids": (*known, "new")})
    assert problems(connection, with_new, "fresh_per_model") == ["2026-03-10 new: nothing has ever landed"]
