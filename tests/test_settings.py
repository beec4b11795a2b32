"""Every bad value ends in one line that names the variable, the value and what is allowed."""

import datetime as dt
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from synthflow_assets.errors import SettingsError
from synthflow_assets.settings import Settings


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("REGION", "mars", "us, eu or global"),
        ("TIMEZONE", "Mars/Olympus", "an IANA time zone"),
        ("TIMEZONE", "../../etc/passwd", "an IANA time zone"),
        ("START_DATE", "soon", "a date such as 2026-01-31"),
        ("START_DATE", "1999-01-01", "a date from 2020-01-01 to today"),
        ("START_DATE", "2099-01-01", "a date from 2020-01-01 to today"),
        ("PAGE_SIZE", "101", "less than or equal to 100"),
        ("PAGE_SIZE", "ten", "a whole number"),
        ("MAX_CONNECTIONS", "0", "greater than or equal to 1"),
        ("REQUESTS_PER_SECOND", "0", "greater than or equal to 0.01"),
        ("REQUESTS_PER_SECOND", "inf", "a finite number"),
        ("WINDOW_MARGIN_SECONDS", "-1", "greater than or equal to 0"),
        ("LOOKBACK_DAYS", "1.5", "a whole number"),
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
        ({"page_size": True}, "page_size is True; allowed is a whole number"),
        ({"page_size": 10.5}, "page_size is 10.5; allowed is a whole number"),
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
    with pytest.raises(SettingsError, match=r"^page_size is 'many'; allowed is a whole number$"):
        Settings.of(page_size="many")
    with pytest.raises(SettingsError, match=r"^recordings is set, but recordings are personal data and pii is drop: "):
        Settings.of(recordings="audio", pii="drop")
    with pytest.raises(SettingsError, match=r"^pii is hash, which needs pii_key: "):
        Settings.of(pii="hash")


def test_values_come_from_the_environment_and_the_env_file_which_wins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text(
        "SYNTHFLOW_REGION=eu\nSYNTHFLOW_MODEL_IDS= a, b,,a\nSYNTHFLOW_START_DATE=2026-02-03\nSYNTHFLOW_PII=\n"
    )
    monkeypatch.setenv("SYNTHFLOW_REGION", "global")
    monkeypatch.setenv("SYNTHFLOW_PAGE_SIZE", "50")
    settings = Settings.load()
    assert settings.api_url == "https://api.eu.synthflow.ai/v2"
    assert settings.page_size == 50
    assert settings.pii == "keep"
    assert settings.model_ids == ("a", "b")
    assert settings.start_date == dt.date(2026, 2, 3)
    assert settings.api_key is None


def test_given_values_ignore_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNTHFLOW_REGION", "eu")
    assert Settings.of().region == "us"


