"""The metrics once more, in plain Python: slow, and so simple that one can see that it is right."""

import math
import zoneinfo
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta

from tests.spec.calls import Call, Row

SHORT_CALL_SECONDS = 10
_MINUTE_MS = 60_000
VOICEMAILS = ("hangup_on_voicemail", "left_voicemail")
CONNECTED = ("completed", *VOICEMAILS)


def reported(value: str | None) -> str:
    """A text that may be missing."""
    return (value or "").strip() or "not_reported"


def has_status(call: Call, *statuses: str) -> bool:
    """The API mixes hyphens and underscores."""
    return reported(call["call_status"]).replace("-", "_") in statuses


def percentile(values: Sequence[int], share: float) -> float | None:
    """Linear interpolation between the two closest ranks."""
    if not values:
        return None
    ordered, place = sorted(values), share * (len(values) - 1)
    below, above, weight = ordered[math.floor(place)], ordered[math.ceil(place)], place - math.floor(place)
    return below * (1.0 - weight) + above * weight


def statistics(values: Sequence[int], unit: int = 1) -> list[float | None]:
    """Mean, median, p90, p95 and p99, in units of so many."""
    mean = sum(values) / len(values) if values else None
    found = [mean, *(percentile(values, share) for share in (0.5, 0.9, 0.95, 0.99))]
    return [None if one is None else one / unit for one in found] if unit > 1 else found


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _present(values: Iterable[int | None]) -> list[int]:
    return [value for value in values if value is not None]


def call_duration_daily(calls: Sequence[Call]) -> list[Row]:
    connected = [call for call in calls if has_status(call, *CONNECTED)]
    seconds = _present(call["duration_seconds"] for call in connected)
    short = sum(one < SHORT_CALL_SECONDS for one in seconds)
    return [(len(calls), len(connected), short, sum(seconds), *statistics(seconds), max(seconds, default=None))]


def disconnect_reasons_daily(calls: Sequence[Call]) -> list[Row]:
    by_reason: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        by_reason[reported(call["telephony_disconnect_reason"])].append(call)
    rows: list[Row] = []
    for reason, own in by_reason.items():
        seconds = _present(call["duration_seconds"] for call in own)
        mean = sum(seconds) / len(seconds) if seconds else None
        rows.append((reason, len(own), len(own) / len(calls), mean))
    return rows


def call_duration_histogram(calls: Sequence[Call]) -> list[Row]:
    counts = Counter(
        (reported(call["type_of_call"]), reported(call["call_status"]), call["duration_seconds"]) for call in calls
    )
    return [(*key, count) for key, count in counts.items()]


def call_outcomes_daily(calls: Sequence[Call]) -> list[Row]:
    return [
        (dimension, value, count, count / len(calls))
        for dimension in ("call_status", "end_call_reason", "telephony_hangup", "type_of_call")
        for value, count in Counter(reported(call[dimension]) for call in calls).items()
    ]


def call_rates_daily(calls: Sequence[Call]) -> list[Row]:
    def count(*statuses: str) -> int:
        return sum(has_status(call, *statuses) for call in calls)

    connected = [call for call in calls if has_status(call, *CONNECTED)]
    short = sum((call["duration_seconds"] or 0) < SHORT_CALL_SECONDS for call in connected) - sum(
        call["duration_seconds"] is None for call in connected
    )
    voicemails = count(*VOICEMAILS)
    counts = [len(connected), count("no_answer"), count("busy"), count("failed"), voicemails]
    rates = [_ratio(one, len(calls)) for one in counts]
    return [(len(calls), *counts, short, *rates, _ratio(short, len(connected)))]


