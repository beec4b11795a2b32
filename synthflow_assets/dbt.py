"""The tables as sources of a dbt project: `sources.yml`, from the schema.

dagster-dbt reads the asset key of a source from `meta.dagster.asset_key`
(https://docs.dagster.io/integrations/libraries/dbt/reference), so dbt models and these assets share one graph.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from synthflow_assets.errors import SettingsError, SynthflowError
from synthflow_assets.files import replace_file, replacement_error
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.metric_tables import METRIC_TABLES
from synthflow_assets.warehouse.schema import AGENTS, CALL_LOADS, CALL_RECORDINGS, LANDED_TABLES, VIEWS
from synthflow_assets.warehouse.tables import Column, Table, View

try:
    from yaml import CSafeDumper as SafeDumper
    from yaml import CSafeLoader as SafeLoader  # eight times as fast
except ImportError:  # PyYAML was built without libyaml
    from yaml import SafeDumper, SafeLoader  # type: ignore[assignment]

DATABASE = "warehouse"  # the alias under which docs/dbt.md attaches the warehouse
_FIRST_LINE = "# Written by `synthflow-assets dbt-sources`. Run it again after an upgrade.\n"
# The daily run is due at 07:00 of the next day.
_WARN_AFTER_HOURS, _ERROR_AFTER_HOURS = 36, 60
_LONGEST_LINE = 120


class DbtSourcesError(SynthflowError):
    """The file must not be written to this path, or the source has a name that is taken."""


def dbt_sources(
    settings: Settings,
    *,
    key_prefix: str | None = None,
    keys: Mapping[str, Sequence[str]] | None = None,
    database: str = DATABASE,
    source: str | None = None,
) -> str:
    """Return the text of `sources.yml`: every table and view with columns, units, tests and asset key.

    Args:
        settings: of the workspace; they name the schema, and say whether there are recordings.
        key_prefix: of the assets, parts separated by `/`; by default the schema.
        keys: of the assets, by table, if they are not the prefix and the table.
        database: the name under which dbt attaches the warehouse.
        source: the name of the source in dbt; by default the schema.

    Raises:
        SettingsError: an argument is not a valid name.
    """
    schema = settings.warehouse_schema
    prefix = (schema if key_prefix is None else key_prefix).split("/")
    source = schema if source is None else source
    for part in prefix:
        _validate("--key-prefix", key_prefix, re.fullmatch("[A-Za-z0-9_-]+", part), "names separated by /")
    for option, name in (("--database", database), ("--source", source)):
        _validate(option, name, re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name), "a name of letters, digits and _")
    recordings = (CALL_RECORDINGS,) if settings.recordings else ()
    tables = (*LANDED_TABLES, AGENTS, *METRIC_TABLES, *recordings, *VIEWS)
    described = {
        "name": source,
        "description": "Calls of Synthflow voice agents, and metrics of them.",
        "database": database,
        "schema": schema,
        "tables": [_table(table, (keys or {}).get(table.name) or [*prefix, table.name]) for table in tables],
    }
    content = {"version": 2, "sources": [described]}
    text = yaml.dump(content, Dumper=SafeDumper, sort_keys=False, width=_LONGEST_LINE, allow_unicode=True)
    return _FIRST_LINE + text


def write_dbt_sources(path: Path, text: str) -> None:
    """Write `sources.yml` into a dbt project, whole or not at all.

    Args:
        path: of the file. A file that this function did not write is not replaced.
        text: from `dbt_sources`.

    Raises:
        DbtSourcesError: the folder does not exist, this command did not write the existing file, or the project has
            another source of the name.
        OSError: the file cannot be written.
    """
    if not path.absolute().parent.is_dir():
        raise DbtSourcesError(f"the folder {path.parent} does not exist: create it, or choose another --output")
    if problem := replacement_error(path, lambda head: head.startswith(_FIRST_LINE.encode())):
        raise DbtSourcesError(f"{path} {problem}: choose another --output")
    source = yaml.load(text, Loader=SafeLoader)["sources"][0]["name"]
    other = _file_with_source(path, source)
    if other is not None:
        raise DbtSourcesError(f"{other} has a source {source} already: choose another name with --source")
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        unfinished.write_text(text, "utf-8")
        replace_file(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _validate(option: str, value: str | None, is_valid: object, allowed: str) -> None:
    if not is_valid:
        raise SettingsError(f"{option} is {value!r}; allowed are {allowed}")


def _file_with_source(path: Path, source: str) -> Path | None:
    """Return another file of the same dbt project that has a source of this name."""
    root = next((folder for folder in path.resolve().parents if (folder / "dbt_project.yml").is_file()), None)
    if root is None:
        return None
    models = _mapping(root / "dbt_project.yml").get("model-paths") or ["models"]
    for file in sorted(file for folder in models for file in (root / str(folder)).rglob("*.y*ml")):
        if file == path.resolve():
            continue
        names = [one.get("name") for one in _mapping(file).get("sources") or [] if isinstance(one, dict)]
        if source in names:
            return file
    return None


def _mapping(file: Path) -> dict[str, Any]:
    """Return the content of a YAML file; empty if it is not valid YAML."""
    try:
        content = yaml.load(file.read_text("utf-8"), Loader=SafeLoader)
    except (OSError, UnicodeError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}


def _table(table: Table | View, asset_key: Sequence[str]) -> dict[str, Any]:
    grain = table.grain if isinstance(table, Table) else ()
    config: dict[str, Any] = {"meta": {"dagster": {"asset_key": list(asset_key)}}}
    if any(column.name == "loaded_at" for column in table.columns):
        config["loaded_at_field"] = "loaded_at"
    if table is CALL_LOADS:  # every fetched day has a row here; a day without calls has none in `calls`
        config["freshness"] = {
            "warn_after": {"count": _WARN_AFTER_HOURS, "period": "hour"},
            "error_after": {"count": _ERROR_AFTER_HOURS, "period": "hour"},
        }
    return {
        "name": table.name,
        "description": table.description,
        "config": config,
        "columns": [_column(column, grain) for column in table.columns],
    }


def _column(column: Column, grain: Sequence[str]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "name": column.name,
        "description": column.description,
        "data_type": column.sql_type,
    }
    if column.unit:
        described["config"] = {"meta": {"unit": column.unit}}
    tests: list[Any] = []
    if column.required:
        tests.append("not_null")
    if tuple(grain) == (column.name,):
        tests.append("unique")
    if column.values:  # a warning, because the API may add values
        tests.append(
            {"accepted_values": {"arguments": {"values": list(column.values)}, "config": {"severity": "warn"}}}
        )
    if tests:
        described["data_tests"] = tests
    return described
