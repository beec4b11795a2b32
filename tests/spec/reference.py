"""The metrics in plain Python: slow, but simple enough to verify by reading."""

import json
import math
import zoneinfo
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from tests.spec.calls import Call, Row

SHORT_CALL_SECONDS = 10
PRICE_PER_MINUTE = 0.13
_MINUTE_MS = 60_000
VOICEMAILS = ("hangup_on_voicemail", "left_voicemail")
CONNECTED = ("completed", *VOICEMAILS)


def reported(value: str | None) -> str:
    """A text that may be missing."""
    return (value or "").strip() or "not_reported"


def has_status(call: Call, *statuses: str) -> bool:
    """The API mixes hyphens and underscores."""
    return reported(call["call_status"]).replace("-", "_") in statuses


def percentile(values: Sequence[float], share: float) -> float | None:
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
    values: dict[str, Callable[[Call], str]] = {
        "outcome": outcome,
        "telephony_error_code": lambda call: error_code(call) or "not_reported",
    }
    for name in (
        *("call_status", "end_call_reason", "telephony_hangup", "type_of_call", "assistant_version", "campaign_type"),
    ):
        values[name] = lambda call, name=name: reported(call[name])  # type: ignore[misc]
    return [
        (dimension, value, count, count / len(calls))
        for dimension, value_of in values.items()
        for value, count in Counter(map(value_of, calls)).items()
    ]


def outcome(call: Call) -> str:
    status, reason = reported(call["call_status"]).replace("-", "_"), reported(call["end_call_reason"])
    if status == "completed":
        return "voicemail" if reason.startswith("voicemail") else "person_reached"
    known = {
        **dict.fromkeys(VOICEMAILS, "voicemail"),
        **dict.fromkeys(("no_answer", "busy", "failed", "canceled"), status),
        "user_canceled": "canceled",
        **dict.fromkeys(
            ("pending", "ringing", "in_progress", "queue", "initiated", "checking", "paused", "registered"), "open"
        ),
    }
    return known.get(status, "other")


def error_code(call: Call) -> str | None:
    words = (call["error_message"] or "").split(" - ")
    return words[1] if words[0] == "Telephony" and words[1].isdecimal() else None


def call_rates_daily(calls: Sequence[Call]) -> list[Row]:
    def count(*statuses: str) -> int:
        return sum(has_status(call, *statuses) for call in calls)

    connected = [call for call in calls if has_status(call, *CONNECTED)]
    short = sum(call["duration_seconds"] is not None and call["duration_seconds"] < 10 for call in connected)
    reached = [call for call in calls if outcome(call) == "person_reached"]
    silent = [call for call in reached if call["transcript"] is not None and "human:" not in call["transcript"]]
    transferred = [call for call in calls if transfers(call)]
    succeeded = [call for call in transferred if any(is_success(one) for one in transfers(call))]
    failed = [call for call in transferred if call not in succeeded and any(map(is_failure, transfers(call)))]
    contained = [call for call in reached if not transfers(call)]
    full = [call for call in calls if judged_true(call, "judge_found_full_error")]
    partial = [call for call in calls if judged_true(call, "judge_found_partial_or_error") or call in full]
    by_status = [count("no_answer"), count("busy"), count("failed"), count(*VOICEMAILS)]
    shares = [_ratio(one, len(calls)) for one in (len(connected), len(reached), *by_status)]
    return [
        (
            len(calls),
            len(connected),
            len(reached),
            len(silent),
            *by_status,
            short,
            *(len(transferred), len(succeeded), len(failed), len(contained), len(full), len(partial)),
            *shares,
            _ratio(short, len(connected)),
            _ratio(len(succeeded), len(succeeded) + len(failed)),
            _ratio(len(contained), len(reached)),
        )
    ]


def call_segments_daily(calls: Sequence[Call]) -> list[Row]:
    rows: list[Row] = []
    for segment in ("assistant_version", "campaign_type", "agent_phone_number", "deployment_type"):
        by_value: dict[str, list[Call]] = defaultdict(list)
        for call in calls:
            by_value[reported(call[segment])].append(call)
        for value, own in by_value.items():
            connected = [call for call in own if has_status(call, *CONNECTED)]
            seconds = _present(call["duration_seconds"] for call in connected)
            goals = [verdicts(call["judge_results"] or {}).get("goal") for call in own]
            judged = sum(goal in ("true", "partial", "false") for goal in goals)
            reached = sum(outcome(call) == "person_reached" for call in own)
            succeeded = [call for call in own if any(map(is_success, transfers(call)))]
            failed = [call for call in own if call not in succeeded and any(map(is_failure, transfers(call)))]
            rows.append(
                (
                    *(segment, value, len(own), len(connected), reached, sum(seconds), percentile(seconds, 0.5)),
                    *(judged, goals.count("true"), sum(bool(transfers(call)) for call in own)),
                    *(len(succeeded), len(failed)),
                    *(len(connected) / len(own), reached / len(own), _ratio(goals.count("true"), judged)),
                    _ratio(len(succeeded), len(succeeded) + len(failed)),
                )
            )
    return rows


