"""Random calls whose JSON has the shapes that the live API sends."""

import json
from typing import Any

from hypothesis import strategies as st

MISSING = st.sampled_from(["", " ", None])

# Verdicts come as texts; a check has an explanation beside it; custom evaluations are numbers or words.
_VERDICT = MISSING | st.sampled_from(
    ["true", "True", " TRUE ", "false", "partial", "not_applicable", True, False, 7, "8.5", "well, mostly it was"]
)
JUDGE_RESULTS = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "goal": _VERDICT,
        "goal_feedback": st.sampled_from(["", "The agent never asked.", "true"]),
        "user_sentiment": _VERDICT,
        "style_reason": _VERDICT,  # explains nothing: there is no check `style`
        "call_summary_feedback": st.just("They talked about the weather."),
        "call_summary": MISSING,
        "all_feedback": st.just("Nothing to add."),
        "judge_found_full_error": MISSING | st.sampled_from(["true", "false", "True"]),
        "judge_found_partial_or_error": MISSING | st.sampled_from(["true", "false"]),
    },
)


def _as_sent(returned: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[Any]:
    """A return value comes as a text of JSON, or as an object."""
    return st.tuples(returned, st.booleans()).map(lambda pair: json.dumps(pair[0]) if pair[1] else pair[0])


def _action(kind: st.SearchStrategy[Any], returned: st.SearchStrategy[Any], **more: Any) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(
        {
            "name": st.just("an action"),
            "action_type": kind,
            "return_value": returned,
            "return_value_status": st.sampled_from(["", "", "", None, "failed"]),
            "error_message": st.sampled_from(["", "", "", "no route"]),
            "parameters_from_llm": st.just("{}"),
            "parameters_hard_coded": st.just('{"identifier": "a b"}'),
            "identifier": st.just("a b"),  # for the reference alone
            "timestamp": st.sampled_from(["1773100800.25", "1773100860.5"]),
            **more,
        }
    )


_EXTRACTED = st.sampled_from([None, "", "1980-01-01", 42, True, {"street": {"number": 1}}])
_EXTRACTOR = _action(
    st.just("extract_info_action_type"),
    _as_sent(
        st.just({})
        | st.dictionaries(
            st.sampled_from(["a b", "extract_info_a b", "info_extractor_a b"]), _EXTRACTED, min_size=1, max_size=1
        )
    ),
)
_TRANSFER = _action(
    st.just("transfer_call_action_type"),
    _as_sent(
        st.fixed_dictionaries(
            {},
            optional={
                "status": st.sampled_from(["transfer-success", "transfer-failed-timeout", "transfer-failed-voicemail"]),
                "failed_reason": st.sampled_from(["number_not_found", "rejected_by_destination"]),
                "human_connected_at": st.sampled_from([1773100861.75, 1773100920.0]),
            },
        )
    ),
)
_OTHER = _action(
    MISSING | st.sampled_from(["send_sms_action_type", " custom_function_action_type"]),
    st.sampled_from(["", "sent", None, "{}"])
    | _as_sent(
        st.fixed_dictionaries(
            {},
            optional={
                "status": st.sampled_from(["ok", "error", "Failed"]),
                "success": st.booleans(),
                "error": st.sampled_from(["", False, "boom", None]),
                "status_code": st.sampled_from([200, 404]),
            },
        )
    ),
)
_ANY_ACTION = _EXTRACTOR | _TRANSFER | _OTHER
EXECUTED_ACTIONS = (
    st.none()
    | st.dictionaries(st.sampled_from(["Get name", "transfer 1", "sms"]), _ANY_ACTION, max_size=3)
    | st.lists(_ANY_ACTION, max_size=2)
)

_GIVEN = st.fixed_dictionaries({"value": st.none() | st.integers() | st.text(max_size=3), "collected": st.booleans()})
# A variable called `value` that is null cannot be told from a variable called like the agent.
_VARIABLES = st.fixed_dictionaries(
    {}, optional={"born": st.none() | _GIVEN, **dict.fromkeys(("value", "collected"), _GIVEN)}
)
COLLECTED_VARIABLES = (
    st.none()
    | st.dictionaries(st.sampled_from(["agent-1", "agent-2"]), st.none() | _VARIABLES)
    | st.dictionaries(st.just("born"), _GIVEN)
)
CALL_FIELDS = {
    "call_status": MISSING
    | st.sampled_from(
        [
            *("completed", "completed", " completed", "hangup_on_voicemail", "hangup-on-voicemail", "left_voicemail"),
            *("no-answer", "no_answer", "busy ", "busy", "failed", "user-canceled", "in-progress", "spam", "odd"),
        ]
    ),
    "type_of_call": MISSING | st.sampled_from(["inbound", " outbound", "outbound"]),
    "end_call_reason": MISSING | st.sampled_from(["voicemail", "voicemail_cut_off", "human_hangup", "solar_flare"]),
    "telephony_disconnect_reason": MISSING | st.sampled_from(["error", " error", "caller_hangup"]),
    "telephony_hangup": MISSING | st.sampled_from(["caller", "callee"]),
    "assistant_version": MISSING | st.sampled_from(["3", "4"]),
    "campaign_type": MISSING | st.sampled_from(["live"]),
    "deployment_type": MISSING | st.sampled_from(["phone", " phone"]),
    "agent_phone_number": MISSING | st.sampled_from(["+14155550199"]),
    "error_message": MISSING
    | st.sampled_from(["Telephony - 404 - Not Found", "Telephony - 400 - Invalid phone number"]),
    "transcript": st.sampled_from([None, "", "\nbot: Hello?", "bot: Hello?\nhuman: Hi."]),
    "duration_seconds": st.none() | st.integers(0, 4000),
    "telephony_duration_ms": st.none() | st.integers(0, 4_000_000),
    "telephony_ringing_duration_ms": st.none() | st.integers(0, 60_000),
    "judge_results": JUDGE_RESULTS,
    "collected_variables": COLLECTED_VARIABLES,
    "executed_actions": EXECUTED_ACTIONS,
}
CALL = st.fixed_dictionaries({"model_id": st.sampled_from("ab"), **CALL_FIELDS})
