"""Faults that change the records of a page, by the name that `config.FAULTS` describes.

Each is a shape that was seen or announced, but that a default sandbox does not send.
"""

from __future__ import annotations

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
    "starts_in_seconds": _starts_in_seconds,
    "labels_as_objects": _labels_as_objects,
}


def changed(text: str, change: Callable[[Record], None]) -> str:
    """Return the JSON text of a record after a change."""
    record = json.loads(text)
    change(record)
    return json.dumps(record)
