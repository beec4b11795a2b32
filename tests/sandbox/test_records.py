"""Every record has a documented or observed shape, with the observed frequency."""

import json
from collections import Counter
from typing import Any

import pytest
from pydantic import ValidationError

from synthflow_assets.sandbox.config import FAULTS, SandboxConfig
from synthflow_assets.sandbox.record_faults import RECORD_FAULTS, changed
from synthflow_assets.sandbox.store import CallStore, Window
from tests.sandbox.shapes import Call

START_MS, DAY_MS = 1_773_100_800_000, 86_400_000
LATER = 10**14
CONNECTED = ("completed", "hangup_on_voicemail", "left_voicemail")
Record = dict[str, Any]


def texts(agent: int = 0, day: int = 0, now_ms: int = LATER, **config: Any) -> list[str]:
    """The records of an agent on a day."""
    store = CallStore(SandboxConfig(**{"agents": 6, "calls_per_day": 300, "same_volume": True, **config}))
    start = START_MS + day * DAY_MS
    selection = store.select(list(store.agents)[agent], Window(start, start + DAY_MS))
    return selection.page(0, len(selection), now_ms)


def records(**config: Any) -> list[Record]:
    return [json.loads(text) for text in texts(**config)]


def actions(calls: list[Record]) -> list[Record]:
    return [action for call in calls for action in call["executed_actions"].values()]


@pytest.mark.parametrize("agent", range(6))
@pytest.mark.parametrize("small", [False, True])
def test_every_record_has_a_documented_shape(agent: int, small: bool) -> None:
    # A small record differs in its conversation only.
    for seed, day in ((7, 0),) if small else ((7, 0), (8, 1), (9, -400)):
        found = texts(agent=agent, day=day, seed=seed, small_records=small)
        assert len(found) == 300
        for text in found:
            Call.model_validate(json.loads(text))


