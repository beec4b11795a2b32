"""If a field changes its type, landed days stay. If no metric needs the field, all calls land."""

import dataclasses
import datetime as dt
import json
import re
import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from synthflow_assets import loading
from synthflow_assets.api.client import SynthflowClient
from synthflow_assets.errors import UnreadableRecordsError, VanishedCallsError
from synthflow_assets.loading import FailedPartition, load_calls, resolve_agents
from synthflow_assets.metrics import compute_metrics
from synthflow_assets.quality import CHECKS, find_problems
from synthflow_assets.sandbox.config import DEFAULT_API_KEY, SandboxConfig
from synthflow_assets.sandbox.server import Sandbox
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.landing import LoadSummary
from synthflow_assets.warehouse.metric_tables import METRIC_TABLES
from synthflow_assets.warehouse.safeguards import Losses, RunLosses, find_losses
from synthflow_assets.warehouse.staging import Partition
from tests.conftest import DAY
from tests.warehouse.staged import staged
from tests.warehouse.test_landing import (
    BOTH,
    START_MS,
    TODAY_A,
    YESTERDAY_A,
    assert_complete,
    load,
    records,
    stored,
    strays,
)

DAYS = [DAY - dt.timedelta(days=number) for number in (1, 0)]


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "CONFIRM_AFTER_SECONDS", 0.0)


class Workspace:
    """A sandbox whose records can change, and a warehouse of its calls."""

    def __init__(self, sandbox: Sandbox, settings: Settings) -> None:
        self.sandbox = sandbox
        self.settings = settings
        self.warehouse = Warehouse.from_settings(settings)
        self.said: list[str] = []

    def load(
        self, *faults: str, pii: str = "keep", requests: float = 1e9, accept_deleted: bool = False
    ) -> list[LoadSummary | FailedPartition]:
        """Fetch and land the days, while the first requests have the faults."""
        self.set_faults(*faults, requests=requests)
        settings = self.settings.model_copy(update={"pii": pii})
        with SynthflowClient.from_settings(settings) as client:
            agents = resolve_agents(client, settings).agents
            return list(
                load_calls(
                    client,
                    self.warehouse,
                    settings,
                    agents,
                    DAYS,
                    accept_deleted=accept_deleted,
                    log=self.said.append,
                )
            )

    def set_faults(self, *faults: str, requests: float = 1e9) -> None:
        self.sandbox.api.config = dataclasses.replace(self.sandbox.api.config, faults=dict.fromkeys(faults, requests))

    def give_each_agent_its_faults(self, faults_of: Mapping[str, Collection[str]]) -> None:
        """From now on, each page has the faults of its agent, so one load shows many faults.

        Args:
            faults_of: names of faults by model_id. It is read for each page.
        """
        list_page = self.sandbox.api._list

        def list_page_of_agent(model_id: str, *arguments: Any) -> Any:
            self.set_faults(*faults_of.get(model_id, ()))
            return list_page(model_id, *arguments)

        vars(self.sandbox.api)["_list"] = list_page_of_agent

    def calls(self) -> list[Any]:
        """The rows of calls, without the time of the load."""
        with self.warehouse.connect(read_only=True) as connection:
            return connection.execute("SELECT * EXCLUDE (loaded_at) FROM calls ORDER BY ALL").fetchall()

    def rows(self) -> dict[str, list[Any]]:
        """The rows of calls, of rejects, and of all metrics, which are computed for this."""
        with self.warehouse.connect() as connection:
            compute_metrics(connection, DAYS, self.settings)
            tables = [table.name for table in METRIC_TABLES]
            found = {name: connection.execute(f"FROM {name} ORDER BY ALL").fetchall() for name in tables}
            for name in ("calls", "call_rejects"):
                query = f"SELECT * EXCLUDE (loaded_at) FROM {name} ORDER BY ALL"
                found[name] = connection.execute(query).fetchall()
        return found


CONFIG = {"agents": 2, "calls_per_day": 15, "same_volume": True}
Rows = dict[str, list[Any]]


@pytest.fixture
def workspace(start_sandbox: Callable[..., Sandbox], settings_for: Callable[..., Settings]) -> Workspace:
    sandbox = start_sandbox(**CONFIG)
    return Workspace(sandbox, settings_for(sandbox))


@pytest.fixture
def landed(workspace: Workspace) -> Rows:
    """The rows of the days as the sandbox lists them, landed in the workspace."""
    assert not failures(workspace.load())
    workspace.said.clear()
    return workspace.rows()


