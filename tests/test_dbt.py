"""`sources.yml` has every table and view, with configurable names."""

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from synthflow_assets.cli import main
from synthflow_assets.dbt import dbt_sources
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.metric_tables import METRIC_TABLES
from synthflow_assets.warehouse.schema import LANDED_TABLES, VIEWS


def read(text: str) -> Any:
    return yaml.load(text, Loader=yaml.CSafeLoader)


def test_every_table_and_view_is_described() -> None:
    [source] = read(dbt_sources(Settings.of()))["sources"]
    tables = {table["name"]: table for table in source["tables"]}
    assert (source["name"], source["database"], source["schema"]) == ("synthflow", "warehouse", "synthflow")
    for table in (*LANDED_TABLES, *METRIC_TABLES, *VIEWS):
        described = {column["name"]: column for column in tables[table.name]["columns"]}
        assert list(described) == [column.name for column in table.columns]
        for column in table.columns:
            assert described[column.name]["description"] == column.description
            unit = described[column.name].get("config", {}).get("meta", {}).get("unit")
            assert unit == column.unit
            assert ("not_null" in described[column.name].get("data_tests", [])) == column.required
    assert "call_recordings" not in tables
    assert "forgotten" not in tables


def test_prefix_schema_database_and_source_can_be_chosen() -> None:
    settings = Settings.of(warehouse_schema="acme", recordings="audio")
    [source] = read(dbt_sources(settings, key_prefix="raw/acme", database="lake", source="voice"))["sources"]
    assert (source["name"], source["database"], source["schema"]) == ("voice", "lake", "acme")
    keys = [table["config"]["meta"]["dagster"]["asset_key"] for table in source["tables"]]
    assert ["raw", "acme", "calls"] in keys
    assert ["raw", "acme", "call_recordings"] in keys


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--key-prefix", "a//b"], "--key-prefix is 'a//b'"),
        (["--output", "nowhere/s.yml"], "the folder nowhere does not exist: create it, or choose another --output"),
        (["--database", "my-file"], "--database is 'my-file'"),
        (["--source", ""], "--source is ''"),
    ],
)
def test_bad_names_are_reported_in_one_line(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(main, ["dbt-sources", *arguments])
    assert result.exit_code == 1
    assert said in result.output
    assert len(result.output.splitlines()) == 1


def sources_command(*arguments: str) -> tuple[int, str]:
    """Run the command; its exit code and output."""
    result = CliRunner().invoke(main, ["dbt-sources", *arguments])
    return result.exit_code, result.output


@pytest.mark.parametrize("file", ["models/sources.yml", "models/staging/synthflow.yaml"])
def test_a_source_of_the_same_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dbt_project.yml").write_text("name: analytics\n")
    own = tmp_path / file
    own.parent.mkdir(parents=True)
    own.write_text("sources:\n  - name: synthflow\n    tables: [{name: calls}]\n")
    for output in ("models/sources.yml", "models/ours.yml"):
        code, said = sources_command("--output", output)
        assert code == 1
        assert said.startswith("Error: ")
        assert len(said.splitlines()) == 1
    assert [path for path in tmp_path.rglob("*.y*ml") if path.name != "dbt_project.yml"] == [own]
    for _ in range(2):  # what the command wrote may be replaced
        assert sources_command("--output", "models/ours.yml", "--source", "voice") == (0, "models/ours.yml\n")
    assert read((tmp_path / "models/ours.yml").read_text())["sources"][0]["name"] == "voice"


DEFINITIONS = """
import dagster as dg
from synthflow_assets import Settings, build_synthflow_defs

@dg.definitions
def defs():
    return build_synthflow_defs(
        Settings.of(), get_asset_spec=lambda props: props.spec.replace_attributes(key=["mine", f"my_{props.name}"])
    )
"""


def test_keys_that_a_project_translates_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "their_defs.py").write_text(DEFINITIONS)
    (tmp_path / "broken_defs.py").write_text("import nonsense_of_theirs")
    code, said = sources_command("--definitions", "their_defs")
    assert code == 0
    [source] = read(said)["sources"]
    keys = {table["name"]: table["config"]["meta"]["dagster"]["asset_key"] for table in source["tables"]}
    assert keys == {name: ["mine", f"my_{name}"] for name in keys}
    assert {"calls", "agents", "call_actions", "call_rates_daily"} <= set(keys)
    for module, problem in (
        ("broken_defs", "cannot be loaded: ModuleNotFoundError: No module named 'nonsense_of_theirs'"),
        ("json", "has 0 Dagster definitions; it must have one"),
    ):
        assert sources_command("--definitions", module) == (1, f"Error: {module} {problem}\n")
    monkeypatch.setenv("SYNTHFLOW_WAREHOUSE_SCHEMA", "acme")
    assert "has no workspace with the schema acme" in sources_command("--definitions", "their_defs")[1]