def test_unknown_argument_is_named() -> None:
    with pytest.raises(SettingsError, match="colour is not a setting"):
        Settings.of(colour="red")


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
    ],
)
def test_a_wrong_line_of_the_env_file_stops_everything(tmp_path: Path, line: str) -> None:
    """Otherwise personal data would be kept, with a warning of the parser at most."""
    (tmp_path / ".env").write_text(f"# keys\n\nOTHER=1\n{line}\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"^line 4 of \.env") as caught:
        Settings.load()
    assert "drop" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("line", ["export SYNTHFLOW_PII=drop", " SYNTHFLOW_PII = drop ", "SYNTHFLOW_PII='drop'"])
def test_other_ways_to_write_a_line_are_read(tmp_path: Path, line: str) -> None:
    (tmp_path / ".env").write_text(f"theirs: not ours\n# SYNTHFLOW_PII: hash\n{line}\n", encoding="utf-8")
    assert Settings.load().pii == "drop"


def test_a_variable_in_another_case_names_its_twin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNTHFLOW_Pii", "drop")
    with pytest.raises(SettingsError, match=r"SYNTHFLOW_Pii is not a setting.*did you mean SYNTHFLOW_PII"):
        Settings.load()


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


def test_variables_of_kubernetes_service_links_are_not_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SERVICE_LINKS.items():
        monkeypatch.setenv(name, value)
    assert Settings.load().model_dump() == Settings.of().model_dump()
    monkeypatch.setenv("SYNTHFLOW_PORT", "3000")
    with pytest.raises(SettingsError, match="SYNTHFLOW_PORT is not a setting"):
        Settings.load()


@pytest.mark.parametrize("name", ["main", "temp", "memory", "system", "warehouse", "information_schema", "pg_catalog"])
def test_schemas_that_duckdb_has_already_are_refused(name: str) -> None:
    with pytest.raises(SettingsError, match=f"warehouse_schema is '{name}'; allowed is lower-case letters"):
        Settings.of(warehouse_schema=name)


@pytest.mark.parametrize("name", ["warehouse", "export_dir", "report", "recordings"])
def test_paths_that_no_part_can_use_are_refused(name: str) -> None:
    with pytest.raises(SettingsError, match=r"a path without \? and \*"):
        Settings.of(**{name: "data/what?/x"})
    with pytest.raises(SettingsError, match="there is no user whose home folder"):
        Settings.of(**{name: "~nosuchuser/x"})
    assert getattr(Settings.of(**{name: "~/x"}), name) == str(Path.home() / "x")


# One setting of each kind, as a field of the model would be added.
NEW_FIELDS = """
    import datetime as dt, sys
    from typing import Literal
    from pydantic import Field, SecretStr
    from synthflow_assets.settings import model
    from synthflow_assets.settings.model import _path

    class Settings(model.Settings):
        new_bool: bool = Field(False, description="A new boolean.")
        new_int: int = Field(5, ge=1, le=9, description="A new whole number.")
        new_float: float = Field(0.5, ge=0, description="A new number.")
        new_text: str = Field("x", description="A new text.")
        new_day: dt.date = Field(dt.date(2026, 1, 1), description="A new day.")
        new_choice: Literal["one", "two"] = Field("one", description="A new choice.")
        new_list: tuple[str, ...] = Field((), description="A new list.")
        new_secret: SecretStr | None = Field(None, description="A new secret.")
        new_path: str | None = _path(None, "A new path.")

    import synthflow_assets.settings
    synthflow_assets.settings.Settings = Settings
"""


def with_new_fields(script: str, **environment: str) -> str:
    """What a script prints in a process in which the model has more fields."""
    code = textwrap.dedent(NEW_FIELDS) + textwrap.dedent(script)
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_new_setting_of_any_kind_is_a_variable_an_argument_an_attribute_and_in_the_docs() -> None:
    printed = with_new_fields(
        """
        from synthflow_assets.errors import SettingsError
        loaded = Settings.load()
        print(loaded.new_bool, loaded.new_int, loaded.new_float, loaded.new_day, loaded.new_choice, loaded.new_list)
        print(loaded.new_secret.get_secret_value(), loaded.new_path.endswith("/out"))
        given = Settings.of(new_bool=True, new_int=3, new_float=2.5, new_list=["a"], new_path="out")
        print(given.new_bool, given.new_int, given.new_float, given.new_list, given.new_path)
        for wrong in ({"new_bool": "perhaps"}, {"new_int": True}, {"new_float": "much"}, {"new_choice": "three"}):
            try:
                Settings.of(**wrong)
            except SettingsError as error:
                print(error)
        """,
        SYNTHFLOW_NEW_BOOL="yes",
        SYNTHFLOW_NEW_INT="7",
        SYNTHFLOW_NEW_FLOAT="1.5",
        SYNTHFLOW_NEW_DAY="2026-02-03",
        SYNTHFLOW_NEW_CHOICE="two",
        SYNTHFLOW_NEW_LIST="a, b",
        SYNTHFLOW_NEW_SECRET="hidden",
        SYNTHFLOW_NEW_PATH="~/out",
    )
    assert printed.splitlines() == [
        "True 7 1.5 2026-02-03 two ('a', 'b')",
        "hidden True",
        "True 3 2.5 ('a',) out",
        "new_bool is 'perhaps'; allowed is true or false",
        "new_int is True; allowed is a whole number",
        "new_float is 'much'; allowed is a number",
        "new_choice is 'three'; allowed is one or two",
    ]
    printed = with_new_fields(
        f"""
        import warnings; warnings.simplefilter("ignore")
        import dagster as dg
        from synthflow_assets.orchestration import component
        schema = component.SynthflowCallsComponent.model().model_json_schema()["properties"]
        for name in sorted(name for name in schema if name.startswith("new_")):
            print(name, schema[name].get("type", "deprecated"))
        made = component.SynthflowCallsComponent.resolve_from_yaml(
            "{{new_bool: true, new_float: 2.5, new_secret_variable: NEW_KEY}}"
        )
        settings = made._settings()
        print(settings.new_bool, settings.new_float, settings.new_secret.variable)
        sys.path.insert(0, {str(Path(__file__).parents[1] / "scripts")!r})
        import generate_docs
        for name in ("new_bool", "new_secret", "new_path"):
            assert f"SYNTHFLOW_{{name.upper()}}" in generate_docs.settings_page()
            assert f"SYNTHFLOW_{{name.upper()}}" in generate_docs.env_example()
        for line in generate_docs.arguments_module().splitlines():
            if "new_" in line:
                print(line.strip())
        """
    )
    assert printed.splitlines() == [
        "new_bool ['boolean', 'string', 'null']",
        "new_choice ['string', 'null']",
        "new_day ['string', 'null']",
        "new_float ['number', 'string', 'null']",
        "new_int ['integer', 'string', 'null']",
        "new_list ['array', 'string', 'null']",
        "new_path ['string', 'null']",
        "new_secret deprecated",
        "new_secret_variable string",
        "new_text ['string', 'null']",
        "True 2.5 NEW_KEY",
        "new_bool: bool",
        "new_int: int",
        "new_float: float",
        "new_text: str",
        "new_day: dt.date | str",
        "new_choice: str",
        "new_list: Sequence[str]",
        "new_secret: SecretStr | str | None",
        "new_path: str | PurePath | None",
    ]


def test_nothing_else_reads_the_environment() -> None:
    """`make check` refuses it by a lint rule; a process that starts another may hand its environment on."""
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
