"""The definitions in other code locations: merged, with several workspaces, and without showing keys."""

import datetime as dt
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.remote_representation.external_data import RepositorySnap
from dagster_duckdb import DuckDBResource

from synthflow_assets.errors import SettingsError
from synthflow_assets.orchestration.build import build_synthflow_defs
from synthflow_assets.orchestration.resources import SynthflowResource, WarehouseResource
from synthflow_assets.sandbox.server import Sandbox
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.metric_tables import METRIC_TABLES
from synthflow_assets.warehouse.schema import VIEWS
from tests.instances import without_checks

StartSandbox = Callable[..., Sandbox]
DAY = "2026-03-10"
LAKE = {"warehouse": "ducklake:postgres:dbname=agency"}
OTHER_FILES = {"export_dir": "eu", "report": "eu.html"}


def workspace(sandbox: Sandbox, name: str, file: Path, **values: Any) -> dg.Definitions:
    """Return the definitions of a workspace whose key is in its own environment variable."""
    os.environ[f"{name.upper()}_KEY"] = sandbox.api.config.api_key  # removed by clean_environment
    settings = Settings.of(
        api_key=dg.EnvVar(f"{name.upper()}_KEY"),
        base_url=sandbox.url,
        warehouse=str(file),
        start_date="2026-03-01",
        export_dir="data/export",
        previews=False,
    )
    return build_synthflow_defs(settings, key_prefix=name, **values)


def run(definitions: dg.Definitions, job: str, instance: dg.DagsterInstance, *assets: str) -> dg.ExecuteInProcessResult:
    """Run some assets of a job for a day without checks. They are named with their prefix."""
    selected = without_checks(definitions.resolve_job_def(job), [dg.AssetKey(name.split("/")) for name in assets])
    return selected.execute_in_process(instance=instance, partition_key=DAY)