def call_costs_daily(calls: Sequence[Call]) -> list[Row]:
    billed = [call for call in calls if not has_status(call, "user_canceled")]
    seconds = sum(_present(call["duration_seconds"] for call in billed))
    reached = sum(outcome(call) == "person_reached" for call in calls)
    passes = sum(verdicts(call["judge_results"] or {}).get("goal") == "true" for call in calls)
    cost = seconds * PRICE_PER_MINUTE / 60
    per = [cost / count if count else None for count in (reached, passes)]
    return [(len(calls), len(billed), seconds, reached, passes, PRICE_PER_MINUTE, "EUR", cost, *per)]


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


def judged_true(call: Call, key: str) -> bool:
    return str((call["judge_results"] or {}).get(key)).lower() == "true"


def verdicts(results: dict[str, Any]) -> dict[str, str]:
    """The verdict of each check, in lower case; explanations, aggregates and empty verdicts are none."""
    found = {}
    for check, told in results.items():
        verdict = "" if told is None else str(told).strip().lower()
        explains = any(check == f"{other}{suffix}" for other in results for suffix in ("_feedback", "_reason"))
        aggregate = check in ("all_feedback", "judge_found_full_error", "judge_found_partial_or_error")
        if verdict and not explains and not aggregate:
            found[check] = verdict
    return found


def judge_results_daily(calls: Sequence[Call]) -> list[Row]:
    answers: dict[str, list[str]] = defaultdict(list)
    for call in calls:
        for check, verdict in verdicts(call["judge_results"] or {}).items():
            answers[check].append(verdict)
    rows: list[Row] = []
    for check, all_of_them in answers.items():
        passes, partials, fails, none = map(all_of_them.count, ("true", "partial", "false", "not_applicable"))
        judged = passes + partials + fails
        scores = [float(one) for one in all_of_them if len(one) < 8 and one.replace(".", "").isdecimal()]
        others = len(all_of_them) - judged - none - len(scores)
        mean = sum(scores) / len(scores) if scores else None
        rows.append((check, judged, passes, partials, fails, none, others, _ratio(passes, judged), len(scores), mean))
    return rows


def actions(call: Call) -> list[dict[str, Any]]:
    """What ran in a call, with what it returned as an object."""
    executed = call["executed_actions"] or {}
    named = list(executed.items()) if isinstance(executed, dict) else [(None, one) for one in executed]
    found = []
    for _, action in named:
        returned = action.get("return_value")
        if isinstance(returned, str):
            try:
                returned = json.loads(returned)
            except ValueError:
                returned = None
        found.append({**action, "return_value": returned if isinstance(returned, dict) else {}})
    return found


def is_failure(action: dict[str, Any]) -> bool:
    returned = action["return_value"]
    statuses = [str(returned.get("status", "")).lower(), str(action.get("return_value_status") or "").lower()]
    return any(
        (
            bool((action.get("error_message") or "").strip()),
            any(one.startswith("transfer-failed") or one in ("error", "failed", "failure") for one in statuses),
            str(returned.get("success")).lower() == "false",
            returned.get("error") not in (None, "", False),
            int(returned.get("status_code", 200)) >= 400,
        )
    )


def transfers(call: Call) -> list[dict[str, Any]]:
    return [one for one in actions(call) if "transfer" in (one["action_type"] or "")]


def is_success(transfer: dict[str, Any]) -> bool:
    return not is_failure(transfer) and "status" in transfer["return_value"]


def actions_daily(calls: Sequence[Call]) -> list[Row]:
    by_type: dict[str, list[tuple[int, dict[str, Any]]]] = defaultdict(list)
    for number, call in enumerate(calls):
        for action in actions(call):
            by_type[reported(action["action_type"])].append((number, action))
    return [
        (kind, len(own), sum(is_failure(action) for _, action in own), len({number for number, _ in own}))
        for kind, own in by_type.items()
    ]


