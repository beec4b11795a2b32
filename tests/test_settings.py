"""Every bad value ends in one line that names the variable, the value and what is allowed."""

import datetime as dt
import importlib.util
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Literal

import dagster as dg
import duckdb
import pytest
from pydantic import Field, SecretStr
from pydantic.fields import FieldInfo

from synthflow_assets.errors import SettingsError
from synthflow_assets.settings import Settings, variable
from synthflow_assets.settings.kinds import kind_of
from synthflow_assets.settings.model import path_field


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("REGION", "mars", "us, eu or global"),
        ("TIMEZONE", "Mars/Olympus", "an IANA time zone"),
        ("TIMEZONE", "../../etc/passwd", "an IANA time zone"),
        ("START_DATE", "soon", "a date such as 2026-01-31"),
        ("START_DATE", "1999-01-01", "a date from 2020-01-01 to today"),
        ("START_DATE", "2099-01-01", "a date from 2020-01-01 to today"),
        ("PAGE_SIZE", "101", "a whole number from 1 to 100"),
        ("PAGE_SIZE", "ten", "a whole number from 1 to 100"),
        ("MAX_CONNECTIONS", "0", "a whole number from 1 to 64"),
        ("REQUESTS_PER_SECOND", "0", "a number from 0.01 to 10000"),
        ("REQUESTS_PER_SECOND", "inf", "a number from 0.01 to 10000"),
        ("WINDOW_MARGIN_SECONDS", "-1", "a whole number from 0 to 86400"),
        ("LOOKBACK_DAYS", "1.5", "a whole number from 1 to 31"),
        ("PII", "maybe", "keep, hash or drop"),
    ],
)
def test_bad_value_names_variable_value_and_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, allowed: str
) -> None:
    monkeypatch.setenv(f"SYNTHFLOW_{name}", value)
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    message = str(caught.value)
    assert f"SYNTHFLOW_{name} is {value!r}" in message
    assert allowed in message
    assert "\n" not in message
    assert caught.value.__cause__ is None


def test_all_bad_values_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNTHFLOW_REGION", "mars")
    monkeypatch.setenv("SYNTHFLOW_PAGE_SIZE", "0")
    with pytest.raises(SettingsError, match=r"SYNTHFLOW_REGION.*SYNTHFLOW_PAGE_SIZE"):
        Settings.load()


def test_misspelt_variable_names_its_likely_twin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNTHFLOW_REGOIN", "eu")
    with pytest.raises(SettingsError, match=r"SYNTHFLOW_REGOIN is not a setting.*SYNTHFLOW_REGION"):
        Settings.load()


@pytest.mark.parametrize(
    ("name", "value"),
    [("API_KEY", "my secret key"), ("API_KEY", "sch\u00fcssel"), ("BASE_URL", "https://user:secret@host/v2")],
)
def test_secrets_are_in_no_message(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"SYNTHFLOW_{name}", value)
    with pytest.raises(SettingsError, match=f"SYNTHFLOW_{name}") as caught:
        Settings.load()
    assert value not in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("key", ["a1b2c3secret", "A1B2C3SECRET", "ABCDEFSECRET", "sk-secret", ""])
def test_a_key_in_place_of_the_name_of_its_variable_is_not_shown(key: str) -> None:
    """Dagster shows the names of variables, and an error says which one is not set."""
    with pytest.raises(SettingsError, match=r"^api_key does not name an environment variable") as caught:
        Settings.of(api_key=dg.EnvVar(key))
    said = str(caught.value).replace("it may be a secret", "").replace("not the secret", "")
    assert "secret" not in said.lower()


def test_a_variable_in_lower_case_is_known_if_it_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("their_key1", "x")
    settings = Settings.of(api_key=dg.EnvVar("their_key1"), pii_key=dg.EnvVar("NOT_SET_YET1"))
    assert settings.api_key is not None
    assert settings.api_key.get_secret_value() == "x"


def test_secrets_are_in_no_repr() -> None:
    settings = Settings.of(api_key="topsecret", pii="hash", pii_key="alsosecret")
    assert "topsecret" not in repr(settings)
    assert "alsosecret" not in repr(settings)


