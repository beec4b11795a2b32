"""The settings of a workspace: name, type, default, description, and what is allowed."""

from __future__ import annotations

import datetime as dt
import os
import re
import zoneinfo
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import Any, Literal, Self, TypeVar, Unpack

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
from synthflow_assets.settings.arguments import SettingsArguments
from synthflow_assets.settings.kinds import has_host, is_path, kind_of
from synthflow_assets.settings.messages import describe_problem, rename
from synthflow_assets.settings.sources import PREFIX, VariableSecret, may_be_variable, read_environment, variable

# https://docs.synthflow.ai: one cluster a region; the global one is retired at the end of 2026.
REGION_URLS = {
    "us": "https://api.us.synthflow.ai/v2",
    "eu": "https://api.eu.synthflow.ai/v2",
    "global": "https://api.synthflow.ai/v2",
}

_TIMEZONES = "an IANA time zone such as UTC or America/New_York"
# Schemas and catalogs that DuckDB or this package has already: `warehouse.calls` would be looked for elsewhere.
_RESERVED_SCHEMAS = ("information_schema", "main", "memory", "pg_catalog", "system", "temp", "warehouse")

# The keywords of DuckDB 1.5 and 2.0 of the categories `reserved` and `type_function`. Without quotes, `select.calls`
# and `left.calls` are syntax errors.
_RESERVED_WORDS = frozenset(
    """
    all analyse analyze and anti any array as asc asof asymmetric at authorization binary both by case cast check
    collate collation column columns concurrently constraint create cross default deferrable desc describe distinct
    do else end except false fetch for foreign freeze from full generated glob group having ilike in initially inner
    intersect into is isnull join lambda lateral leading left like limit map natural not notnull null offset on only
    or order outer overlaps pivot pivot_longer pivot_wider placing positional primary qualify references returning
    right select semi show similar some struct summarize symmetric table tablesample then to trailing true try_cast
    tuple union unique unpack unpivot using variadic verbose when where window with
    """.split()  # noqa: SIM905 (shorter)
)


# The parameters of libpq that hold no secret. https://www.postgresql.org/docs/current/libpq-connect.html
_CONNECTION_PARAMETERS = frozenset(
    """
    application_name channel_binding client_encoding connect_timeout dbname fallback_application_name gssdelegation
    gssencmode gsslib host hostaddr keepalives keepalives_count keepalives_idle keepalives_interval krbsrvname
    load_balance_hosts options passfile port require_auth requirepeer service ssl_max_protocol_version
    ssl_min_protocol_version sslcert sslcertmode sslcrl sslcrldir sslkey sslmode sslnegotiation sslrootcert sslsni
    target_session_attrs tcp_user_timeout user
    """.split()  # noqa: SIM905 (shorter)
)

# Without slashes, because a mistyped `s3:/bucket` would become a folder of this name.
_SCHEME = re.compile(r"([A-Za-z0-9+_-]{2,}|):")


def check_location(location: str) -> None:
    """Refuse an invalid location, and passwords, because a location is shown in messages and in Dagster.

    Raises:
        ValueError: saying what is allowed.
    """
    scheme = _SCHEME.match(location)
    if scheme and scheme[1] != "ducklake":
        raise ValueError("the path of a DuckDB file, or ducklake:postgres:...")
    if location.startswith("ducklake:") and not location.startswith("ducklake:postgres:"):
        raise ValueError("ducklake:postgres:dbname=... host=..., the catalog that several machines can write to")
    parameters = set(re.findall(r"(\w+)\s*=", location.lower()))
    if scheme and (re.search(r"(?i)password|token|://[^@]*:[^@]*@", location) or parameters - _CONNECTION_PARAMETERS):
        raise ValueError(
            "a location without a password and without unknown parameters, because it is shown: the password comes "
            "from PGPASSWORD, ~/.pgpass or PGSERVICE"
        )
    # Such a file could be created, but not written.
    resolved = os.path.realpath(location)
    if not scheme and "?" in f"{Path(location).absolute()}{resolved}":
        raise ValueError(
            f"the path of a DuckDB file without ? (here {resolved}), because DuckDB reads what follows a ? as options"
        )


def path_field(default: str | None, description: str, **extra: Any) -> Any:
    """Return a field whose value is a path, or may be one."""
    return Field(default, description=description, json_schema_extra={"path": True, **extra})


_Settings = TypeVar("_Settings", bound="Settings")