LOST_FIELDS = {
    "statuses_as_null": "call_status",
    "blank_statuses": "call_status",
    "empty_judge_results": "judge_results",
    "blank_judge_results": "judge_results",
    "empty_actions": "executed_actions",
    "actions_without_content": "executed_actions",
}
# What each change of a type says about the day that fails; None if the value means the same.
TYPE_CHANGES = {
    "durations_as_fractions": "duration is a fraction",
    "negative_durations": "duration is negative",
    "statuses_as_objects": "call_status is an object",
    "statuses_as_numbers": "call_status is a number",
    "statuses_as_booleans": "call_status is a boolean",
    "end_reasons_as_booleans": "end_call_reason is a boolean",
    "judge_results_as_lists": "judge_results is a list",
    "actions_as_texts": "an entry of executed_actions is not an object",
    "transcripts_as_lists": "transcript is a list",
    **dict.fromkeys(("starts_as_date_times", "telephony_starts_as_epochs", "json_as_texts")),
    **dict.fromkeys(("upper_case_statuses", "recording_durations_as_objects")),
}
OTHER_FAULTS = ("blank_call_ids", "no_calls", "missing_calls", "starts_a_day_early", "labels_as_objects")


@dataclass
class LookBack:
    """Days that landed, and were fetched again after each agent's records had changed in a way of their own.

    Attributes:
        agent_of: model_id by fault.
        before: the rows that landed.
        outcomes: of the second fetch.
        after: the rows after the second fetch.
        said: the messages of the second fetch.
        accepted: the outcomes of a third fetch, with `accept_deleted`.
        accepted_calls: the rows of calls after the third fetch.
        said_last: the messages of the third fetch.
        warehouse: a copy, as it was after the second fetch.
    """

    agent_of: dict[str, str]
    before: Rows
    outcomes: list[LoadSummary | FailedPartition]
    after: Rows
    said: list[str]
    accepted: list[LoadSummary | FailedPartition]
    accepted_calls: list[Any]
    said_last: list[str]
    warehouse: Warehouse

    def failed(self, fault: str) -> list[FailedPartition]:
        """The days of the fault's agent that did not land."""
        return [one for one in failures(self.outcomes) if one.agent.model_id == self.agent_of[fault]]

    def rows(self, rows: Rows, fault: str) -> Rows:
        """The rows of the fault's agent, by table."""
        return {name: self.of_agent(found, fault) for name, found in rows.items() if name != "workspace_load_hourly"}

    def of_agent(self, rows: list[Any], fault: str) -> list[Any]:
        """The rows of the fault's agent."""
        return [row for row in rows if row[1] == self.agent_of[fault]]

    def lands_if_accepted(self, fault: str) -> bool:
        """Whether all days of the fault's agent landed with `accept_deleted`."""
        return self.agent_of[fault] not in {one.agent.model_id for one in failures(self.accepted)}


def failures(outcomes: list[LoadSummary | FailedPartition]) -> list[FailedPartition]:
    return [outcome for outcome in outcomes if isinstance(outcome, FailedPartition)]


def look_back_over(faults: Collection[str], folder: Path, pii: str) -> LookBack:
    with Sandbox(SandboxConfig(**{**CONFIG, "agents": len(faults)})) as sandbox, pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "CONFIRM_AFTER_SECONDS", 0.0)
        file = folder / "warehouse.duckdb"
        made = Workspace(sandbox, Settings.of(api_key=DEFAULT_API_KEY, base_url=sandbox.url, warehouse=str(file)))
        agent_of = dict(zip(faults, sandbox.model_ids, strict=True))
        assert not failures(made.load(pii=pii))
        before = made.rows()
        made.give_each_agent_its_faults({agent: [fault] for fault, agent in agent_of.items()})
        outcomes = made.load(pii=pii)
        after, said = made.rows(), [*made.said]
        copy = Warehouse(shutil.copy(file, folder / "after.duckdb"))
        made.said.clear()
        accepted = made.load(pii=pii, accept_deleted=True)
        return LookBack(agent_of, before, outcomes, after, said, accepted, made.calls(), made.said, copy)


@pytest.fixture(scope="module")
def look_back(tmp_path_factory: pytest.TempPathFactory) -> LookBack:
    """Faults that change no other agent, each of an agent of its own."""
    return look_back_over([*LOST_FIELDS, *TYPE_CHANGES, *OTHER_FAULTS], tmp_path_factory.mktemp("keep"), "keep")


