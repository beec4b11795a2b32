"""The component: a workspace that a `defs.yaml` describes."""

from __future__ import annotations

import datetime as dt
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

import dagster as dg
from dagster.components.component_scaffolding import scaffold_component
from dagster.components.resolved.core_models import AssetSpecUpdateKwargs
from dagster.components.utils.translation import TranslationFn, TranslationFnResolver
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model, model_validator
from pydantic.fields import FieldInfo

from synthflow_assets.errors import SettingsError
from synthflow_assets.orchestration.arguments import validate_types
from synthflow_assets.orchestration.build import build_synthflow_defs
from synthflow_assets.orchestration.translation import SynthflowAssetProps, translation_error
from synthflow_assets.settings import PREFIX, Settings, may_be_variable, variable
from synthflow_assets.settings.kinds import TEMPLATE, kind_of
from synthflow_assets.settings.messages import nearest, rename
from synthflow_assets.settings.model import name_settings_as
from synthflow_assets.texts import one_line

# The attributes of the other secrets have no default: if one is set, the feature is wanted.
_SECRETS_WITH_DEFAULT = ("api_key", "pii_key")
_LIST_ATTRIBUTES = "dg utils inspect-component synthflow_assets.SynthflowCallsComponent"
_ALLOWED_IN_TRANSLATION = {
    "owners": "owners is a list, such as [team:voice, calls@example.com]",
    "kinds": "kinds is a list, such as [sql]",
    "deps": "deps is a list of asset keys, such as [crm/leads]",
    "tags": "tags is a mapping, such as {tier: gold}",
    "metadata": "metadata is a mapping, such as {channel: voice}",
    "skippable": "skippable is true or false",
    "key": "key is a text such as 'lake/{{ props.name }}'",
    "key_prefix": "key_prefix is a text or a list of texts",
    "partitions_def": "Leave partitions_def as it is",
    "automation_condition": "automation_condition is a template, such as '{{ dg.AutomationCondition.eager() }}'",
    "freshness_policy": "freshness_policy is a template",
}
# Its default is the key prefix.
_WITHOUT_DEFAULT = ("warehouse_schema",)


def _attribute(name: str, field: FieldInfo) -> tuple[str, Any]:
    """Return the name of a setting's attribute in YAML, and its type with default and description.

    `dg check yaml` and editors see what JSON Schema can express; `Settings` validates the rest.
    """
    kind = kind_of(field)
    if kind.is_secret:
        text = f"Name of an environment variable, never the secret itself. {field.description}"
        # Not resolved: the result of a template may be the secret. Of any type, because `dg check yaml` shows a value
        # of another type.
        resolver = dg.Resolver(_unresolved, model_field_type=Any, description=text, inject_before_resolve=False)
        default = variable(name) if name in _SECRETS_WITH_DEFAULT else None
        return f"{name}_variable", _attribute_field(resolver, default, kind.json_schema)
    default = None if name in _WITHOUT_DEFAULT or field.default == () else field.default
    default = str(default) if isinstance(default, dt.date) else default
    # `Annotated` with None, because every attribute may be null.
    yaml_type = list[str] if kind.python is tuple else str if kind.python is dt.date else kind.python
    resolver = dg.Resolver.default(model_field_type=yaml_type | None, description=field.description)
    return name, _attribute_field(resolver, default, kind.json_schema)


def _attribute_field(resolver: dg.Resolver, default: Any, json_schema: dict[str, Any]) -> Any:
    # Earlier versions of Dagster 1.13 take no schema from a resolver, and no version a description from elsewhere.
    return Annotated[Any, resolver], Field(default, json_schema_extra=json_schema)


def _unresolved(_: dg.ResolutionContext, value: Any) -> Any:
    return value


class _Scaffolder(dg.Scaffolder[Any]):
    """Write a `defs.yaml` that runs as it is, and that says where to put the key."""

    def scaffold(self, request: dg.ScaffoldRequest[Any]) -> None:
        scaffold_component(
            request,
            {
                "api_key_variable": variable("api_key"),
                "region": "us",
                "timezone": "UTC",
                "start_date": f"{dt.datetime.now(dt.UTC).date().replace(day=1)}",
                "warehouse": "{{ context.project_root }}/data/warehouse.duckdb",
                "report": "{{ context.project_root }}/data/report.html",
            },
        )


