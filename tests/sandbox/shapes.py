"""The documented and observed shapes of a listed call. Any other shape is an error."""

import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, model_validator

CHECKS = [
    "persona",
    "style",
    "steps",
    "no_repetition",
    "objections",
    "objection_not_defined",
    "knowledge",
    "goal",
    "appointment",
    "user_sentiment",
    "agent_sentiment",
    "call_completion",
    "answered_by_human",
    "opted_in",
    "no_opt_out",
    "call_summary",
]
END_REASONS = [
    "human_pick_up_cut_off",
    "human_hangup",
    "human_ended_call",
    "human_goodbye",
    "user_disconnected",
    "user_canceled",
    "agent_ended_call",
    "agent_goodbye",
    "goodbye_detected",
    "custom_end_call",
    "voicemail",
    "voicemail_cut_off",
    "voicemail_message_left",
    "timeout",
    "max_duration",
    "idle_time_exceeded",
    "error",
    "undefined",
]
FAILED_REASONS = [
    "number_not_found",
    "number_incomplete",
    "destination_unavailable",
    "rejected_by_destination",
    "transfer_blocked_by_carrier",
    "carrier_unavailable",
    "routing_loop",
    "media_negotiation_failed",
    "transfer_method_unsupported",
    "transfer_outside_availability",
]


def text(pattern: str) -> Any:
    return Annotated[str, StringConstraints(pattern=f"^(?:{pattern})$")]


def _is_json_object(value: str) -> str:
    assert isinstance(json.loads(value), dict)
    return value


WholeNumberText = text(r"\d+")
DateTime = text(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
FictionalNumber = text(r"\+1[2-9]\d{2}55501\d{2}")
JsonObjectText = Annotated[str, AfterValidator(_is_json_object)]
Uuid = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"


class Strict(BaseModel):
    """No unknown field, no missing field, no conversion."""

    model_config = ConfigDict(strict=True, extra="forbid")


class Action(Strict):
    name: text(r"\S.*")
    action_type: Literal[
        "extract_info_action_type",
        "transfer_call_action_type",
        "send_sms_action_type",
        "calcom_booking_action_type",
        "custom_function_action_type",
    ]
    description: str
    parameters_hard_coded: JsonObjectText
    parameters_from_llm: JsonObjectText
    error_message: str
    return_value: JsonObjectText
    return_value_status: Literal[""]
    is_relevant_action: Literal["true"]
    timestamp_datetime: text(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}")
    timestamp: text(r"\d{10}\.\d+")

    @model_validator(mode="after")
    def of_its_type(self) -> "Action":
        returned = json.loads(self.return_value)
        if self.action_type == "extract_info_action_type":
            identifier = json.loads(self.parameters_hard_coded)["identifier"]
            assert self.name in (f"extract_info_{identifier}", f"info_extractor_{identifier}")
            assert set(returned) <= {identifier}
        if self.action_type == "transfer_call_action_type":
            Transfer.model_validate(returned)
        return self


class Transfer(Strict):
    status: Literal["transfer-success", "transfer-failed-connection-error", "transfer-failed-timeout"]
    failed_reason: str | None = None
    human_connected_at: str | None = None

    @model_validator(mode="after")
    def agrees(self) -> "Transfer":
        assert self.failed_reason is None or self.failed_reason in FAILED_REASONS
        assert (self.failed_reason is not None) == (self.status == "transfer-failed-connection-error")
        assert self.human_connected_at is None or self.status == "transfer-success"
        return self


class Variable(Strict):
    value: str | int | float | bool | None
    collected: bool

    @model_validator(mode="after")
    def agrees(self) -> "Variable":
        assert self.collected == (self.value is not None)
        return self


class Call(Strict):
    call_id: text(rf"{Uuid}|\d{{13}}x\d{{18}}")
    model_id: text(Uuid)
    duration: WholeNumberText
    end_call_reason: Literal[*END_REASONS]
    judge_results: dict[str, str | None] | None
    lead_phone_number: FictionalNumber
    agents_used: list[text(Uuid)]
    executed_actions: dict[str, Action]
    recording_url: text(r"https://\S+") | None
    type_of_call: Literal["inbound", "outbound"]
    recording_duration: WholeNumberText | None
    transcript: str | None
    error_message: text(r"Telephony - \d{3} - [A-Z][a-zA-Z ]+(\+\d{11})?") | None
    call_status: Literal[
        "ringing",
        "in-progress",
        "completed",
        "no-answer",
        "busy",
        "failed",
        "canceled",
        "user-canceled",
        "hangup_on_voicemail",
        "left_voicemail",
        "spam",
    ]
    start_time: text(r"\d{13}")
    lead_name: str | None
    name: str | None
    labels: list[str]
    agent_phone_number: FictionalNumber
    deployment_type: str | None
    timezone: str | None
    telephony_hangup: Literal["caller", "callee"] | None
    telephony_disconnect_reason: Literal["unknown", "callee_hangup", "caller_hangup", "error", "forbidden"] | None
    telephony_duration: int | None
    telephony_start: DateTime | None
    telephony_end: DateTime | None
    campaign_type: Literal["live"]
    phone_number_from: FictionalNumber
    phone_number_to: FictionalNumber
    collected_variables: dict[str, Variable | dict[str, Variable]] | None
    assistant_version: WholeNumberText
    telephony_ringing_duration: int
    telephony_sip_headers: dict[str, str] | None

    @model_validator(mode="after")
    def agrees(self) -> "Call":
        assert all(name == action.name for name, action in self.executed_actions.items())
        assert all(
            isinstance(entry, Variable) or key == self.model_id
            for key, entry in (self.collected_variables or {}).items()
        )
        for line in (self.transcript or "").split("\n"):
            assert not line or line.startswith(("bot: ", "assistant: ", "human: "))
        if self.judge_results is not None:
            _validate_judgement(self.judge_results)
        return self


def _validate_judgement(results: dict[str, str | None]) -> None:
    """Each check has a verdict and its explanation, which is empty unless the check failed; then the aggregates."""
    aggregates = {"all_feedback", "judge_found_full_error", "judge_found_partial_or_error"}
    assert set(results) == {*CHECKS, *(f"{check}_feedback" for check in CHECKS), *aggregates}
    for check in CHECKS:
        assert results[check] in ("true", "True", "false", "partial", "not_applicable", "", None)
        if check != "call_summary":
            assert bool(results[f"{check}_feedback"]) == (results[check] in ("false", "partial"))
    assert results["call_summary_feedback"]
    assert results["all_feedback"] == " ".join(
        feedback for check in CHECKS[:-1] if (feedback := results[f"{check}_feedback"])
    )
    verdicts = {results[check] for check in CHECKS}
    assert results["judge_found_full_error"] == str("false" in verdicts).lower()
    assert results["judge_found_partial_or_error"] == str(bool({"false", "partial"} & verdicts)).lower()
