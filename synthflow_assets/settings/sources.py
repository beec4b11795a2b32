"""Where the values of settings come from. Nothing else in the package reads the environment.

Values come from the environment variables `SYNTHFLOW_*` and from a `.env` file in the working directory. The file wins,
as in Dagster's own commands, because all commands must see the same settings.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import NamedTuple, Self

from dotenv import load_dotenv
from dotenv.parser import Binding, parse_stream
from dotenv.variables import Variable, parse_variables
from pydantic import SecretStr

from synthflow_assets.errors import SettingsError
from synthflow_assets.settings.kinds import has_host
from synthflow_assets.settings.messages import nearest

PREFIX = "SYNTHFLOW_"
API_KEY_VARIABLE = PREFIX + "API_KEY"
# What Kubernetes sets in every pod for a Service whose name begins with `synthflow`.
_SERVICE_LINK = re.compile(
    r"SYNTHFLOW(_\w+)?_(SERVICE_(HOST|PORT(_\w+)?)|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
_SERVICE_PORT_VALUE = re.compile(r"(tcp|udp|sctp)://")
# Docker sets NAME_NAME and NAME_ENV_... for a link to a container, such as SYNTHFLOW_DB_NAME=/web/synthflow-db.
_CONTAINER_LINK_VALUE = re.compile(r"/[\w.-]+/[\w.-]+")
# What may stand before a name: `set SYNTHFLOW_PII=drop`, `$env:SYNTHFLOW_PII=drop`, `exportSYNTHFLOW_PII=drop`.
_BEFORE_NAME = re.compile(r"[\W_]*((setenv|env)\W+|(export|set)[\W_]*)(?=synthflow)", re.IGNORECASE)
# A name after the prefix of another program, such as `ACME_SYNTHFLOW_PII`.
_OTHER_PREFIX = re.compile(r"[^\W_][\W_]+synthflow", re.IGNORECASE)
_ALIKE = 0.9  # of the letters, as `SYNTHLFOW_PII` and `SYNTHFLOW_PII` have
# The first word of a line within a quoted value. In JSON, a name has quotes.
_FIRST_WORD = re.compile(r"[\s-]*((?:export|set)\s+)?([^\s=:#\"']+)")
_QUOTED_VALUE = re.compile(r"""^\s*('(\\.|[^'])*'?|"(\\.|[^"])*"?)""")
# Characters that editors show as the end of a line but that the parser reads as a part of it, and control characters.
_CONTROL_CHARACTER = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029]")
_LINE_END = re.compile(r"\r\n|\n|\r")


def variable(field: str) -> str:
    """Return the environment variable of a field of `Settings`."""
    return PREFIX + field.upper()


def may_be_variable(name: object) -> bool:
    """Return whether a text is the name of an environment variable, and not the secret itself, given by mistake.

    Names are shown in messages and in Dagster. So a name either is set, or has capital letters, digits and at least one
    underscore. Most keys of APIs do not look like that.
    """
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        return False
    return name in os.environ or bool(re.fullmatch(r"[A-Z0-9]*_[A-Z0-9_]*", name))


class VariableSecret(SecretStr):
    """A secret that is read from its environment variable when it is needed, like `dg.EnvVar` but without Dagster.

    Args:
        variable: the name of the environment variable.
    """

    def __init__(self, variable: str) -> None:
        super().__init__(variable)
        self.variable = variable

    def get_secret_value(self) -> str:
        """Return the value of the variable.

        Raises:
            SettingsError: the variable is not set.
        """
        value = os.environ.get(self.variable, "").strip()
        if not value:
            raise SettingsError(f"{self.variable} is not set; set it in the environment of the run, or in .env")
        return value


class S3Access(NamedTuple):
    """How to reach S3. The AWS SDK finds the keys by itself."""

    endpoint_url: str | None

    @classmethod
    def load(cls) -> Self:
        """Read the variables of the AWS SDK.

        Raises:
            SettingsError: the endpoint is no http(s) address. DuckDB would try another host, as in an outage.
        """
        for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
            if address := os.environ.get(name, "").strip():
                if not has_host(address, ("http", "https")) or "@" in address:
                    raise SettingsError(
                        f"{name} is not usable (its value is not shown); allowed is an address such as "
                        "https://host:9000"
                    )
                return cls(address)
        return cls(None)