@pytest.fixture(scope="module")
def deleted_texts(tmp_path_factory: pytest.TempPathFactory) -> LookBack:
    """Apart, because lost numbers of callers, and other starts, change metrics of other agents and of the workspace."""
    return look_back_over(["deleted_texts", "starts_in_seconds"], tmp_path_factory.mktemp("deleted"), "keep")


@pytest.fixture(scope="module")
def look_back_with_drop(tmp_path_factory: pytest.TempPathFactory) -> LookBack:
    return look_back_over(["durations_as_fractions", "blank_call_ids"], tmp_path_factory.mktemp("drop"), "drop")


def assert_unreadable(look_back: LookBack, fault: str, problem: str) -> None:
    """No day of the fault's agent lands, and no number of it changes."""
    failed = look_back.failed(fault)
    assert len(failed) == len(DAYS)
    for outcome in failed:
        assert isinstance(outcome.error, UnreadableRecordsError)
        assert problem in str(outcome.error)
        assert ".5" not in str(outcome.error)
    assert look_back.rows(look_back.after, fault) == look_back.rows(look_back.before, fault)


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ("durations_as_fractions", "duration is a fraction. Nothing of this day was replaced"),
        # The id of half of the records is blank, so nobody knows which calls they are.
        ("blank_call_ids", "most often, call_id is missing"),
    ],
)
def test_the_look_back_over_a_type_change_leaves_every_number_as_it_was(
    look_back: LookBack, look_back_with_drop: LookBack, fault: str, problem: str
) -> None:
    assert_unreadable(look_back, fault, problem)
    assert_unreadable(look_back_with_drop, fault, problem)
    assert look_back_with_drop.after == look_back_with_drop.before


@pytest.mark.parametrize("fault", ["no_calls", "missing_calls"])
def test_calls_that_the_api_does_not_list_any_more_stay_until_that_is_accepted(look_back: LookBack, fault: str) -> None:
    failed = look_back.failed(fault)
    assert len(failed) == len(DAYS)
    for outcome in failed:
        assert isinstance(outcome.error, VanishedCallsError)
        assert re.match(r"the API no longer lists \d+ of \d+ calls that landed before\. Nothing", str(outcome.error))
    assert look_back.rows(look_back.after, fault) == look_back.rows(look_back.before, fault)
    assert look_back.lands_if_accepted(fault)
    rows = len(look_back.of_agent(look_back.accepted_calls, fault))
    landed = len(look_back.of_agent(look_back.before["calls"], fault))
    assert rows == 0 if fault == "no_calls" else 0 < rows < 0.6 * landed


@pytest.mark.parametrize(("fault", "field"), LOST_FIELDS.items())
def test_a_field_that_metrics_need_stays_until_its_loss_is_accepted(
    look_back: LookBack, fault: str, field: str
) -> None:
    failed = look_back.failed(fault)
    assert failed
    for outcome in failed:
        assert isinstance(outcome.error, VanishedCallsError)
        said = rf"{field} is missing or empty in \d+ of \d+ calls that landed with it( \(.*\))?\. Nothing"
        assert re.match(said, str(outcome.error))
    kept = {(outcome.day, outcome.agent.model_id) for outcome in failed}
    before, after = look_back.before["calls"], look_back.after["calls"]
    assert [row for row in after if row[:2] in kept] == [row for row in before if row[:2] in kept]
    assert look_back.lands_if_accepted(fault)


def test_landed_calls_do_not_move_to_another_day_until_that_is_accepted(look_back: LookBack) -> None:
    failed = look_back.failed("starts_a_day_early")
    assert len(failed) == len(DAYS)
    for outcome in failed:
        assert isinstance(outcome.error, VanishedCallsError)
        assert re.match(r"\d+ of 15 calls that landed before start on another day now\. Nothing", str(outcome.error))
    assert look_back.rows(look_back.after, "starts_a_day_early") == look_back.rows(
        look_back.before, "starts_a_day_early"
    )
    assert look_back.lands_if_accepted("starts_a_day_early")


def test_times_that_were_never_right_are_implausible(
    start_sandbox: Callable[..., Sandbox], settings_for: Callable[..., Settings]
) -> None:
    sandbox = start_sandbox(**{**CONFIG, "agents": 3})
    workspace = Workspace(sandbox, settings_for(sandbox))
    right, longer, early = sandbox.model_ids
    workspace.give_each_agent_its_faults({longer: ["durations_in_milliseconds"], early: ["starts_a_day_early"]})
    workspace.load()
    [check] = [check for check in CHECKS if check.name == "plausible_times"]
    with workspace.warehouse.connect(read_only=True) as connection:
        found = find_problems(connection, check, None, workspace.settings, DAYS[-1])
    problems = {
        model_id: [one.problem for one in found if one.agent == sandbox.api.store.agents[model_id].name]
        for model_id in sandbox.model_ids
    }
    assert problems[right] == []
    as_long = r"\d+ of \d+ calls last a hundred times as long as their connection"
    assert any(re.fullmatch(as_long, one) for one in problems[longer])
    assert "all 15 calls that the API listed for this day start on another day" in problems[early]


