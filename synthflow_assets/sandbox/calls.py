"""Make up calls: always the same for the same seed, agent and day.

A day of an agent is a few NumPy arrays; the JSON of a call is written only when a page lists it. So a day of a million
calls takes less than a second and about 60 MB, and any page of it a few milliseconds.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import wave
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from synthflow_assets.sandbox.characters import CHARACTERS, Character
from synthflow_assets.sandbox.conversations import LARGE, SILENCE, VARIANTS, Conversation, with_person, with_voicemail

DAY_MS = 86_400_000

_RINGING, _IN_PROGRESS = "ringing", "in-progress"
_STATUSES = tuple(dict.fromkeys(status for character in CHARACTERS for status in character.statuses))
_VOICEMAIL = ("hangup_on_voicemail", "left_voicemail")
_CONNECTED = ("completed", *_VOICEMAIL)
_LARGE_SHARE = 0.003  # of calls, with 100 kB of parameters if a person was reached
# With their weights, which sum to the number of variants.
_PERSON_END_REASONS = {
    "human_goodbye": 20,
    "agent_goodbye": 13,
    "human_hangup": 8,
    "goodbye_detected": 6,
    "human_ended_call": 5,
    "agent_ended_call": 4,
    "user_disconnected": 2,
    "custom_end_call": 2,
    "human_pick_up_cut_off": 1,
    "idle_time_exceeded": 1,
    "max_duration": 1,
    "timeout": 1,
}
_END_REASONS = {
    "hangup_on_voicemail": ("voicemail",),
    "left_voicemail": ("voicemail_message_left", "voicemail_message_left", "voicemail_cut_off"),
    "failed": ("error", "undefined"),
    "user-canceled": ("user_canceled",),
}
# None, because live calls that clearly failed had no message.
_ERROR_MESSAGES = (
    "Telephony - 404 - Not Found",
    "Telephony - 480 - Temporarily Unavailable",
    None,
    "Telephony - 400 - Invalid phone number",
    "Telephony - 603 - Decline",
    "Telephony - 404 - Not Found",
    None,
    "Telephony - 503 - Service Unavailable",
    "Telephony - 400 - Invalid phone number +12025550199",
)
_LEADS = ("Alex Example", "Robin Sample", "Kim Placeholder", "Jörg Muster", "Pat O'Sample", "Sam Invented")
_NUMBERS = 5_000  # that call or are called; all of them are reserved for fiction
_CAMPAIGN_DAYS = 5  # in which an outbound agent calls the same leads, each about three times
_LEADS_PER_CALL = 1.6  # of the calls of a weekday


@dataclass(frozen=True)
class SandboxAgent:
    """An agent of the sandbox's workspace."""

    model_id: str
    name: str
    character: Character
    share: float  # of the busiest agent's volume

    @property
    def type(self) -> str:
        """The value of `type` in the list of agents."""
        return self.character.type_of_call


def agents(count: int, seed: int) -> list[SandboxAgent]:
    """Return the workspace's agents, busiest first."""
    made = []
    for index in range(count):
        character = CHARACTERS[index % len(CHARACTERS)]
        name = character.name if index < len(CHARACTERS) else f"{character.name} {index // len(CHARACTERS) + 1}"
        digest = hashlib.sha256(f"{seed}/agent/{index}".encode()).hexdigest()
        made.append(SandboxAgent(_uuid(digest), name, character, 1 / (1 + 0.6 * index)))
    return made


