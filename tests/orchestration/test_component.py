"""The component's attributes: all settings are attributes, bad values are errors, and keys stay out of YAML."""

import os
import re
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from jsonschema import Draft202012Validator

from synthflow_assets import SynthflowCallsComponent
from synthflow_assets.errors import SettingsError
from synthflow_assets.sandbox.server import Sandbox
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse
from tests.instances import without_checks

# Dagster reads YAML with these.
pytestmark = pytest.mark.filterwarnings("ignore:`parse_obj_as` is deprecated")

StartSandbox = Callable[..., Sandbox]


def load(yaml: str) -> dg.Definitions:
    component = SynthflowCallsComponent.resolve_from_yaml(yaml)
    return component.build_defs(dg.ComponentTree.for_test().load_context)


def schema_problems(**attributes: Any) -> list[str]:
    """Return the errors that `dg check yaml` finds."""
    validator = Draft202012Validator(SynthflowCallsComponent.model().model_json_schema())
    return [error.message for error in validator.iter_errors(attributes)]


def test_every_setting_is_an_attribute_with_its_description_and_default() -> None:
    properties = SynthflowCallsComponent.model().model_json_schema()["properties"]
    for name, field in Settings.model_fields.items():
        attribute = properties[f"{name}_variable" if "SecretStr" in str(field.annotation) else name]
        assert str(field.description) in attribute["description"]
    assert properties["page_size"]["default"] == 100
    assert properties["start_date"]["default"] == "2025-01-01"
    assert properties["api_key"]["deprecated"]  # known only so that nobody prints it


def test_every_attribute_that_names_a_variable_is_in_the_docs() -> None:
    text = (Path(__file__).parents[2] / "docs" / "component.md").read_text("utf-8")
    properties = SynthflowCallsComponent.model().model_json_schema()["properties"]
    assert not [name for name in properties if name.endswith("_variable") and f"`{name}`" not in text]


@pytest.mark.parametrize(
    ("attributes", "says"),
    [
        ({"regoin": "eu"}, "'regoin' was unexpected"),
        ({"region": "mars"}, r"'mars' does not match '\^\(us\|eu\|global\)"),
        ({"page_size": 500}, "500 is greater than the maximum of 100"),
        ({"page_size": "ten"}, r"'ten' does not match '\^\(-\?\[0-9\]\+\)\?\$"),
        ({"requests_per_second": 0}, "0 is less than the minimum of 0.01"),
        ({"start_date": "soon"}, "'soon' does not match"),
        ({"region": 5}, "5 is not of type 'string'"),
        ({"timezone": 5}, "5 is not of type 'string'"),
        ({"page_size": 10.5}, "10.5 is not of type 'integer'"),
        ({"page_size": True}, "True is not of type 'integer'"),
        ({"start_date": float("nan")}, "nan is not of type 'string'"),
        ({"owners": "bob@example.com"}, "'bob@example.com' does not match"),
        ({"automation_condition": "eager"}, "'eager' does not match"),
    ],
    ids=str,
)
def test_what_a_schema_can_say_dg_check_yaml_says(attributes: dict[str, Any], says: str) -> None:
    [problem] = schema_problems(**attributes)
    assert re.search(says, problem)


def test_good_values_and_templates_pass_the_schema() -> None:
    assert not schema_problems(
        region="eu", page_size=50, start_date="2026-01-01", model_ids=["a"], key_prefix=["a", "b"]
    )
    assert not schema_problems(region="{{ env.REGION }}", page_size="{{ env.SIZE }}", start_date="{{ env.START }}")
    assert not schema_problems(region="", page_size="", start_date="")