def test_judges_that_were_late_or_switched_off_do_not_fail_a_day(workspace: Workspace) -> None:
    """Values may come later. Days whose calls never had verdicts stay without them."""
    workspace.load("empty_judge_results", "empty_actions")
    assert not [one for one in workspace.load() if isinstance(one, FailedPartition)]


def test_transcripts_that_synthflow_deleted_are_reported(deleted_texts: LookBack) -> None:
    assert not failures(deleted_texts.outcomes)
    said = [message.partition(" calls no longer have ")[2] for message in deleted_texts.said]
    keeps = "; SYNTHFLOW_VANISHED_FIELDS=keep keeps what landed"
    assert [text for text in said if text] == [
        f"transcript, which changes their metrics{keeps}",
        f"caller_key, which changes their metrics{keeps}",
        *(f"{name}{keeps}" for name in ("lead_phone_number", "phone_number_from", "phone_number_to", "recording_url")),
    ]
    assert not [message for message in deleted_texts.said_last if "no longer have" in message]


def test_a_wrong_response_is_asked_for_again_and_does_no_harm(workspace: Workspace, landed: Rows) -> None:
    outcomes = workspace.load("no_calls", requests=4)
    assert [type(outcome) for outcome in outcomes] == [LoadSummary] * 4
    assert "4 (day, agent) pairs lack calls or values that landed before; asking the API again" in workspace.said
    assert workspace.rows() == landed


@pytest.mark.parametrize(("fault", "problem"), TYPE_CHANGES.items())
def test_no_type_change_changes_a_metric(look_back: LookBack, fault: str, problem: str | None) -> None:
    """The day fails, or the value means the same."""
    failed = look_back.failed(fault)
    assert bool(failed) is (problem is not None)
    for outcome in failed:
        assert f"most often, {problem}" in str(outcome.error)
    before, after = look_back.rows(look_back.before, fault), look_back.rows(look_back.after, fault)
    # Up to three records of an agent's day are rejected one by one, and the versions that landed stay.
    metrics = set(before) - {"calls", "call_rejects"}
    assert {name: after[name] for name in metrics} == {name: before[name] for name in metrics}
    assert [row[2] for row in after["calls"]] == [row[2] for row in before["calls"]]


def test_no_type_change_changes_the_load_of_the_workspace(look_back: LookBack) -> None:
    assert look_back.after["workspace_load_hourly"] == look_back.before["workspace_load_hourly"]


def test_starts_in_seconds_are_the_same_starts(deleted_texts: LookBack) -> None:
    assert not failures(deleted_texts.outcomes)
    before, after = (
        {row[2]: row[3] for row in deleted_texts.of_agent(rows["calls"], "starts_in_seconds")}  # by call_id
        for rows in (deleted_texts.before, deleted_texts.after)
    )
    assert after == {call_id: start.replace(microsecond=0) for call_id, start in before.items()}


def test_labels_of_another_type_lose_only_the_labels_and_are_reported(look_back: LookBack) -> None:
    assert not look_back.failed("labels_as_objects")
    before = look_back.rows(look_back.before, "labels_as_objects")
    after = look_back.rows(look_back.after, "labels_as_objects")
    assert {name: after[name] for name in after if name != "calls"} == {
        name: before[name] for name in before if name != "calls"
    }
    agent = [look_back.agent_of["labels_as_objects"]]
    with look_back.warehouse.connect(read_only=True) as connection:
        rows = connection.execute(
            "SELECT DISTINCT labels, json_type(extra -> '$.labels') FROM calls WHERE model_id = $1", agent
        ).fetchall()
        [[has_labels]] = connection.execute(
            "SELECT count(*) FROM call_loads WHERE fields['labels'] > 0 AND model_id = $1", agent
        ).fetchall()
    assert rows == [(None, "OBJECT")]
    assert has_labels == 0  # so `same_fields` tells of it
    calls = len(after["calls"])
    assert f"labels is an object in {calls} calls, which cannot be decoded; see the column extra" in look_back.said