@dataclass(frozen=True)
class DayOfCalls:
    """All calls of an agent that start on a UTC day, ordered by start."""

    model_id: str
    character: Character
    assistant_version: str
    small: bool
    start_ms: npt.NDArray[np.int64]
    end_ms: npt.NDArray[np.int64]
    duration_seconds: npt.NDArray[np.int64]
    ringing_ms: npt.NDArray[np.int64]
    status: npt.NDArray[np.int8]
    variant: npt.NDArray[np.int16]
    people: range  # who call or are called, as positions among all numbers
    ids: bytes  # 16 bytes for each call

    def call_id(self, index: int) -> str:
        """Return the id of a call: a UUID, or for some calls the older form of milliseconds and digits."""
        digest = self.ids[16 * index : 16 * index + 16].hex()
        if self.variant[index] == 0:
            return f"{self.start_ms[index]}x{int(digest, 16) % 10**18:018d}"
        return _uuid(digest)

    def call_status(self, index: int, now_ms: int) -> str:
        """Return the status of a call; the call is open if it ends after `now_ms`."""
        if self.end_ms.item(index) <= now_ms:
            return _STATUSES[self.status.item(index)]
        answered = self.start_ms.item(index) + self.ringing_ms.item(index) <= now_ms
        return _IN_PROGRESS if answered else _RINGING

    def lead_phone_number(self, index: int) -> str:
        """Return the number of the person who calls or is called."""
        number = self.people[self.start_ms.item(index) // 7 % len(self.people)] % _NUMBERS
        return f"+1{210 + number // 100}55501{number % 100:02d}"


@lru_cache(maxsize=64)
def day_of_calls(
    agent: SandboxAgent,
    day: int,
    seed: int,
    calls_per_day: int,
    same_volume: bool,
    *,
    border_calls: bool = False,
    small: bool = False,
) -> DayOfCalls:
    """Make up the calls of an agent on a day.

    Args:
        agent: whose calls.
        day: days since 1970-01-01, UTC.
        seed: another seed makes other calls.
        calls_per_day: volume of the busiest agent on a weekday.
        same_volume: make exactly `calls_per_day` for every agent and day.
        border_calls: let the first and last call start in the first and last millisecond of the day.
        small: make records of about 2 kB.
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
    people = range(_NUMBERS)
    if agent.type == "outbound":
        first = day // _CAMPAIGN_DAYS * 997
        people = range(first, first + max(1, int(_LEADS_PER_CALL * calls_per_day * agent.share)))
    shares = [agent.character.statuses.get(status, 0.0) for status in _STATUSES]
    status = rng.choice(len(_STATUSES), count, p=shares).astype(np.int8)
    variant = rng.integers(0, VARIANTS, count).astype(np.int16)
    variant[rng.random(count) < _LARGE_SHARE] = LARGE
    by_voicemail = _is(status, *_VOICEMAIL) | (_is(status, "completed") & _ended_by_voicemail(agent.character, variant))
    ringing_ms = rng.integers(1_000, 4_000 if agent.type == "inbound" else 25_000, count)
    talk_seconds = np.clip(rng.lognormal(4.3, 0.9, count), 2, 3_000).astype(np.int64)
    talk_seconds = np.where(by_voicemail, rng.integers(4, 45, count), talk_seconds)
    duration_seconds = ringing_ms // 1000 + np.where(_is(status, *_CONNECTED), talk_seconds, 0)
    return DayOfCalls(
        model_id=agent.model_id,
        character=agent.character,
        assistant_version=str(max(1, day // 14 - 1450)),  # a new version every two weeks
        small=small,
        start_ms=start_ms,
        end_ms=start_ms + duration_seconds * 1000 + rng.integers(0, 1000, count),
        duration_seconds=duration_seconds,
        ringing_ms=ringing_ms,
        status=status,
        variant=variant,
        people=people,
        ids=rng.bytes(16 * count),
    )


def _is(status: npt.NDArray[np.int8], *names: str) -> npt.NDArray[np.bool_]:
    return np.isin(status, [_STATUSES.index(name) for name in names])


def _ended_by_voicemail(character: Character, variant: npt.NDArray[np.int16] | int) -> Any:
    """Return whether a completed call was answered by a voicemail, which its status does not say."""
    return (variant * 5 + 2) % VARIANTS < character.ended_by_voicemail * VARIANTS


# What differs between calls with the same conversation, in the order of `render`.
_VALUES = (
    *("model_id", "version", "own", "call_id", "lead", "start", "seconds", "talk_ms", "ringing", "answered", "end"),
    *("before_time", "before_second", "during_time", "during_second", "human0_time", "human1_time", "human2_time"),
    *("after_time", "after_second"),
)
_BEFORE_SECONDS = 2 * 86_400  # a custom function before the call has the time when it was configured
_HUMAN_SECONDS = (6, 17, 41)  # from a transfer until a human answers
_AFTER_SECONDS = 4  # from the end of a call until extractors run


def render(calls: DayOfCalls, index: int, now_ms: int) -> str:
    """Return the JSON text of one call, as the live API writes it; the call is open if it ends after `now_ms`."""
    start, end, ringing = calls.start_ms.item(index), calls.end_ms.item(index), calls.ringing_ms.item(index)
    status = calls.call_status(index, now_ms)
    seconds = calls.duration_seconds.item(index) if end <= now_ms else 0
    answered, ended = (start + ringing) // 1000, end // 1000
    during = (answered + ended) // 2
    values = (
        calls.model_id,
        calls.assistant_version,
        _own_number(calls.model_id),
        calls.call_id(index),
        calls.lead_phone_number(index),
        str(start),
        str(seconds),
        str(max(0, seconds * 1000 - ringing - 250)),
        str(ringing),
        _utc(answered),
        _utc(ended),
        _utc(answered - _BEFORE_SECONDS),
        str(answered - _BEFORE_SECONDS),
        _utc(during),
        str(during),
        *[_utc(during + wait) for wait in _HUMAN_SECONDS],
        _utc(ended + _AFTER_SECONDS),
        str(ended + _AFTER_SECONDS),
    )
    parts, pick = _template(calls.character, status, calls.variant.item(index), calls.small)
    written = parts.copy()
    written[1::2] = pick(values)
    return "".join(written)


@lru_cache(maxsize=4096)
def _template(
    character: Character, status: str, variant: int, small: bool
) -> tuple[list[str], Callable[[tuple[str, ...]], tuple[str, ...]]]:
    """Return the text of calls that differ only in `_VALUES`, as parts, and a function that picks the missing parts.

    Joining the parts takes a tenth of the time of formatting a text.
    """
    is_open, talked = status in (_RINGING, _IN_PROGRESS), status in _CONNECTED
    inbound = character.type_of_call == "inbound"
    lead, own = '"@lead@"', '"@own@"'
    said = _conversation(character, status, variant, small=small)
    name = json.dumps(None if inbound and variant % 2 else _LEADS[variant % len(_LEADS)])
    error = _ERROR_MESSAGES[variant % len(_ERROR_MESSAGES)] if status == "failed" else None
    text = (
        '{"call_id":"@call_id@","model_id":"@model_id@","duration":"@seconds@",'
        f'"end_call_reason":{_quoted(_end_reason(character, status, variant))},'
        f'"judge_results":{said.judge_results},"lead_phone_number":{lead},'
        f'"agents_used":{_listed("@model_id@" if character.variables else None)},'
        f'"executed_actions":{said.executed_actions},'
        f'"recording_url":{_quoted("https://recordings.invalid/@call_id@.wav" if talked else None)},'
        f'"type_of_call":"{character.type_of_call}",'
        f'"recording_duration":{_quoted("@seconds@" if talked and variant % 5 else None)},'
        f'"transcript":{said.transcript},"error_message":{_quoted(error)},'
        f'"call_status":"{status}","start_time":"@start@","lead_name":{name},"name":{name},'
        f'"labels":{_listed("vip" if variant % 11 == 0 else None)},"agent_phone_number":{own},'
        f'"deployment_type":null,"timezone":"America/New_York",'
        f'"telephony_hangup":{_quoted(("caller", "callee")[variant % 2] if talked else None)},'
        f'"telephony_disconnect_reason":{_quoted(_disconnect_reason(status, variant))},'
        f'"telephony_duration":{"@talk_ms@" if talked else "null"},'
        f'"telephony_start":{"null" if status == _RINGING else _quoted("@answered@")},'
        f'"telephony_end":{_quoted(None if is_open else "@end@")},"campaign_type":"live",'
        f'"phone_number_from":{lead if inbound else own},"phone_number_to":{own if inbound else lead},'
        f'"collected_variables":{said.collected_variables},'
        f'"assistant_version":"@version@","telephony_ringing_duration":@ringing@,'
        f'"telephony_sip_headers":{_sip_headers(variant)}}}'
    )
    parts = re.split(r"@(\w+)@", text)
    return parts, itemgetter(*map(_VALUES.index, parts[1::2]))


def _conversation(character: Character, status: str, variant: int, *, small: bool) -> Conversation:
    if status == "completed" and not _ended_by_voicemail(character, variant):
        return with_person(character, variant, small=small)
    if status in _CONNECTED:
        return with_voicemail(character, variant, leaves_message=status == "left_voicemail")
    return SILENCE


def _end_reason(character: Character, status: str, variant: int) -> str:
    """Return an end reason; `undefined` if there is none."""
    if status != "completed":
        reasons = _END_REASONS.get(status, ("undefined",))
    elif _ended_by_voicemail(character, variant):
        reasons = ("voicemail", "voicemail_cut_off")
    else:
        reasons = tuple(reason for reason, weight in _PERSON_END_REASONS.items() for _ in range(weight))
    return reasons[variant * 13 % len(reasons)]


def _disconnect_reason(status: str, variant: int) -> str | None:
    if status == "failed":
        return ("error", "forbidden")[variant % 2]
    if status not in _CONNECTED:
        return None
    return ("caller_hangup", "callee_hangup", "callee_hangup", "caller_hangup", "unknown", None)[variant % 6]


def _sip_headers(variant: int) -> str:
    if variant % 6:
        return "null"
    return '{"X-Call-Source":"trunk-1","X-Original-Number":"@own@"}'


def _quoted(text: str | None) -> str:
    return "null" if text is None else f'"{text}"'


def _listed(text: str | None) -> str:
    return "[]" if text is None else f'["{text}"]'


@lru_cache
def _own_number(model_id: str) -> str:
    return f"+141555501{zlib.crc32(model_id.encode()) % 100:02d}"


def _utc(second: int) -> str:
    # Formatting each time took a third of a page's time, so days and times of day are cached.
    day, rest = divmod(second, 86_400)
    return f"{_date(day)}T{_time(rest)}"


@lru_cache
def _date(day: int) -> str:
    return str(np.datetime64(day, "D"))


@cache  # 86,400 texts at most
def _time(second: int) -> str:
    return f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"


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
