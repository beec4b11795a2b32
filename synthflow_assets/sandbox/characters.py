"""The kinds of agents in the sandbox: who calls whom, how calls end, what is asked and how often it works.

All texts are invented. Shapes and words of the API are those of public payloads and of Synthflow's documentation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, eq=False)
class Extractor:
    """A question that an agent answers from the transcript after the call.

    Attributes:
        identifier: the name of the answer; may have spaces.
        condition: the question.
        answers: possible answers, of any JSON type.
        found: share of calls in which there is an answer.
        choices: allowed answers of a single-choice question.
    """

    identifier: str
    condition: str
    answers: tuple[Any, ...]
    found: float
    choices: tuple[str, ...] | None = None


@dataclass(frozen=True, eq=False)
class Character:
    """A kind of agent. Shares are of the calls in which a person was reached, unless stated otherwise.

    Attributes:
        name: of the agent.
        type_of_call: inbound or outbound.
        statuses: share of all calls by `call_status`.
        ended_by_voicemail: share of completed calls that a voicemail answered.
        openers: first sentence of the agent.
        human: what persons say.
        agent: what the agent says.
        summaries: what the judge says about the whole call.
        passes: share of verdicts that pass, by check; a check that is missing here has the usual share.
        not_applicable: checks that do not apply to this agent's calls.
        extractors: what the agent finds out after the call.
        asked: share of the extractors that run.
        transfers: share of calls with a transfer.
        transfer_success: share of transfers that reach a human.
        failures: why the others fail, as (status, failed_reason), the most frequent first.
        bookings: share of calls with a booking.
        messages: share of calls with a text message.
        lookups: share of calls that a custom function prepares.
        variables: possible values of what the conversation flow collects; empty if the agent has no flow.
    """

    name: str
    type_of_call: str
    statuses: Mapping[str, float]
    openers: tuple[str, ...]
    human: tuple[str, ...]
    agent: tuple[str, ...]
    summaries: tuple[str, ...]
    extractors: tuple[Extractor, ...]
    asked: float
    transfers: float
    transfer_success: float
    failures: tuple[tuple[str, str | None], ...]
    ended_by_voicemail: float = 0.0
    passes: Mapping[str, float] = field(default_factory=dict)
    not_applicable: frozenset[str] = frozenset()
    bookings: float = 0.0
    messages: float = 0.0
    lookups: float = 0.0
    variables: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)


_ANSWERED = {"completed": 0.93, "failed": 0.03, "spam": 0.02, "user-canceled": 0.01, "canceled": 0.01}
_CONNECTION, _TIMEOUT = "transfer-failed-connection-error", "transfer-failed-timeout"

CHARACTERS = (
    Character(
        name="Front Desk",
        type_of_call="inbound",
        statuses=_ANSWERED,
        openers=(
            "Thank you for calling the Example Practice, how can I help?",
            "Good day, this is the assistant of the Example Practice. What can I do for you?",
        ),
        human=(
            "I would like to move my appointment to next week.",
            "I'm calling about the invoice from last month, the amount does not look right to me.",
            "Yes, Thursday at nine would be fine. Äh, or half past nine.",
            "Could you put me through to somebody in billing?",
            "It is my first visit. Do I need to bring anything?",
            "No, that is all. Thank you!",
        ),
        agent=(
            "Of course. Which day would suit you best, and do you prefer the morning or the afternoon?",
            "One moment, I am looking that up for you.",
            "I have found it. Shall I send you a confirmation by text message?",
            "I will connect you with a colleague; please stay on the line.",
            "Please bring your card and arrive ten minutes early. Parking is behind the building.",
            "Your request has been noted; a colleague will call you back today.",
        ),
        summaries=(
            "The caller wanted to move an appointment. The agent offered two times and the caller chose one.",
            "The caller asked about an invoice. The agent took the question and offered a transfer to billing.",
            "The caller asked about a first visit. The agent explained what to bring and where to park.",
        ),
        passes={"goal": 0.86, "appointment": 0.64, "user_sentiment": 0.82, "knowledge": 0.9},
        not_applicable=frozenset({"objections", "objection_not_defined", "opted_in", "no_opt_out"}),
        extractors=(
            Extractor(
                "reason for calling",
                "Why does the caller call?",
                ("appointment", "appointment", "invoice", "first visit", "something else"),
                0.93,
                ("appointment", "invoice", "first visit", "something else"),
            ),
            Extractor("callback_wanted", "Does the caller want to be called back?", (True, False, False), 0.88),
            Extractor("preferred_day", "Which day does the caller prefer?", ("Monday", "Thursday", "Friday"), 0.61),
            Extractor(
                "visit",
                "Details of the visit that the caller talks about.",
                ({"first_visit": True, "wish": {"day": "Thursday", "hour": 9}}, {"first_visit": False, "wish": {}}),
                0.35,
            ),
        ),
        asked=0.48,
        transfers=0.62,
        transfer_success=0.83,
        failures=(
            (_CONNECTION, "rejected_by_destination"),
            (_TIMEOUT, None),
            (_CONNECTION, "transfer_outside_availability"),
        ),
        bookings=0.08,
        messages=0.04,
    ),
    Character(
        name="Lead Qualifier",
        type_of_call="outbound",
        statuses={
            "hangup_on_voicemail": 0.55,
            "left_voicemail": 0.08,
            "completed": 0.15,
            "no-answer": 0.11,
            "failed": 0.06,
            "busy": 0.03,
            "user-canceled": 0.01,
            "canceled": 0.01,
        },
        ended_by_voicemail=0.12,
        openers=(
            "Hello, this is the assistant of Example Solar. You asked for an offer, is this a good moment?",
            "Hi, I am calling from Example Solar about the form that you sent us.",
        ),
        human=(
            "Yes, I remember. What would it cost?",
            "I am driving. Can you call me tomorrow?",
            "We are about forty people here, so it would have to be a larger one.",
            "I do not decide that alone, but I can pass it on.",
            "Please do not call this number again.",
            "Tuesday afternoon works. Who is going to call?",
        ),
        agent=(
            "It depends on the size of the roof. May I ask three short questions?",
            "Thank you, that helps. Who else takes part in the decision?",
            "I can offer you a call with a planner on Tuesday or Wednesday.",
            "I understand. I will take you off the list right away.",
            "Great, you will get an invitation in a minute.",
        ),
        summaries=(
            "The lead was interested and agreed to a call with a planner next week.",
            "The lead had no time and asked for a call on another day.",
            "The lead asked not to be called again. The agent confirmed it.",
        ),
        passes={"goal": 0.34, "appointment": 0.29, "user_sentiment": 0.55, "objections": 0.58, "no_opt_out": 0.87},
        not_applicable=frozenset({"opted_in"}),
        extractors=(
            Extractor("interested", "Is the lead interested in an offer?", (True, True, False), 0.83),
            Extractor("number of employees", "How many people work there?", (12, 40, 150), 0.47),
            Extractor("decision_maker", "Who decides?", ("the lead", "a colleague", "the board"), 0.41),
            Extractor("monthly_budget", "Monthly budget in dollars", (500, 1500, 4000), 0.22),
        ),
        asked=0.5,
        transfers=0.55,
        transfer_success=0.7,
        failures=((_TIMEOUT, None), (_CONNECTION, "destination_unavailable"), (_CONNECTION, "number_not_found")),
        bookings=0.16,
    ),
    Character(
        name="Order Status",
        type_of_call="inbound",
        statuses=_ANSWERED,
        openers=("Welcome to the Example Store. Do you have your order number at hand?",),
        human=(
            "Could you tell me where my order is? It should have come on Monday.",
            "The number is A, one, two, zero, seven.",
            "One of the two boxes was damaged, and I would like to have it replaced.",
            "I have explained this twice. Let me talk to a person, please.",
            "All right, then I will wait until Friday.",
        ),
        agent=(
            "I am looking up the order. It left our warehouse yesterday and will arrive by Friday.",
            "I am sorry about that. I can arrange a replacement, or connect you with a colleague.",
            "I am connecting you now; the line may ring for a while.",
            "I could not reach a colleague. May I note your question, so that somebody calls you back?",
        ),
        summaries=(
            "The caller asked where an order was. The agent found it and named the day of delivery.",
            "The caller reported a damaged box. The agent offered a replacement and tried to transfer the call.",
            "The caller insisted on a person. The transfer failed, and the agent noted the question.",
        ),
        passes={"goal": 0.62, "user_sentiment": 0.48, "agent_sentiment": 0.8, "steps": 0.78, "no_repetition": 0.71},
        not_applicable=frozenset(
            {"appointment", "objections", "objection_not_defined", "opted_in", "no_opt_out"},
        ),
        extractors=(
            Extractor("order_number", "Which order is the call about?", ("A-1207", "A-1311", "B-0042"), 0.9),
            Extractor(
                "issue",
                "What is the call about?",
                ("delivery", "delivery", "damage", "return"),
                0.85,
                ("delivery", "damage", "return"),
            ),
            Extractor("resolved", "Was the question answered in the call?", (True, False), 0.78),
        ),
        asked=0.6,
        transfers=0.72,
        transfer_success=0.56,
        failures=(
            (_TIMEOUT, None),
            (_CONNECTION, "destination_unavailable"),
            (_CONNECTION, "transfer_outside_availability"),
            (_CONNECTION, "transfer_blocked_by_carrier"),
        ),
        lookups=0.12,
        variables={"order number": ("A-1207", "A-1311"), "wants_callback": (True, False), "boxes": (1, 2)},
    ),
    Character(
        name="Appointment Reminder",
        type_of_call="outbound",
        statuses={
            "completed": 0.41,
            "left_voicemail": 0.28,
            "hangup_on_voicemail": 0.08,
            "no-answer": 0.13,
            "busy": 0.04,
            "failed": 0.04,
            "user-canceled": 0.01,
            "canceled": 0.01,
        },
        ended_by_voicemail=0.1,
        openers=("Hello, this is a reminder from the Example Practice about your appointment tomorrow at ten.",),
        human=(
            "Yes, I will be there.",
            "Tomorrow does not work any more. Do you have something next week?",
            "Which appointment do you mean?",
        ),
        agent=(
            "Thank you, see you tomorrow.",
            "I can offer Wednesday at eleven or Friday at three. Which one do you prefer?",
            "It is the yearly check that you booked in spring.",
        ),
        summaries=("The person confirmed the appointment.", "The person moved the appointment to another day."),
        passes={"goal": 0.81, "appointment": 0.78, "user_sentiment": 0.77},
        not_applicable=frozenset({"objections", "objection_not_defined", "knowledge", "opted_in"}),
        extractors=(
            Extractor("confirmed", "Did the person confirm the appointment?", (True, True, False), 0.92),
            Extractor("new day", "To which day was the appointment moved?", ("Wednesday", "Friday"), 0.3),
        ),
        asked=0.8,
        transfers=0.2,
        transfer_success=0.8,
        failures=((_CONNECTION, "carrier_unavailable"), (_TIMEOUT, None)),
        bookings=0.06,
        messages=0.1,
        variables={"confirmed": (True, False), "new_day": ("2026-05-04", "2026-05-06")},
    ),
    Character(
        name="Claims Intake",
        type_of_call="inbound",
        statuses=_ANSWERED,
        openers=("Example Insurance, you are speaking with the digital assistant. What happened?",),
        human=(
            "A branch fell on my car in the storm on Sunday.",
            "The windscreen is broken, and there is a dent in the roof.",
            "Nobody was hurt. I have taken pictures.",
            "My policy number ends with 0042.",
        ),
        agent=(
            "I am sorry to hear that. When and where did it happen?",
            "Was anybody hurt, and can the car still be driven?",
            "Thank you. You can upload the pictures with the link that I send you.",
            "A colleague will look at the claim and call you within two days.",
        ),
        summaries=("The caller reported storm damage to a car. The agent took the details and sent a link.",),
        passes={"goal": 0.79, "user_sentiment": 0.66, "steps": 0.84},
        not_applicable=frozenset({"appointment", "objections", "objection_not_defined", "opted_in", "no_opt_out"}),
        extractors=(
            Extractor("injured", "Was anybody hurt?", (False, False, False, True), 0.9),
            Extractor(
                "claim",
                "What was damaged, when and where?",
                ({"object": "car", "damage": {"kind": "storm", "parts": 2}}, {"object": "house", "damage": None}),
                0.8,
            ),
            Extractor("policy number", "The last digits of the policy", ("0042", "0815"), 0.7),
        ),
        asked=0.7,
        transfers=0.55,
        transfer_success=0.76,
        failures=((_TIMEOUT, None), (_CONNECTION, "media_negotiation_failed")),
        messages=0.1,
        variables={"loss_date": ("2026-03-01", "2026-03-08"), "drivable": (True, False)},
    ),
    Character(
        name="Night Line",
        type_of_call="inbound",
        statuses=_ANSWERED,
        openers=("You have reached Example Heating outside office hours. Is it an emergency?",),
        human=("The heating is out, and it is cold.", "It can wait until tomorrow.", "Please send somebody today."),
        agent=(
            "I am connecting you with the engineer on call.",
            "I have noted it, and you will be called back at eight.",
            "Please check whether the red light is on.",
        ),
        summaries=("The caller reported a broken heating. The agent tried to reach the engineer on call.",),
        passes={"goal": 0.58, "user_sentiment": 0.45},
        not_applicable=frozenset({"appointment", "objections", "objection_not_defined", "opted_in", "no_opt_out"}),
        extractors=(
            Extractor("emergency", "Is it an emergency?", (True, False), 0.95),
            Extractor("callback number", "Where can the caller be reached?", ("+12025550143", "+12025550144"), 0.6),
        ),
        asked=0.85,
        transfers=0.6,
        transfer_success=0.48,
        failures=(
            (_CONNECTION, "transfer_outside_availability"),
            (_CONNECTION, "number_incomplete"),
            (_CONNECTION, "routing_loop"),
            (_CONNECTION, "transfer_method_unsupported"),
        ),
    ),
)