# A few odd records among many, and a few calls that vanished


@pytest.fixture
def warehouse(empty_file: Path, tmp_path: Path) -> Warehouse:
    return Warehouse(shutil.copy(empty_file, tmp_path / "warehouse.duckdb"))


def test_a_rejected_record_does_not_replace_the_version_that_landed(warehouse: Warehouse) -> None:
    load(warehouse, {TODAY_A: records("odd", "gone", "good")})
    bad, good = records("odd", "new", duration="x"), records("good", duration=6)
    for _ in range(2):
        [summary] = load(warehouse, {TODAY_A: [*bad, *good]})
        assert (summary.fetched, summary.landed, summary.rejected) == (3, 2, 1)
        assert stored(warehouse, "SELECT call_id, duration_seconds FROM synthflow.calls ORDER BY 1") == [
            ("good", 6), ("odd", 5),
        ]  # fmt: skip
        rejected = stored(warehouse, "SELECT record FROM synthflow.call_rejects ORDER BY 1")
        assert [json.loads(record)["call_id"] for (record,) in rejected] == ["new", "odd"]
        assert_complete(warehouse)
    load(warehouse, {TODAY_A: records("odd", duration=7)})
    assert stored(warehouse, "SELECT call_id, duration_seconds FROM synthflow.calls") == [("odd", 7)]
    assert stored(warehouse, "FROM synthflow.call_rejects") == []


def losses(
    warehouse: Warehouse,
    contents: dict[Partition, list[bytes]],
    timezone: str = "UTC",
    *,
    states_total: bool = True,
    pii: str = "keep",
    **options: Any,
) -> Losses:
    """What landing these records would lose."""
    batch = staged(contents, pii=pii, timezone=timezone, states_total=states_total)
    with warehouse.connect() as connection:
        return find_losses(connection, batch, pii=pii, **options)


@pytest.mark.parametrize(("gone", "of", "refused"), [(3, 3, False), (4, 4, True), (4, 40, False), (5, 40, True)])
def test_more_than_three_calls_and_a_tenth_may_not_vanish(
    warehouse: Warehouse, gone: int, of: int, refused: bool
) -> None:
    ids = [f"c{number}" for number in range(of)]
    load(warehouse, {TODAY_A: records(*ids, "moved"), YESTERDAY_A: []})
    moved = records("moved", start_time=START_MS - 3_600_000)
    found = losses(warehouse, {TODAY_A: records(*ids[gone:]), YESTERDAY_A: moved})
    assert list(found.refused) == [TODAY_A] * refused
    removed = f"2026-03-10: the API no longer lists {gone} of {of + 1} calls, which are removed"
    assert found.removed == [removed] * (not refused)


def test_calls_that_had_not_ended_or_belong_to_another_day_now_may_vanish(warehouse: Warehouse) -> None:
    load(warehouse, {TODAY_A: records(*"abcdef", call_status="in-progress")})
    assert losses(warehouse, {TODAY_A: []}) == Losses()
    load(warehouse, {TODAY_A: records(*"abcdef")})
    assert losses(warehouse, {TODAY_A: []}, timezone="America/New_York") == Losses()  # they start at midnight in UTC
    assert list(losses(warehouse, {TODAY_A: []}).refused) == [TODAY_A]


def test_an_ambiguous_response_without_calls_does_not_replace_a_single_call(warehouse: Warehouse) -> None:
    load(warehouse, {TODAY_A: records("only")})
    assert losses(warehouse, {TODAY_A: []}).refused == {}
    assert list(losses(warehouse, {TODAY_A: []}, states_total=False).refused) == [TODAY_A]


def test_a_few_records_without_an_id_do_not_replace_what_landed(warehouse: Warehouse) -> None:
    counts = "SELECT total_records, fetched, landed, rejected, open_calls, settled FROM synthflow.call_loads"
    load(warehouse, {TODAY_A: [*records("odd", call_status="in-progress"), *records("good")]})
    nameless = records(" \t", call_status="in-progress", start_time=START_MS + 1)
    for _ in range(2):
        load(warehouse, {TODAY_A: [*nameless, *records("good")]})
        assert stored(warehouse, "SELECT call_id FROM synthflow.calls ORDER BY 1") == [("good",), ("odd",)]
        assert stored(warehouse, "SELECT reason FROM synthflow.call_rejects") == [("call_id is missing",)]
        assert stored(warehouse, counts) == [(2, 3, 2, 1, 1, False)]
        assert_complete(warehouse)
    load(warehouse, {TODAY_A: records("odd", "good")})
    assert stored(warehouse, counts) == [(2, 2, 2, 0, 0, True)]
    load(warehouse, {TODAY_A: [*nameless, *records("good")]}, accept_deleted=True)
    assert stored(warehouse, "SELECT call_id FROM synthflow.calls") == [("good",)]