if TYPE_CHECKING:
    _Settings = dg.Model
else:
    # Every setting is an attribute, with no line to add here.
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
        None,
        description="Key prefix of every asset, and, joined by underscores, the schema unless warehouse_schema is set.",
    )
    group_name: str | None = Field(None, description="Group of every asset. Default: the key prefix.")
    tags: dict[str, str] = Field(default_factory=dict, description="Tags of every asset.")
    # `build_synthflow_defs` validates what templates make of these.
    owners: Annotated[
        Any,
        dg.Resolver.default(
            model_field_type=list[str], description="Owners of every asset: e-mail addresses, team:NAME."
        ),
    ] = Field((), json_schema_extra={"type": ["array", "string"], "pattern": TEMPLATE})
    automation_condition: Annotated[
        Any,
        dg.Resolver.default(
            model_field_type=str | None,
            description="Automation condition of every asset, as {{ dg.AutomationCondition... }}.",
        ),
    ] = Field(None, json_schema_extra={"type": ["string", "null"], "pattern": TEMPLATE})
    translation: (
        Annotated[
            TranslationFn[SynthflowAssetProps],
            TranslationFnResolver[SynthflowAssetProps](lambda props: {"props": props}),
        ]
        | None
    ) = Field(
        None,
        description="Attributes of each asset, such as key, group_name or owners. Templates may use props.name, "
        "props.kind (table, view, export or report) and spec.",
    )

    @classmethod
    def get_spec(cls) -> dg.ComponentTypeSpec:
        """Return what `dg list components` and Dagster's UI show."""
        return dg.ComponentTypeSpec(
            description="Synthflow voice-agent calls: daily partitions, DuckDB tables, metrics, checks.",
            tags=["synthflow", "duckdb"],
        )

    @classmethod
    def model(cls) -> type[BaseModel]:
        """Return the model of the attributes; Dagster validates YAML against it."""
        return _with_plain_errors(super().model())

    def get_asset_spec(self, props: SynthflowAssetProps) -> dg.AssetSpec:
        """Return the spec of an asset; override it in a subclass to change more than `translation` can.

        Args:
            props: the asset, with the spec that it has by default.
        """
        if self.translation is None:
            return props.spec
        try:
            spec = self.translation(props.spec, props)
        except Exception as error:  # noqa: BLE001 (a template may raise anything)
            # Without its cause, because a template has no line in Python.
            raise translation_error(props, error) from None
        # Dagster turns an empty `code_version:` into this text.
        return spec.replace_attributes(code_version=None) if spec.code_version == "None" else spec

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:  # noqa: ARG002
        """Return the definitions of the workspace; Dagster calls this.

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
                get_asset_spec=self.get_asset_spec if self._translates else None,
            )
        except SettingsError as error:
            raise SettingsError(_as_attributes(str(error))) from error.__cause__

    @property
    def _translates(self) -> bool:
        is_overridden = type(self).get_asset_spec is not SynthflowCallsComponent.get_asset_spec
        return self.translation is not None or is_overridden

    def _settings(self) -> Settings:
        given = self.model_dump()
        values: dict[str, Any] = {}
        for name, field in Settings.model_fields.items():
            attribute, (_, default) = _attribute(name, field)
            if kind_of(field).is_secret:
                if given[attribute] is not None and (name != "pii_key" or given["pii"] == "hash"):
                    values[name] = dg.EnvVar(given[attribute])
            # True equals 1, and is refused only if it is passed on.
            elif given[name] is not None and (given[name] != default.default or isinstance(given[name], bool)):
                values[name] = given[name]
        if given["pii"] is None:
            values["pii"] = None  # refused, because the variable of a template may not be set
        return name_settings_as(Settings.of(**values), _attributes_of_variables())


@cache
def _with_plain_errors(derived: type[BaseModel]) -> type[BaseModel]:
    """Return the model with one line for an attribute that does not exist: Dagster would show its value."""
    known = derived.model_fields
    secrets = [name for name, field in Settings.model_fields.items() if kind_of(field).is_secret]

    def validate_names(values: Any) -> Any:
        for name in values if isinstance(values, dict) else ():
            if name in known:
                continue
            # Somebody may write `SYNTHFLOW_PAGE_SIZE` or `page-size`.
            plain = str(name).lower().replace("-", "_").removeprefix(PREFIX.lower())
            if plain in secrets:
                raise SettingsError(
                    f"{name} is not an attribute (its value is not shown): put the secret into an environment "
                    f"variable, and set {plain}_variable to the name of that variable"
                )
            near = nearest(plain, known)
            hint = f"did you mean {near}?" if near else f"to list the attributes, run: {_LIST_ATTRIBUTES}"
            raise SettingsError(f"{name} is not an attribute; {hint}")
        for name in secrets:
            # Checked before pydantic does, which shows values of another type.
            attribute = f"{name}_variable"
            named = values.get(attribute) if isinstance(values, dict) else None
            if named is not None and not may_be_variable(named):
                raise SettingsError(
                    f"{attribute} does not name an environment variable that is set (the text is not shown, because it "
                    "may be a secret); give the name of a variable, such as MY_KEY, not the secret"
                )
        if isinstance(values, dict):
            _validate_translation(values.get("translation"))
            given = {name: values.get(name) for name in ("key_prefix", "group_name", "tags")}
            validate_types(**{name: None if _is_template(value) else value for name, value in given.items()})
        return values

    # `dg check yaml` prints a line with an unknown attribute. So it knows the names of secrets, and the model refuses
    # them when the project is loaded.
    hidden = {name: {"deprecated": True, "description": f"Set {name}_variable instead."} for name in secrets}
    config = ConfigDict(json_schema_extra=lambda schema: schema["properties"].update(hidden))
    base = create_model(
        derived.__name__,
        __base__=derived,
        __validators__={"validate_names": model_validator(mode="before")(validate_names)},  # type: ignore[dict-item]
    )
    base.model_config = {**base.model_config, **config}
    return base


def _is_template(value: Any) -> bool:
    return isinstance(value, str) and "{{" in value


def _validate_translation(given: Any) -> None:
    """Refuse attributes of `translation` that do not exist or have a wrong type: pydantic would show several errors."""
    if given is None or _is_template(given):
        return
    if not isinstance(given, dict):
        raise SettingsError(
            f"translation is {one_line(repr(given))}; allowed is a mapping such as {{group_name: voice}}, or a template"
        )
    try:
        AssetSpecUpdateKwargs.model().model_validate(given)
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        if name in AssetSpecUpdateKwargs.model().model_fields:
            raise _wrong_type(name, given[name]) from None
        near = nearest(name, AssetSpecUpdateKwargs.model().model_fields)
        hint = f"did you mean {near}?" if near else "attributes are those of dg.AssetSpec"
        raise SettingsError(f"translation: {name} is not an attribute; {hint}") from None
    for name in ("deps", "kinds", "owners"):
        # Dagster would take each letter of a text for an entry.
        if isinstance(given.get(name), str) and not _is_template(given[name]):
            raise _wrong_type(name, given[name])


def _wrong_type(name: str, value: Any) -> SettingsError:
    return SettingsError(
        f"translation: {name} is {one_line(repr(value))}, which has the wrong type. "
        f"{_ALLOWED_IN_TRANSLATION.get(name, f'{name} is a text')}"
    )


def _as_attributes(message: str) -> str:
    """Return a message with the names that settings have in YAML."""
    of_variables = _attributes_of_variables()
    return rename(message, of_variables | {name: of_variables[variable(name)] for name in Settings.model_fields})


def _attributes_of_variables() -> dict[str, str]:
    return {variable(name): _attribute(name, field)[0] for name, field in Settings.model_fields.items()}
