"""Faults that change the records of a page, by the name that `config.FAULTS` describes.

Each is a shape that was seen or announced, but that a default sandbox does not send.
"""

from __future__ import annotations

import datetime as dt
import json
import zlib
from collections.abc import Callable
from typing import Any

Record = dict[str, Any]


def _listed_actions(record: Record) -> None:
    if isinstance(record.get("executed_actions"), dict):
        record["executed_actions"] = list(record["executed_actions"].values())


def _returned_objects(record: Record) -> None:
    actions = record.get("executed_actions") or {}
    for action in actions.values() if isinstance(actions, dict) else actions:
        if isinstance(action["return_value"], str):
            action["return_value"] = json.loads(action["return_value"])


def _evaluations(record: Record) -> None:
    if record.get("judge_results"):
        record["judge_results"] |= {"politeness score": "8", "mood": "in a hurry"}


def _deleted_texts(record: Record) -> None:
    for name in ("transcript", "recording_url", "lead_phone_number", "phone_number_from", "phone_number_to"):
        record[name] = None


def _no_recording_url(record: Record) -> None:
    record.pop("recording_url", None)


def _durations_as_fractions(record: Record) -> None:
    record["duration"] = float(record["duration"]) + 0.5


def _blank_call_ids(record: Record) -> None:
    if zlib.crc32(record["call_id"].encode()) % 2:
        record["call_id"] = " "


def _negative_durations(record: Record) -> None:
    record["duration"] = -1 - int(record["duration"])


def _starts_as_date_times(record: Record) -> None:
    record["start_time"] = dt.datetime.fromtimestamp(int(record["start_time"]) / 1000, dt.UTC).isoformat()


def _telephony_starts_as_epochs(record: Record) -> None:
    if record.get("telephony_start"):
        start = dt.datetime.fromisoformat(record["telephony_start"]).replace(tzinfo=dt.UTC)
        record["telephony_start"] = int(start.timestamp() * 1000)


def _upper_case_statuses(record: Record) -> None:
    record["call_status"] = record["call_status"].upper()


def _statuses_as_objects(record: Record) -> None:
    record["call_status"] = {"value": record["call_status"]}


def _statuses_as_numbers(record: Record) -> None:
    record["call_status"] = 1


def _statuses_as_booleans(record: Record) -> None:
    record["call_status"] = True


def _statuses_as_null(record: Record) -> None:
    record["call_status"] = None


def _durations_in_milliseconds(record: Record) -> None:
    record["duration"] = int(record["duration"]) * 1000


def _starts_a_day_early(record: Record) -> None:
    record["start_time"] = str(int(record["start_time"]) - 86_400_000)


def _blank_statuses(record: Record) -> None:
    record["call_status"] = " "


def _end_reasons_as_booleans(record: Record) -> None:
    record["end_call_reason"] = True


def _empty_judge_results(record: Record) -> None:
    if record.get("judge_results"):
        record["judge_results"] = {}


def _blank_judge_results(record: Record) -> None:
    if record.get("judge_results"):
        record["judge_results"] = ""


def _empty_actions(record: Record) -> None:
    if record.get("executed_actions"):
        record["executed_actions"] = []


def _actions_without_content(record: Record) -> None:
    actions = record.get("executed_actions")
    if isinstance(actions, dict):
        record["executed_actions"] = [{"name": name} for name in actions]


def _json_as_texts(record: Record) -> None:
    for name in ("judge_results", "executed_actions", "collected_variables"):
        if record.get(name) is not None:
            record[name] = json.dumps(record[name])


def _judge_results_as_lists(record: Record) -> None:
    if record.get("judge_results"):
        record["judge_results"] = [record["judge_results"]]


def _actions_as_texts(record: Record) -> None:
    actions = record.get("executed_actions")
    if isinstance(actions, dict):
        record["executed_actions"] = {name: json.dumps(action) for name, action in actions.items()}


def _transcripts_as_lists(record: Record) -> None:
    if record.get("transcript"):
        record["transcript"] = record["transcript"].splitlines()


def _recording_durations_as_objects(record: Record) -> None:
    record["recording_duration"] = {"seconds": record.get("recording_duration")}


def _endless_calls(record: Record) -> None:
    if zlib.crc32(record["call_id"].encode()) % 10 == 0:
        record["call_status"] = "in-progress"


def _starts_in_seconds(record: Record) -> None:
    record["start_time"] = int(record["start_time"]) // 1000


def _labels_as_objects(record: Record) -> None:
    record["labels"] = {"names": record.get("labels")}


RECORD_FAULTS: dict[str, Callable[[Record], None]] = {
    "listed_actions": _listed_actions,
    "returned_objects": _returned_objects,
    "evaluations": _evaluations,
    "deleted_texts": _deleted_texts,
    "no_recording_url": _no_recording_url,
    "durations_as_fractions": _durations_as_fractions,
    "blank_call_ids": _blank_call_ids,
    "negative_durations": _negative_durations,
    "starts_as_date_times": _starts_as_date_times,
    "telephony_starts_as_epochs": _telephony_starts_as_epochs,
    "upper_case_statuses": _upper_case_statuses,
    "statuses_as_objects": _statuses_as_objects,
    "statuses_as_numbers": _statuses_as_numbers,
    "statuses_as_booleans": _statuses_as_booleans,
    "statuses_as_null": _statuses_as_null,
    "durations_in_milliseconds": _durations_in_milliseconds,
    "starts_a_day_early": _starts_a_day_early,
    "blank_statuses": _blank_statuses,
    "end_reasons_as_booleans": _end_reasons_as_booleans,
    "empty_judge_results": _empty_judge_results,
    "blank_judge_results": _blank_judge_results,
    "empty_actions": _empty_actions,
    "actions_without_content": _actions_without_content,
    "json_as_texts": _json_as_texts,
    "judge_results_as_lists": _judge_results_as_lists,
    "actions_as_texts": _actions_as_texts,
    "transcripts_as_lists": _transcripts_as_lists,
    "recording_durations_as_objects": _recording_durations_as_objects,
    "endless_calls": _endless_calls,
    "starts_in_seconds": _starts_in_seconds,
    "labels_as_objects": _labels_as_objects,
}


def changed(text: str, change: Callable[[Record], None]) -> str:
    """Return the JSON text of a record after a change."""
    record = json.loads(text)
    change(record)
    return json.dumps(record)