def test_hash_needs_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNTHFLOW_PII", "hash")
    with pytest.raises(SettingsError, match=r"^SYNTHFLOW_PII is hash, which needs SYNTHFLOW_PII_KEY"):
        Settings.load()


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"SYNTHFLOW_REGION": "eu"}, "SYNTHFLOW_REGION is not a setting; did you mean region?"),
        ({"regoin": "eu"}, "regoin is not a setting; did you mean region?"),
        ({"timezone": 5}, "timezone is 5; allowed is an IANA time zone such as UTC or America/New_York"),
        ({"page_size": True}, "page_size is True; allowed is a whole number from 1 to 100"),
        ({"page_size": 10.5}, "page_size is 10.5; allowed is a whole number from 1 to 100"),
        ({"start_date": float("nan")}, "start_date is nan; allowed is a date such as 2026-01-31"),
        ({"warehouse": 5}, "warehouse is 5; allowed is text"),
        ({"warehouse": True}, "warehouse is True; allowed is text"),
        ({"api_key": True}, "api_key is not usable (its value is not shown); allowed is text"),
        ({"model_ids": 5}, "model_ids is 5; allowed is a list of texts, or text with commas"),
        ({"model_ids": [1, 2]}, "model_ids is '[1, 2]'; allowed is a list of texts, or text with commas"),
    ],
    ids=str,
)
def test_arguments_of_a_wrong_name_or_type_are_told_by_their_names(values: dict[str, object], says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.of(**values)
    assert str(caught.value) == says


def test_paths_may_be_paths() -> None:
    settings = Settings.of(warehouse=Path("a.duckdb"), export_dir=Path("b"), report=Path("c"), recordings=Path("d"))
    assert (settings.warehouse, settings.export_dir, settings.report, settings.recordings) == (
        "a.duckdb",
        "b",
        "c",
        "d",
    )


def test_the_first_day_may_be_today() -> None:
    today = dt.datetime.now(dt.UTC).date()
    assert Settings.of(start_date=today).start_date == today


def test_an_agent_that_is_named_twice_is_one() -> None:
    assert Settings.of(model_ids=["b", " a ", "", "b"]).model_ids == ("b", "a")
    assert Settings.of(model_ids="b, a,,b").model_ids == ("b", "a")


def test_an_argument_is_named_as_it_was_given() -> None:
    with pytest.raises(SettingsError, match=r"^page_size is 'many'; allowed is a whole number from 1 to 100$"):
        Settings.of(page_size="many")
    with pytest.raises(SettingsError, match=r"^recordings is set, but recordings are personal data and pii is drop: "):
        Settings.of(recordings="audio", pii="drop")
    with pytest.raises(SettingsError, match=r"^pii is hash, which needs pii_key: "):
        Settings.of(pii="hash")


def test_values_come_from_the_environment_and_the_env_file_which_wins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text(
        "SYNTHFLOW_REGION=eu\nSYNTHFLOW_MODEL_IDS= a, b,,a\nSYNTHFLOW_START_DATE=2026-02-03\nSYNTHFLOW_BASE_URL=\n"
    )
    monkeypatch.setenv("SYNTHFLOW_REGION", "global")
    monkeypatch.setenv("SYNTHFLOW_PAGE_SIZE", "50")
    settings = Settings.load()
    assert settings.api_url == "https://api.eu.synthflow.ai/v2"
    assert settings.page_size == 50
    assert settings.model_ids == ("a", "b")
    assert settings.start_date == dt.date(2026, 2, 3)
    assert settings.api_key is None


def test_given_values_ignore_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNTHFLOW_REGION", "eu")
    assert Settings.of().region == "us"


def test_unknown_argument_is_named() -> None:
    with pytest.raises(
        SettingsError, match=r"^colour is not a setting; settings are api_key, region, .*, webserver_url$"
    ):
        Settings.of(colour="red")
    with pytest.raises(SettingsError, match=r"^colour is not a setting; "):
        Settings.of(colour="")


def test_base_url_wins_over_region() -> None:
    assert Settings.of(region="eu", base_url="http://localhost:1/v2/").api_url == "http://localhost:1/v2"


@pytest.mark.parametrize(
    "line",
    [
        "SYNTHFLOW_PII: drop",
        "SYNTHFLOW_PII drop",
        "SYNTHFLOW_PII",
        "SYNTHFLOW_pii=drop",
        "synthflow_pii=drop",
        "export SYNTHFLOW_PII drop",
        "SYNTHFLOW_PI=drop",
        "SYNTHFLOW_PII='drop",
        "set SYNTHFLOW_PII=drop",
        "EXPORT SYNTHFLOW_PII=drop",
        "- SYNTHFLOW_PII=drop",
        "SYNTHFLOW-PII=drop",
        "SYNTHFLOW PII=drop",
        '"SYNTHFLOW_PII"=drop',
        "\u200bSYNTHFLOW_PII=drop",
        "SYNTHFLOW_PII:drop=",
        # In the line of another setting.
        "X=1 SYNTHFLOW_PII=drop",
        "X=1;SYNTHFLOW_PII=drop",
        "X=1, synthflow_pii: drop",
        'X="1" SYNTHFLOW_PII=drop',
        "SYNTHFLOW_WAREHOUSE=x.duckdb SYNTHFLOW_PII=drop",
        "X=1\xa0SYNTHFLOW_PII=drop",
        "X=1 SYNTHFLOW-PII=drop",
        "X=1 synthflow-pii=drop",
        "X=1 SYNTHFLOWPII=drop",
        "X=1 SYNTHFLOW_PII:drop",
        "X=bar SYNTHFLOW_PII drop",
        "X=1 Y=2 SYNTHFLOW_PII=drop",
        "X=it's SYNTHFLOW_PII=drop",
        "let SYNTHFLOW_PII=drop",
        # Behind a character that an editor shows as the end of a line.
        *(f"X=1{end}SYNTHFLOW_PII=drop" for end in "\0\x0b\x0c\x1c\x85\u2028\u2029"),
        *(f"# text{end}SYNTHFLOW_PII=drop" for end in "\x0b\x0c\x85\u2028"),
        "SYNTHFLOW_PII=\0drop",
        "X=\0",
        # A reference to a variable that is not set.
        "SYNTHFLOW_PII=${drop}",
        "SYNTHFLOW_PII=${drop-drop}",
        "SYNTHFLOW_WAREHOUSE=/data/${drop}/x.duckdb",
        # A typing error in the prefix of a known setting.
        "_SYNTHFLOW_PII=drop",
        "aSYNTHFLOW_PII=drop",
        "SYNTHFLOWS_PII=drop",
        "SYNTHFLOWASSETS_PII=drop",
        "$env:SYNTHFLOW_PII=drop",
        "setenv SYNTHFLOW_PII drop",
        "__synthflow_pi=drop",
        "exportSYNTHFLOW_PII=drop",
        "SYNTHLFOW_PII=drop",
        "SYNTHFLOWPII=drop",
        "SYNTFLOW_PII=drop",
        "SYNTHFL\u041eW_PII=drop",
        "SYNTH\u200bFLOW_PII=drop",
    ],
)
def test_a_wrong_line_of_the_env_file_stops_everything(tmp_path: Path, line: str) -> None:
    """Otherwise personal data would be kept, with a warning of the parser at most."""
    (tmp_path / ".env").write_text(f"# keys\n\nOTHER=1\n{line}\n", encoding="utf-8")
    # The parser reads some wrong names, and then their variable is refused.
    with pytest.raises(SettingsError, match=r"^line 4 of \.env|^\S+ is not a setting of this package") as caught:
        Settings.load()
    assert "drop" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        "SYNTHFLOW_PII=drop",
        "set SYNTHFLOW_PII=drop",
        "SYNTHFLOW_PII drop",
        "- synthflow_pii: drop",
        "synthflow-pii=drop",
        "SYNTHFLOW-PII drop",
        "SYNTHFLOWPII=drop",
        "export SYNTHFLOWPII=drop",
    ],
)
@pytest.mark.parametrize(
    "text", ['OTHER="x\n{}\nANOTHER="y"\n', "OTHER='x\n{}\nANOTHER='\n", 'OTHER="x\r{}\rANOTHER="\r']
)
def test_a_line_that_an_open_quote_swallows_stops_everything(tmp_path: Path, text: str, line: str) -> None:
    """The parser takes the line for a part of the value before it, without a warning."""
    (tmp_path / ".env").write_text(text.format(line), encoding="utf-8", newline="")
    with pytest.raises(SettingsError, match=r"^line 2 of \.env .* begins in line 1; close its quotes"):
        Settings.load()


