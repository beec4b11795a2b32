"""The component: a workspace described in a `defs.yaml`, for projects of the `dg` command."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import dagster as dg
from dagster.components.component_scaffolding import scaffold_component
from pydantic import ConfigDict, Field, SecretStr, create_model
from pydantic.fields import FieldInfo

from synthflow_assets.errors import SettingsError
from synthflow_assets.orchestration.build import build_synthflow_defs
from synthflow_assets.settings import PREFIX, Settings, variable

_TEMPLATE = r"\{\{.*\}\}"
# Its default follows from the key prefix.
_WITHOUT_DEFAULT = ("warehouse_schema",)


def _is_secret(field: FieldInfo) -> bool:
    return SecretStr in get_args(field.annotation)


def _attribute(name: str, field: FieldInfo) -> tuple[str, Any]:
    """A setting as an attribute in YAML: its name, and its type with default and description.

    Dagster allows text in place of every type, for templates; the patterns keep it from being anything else.
    """
    if _is_secret(field):
        text = f"Name of an environment variable, never the key itself. {field.description}"
        return f"{name}_variable", (str, _field(variable(name), text, "^[A-Za-z_][A-Za-z0-9_]*$"))
    kind: Any = field.annotation
    default, pattern = field.default, ""
    if kind in (dt.date, str, str | None):
        kind, default = str | None, None if default is None else str(default)
        pattern = rf"^\d{{4}}-\d{{2}}-\d{{2}}$|{_TEMPLATE}" if field.annotation is dt.date else ""
    elif get_origin(kind) is tuple:
        kind, default = list[str] | None, None
    elif get_origin(kind) is Literal:
        pattern = f"^({'|'.join(map(re.escape, get_args(kind)))})$|{_TEMPLATE}"
    else:
        pattern = _TEMPLATE  # a number is no other text
        kind = Annotated[kind, *field.metadata] if field.metadata else kind
    if name in _WITHOUT_DEFAULT:
        default = None
    return name, (kind, _field(default, field.description, pattern))


def _field(default: object, description: str | None, pattern: str) -> Any:
    return Field(default, description=description, json_schema_extra={"pattern": pattern} if pattern else None)


class _Scaffolder(dg.Scaffolder[Any]):
    """Writes a `defs.yaml` that runs as it is, and says where the key is to be put."""

    def scaffold(self, request: dg.ScaffoldRequest[Any]) -> None:
        scaffold_component(
            request,
            {
                "api_key_variable": variable("api_key"),
                "region": "us",
                "timezone": "UTC",
                "start_date": f"{dt.datetime.now(dt.UTC).date().replace(day=1)}",
                "warehouse": "{{ context.project_root }}/data/synthflow.duckdb",
                "export_dir": "{{ context.project_root }}/data/export",
            },
        )


if TYPE_CHECKING:
    _Settings = dg.Model
else:
    # Every setting is an attribute, also those that are yet to come.
    _Settings = create_model(
        "_Settings", __base__=dg.Model, **dict(_attribute(*item) for item in Settings.model_fields.items())
    )


@dg.scaffold_with(_Scaffolder)
class SynthflowCallsComponent(dg.Component, _Settings, dg.Resolvable):
    """A Synthflow workspace: each day's calls as DuckDB tables, with metrics, checks and Parquet exports.

    Every setting of docs/settings.md is an attribute, in lower case and without its prefix.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    key_prefix: str | list[str] | None = Field(
        None, description="Of every asset. Default: the schema. Its last part is also the schema, unless that is set."
    )
    group_name: str | None = Field(None, description="Of every asset. Default: the key prefix.")
    owners: list[str] = Field(default_factory=list, description="Of every asset: e-mail addresses, or team:NAME.")
    tags: dict[str, str] = Field(default_factory=dict, description="Of every asset.")
    automation_condition: Annotated[
        dg.AutomationCondition | None,  # type: ignore[type-arg]
        dg.Resolver.default(
            model_field_type=str | None, description="Of every asset, as {{ dg.AutomationCondition... }}."
        ),
    ] = None

    @classmethod
    def get_spec(cls) -> dg.ComponentTypeSpec:
        """What `dg list components` and Dagster's UI say of it."""
        return dg.ComponentTypeSpec(
            description="Synthflow voice-agent calls: daily partitions, DuckDB tables, metrics, checks.",
            tags=["synthflow", "duckdb"],
        )

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The definitions of the workspace.

        Raises:
            SettingsError: naming each bad attribute, its value and what is allowed.
        """
        try:
            return build_synthflow_defs(
                self._settings(),
                key_prefix=self.key_prefix,
                group_name=self.group_name,
                owners=self.owners,
                tags=self.tags,
                automation_condition=self.automation_condition,
            )
        except SettingsError as error:
            raise SettingsError(f"{context.component_path}: {_as_attributes(str(error))}") from None

    def _settings(self) -> Settings:
        given = self.model_dump()
        values: dict[str, Any] = {}
        for name, field in Settings.model_fields.items():
            if not _is_secret(field):
                value = given[name]
                if value is not None and value != field.default:
                    values[name] = value
        values["api_key"] = dg.EnvVar(given["api_key_variable"])
        if values.get("pii") == "hash":
            values["pii_key"] = dg.EnvVar(given["pii_key_variable"])
        return Settings.of(**values)


def _as_attributes(message: str) -> str:
    """A message about settings, with the names that they have in YAML."""
    names = {variable(name): _attribute(name, field)[0] for name, field in Settings.model_fields.items()}
    return re.sub(rf"{PREFIX}[A-Z_]+", lambda found: names.get(found[0], found[0]), message)
