"""Make up calls: always the same for the same seed, agent and day.

A day of an agent is a few NumPy arrays; the JSON of a call is written only when a page lists it. So a day of a million
calls takes less than a second and about 60 MB, and any page of it a millisecond.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import json
import re
import wave
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt

DAY_MS = 86_400_000

_AGENT_NAMES = ("Front Desk", "Appointment Reminder", "Lead Qualifier", "Order Status", "Claims Intake", "Night Line")
_STATUSES = (
    ("completed", 0.70),
    ("no-answer", 0.09),
    ("hangup_on_voicemail", 0.05),
    ("left_voicemail", 0.05),
    ("busy", 0.04),
    ("failed", 0.03),
    ("user-canceled", 0.02),
    ("canceled", 0.01),
    ("spam", 0.01),
)
_CONNECTED = {"completed", "hangup_on_voicemail", "left_voicemail"}
# What differs from call to call, in the order of `render`.
_VALUES = ("call_id", "seconds", "lead", "start", "talk_ms", "answered", "end", "ringing")
_RINGING, _IN_PROGRESS = "ringing", "in-progress"
_END_REASONS = {
    "completed": ("human_goodbye", "agent_goodbye", "human_ended_call", "agent_ended_call", "custom_end_call"),
    "hangup_on_voicemail": ("voicemail",),
    "left_voicemail": ("voicemail_message_left",),
    "failed": ("error", "undefined"),
}
_OPENERS = ("Thank you for calling, how can I help?", "Hello, this is the assistant of Dr. Weber's practice.")
_HUMAN = (
    "I would like to move my appointment to next week.",
    "Could you tell me where my order is?",
    "I'm calling about the invoice from last month.",
    "Yes, Thursday at nine would be fine. Äh, or half past nine.",
    "No, that is all. Thank you!",
)
_AGENT = (
    "Of course. May I have your name and your date of birth, please?",
    "One moment, I am looking that up for you.",
    "I have found it. Shall I send you a confirmation by text message?",
    "Your request has been noted; a colleague will call you back today.",
)
_LEADS = ("Ada Jensen", "Ben Okafor", "Chiara Russo", "Dmitri Hale", "Elif Kaya", "Fatima Noor", "Gus O'Neil")
# Share of calls that pass.
_JUDGE_CHECKS = {
    "greeting": 0.96,
    "identity_verified": 0.78,
    "answered_question": 0.86,
    "no_hallucination": 0.93,
    "polite": 0.98,
    "goal_reached": 0.71,
}
# Kind, share of calls it runs in, share of its runs that fail.
_ACTIONS = (("REAL_TIME_TRANSFER", 0.18, 0.10), ("SEND_SMS", 0.35, 0.04), ("CUSTOM_ACTION", 0.25, 0.12))
# Value, and share of calls in which it is collected.
_VARIABLES: dict[str, tuple[Any, float]] = {
    "date_of_birth": ("1980-01-01", 0.74),
    "order_number": ("A-1207", 0.62),
    "wants_callback": (True, 0.95),
    "preferred_day": ("Thursday", 0.81),
}
_VARIANTS = 64


@dataclass(frozen=True)
class SandboxAgent:
    """An agent of the sandbox's workspace."""

    model_id: str
    name: str
    type: str
    share: float  # of the busiest agent's volume


def agents(count: int, seed: int) -> list[SandboxAgent]:
    """Return the workspace's agents, busiest first."""
    made = []
    for index in range(count):
        base = _AGENT_NAMES[index % len(_AGENT_NAMES)]
        name = base if index < len(_AGENT_NAMES) else f"{base} {index // len(_AGENT_NAMES) + 1}"
        digest = hashlib.sha256(f"{seed}/agent/{index}".encode()).hexdigest()
        made.append(SandboxAgent(_uuid(digest), name, ("inbound", "outbound")[index % 2], 1 / (1 + 0.6 * index)))
    return made


@dataclass(frozen=True)
class DayOfCalls:
    """All calls of an agent that start on a UTC day, ordered by start."""

    model_id: str
    type_of_call: str
    start_ms: npt.NDArray[np.int64]
    end_ms: npt.NDArray[np.int64]
    duration_seconds: npt.NDArray[np.int64]
    ringing_ms: npt.NDArray[np.int64]
    status: npt.NDArray[np.int8]
    variant: npt.NDArray[np.int16]
    ids: bytes  # 16 bytes for each call

    def call_id(self, index: int) -> str:
        """Return the id of a call: a UUID, or for some calls the older form of milliseconds and digits."""
        digest = self.ids[16 * index : 16 * index + 16].hex()
        if self.variant[index] == 0:
            return f"{self.start_ms[index]}x{int(digest, 16) % 10**18:018d}"
        return _uuid(digest)


