"""Asset specs of the user's own, by the component's `translation` and by an overridden `get_asset_spec`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from synthflow_assets import SynthflowAssetProps, SynthflowCallsComponent, build_synthflow_defs
from synthflow_assets.errors import SettingsError
from synthflow_assets.quality import CHECKS, SCHEDULED_CHECKS
from synthflow_assets.sandbox.server import Sandbox
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse
from tests.instances import without_checks

# Dagster reads YAML with these.
pytestmark = pytest.mark.filterwarnings("ignore:`parse_obj_as` is deprecated")

DAY = "2026-03-10"
TRANSLATION = """
export_dir: out
translation:
  key: lake/{{ props.kind }}/raw_{{ props.name }}
  group_name: "{{ 'marts' if props.kind == 'table' else 'files' }}"
  owners: [team:voice]
  tags: {tier: gold}
  metadata: {source: "{{ spec.key.path[-1] }}"}
"""


def load(yaml: str, kind: type[SynthflowCallsComponent] = SynthflowCallsComponent) -> dg.Definitions:
    return kind.resolve_from_yaml(yaml).build_defs(dg.ComponentTree.for_test().load_context)


def test_keys_groups_owners_tags_and_metadata_are_translated_and_dependencies_follow() -> None:
    graph = load(TRANSLATION).resolve_asset_graph()
    assert all(key.path[0] == "lake" for key in graph.get_all_asset_keys())
    export = graph.get(dg.AssetKey(["lake", "export", "raw_call_rates_daily_export"]))
    rates = dg.AssetKey(["lake", "table", "raw_call_rates_daily"])
    assert export.parent_keys == {rates}
    assert graph.get(rates).parent_keys == {
        dg.AssetKey(["lake", "table", f"raw_{name}"]) for name in ("calls", "call_loads")
    }
    node = graph.get(rates)
    assert (node.group_name, export.group_name, node.owners, node.tags["tier"]) == (
        *("marts", "files"),
        *(["team:voice"], "gold"),
    )
    assert node.metadata["source"] == "call_rates_daily"
    assert node.metadata["dagster/table_name"] == "warehouse.synthflow.call_rates_daily"
    assert {check.asset_key.path[0] for check in graph.asset_check_keys} == {"lake"}
    assert len(graph.asset_check_keys) == len(CHECKS) + len(SCHEDULED_CHECKS)


def test_a_run_writes_and_checks_the_renamed_assets(
    start_sandbox: Callable[..., Sandbox], settings_for: Callable[..., Settings], instance: dg.DagsterInstance
) -> None:
    sandbox = start_sandbox(agents=1, calls_per_day=20, poisoned_day=None)
    settings = settings_for(sandbox, export_dir="out")

    def renamed(props: SynthflowAssetProps) -> dg.AssetSpec:
        return props.spec.replace_attributes(key=["mine", f"my_{props.name}"], group_name=props.kind)

    job = build_synthflow_defs(settings, get_asset_spec=renamed).resolve_job_def("synthflow_daily")
    some = [dg.AssetKey(["mine", f"my_{name}"]) for name in ("calls", "call_rates_daily", "calls_export")]
    done = job.execute_in_process(instance=instance, partition_key=DAY, asset_selection=some)
    written = {event.asset_key.to_user_string() for event in done.get_asset_materialization_events()}
    assert {"mine/my_calls", "mine/my_agents", "mine/my_call_rates_daily", "mine/my_calls_export"} <= written
    assert {name.partition("/")[0] for name in written} == {"mine"}
    evaluated = done.get_asset_check_evaluations()
    assert {one.asset_key.path[0] for one in evaluated} == {"mine"}
    late = next(one for one in evaluated if one.check_name == "no_gaps")
    assert not late.passed
    assert "dg launch --assets 'group:export or group:report or group:table or group:view'" in str(late.description)


ADDED = """
export_dir: out
translation:
  deps: [crm/leads]
  kinds: [voice]
  skippable: true
  code_version: "{{ props.kind }}-7"
  automation_condition: "{{ dg.AutomationCondition.eager() }}"
