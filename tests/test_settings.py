"""Every bad value ends in one line that names the variable, the value and what is allowed."""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

import pytest

from synthflow_assets.errors import SettingsError
from synthflow_assets.setting_arguments import SettingsArguments
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


def test_type_checkers_know_every_argument_and_its_types() -> None:
    known = get_type_hints(SettingsArguments)
    assert list(known) == list(Settings.model_fields)
    for name, field in Settings.model_fields.items():
        literal = get_origin(field.annotation) is Literal
        wider = {tuple[str, ...]: Sequence[str]}.get(field.annotation, str if literal else field.annotation)
        assert {wider, *get_args(wider)} & {known[name], *get_args(known[name])}, name
        assert (type(None) in get_args(field.annotation)) == (type(None) in get_args(known[name])), name


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