@pytest.mark.parametrize("text", ["SYNTHFLOW_PII=hash\n\nSYNTHFLOW_PII=\n", "\n\nSYNTHFLOW_PII=''\n"])
def test_an_empty_line_does_not_undo_a_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """An example file with empty lines, copied over a setting of the environment, would keep personal data."""
    monkeypatch.setenv("SYNTHFLOW_PII", "drop")
    (tmp_path / ".env").write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=r"^line 3 of \.env leaves SYNTHFLOW_PII empty, but .* sets it"):
        Settings.load()


def test_a_reference_to_a_variable_with_a_value_is_resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERE", "drop")
    (tmp_path / ".env").write_text(
        "MODE=${HERE}\nSYNTHFLOW_PII=${MODE}\nSYNTHFLOW_REGION=${NOPE:-eu}\nOTHER=${NOPE}\n", encoding="utf-8"
    )
    settings = Settings.load()
    assert (settings.pii, settings.region) == ("drop", "eu")


@pytest.mark.parametrize(
    "line",
    [
        "MY_SYNTHFLOW_TOKEN=x",
        "ACME_SYNTHFLOW_API_KEY=x",
        "MY_SYNTHFLOW_PII=x",
        "SYNTHETIC_PII=drop",
        "KEY_NAME=SYNTHFLOW_API_KEY",
        "KEY_NAME = SYNTHFLOW_API_KEY",
        "COPY=${SYNTHFLOW_REGION:-us}",
        "OTHER=x # SYNTHFLOW_PII: drop",
        "CMD=docker run -e SYNTHFLOW_API_KEY=$KEY --env SYNTHFLOW_PII=drop img",
        "CMD='SYNTHFLOW_PII=drop dg dev'",
        'DOC="Set SYNTHFLOW_PII=drop in this file"',
        "TITLE=Calls of Synthflow: all",
        "TITLE=The synthflow report: all days",
        "NOTE=synthflow-region: us, synthflow.region=us",
        "ODD=\x1b",
        # Names of services, images, folders, schemas and labels.
        "HOSTS=synthflow-db: 5432",
        "HOSTS=a synthflow-db: 5432",
        "IMAGE=synthflow-report:latest",
        "IMAGES=synthflow_assets:1.0 registry/synthflow-warehouse:1",
        "HOME_OF=/srv/synthflow_data",
        "URL=postgres://synthflow_user:x@host?synthflow_region=1&synthflow_pii=2",
        "VOLUME=/data/synthflow/report:/report",
        "PART=s3://calls/synthflow_day=2026-01-01/x",
        "PASSWORD=k=SYNTHFLOW:x",
        'DBT_VARS={"synthflow_schema": "x", "synthflow_report": 1}',
        "LABELS=owner=me,synthflow-tier=etl,synthflow-region=eu",
        "OTEL_RESOURCE_ATTRIBUTES=service.name=x,synthflow.region=us",
        # Quoted values of several lines.
        'KEY=\'{\n  "project": "synthflow-1"\n}\'',
        'LIST=\'["a",\n  "synthflow-recordings",\n  "synthflow_report": "synthflow-report"]\'',
        # Links of Docker and Kubernetes.
        "SYNTHFLOW_DB_NAME=/web/synthflow-db",
        "SYNTHFLOW_DB_PORT=tcp://172.17.0.5:5432",
    ],
)
def test_lines_of_others_are_left_alone(tmp_path: Path, line: str) -> None:
    (tmp_path / ".env").write_text(f"{line}\nLAST=1\n", encoding="utf-8")
    assert Settings.load().model_dump() == Settings.of().model_dump()