def read_environment(fields: Iterable[str]) -> dict[str, str]:
    """Return the values that `.env` and the environment set, by field. They may be empty.

    `.env` is loaded into the environment of this process, so that `dg.EnvVar` and run workers see the same values.

    Args:
        fields: the fields of `Settings`.

    Raises:
        SettingsError: `.env` cannot be read or has a wrong line, or a variable of our prefix names no setting.
    """
    by_variable = {variable(field): field for field in fields}
    _load_env_file(Path(".env"), by_variable)
    for name in sorted(os.environ):
        # If a misspelt variable were ignored, its setting would silently have its default.
        if _is_meant_for_us(name, by_variable) and name not in by_variable and not _is_link(name, os.environ):
            raise SettingsError(_unknown(name, by_variable))
    return {field: os.environ[name].strip() for name, field in by_variable.items() if name in os.environ}


def _load_env_file(path: Path, known: Mapping[str, str]) -> None:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except IsADirectoryError:  # the folder of a virtual environment
        return
    except FileNotFoundError:
        if path.is_symlink():  # for example into a folder of secrets that is not mounted
            raise SettingsError(
                ".env is a link to a file that does not exist; create the file, or remove the link"
            ) from None
        return
    except OSError as error:
        raise SettingsError(f".env cannot be read: {error.strerror}; make it readable, or remove it") from None
    except ValueError:
        raise SettingsError(".env cannot be read; save it as UTF-8 text") from None
    _validate_characters(text)
    values: dict[str, str] = {}
    for binding in parse_stream(io.StringIO(text)):
        _validate_lines(binding, known)
        if binding.key and binding.value is not None:
            value = _resolved(binding, values, known)
            _validate_not_emptied(binding, value, values, known)
            values[binding.key] = value
    # From the text, because a named pipe can be read only once.
    load_dotenv(stream=io.StringIO(text), override=True)


def _validate_characters(text: str) -> None:
    """Refuse characters that hide a setting in another line, or that no environment can hold.

    Raises:
        SettingsError: naming the number of the line.
    """
    for number, line in enumerate(_LINE_END.split(text), 1):
        found = _CONTROL_CHARACTER.search(line)
        if found and ("\0" in line or PREFIX in line.upper()):
            raise SettingsError(
                f"line {number} of .env holds the character U+{ord(found[0]):04X} (the line is not shown); "
                "write each setting on a line of its own, without characters that cannot be printed"
            )


def _validate_lines(binding: Binding, known: Mapping[str, str]) -> None:
    """Refuse a wrong line: the parser skips it with a warning, and without SYNTHFLOW_PII personal data would be kept.

    A line is wrong if its name is meant for this package, but the line is not the NAME=value of a setting. It is also
    wrong if its value contains a setting after a space or on a line of its own. A quoted value on one line may contain
    any text.

    Args:
        binding: what the parser made of one line, or of several lines if a quoted value spans them.
        known: the settings, by variable.

    Raises:
        SettingsError: naming the number of the line; the line itself may hold a secret.
    """
    lines = enumerate(_LINE_END.split(binding.original.string), binding.original.line)
    number, first = next(((number, line) for number, line in lines if line.strip()), (0, ""))
    name, value = binding.key or re.split("[=:#]", first)[0], binding.value or ""
    if _is_meant_for_us(name, known):
        # `SYNTHFLOW_API_KEY:secret=` is a name to the parser.
        if binding.error or binding.value is None or not re.fullmatch(r"\w+", name):
            raise SettingsError(f"line {number} of .env cannot be read (it is not shown); write it as NAME=value")
        if name not in known and not _is_link(name, {name: value}):
            raise SettingsError(f"line {number} of .env: {_unknown(name, known)}")
    for inner, line in lines:
        word = _FIRST_WORD.match(line)
        if word and _is_meant_for_us(word[2], known):
            raise SettingsError(
                f"line {inner} of .env belongs to the quoted value that begins in line {number}; close its quotes, or "
                "write the value on one line"
            )
    if _has_setting(first if binding.error else first.partition("=")[2], known):
        raise SettingsError(
            f"line {number} of .env holds a setting within another value (it is not shown); write each setting on a "
            "line of its own, or put the value in quotes"
        )


