"""Make up what was said and done in a call, as JSON, in the shapes that people's payloads show.

Texts may contain the marks of `calls.render`, such as `@end_second@`, which stand for values of the call.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from synthflow_assets.sandbox.characters import Character, Extractor

VARIANTS = 64  # of the conversation of each kind of agent
LARGE = VARIANTS  # one more variant, which has 100 kB of parameters

# Checks of the judge, with the usual share that passes and what the judge writes if one does not.
_CHECKS = {
    "persona": (0.95, "The agent left the role that its prompt describes, and spoke of itself as a program."),
    "style": (0.92, "Answers were longer than the prompt allows; two of them had more than three sentences."),
    "steps": (0.87, "The agent skipped the step in which it repeats what was agreed."),
    "no_repetition": (0.9, "The same question was asked twice, although the answer had been given."),
    "objections": (0.7, "The concern about the price was passed over."),
    "objection_not_defined": (0.8, "The person objected to something that the prompt does not cover."),
    "knowledge": (0.88, "The answer about delivery times is not in the knowledge base."),
    "goal": (0.7, "The goal of the call was not reached before it ended."),
    "appointment": (0.5, "No appointment was agreed, although the person named a day."),
    "user_sentiment": (0.65, "The person sounded impatient from the middle of the call on."),
    "agent_sentiment": (0.94, "The agent sounded hurried at the end."),
    "call_completion": (0.89, "The call ended before the agent could close it."),
    "answered_by_human": (1.0, "A recorded greeting answered the call."),
    "opted_in": (0.8, "The person did not agree to further messages."),
    "no_opt_out": (0.96, "The person asked not to be called again."),
}
_NULL_VERDICTS, _EMPTY_VERDICTS = 0.02, 0.02
_SUMMARY = "call_summary"
_FULL_ERROR, _ANY_ERROR = "judge_found_full_error", "judge_found_partial_or_error"
_UNJUDGED = 8  # one of so many calls with a person has no verdicts
_FULL = 4  # one of so many small conversations has verdicts and actions
_BROKEN = 16  # one of so many has a transcript that breaks off
_BY_ASSISTANT = 5  # one of so many transcripts calls the agent `assistant`
_HISTORIC_NAMES = 3  # one of so many extractors has the name that earlier versions gave
_WITHOUT_AGENT = 10  # one of so many calls has collected variables as the changelog shows them, not by agent
_LARGE_PARAMETER_SLOTS = 1600
_VOICEMAIL_GREETINGS = (
    "You have reached a mailbox. Please leave a message after the tone.",
    "The person you are calling is not available. Record your message now.",
)
_VOICEMAIL_MESSAGE = "Hello, this is a message for you. Please call us back when you have a moment. Thank you."


@dataclass(frozen=True)
class Conversation:
    """The parts of a call that depend on the conversation, as JSON."""

    transcript: str
    judge_results: str
    executed_actions: str
    collected_variables: str


SILENCE = Conversation("null", "null", "{}", "null")


@cache  # some hundred, of 1 to 20 kB
def with_person(character: Character, variant: int, *, small: bool = False) -> Conversation:
    """Return a conversation with a person; a small one is short, and three of four have no verdicts and no actions."""
    if small and variant % _FULL:
        return replace(SILENCE, transcript=json.dumps(_transcript(character, variant, small=True)))
    chance = random.Random(f"{character.name}/person/{variant}")
    return Conversation(
        transcript=json.dumps(_transcript(character, variant, small=small), ensure_ascii=False),
        judge_results=json.dumps(_judgement(character, chance, by_person=True)) if variant % _UNJUDGED else "null",
        executed_actions=json.dumps({} if _breaks_off(variant) else _actions(character, variant, chance)),
        collected_variables=json.dumps(_collected(character, variant, chance)),
    )


@cache
def with_voicemail(character: Character, variant: int, *, leaves_message: bool) -> Conversation:
    """Return what a voicemail and the agent said."""
    chance = random.Random(f"{character.name}/voicemail/{variant}/{leaves_message}")
    lines = [f"human: {chance.choice(_VOICEMAIL_GREETINGS)}"]
    if leaves_message:
        lines.append(f"bot: {_VOICEMAIL_MESSAGE}")
    judged = leaves_message or variant % 2
    return Conversation(
        transcript=json.dumps("\n" + "\n".join(lines)),
        judge_results=json.dumps(_judgement(character, chance, by_person=False)) if judged else "null",
        executed_actions="{}",
        collected_variables="null",
    )


def _breaks_off(variant: int) -> bool:
    return variant % _BROKEN == 3


def _transcript(character: Character, variant: int, *, small: bool) -> str:
    """Return a transcript; some start with a line break, and some break off before anything was said."""
    if _breaks_off(variant):
        return "\nhuman: This is." if variant % (2 * _BROKEN) == 3 else ""
    agent = "assistant" if variant % _BY_ASSISTANT == 1 else "bot"
    lines = [f"{agent}: {character.openers[variant % len(character.openers)]}"]
    for turn in range(1 if small else 3 + variant * 7 % 23):
        lines.append(f"human: {character.human[(variant + turn) % len(character.human)]}")
        lines.append(f"{agent}: {character.agent[(variant * 3 + turn) % len(character.agent)]}")
    return ("\n" if variant % 2 else "") + "\n".join(lines)


def _judgement(character: Character, chance: random.Random, *, by_person: bool) -> dict[str, str | None]:
    """Return verdicts, each with the text that explains it, and the aggregates."""
    results: dict[str, str | None] = {}
    explanations = []
    for check, (usual, explanation) in _CHECKS.items():
        passes = character.passes.get(check, usual)
        if check == "answered_by_human":
            verdict: str | None = "true" if by_person else "false"
        elif check in character.not_applicable or not by_person:
            verdict = "not_applicable"
        else:
            verdict = _verdict(chance, passes)
        failed = verdict in ("false", "partial")
        results[check] = verdict
        results[f"{check}_feedback"] = explanation if failed else ""
        if failed:
            explanations.append(explanation)
    results[_SUMMARY] = "true"
    results[f"{_SUMMARY}_feedback"] = chance.choice(character.summaries) if by_person else "A voicemail answered."
    results["all_feedback"] = " ".join(explanations)
    verdicts = set(results.values())
    results[_FULL_ERROR] = "true" if "false" in verdicts else "false"
    results[_ANY_ERROR] = "true" if verdicts & {"false", "partial"} else "false"
    return results


def _verdict(chance: random.Random, passes: float) -> str | None:
    drawn = chance.random()
    if drawn < _NULL_VERDICTS:
        return None
    if drawn < _NULL_VERDICTS + _EMPTY_VERDICTS:
        return ""
    if chance.random() < passes:
        return chance.choice(("true", "true", "true", "True"))
    return chance.choice(("false", "false", "partial"))


def _actions(character: Character, variant: int, chance: random.Random) -> dict[str, dict[str, str]]:
    """Return the actions of a call by name."""
    made = []
    if variant == LARGE or chance.random() < character.lookups:
        made.append(_lookup(chance, large=variant == LARGE))
    if chance.random() < character.transfers:
        made.append(_transfer(character, chance))
    if chance.random() < character.bookings:
        made.append(_booking(chance))
    if chance.random() < character.messages:
        made.append(_message(chance))
    made += _extractions(character, variant, chance)
    return {action["name"]: action for action in made}


def _action(name: str, kind: str, moment: str, description: str, **given: str) -> dict[str, str]:
    """Return an action as the API lists it: every value is a text, also JSON.

    Args:
        name: of the action.
        kind: its `action_type`.
        moment: which time of the call it has: `before`, `during` or `after`.
        description: of the action.
        given: values that differ from the usual ones.
    """
    fraction = f"{len(name) * 7919 % 1_000_000:06d}"
    return {
        "name": name,
        "action_type": kind,
        "description": description,
        "parameters_hard_coded": "{}",
        "parameters_from_llm": "{}",
        "error_message": "",
        "return_value": "{}",
        "return_value_status": "",
        "is_relevant_action": "true",
        "timestamp_datetime": f"@{moment}_time@.{fraction}",
        "timestamp": f"@{moment}_second@.{fraction[:2]}",
        **given,
    }


def _extractions(character: Character, variant: int, chance: random.Random) -> Iterator[dict[str, str]]:
    prefix = "extract_info_" if variant % _HISTORIC_NAMES == 0 else "info_extractor_"
    for extractor in character.extractors:
        if chance.random() < character.asked:
            yield _extraction(f"{prefix}{extractor.identifier}", extractor, chance)


def _extraction(name: str, extractor: Extractor, chance: random.Random) -> dict[str, str]:
    """Return an extractor's action; without an answer, the return value is empty or null."""
    returned: dict[str, Any] = {extractor.identifier: chance.choice(extractor.answers)}
    if chance.random() >= extractor.found:
        returned = chance.choice(({}, {extractor.identifier: None}))
    parameters = {
        "identifier": extractor.identifier,
        "condition": extractor.condition,
        "choices": extractor.choices,
        "examples": None,
    }
    return _action(
        name,
        "extract_info_action_type",
        "after",
        f"Get information with question: {extractor.condition}",
        parameters_hard_coded=json.dumps(parameters),
        return_value=json.dumps(returned),
    )


