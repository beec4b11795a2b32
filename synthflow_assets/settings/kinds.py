"""What the type of a setting means in the environment, in YAML, in Python and in messages."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

TEMPLATE = r"\{\{.*\}\}"  # of Dagster's YAML
VARIABLE_NAME = "^[A-Za-z_][A-Za-z0-9_]*$"


@dataclass(frozen=True)
class Kind:
    """A type of settings.

    Attributes:
        python: the type, without None.
        words: what an error says is allowed.
        argument: the type of the argument of `Settings.of`, as source code.
        json_types: the types of JSON Schema that the attribute of the component may have, besides null.
        pattern: a regular expression for values that are given as text.
        is_optional: whether the setting may be None.
    """

    python: Any
    words: str
    argument: str
    json_types: tuple[str, ...]
    pattern: str | None = None
    is_optional: bool = False

    @property
    def is_secret(self) -> bool:
        """Whether the value is a secret; the component takes the name of its variable instead."""
        return self.python is SecretStr

    @property
    def json_schema(self) -> dict[str, Any]:
        """What JSON Schema can say of the component's attribute, bounds excepted."""
        if self.is_secret:
            return {"pattern": VARIABLE_NAME}
        # Empty text counts as unset.
        pattern = {"pattern": f"^({self.pattern})?$|{TEMPLATE}"} if self.pattern else {}
        return {"type": [*self.json_types, "null"], **pattern}


_KINDS = {
    # Numbers and booleans may be text in YAML, because templates are.
    bool: Kind(bool, "true or false", "bool", ("boolean", "string"), "true|false"),
    int: Kind(int, "a whole number", "int", ("integer", "string"), "-?[0-9]+"),
    float: Kind(float, "a number", "float", ("number", "string"), "-?[0-9.]+"),
    str: Kind(str, "text", "str", ("string",)),
    dt.date: Kind(dt.date, "a date such as 2026-01-31", "dt.date | str", ("string",), r"\d{4}-\d{2}-\d{2}"),
    tuple: Kind(tuple, "a list of texts, or text with commas", "Sequence[str]", ("array", "string")),
    SecretStr: Kind(SecretStr, "text", "SecretStr | str", ("string",)),
}


def kind_of(field: FieldInfo) -> Kind:
    """Return the kind of a setting.

    Raises:
        TypeError: settings of this type are not supported.
    """
    python, is_optional = _without_none(field.annotation)
    if get_origin(python) is Literal:
        choices = [str(choice) for choice in get_args(python)]
        words = f"{', '.join(choices[:-1])} or {choices[-1]}"
        return Kind(str, words, "str", ("string",), "|".join(choices), is_optional)
    kind = _KINDS.get(get_origin(python) or python)
    if kind is None:
        supported = ", ".join(python.__name__ for python in _KINDS)
        raise TypeError(f"a setting cannot be of the type {field.annotation}; supported are Literal, {supported}")
    if is_path(field):
        kind = replace(kind, argument="str | PurePath")
    return replace(kind, is_optional=is_optional)


def is_path(field: FieldInfo) -> bool:
    """Return whether a setting is a path of this machine, or may be one."""
    return isinstance(field.json_schema_extra, dict) and bool(field.json_schema_extra.get("path"))


def _without_none(annotation: Any) -> tuple[Any, bool]:
    if get_origin(annotation) not in (Union, UnionType):
        return annotation, False
    [python] = [part for part in get_args(annotation) if part is not NoneType]
    return python, True