def telephony_timing_daily(calls: Sequence[Call]) -> list[Row]:
    connected = [call for call in calls if has_status(call, *CONNECTED)]
    ringing = _present(call["telephony_ringing_duration_ms"] for call in calls)
    talk = _present(call["telephony_duration_ms"] for call in connected)
    difference = [
        1000 * call["duration_seconds"] - call["telephony_duration_ms"]
        for call in connected
        if call["duration_seconds"] is not None and call["telephony_duration_ms"] is not None
    ]

    def largest(values: list[int], of: Callable[..., int] = max) -> float | None:
        return of(values) / 1000 if values else None

    return [
        (
            len(calls),
            len(ringing),
            *statistics(ringing, 1000),
            largest(ringing),
            len(talk),
            sum(talk) / 1000,
            *statistics(talk, 1000),
            largest(talk),
            len(difference),
            *statistics(difference, 1000),
            largest(difference, min),
            largest(difference),
        )
    ]


def judge_results_daily(calls: Sequence[Call]) -> list[Row]:
    answers: dict[str, list[str]] = defaultdict(list)
    for call in calls:
        for check, told in (call["judge_results"] or {}).items():
            answer = (told or "").strip().lower()
            if answer and (not check.endswith("_reason") or answer in ("true", "partial", "false")):
                answers[check].append(answer)
    rows: list[Row] = []
    for check, all_of_them in answers.items():
        passes, partials, fails = (all_of_them.count(one) for one in ("true", "partial", "false"))
        verdicts = passes + partials + fails
        others = len(all_of_them) - verdicts
        rows.append((check, len(all_of_them), passes, partials, fails, others, _ratio(passes, verdicts)))
    return rows


def collected_variables_daily(calls: Sequence[Call]) -> list[Row]:
    asked: Counter[str] = Counter()
    collected: Counter[str] = Counter()
    for call in calls:
        answers: dict[str, bool] = {}
        for name, entry in (call["collected_variables"] or {}).items():
            # Told apart by what the test makes, not by what the SQL looks at: agents are called agent-N.
            variables = (entry or {}) if name.startswith("agent-") else {name: entry}
            for variable, answer in variables.items():
                answers[variable] = answers.get(variable, False) or bool(answer and answer["collected"])
        asked.update(answers.keys())
        collected.update(variable for variable, was_collected in answers.items() if was_collected)
    return [(variable, count, collected[variable], collected[variable] / count) for variable, count in asked.items()]


def actions_daily(calls: Sequence[Call]) -> list[Row]:
    executed: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for call in calls:
        for action in (call["executed_actions"] or {}).values():
            kind = reported(action["action_type"])
            executed[kind] += 1
            failed[kind] += "error" in (action["return_value"] or "")
    return [(kind, count, failed[kind]) for kind, count in executed.items()]


def load_hourly(calls: Sequence[Call], day: date, timezone: str) -> list[Row]:
    """Hours of a day, minute by minute: what every moment's clock shows, and who is on a call in it."""
    zone = zoneinfo.ZoneInfo(timezone)
    midnight, next_midnight = (
        int(datetime(one.year, one.month, one.day, tzinfo=zone).timestamp() * 1000)
        for one in (day, day + timedelta(days=1))
    )
    hours: list[list[int]] = []
    offset = None
    for minute in range(midnight, next_midnight, _MINUTE_MS):
        local = datetime.fromtimestamp(minute / 1000, zone)
        if local.minute == 0 or local.utcoffset() != offset:
            hours.append([minute, minute, local.hour])
        offset = local.utcoffset()
        hours[-1][1] = minute + _MINUTE_MS
    spans = [(call["start_ms"], call["start_ms"] + 1000 * (call["duration_seconds"] or 0)) for call in calls]
    rows: list[Row] = []
    for start, end, hour in hours:
        started = [span for span in spans if start <= span[0] < end]
        running = [span for span in spans if span[0] < end and span[1] > start]
        moments = [max(start, span[0]) for span in running if span[1] > span[0]]
        peak = max((sum(a <= moment < b for a, b in running) for moment in moments), default=0)
        in_progress = len(running) + sum(a == b for a, b in started if (a, b) not in running)
        minutes = sum(min(end, b) - max(start, a) for a, b in running) / _MINUTE_MS
        rows.append((datetime.fromtimestamp(start / 1000, UTC), hour, len(started), in_progress, minutes, peak))
    return rows