def test_open_calls_have_a_documented_shape() -> None:
    found = records(calls_per_day=4_000, now_ms=START_MS + DAY_MS // 2)  # later calls are listed too, as ringing
    open_calls = [call for call in found if call["call_status"] in ("ringing", "in-progress")]
    assert {call["call_status"] for call in open_calls} == {"ringing", "in-progress"}
    for call in open_calls[-200:]:
        Call.model_validate(call)
        assert (call["telephony_end"], call["transcript"], call["judge_results"]) == (None, None, None)


def test_calls_that_arrive_between_two_pages_have_a_documented_shape() -> None:
    store = CallStore(SandboxConfig(agents=2))
    window = Window(START_MS, START_MS + DAY_MS)
    arrived = {}
    for model_id in store.agents:
        before = store.ids_between(model_id, START_MS, START_MS + DAY_MS)
        for _ in range(2):
            store.add_arrival(model_id, window)
        assert store.ids_between(model_id, START_MS, START_MS + DAY_MS) > before
        for text in store.select(model_id, window).page(0, 2, LATER):
            arrived[json.loads(text)["call_id"]] = Call.model_validate(json.loads(text))
    assert len(arrived) == 4


def test_the_shapes_are_strict() -> None:
    """Shows that the test above can fail."""
    good = next(call for call in records() if call["executed_actions"] and call["judge_results"])
    name = next(iter(good["executed_actions"]))
    wrong: list[Record] = [
        {**good, "duration": int(good["duration"])},
        {**good, "mood": "calm"},
        {key: value for key, value in good.items() if key != "labels"},
        {**good, "executed_actions": list(good["executed_actions"].values())},
        {**good, "executed_actions": {name: {**good["executed_actions"][name], "parameters_from_speech": "{}"}}},
        {**good, "executed_actions": {name: {**good["executed_actions"][name], "action_type": "REAL_TIME_TRANSFER"}}},
        {**good, "executed_actions": {name: {**good["executed_actions"][name], "return_value": {}}}},
        {**good, "judge_results": {**good["judge_results"], "goal_reason": "because"}},
        {**good, "judge_results": {**good["judge_results"], "goal": "7"}},
        {**good, "lead_phone_number": "+14155551234"},
        {**good, "error_message": "SIP 503 from the carrier"},
        {**good, "transcript": "agent: Hello"},
    ]
    Call.model_validate(good)
    for call in wrong:
        with pytest.raises(ValidationError):
            Call.model_validate(call)


# Each record with such a fault is one that Synthflow may send.
USUAL = {"endless_calls", "empty_judge_results", "empty_actions", "actions_without_content", "starts_a_day_early"}


@pytest.mark.parametrize("fault", sorted(set(RECORD_FAULTS) - USUAL))
def test_other_shapes_are_faults_by_name(fault: str) -> None:
    assert fault in FAULTS
    changes = 0
    for text in texts(agent=2, calls_per_day=60):
        other = json.loads(changed(text, RECORD_FAULTS[fault]))
        if other != json.loads(text):
            changes += 1
            with pytest.raises(ValidationError):
                Call.model_validate(other)
    assert changes > 20


def test_the_default_workspace_has_the_frequencies_that_were_seen() -> None:
    """Of 159 actions of an account 105 were extractors and 40 transfers; of 100 outbound calls 84 met a voicemail."""
    by_agent = [records(agent=agent, calls_per_day=2000, agents=3, same_volume=False) for agent in range(3)]
    kinds = Counter(action["action_type"] for calls in by_agent for action in actions(calls))
    assert 0.62 < kinds["extract_info_action_type"] / kinds.total() < 0.75
    assert 0.2 < kinds["transfer_call_action_type"] / kinds.total() < 0.3
    assert len(kinds) == 5
    statuses = [Counter(call["call_status"] for call in calls) for calls in by_agent]
    receptionist, sales, support = statuses
    assert receptionist["completed"] / receptionist.total() > 0.9
    assert support["completed"] / support.total() > 0.9
    assert 0.55 < (sales["hangup_on_voicemail"] + sales["left_voicemail"]) / sales.total() < 0.75
    assert [{call["type_of_call"] for call in calls} for calls in by_agent] == [{"inbound"}, {"outbound"}, {"inbound"}]


def test_each_agent_has_its_own_character() -> None:
    success, reasons = [], []
    for agent in (0, 2):
        transfers = [
            json.loads(action["return_value"])
            for action in actions(records(agent=agent, calls_per_day=3000))
            if action["action_type"] == "transfer_call_action_type"
        ]
        success.append(sum(one["status"] == "transfer-success" for one in transfers) / len(transfers))
        reasons.append({one.get("failed_reason") for one in transfers})
        assert {bool(one.get("human_connected_at")) for one in transfers} == {True, False}
    assert success[0] > 0.75
    assert success[1] < 0.7
    assert len(reasons[0] | reasons[1]) >= 4


def test_the_judge_tells_persons_from_voicemails() -> None:
    for call in records(agent=1, calls_per_day=2000):
        if call["judge_results"] is not None:
            by_person = "voicemail" not in call["end_call_reason"]
            assert call["judge_results"]["answered_by_human"] == ("true" if by_person else "false")
            assert by_person or call["judge_results"]["goal"] == "not_applicable"
            assert by_person or call["executed_actions"] == {}


def test_fields_that_live_calls_lack_are_missing() -> None:
    found = [call for agent in range(3) for call in records(agent=agent, calls_per_day=2000)]
    answered = [call for call in found if call["call_status"] in CONNECTED]
    failed = {call["error_message"] for call in found if call["call_status"] == "failed"}
    assert None in failed
    assert len(failed) >= 5
    assert {call["judge_results"] is None for call in answered} == {True, False}
    assert {call["recording_duration"] is None for call in answered} == {True, False}
    assert {call["telephony_disconnect_reason"] is None for call in answered} == {True, False}
    assert {"", "\nhuman: This is."} <= {call["transcript"] for call in answered}
    assert {call["call_status"] for call in found if "voicemail" in call["end_call_reason"]} == set(CONNECTED)
    verdicts = {value for call in answered for value in (call["judge_results"] or {}).values()}
    assert {"true", "True", "false", "partial", "not_applicable", "", None} <= verdicts
    returned = [
        list(json.loads(action["return_value"]).values())
        for action in actions(answered)
        if action["action_type"] == "extract_info_action_type"
    ]
    assert [] in returned
    assert {type(value) for values in returned for value in values} == {str, bool, int, dict, type(None)}
    assert {key.split("_")[0] for call in answered for key in call["executed_actions"]} >= {"extract", "info"}
    assert any(" " in key for call in answered for key in call["executed_actions"])


def test_actions_before_a_call_have_the_time_of_their_configuration() -> None:
    found = [
        (int(call["start_time"]) / 1000 - float(action["timestamp"]), action["action_type"])
        for call in records(agent=2, calls_per_day=1000)
        for action in call["executed_actions"].values()
    ]
    for before, kind in found:
        assert (before > DAY_MS / 1000) == (kind == "custom_function_action_type")


def test_records_have_the_sizes_that_were_seen() -> None:
    of_support = texts(agent=2, calls_per_day=5000)
    sizes = sorted(map(len, [*texts(agent=0, calls_per_day=5000), *of_support]))
    assert 4_000 < sum(sizes) / len(sizes) < 8_000
    persons = [len(text) for text in of_support if '"call_status":"completed"' in text]
    assert sum(2_000 < size < 20_000 for size in persons) / len(persons) > 0.9
    assert 100_000 < sizes[-1] < 130_000
    assert 5 < sum(size > 100_000 for size in sizes) < 60
    small = [len(text) for text in texts(calls_per_day=1000, small_records=True)]
    assert 1_500 < sum(small) / len(small) < 2_600


def test_calls_are_the_same_for_the_same_seed_agent_and_day() -> None:
    assert texts() == texts()
    assert len({tuple(texts(**other)) for other in ({}, {"seed": 8}, {"agent": 1}, {"day": 1})}) == 4
