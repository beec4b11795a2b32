"""A sound warehouse, built once in a session."""

import datetime as dt
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from synthflow_assets.api.client import SynthflowClient
from synthflow_assets.loading import load_calls, resolve_agents
from synthflow_assets.metrics import compute_metrics
from synthflow_assets.sandbox.config import DEFAULT_API_KEY, SandboxConfig
from synthflow_assets.sandbox.server import Sandbox
from synthflow_assets.settings import Settings, VariableSecret
from synthflow_assets.warehouse.connection import Warehouse

LAST = dt.date(2026, 3, 10)
DAYS = [LAST - dt.timedelta(days=1), LAST]
TIMEZONE = "America/New_York"
# A score is added, because the list of calls has no known custom evaluations.
RARE = """
UPDATE calls SET judge_verdicts = map_concat(coalesce(judge_verdicts, MAP {}), MAP {'rating': '7'})
WHERE call_id IN (SELECT min(call_id) FROM calls GROUP BY day)
"""
_KEY = "TEST_SANDBOX_KEY"


@pytest.fixture(scope="session")
def sound_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two days of two agents, with their metrics."""
    path = tmp_path_factory.mktemp("sound") / "warehouse.duckdb"
    os.environ[_KEY] = DEFAULT_API_KEY
    with Sandbox(SandboxConfig(calls_per_day=40, agents=2)) as sandbox:
        settings = Settings.of(
            api_key=VariableSecret(_KEY),
            base_url=sandbox.url,
            warehouse=str(path),
            timezone=TIMEZONE,
            price_per_minute=0.1,
        )
        warehouse = Warehouse(settings.warehouse)
        with SynthflowClient.from_settings(settings) as client:
            agents = resolve_agents(client, settings).agents
            list(load_calls(client, warehouse, settings, agents, DAYS, log=lambda _: None))
    del os.environ[_KEY]
    with warehouse.connect() as opened:
        opened.execute(RARE)
        compute_metrics(opened, DAYS, settings)
    return path


@pytest.fixture
def settings() -> Settings:
    return Settings.of(timezone=TIMEZONE)


# Closed after each module: an open warehouse changes the umask, which tests/test_files.py checks.
@pytest.fixture(scope="module")
def sound_connection(sound_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    copied = shutil.copy(sound_file, tmp_path_factory.mktemp("damaged") / "warehouse.duckdb")
    with Warehouse(str(copied)).connect() as opened:
        yield opened


@pytest.fixture
def connection(sound_connection: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    """The sound warehouse, in a transaction: what a test changes is rolled back."""
    sound_connection.execute("BEGIN")
    yield sound_connection
    sound_connection.execute("ROLLBACK")


@pytest.fixture
def own_connection(sound_file: Path, tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A copy of the sound warehouse, for a test that needs transactions of its own."""
    copied = shutil.copy(sound_file, tmp_path / "warehouse.duckdb")
    with Warehouse(str(copied)).connect() as opened:
        yield opened