def test_a_day_is_not_settled_while_the_kept_version_of_a_call_is_open(warehouse: Warehouse) -> None:
    settled = "SELECT open_calls, settled FROM synthflow.call_loads"
    load(warehouse, {TODAY_A: records("odd", "good", call_status="in-progress")})
    assert stored(warehouse, settled) == [(2, False)]
    load(warehouse, {TODAY_A: [*records("odd", duration="x"), *records("good")]})
    assert stored(warehouse, settled) == [(1, False)]
    load(warehouse, {TODAY_A: records("odd", "good")})
    assert stored(warehouse, settled) == [(0, True)]


def test_a_call_with_a_good_and_a_bad_record_landed(warehouse: Warehouse) -> None:
    load(warehouse, {TODAY_A: records("twice", duration=4)})
    contents = {TODAY_A: [*records("twice", duration="x"), *records("twice", duration=6), *records("other")]}
    load(warehouse, contents)
    assert stored(warehouse, "SELECT call_id, duration_seconds FROM synthflow.calls ORDER BY 1") == [
        ("other", 5), ("twice", 6),
    ]  # fmt: skip
    assert stored(warehouse, "SELECT landed, rejected FROM synthflow.call_loads") == [(2, 0)]


# Losses that are small in each partition


def test_values_that_vanish_in_small_partitions_stay_until_that_is_accepted(
    start_sandbox: Callable[..., Sandbox], settings_for: Callable[..., Settings]
) -> None:
    """2 of 2 calls of each agent and day lie below the limits of a partition."""
    sandbox = start_sandbox(agents=3, calls_per_day=2, same_volume=True)
    workspace = Workspace(sandbox, settings_for(sandbox))
    workspace.load()
    before = workspace.rows()
    outcomes = workspace.load("statuses_as_null")
    said = "call_status is missing or empty in 2 of 2 calls that landed with it (6 of 6 over all agents of the day). "
    assert [str(outcome.error)[: len(said)] for outcome in outcomes if isinstance(outcome, FailedPartition)] == [
        said
    ] * 6
    assert workspace.rows() == before
    accepted = workspace.load("statuses_as_null", accept_deleted=True)
    assert len([one for one in accepted if isinstance(one, LoadSummary)]) == 6
    assert f"{DAY}: call_status is missing or empty in 6 of 6 calls that landed with it" in workspace.said


@pytest.mark.parametrize("landed", [True, False])
def test_a_type_change_in_small_partitions_fails_them(
    start_sandbox: Callable[..., Sandbox], settings_for: Callable[..., Settings], landed: bool
) -> None:
    """Three rejected records of each agent lie below the limit. With `drop`, their content would be gone."""
    sandbox = start_sandbox(agents=2, calls_per_day=3, same_volume=True)
    workspace = Workspace(sandbox, settings_for(sandbox))
    before = {}
    if landed:
        workspace.load()
        before = workspace.rows()
    outcomes = workspace.load("durations_as_fractions")
    which = ", of which 3 landed before" if landed else ""
    said = f"3 of 3 records cannot be decoded{which} (6 of 6 over all agents of the day); most often, duration is a"
    failed = [outcome for outcome in outcomes if isinstance(outcome, FailedPartition)]
    assert len(failed) == 4
    assert all(str(outcome.error).startswith(said) for outcome in failed)
    after = workspace.rows()
    if landed:
        assert after == before
    assert bool(after["calls"]) is landed
    assert after["call_rejects"] == []


def test_a_few_odd_records_of_each_agent_fail_nothing(warehouse: Warehouse) -> None:
    pairs = partitions(agents=4)
    contents = {pair: [*of(pair, 3, duration="x")[:2], *of(pair, 20)[2:]] for pair in pairs}
    assert losses(warehouse, contents) == Losses()
    load(warehouse, {pair: of(pair, 20) for pair in pairs})
    assert losses(warehouse, contents) == Losses()  # 8 of 80 records that landed


def partitions(*, agents: int = 1, days: int = 1) -> list[Partition]:
    return [Partition(DAY + dt.timedelta(days=day), f"m{agent}") for agent in range(agents) for day in range(days)]


