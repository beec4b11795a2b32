"""Download the recordings of calls into a folder or to S3, each recording once.

From January 2027 on, the list of calls has no links to recordings, so each recording is requested by its call id.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import mimetypes
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from pyarrow import fs

from synthflow_assets.api.client import SynthflowClient
from synthflow_assets.api.transport import Audio
from synthflow_assets.errors import (
    AccessDeniedError,
    ApiError,
    AuthenticationError,
    UnknownHostError,
    WarehouseUnusableError,
)
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.metric_tables import CONNECTED_STATUSES
from synthflow_assets.warehouse.statements import sql_file, write

_BATCH_SIZE = 200  # recordings; a killed run downloads at most this many again
_MAX_MEMORY_BYTES = 2**20  # a longer recording is buffered on disk


class RecordedCall(NamedTuple):
    """A call that may have a recording."""

    day: dt.date
    model_id: str
    call_id: str


class StoredAudio(NamedTuple):
    """A stored recording, and its location."""

    location: str
    audio: Audio


@dataclass
class RecordingCounts:
    """How many calls have a stored recording, have no recording, or failed."""

    stored: int = 0
    without: int = 0
    failed: int = 0
    size_bytes: int = 0


def store_recordings(
    client: SynthflowClient, warehouse: Warehouse, target: str, days: Sequence[dt.date], log: Callable[[str], None]
) -> RecordingCounts:
    """Download the recordings of connected calls that are not stored yet.

    Args:
        client: sends the requests.
        warehouse: has the calls, and the table `call_recordings` of what is stored.
        target: a folder, or `s3://bucket/prefix`.
        days: the days of the calls.
        log: gets a message for each recording that failed.

    Returns:
        Counts of the calls of this run.

    Raises:
        ApiError: it concerns every call.
        WarehouseError: the target or the tables cannot be written.
    """
    recorder = _Recorder(client, target)
    calls = _unsaved_calls(warehouse, days)
    counts = RecordingCounts()
    for start in range(0, len(calls), _BATCH_SIZE):
        batch = calls[start : start + _BATCH_SIZE]
        with ThreadPoolExecutor(client.max_connections, thread_name_prefix="recordings") as pool:
            outcomes = list(zip(batch, pool.map(recorder.store, batch), strict=True))
        _save(warehouse, outcomes)
        for call, outcome in outcomes:
            if isinstance(outcome, ApiError):
                log(f"a recording of {call.day} could not be downloaded: {outcome}")
                counts.failed += 1
            elif outcome is None:
                counts.without += 1
            else:
                counts.stored += 1
                counts.size_bytes += outcome.audio.size_bytes
    return counts


def delete_recordings(locations: Iterable[str]) -> None:
    """Delete stored recordings; skip those that no longer exist."""
    for location in locations:
        store, path = _open(location)
        if store.get_file_info(path).type == fs.FileType.File:
            store.delete_file(path)


class _Recorder:
    """Downloads recordings into a target. Threads may share it."""

    def __init__(self, client: SynthflowClient, target: str) -> None:
        self._client = client
        self._target = target.rstrip("/")
        self._store, self._base = _open(self._target)

    def store(self, call: RecordedCall) -> StoredAudio | ApiError | None:
        """Store the recording of a call, and return it; an error if it failed, None if the call has none.

        Raises:
            ApiError: it concerns every call.
            WarehouseUnusableError: the target cannot be written.
        """
        with tempfile.SpooledTemporaryFile(_MAX_MEMORY_BYTES) as file:
            try:
                audio = self._client.fetch_recording(call.call_id, file)  # type: ignore[arg-type]
            except (AuthenticationError, AccessDeniedError, UnknownHostError):
                raise
            except ApiError as error:
                return error
            if audio is None:
                return None
            name = _file_name(call, audio.content_type)
            file.seek(0)
            try:
                self._write(f"{self._base}/{name}", file)
            except OSError as error:
                reason = error.strerror or type(error).__name__
                raise WarehouseUnusableError(
                    f"the folder of SYNTHFLOW_RECORDINGS cannot be written: {reason}; check its path and permissions"
                ) from None
        return StoredAudio(f"{self._target}/{name}", audio)

    def _write(self, path: str, file: tempfile.SpooledTemporaryFile[bytes]) -> None:
        if isinstance(self._store, fs.LocalFileSystem):
            # Written beside the target and then moved, so that no file is incomplete. An upload to S3 is atomic anyway.
            self._store.create_dir(path.rpartition("/")[0])
            with Path(f"{path}.unfinished").open("wb") as sink:
                shutil.copyfileobj(file, sink)
            Path(f"{path}.unfinished").replace(path)
            return
        with self._store.open_output_stream(path) as sink:
            shutil.copyfileobj(file, sink)


def _open(target: str) -> tuple[fs.FileSystem, str]:
    try:
        store, path = fs.FileSystem.from_uri(target if "://" in target else Path(target).absolute().as_uri())
    except (pa.ArrowInvalid, OSError) as error:
        # The message quotes neither target nor reason, because an address may hold a password.
        raise WarehouseUnusableError(
            f"SYNTHFLOW_RECORDINGS cannot be opened ({type(error).__name__}); set a folder, or s3://bucket/prefix"
        ) from None
    return store, path


def _file_name(call: RecordedCall, content_type: str) -> str:
    """Return `DAY/AGENT/CALL.wav`, in characters that no file system treats specially."""

    def plain(text: str) -> str:
        safe = re.sub(r"[^A-Za-z0-9_-]", "_", text)[:100]
        return safe if safe == text else f"{safe}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    suffix = {"audio/wav": ".wav", "audio/mpeg": ".mp3"}.get(content_type) or mimetypes.guess_extension(content_type)
    return f"{call.day}/{plain(call.model_id)}/{plain(call.call_id)}{suffix or '.audio'}"


def _unsaved_calls(warehouse: Warehouse, days: Sequence[dt.date]) -> list[RecordedCall]:
    with warehouse.connect() as connection:
        rows = connection.execute(
            sql_file("synthflow_assets.warehouse.sql", "missing_recordings.sql"),
            {"days": list(days), "connected_statuses": list(CONNECTED_STATUSES)},
        ).fetchall()
    return [RecordedCall(*row) for row in rows]


def _save(warehouse: Warehouse, outcomes: Sequence[tuple[RecordedCall, StoredAudio | ApiError | None]]) -> None:
    """Save which calls have a stored recording or none. Failures are not saved, so the next run tries again."""
    now = dt.datetime.now(dt.UTC)
    rows = [
        (*call, *((outcome.location, *outcome.audio) if outcome else (None, None, None, None)), now)
        for call, outcome in outcomes
        if not isinstance(outcome, ApiError)
    ]
    if not rows:
        return

    def replace() -> None:
        connection.execute(
            "DELETE FROM call_recordings WHERE list_contains($1::VARCHAR[], call_id)",
            [[row[2] for row in rows]],
        )
        connection.executemany("INSERT INTO call_recordings VALUES ($1, $2, $3, $4, $5, $6, $7, $8)", rows)

    with warehouse.connect() as connection:
        write(connection, replace)
