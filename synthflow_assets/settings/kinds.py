"""How each type of setting is written in the environment, in YAML, in Python and in messages."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass, replace
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin
from urllib.parse import urlsplit

from pydantic import SecretStr
from pydantic.fields import FieldInfo

TEMPLATE = r"\{\{.*\}\}"  # of Dagster's YAML


@dataclass(frozen=True)
class Kind:
    """A type of settings.

    Attributes:
        python: the type, without None.
        words: what an error says is allowed, without the bounds.
        argument: the type of the argument of `Settings.of`, as source code.
        json_types: the types of JSON Schema that the attribute of the component may have, besides null.
        pattern: a regular expression for values that are given as text.
        is_optional: whether the setting may be None.
        minimum: the least value of a number, if it has one.
        maximum: the greatest value of a number, if it has one.
    """

    python: Any
    words: str
    argument: str
    json_types: tuple[str, ...]
    pattern: str | None = None
    is_optional: bool = False
    minimum: float | None = None
    maximum: float | None = None

    @property
    def allowed(self) -> str:
        """What an error says is allowed, with the bounds of a number."""
        if self.minimum is not None and self.maximum is not None:
            return f"{self.words} from {self.minimum} to {self.maximum}"
        if self.minimum is not None:
            return f"{self.words} of at least {self.minimum}"
        return self.words if self.maximum is None else f"{self.words} of at most {self.maximum}"

    @property
    def is_secret(self) -> bool:
        """Whether the value is a secret; the component takes the name of its variable instead."""
        return self.python is SecretStr

    @property
    def json_schema(self) -> dict[str, Any]:
        """What JSON Schema can express of the component's attribute."""
        if self.is_secret:
            return {}  # `dg check yaml` would print a value that does not match
        bounds = {"minimum": self.minimum, "maximum": self.maximum}
        # Empty text counts as unset.
        pattern = {"pattern": f"^({self.pattern})?$|{TEMPLATE}"} if self.pattern else {}
        return {
            "type": [*self.json_types, "null"],
            **pattern,
            **{name: bound for name, bound in bounds.items() if bound is not None},
        }


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
    return replace(kind, is_optional=is_optional, minimum=_bound(field, "ge"), maximum=_bound(field, "le"))


def is_path(field: FieldInfo) -> bool:
    """Return whether a setting is a path of this machine, or may be one."""
    return isinstance(field.json_schema_extra, dict) and bool(field.json_schema_extra.get("path"))


def _bound(field: FieldInfo, name: str) -> Any:
    return next((getattr(one, name) for one in field.metadata if hasattr(one, name)), None)


def _without_none(annotation: Any) -> tuple[Any, bool]:
    if get_origin(annotation) not in (Union, UnionType):
        return annotation, False
    [python] = [part for part in get_args(annotation) if part is not NoneType]
    return python, True


def has_host(address: str, schemes: tuple[str, ...]) -> bool:
    """Return whether an address has one of these schemes, a host, and no invalid port."""
    try:
        parts = urlsplit(address)
        _ = parts.port  # raises if it is not a number up to 65535
    except ValueError:
        return False
    return parts.scheme in schemes and bool(parts.hostname) and not re.search(r"\s", address)