def of(partition: Partition, count: int, **fields: Any) -> list[bytes]:
    """Records of a partition."""
    start_ms = START_MS + (partition.day - DAY).days * 86_400_000
    ids = [f"{partition.model_id}-{partition.day}-{number}" for number in range(count)]
    return records(*ids, **{"start_time": start_ms, **fields})


@pytest.mark.parametrize(
    ("agents", "days", "over", "what"),
    [
        (2, 1, "all agents of the day", "calls"),
        (1, 2, "all days of the agent", "values"),
        (2, 2, None, "calls"),
        (2, 2, None, "values"),
    ],
)
def test_batches_of_a_run_are_judged_together(
    warehouse: Warehouse, agents: int, days: int, over: str | None, what: str
) -> None:
    """Each lands by itself. The sum is known when all of them have been fetched once."""
    pairs = partitions(agents=agents, days=days)
    if over is None:
        pairs = [pairs[0], pairs[3]]  # of different days and agents
    load(warehouse, {pair: of(pair, 3) for pair in pairs})
    run = RunLosses()
    lost = {pair: [] if what == "calls" else of(pair, 3, duration=None) for pair in pairs}
    for pair in pairs:
        found = losses(warehouse, {pair: lost[pair]}, run=run, confirmed=False)
        assert (list(found.refused), found.removed) == ([pair], [])
    found = losses(warehouse, lost, run=run)
    assert (list(found.refused), found.removed) == (pairs, [])
    assert f"(6 of 6 over {over or 'the whole run'})" in str(found.refused[pairs[0]])
    # If the API sends the others as before, these few may vanish. What they lost at first does not count.
    first, *others = pairs
    found = losses(warehouse, {first: lost[first]} | {pair: of(pair, 3) for pair in others}, run=run)
    assert found.refused == {}


def test_a_partition_that_does_not_land_is_no_reason_to_refuse_others(warehouse: Warehouse) -> None:
    bad, *harmless = pairs = partitions(agents=3)
    load(warehouse, {pair: of(pair, 6) for pair in pairs})
    found = losses(warehouse, {bad: []} | {pair: of(pair, 5) for pair in harmless})
    assert list(found.refused) == [bad]
    assert found.removed == ["2026-03-10: the API no longer lists 2 of 12 calls, which are removed"]


def test_an_odd_call_of_each_day_fails_nothing(warehouse: Warehouse) -> None:
    """Each day alone would land, so the range lands too."""
    assert losses(warehouse, {pair: of(pair, 1, duration=-1) for pair in partitions(days=10)}) == Losses()


def test_calls_of_an_unknown_status_without_an_end_may_vanish(warehouse: Warehouse) -> None:
    [pair] = partitions()
    load(warehouse, {pair: of(pair, 5, call_status="dialing", end_call_reason=None)})
    assert losses(warehouse, {pair: []}) == Losses()


def test_a_few_values_that_vanish_are_reported(warehouse: Warehouse) -> None:
    [pair] = partitions()
    load(warehouse, {pair: of(pair, 40)})
    found = losses(warehouse, {pair: [*of(pair, 3, duration=None), *of(pair, 40)[3:]]})
    assert found == Losses(
        removed=["2026-03-10: duration is missing or changed tenfold in 3 of 40 calls that landed with it"]
    )
    # Not those of a partition that does not land, for example because a value vanished everywhere.
    found = losses(warehouse, {pair: of(pair, 40, duration=None)[3:]})
    assert (list(found.refused), found.removed) == ([pair], [])


PHONES = {"type_of_call": "inbound", "phone_number_from": "+14155550123", "agent_phone_number": "+14155550124"}


@pytest.mark.parametrize(("pii", "gone"), [("keep", True), ("hash", True), ("drop", False)])
def test_numbers_that_vanish_are_reported(warehouse: Warehouse, pii: str, gone: bool) -> None:
    """Under `drop`, the setting removes them. With `keep`, landing keeps them."""
    [pair] = partitions()
    load(warehouse, {pair: of(pair, 5, **PHONES)})
    without = {pair: of(pair, 5, type_of_call="inbound")}
    names = ("caller_key, which changes their metrics", "phone_number_from", "agent_phone_number")
    said = [f"5 calls no longer have {name}; SYNTHFLOW_VANISHED_FIELDS=keep keeps what landed" for name in names]
    assert losses(warehouse, without, pii=pii) == Losses(removed=said if gone else [])
    assert losses(warehouse, without, pii=pii, vanished_fields="keep") == Losses()