@pytest.mark.parametrize(
    ("yaml", "says"),
    [
        ("timezone: Mars/Olympus", "^timezone is 'Mars/Olympus'; allowed is an IANA time zone"),
        ("page_size: ten", "^page_size is 'ten'; allowed is a whole number"),
        ("region: '{{ env.PLANET }}'", "^region is 'mars'; allowed is us, eu or global"),
        ("pii: '{{ env.NOT_SET }}'", "^pii is empty; set it to keep, hash or drop, or remove it"),
        ("pii: '{{ env.BLANK }}'", "^pii is empty; set it to keep, hash or drop, or remove it"),
        ("pii:", "^pii is empty; set it to keep, hash or drop, or remove it"),
        ("key_prefix: Acme-Corp", "^key_prefix is 'Acme-Corp', which makes the schema 'Acme_Corp'; allowed is lower"),
        ("{pii: drop, recordings: audio}", "^recordings is set, but recordings are personal data and pii is drop"),
        (
            "alert_slack_token_variable: MY_TOKEN",
            "^alert_slack_token_variable and alert_slack_channel are needed",
        ),
        ("owners: bob@example.com", "^owners is of the type str; allowed is a list such as"),
        ("automation_condition: eager", "^automation_condition is of the type str; allowed is an object such as"),
        ("page_size: true", "^page_size is True; allowed is a whole number"),
        ("start_date: 2099-01-01", "^start_date is '2099-01-01'; allowed is a date from 2020-01-01 to today"),
        ("api_key_variable: secret-key", "^api_key_variable does not name an environment variable"),
        ("api_key_variable: '{{ env.PLANET }}'", "^api_key_variable does not name an environment variable"),
        ("{pii: hash, pii_key_variable: secret-key}", "^pii_key_variable does not name an environment variable"),
        ("api_key_variable: [secret-key]", "^api_key_variable does not name an environment variable"),
        ("api_key_variable: {a: secret-key}", "^api_key_variable does not name an environment variable"),
        ("alert_webhook_url_variable: 5", "^alert_webhook_url_variable does not name an environment variable"),
        # A key that has only letters and digits, which the run would show as the name of a variable that is not set.
        ("api_key_variable: 1a2b3csecretkey", "^api_key_variable does not name an environment variable"),
        ("api_key_variable: a1b2c3secretkey", "^api_key_variable does not name an environment variable"),
        ("api_key_variable: SECRETKEY", "^api_key_variable does not name an environment variable"),
        ("api_key_variable: SECRETKEY123", "^api_key_variable does not name an environment variable"),
        ("warehouse: ['md:x?motherduck_token=secret-key']", "^warehouse is not usable"),
    ],
    ids=str,
)
def test_a_bad_value_is_one_line_that_names_the_attribute(yaml: str, says: str) -> None:
    os.environ.update(PLANET="mars", BLANK=" ")
    with pytest.raises(SettingsError, match=says) as caught:
        load(yaml)
    assert "\n" not in str(caught.value)
    shown = "".join(traceback.format_exception(caught.value)).lower()
    assert "secret-key" not in shown
    assert "secretkey" not in shown