def test_a_value_may_look_like_a_setting(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SYNTHFLOW_WAREHOUSE=data/synthflow_region=eu/w.duckdb\n", encoding="utf-8")
    assert Settings.load().warehouse == "data/synthflow_region=eu/w.duckdb"


@pytest.mark.parametrize(
    "line", ["SYNTHFLOW_PII=", "SYNTHFLOW_PII=''", "SYNTHFLOW_PII=${BLANK}", "SYNTHFLOW_PII=${NO:-}"]
)
def test_an_empty_treatment_of_personal_data_is_not_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.setenv("BLANK", "  ")
    (tmp_path / ".env").write_text(line, encoding="utf-8")
    with pytest.raises(SettingsError, match=r"^SYNTHFLOW_PII is empty; set it to keep, hash or drop, or remove it"):
        Settings.load()


@pytest.mark.parametrize("blank", ["", " \n"])
def test_an_empty_treatment_in_the_environment_or_in_python_is_refused(
    monkeypatch: pytest.MonkeyPatch, blank: str
) -> None:
    monkeypatch.setenv("SYNTHFLOW_PII", blank)
    with pytest.raises(SettingsError, match=r"^SYNTHFLOW_PII is empty"):
        Settings.load()
    for value in (blank, None):
        with pytest.raises(SettingsError, match=r"^pii is empty"):
            Settings.of(pii=value)


def test_a_folder_called_env_is_a_virtual_environment(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    assert Settings.load().model_dump() == Settings.of().model_dump()


def test_an_env_file_that_cannot_be_read_is_not_ignored(tmp_path: Path) -> None:
    (tmp_path / ".env").symlink_to("not-mounted")
    with pytest.raises(SettingsError, match=r"^\.env is a link to a file that does not exist; "):
        Settings.load()
    (tmp_path / ".env").unlink()
    (tmp_path / ".env").symlink_to(".env")
    with pytest.raises(SettingsError, match=r"^\.env cannot be read: Too many levels of symbolic links; "):
        Settings.load()
    (tmp_path / ".env").unlink()
    (tmp_path / ".env").write_text("SYNTHFLOW_PII=drop", encoding="utf-16")
    with pytest.raises(SettingsError, match=r"^\.env cannot be read; save it as UTF-8 text"):
        Settings.load()


def test_the_env_file_may_be_a_pipe(tmp_path: Path) -> None:
    """Password managers mount it as a pipe, which can be read only once."""
    os.mkfifo(tmp_path / ".env")
    writer = threading.Thread(target=(tmp_path / ".env").write_text, args=("SYNTHFLOW_PII=drop",))
    writer.start()
    assert Settings.load().pii == "drop"
    writer.join()


@pytest.mark.parametrize("line", ["export SYNTHFLOW_PII=drop", " SYNTHFLOW_PII = drop ", "SYNTHFLOW_PII='drop'"])
def test_other_ways_to_write_a_line_are_read(tmp_path: Path, line: str) -> None:
    (tmp_path / ".env").write_text(f"theirs: not ours\n# SYNTHFLOW_PII: hash\n{line}\n", encoding="utf-8")
    assert Settings.load().pii == "drop"


@pytest.mark.parametrize(
    "name", ["SYNTHFLOW_Pii", "synthflow_pii", "Synthflow_pi", "SYNTHFLOW-PII", "SYNTHFLOW_PII ", "SYNTHFLOWPII"]
)
def test_a_variable_in_another_case_names_its_twin(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "drop")
    with pytest.raises(SettingsError, match=rf"{name} is not a setting.*did you mean SYNTHFLOW_PII"):
        Settings.load()


@pytest.mark.parametrize("blank", ["", "  "])
def test_blank_text_is_an_unset_setting(monkeypatch: pytest.MonkeyPatch, blank: str) -> None:
    defaults = Settings.of().model_dump()
    fields = Settings.model_fields.keys() - {"pii"}
    assert Settings.of(**dict.fromkeys(fields, blank)).model_dump() == defaults
    for field in fields:
        monkeypatch.setenv(variable(field), blank)
    assert Settings.load().model_dump() == defaults


def test_spaces_around_a_value_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNTHFLOW_PII", " drop\n")
    assert Settings.load().pii == Settings.of(pii=" drop ").pii == "drop"


@pytest.mark.parametrize(
    "value", [20260101, "1767225600", "2026-01-01T00:00", dt.datetime(2026, 1, 1, 5, tzinfo=dt.UTC)]
)
def test_a_date_is_a_date(value: object) -> None:
    """pydantic takes a number for seconds since 1970."""
    with pytest.raises(SettingsError, match=r"^start_date is .*; allowed is a date such as 2026-01-31$"):
        Settings.of(start_date=value)


@pytest.mark.parametrize("address", ["http://[::1", "https://host:99999/v2", "https://host:port", "https://", "host"])
@pytest.mark.parametrize("name", ["base_url", "webserver_url", "alert_webhook_url"])
def test_an_address_that_cannot_be_is_told_what_is_allowed(name: str, address: str) -> None:
    with pytest.raises(SettingsError, match=rf"^{name} is .*; allowed is an .*http"):
        Settings.of(**{name: address})


# What Kubernetes sets in every pod for Services of these names and ports.
SERVICE_LINKS = {
    "SYNTHFLOW_SERVICE_HOST": "10.0.0.11",
    "SYNTHFLOW_SERVICE_PORT": "3000",
    "SYNTHFLOW_SERVICE_PORT_HTTP": "3000",
    "SYNTHFLOW_PORT": "tcp://10.0.0.11:3000",
    "SYNTHFLOW_PORT_3000_TCP": "tcp://10.0.0.11:3000",
    "SYNTHFLOW_PORT_3000_TCP_PROTO": "tcp",
    "SYNTHFLOW_PORT_3000_TCP_PORT": "3000",
    "SYNTHFLOW_PORT_3000_TCP_ADDR": "10.0.0.11",
    "SYNTHFLOW_WEBSERVER_SERVICE_HOST": "10.0.0.12",
    "SYNTHFLOW_WEBSERVER_SERVICE_PORT": "80",
    "SYNTHFLOW_WEBSERVER_SERVICE_PORT_HTTP": "80",
    "SYNTHFLOW_WEBSERVER_PORT": "tcp://10.0.0.12:80",
    "SYNTHFLOW_WEBSERVER_PORT_80_TCP": "tcp://10.0.0.12:80",
    "SYNTHFLOW_WEBSERVER_PORT_80_TCP_PROTO": "tcp",
    "SYNTHFLOW_WEBSERVER_PORT_80_TCP_PORT": "80",
    "SYNTHFLOW_WEBSERVER_PORT_80_TCP_ADDR": "10.0.0.12",
}
# What Docker sets for `--link db:synthflow_db`.
CONTAINER_LINKS = {
    "SYNTHFLOW_DB_NAME": "/web/synthflow_db",
    "SYNTHFLOW_DB_PORT": "tcp://172.17.0.5:5432",
    "SYNTHFLOW_DB_PORT_5432_TCP_ADDR": "172.17.0.5",
    "SYNTHFLOW_DB_ENV_POSTGRES_PASSWORD": "x",
}


@pytest.mark.parametrize("links", [SERVICE_LINKS, CONTAINER_LINKS], ids=["Kubernetes", "Docker"])
def test_variables_of_links_are_not_settings(monkeypatch: pytest.MonkeyPatch, links: dict[str, str]) -> None:
    for name, value in links.items():
        monkeypatch.setenv(name, value)
    assert Settings.load().model_dump() == Settings.of().model_dump()
    for name in ("SYNTHFLOW_PORT", "SYNTHFLOW_NAME", "SYNTHFLOW_ENV_PII"):
        monkeypatch.setenv(name, "3000")
        with pytest.raises(SettingsError, match=f"{name} is not a setting"):
            Settings.load()
        monkeypatch.delenv(name)


def test_schemas_that_duckdb_has_already_are_refused() -> None:
    """`memory.calls` would be looked for in DuckDB's own catalog of this name."""
    with duckdb.connect() as connection:
        taken = connection.execute(
            "SELECT schema_name FROM duckdb_schemas() UNION SELECT database_name FROM duckdb_databases()"
        ).fetchall()
        taken += connection.execute(
            "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category IN ('reserved', 'type_function')"
        ).fetchall()
    assert {("memory",), ("select",), ("left",)} < set(taken)
    for name in ("warehouse", *(name for (name,) in taken)):
        with pytest.raises(SettingsError, match=f"warehouse_schema is '{name}'; allowed is lower-case letters"):
            Settings.of(warehouse_schema=name)


def test_every_other_word_of_sql_is_a_schema() -> None:
    """Readers write `synthflow.calls` without quotes."""
    with duckdb.connect() as connection:
        words = connection.execute("SELECT keyword_name FROM duckdb_keywords()").fetchall()
        allowed = [word for (word,) in words if _is_schema(word)]
        assert {"between", "time", "filter"} < set(allowed)
        for word in allowed:
            connection.extract_statements(
                f"SELECT {word}.calls.day FROM {word}.calls JOIN {word}.agents USING (model_id)"
            )


def _is_schema(name: str) -> bool:
    try:
        Settings.of(warehouse_schema=name)
    except SettingsError:
        return False
    return True


def test_a_warehouse_that_duckdb_could_create_but_not_write_is_refused() -> None:
    with pytest.raises(
        SettingsError, match=r"^warehouse is 'what\?/x.duckdb'; allowed is the path of a DuckDB file with"
    ):
        Settings.of(warehouse="what?/x.duckdb")
    assert Settings.of(report="what?/x.html").report == "what?/x.html"


@pytest.mark.parametrize("is_linked", [False, True])
def test_a_relative_warehouse_below_a_folder_that_duckdb_misreads_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_linked: bool
) -> None:
    folder = tmp_path / "what?"
    folder.mkdir()
    if is_linked:
        (tmp_path / "x.duckdb").symlink_to(folder / "x.duckdb")
    monkeypatch.chdir(tmp_path if is_linked else folder)
    with pytest.raises(
        SettingsError, match=r"^warehouse is 'x.duckdb'; allowed is .* \(here .*/what\?/x.duckdb\), because"
    ):
        Settings.of(warehouse="x.duckdb")


@pytest.mark.parametrize("name", ["warehouse", "lake_data_path", "export_dir", "report", "recordings"])
def test_paths_may_begin_with_a_home_folder(name: str) -> None:
    assert getattr(Settings.of(**{name: "~/x"}), name) == str(Path.home() / "x")
    with pytest.raises(SettingsError, match=rf"^{name} is .*; allowed is a path; what follows ~ must be a user"):
        Settings.of(**{name: "~nosuchuser/x"})


def test_the_report_is_in_no_bucket() -> None:
    for place in ("s3://bucket/x", "s3:/bucket"):
        with pytest.raises(SettingsError, match=f"^report is '{place}'; allowed is a path of this machine$"):
            Settings.of(report=place)


@pytest.mark.parametrize(
    "place", ["s3://", "s3://a/b", "http://calls/x", "gs://key:hunter2@calls/x", "s3://calls/x?y", "s3:/x"]
)
def test_exports_are_in_a_folder_or_a_bucket(place: str) -> None:
    with pytest.raises(
        SettingsError, match=r"^export_dir .*; allowed is a folder, s3://bucket/prefix or gs://"
    ) as said:
        Settings.of(export_dir=place)
    assert "hunter2" not in str(said.value)


def test_workspaces_of_another_schema_have_a_folder_of_their_own_in_a_bucket() -> None:
    assert Settings.of(export_dir="gs://calls/out/").export_folder == "gs://calls/out"
    assert Settings.of(export_dir="gs://calls", warehouse_schema="acme").export_folder == "gs://calls/acme"


class Extended(Settings):
    """The settings with one more of each kind, each a field as it would be added to the model."""

    new_bool: bool = Field(False, description="A new boolean.")  # noqa: FBT003
    new_int: int = Field(5, ge=-9, le=9, description="A new whole number.")
    new_float: float = Field(0.5, ge=0, description="A new number.")
    new_text: str = Field("x", description="A new text.")
    new_day: dt.date = Field(dt.date(2026, 1, 1), description="A new day.")
    new_choice: Literal["one", "two"] = Field("one", description="A new choice.")
    new_list: tuple[str, ...] = Field((), description="A new list.")
    new_secret: SecretStr | None = Field(None, description="A new secret.")
    new_path: str | None = path_field(None, "A new path.")


NEW_FIELDS = [name for name in Extended.model_fields if name not in Settings.model_fields]


def test_a_new_setting_of_any_kind_is_an_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    given = ("yes", "-7", "1.5", "y", "2026-02-03", "two", "a, b", "hidden", "~/out")
    for name, value in zip(NEW_FIELDS, given, strict=True):
        monkeypatch.setenv(variable(name), value)
    settings = Extended.load()
    assert [getattr(settings, name) for name in NEW_FIELDS[:-2]] == [
        True,
        -7,
        1.5,
        "y",
        dt.date(2026, 2, 3),
        "two",
        ("a", "b"),
    ]
    assert settings.new_secret is not None
    assert settings.new_secret.get_secret_value() == "hidden"
    assert settings.new_path == str(Path.home() / "out")


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("1", True), ("No", False), ("0", False), ("FALSE", False)]
)
def test_a_boolean_may_be_written_in_several_ways(monkeypatch: pytest.MonkeyPatch, text: str, value: bool) -> None:
    monkeypatch.setenv("SYNTHFLOW_NEW_BOOL", text)
    assert Extended.load().new_bool is value