EXTRACTOR = {"find": {"action_type": "extract_info_action_type", "return_value": {"extract_info_city": "Rome"}}}
TRANSFER = {"call": {"action_type": "transfer_call_action_type", "return_value": {"status": "transfer-success"}}}
JUDGED = {"goal": "true", "judge_found_full_error": "false", "judge_found_partial_or_error": "false"}
CITY = {"city": {"value": "Rome", "collected": True}}
EMPTY, TENFOLD = "is missing or empty", "is missing or changed tenfold"
SHIFTED = "differs by more than a minute"


CHANGES: list[tuple[str, Any, Any, str]] = [
    ("duration", 25, 0, f"duration {TENFOLD}"),
    ("duration", 25, 25_000, f"duration {TENFOLD}"),
    ("start_time", START_MS, START_MS + 7_200_000, f"start_time {SHIFTED}"),
    ("telephony_duration", 25_000, 25, f"telephony_duration {TENFOLD}"),
    ("call_status", "completed", "in-progress", "call_outcome became open"),
    ("executed_actions", EXTRACTOR | TRANSFER, None, f"executed_actions {EMPTY}"),
    (
        "executed_actions",
        TRANSFER,
        {"call": {"action_type": "transfer_call_action_type", "return_value": "done"}},
        f"the status of transfers in executed_actions {EMPTY}",
    ),
    (
        "executed_actions",
        EXTRACTOR,
        {"find": {"action_type": "extract_info_action_type"}},
        f"what extractors found in executed_actions {EMPTY}",
    ),
    ("collected_variables", CITY, None, f"collected_variables {EMPTY}"),
    ("collected_variables", CITY, {"city": {"answer": "Rome"}}, f"collected_variables {EMPTY}"),
    ("judge_results", JUDGED, {}, f"judge_results {EMPTY}"),
    ("judge_results", {"goal": "true"}, {"goal": {"verdict": "true"}}, f"judge_results {EMPTY}"),
    (
        "judge_results",
        JUDGED,
        {"goal": "true", "judge_found_full_error": "false"},
        f"judge_found_partial_or_error in judge_results {EMPTY}",
    ),
    ("transcript", "bot: Hi\nhuman: Hi", "agent: Hi\nuser: Hi", "human: in transcript is missing"),
]


def test_what_is_gone_or_means_something_else_is_named_and_nothing_more(warehouse: Warehouse) -> None:
    """Each agent loses something else. What a refused partition loses does not count in the sums over agents."""
    pairs = partitions(agents=len(CHANGES))
    before = {pair: of(pair, 5, **{field: value}) for pair, (field, value, _, _) in zip(pairs, CHANGES, strict=True)}
    now = {pair: of(pair, 5, **{field: value}) for pair, (field, _, value, _) in zip(pairs, CHANGES, strict=True)}
    load(warehouse, before)
    found = losses(warehouse, now)
    assert [str(found.refused[pair]).partition(". Nothing")[0] for pair in pairs] == [
        f"{said} in 5 of 5 calls that landed with it" for *_, said in CHANGES
    ]
    assert found.removed == []
    assert losses(warehouse, before) == Losses()


# Strays, when only the day that lists them is fetched again


def test_a_stored_stray_is_updated_and_not_rejected_as_well(warehouse: Warehouse) -> None:
    contents = {TODAY_A: [*records("today"), *strays("stray", call_status="in-progress")]}
    load(warehouse, contents, run_days=BOTH)
    load(warehouse, {TODAY_A: [*records("today"), *strays("stray", duration=9)]}, run_days=[DAY])
    assert stored(warehouse, "SELECT call_id, day, listed_day, duration_seconds FROM synthflow.calls ORDER BY 1") == [
        ("stray", BOTH[0], DAY, 9), ("today", DAY, None, 5),
    ]  # fmt: skip
    assert stored(warehouse, "FROM synthflow.call_rejects") == []
    assert stored(warehouse, "SELECT settled FROM synthflow.call_loads") == [(True,)]


def test_a_call_of_another_day_that_has_landed_there_is_not_rejected(warehouse: Warehouse) -> None:
    load(warehouse, {YESTERDAY_A: strays("own")}, run_days=[BOTH[0]])
    [summary] = load(warehouse, {TODAY_A: [*records("today"), *strays("own", "unknown")]}, run_days=[DAY])
    assert (summary.fetched, summary.landed, summary.outside_window, summary.rejected) == (3, 1, 1, 1)
    [(record,)] = stored(warehouse, "SELECT record FROM synthflow.call_rejects")
    assert json.loads(record)["call_id"] == "unknown"
    assert_complete(warehouse)