@pytest.mark.parametrize(
    ("yaml", "says"),
    [
        (
            "api_key: sk-secret",
            "api_key is not an attribute (its value is not shown): put the secret into",
        ),
        ("alert_webhook_url: https://sk-secret", "alert_webhook_url is not an attribute (its value is not shown)"),
        ("SYNTHFLOW_API_KEY: sk-secret", "SYNTHFLOW_API_KEY is not an attribute (its value is not shown): put the"),
        ("regoin: eu", "regoin is not an attribute; did you mean region?"),
        ("SYNTHFLOW_REGION: eu", "SYNTHFLOW_REGION is not an attribute; did you mean region?"),
        ("page-size: 5", "page-size is not an attribute; did you mean page_size?"),
        ("xyzzy: 5", "xyzzy is not an attribute; to list the attributes, run: dg utils inspect-component synthflow"),
        ("export_folder: sk-secret", "export_folder is not an attribute; did you mean export_dir?"),
    ],
    ids=str,
)
def test_an_attribute_that_does_not_exist_is_one_line_without_its_value(yaml: str, says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(yaml)
    assert str(caught.value).startswith(says)
    assert "\n" not in str(caught.value)
    assert "sk-secret" not in "".join(traceback.format_exception(caught.value))


def test_dg_check_yaml_does_not_print_a_secret() -> None:
    """The error shows the line of an unknown attribute."""
    assert not schema_problems(api_key="sk-secret", alert_smtp_url="smtps://sk-secret")
    assert not schema_problems(api_key_variable="sk-secret", pii_key_variable=["sk-secret"])


def test_attributes_reach_settings_resources_and_assets(start_sandbox: StartSandbox) -> None:
    sandbox = start_sandbox(agents=2, calls_per_day=30)
    os.environ["THEIR_KEY"] = sandbox.api.config.api_key  # removed by clean_environment
    definitions = load(
        f"""
        key_prefix: [raw, acme]
        group_name: voice
        owners: [team:voice]
        tags: {{source: synthflow}}
        automation_condition: "{{{{ dg.AutomationCondition.eager() }}}}"
        api_key_variable: THEIR_KEY
        base_url: {sandbox.url}
        model_ids: [{sandbox.model_ids[1]}]
        start_date: 2026-03-01
        warehouse: their.duckdb
        previews: false
        """
    )
    node = definitions.get_repository_def().asset_graph.get(dg.AssetKey(["raw", "acme", "calls"]))
    assert (node.group_name, list(node.owners), node.tags["source"]) == ("voice", ["team:voice"], "synthflow")
    assert node.automation_condition == dg.AutomationCondition.eager()
    landing = without_checks(definitions.resolve_job_def("raw_acme_daily"), [dg.AssetKey(["raw", "acme", "calls"])])
    assert landing.execute_in_process(partition_key="2026-03-10").success
    assert set(Warehouse("their.duckdb", "raw_acme").read_frame("calls")["model_id"]) == {sandbox.model_ids[1]}


def test_what_a_run_says_names_attributes_not_variables(start_sandbox: StartSandbox) -> None:
    os.environ["THEIR_KEY"] = "wrong"
    definitions = load(f"{{api_key_variable: THEIR_KEY, base_url: {start_sandbox().url}, warehouse: their.duckdb}}")
    result = definitions.resolve_job_def("synthflow_daily").execute_in_process(
        partition_key="2026-03-10", raise_on_error=False
    )
    [failed] = [event for event in result.all_events if event.is_step_failure]
    assert "Check api_key_variable; " in str(failed.step_failure_data.error)


def test_an_explicit_schema_wins_over_the_key_prefix() -> None:
    definitions = load("{key_prefix: acme, warehouse_schema: synthflow}")
    node = definitions.get_repository_def().asset_graph.get(dg.AssetKey(["acme", "calls"]))
    assert node.metadata["dagster/table_name"] == "warehouse.synthflow.calls"


@pytest.mark.parametrize("name", ["warehouse", "region", "page_size", "model_ids"])
def test_only_secrets_may_be_variables_in_python(name: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.of(**{name: dg.EnvVar("THEIRS")})
    assert str(caught.value) == (
        f'{name} is a dg.EnvVar, which only secrets can be; give its value: dg.EnvVar("THEIRS").get_value()'
    )


# The attributes are made when the component is imported, so a process of its own imports it.
NEW_FIELDS = """
import sys, warnings
from tests.test_settings import Extended
import synthflow_assets.settings
synthflow_assets.settings.Settings = Extended
warnings.simplefilter("ignore")
from synthflow_assets import SynthflowCallsComponent
schema = SynthflowCallsComponent.model().model_json_schema()["properties"]
for name in sorted(name for name in schema if name.startswith("new_")):
    print(name, schema[name].get("type", "deprecated" if "deprecated" in schema[name] else "any"))
made = SynthflowCallsComponent.resolve_from_yaml(sys.argv[1])
settings = made._settings()
print(settings.new_bool, settings.new_float, settings.new_day, settings.new_list, settings.new_secret.variable)
"""


def test_a_new_setting_of_any_kind_is_an_attribute() -> None:
    yaml = "{new_bool: true, new_float: 2.5, new_day: 2026-02-03, new_list: [a], new_secret_variable: NEW_KEY}"
    printed = subprocess.run(
        [sys.executable, "-c", NEW_FIELDS, yaml],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    ).stdout
    assert printed.splitlines() == [
        "new_bool ['boolean', 'string', 'null']",
        "new_choice ['string', 'null']",
        "new_day ['string', 'null']",
        "new_float ['number', 'string', 'null']",
        "new_int ['integer', 'string', 'null']",
        "new_list ['array', 'string', 'null']",
        "new_path ['string', 'null']",
        "new_secret deprecated",
        "new_secret_variable any",
        "new_text ['string', 'null']",
        "True 2.5 2026-02-03 ('a',) NEW_KEY",
    ]
