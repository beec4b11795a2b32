"""A dbt project beside the assets: `dbt-sources`, real dbt, and one graph in Dagster."""

import datetime as dt
import json
import os
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from synthflow_assets.api.client import SynthflowClient
from synthflow_assets.loading import load_calls, resolve_agents
from synthflow_assets.metrics import compute_metrics
from synthflow_assets.sandbox.server import Sandbox
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse
from tests.e2e.processes import BIN, environment
from tests.forks import Forks

DAY = dt.date(2026, 3, 10)
PROFILE = """analytics:
  target: dev
  outputs:
    dev:
      type: duckdb
      path: ../data/dbt.duckdb
      attach:
        - path: ../data/warehouse.duckdb
          alias: warehouse
          read_only: true
"""
MODEL = """select sum(person_reached_calls) / sum(calls) as share_reached
from {{ source('synthflow', 'call_rates_daily') }}
where model_id in (select model_id from {{ source('synthflow', 'call_actions') }})
"""
# One process for all commands and the graph, because dbt and dagster_dbt take seconds to import. One manifest, because
# it takes seconds to parse. Not the process of the tests, because dagster_dbt imports modules that warn.
BUILD_AND_GRAPH = """
import json
import dagster as dg
from dagster_dbt import DbtCliResource, dbt_assets
from dbt.cli.main import dbtRunner
from synthflow_assets import Settings, build_synthflow_defs

def run(*command, manifest=None):
    result = dbtRunner(manifest).invoke(["--quiet", "--warn-error", *command])
    assert result.success, (command, result.exception, result.result)
    return result.result

manifest = run("parse")
run("source", "freshness", manifest=manifest)
run("build", manifest=manifest)

@dbt_assets(manifest="target/manifest.json")
def analytics(context, dbt: DbtCliResource):
    yield from dbt.cli(["build"], context=context).stream()

ours = build_synthflow_defs(Settings.of())
graph = dg.Definitions.merge(
    ours, dg.Definitions([analytics], resources={"dbt": DbtCliResource(".", profiles_dir=".")})
).resolve_asset_graph()
parents = graph.get(dg.AssetKey("reached")).parent_keys
known = ours.resolve_asset_graph().get_all_asset_keys()
print(json.dumps([[key.to_user_string() for key in keys] for keys in (parents, known)]))
"""


@pytest.fixture
def project(start_sandbox: Callable[..., Sandbox], settings_for: Callable[..., Settings], tmp_path: Path) -> Path:
    """A dbt project, in a folder whose warehouse has one day."""
    settings = settings_for(start_sandbox(calls_per_day=60), warehouse=str(tmp_path / "data" / "warehouse.duckdb"))
    warehouse = Warehouse(settings.warehouse)
    with SynthflowClient.from_settings(settings) as client:
        agents = resolve_agents(client, settings).agents
        list(load_calls(client, warehouse, settings, agents, [DAY], log=lambda _: None))
    with warehouse.connect() as connection:
        compute_metrics(connection, [DAY], settings)
    models = tmp_path / "analytics" / "models"
    models.mkdir(parents=True)
    (models / "reached.sql").write_text(MODEL)
    (models.parent / "dbt_project.yml").write_text("name: analytics\nprofile: analytics\n")
    (models.parent / "profiles.yml").write_text(PROFILE)
    return models.parent


def test_dbt_reads_the_tables_and_dagster_sees_one_graph(project: Path, forks: Forks) -> None:
    forks.run(project, "synthflow-assets", "dbt-sources", "--output", "models/sources.yml", env=environment())
    (project / "build_and_graph.py").write_text(BUILD_AND_GRAPH)
    env = environment(DBT_SEND_ANONYMOUS_USAGE_STATS="false", PATH=f"{BIN}:{os.environ['PATH']}")
    printed = forks.run(project, "python", "-m", "build_and_graph", env=env)
    results = json.loads((project / "target" / "run_results.json").read_text("utf-8"))["results"]
    assert {result["status"] for result in results} == {"pass", "success"}
    assert len(results) > 100
    freshness = json.loads((project / "target" / "sources.json").read_text("utf-8"))["results"]
    assert [result["unique_id"].rsplit(".")[-1] for result in freshness] == ["call_loads"]
    with duckdb.connect(str(project.parent / "data" / "dbt.duckdb")) as connection:
        connection.execute(f"ATTACH '{project.parent}/data/warehouse.duckdb' AS warehouse (READ_ONLY)")
        [(share,)] = connection.execute("FROM reached").fetchall()
    assert 0 < share < 1

    parents, known = json.loads(printed.splitlines()[-1])
    assert "synthflow/call_rates_daily" in parents
    assert set(parents) <= set(known)