def test_merges_with_a_project_that_has_assets_a_duckdb_resource_and_pools_of_its_own(
    start_sandbox: StartSandbox, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    file = tmp_path / "theirs.duckdb"

    @dg.asset(key=["synthflow", "longest_calls"], group_name="synthflow", pool="duckdb", deps=["calls_of_theirs"])
    def longest_calls(warehouse: DuckDBResource) -> None:
        with warehouse.get_connection() as connection:
            query = "SELECT max(duration_seconds) AS seconds FROM synthflow.calls"
            connection.execute(f"CREATE OR REPLACE TABLE longest AS {query}")

    @dg.asset(pool="duckdb", deps=[dg.AssetKey(["synthflow", "calls"])])
    def calls_of_theirs() -> None: ...

    @dg.op
    def fetch_calls() -> None: ...

    @dg.job
    def synthflow_daily_of_theirs() -> None:
        fetch_calls()

    theirs = dg.Definitions(
        assets=[longest_calls, calls_of_theirs],
        jobs=[synthflow_daily_of_theirs],
        resources={"warehouse": DuckDBResource(database=str(file)), "synthflow": "something else"},
        executor=dg.multiprocess_executor,
        loggers={"console": dg.colored_console_logger},
    )
    merged = dg.Definitions.merge(theirs, workspace(start_sandbox(calls_per_day=20), "synthflow", file))
    assert merged.executor is dg.multiprocess_executor
    dg.Definitions.validate_loadable(merged)
    assert run(merged, "synthflow_daily", instance, "synthflow/calls", "synthflow/call_duration_daily").success
    # Their asset is in the same group, but our job does not select it.
    ours = merged.resolve_job_def("synthflow_daily").asset_layer.executable_asset_keys
    assert dg.AssetKey(["synthflow", "longest_calls"]) not in ours
    everything = merged.resolve_implicit_global_asset_job_def()
    selection = [dg.AssetKey("calls_of_theirs"), dg.AssetKey(["synthflow", "longest_calls"])]
    assert everything.execute_in_process(instance=instance, asset_selection=selection).success
    with DuckDBResource(database=str(file)).get_connection() as connection:
        assert connection.execute("SELECT seconds > 0 FROM longest").fetchone() == (True,)


def test_two_workspaces_of_one_location_land_side_by_side(
    start_sandbox: StartSandbox, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    file = tmp_path / "agency.duckdb"
    acme = start_sandbox(seed=1, agents=1, calls_per_day=30, api_key="key-of-acme")
    globex = start_sandbox(seed=2, agents=2, calls_per_day=30, api_key="key-of-globex")
    both = dg.Definitions.merge(workspace(acme, "acme", file), workspace(globex, "globex", file))
    for name in ("acme", "globex"):
        assets = ("calls", "call_rejects", "call_loads", "call_duration_daily", "calls_export")
        assert run(both, f"{name}_daily", instance, *(f"{name}/{asset}" for asset in assets)).success
    start = int(dt.datetime(2026, 3, 10, tzinfo=dt.UTC).timestamp() * 1000)
    for sandbox, schema in ((acme, "acme"), (globex, "globex")):
        landed = Warehouse(str(file), schema).read_frame("calls")
        truth = {
            call_id
            for model_id in sandbox.model_ids
            for call_id in sandbox.api.store.ids_between(model_id, start, start + 86_400_000)
        }
        assert set(landed["call_id"]) == truth
        assert instance.get_materialized_partitions(dg.AssetKey([schema, "calls"])) == {DAY}
        assert (Path("data/export") / schema / "calls" / f"{DAY}.parquet").exists()
    graph = both.get_repository_def().asset_graph
    assert graph.get(dg.AssetKey(["globex", "calls"])).metadata["dagster/table_name"] == "agency.globex.calls"


def refusal(definitions: dg.Definitions) -> str:
    """Return why the code location cannot be loaded."""
    with pytest.raises(dg.DagsterInvalidDefinitionError) as caught:
        dg.Definitions.validate_loadable(definitions)
    assert isinstance(caught.value.__cause__, SettingsError)
    return str(caught.value.__cause__)


@pytest.mark.parametrize(
    ("ours", "theirs", "problems"),
    [
        ({}, {"warehouse": "eu.duckdb"}, {"export_dir", "report"}),
        ({}, OTHER_FILES, {"warehouse_schema"}),
        ({"warehouse": "linked.duckdb"}, OTHER_FILES, {"warehouse_schema"}),
        (LAKE, {**LAKE, **OTHER_FILES}, {"warehouse_schema"}),
        ({"export_dir": "s3://a-b/c"}, {**OTHER_FILES, "warehouse": "e", "export_dir": "s3://a-b/c/"}, {"export_dir"}),
        ({"export_dir": "us/../eu"}, {"warehouse": "eu.duckdb", **OTHER_FILES}, {"export_dir"}),
        ({}, {"warehouse_schema": "eu"}, set()),
        ({}, {"warehouse": "eu.duckdb", **OTHER_FILES}, set()),
        ({}, {"warehouse": "eu/US.duckdb", **OTHER_FILES}, {"warehouse_schema"}),
        ({}, {"warehouse": "eu/us.duckdb", "warehouse_schema": "eu"}, set()),
    ],
)
def test_two_workspaces_in_the_same_place_are_refused_before_anything_is_written(
    ours: dict[str, str], theirs: dict[str, str], problems: set[str]
) -> None:
    Path("linked.duckdb").symlink_to("us.duckdb")
    usual = {"warehouse": "us.duckdb", "warehouse_schema": "synthflow", "export_dir": "us"}
    both = [
        build_synthflow_defs(Settings.of(**{**usual, **values}), key_prefix=prefix)
        for prefix, values in (("us", ours), ("eu", theirs))
    ]
    merged = dg.Definitions.merge(*both)
    if not problems:
        dg.Definitions.validate_loadable(merged)
        return
    assert (
        set(re.findall(r"eu/\w+ and us/\w+ would both be .*?: set another (\w+) for one", refusal(merged))) == problems
    )


def test_a_workspace_that_is_renamed_keeps_its_tables_and_files() -> None:
    for prefix in ("acme", "globex", "acme"):
        dg.Definitions.validate_loadable(
            build_synthflow_defs(Settings.of(warehouse_schema="tables"), key_prefix=prefix)
        )


def test_own_resources_say_where_the_tables_are_that_may_not_be_shared() -> None:
    os.environ["THEIR_WAREHOUSE"] = "theirs.duckdb"

    def both(*databases: str) -> dg.Definitions:
        return dg.Definitions.merge(
            *(
                build_synthflow_defs(
                    Settings.of(warehouse_schema="calls", export_dir=prefix, report=f"{prefix}.html"),
                    key_prefix=prefix,
                    warehouse=WarehouseResource(database=database, schema_name="calls"),
                )
                for prefix, database in zip(("acme", "globex"), databases, strict=True)
            )
        )

    dg.Definitions.validate_loadable(both("acme.duckdb", "globex.duckdb"))
    dg.Definitions.validate_loadable(both(dg.EnvVar("OUR_WAREHOUSE"), dg.EnvVar("THEIR_WAREHOUSE")))
    for shared in ("a.duckdb", dg.EnvVar("THEIR_WAREHOUSE")):
        assert "acme/calls and globex/calls would both be calls.calls in " in refusal(both(shared, shared))


def test_somebody_elses_assets_may_have_the_names_of_ours() -> None:
    theirs = [dg.AssetSpec([place, name]) for place in ("x", "y") for name in ("calls", "calls_export", "call_report")]
    dg.Definitions.validate_loadable(dg.Definitions.merge(dg.Definitions(assets=theirs), build_synthflow_defs()))


def test_everything_that_may_be_set_reaches_every_asset() -> None:
    condition = dg.AutomationCondition.on_cron("0 6 * * *")
    definitions = build_synthflow_defs(
        Settings.of(start_date="2026-02-01"),
        key_prefix=["raw", "voice"],
        group_name="calls",
        owners=["team:voice"],
        tags={"source": "synthflow"},
        automation_condition=condition,
        executor=dg.multiprocess_executor,
    )
    graph = definitions.get_repository_def().asset_graph
    agents = dg.AssetKey(["raw", "voice", "agents"])
    assert graph.get(agents).group_name == "calls"
    assert len(graph.get_all_asset_keys() - {agents}) == 3 + len(METRIC_TABLES) + len(VIEWS) + 1
    for key in graph.get_all_asset_keys() - {agents}:
        node = graph.get(key)
        assert key.path[:-1] == ["raw", "voice"]
        assert (node.group_name, list(node.owners), node.automation_condition) == ("calls", ["team:voice"], condition)
        assert node.tags["source"] == "synthflow"
        assert node.partitions_def is not None
        assert node.partitions_def.get_first_partition_key() == "2026-02-01"
    assert (
        graph.get(dg.AssetKey(["raw", "voice", "calls"])).metadata["dagster/table_name"] == "warehouse.raw_voice.calls"
    )
    assert definitions.resolve_job_def("raw_voice_daily").executor_def is dg.multiprocess_executor


def test_own_resources_take_the_place_of_settings(
    start_sandbox: StartSandbox, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    sandbox = start_sandbox(calls_per_day=20, api_key="key-of-the-resource")
    os.environ["THEIR_KEY"] = "key-of-the-resource"
    definitions = build_synthflow_defs(
        Settings.of(previews=False),
        synthflow=SynthflowResource(api_key=dg.EnvVar("THEIR_KEY"), base_url=sandbox.url),
        warehouse=WarehouseResource(database=str(tmp_path / "own.duckdb")),
    )
    assert run(definitions, "synthflow_daily", instance, "synthflow/calls", "synthflow/call_duration_daily").success
    assert len(Warehouse(str(tmp_path / "own.duckdb")).read_frame("calls")) > 0
    with pytest.raises(SettingsError, match=r"schema_name synthflow.*are in acme"):
        build_synthflow_defs(key_prefix="acme", warehouse=WarehouseResource(database="x.duckdb"))


def test_the_environment_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("SYNTHFLOW_REGION=eu\n", encoding="utf-8")
    monkeypatch.setenv("SYNTHFLOW_TIMEZONE", "no/such zone")
    monkeypatch.setenv("SYNTHFLOW_UNKNOWN", "1")
    resources = build_synthflow_defs().resources or {}
    assert resources["synthflow_api"].region == "us"


def test_a_key_in_plain_text_is_refused_without_showing_it() -> None:
    with pytest.raises(SettingsError, match=r'api_key=dg.EnvVar\("SYNTHFLOW_API_KEY"\)') as caught:
        build_synthflow_defs(Settings.of(api_key="plain-secret"))
    assert "plain-secret" not in str(caught.value)


def test_what_a_run_says_names_arguments_not_variables(
    start_sandbox: StartSandbox, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    sandbox = start_sandbox(agents=1)
    os.environ["THEIR_KEY"] = "wrong"
    settings = {"base_url": sandbox.url, "warehouse": str(tmp_path / "w.duckdb"), "api_key": dg.EnvVar("THEIR_KEY")}

    def failure(**more: Any) -> str:
        job = build_synthflow_defs(Settings.of(**settings, **more)).resolve_job_def("synthflow_daily")
        result = job.execute_in_process(instance=instance, partition_key=DAY, raise_on_error=False)
        [failed] = [event for event in result.all_events if event.is_step_failure]
        return str(failed.step_failure_data.user_failure_data.description)

    assert "Check api_key; " in failure()
    os.environ["THEIR_KEY"] = sandbox.api.config.api_key
    assert failure(model_ids=["nobody"]).startswith("model_ids names nobody, which the workspace does not have")


@pytest.mark.parametrize(
    ("resources", "says"),
    [
        ({"synthflow": SynthflowResource(api_key="plain-secret")}, r'api_key=dg.EnvVar\("SYNTHFLOW_API_KEY"\)'),
        ({"synthflow": SynthflowResource(api_key=dg.EnvVar("plain-secret"))}, "^api_key does not name an env"),
        ({"synthflow": SynthflowResource(base_url="https://me:plain-secret@host/v2")}, "^base_url is not usable"),
        ({"warehouse": WarehouseResource(database="ducklake:password=plain-secret")}, "^warehouse is not usable"),
        (
            {"warehouse": WarehouseResource(database="x", connection_config={"password": "plain-secret"})},
            "^connection_config .* is not used",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_dagster_would_show_of_resources_is_refused_without_showing_it(
    resources: dict[str, Any], says: str
) -> None:
    # Dagster alone would show it.
    shown = dg.serialize_value(RepositorySnap.from_def(dg.Definitions(resources=resources).get_repository_def()))
    assert "plain-secret" in shown
    with pytest.raises(SettingsError, match=says) as caught:
        build_synthflow_defs(**resources)
    assert "plain-secret" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:Property `ScheduleDefinition.environment_vars`")  # read by Dagster itself
def test_no_key_of_the_settings_is_in_what_dagster_shows() -> None:
    settings = Settings.of(
        api_key=dg.EnvVar("THEIR_KEY"),
        pii="hash",
        pii_key="plain-secret",
        alert_webhook_url="https://example.com/plain-secret",
    )
    os.environ["THEIR_KEY"] = "plain-secret"  # removed by clean_environment
    repository = build_synthflow_defs(settings).get_repository_def()
    shown = dg.serialize_value(RepositorySnap.from_def(repository))
    assert "THEIR_KEY" in shown
    assert "plain-secret" not in shown


@pytest.mark.parametrize(
    ("argument", "value", "allowed"),
    [
        ("settings", {"region": "eu"}, "Settings.of"),
        ("key_prefix", 5, "a name, a list of names"),
        ("key_prefix", [5], "a name, a list of names"),
        ("group_name", 5, "a name"),
        ("owners", "bob@example.com", "a list such as"),
        ("tags", ["source"], "texts by name"),
        ("tags", {"level": 5}, "texts by name"),
        ("automation_condition", "eager", "an object such as dg.AutomationCondition.eager()"),
        ("executor", "in_process", "an executor such as"),
        ("synthflow", "key", "SynthflowResource(api_key="),
        ("warehouse", "x.duckdb", "WarehouseResource(database="),
    ],
)
def test_an_argument_of_a_wrong_type_is_named(argument: str, value: object, allowed: str) -> None:
    arguments: dict[str, Any] = {argument: value}
    kind = type(value).__name__
    with pytest.raises(SettingsError, match=rf"^{argument} is of the type {kind}; allowed is {re.escape(allowed)}"):
        build_synthflow_defs(**arguments)


def test_an_asset_key_may_be_the_key_prefix() -> None:
    graph = build_synthflow_defs(key_prefix=dg.AssetKey(["us", "acme"])).get_repository_def().asset_graph
    assert graph.has(dg.AssetKey(["us", "acme", "calls"]))


def test_a_key_prefix_that_cannot_name_a_schema_says_what_to_do() -> None:
    with pytest.raises(SettingsError, match=r"key_prefix is 'Acme-Corp', .*schema 'Acme_Corp'; allowed is lower-case"):
        build_synthflow_defs(key_prefix="Acme-Corp")
    with pytest.raises(SettingsError, match="key_prefix is 'a b/c'; allowed in each"):
        build_synthflow_defs(key_prefix="a b/c")
    named = build_synthflow_defs(Settings.of(warehouse_schema="acme"), key_prefix="Acme-Corp")
    assert named.resolve_job_def("Acme_Corp_daily")


def test_the_hash_key_is_read_in_the_run_from_its_variable(
    start_sandbox: StartSandbox, on_disk: dg.DagsterInstance, tmp_path: Path
) -> None:
    sandbox = start_sandbox(agents=1, calls_per_day=20)
    os.environ["SYNTHFLOW_API_KEY"] = sandbox.api.config.api_key
    settings = Settings.of(
        api_key=dg.EnvVar("SYNTHFLOW_API_KEY"),
        base_url=sandbox.url,
        warehouse=str(tmp_path / "hashed.duckdb"),
        pii="hash",
        pii_key=dg.EnvVar("THEIR_HASH_KEY"),
        previews=False,
    )
    definitions = build_synthflow_defs(settings)
    job = without_checks(definitions.resolve_job_def("synthflow_daily"), ["calls", "callers_daily"])
    result = job.execute_in_process(instance=on_disk, partition_key=DAY, raise_on_error=False)
    [failed] = [event for event in result.all_events if event.is_step_failure]
    assert "THEIR_HASH_KEY is not set" in str(failed.step_failure_data.error)
    os.environ["THEIR_HASH_KEY"] = "very-secret-hash-key"
    assert job.execute_in_process(instance=on_disk, partition_key=DAY).success
    numbers = Warehouse(settings.warehouse).read_frame("calls")["phone_number_to"].dropna()
    assert numbers.str.fullmatch("[0-9a-f]{64}").all()
    home = Path(on_disk.root_directory)
    assert not [path for path in home.rglob("*") if path.is_file() and b"very-secret-hash-key" in path.read_bytes()]


def test_prefixes_that_end_alike_have_tables_of_their_own_and_equal_ones_are_refused() -> None:
    us, eu = (build_synthflow_defs(key_prefix=[region, "acme"]) for region in ("us", "eu"))
    graph = dg.Definitions.merge(us, eu).get_repository_def().asset_graph
    names = {
        graph.get(dg.AssetKey([region, "acme", "calls"])).metadata["dagster/table_name"] for region in ("us", "eu")
    }
    assert names == {"warehouse.us_acme.calls", "warehouse.eu_acme.calls"}
    with pytest.raises(dg.DagsterInvariantViolationError, match="synthflow_api"):
        dg.Definitions.merge(build_synthflow_defs(), build_synthflow_defs())
