"""Where the values of settings come from. Nothing else in the package reads the environment.

Values come from the environment variables `SYNTHFLOW_*` and from a `.env` file in the working directory. The file wins,
as in Dagster's own commands, because all commands must see the same settings.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, Self

from dotenv import load_dotenv
from dotenv.parser import Binding, parse_stream
from pydantic import SecretStr

from synthflow_assets.errors import SettingsError
from synthflow_assets.settings.messages import nearest

PREFIX = "SYNTHFLOW_"
API_KEY_VARIABLE = PREFIX + "API_KEY"
# What Kubernetes sets in every pod for a Service whose name begins with `synthflow`.
_SERVICE_LINK = re.compile(
    r"SYNTHFLOW(_\w+)?_(SERVICE_(HOST|PORT(_\w+)?)|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
_SERVICE_PORT_VALUE = re.compile(r"(tcp|udp|sctp)://")
# A line of `.env` that is meant for this package, right or wrong: `set SYNTHFLOW_PII=drop`, `- SYNTHFLOW_PII: drop`.
_OUR_LINE = re.compile(r"[^=#]*(?<!\w)synthflow[\W_]", re.IGNORECASE)
# The same within a quoted value of several lines, which may be JSON that mentions the name.
_OUR_LINE_IN_VALUE = re.compile(r"\s*(export\s+)?synthflow_\w+\s*[=:]", re.IGNORECASE)


def variable(field: str) -> str:
    """Return the environment variable of a field of `Settings`."""
    return PREFIX + field.upper()


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
        """Read the variables of the AWS SDK."""
        return cls(os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None)


def read_environment(fields: Iterable[str]) -> dict[str, str]:
    """Return the values that `.env` and the environment set, by field.

    `.env` is loaded into the environment of this process, so that `dg.EnvVar` and run workers see the same values.

    Args:
        fields: the fields of `Settings`.

    Raises:
        SettingsError: `.env` cannot be read or has a wrong line, or a variable of our prefix names no setting.
    """
    by_variable = {variable(field): field for field in fields}
    _load_env_file(Path(".env"), by_variable)
    for name, value in sorted(os.environ.items()):
        # If a misspelt variable were ignored, its setting would silently have its default.
        is_ours = re.fullmatch(PREFIX + r"\w*", name, re.IGNORECASE)
        if is_ours and not _is_known(name, value, by_variable):
            raise SettingsError(_unknown(name, by_variable))
    # A blank variable counts as unset: that is how `.env` files leave a line empty.
    return {field: value for name, field in by_variable.items() if (value := os.environ.get(name, "").strip())}


def _load_env_file(path: Path, known: Mapping[str, str]) -> None:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, IsADirectoryError):  # .env may be the folder of a virtual environment
        return
    except (ValueError, OSError) as error:
        raise SettingsError(f".env cannot be read ({type(error).__name__}): save it as UTF-8 text") from None
    for binding in parse_stream(io.StringIO(text)):
        _validate_lines(binding, known)
    # From the text, because a named pipe can be read only once.
    load_dotenv(stream=io.StringIO(text), override=True)


def _validate_lines(binding: Binding, known: Mapping[str, str]) -> None:
    """Refuse a wrong line: the parser skips it with a warning, and without SYNTHFLOW_PII personal data would be kept.

    Args:
        binding: what the parser made of one line, or of several lines if a quoted value spans them.
        known: the settings, by variable.

    Raises:
        SettingsError: naming the number of the line; the line itself may hold a secret.
    """
    lines = enumerate(binding.original.string.split("\n"), binding.original.line)
    number, first = next(((number, line) for number, line in lines if line.strip()), (0, ""))
    if _OUR_LINE.match(first):
        # `SYNTHFLOW_API_KEY:secret=` is a name to the parser.
        if binding.error or binding.value is None or not re.fullmatch(r"\w+", binding.key or ""):
            raise SettingsError(f"line {number} of .env cannot be read (it is not shown); write it as NAME=value")
        if not _is_known(str(binding.key), binding.value, known):
            raise SettingsError(f"line {number} of .env: {_unknown(str(binding.key), known)}")
    for inner, line in lines:
        if _OUR_LINE_IN_VALUE.match(line):
            raise SettingsError(
                f"line {inner} of .env belongs to the quoted value that begins in line {number}; close its quotes"
            )


def _is_known(name: str, value: str, known: Mapping[str, str]) -> bool:
    return name in known or bool(
        _SERVICE_LINK.fullmatch(name) or (name.endswith("_PORT") and _SERVICE_PORT_VALUE.match(value))
    )


def _unknown(name: str, known: Iterable[str]) -> str:
    near = nearest(name.upper(), known)
    hint = f"did you mean {near}?" if near else f"settings are {', '.join(sorted(known))}"
    return f"{name} is not a setting of this package; {hint}"
