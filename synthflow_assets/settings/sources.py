"""Where the values of settings come from. Nothing else in the package reads the environment.

Values come from the environment variables `SYNTHFLOW_*` and from a `.env` file in the working directory. The file wins,
because Dagster's own commands read it so, and all commands must agree.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, Self

from dotenv import load_dotenv
from dotenv.parser import parse_stream
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
        _validate_name(name, value, by_variable)
    # An empty variable counts as unset: that is how `.env` files leave a line blank.
    return {field: os.environ[name] for name, field in by_variable.items() if os.environ.get(name)}


def _load_env_file(path: Path, known: Mapping[str, str]) -> None:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return
    except (ValueError, OSError) as error:
        raise SettingsError(f".env cannot be read ({type(error).__name__}): save it as UTF-8 text") from None
    for binding in parse_stream(io.StringIO(text)):
        written = binding.original.string
        blank = re.match(r"\s*", written)[0]  # type: ignore[index]  # which always matches
        line = re.sub(r"^export\s+", "", written[len(blank) :]).lstrip("'\"")
        if not line.upper().startswith(PREFIX):
            continue
        # The parser skips wrong lines with a warning, and without SYNTHFLOW_PII personal data would be kept.
        number = binding.original.line + blank.count("\n")
        if binding.error or binding.key is None or binding.value is None:
            raise SettingsError(f"line {number} of .env cannot be read (it is not shown); write it as NAME=value")
        if binding.key not in known and not _is_service_link(binding.key, binding.value):
            raise SettingsError(f"line {number} of .env: {_unknown(binding.key, known)}")
    load_dotenv(path, override=True)


def _validate_name(name: str, value: str, known: Mapping[str, str]) -> None:
    """Refuse a misspelt variable: it would be a silent default."""
    is_ours = name.startswith(PREFIX) or name.upper() in known
    if is_ours and name not in known and not _is_service_link(name, value):
        raise SettingsError(_unknown(name, known))


def _is_service_link(name: str, value: str) -> bool:
    if _SERVICE_LINK.fullmatch(name):
        return True
    return name.endswith("_PORT") and bool(_SERVICE_PORT_VALUE.match(value))


def _unknown(name: str, known: Iterable[str]) -> str:
    near = nearest(name.upper(), known)
    hint = f"did you mean {near}?" if near else f"settings are {', '.join(sorted(known))}"
    return f"{name} is not a setting of this package; {hint}"
