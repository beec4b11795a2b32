"""The calls of an agent as plain Python, for those who want them without the warehouse."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from synthflow_assets.api.events import CallWindow, FailedWindow, FetchedPage
from synthflow_assets.api.fetch import fetch_windows

if TYPE_CHECKING:
    from synthflow_assets.api.client import SynthflowClient


def iter_calls(
    client: SynthflowClient, model_id: str, start: dt.datetime, end: dt.datetime, margin_seconds: int
) -> Iterator[dict[str, Any]]:
    """See `SynthflowClient.iter_calls`."""
    for name, moment in (("start", start), ("end", end)):
        if not isinstance(moment, dt.datetime) or moment.tzinfo is None:
            raise ValueError(
                f"{name} is {str(moment)!r}; allowed is a date-time with a time zone, such as "
                "datetime(2026, 1, 31, tzinfo=timezone.utc)"
            )
    if start >= end:
        raise ValueError(f"start {start} is not before end {end}")
    return _records(client, CallWindow(model_id, _epoch_ms(start), _epoch_ms(end)), margin_seconds)


def _records(client: SynthflowClient, window: CallWindow, margin_seconds: int) -> Iterator[dict[str, Any]]:
    for event in fetch_windows(client, [window], margin_seconds=margin_seconds):
        if isinstance(event, FetchedPage):
            for record in event.records:
                yield json.loads(record.raw)
        elif isinstance(event, FailedWindow):
            raise event.error


def _epoch_ms(moment: dt.datetime) -> int:
    return round(moment.timestamp() * 1000)
