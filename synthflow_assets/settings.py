"""Every setting: name, type, default, what it means. Nothing else in the package reads the environment.

Values come from the environment variables `SYNTHFLOW_*` and from a `.env` file in the working directory. The file
wins, because Dagster's own commands read it so, and one rule must hold for all commands. A bad value raises
`SettingsError` with one line a problem; secrets are never in it.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import zoneinfo
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePath
from typing import Any, Literal, NamedTuple, Self, TypeVar, Unpack
from urllib.parse import urlsplit

from dotenv import load_dotenv
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from synthflow_assets.errors import SettingsError
from synthflow_assets.setting_arguments import SettingsArguments

PREFIX = "SYNTHFLOW_"
API_KEY_VARIABLE = PREFIX + "API_KEY"
VARIABLE_NAME = "^[A-Za-z_][A-Za-z0-9_]*$"

# https://docs.synthflow.ai: one cluster a region; the global one is retired at the end of 2026.
REGION_URLS = {
    "us": "https://api.us.synthflow.ai/v2",
    "eu": "https://api.eu.synthflow.ai/v2",
    "global": "https://api.synthflow.ai/v2",
}


_KEYS = ("api_key", "pii_key", "alert_webhook_url", "alert_slack_token", "alert_smtp_url")
_TIMEZONES = "an IANA time zone such as UTC or America/New_York"
_RESERVED_SCHEMAS = ("information_schema", "main", "pg_catalog", "temp")


def check_location(location: str) -> None:
    """Refuse what no warehouse can be, and passwords: a location is shown in messages and in Dagster.

    Raises:
        ValueError: saying what is allowed.
    """
    scheme = re.match(r"([A-Za-z0-9+_-]{2,}|):", location)
    if scheme and scheme[1] not in ("md", "ducklake"):
        raise ValueError("the path of a DuckDB file, md:NAME, or ducklake:postgres:...")
    if scheme and re.search(r"(?i)password|token|://[^/@\s]*:[^/@\s]*@", location):
        raise ValueError(
            "a location without a password, because it is shown: PostgreSQL's comes from PGPASSWORD, ~/.pgpass or "
            "PGSERVICE, MotherDuck's from motherduck_token"
        )
    if location.startswith("ducklake:") and not location.startswith("ducklake:postgres:"):
        raise ValueError("ducklake:postgres:dbname=... host=..., because many machines can write to no other catalog")


class S3Access(NamedTuple):
    """Where S3 is. Keys are not read here: the AWS SDK finds them by itself."""

    endpoint_url: str | None

    @classmethod
    def load(cls) -> Self:
        """Read the variables that the AWS SDK knows."""
        return cls(os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None)


def variable(field: str) -> str:
    """The environment variable of a field of `Settings`."""
    return PREFIX + field.upper()


def renamed(message: str, names: Mapping[str, str]) -> str:
    """A message about settings, with the names that they have elsewhere."""
    return re.sub(r"\w+", lambda word: names.get(word[0], word[0]), message)


class VariableSecret(SecretStr):
    """A secret that stays in its environment variable until it is needed: `dg.EnvVar` where there is no Dagster."""

    def __init__(self, variable: str) -> None:
        super().__init__(variable)
        self.variable = variable

    def get_secret_value(self) -> str:
        """The variable's value.

        Raises:
            SettingsError: it is not set.
        """
        value = os.environ.get(self.variable, "").strip()
        if not value:
            raise SettingsError(f"{self.variable} is not set; set it in the environment of the run, or in .env")
        return value


_Some = TypeVar("_Some", bound="Settings")


class Settings(BaseModel):
    """The settings of one Synthflow workspace and its warehouse.

    `Settings.load()` reads the environment; `Settings.of(region="eu", ...)` takes its values from the caller alone.
    Keys may be given as `dg.EnvVar("NAME")`; they are read when they are needed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    api_key: SecretStr | None = Field(
        None, description="API key of the workspace. Needed for every fetch, never printed."
    )
    region: Literal["us", "eu", "global"] = Field(
        "us", description="Cluster that the workspace lives on. A key works in its own region only."
    )
    base_url: str | None = Field(
        None, description="Address of the API, for a proxy or the sandbox; ends in `/v2`. Wins over the region."
    )
    model_ids: tuple[str, ...] = Field(
        (), description="Agents to fetch, separated by commas. Empty: every agent of the workspace."
    )
    timezone: str = Field("UTC", description="IANA time zone that says when a day begins and ends.")
    start_date: dt.date = Field(
        dt.date(2025, 1, 1),
        description="First daily partition, as YYYY-MM-DD. The last one is yesterday.",
    )
    warehouse: str = Field(
        "data/synthflow.duckdb",
        description=(
            "Where the tables live: the path of a DuckDB file, `ducklake:postgres:dbname=... host=...`, or `md:NAME`; "
            "without a password."
        ),
    )
    lake_data_path: str | None = Field(
        None,
        description=(
            "Folder, or `s3://bucket/prefix`, of a lake's Parquet files. Needed where the lake is made; it remembers."
        ),
    )
    lake_snapshot_days: int = Field(
        7,
        ge=0,
        le=3650,
        description="How long a lake keeps what was deleted or replaced; its maintenance removes what is older.",
    )
    warehouse_schema: str = Field(
        "synthflow",
        description="Schema of the tables in the warehouse, so that several workspaces share one.",
    )
    page_size: int = Field(100, ge=1, le=100, description="Calls a request; the API allows at most 100.")
    max_connections: int = Field(8, ge=1, le=64, description="Requests under way at once.")
    requests_per_second: float | None = Field(
        None,
        ge=0.01,
        le=10_000,
        allow_inf_nan=False,
        description="Upper bound on the request rate of all processes that fill the same warehouse. Unset: no bound.",
    )
    window_margin_seconds: int = Field(
        3600,
        ge=0,
        le=86_400,
        description=(
            "How far past the end of a day the API is asked, so that calls which end after midnight are found "
            "whatever its window filters. Set it to the longest call that you expect."
        ),
    )
    lookback_days: int = Field(
        3, ge=1, le=31, description="Days that the daily schedule fetches again, for late changes."
    )
    catch_up_days: int = Field(
        14,
        ge=1,
        le=90,
        description="Days in which the catch-up schedule looks for what is missing or was fetched too early.",
    )
    backfill_days_per_run: int | None = Field(
        None,
        ge=1,
        le=366,
        description=(
            "Days that one run of a backfill covers, so that a lake is filled by several runs at once. Unset: all days "
            "in one run, which `dg launch --partition-range` needs."
        ),
    )
    short_call_seconds: int = Field(
        10, ge=0, le=86_400, description="A connected call that lasted less than this is a short call."
    )
    pii: Literal["keep", "hash", "drop"] = Field(
        "keep",
        description=(
            "Personal data: `keep` as it is, `hash` text with a keyed hash so that joins still work (HMAC-SHA-256 in "
            "hexadecimal, of phone numbers that of their digits), or `drop` it. Applied before anything is written."
        ),
    )
    pii_key: SecretStr | None = Field(None, description="Key of the hash; needed for `hash`, never printed.")

    vanished_fields: Literal["mirror", "keep"] = Field(
        "mirror",
        description=(
            "What to do where Synthflow has erased personal fields of a call (transcripts, numbers, recordings may be "
            "deleted after 30 days) and its day is fetched again: `mirror` erases them here too, `keep` leaves what "
            "landed before."
        ),
    )
    export_dir: str | None = Field(
        None,
        description=(
            "Folder of Parquet copies of the tables, one file a day, for readers that must not meet the writer. Unset: "
            "there are no `..._export` assets."
        ),
    )
    report: str = Field(
        "data/report.html",
        description="The HTML page that `synthflow/call_report` and `synthflow-assets report` write.",
    )
    report_days: int = Field(
        90, ge=1, le=3660, description="Days that the report is about, unless it is asked for others."
    )
    recordings: str | None = Field(
        None,
        description=(
            "Folder, or `s3://bucket/prefix`, that `synthflow/call_recordings` downloads audio into. Unset: there is "
            "no such asset."
        ),
    )

    alert_webhook_url: SecretStr | None = Field(
        None,
        description=(
            "Address that alerts are posted to, as JSON with a `text` that the incoming webhooks of Slack and "
            "Mattermost show. Never printed."
        ),
    )
    alert_slack_token: SecretStr | None = Field(
        None, description="Token of a Slack app that may post to the channel, never printed. Needs the extra `slack`."
    )
    alert_slack_channel: str | None = Field(None, description="Channel of alerts in Slack, such as `#calls`.")
    alert_smtp_url: SecretStr | None = Field(
        None,
        description=(
            "Mail server of alerts: `smtps://USER:PASSWORD@HOST:465`, or `smtp://...`, which is encrypted where the "
            "server offers it. Never printed."
        ),
    )
    alert_email_to: tuple[str, ...] = Field((), description="Addresses that alerts go to, separated by commas.")
    alert_email_from: str | None = Field(
        None, description="Address that alerts come from. Default: the first that they go to."
    )
    webserver_url: str | None = Field(
        None, description="Address of Dagster's UI, such as `http://127.0.0.1:3000`, for links in alerts."
    )

    # Its settings by other names than those of their variables, where they were given by them.
    _names: Mapping[str, str] = PrivateAttr(default_factory=dict)

    @classmethod
    def load(cls) -> Self:
        """Read the environment and `.env`.

        Raises:
            SettingsError: naming each bad variable, its value and what is allowed.
        """
        # Into the process's own environment, so that `dg.EnvVar` and run workers see the same values.
        try:
            load_dotenv(Path(".env"), override=True)
        except (ValueError, OSError) as error:
            raise SettingsError(f".env cannot be read ({type(error).__name__}): save it as UTF-8 text") from None
        _validate_variable_names()
        # An empty variable is an unset one: that is how `.env` files leave a line blank.
        given = {field: value for field in cls.model_fields if (value := os.environ.get(variable(field)))}
        settings = cls._checked(given)
        # Where they are, not what they are: so they can be handed on to Dagster.
        keys = {field: VariableSecret(variable(field)) for field in _KEYS if getattr(settings, field) is not None}
        return settings.model_copy(update=keys)

    @classmethod
    def of(cls, **values: Unpack[SettingsArguments]) -> Self:
        """Build settings from keyword arguments, with errors made for people.

        Raises:
            SettingsError: naming each bad argument, its value and what is allowed.
        """
        names = {variable(field): field for field in cls.model_fields}
        try:
            return given_as(names, cls._checked({**values}))
        except SettingsError as error:
            # Who gave a variable's name where an argument's is wanted is told of both.
            message = renamed(str(error), {name: field for name, field in names.items() if name not in values})
        raise SettingsError(message)

    @classmethod
    def _checked(cls, values: dict[str, Any]) -> Self:
        """The settings with these values; errors name them by their variables."""
        for field, value in list(values.items()):
            if field in _KEYS and isinstance(name := getattr(value, "env_var_name", None), str):
                if not re.fullmatch(VARIABLE_NAME, name):
                    raise SettingsError(
                        f"{variable(field)} is not the name of an environment variable (its value is not shown); "
                        "the key itself is never written there"
                    )
                values[field] = VariableSecret(name)
            elif isinstance(value, PurePath):
                values[field] = str(value)
            elif isinstance(value, str) and not value.isprintable():
                raise SettingsError(
                    f"{variable(field)} holds characters that cannot be printed (its value is not shown); remove them"
                )
        try:
            return cls(**values)
        except ValidationError as error:
            problems = [_describe(problem, values) for problem in error.errors(include_url=False)]
        raise SettingsError("; ".join(dict.fromkeys(problems)))

    @field_validator("*", mode="before")
    @classmethod
    def _neither_true_nor_false(cls, value: object) -> object:
        # No setting is, and pydantic takes `true` for 1.
        if isinstance(value, bool):
            raise PydanticCustomError("bool_type", "neither true nor false")
        return value

    @field_validator("model_ids", "alert_email_to", mode="before")
    @classmethod
    def _split_commas(cls, value: object) -> object:
        parts = value.split(",") if isinstance(value, str) else value
        if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
            return value
        # A repeated id would be fetched twice at once; order is kept for readable logs.
        return tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))

    @field_validator(*_KEYS, mode="wrap")
    @classmethod
    def _not_read_yet(cls, value: object, handler: Callable[[object], SecretStr | None]) -> SecretStr | None:
        return value if isinstance(value, VariableSecret) else handler(value)

    @field_validator("alert_webhook_url", "alert_smtp_url")
    @classmethod
    def _is_address(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        schemes = ("http", "https") if info.field_name == "alert_webhook_url" else ("smtp", "smtps")
        if value is None or isinstance(value, VariableSecret):
            return value
        parts = urlsplit(value.get_secret_value().strip())
        if parts.scheme not in schemes or not parts.hostname or re.search(r"\s", value.get_secret_value().strip()):
            raise ValueError(" or ".join(f"an {scheme}:// address" for scheme in schemes))
        return SecretStr(value.get_secret_value().strip())

    @field_validator("alert_email_to", "alert_email_from")
    @classmethod
    def _email_addresses(cls, value: tuple[str, ...] | str | None) -> tuple[str, ...] | str | None:
        for address in (value,) if isinstance(value, str) else value or ():
            if not re.fullmatch(r"[^@\s,<>\"]+@[^@\s,<>\"]+", address):
                raise ValueError("e-mail addresses such as calls@example.com")
        return value

    @field_validator("api_key")
    @classmethod
    def _fits_a_header(cls, value: SecretStr | None) -> SecretStr | None:
        if isinstance(value, VariableSecret):
            return value
        key = value.get_secret_value().strip() if value else ""
        if not re.fullmatch(r"[!-~]*", key):
            raise ValueError("printable ASCII without spaces")
        return SecretStr(key) if key else None

    @field_validator("warehouse", "lake_data_path", "export_dir", "report", "recordings")
    @classmethod
    def _home_folder(cls, value: str | None) -> str | None:
        return str(Path(value).expanduser()) if value and value.startswith("~") else value

    @field_validator("warehouse")
    @classmethod
    def _known_warehouse(cls, value: str) -> str:
        check_location(value)
        return value

    @field_validator("warehouse_schema")
    @classmethod
    def _plain_schema(cls, value: str) -> str:
        # DuckDB takes `Acme` and `acme` for the same schema, Dagster for two keys: so only one of them is allowed.
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", value) or value in _RESERVED_SCHEMAS:
            raise ValueError(
                "lower-case letters, digits and underscores, beginning with a letter, and none of "
                + ", ".join(_RESERVED_SCHEMAS)
            )
        return value

    @field_validator("timezone")
    @classmethod
    def _known_timezone(cls, value: str) -> str:
        try:
            known = bool(zoneinfo.ZoneInfo(value))
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            known = False
        # Copies of other zones and the machine's own: Python finds them as files, DuckDB does not know them.
        if not known or value.startswith(("posix/", "right/")) or value in ("localtime", "posixrules", "Factory"):
            raise ValueError(_TIMEZONES)
        return value

    @field_validator("base_url", "webserver_url")
    @classmethod
    def _http_address(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"[@?#\s]", value):
            raise ValueError("an http(s) address without user name or query, such as https://host/path")
        return value.rstrip("/")

    @field_validator("recordings", "lake_data_path")
    @classmethod
    def _folder_or_bucket(cls, value: str | None) -> str | None:
        if value and "://" in value and not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]{2,62}(/[^?#@]*)?", value):
            raise ValueError("a folder, or s3://bucket/prefix; S3 keys and endpoint come from AWS_... variables")
        return value

    @field_validator("start_date")
    @classmethod
    def _plausible_start(cls, value: dt.date) -> dt.date:
        # Later there would be no partition, and nobody would be told. In the first time zones it is tomorrow already.
        tomorrow = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=1)
        if not dt.date(2020, 1, 1) <= value <= tomorrow:
            raise ValueError("a date from 2020-01-01 to today")
        return value

    @model_validator(mode="after")
    def _recordings_are_personal(self) -> Self:
        if self.recordings and self.pii != "keep":
            raise ValueError(
                f"{PREFIX}RECORDINGS is set, but recordings are personal data and {PREFIX}PII is {self.pii}: "
                "unset the one or set the other to keep"
            )
        return self

    @model_validator(mode="after")
    def _hash_has_key(self) -> Self:
        known = isinstance(self.pii_key, VariableSecret) or (self.pii_key and self.pii_key.get_secret_value())
        if self.pii == "hash" and not known:
            raise ValueError(f"{PREFIX}PII is hash, which needs {PREFIX}PII_KEY: set it to a long random text")
        return self

    @model_validator(mode="after")
    def _alerts_have_receivers(self) -> Self:
        pairs = (("alert_slack_token", "alert_slack_channel"), ("alert_smtp_url", "alert_email_to"))
        for sender, receiver in pairs:
            if bool(getattr(self, sender)) != bool(getattr(self, receiver)):
                raise ValueError(f"{variable(sender)} and {variable(receiver)} are set together, or neither of them")
        return self

    @property
    def hash_key(self) -> str:
        """Key of the hash of personal data; empty where none is set.

        Raises:
            SettingsError: its variable is not set.
        """
        return self.pii_key.get_secret_value() if self.pii_key is not None else ""

    @property
    def export_folder(self) -> Path | None:
        """Folder of the exports: `export_dir`, or a folder in it named after a schema other than the default.

        None if no exports are written.
        """
        return self._own_folder(Path(self.export_dir)) if self.export_dir else None

    @property
    def report_path(self) -> Path:
        """Where the report goes: `report`, or a file of the same name in a folder beside it, named like the schema."""
        path = Path(self.report)
        return self._own_folder(path.parent) / path.name

    def _own_folder(self, folder: Path) -> Path:
        """The folder, or one in it where the schema is not the usual one: workspaces do not share files."""
        usual = type(self).model_fields["warehouse_schema"].default
        return folder if self.warehouse_schema == usual else folder / self.warehouse_schema

    @property
    def api_url(self) -> str:
        """Address of the API without a slash at its end: the base URL, else that of the region."""
        return self.base_url or REGION_URLS[self.region]


_ALLOWED = {
    "start_date": "a date such as 2026-01-31",
    "region": "us, eu or global",
    "pii": "keep, hash or drop",
    "timezone": _TIMEZONES,
    "vanished_fields": "mirror or keep",
}
# pydantic's texts for a value of the wrong type speak of parsing; ours say what to write.
_KINDS: dict[Any, str] = {
    int: "a whole number",
    int | None: "a whole number",
    float | None: "a number",
    tuple[str, ...]: "a list of texts, or text with commas",
}


def given_as(names: Mapping[str, str], settings: _Some) -> _Some:
    """The same settings, of which messages are to speak by these names; the keys are the variables."""
    same = settings.model_copy()
    same._names = names  # noqa: SLF001 (no part of what users see)
    return same


def with_setting_names(message: str, settings: Settings) -> str:
    """A message that names variables, with the names by which the settings were given."""
    return renamed(message, settings._names)  # noqa: SLF001


def _describe(problem: Any, values: dict[str, Any]) -> str:
    """One pydantic problem as `NAME is 'VALUE': allowed is ...`."""
    if not problem["loc"]:
        return str(problem["msg"]).removeprefix("Value error, ")
    field = str(problem["loc"][0])
    name = variable(field)
    if problem["type"] == "extra_forbidden":
        near = _nearest(field.upper().removeprefix(PREFIX), [known.upper() for known in Settings.model_fields])
        return f"{field} is not a setting" + (f"; did you mean {near.lower()}?" if near else "")
    message = str(problem["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")
    if problem["type"].endswith(("_type", "_parsing", "_parsing_size", "_from_float")):
        message = _KINDS.get(Settings.model_fields[field].annotation, "text")
    allowed = _ALLOWED.get(field, message) if "Value error" not in problem["msg"] else message
    if field in (*_KEYS, "base_url", "recordings", "lake_data_path") or "password" in message:
        # An address may hold a password.
        return f"{name} is not usable (its value is not shown); allowed is {allowed}"
    value = values[field] if isinstance(values[field], int | float) else repr(str(values[field]))
    return f"{name} is {value}; allowed is {allowed}"


def _nearest(name: str, known: Iterable[str]) -> str | None:
    """What was probably meant."""
    import difflib

    return next(iter(difflib.get_close_matches(name, sorted(known), n=1)), None)


def _validate_variable_names() -> None:
    """A misspelt variable would be a silent default, so it is an error that names its likely twin."""
    known = {variable(field) for field in Settings.model_fields}
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name not in known and re.fullmatch(r"[A-Z0-9_]+", name):
            near = _nearest(name, known)
            hint = f"did you mean {near}?" if near else f"known are {', '.join(sorted(known))}"
            raise SettingsError(f"{name} is not a setting of this package; {hint}")