def test_a_new_setting_of_any_kind_is_an_argument() -> None:
    values = {
        "new_bool": True,
        "new_int": -3,
        "new_float": 2.5,
        "new_text": "y",
        "new_day": dt.date(2026, 2, 3),
        "new_choice": "two",
        "new_list": ("a",),
        "new_path": "out",
    }
    assert Extended.of(**values).model_dump(include=set(values)) == values
    assert Extended.of(new_path=Path("out"), new_list=["a"], new_int="3", new_day="2026-02-03").new_int == 3


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"new_bool": "perhaps"}, "new_bool is 'perhaps'; allowed is true or false"),
        ({"new_bool": 2}, "new_bool is 2; allowed is true or false"),
        ({"new_int": True}, "new_int is True; allowed is a whole number from -9 to 9"),
        ({"new_int": 10}, "new_int is 10; allowed is a whole number from -9 to 9"),
        ({"new_float": "much"}, "new_float is 'much'; allowed is a number of at least 0"),
        ({"new_float": float("inf")}, "new_float is inf; allowed is a number of at least 0"),
        ({"new_text": 5}, "new_text is 5; allowed is text"),
        ({"new_day": "soon"}, "new_day is 'soon'; allowed is a date such as 2026-01-31"),
        ({"new_choice": "three"}, "new_choice is 'three'; allowed is one or two"),
        ({"new_list": 5}, "new_list is 5; allowed is a list of texts, or text with commas"),
        ({"new_secret": 5}, "new_secret is not usable (its value is not shown); allowed is text"),
        ({"new_path": "~nosuchuser"}, "new_path is '~nosuchuser'; allowed is a path; what follows ~ must be a user"),
        ({"new_day2": "soon"}, "new_day2 is not a setting; did you mean new_day?"),
    ],
    ids=str,
)
def test_a_bad_value_of_a_new_setting_is_told_what_is_allowed(values: dict[str, object], says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Extended.of(**values)
    assert str(caught.value).startswith(says)


def test_a_new_setting_of_any_kind_is_in_docs_and_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    generate_docs = import_script("generate_docs")
    monkeypatch.setattr(generate_docs, "Settings", Extended)
    for name in NEW_FIELDS:
        description = Extended.model_fields[name].description
        assert f"| `{variable(name)}` | " in generate_docs.settings_page()
        assert f"# {description}\n# {variable(name)}=" in generate_docs.env_example()
    assert "| `SYNTHFLOW_NEW_BOOL` | `false` | A new boolean. |" in generate_docs.settings_page()
    assert "# SYNTHFLOW_NEW_BOOL=false\n" in generate_docs.env_example()
    assert generate_docs.arguments_module().endswith(
        """
    new_bool: bool
    new_int: int
    new_float: float
    new_text: str
    new_day: dt.date | str
    new_choice: str
    new_list: Sequence[str]
    new_secret: SecretStr | str | None
    new_path: str | PurePath | None
"""
    )


def test_a_setting_of_a_type_that_is_not_supported_is_refused() -> None:
    with pytest.raises(TypeError, match="a setting cannot be of the type <class 'bytes'>; supported are Literal, bool"):
        kind_of(FieldInfo.from_annotation(bytes))


def import_script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[1] / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_nothing_else_reads_the_environment() -> None:
    """A process that starts another may hand its environment on."""
    root = Path(__file__).parents[1]
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "TID251", "--output-format", "concise"]
    banned = ["--config", 'lint.flake8-tidy-imports.banned-api = {"os.environ".msg = "x", "os.getenv".msg = "x"}']
    found = subprocess.run(
        [*command, *banned, "synthflow_assets"], cwd=root, capture_output=True, text=True, check=False
    ).stdout
    files = {line.partition(":")[0] for line in found.splitlines() if "TID251" in line}
    assert files == {
        "synthflow_assets/settings/sources.py",
        "synthflow_assets/local.py",  # hands its environment on to Dagster
        "synthflow_assets/report/previews/drawing.py",  # hands its environment on to the worker
        "synthflow_assets/orchestration/instance/event_log.py",  # a variable of Dagster's, and its DAGSTER_HOME
    }