def _transfer(character: Character, chance: random.Random) -> dict[str, str]:
    parameters = {
        "preserve_caller_id": False,
        "screened": False,
        "human_detection": True,
        "human_detection_timeout_seconds": 30,
        "summarization_prompt": "Summarize why the person calls and what was already tried, in two sentences.",
    }
    returned = {"status": "transfer-success"}
    if chance.random() >= character.transfer_success:
        # The first reason twice as often as the second, and so on.
        weights = [2.0**-rank for rank in range(len(character.failures))]
        [(status, reason)] = chance.choices(character.failures, weights)
        returned = {"status": status} if reason is None else {"status": status, "failed_reason": reason}
    elif chance.random() < 0.7:  # the other transfers were cold
        returned["human_connected_at"] = f"@human{chance.randrange(3)}_time@.250000"
    return _action(
        "action_transfer_call",
        "transfer_call_action_type",
        "during",
        "Transfer the call if the person asks for somebody, or if the question cannot be answered.",
        parameters_hard_coded=json.dumps(parameters),
        return_value=json.dumps(returned),
    )


def _booking(chance: random.Random) -> dict[str, str]:
    return _action(
        "book_appointment",
        "calcom_booking_action_type",
        "during",
        "Book the time that the person chose.",
        parameters_from_llm=json.dumps({"time": chance.choice(("2026-05-04T09:00", "2026-05-06T15:00"))}),
        error_message=chance.choice(("", "", "", "", "The time is not free any more")),
    )


