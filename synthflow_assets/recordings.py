"""Downloads the recordings of calls by call id, into a folder or to S3, each once.

The list of calls no longer has links to recordings from January 2027 on, so each call is asked for its own.
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

_NOTE_EVERY = 200  # recordings; what a killed run downloads again at most
_IN_MEMORY_BYTES = 2**20  # a longer recording waits on disk while it comes


class RecordedCall(NamedTuple):
    """A call that may have a recording."""

    day: dt.date
    model_id: str
    call_id: str


class StoredAudio(NamedTuple):
    """Where a recording went."""

    location: str
    audio: Audio


@dataclass
class RecordingCounts:
    """What became of the calls that were asked for."""

    stored: int = 0
    without: int = 0
    failed: int = 0
    size_bytes: int = 0


def store_recordings(
    client: SynthflowClient, warehouse: Warehouse, target: str, days: Sequence[dt.date], log: Callable[[str], None]
) -> RecordingCounts:
    """Download what is not stored yet of the connected calls of some days.

    Args:
        client: whom to ask.
        warehouse: with the calls, and the table of what is stored.
        target: a folder, or `s3://bucket/prefix`.
        days: whose calls.
        log: told of each recording that failed.

    Raises:
        ApiError: what concerns every call.
        WarehouseError: the target or the tables cannot be written.
    """
    recorder = _Recorder(client, target)
    calls = _missing(warehouse, days)
    counts = RecordingCounts()
    for start in range(0, len(calls), _NOTE_EVERY):
        part = calls[start : start + _NOTE_EVERY]
        with ThreadPoolExecutor(client.max_connections, thread_name_prefix="recordings") as pool:
            outcomes = list(zip(part, pool.map(recorder.store, part), strict=True))
        _note(warehouse, outcomes)
        for call, outcome in outcomes:
            if isinstance(outcome, ApiError):
                log(f"the recording of a call of {call.day} did not come: {outcome}")
                counts.failed += 1
            elif outcome is None:
                counts.without += 1
            else:
                counts.stored += 1
                counts.size_bytes += outcome.audio.size_bytes
    return counts


def delete_recordings(locations: Iterable[str]) -> None:
    """Delete stored recordings; those that are gone already are no trouble."""
    for location in locations:
        store, path = _open(location)
        if store.get_file_info(path).type == fs.FileType.File:
            store.delete_file(path)


class _Recorder:
    """Fetches one recording after the other into a target; safe to share between threads."""

    def __init__(self, client: SynthflowClient, target: str) -> None:
        self._client = client
        self._target = target.rstrip("/")
        self._store, self._base = _open(self._target)

    def store(self, call: RecordedCall) -> StoredAudio | ApiError | None:
        """None where the call has no recording.

        Raises:
            ApiError: what concerns every call.
            WarehouseUnusableError: the target cannot be written.
        """
        with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES) as file:
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
                    f"no recording can be stored where SYNTHFLOW_RECORDINGS says: {reason}. Check folder and rights"
                ) from None
        return StoredAudio(f"{self._target}/{name}", audio)

    def _write(self, path: str, file: tempfile.SpooledTemporaryFile[bytes]) -> None:
        if isinstance(self._store, fs.LocalFileSystem):
            # Beside the target and moved over it; an upload to S3 is all or nothing by itself.
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
        # Neither the target nor the reason is quoted: an address may hold a password.
        raise WarehouseUnusableError(
            f"SYNTHFLOW_RECORDINGS cannot be used ({type(error).__name__}): set a folder, or s3://bucket/prefix"
        ) from None
    return store, path


def _file_name(call: RecordedCall, content_type: str) -> str:
    """`DAY/AGENT/CALL.wav`, of characters that mean nothing to any file system."""

    def plain(text: str) -> str:
        safe = re.sub(r"[^A-Za-z0-9_-]", "_", text)[:100]
        return safe if safe == text else f"{safe}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    suffix = {"audio/wav": ".wav", "audio/mpeg": ".mp3"}.get(content_type) or mimetypes.guess_extension(content_type)
    return f"{call.day}/{plain(call.model_id)}/{plain(call.call_id)}{suffix or '.audio'}"


def _missing(warehouse: Warehouse, days: Sequence[dt.date]) -> list[RecordedCall]:
    with warehouse.connect() as connection:
        rows = connection.execute(
            sql_file("synthflow_assets.warehouse.sql", "missing_recordings.sql"),
            {"days": list(days), "connected_statuses": list(CONNECTED_STATUSES)},
        ).fetchall()
    return [RecordedCall(*row) for row in rows]


def _note(warehouse: Warehouse, outcomes: Sequence[tuple[RecordedCall, StoredAudio | ApiError | None]]) -> None:
    """Write down what is stored, and which calls have nothing; failures are asked for again."""
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