def transfers_daily(calls: Sequence[Call]) -> list[Row]:
    by_outcome: dict[tuple[str, str], list[tuple[int, float | None]]] = defaultdict(list)
    for number, call in enumerate(calls):
        for transfer in transfers(call):
            returned = transfer["return_value"]
            key = reported(returned.get("status")), reported(returned.get("failed_reason"))
            connected, began = returned.get("human_connected_at"), transfer["timestamp"]
            waited = None if connected is None else connected - float(began)
            by_outcome[key].append((number, waited if waited is not None and waited >= 0 else None))
    rows: list[Row] = []
    for key, own in by_outcome.items():
        waits = sorted(wait for _, wait in own if wait is not None)
        mean = sum(waits) / len(waits) if waits else None
        rows.append((*key, len(own), len({number for number, _ in own}), mean, percentile(waits, 0.5)))
    return rows


def collected_variables_daily(calls: Sequence[Call]) -> list[Row]:
    asked: Counter[tuple[str, str]] = Counter()
    collected: Counter[tuple[str, str]] = Counter()
    for call in calls:
        answers: dict[tuple[str, str], bool] = defaultdict(bool)
        for name, entry in (call["collected_variables"] or {}).items():
            # Told apart by what the test makes, not by what the SQL looks at: agents are called agent-N.
            variables = (entry or {}) if name.startswith("agent-") else {name: entry}
            for variable, answer in variables.items():
                answers["variable", variable] |= bool(answer and answer["collected"])
        for action in actions(call):
            if action["action_type"] == "extract_info_action_type":
                found = action["return_value"] or {f"extract_info_{action['identifier']}": None}
                for key, value in found.items():
                    name = key.removeprefix("extract_info_").removeprefix("info_extractor_")
                    answers["extractor", name] |= value not in (None, "", {})
        asked.update(answers.keys())
        collected.update(key for key, was_collected in answers.items() if was_collected)
    return [(*key, count, collected[key], collected[key] / count) for key, count in asked.items()]


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
        own = [call for call in calls if start <= call["start_ms"] < end]
        connected = sum(has_status(call, *CONNECTED) for call in own)
        reached = sum(outcome(call) == "person_reached" for call in own)
        hour_start = datetime.fromtimestamp(start / 1000, UTC)
        rows.append((hour_start, hour, len(started), connected, reached, in_progress, minutes, peak))
    return rows


def callers_daily(calls: Sequence[Call], agent: str, day: date) -> Row:
    """Callers of a day of an agent, among the calls of all days and agents."""
    order = sorted(calls, key=lambda call: (call["start_ms"], call["call_id"]))
    own = [call for call in order if call["model_id"] == agent and _day(call) == day]
    known = [call for call in own if call["caller"]]
    if own and not known:
        return (len(own), 0, *(None,) * 6)

    def distinct(condition: Callable[[Call], bool]) -> int:
        return len({call["caller"] for call in known if condition(call)})

    def repeats(call: Call, hours: int) -> bool:
        before = [one for one in order[: order.index(call)] if one["caller"] == call["caller"]]
        return bool(before) and call["start_ms"] - before[-1]["start_ms"] <= hours * 3_600_000

    def is_new(call: Call) -> bool:
        return not any(one["caller"] == call["caller"] and _day(one) < day for one in order)

    callers = distinct(lambda _: True)
    return (
        *(len(own), len(known), callers),
        distinct(lambda call: outcome(call) == "person_reached"),
        distinct(is_new),
        *(distinct(lambda call, hours=hours: repeats(call, hours)) for hours in (24, 168)),  # type: ignore[misc]
        _ratio(len(known), callers),
    )


def attempts_daily(calls: Sequence[Call]) -> list[Row]:
    """Attempts of all days and agents."""
    tries: dict[tuple[str, str], list[Call]] = defaultdict(list)
    for call in sorted(calls, key=lambda call: (call["start_ms"], call["call_id"])):
        lead = tries[call["model_id"], call["caller"]]
        if call["type_of_call"] == "outbound" and call["caller"] and not any(map(_is_reached, lead)):
            lead.append(call)
    cohorts: dict[tuple[date, str], list[list[Call]]] = defaultdict(list)
    for (agent, _), lead in tries.items():
        if lead:
            cohorts[_day(lead[0]), agent].append(lead)
    rows: list[Row] = []
    for (day, agent), leads in cohorts.items():
        so_far = 0
        for attempt in range(1, 1 + min(10, max(map(len, leads)))):
            reached = sum(_is_reached(lead[-1]) and min(10, len(lead)) == attempt for lead in leads)
            so_far += reached
            with_it = sum(len(lead) >= attempt for lead in leads)
            rows.append((day, agent, attempt, with_it, reached, so_far, len(leads), so_far / len(leads)))
    return rows


def _is_reached(call: Call) -> bool:
    return outcome(call) == "person_reached"


def _day(call: Call) -> date:
    return datetime.fromtimestamp(call["start_ms"] / 1000, UTC).date()