class Settings(BaseModel):
    """The settings of one Synthflow workspace and its warehouse.

    `Settings.load()` reads the environment and `.env`; `Settings.of(region="eu", ...)` takes its arguments alone.
    A secret may be given as `dg.EnvVar("NAME")`: it is read when it is needed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False)

    api_key: SecretStr | None = Field(
        None, description="API key of the workspace. Needed for every fetch, never printed."
    )
    region: Literal["us", "eu", "global"] = Field(
        "us", description="Region of the workspace. A key works in its own region only."
    )
    base_url: str | None = Field(
        None,
        description="Base URL of the API, for a proxy or the sandbox; ends in `/v2`. Overrides the region.",
        json_schema_extra={"hidden": True},
    )
    model_ids: tuple[str, ...] = Field(
        (), description="Ids of the agents to fetch, separated by commas. Empty: all agents of the workspace."
    )
    timezone: str = Field(
        "UTC",
        description="IANA time zone. A day begins and ends at midnight in it.",
        json_schema_extra={"allowed": _TIMEZONES},
    )
    start_date: dt.date = Field(
        dt.date(2025, 1, 1),
        description=(
            "First daily partition, as YYYY-MM-DD. The last one is yesterday, or today if the current day is included."
        ),
    )
    include_today: bool = Field(
        default=False,
        description=(
            "Make the current day a partition as well: the day so far. `synthflow_today_schedule` fetches it each hour."
        ),
    )
    warehouse: str = path_field(
        "data/warehouse.duckdb",
        "Location of the tables: the path of a DuckDB file, or `ducklake:postgres:dbname=... host=...` without "
        "a password.",
    )
    lake_data_path: str | None = path_field(
        None,
        "Folder, or `s3://bucket/prefix`, of a lake's Parquet files. Required only when the lake is created.",
        hidden=True,
    )
    lake_snapshot_days: int = Field(
        7,
        ge=0,
        le=3650,
        description="How long a lake keeps deleted or replaced rows; its maintenance removes older ones.",
    )
    warehouse_schema: str = Field(
        "synthflow", description="Schema of the tables. Workspaces that share a warehouse need different schemas."
    )
    page_size: int = Field(100, ge=1, le=100, description="Calls per request; the API allows at most 100.")
    max_connections: int = Field(
        32,
        ge=1,
        le=64,
        description="Maximum number of concurrent requests. A run starts with 16, and finds how many the API answers "
        "without slowing down or refusing any.",
    )
    requests_per_second: float | None = Field(
        None,
        ge=0.01,
        le=10_000,
        description="Maximum request rate of all processes that write to the same warehouse. Unset: no limit.",
    )
    outage_minutes: int = Field(
        10,
        ge=0,
        le=1440,
        description=(
            "Minutes for which a run retries if the API cannot be reached or answers 5xx; 0 means 10 seconds. After "
            "that, the run fails, and Dagster or the catch-up schedule fetches its days again. If the API answers "
            "other requests meanwhile, only the day that cannot be fetched fails."
        ),
    )
    window_margin_seconds: int = Field(
        3600,
        ge=0,
        le=86_400,
        description=(
            "How far the requested window reaches before the start and past the end of a day. The API may filter calls "
            "by their end, creation or scheduled start. Set it to the longest call or wait for a start that you expect."
        ),
    )
    lookback_days: int = Field(
        3,
        ge=1,
        le=31,
        description=(
            "Days that the daily schedule fetches again, to pick up late changes. From 2 on, a call also lands if the "
            "API lists it only for the day before its start."
        ),
    )
    catch_up_days: int = Field(
        14,
        ge=1,
        le=90,
        description=(
            "Days in which the catch-up schedule looks for partitions that are missing, not settled or outdated."
        ),
    )
    backfill_days_per_run: int | None = Field(
        None,
        ge=1,
        le=366,
        description=(
            "Days per run of a backfill. If it is set, several runs can fill a lake at once. Unset: all days in one "
            "run, as `dg launch --partition-range` requires."
        ),
    )
    short_call_seconds: int = Field(
        10, ge=0, le=86_400, description="A connected call shorter than this is a short call."
    )
    price_per_minute: float | None = Field(
        None,
        ge=0,
        le=1_000_000,
        description="Price of a minute, to estimate the cost of calls. Unset: costs are NULL and not in the report.",
    )
    price_currency: str = Field(
        "USD",
        pattern=r"^[A-Z]{3}$",
        description="Currency of the price, as three capital letters such as EUR.",
        json_schema_extra={"allowed": "three capital letters such as USD or EUR"},
    )
    pii: Literal["keep", "hash", "drop"] = Field(
        "keep",
        description=(
            "Treatment of personal data before it is written. `keep` stores it. `hash` replaces text with its "
            "HMAC-SHA-256, so that joins still work, and empties JSON. `drop` empties all personal columns."
        ),
    )
    pii_key: SecretStr | None = Field(None, description="Key of the hash. Required for `hash`, never printed.")
    vanished_fields: Literal["mirror", "keep"] = Field(
        "mirror",
        description=(
            "Treatment of personal fields that Synthflow has deleted when a day is fetched again (it may delete them "
            "after 30 days). `mirror` empties them here too; `keep` keeps the earlier values."
        ),
    )
    export_dir: str | None = path_field(
        None,
        "Folder of Parquet copies of the tables, one file a day, for readers that must not block runs; or "
        "`s3://bucket/prefix` or `gs://bucket/prefix`. Unset: there are no `..._export` assets.",
        hidden=True,
    )
    group_access: Literal["none", "read", "write"] = Field(
        "none",
        description=(
            "What the group of new files may do with warehouse, exports, backups, recordings and report. `none`: only "
            "the user who creates them can read them. The umask applies as well; existing files keep their mode."
        ),
    )
    report: str = path_field(
        "data/report.html", "HTML file that `synthflow/call_report` and `synthflow-assets report` write."
    )
    previews: bool = Field(
        default=True,
        description=(
            "Show a picture of each metric and of the report in Dagster's UI. Drawing them takes about 1.3 seconds of "
            "processor time in each run."
        ),
    )
    report_days: int = Field(90, ge=1, le=3660, description="Days that the report covers by default.")
    recordings: str | None = path_field(
        None,
        "Folder, or `s3://bucket/prefix`, for the audio that `synthflow/call_recordings` downloads. Unset: there is "
        "no such asset.",
        hidden=True,
    )
    alert_webhook_url: SecretStr | None = Field(
        None,
        description=(
            "URL that alerts are posted to as JSON with a `text`, such as an incoming webhook of Slack or Mattermost. "
            "Never printed."
        ),
    )
    alert_slack_token: SecretStr | None = Field(
        None, description="Token of a Slack app that may post to the channel, never printed. Needs the extra `slack`."
    )
    alert_slack_channel: str | None = Field(None, description="Slack channel of alerts, such as `#calls`.")
    alert_smtp_url: SecretStr | None = Field(
        None,
        description=(
            "Mail server of alerts: `smtps://USER:PASSWORD@HOST:465`, or `smtp://...`, encrypted if the server offers "
            "it. Never printed."
        ),
    )
    alert_email_to: tuple[str, ...] = Field((), description="Recipients of alerts, separated by commas.")
    alert_email_from: str | None = Field(None, description="Sender of alerts. Default: the first recipient.")
    webserver_url: str | None = Field(
        None, description="Address of Dagster's UI, such as `http://127.0.0.1:3000`, for links in alerts."
    )

    # How messages name the settings, by environment variable; empty if they came from the environment.
    _names: Mapping[str, str] = PrivateAttr(default_factory=dict)

    @classmethod
    def load(cls) -> Self:
        """Read the settings from the environment and `.env`.

        Raises:
            SettingsError: naming each bad variable, its value and what is allowed.
        """
        settings = cls._validated(read_environment(cls.model_fields))
        # Secrets as the names of their variables, so that they can be passed on to Dagster.
        secrets = {
            name: VariableSecret(variable(name)) for name in cls._secrets() if getattr(settings, name) is not None
        }
        return settings.model_copy(update=secrets)

    @classmethod
    def of(cls, **values: Unpack[SettingsArguments]) -> Self:
        """Build settings from keyword arguments; the environment is not read.

        Raises:
            SettingsError: naming each bad argument, its value and what is allowed.
        """
        names = {variable(field): field for field in cls.model_fields}
        try:
            return name_settings_as(cls._validated({**values}), names)
        except SettingsError as error:
            # If the name of a variable was given as an argument, the message keeps it.
            message = rename(str(error), {name: field for name, field in names.items() if name not in values})
        raise SettingsError(message)

    @classmethod
    def _secrets(cls) -> list[str]:
        return [name for name, field in cls.model_fields.items() if kind_of(field).is_secret]

    @classmethod
    def _validated(cls, values: dict[str, Any]) -> Self:
        """Return the settings with these values; errors name them by their variables."""
        values = {name: cls._prepared(name, value) for name, value in values.items()}
        # A template such as `{{ env.PII_MODE }}` is None or blank if the variable is not set. The default would keep
        # data that the user wanted to drop.
        if "pii" in values and values["pii"] in ("", None):
            allowed = kind_of(cls.model_fields["pii"]).allowed
            raise SettingsError(
                f"{variable('pii')} is empty; set it to {allowed}, or remove it to have the default, "
                f"{cls.model_fields['pii'].default}"
            )
        # Other blank text counts as unset: that is how `.env` files leave a line empty.
        values = {name: value for name, value in values.items() if value != "" or name not in cls.model_fields}
        try:
            return cls(**values)
        except ValidationError as error:
            problems = [
                describe_problem(problem, values, cls.model_fields, PREFIX)
                for problem in error.errors(include_url=False)
            ]
        raise SettingsError("; ".join(dict.fromkeys(problems)))

    @classmethod
    def _prepared(cls, name: str, value: Any) -> Any:
        """Return a value as pydantic is to see it."""
        if isinstance(variable_name := getattr(value, "env_var_name", None), str):
            if name not in cls._secrets():
                raise SettingsError(
                    f"{variable(name)} is a dg.EnvVar, which only secrets can be; give its value: "
                    f'dg.EnvVar("{variable_name}").get_value()'
                )
            if not may_be_variable(variable_name):
                raise SettingsError(
                    f"{variable(name)} does not name an environment variable that is set (the text is not shown, "
                    "because it may be a secret); give the name of a variable, such as MY_KEY, not the secret"
                )
            return VariableSecret(variable_name)
        if isinstance(value, SecretStr) and not isinstance(value, VariableSecret):
            return value if value.get_secret_value().strip() else ""
        if isinstance(value, PurePath):
            return str(value)
        if isinstance(value, str) and not value.strip().isprintable():
            raise SettingsError(
                f"{variable(name)} holds characters that cannot be printed (its value is not shown); remove them"
            )
        return value.strip() if isinstance(value, str) else value

    @field_validator("*", mode="wrap")
    @classmethod
    def _secret_is_read_later(cls, value: object, handler: Callable[[object], object]) -> object:
        return value if isinstance(value, VariableSecret) else handler(value)

    @field_validator("*", mode="before")
    @classmethod
    def _reject_other_types(cls, value: object, info: ValidationInfo) -> object:
        kind = kind_of(cls.model_fields[str(info.field_name)])
        # pydantic takes `true` for 1, and `1767225600` for a date.
        if isinstance(value, bool) and kind.python is not bool:
            raise PydanticCustomError("bool_type", "neither true nor false")
        is_date = isinstance(value, dt.date) or (isinstance(value, str) and re.fullmatch(str(kind.pattern), value))
        if kind.python is dt.date and not is_date:
            raise PydanticCustomError("date_type", "a date")
        return value

    @field_validator("*", mode="before")
    @classmethod
    def _split_commas(cls, value: object, info: ValidationInfo) -> object:
        if kind_of(cls.model_fields[str(info.field_name)]).python is not tuple:
            return value
        parts = value.split(",") if isinstance(value, str) else value
        if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
            return value
        # An id that is named twice would be fetched twice; the order is kept for readable logs.
        return tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))

    @field_validator("*", mode="after")
    @classmethod
    def _usable_path(cls, value: object, info: ValidationInfo) -> object:
        if not is_path(cls.model_fields[str(info.field_name)]) or not str(value).startswith("~"):
            return value
        try:
            return str(Path(str(value)).expanduser())
        except RuntimeError:
            raise ValueError("a path; what follows ~ must be a user of this machine, or nothing") from None

    @field_validator("alert_webhook_url", "alert_smtp_url")
    @classmethod
    def _is_address(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        schemes = ("http", "https") if info.field_name == "alert_webhook_url" else ("smtp", "smtps")
        if value is None or isinstance(value, VariableSecret):
            return value
        address = value.get_secret_value().strip()
        if not has_host(address, schemes):
            raise ValueError(f"an address that begins with {' or '.join(f'{scheme}://' for scheme in schemes)}")
        return SecretStr(address)

    @field_validator("alert_email_to", "alert_email_from")
    @classmethod
    def _email_addresses(cls, value: tuple[str, ...] | str | None) -> tuple[str, ...] | str | None:
        for address in (value,) if isinstance(value, str) else value or ():
            if not re.fullmatch(r"[^@\s,<>\"]+@[^@\s,<>\"]+", address):
                raise ValueError("an e-mail address such as calls@example.com")
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

    @field_validator("warehouse")
    @classmethod
    def _known_warehouse(cls, value: str) -> str:
        check_location(value)
        return value

    @field_validator("warehouse_schema")
    @classmethod
    def _plain_schema(cls, value: str) -> str:
        # `Acme` and `acme` are the same schema to DuckDB, and different keys to Dagster.
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", value) or value in (*_RESERVED_SCHEMAS, *_RESERVED_WORDS):
            raise ValueError(
                "lower-case letters, digits and underscores, beginning with a letter, no reserved word of SQL, "
                "and none of " + ", ".join(_RESERVED_SCHEMAS)
            )
        return value

    @field_validator("timezone")
    @classmethod
    def _known_timezone(cls, value: str) -> str:
        try:
            known = bool(zoneinfo.ZoneInfo(value))
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            known = False
        # Python accepts these names of files, but DuckDB does not know them.
        if not known or value.startswith(("posix/", "right/")) or value in ("localtime", "posixrules", "Factory"):
            raise ValueError(_TIMEZONES)
        return value

    @field_validator("base_url", "webserver_url")
    @classmethod
    def _http_address(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not has_host(value, ("http", "https")) or re.search(r"[@?#]", value):
            raise ValueError("an http(s) address without user name or query, such as https://host/path")
        return value.rstrip("/")

    @field_validator("recordings", "lake_data_path")
    @classmethod
    def _folder_or_bucket(cls, value: str | None) -> str | None:
        if value and _SCHEME.match(value) and not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]{2,62}(/[^?#@]*)?", value):
            raise ValueError("a folder, or s3://bucket/prefix; S3 keys and endpoint come from AWS_... variables")
        return value

    @field_validator("export_dir")
    @classmethod
    def _folder_or_any_bucket(cls, value: str | None) -> str | None:
        if (
            value
            and _SCHEME.match(value)
            and not re.fullmatch(r"(s3|gs)://[a-z0-9][a-z0-9._-]{2,62}(/[^?#@*\[]*)?", value)
        ):
            raise ValueError(
                "a folder, s3://bucket/prefix or gs://bucket/prefix; keys and endpoint come from AWS_... variables"
            )
        return value

    @field_validator("report")
    @classmethod
    def _local_path(cls, value: str | None) -> str | None:
        if value and _SCHEME.match(value):
            raise ValueError("a path of this machine")
        return value

    @field_validator("start_date")
    @classmethod
    def _plausible_start(cls, value: dt.date) -> dt.date:
        # A later start would mean no partition at all. East of UTC, it may already be tomorrow.
        tomorrow = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=1)
        if not dt.date(2020, 1, 1) <= value <= tomorrow:
            raise ValueError("a date from 2020-01-01 to today")
        return value

    @model_validator(mode="after")
    def _recordings_are_personal(self) -> Self:
        if self.recordings and self.pii != "keep":
            raise ValueError(
                f"{PREFIX}RECORDINGS is set, but recordings are personal data and {PREFIX}PII is {self.pii}: "
                "unset the first, or set the second to keep"
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
                raise ValueError(
                    f"{variable(sender)} and {variable(receiver)} are needed together: set both or neither"
                )
        return self

    @property
    def hash_key(self) -> str:
        """The key of the hash of personal data; empty if none is set.

        Raises:
            SettingsError: its environment variable is not set.
        """
        return self.pii_key.get_secret_value() if self.pii_key is not None else ""

    @property
    def export_folder(self) -> str | None:
        """Folder or bucket of the exports: `export_dir`, or a folder in it named after a schema other than the default.

        None if no exports are written.
        """
        if self.export_dir is None:
            return None
        if "://" not in self.export_dir:
            return str(self._own_folder(Path(self.export_dir)))
        return "/".join([self.export_dir.rstrip("/"), *self._own_folder(Path()).parts])

    @property
    def report_path(self) -> Path:
        """Path of the report: `report`, or its name in a folder named after a schema other than the default."""
        path = Path(self.report)
        return self._own_folder(path.parent) / path.name

    def _own_folder(self, folder: Path) -> Path:
        """Return the folder, or one in it for a schema other than the default, so that workspaces share no files."""
        default = type(self).model_fields["warehouse_schema"].default
        return folder if self.warehouse_schema == default else folder / self.warehouse_schema

    @property
    def api_url(self) -> str:
        """Base URL of the API, without a slash at its end."""
        return self.base_url or REGION_URLS[self.region]


def name_settings_as(settings: _Settings, names: Mapping[str, str]) -> _Settings:
    """Return the same settings, with other names in messages.

    Args:
        settings: the settings.
        names: the names to use, by environment variable.
    """
    same = settings.model_copy()
    same._names = names  # noqa: SLF001 (not a part of what users see)
    return same


def with_setting_names(message: str, settings: Settings) -> str:
    """Return a message in which settings are named as the user gave them."""
    return rename(message, settings._names)  # noqa: SLF001
