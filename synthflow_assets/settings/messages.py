"""What an error says about a setting: one line that names it as the user gave it, its value and what is allowed.

A setting has up to three names: its environment variable, its argument in Python, and its attribute in YAML. Messages
are written with the variable; `rename` replaces it with another name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic.fields import FieldInfo

from synthflow_assets.settings.kinds import kind_of

_MAX_VALUE_LENGTH = 200
# What may be a secret in a setting of any kind, for example in a list that is given instead of a text. No valid value
# needs an equals sign, except in the parameters of a connection and in folders.
_SECRET = re.compile(r"password|token|secret|=|://.*@", re.IGNORECASE | re.DOTALL)


def rename(message: str, names: Mapping[str, str]) -> str:
    """Return a message with some of its words replaced."""
    return re.sub(r"\w+", lambda word: names.get(word[0], word[0]), message)


def describe_problem(problem: Any, values: Mapping[str, Any], fields: Mapping[str, FieldInfo], prefix: str) -> str:
    """Return a problem that pydantic found, as `NAME is 'VALUE'; allowed is ...`.

    Args:
        problem: one of `ValidationError.errors()`.
        values: the values that were given, by field.
        fields: the fields of the settings.
        prefix: of the environment variables.
    """
    message = str(problem["msg"]).removeprefix("Value error, ")
    if not problem["loc"]:
        return message
    name = str(problem["loc"][0])
    if problem["type"] == "extra_forbidden":
        near = nearest(name.lower().removeprefix(prefix.lower()), fields)
        hint = f"did you mean {near}?" if near else f"settings are {', '.join(fields)}"
        return f"{name} is not a setting; {hint}"
    kind = kind_of(fields[name])
    # pydantic's own messages describe parsing, or only one of two bounds.
    allowed = message if problem["type"] == "value_error" else _allowed(fields[name])
    is_hidden = kind.is_secret or _may_hold_a_password(fields[name]) or "password" in message
    if is_hidden or _SECRET.search(str(values[name])):
        return f"{prefix}{name.upper()} is not usable (its value is not shown); allowed is {allowed}"
    value = values[name] if isinstance(values[name], int | float) else repr(_shortened(str(values[name])))
    return f"{prefix}{name.upper()} is {value}; allowed is {allowed}"


def _shortened(value: str) -> str:
    return value if len(value) <= _MAX_VALUE_LENGTH else f"{value[:_MAX_VALUE_LENGTH]}..."


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that was probably meant; None if none is similar."""
    import difflib

    return next(iter(difflib.get_close_matches(name, sorted(known), n=1)), None)


def _extra(field: FieldInfo) -> Mapping[str, Any]:
    return field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}


def _allowed(field: FieldInfo) -> str:
    return str(_extra(field).get("allowed") or kind_of(field).allowed)


def _may_hold_a_password(field: FieldInfo) -> bool:
    return bool(_extra(field).get("hidden"))