def _message(chance: random.Random) -> dict[str, str]:
    return _action(
        "send_sms",
        "send_sms_action_type",
        "during",
        "If the person wants a confirmation.",
        parameters_hard_coded=json.dumps({"sms_message_text": "Thank you for your call. Details: https://example.com"}),
        error_message=chance.choice(("", "", "", "", "", "400 - Bad Request")),
    )


def _lookup(chance: random.Random, *, large: bool) -> dict[str, str]:
    """Return a custom function that runs before the call. Its time is that of its configuration, days before."""
    error = chance.choice(("", "", "", "", "", "404 - Not Found"))
    parameters: dict[str, Any] = {"run_action_before_call_start": True}
    if large:
        parameters["availability"] = [
            {"slot": number, "from": f"{8 + number % 9:02d}:00", "to": f"{9 + number % 9:02d}:00", "free": True}
            for number in range(_LARGE_PARAMETER_SLOTS)
        ]
    return _action(
        "look_up_customer",
        "custom_function_action_type",
        "before",
        "Look up the customer before the call.",
        parameters_hard_coded=json.dumps(parameters),
        return_value="{}" if error else json.dumps({"customer": {"known": chance.random() < 0.6}}),
        error_message=error,
    )


def _collected(character: Character, variant: int, chance: random.Random) -> dict[str, Any] | None:
    """Return what the conversation flow collected, by agent or by itself; null for agents without a flow."""
    if not character.variables:
        return None
    variables: dict[str, Any] = {}
    for name, values in character.variables.items():
        collected = chance.random() < 0.78
        variables[name] = {"value": chance.choice(values) if collected else None, "collected": collected}
    return variables if variant % _WITHOUT_AGENT == 0 else {"@model_id@": variables}