@lru_cache(maxsize=64)
def day_of_calls(
    agent: SandboxAgent, day: int, seed: int, calls_per_day: int, same_volume: bool, *, border_calls: bool = False
) -> DayOfCalls:
    """Make up the calls of an agent on a day.

    Args:
        agent: whose calls.
        day: days since 1970-01-01, UTC.
        seed: another seed makes other calls.
        calls_per_day: volume of the busiest agent on a weekday.
        same_volume: make exactly `calls_per_day` for every agent and day.
        border_calls: let the first and last call start in the first and last millisecond of the day.
    """
    digest = hashlib.sha256(f"{seed}/{agent.model_id}/{day}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    weekend = (day + 3) % 7 >= 5  # 1970-01-01 was a Thursday
    volume = calls_per_day * agent.share * (0.35 if weekend else 1.0)
    count = calls_per_day if same_volume else int(rng.poisson(volume))
    # Two thirds in office hours, the rest at any time, so that some calls run across midnight.
    office = np.clip(rng.normal(13.5, 3.2, count), 0, 23.99)
    hours = np.where(rng.random(count) < 0.67, office, rng.random(count) * 24)
    start_ms = np.sort(day * DAY_MS + (hours * 3_600_000).astype(np.int64))
    if border_calls and count:
        start_ms[0], start_ms[-1] = day * DAY_MS, (day + 1) * DAY_MS - 1
    status = rng.choice(len(_STATUSES), count, p=[share for _, share in _STATUSES]).astype(np.int8)
    talks = np.isin(status, [i for i, (name, _) in enumerate(_STATUSES) if name in _CONNECTED])
    ringing_ms = rng.integers(1_000, 25_000, count)
    talk_seconds = np.clip(rng.lognormal(4.3, 0.9, count), 2, 3_000).astype(np.int64)
    duration_seconds = np.where(talks, talk_seconds + ringing_ms // 1000, ringing_ms // 1000 * (status % 2))
    return DayOfCalls(
        model_id=agent.model_id,
        type_of_call=agent.type,
        start_ms=start_ms,
        end_ms=start_ms + duration_seconds * 1000 + rng.integers(0, 1000, count),
        duration_seconds=duration_seconds,
        ringing_ms=ringing_ms,
        status=status,
        variant=rng.integers(0, _VARIANTS, count).astype(np.int16),
        ids=rng.bytes(16 * count),
    )


def render(calls: DayOfCalls, index: int, now_ms: int) -> str:
    """Return the JSON text of one call, as the live API writes it; the call is open if it ends after `now_ms`."""
    start, end, ringing = calls.start_ms.item(index), calls.end_ms.item(index), calls.ringing_ms.item(index)
    status, seconds = _STATUSES[calls.status.item(index)][0], calls.duration_seconds.item(index)
    if end > now_ms:
        status, seconds = (_RINGING if start + ringing > now_ms else _IN_PROGRESS), 0
    values = (
        calls.call_id(index),
        str(seconds),
        f"+1415555{start // 7 % 10000:04d}",
        str(start),
        str(max(0, seconds * 1000 - ringing - 250)),
        _utc(start + ringing),
        _utc(end),
        str(ringing),
    )
    parts, pick = _template(calls.model_id, calls.type_of_call, status, calls.variant.item(index))
    written = parts.copy()
    written[1::2] = pick(values)
    return "".join(written)


@lru_cache(maxsize=4096)
def _template(
    model_id: str, type_of_call: str, status: str, variant: int
) -> tuple[list[str], Callable[[tuple[str, ...]], tuple[str, ...]]]:
    """Return the text of calls that differ only in `_VALUES`, as parts, and a function that picks the missing parts.

    Joining the parts takes a tenth of the time of formatting a text.
    """
    is_open, talked = status in (_RINGING, _IN_PROGRESS), status in _CONNECTED
    reasons = _END_REASONS.get(status, ())
    inbound = type_of_call == "inbound"
    lead, own = '"@lead@"', '"+14155550100"'
    fragments = _fragments(variant)
    text = (
        f'{{"call_id":"@call_id@","model_id":"{model_id}","duration":"@seconds@",'
        f'"end_call_reason":{_quoted(reasons[variant % len(reasons)] if reasons else None)},'
        f'"judge_results":{fragments.judge_results if talked else "null"},"lead_phone_number":{lead},'
        f'"agents_used":["{model_id}"],"executed_actions":{fragments.executed_actions if talked else "{}"},'
        f'"recording_url":{_quoted("https://recordings.invalid/@call_id@.wav" if talked else None)},'
        f'"type_of_call":"{type_of_call}","recording_duration":{_quoted("@seconds@" if talked else None)},'
        f'"transcript":{fragments.transcript if talked else "null"},'
        f'"error_message":{_quoted("SIP 503 from the carrier" if status == "failed" else None)},'
        f'"call_status":"{status}","start_time":"@start@","lead_name":{fragments.lead_name},'
        f'"name":{fragments.lead_name},"labels":{fragments.labels},"agent_phone_number":{own},'
        f'"deployment_type":"phone","timezone":"America/New_York",'
        f'"telephony_hangup":{_quoted(_hangup(variant) if talked else None)},'
        f'"telephony_disconnect_reason":{_quoted(None if is_open else _disconnect_reason(status, variant))},'
        f'"telephony_duration":{"@talk_ms@" if talked else "null"},"telephony_start":"@answered@",'
        f'"telephony_end":{_quoted(None if is_open else "@end@")},"campaign_type":"single",'
        f'"phone_number_from":{lead if inbound else own},"phone_number_to":{own if inbound else lead},'
        f'"collected_variables":{fragments.collected_variables.replace("AGENT", model_id) if talked else "null"},'
        f'"assistant_version":"{variant % 3 + 1}","telephony_ringing_duration":@ringing@,'
        f'"telephony_sip_headers":{fragments.sip_headers}}}'
    )
    parts = re.split(r"@(\w+)@", text)
    return parts, itemgetter(*map(_VALUES.index, parts[1::2]))


@dataclass(frozen=True)
class _Fragments:
    """The long parts of a call, as JSON. They are made once for each variant, because writing them takes most time."""

    transcript: str
    judge_results: str
    executed_actions: str
    collected_variables: str
    labels: str
    lead_name: str
    sip_headers: str


@lru_cache(maxsize=_VARIANTS)
def _fragments(variant: int) -> _Fragments:
    rng = np.random.default_rng(variant)
    lines = [f"bot: {_OPENERS[variant % 2]}"]
    for turn in range(3 + variant % 7):
        lines.append(f"human: {_HUMAN[(variant + turn) % len(_HUMAN)]}")
        lines.append(f"bot: {_AGENT[(variant * 3 + turn) % len(_AGENT)]}")
    verdicts: dict[str, str | None] = {}
    for check, passing in _JUDGE_CHECKS.items():
        verdicts[check] = _verdict(rng, passing)
        verdicts[f"{check}_reason"] = "The agent followed its instructions in this part of the conversation."
    verdicts["caller_mood"] = str(rng.choice(["calm", "in a hurry", "annoyed at first, then friendly"]))
    actions: dict[str, Any] = {}
    for number, (kind, chance, failing) in enumerate(_ACTIONS, 1):
        if rng.random() < chance:
            actions[f"action {number}"] = {
                "name": kind.lower().replace("_", " "),
                "action_type": kind,
                "return_value": _returned(rng, failing),
                "parameters_hard_coded": json.dumps({"queue": "service"}),
                "parameters_from_speech": None,
            }
    variables: dict[str, Any] = {
        name: _answer(rng, value, chance) for name, (value, chance) in _VARIABLES.items() if rng.random() < 0.9
    }
    return _Fragments(
        transcript=json.dumps("\n".join(lines)),
        judge_results=json.dumps(verdicts) if variant % 8 else "null",
        executed_actions=json.dumps(actions),
        # The changelog's example has no agent level, so some calls come in that shape.
        collected_variables=json.dumps(variables if variant % 10 == 0 else {"AGENT": variables}),
        labels=json.dumps(["vip"] if variant % 11 == 0 else []),
        lead_name=json.dumps(_LEADS[variant % len(_LEADS)]),
        sip_headers=json.dumps({"X-Call-Source": "trunk-1"} if variant % 6 == 0 else None),
    )


def _verdict(rng: np.random.Generator, passing: float) -> str | None:
    """Return a verdict as the API sends it: text, sometimes with a capital letter, or null."""
    if rng.random() < 0.03:
        return None
    if rng.random() < passing:
        return str(rng.choice(["true", "true", "True"]))
    return str(rng.choice(["false", "False", "partial"]))


def _returned(rng: np.random.Generator, failing: float) -> str | None:
    """Return what an action returned: a text of JSON, or null."""
    if rng.random() < failing:
        return json.dumps({"status": "error", "attempts": 3})
    return json.dumps({"status": "ok", "attempts": 1}) if rng.random() < 0.9 else None


def _answer(rng: np.random.Generator, value: Any, chance: float) -> dict[str, Any] | None:
    """Return a variable: collected, not collected, or null if the agent did not ask."""
    if rng.random() < 0.02:
        return None
    collected = bool(rng.random() < chance)
    return {"value": value if collected else None, "collected": collected}


def _disconnect_reason(status: str, variant: int) -> str | None:
    if status == "failed":
        return ("error", "forbidden")[variant % 2]
    if status in ("no-answer", "busy"):
        return None
    return ("caller_hangup", "callee_hangup", "callee_hangup", "caller_hangup", "unknown", None)[variant % 6]


def _hangup(variant: int) -> str:
    return ("caller", "callee")[variant % 2]


def _quoted(text: str | None) -> str:
    return "null" if text is None else f'"{text}"'


def _utc(ms: int) -> str:
    # Formatting each datetime took a third of a page's time, so seconds are cached.
    second, rest = divmod(ms, 1000)
    return f"{_second(second)}.{rest:03d}000"


@lru_cache(maxsize=100_000)
def _second(number: int) -> str:
    return dt.datetime.fromtimestamp(number, dt.UTC).isoformat(timespec="seconds").removesuffix("+00:00")


def _uuid(digest: str) -> str:
    return f"{digest[:8]}-{digest[8:12]}-4{digest[13:16]}-8{digest[17:20]}-{digest[20:32]}"


def tone(call_id: str) -> bytes:
    """Return a WAV file with a second of a sine wave; each id has its own pitch."""
    rate, pitch = 8000, 200 + zlib.crc32(call_id.encode()) % 600
    wave_form = (8000 * np.sin(2 * np.pi * pitch * np.arange(rate) / rate)).astype("<i2")
    file = io.BytesIO()
    with wave.open(file, "wb") as audio:
        audio.setnchannels(1)
        audio.setsampwidth(2)
        audio.setframerate(rate)
        audio.writeframes(wave_form.tobytes())
    return file.getvalue()


def odd_records(model_id: str, start_ms: int) -> list[tuple[str, Any]]:
    """Return records that landing must survive, as (what is odd, JSON text of the record)."""
    good = {"call_id": "?", "model_id": model_id, "duration": "25", "call_status": "completed"}
    odd: dict[str, dict[str, Any]] = {
        "word_for_a_number": {"duration": "long"},
        "fraction_for_a_whole_number": {"duration": 1.7},
        "number_too_large": {"duration": "99999999999999999999"},
        "no_call_id": {"call_id": None},
        "list_for_a_text_list": {"labels": {"not": "a list"}},
        "number_as_integer": {"duration": 25},
        "unknown_status": {"call_status": "teleported", "telephony_disconnect_reason": "solar_flare"},
        "unknown_field": {"mood": {"score": 0.5}},
        "nul_in_text": {"transcript": "before\0after"},
        "long_transcript": {"transcript": "human: " + "word " * 1_000_000},
    }
    made: list[tuple[str, Any]] = []
    for name, change in odd.items():
        record = {**good, "call_id": f"odd-{name}-{model_id}", "start_time": str(start_ms), **change}
        made.append((name, json.dumps(record)))
    surrogate = json.dumps({**good, "call_id": f"odd-surrogate-{model_id}", "start_time": str(start_ms)})
    made.append(("lone_surrogate", surrogate[:-1] + ',"transcript":"half \\ud83d an emoji"}'))
    nan = surrogate.replace("odd-surrogate", "odd-nan")
    made.append(("not_a_number", nan[:-1] + ',"telephony_duration":NaN}'))
    return made