def _resolved(binding: Binding, values: Mapping[str, str], known: Mapping[str, str]) -> str:
    """Return the value of a line with the values of the variables that it refers to, as `load_dotenv` sets it.

    Raises:
        SettingsError: a setting refers to a variable that has no value. An empty setting would have its default.
    """
    environment = {**os.environ, **values}
    parts = list(parse_variables(binding.value or ""))
    for part in parts:
        is_unset = isinstance(part, Variable) and part.default is None and not part.resolve(environment)
        if is_unset and binding.key in known:
            # The name is not shown, because the value may be a secret that has a dollar sign.
            raise SettingsError(
                f"line {_first_line(binding)} of .env: {binding.key} refers to a variable by ${{...}} that is not "
                "set; set the variable in an earlier line, or remove the reference"
            )
    return "".join(part.resolve(environment) for part in parts)


def _validate_not_emptied(binding: Binding, value: str, values: Mapping[str, str], known: Mapping[str, str]) -> None:
    """Refuse an empty line for a setting that has a value: the line would replace the value with the default.

    Raises:
        SettingsError: naming the number of the line.
    """
    name = str(binding.key)
    if name in known and not value.strip() and (values.get(name) or os.environ.get(name, "")).strip():
        place = "an earlier line" if values.get(name) else "the environment"
        raise SettingsError(
            f"line {_first_line(binding)} of .env leaves {name} empty, but {place} sets it; remove one of the two"
        )


def _first_line(binding: Binding) -> int:
    """Return the number of the line in which a binding begins, without the empty lines before it."""
    text = binding.original.string
    return binding.original.line + len(_LINE_END.findall(text[: len(text) - len(text.lstrip())]))


def _has_setting(text: str, known: Iterable[str]) -> bool:
    """Return whether a value has a setting after a space, as in `OTHER=1 SYNTHFLOW_PII=drop`.

    A quoted value and a comment may be any text, and a command may pass a setting on: `docker run -e SYNTHFLOW_PII=x`.
    """
    unquoted = re.sub(r"(?:^|\s)#.*", "", _QUOTED_VALUE.sub("x", text)).strip()
    names = "|".join(known)
    misspelt = names.replace("_", "[_-]?")
    return bool(re.search(rf"(?i)[\s;](?<!-e )(?<!--env )(({names})(?!\w)|({misspelt})\s*=)", unquoted))


def _is_meant_for_us(name: str, known: Iterable[str]) -> bool:
    """Return whether a name is meant for this package: it begins with our prefix, or is nearly the name of a setting.

    Case, and all characters but letters and digits, are ignored, because people mistype them.
    """
    squeezed = _squeezed(_BEFORE_NAME.sub("", name, count=1))
    if squeezed.startswith(_squeezed(PREFIX)):
        return squeezed != _squeezed(PREFIX)
    return not _OTHER_PREFIX.search(name) and _is_like(squeezed, tuple(map(_squeezed, known)))


@cache  # settings are read many times in a process, whose environment stays the same
def _is_like(squeezed: str, names: tuple[str, ...]) -> bool:
    return bool(get_close_matches(squeezed, names, 1, _ALIKE))


@cache
def _squeezed(name: str) -> str:
    return re.sub(r"[\W_]", "", name).upper()


def _is_link(name: str, variables: Mapping[str, str]) -> bool:
    """Return whether Kubernetes or Docker sets a variable for a Service or a container."""
    if name.endswith("_PORT") and _SERVICE_PORT_VALUE.match(variables[name]):
        return True
    container = f"{name.partition('_ENV_')[0]}_NAME" if "_ENV_" in name else name
    is_of_container = container.endswith("_NAME") and _CONTAINER_LINK_VALUE.fullmatch(variables.get(container, ""))
    return bool(_SERVICE_LINK.fullmatch(name) or is_of_container)


def _unknown(name: str, known: Iterable[str]) -> str:
    near = nearest(name.upper(), known)
    hint = f"did you mean {near}?" if near else f"settings are {', '.join(sorted(known))}"
    return f"{name} is not a setting of this package; {hint}"