"""


def test_dependencies_and_code_versions_are_added_to_ours_and_other_attributes_are_replaced() -> None:
    """Without ours, Dagster would compute metrics before the calls, and an upgrade would outdate nothing."""
    given, plain = load(ADDED).resolve_asset_graph(), load("export_dir: out").resolve_asset_graph()
    leads = dg.AssetKey(["crm", "leads"])
    for key in plain.get_all_asset_keys():
        node, ours = given.get(key), plain.get(key)
        assert node.parent_keys == {*ours.parent_keys, leads}, key
        assert ours.code_version is None or str(node.code_version).startswith(ours.code_version), key
        assert str(node.code_version).endswith("-7"), key
        assert {tag for tag in node.tags if tag.startswith("dagster/kind/")} == {"dagster/kind/voice"}
        # No step writes `agents`, so Dagster could not run it.
        assert (node.automation_condition is None) == (key.path[-1] == "agents")


def test_a_run_with_added_attributes_fetches_before_it_computes(
    start_sandbox: Callable[..., Sandbox], settings_for: Callable[..., Settings], instance: dg.DagsterInstance
) -> None:
    settings = settings_for(start_sandbox(agents=1, calls_per_day=20))

    def changed(props: SynthflowAssetProps) -> dg.AssetSpec:
        return props.spec.replace_attributes(
            key=["mine", props.name],
            deps=[dg.AssetKey(["crm", "leads"])],
            skippable=True,
            metadata={},
            kinds={"voice"},
            code_version=None,
        )

    defs = build_synthflow_defs(settings, get_asset_spec=changed)
    done = without_checks(defs.resolve_job_def("synthflow_daily")).execute_in_process(
        instance=instance, partition_key=DAY
    )
    order = [event.asset_key.path[-1] for event in done.get_asset_materialization_events()]
    assert order.index("calls") < order.index("call_rates_daily") < order.index("call_report")
    with Warehouse(settings.warehouse).connect(read_only=True) as connection:
        assert connection.execute("SELECT sum(calls) > 0 FROM call_rates_daily").fetchone() == (True,)
    recomputed = without_checks(defs.resolve_job_def("synthflow_recompute")).execute_in_process(instance=instance)
    assert recomputed.filter_events(lambda event: event.is_step_materialization) == []


def test_an_empty_code_version_changes_nothing() -> None:
    graph, plain = load("translation: {code_version: null}").resolve_asset_graph(), load("{}").resolve_asset_graph()
    for key in plain.get_all_asset_keys():
        assert graph.get(key).code_version == plain.get(key).code_version


class Quieter(SynthflowCallsComponent):
    """A component that changes the spec in Python."""

    def get_asset_spec(self, props: SynthflowAssetProps) -> dg.AssetSpec:
        return super().get_asset_spec(props).replace_attributes(description=f"Ours: {props.name}")


def test_get_asset_spec_can_be_overridden() -> None:
    graph = load("translation: {key_prefix: raw}", Quieter).resolve_asset_graph()
    assert graph.get(dg.AssetKey(["raw", "synthflow", "calls"])).description == "Ours: calls"


def refused(get_asset_spec: Callable[[SynthflowAssetProps], Any]) -> str:
    with pytest.raises(SettingsError) as raised:
        build_synthflow_defs(Settings.of(), get_asset_spec=get_asset_spec)
    assert len(str(raised.value).splitlines()) == 1
    return str(raised.value)


def test_what_would_break_the_assets_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    same = "the translation gives calls and call_rejects the same key, one; use props.name in it"
    assert refused(lambda props: props.spec.replace_attributes(key="one")) == same
    with pytest.raises(SettingsError, match=f"^{same}$"):
        load("translation: {key: one}")
    similar = {"calls": "a-b", "call_rejects": "a_b"}
    assert "calls and call_rejects the same key, a-b or a_b; use props.name in it" in refused(
        lambda props: props.spec.replace_attributes(key=similar.get(props.name, props.name))
    )
    assert "is of the type NoneType" in refused(lambda _: None)
    hourly = dg.HourlyPartitionsDefinition("2026-01-01-00:00")
    assert "changes its partitions" in refused(lambda props: props.spec.replace_attributes(partitions_def=hourly))
    assert "sets is_virtual" in refused(lambda props: props.spec.replace_attributes(is_virtual=True))
    assert "changes the metadata dagster/uri" in refused(
        lambda props: props.spec.merge_attributes(metadata={"dagster/uri": "elsewhere"})
    )
    later = dg.AssetKey(["synthflow", "call_rates_daily"])
    assert "the translation makes assets depend on each other: " in refused(
        lambda props: props.spec.merge_attributes(deps=[later] if props.name == "calls" else [])
    )
    for name in ("call_rejects", "agents"):
        assert f"synthflow/{name} depends on synthflow/call_rates_daily, but one step writes " in refused(
            lambda props, name=name: props.spec.merge_attributes(deps=[later] if props.name == name else [])
        )
    assert list(tmp_path.iterdir()) == []


def depends_on(key: str) -> dg.Definitions:
    def with_dependency(props: SynthflowAssetProps) -> dg.AssetSpec:
        deps = [dg.AssetKey.from_user_string(key)] if props.name == "call_rejects" else []
        return props.spec.merge_attributes(deps=deps)

    return build_synthflow_defs(Settings.of(), get_asset_spec=with_dependency)


@pytest.mark.filterwarnings("ignore:.*was resolved to upstream asset")
@pytest.mark.parametrize("key", ["crm/reached", "call_rates_daily"])
def test_a_dependency_that_splits_the_fetching_step_by_way_of_another_asset_is_refused(key: str) -> None:
    """Calls that the second part lands are missing in the metrics. Dagster looks up names without a prefix."""
    theirs = dg.AssetSpec(["crm", "reached"], deps=[dg.AssetKey(["synthflow", "calls"])])
    defs = dg.Definitions.merge(depends_on(key), dg.Definitions([theirs]))
    with pytest.raises(dg.DagsterInvalidDefinitionError) as raised:
        defs.resolve_job_def("synthflow_daily")
    parent = key if "/" in key else f"synthflow/{key}"
    assert f"synthflow/call_rejects depends on {parent}, but one step writes " in str(raised.value.__cause__)


@pytest.mark.parametrize(
    ("yaml", "line"),
    [
        (
            "translation: {group_name: '{{ props.nam }}'}",
            "the translation of calls fails: .* no attribute 'nam'. T",
        ),
        ("translation: {group_name: a b}", 'the translation of calls fails: "a b" is not a valid asset group name'),
        ("translation: {owners: [nobody]}", "the translation of calls fails: Invalid owner 'nobody'"),
        ("translation: {owners: 3}", r"translation: owners is 3, .* owners is a list, such as \[team:voice"),
        ("translation: {deps: crm/leads}", r"translation: deps is 'crm/leads', .* deps is a list of asset keys"),
        ("translation: {kinds: sql}", r"translation: kinds is 'sql', .* kinds is a list, such as \[sql"),
        ("translation: {tags: [a]}", r"translation: tags is \['a'\], .* tags is a mapping, such as {tier: gold}"),
        (
            "translation: {key: a b}",
            r"the translation of calls has the key \['a b'\]; allowed in each part are letters",
        ),
        (
            "translation: {key_prefix: ''}",
            r"the translation of calls has the key \['', 'synthflow', 'calls'\]; allowed",
        ),
        ("translation: {deps: ['']}", r"the translation of calls has deps with the key \[''\]; allowed"),
        (
            "translation: {metadata: {dagster/column_schema: {a: b}}}",
            "the translation of calls has the metadata dagster/column_schema of the type dict; allowed is TableSchema",
        ),
        ("translation: 3", "translation is 3; allowed is a mapping such as {group_name: voice}, or a template"),
        ("translation: {group: x}", "translation: group is not an attribute; did you mean group_name?"),
        ("owners: [nobody]", "Invalid owner 'nobody'"),
        ("group_name: a b", '"a b" is not a valid asset group name'),
        ("group_name: 3", "group_name is of the type int; allowed is a name"),
        ("tags: {a: 3}", "tags is of the type dict; allowed is texts by name"),
    ],
)
def test_a_wrong_attribute_is_one_line(yaml: str, line: str) -> None:
    with pytest.raises(SettingsError, match=f"^{line}") as raised:
        load(yaml)
    assert len(str(raised.value).splitlines()) == 1
    assert raised.value.__cause__ is None


def test_two_workspaces_with_renamed_keys_in_one_place_are_refused() -> None:
    def named(prefix: str) -> dg.Definitions:
        settings = Settings.of(warehouse_schema="acme", report=f"{prefix}.html")
        return build_synthflow_defs(
            settings,
            key_prefix=prefix,
            get_asset_spec=lambda props: props.spec.replace_attributes(key=f"{prefix}_{props.name}_x"),
        )

    merged = dg.Definitions.merge(named("us"), named("eu"))
    with pytest.raises(Exception, match="Failed to resolve asset job") as raised:
        dg.Definitions.validate_loadable(merged)
    assert "eu_calls_x and us_calls_x would both be acme.calls" in str(raised.value.__cause__ or raised.value)
