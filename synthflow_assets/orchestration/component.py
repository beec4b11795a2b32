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
from synthflow_assets.settings import VARIABLE_NAME, Settings, given_as, renamed, variable

_BOUNDS = (("ge", "minimum"), ("le", "maximum"))
_TEMPLATE = r"\{\{.*\}\}"
_TYPED: dict[Any, tuple[str, str]] = {
    int: ("integer", "[0-9]+"),
    int | None: ("integer", "[0-9]+"),
    float | None: ("number", "[0-9.]+"),
}
# Of the others a name says that they are wanted.
_SECRETS_WITH_DEFAULT = ("api_key", "pii_key")
# Its default follows from the key prefix.
_WITHOUT_DEFAULT = ("warehouse_schema",)


def _is_secret(field: FieldInfo) -> bool:
    return SecretStr in get_args(field.annotation)


def _attribute(name: str, field: FieldInfo) -> tuple[str, Any]:
    """A setting as an attribute in YAML: its name, and its type with default and description.

    What `dg check yaml` and editors see is as narrow as a schema can say; the rest, and what comes out of templates,
    is up to `Settings`, which has the better messages.
    """
    if _is_secret(field):
        text = f"Name of an environment variable, never the key itself. {field.description}"
        # As it stands: what comes out of a template may be the key.
        resolver = dg.Resolver(_as_it_stands, model_field_type=str, description=text, inject_before_resolve=False)
        default = variable(name) if name in _SECRETS_WITH_DEFAULT else None
        return f"{name}_variable", _attribute_field(resolver, default, {"pattern": VARIABLE_NAME})
    kind, allowed = _yaml_type(field)
    default = None if name in _WITHOUT_DEFAULT or field.default == () else field.default
    default = str(default) if isinstance(default, dt.date) else default
    resolver = dg.Resolver.default(model_field_type=kind, description=field.description)
    return name, _attribute_field(resolver, default, allowed)


def _attribute_field(resolver: dg.Resolver, default: Any, allowed: dict[str, Any]) -> Any:
    # Earlier versions of Dagster 1.13 take no schema from a resolver, and no version a description from elsewhere.
    return Annotated[Any, resolver], Field(default, json_schema_extra=allowed)


def _as_it_stands(_: dg.ResolutionContext, value: Any) -> Any:
    return value


def _yaml_type(field: FieldInfo) -> tuple[Any, dict[str, Any]]:
    """The type of a setting in YAML, and what JSON Schema can say of its values.

    Dagster allows text in place of every type, for templates; the patterns keep it from being anything else.
    """
    if get_origin(field.annotation) is tuple:
        return list[str] | None, {"type": ["array", "string", "null"]}
    if get_origin(field.annotation) is Literal:
        return str, {"type": ["string", "null"], "pattern": f"^({'|'.join(get_args(field.annotation))})$|{_TEMPLATE}"}
    if field.annotation is dt.date:
        return str, {"type": ["string", "null"], "pattern": rf"^\d{{4}}-\d{{2}}-\d{{2}}$|{_TEMPLATE}"}
    if field.annotation in (str, str | None):
        return field.annotation, {"type": ["string", "null"]}
    bounds = [(word, getattr(one, limit)) for one in field.metadata for limit, word in _BOUNDS if hasattr(one, limit)]
    # Text that is a number is taken for one; and the message that Dagster makes of a pattern shows what is wanted.
    kind, digits = _TYPED[field.annotation]
    return field.annotation, {
        "type": [kind, "string", "null"],
        "pattern": rf"^{digits}$|{_TEMPLATE}",
        **dict(bounds),
    }


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
                "report": "{{ context.project_root }}/data/report.html",
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
        None, description="Of every asset. It is also the schema, joined by underscores, unless that is set."
    )
    group_name: str | None = Field(None, description="Of every asset. Default: the key prefix.")
    tags: dict[str, str] = Field(default_factory=dict, description="Of every asset.")
    # What a template makes of these is up to `build_synthflow_defs`, which has the better messages.
    owners: Annotated[
        Any, dg.Resolver.default(model_field_type=list[str], description="Of every asset: e-mail addresses, team:NAME.")
    ] = Field((), json_schema_extra={"type": ["array", "string"], "pattern": _TEMPLATE})
    automation_condition: Annotated[
        Any,
        dg.Resolver.default(
            model_field_type=str | None, description="Of every asset, as {{ dg.AutomationCondition... }}."
        ),
    ] = Field(None, json_schema_extra={"type": ["string", "null"], "pattern": _TEMPLATE})

    @classmethod
    def get_spec(cls) -> dg.ComponentTypeSpec:
        """What `dg list components` and Dagster's UI say of it."""
        return dg.ComponentTypeSpec(
            description="Synthflow voice-agent calls: daily partitions, DuckDB tables, metrics, checks.",
            tags=["synthflow", "duckdb"],
        )

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:  # noqa: ARG002
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
            raise SettingsError(_as_attributes(str(error))) from None

    def _settings(self) -> Settings:
        given = self.model_dump()
        values: dict[str, Any] = {}
        for name, field in Settings.model_fields.items():
            attribute, (_, default) = _attribute(name, field)
            if _is_secret(field):
                if given[attribute] is not None and (name != "pii_key" or given["pii"] == "hash"):
                    values[name] = _in_variable(attribute, given)
            elif given[name] is not None and given[name] != default.default:
                values[name] = given[name]
        return given_as(_attributes_of_variables(), Settings.of(**values))


def _in_variable(attribute: str, given: dict[str, Any]) -> dg.EnvVar:
    if not re.fullmatch(VARIABLE_NAME, str(given[attribute])):
        raise SettingsError(
            f"{attribute} is not the name of an environment variable (its value is not shown); "
            "the key itself never goes into YAML"
        )
    return dg.EnvVar(given[attribute])


def _as_attributes(message: str) -> str:
    """A message about settings, with the names that they have in YAML."""
    of_variables = _attributes_of_variables()
    return renamed(message, of_variables | {name: of_variables[variable(name)] for name in Settings.model_fields})


def _attributes_of_variables() -> dict[str, str]:
    return {variable(name): _attribute(name, field)[0] for name, field in Settings.model_fields.items()}
