"""Download the recordings of calls into a folder or to S3, each recording once.

From January 2027 on, the list of calls has no links to recordings, so each recording is requested by its call id.

The location of a file is saved in `call_recordings` before the file is written, without the ending that depends on the
audio. So every file that a killed run leaves is in the table.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import BinaryIO, NamedTuple

import duckdb
import pyarrow as pa
from pyarrow import fs

from synthflow_assets.api.client import SynthflowClient
from synthflow_assets.api.transport import Audio
from synthflow_assets.errors import (
    AccessDeniedError,
    ApiError,
    AuthenticationError,
    TransientApiError,
    UnknownHostError,
    WarehouseUnusableError,
)
from synthflow_assets.files import GroupAccess, private_files, replace_file
from synthflow_assets.settings import S3Access
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.metric_tables import CONNECTED_STATUSES
from synthflow_assets.warehouse.statements import execute_named, sql_file, write

_BATCH_SIZE = 200  # recordings; a killed run downloads at most this many again
_MAX_MEMORY_BYTES = 2**20  # a longer recording is buffered on disk
_MAX_REQUESTS = 10  # of a call without a recording, which may be created late
_WAV_HEADER_BYTES = 44  # a file of this size has no sound
_HEAD_BYTES = 64
_FRAME_HEADER_BYTES = 4
_COMMON_TYPES = ("text/html", "text/plain", "application/json", "application/xml", "audio/wav", "audio/mpeg")
_MOST_DAYS_MOVED = dt.timedelta(days=7)  # by a corrected start
_SQL = "synthflow_assets.warehouse.sql"


class RecordedCall(NamedTuple):
    """A call that may have a recording."""

    day: dt.date
    model_id: str
    call_id: str


class StoredAudio(NamedTuple):
    """A stored recording, and its location."""

    location: str
    audio: Audio


class NotAudio(NamedTuple):
    """A response that is no recording."""

    content_type: str
    size_bytes: int

    def __str__(self) -> str:
        # The type is text of the response, which may be anything.
        kind = self.content_type if self.content_type in _COMMON_TYPES else "another type"
        return f"the response is not audio ({kind}, {self.size_bytes:,} bytes)"


Outcome = StoredAudio | NotAudio | ApiError | None


@dataclass
class RecordingCounts:
    """How many calls have a stored recording, have none, got something else than audio, were erased, or failed."""

    stored: int = 0
    without: int = 0
    not_audio: int = 0
    erased: int = 0
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
        log: called with a message for each recording that failed or is not audio.

    Returns:
        Counts of the calls of this run.

    Raises:
        ApiError: it concerns every call, for example because the API cannot be reached.
        WarehouseError: the target or the tables cannot be written.
    """
    recorder = _Recorder(client, target, warehouse.group_access)
    with warehouse.connect() as connection:
        remove_orphans(connection)
        calls = [*_missing(connection, days)]
    counts = RecordingCounts()
    for start in range(0, len(calls), _BATCH_SIZE):
        batch = _note(warehouse, recorder, calls[start : start + _BATCH_SIZE])
        with ThreadPoolExecutor(client.max_connections, thread_name_prefix="recordings") as pool:
            outcomes = dict(zip(batch, pool.map(recorder.store, batch), strict=True))
        erased = _save(warehouse, outcomes)
        # A person was erased while the recording was downloaded.
        delete_recordings(recorder.base_location(call) for call in erased)
        _count(counts, {call: outcome for call, outcome in outcomes.items() if call not in erased}, log)
        counts.erased += len(erased)
        if recorder.outage is not None:
            raise recorder.outage
    return counts


def remove_orphans(connection: duckdb.DuckDBPyConnection) -> int:
    """Delete recordings that an erasure could no longer find.

    The call was erased, is no longer listed, or has lost its personal fields at Synthflow.

    Returns:
        The number of files that were deleted.

    Raises:
        WarehouseUnusableError: a recording cannot be deleted.
    """
    without_number = connection.execute(sql_file(_SQL, "orphaned_recordings.sql")).fetchall()
    identified = _identified(connection, {call_id: day for call_id, _, day, _ in without_number})
    orphans = [row for row in without_number if row[0] not in identified]
    deleted = delete_recordings(location for _, location, *_ in orphans)
    # The row of an unfinished download is kept for a day, because a run may still be writing the file.
    settled = [call_id for call_id, location, _, is_settled in orphans if is_settled and not _is_unmounted(location)]
    if settled:
        write(connection, lambda: _delete_rows(connection, settled))
    return len(deleted)


def delete_recordings(locations: Iterable[str]) -> set[str]:
    """Delete stored recordings, whatever their ending; skip those that do not exist.

    Args:
        locations: of files, with or without their ending.

    Returns:
        The files that were deleted.

    Raises:
        WarehouseUnusableError: a file cannot be deleted.
    """
    names: dict[str, set[str]] = defaultdict(set)
    for location in locations:
        folder, _, name = location.rpartition("/")
        names[folder].add(name.partition(".")[0])
    deleted = set()
    for folder, stems in names.items():
        store, path = _open(folder)
        try:
            files = store.get_file_info(fs.FileSelector(path, allow_not_found=True))
            found = [file.path for file in files if file.is_file and file.base_name.partition(".")[0] in stems]
            for file in found:
                store.delete_file(file)
        except OSError as error:
            raise _unwritable(error) from None
        deleted.update(found)
    return deleted


def validate_mounted(locations: Iterable[str], deleted: Collection[str]) -> None:
    """Refuse to give up recordings whose whole folder is missing: it may not be mounted on this machine.

    Args:
        locations: of recordings that are to be deleted.
        deleted: the files that were deleted, here or in another folder to which the recordings were moved.

    Raises:
        WarehouseUnusableError: naming the folder.
    """
    gone = {PurePath(file).stem for file in deleted}
    for location in locations:
        # A location without an ending is of a file that may never have been written.
        if PurePath(location).suffix and PurePath(location).stem not in gone and _is_unmounted(location):
            raise WarehouseUnusableError(
                f"recordings of this person are in {_folder_of(location)}, which does not exist here; mount this "
                "folder, or create it if the recordings were deleted"
            )


def _is_unmounted(location: str) -> bool:
    return "://" not in location and not _folder_of(location).is_dir()


def _folder_of(location: str) -> Path:
    """Return the folder of all recordings, from the location `FOLDER/DAY/AGENT/CALL`."""
    return Path(location).absolute().parents[2]


def recording_locations(target: str | None, calls: Iterable[RecordedCall]) -> list[str]:
    """Return where the recordings of these calls are stored, without their ending; none if there is no target."""
    return [f"{target.rstrip('/')}/{_base_name(call)}" for call in calls] if target else []


class _Row(NamedTuple):
    """A row of `call_recordings`. Without audio, `location` is that of a file that is about to be written."""

    call: RecordedCall
    requests: int
    location: str | None = None
    audio: Audio | None = None


class _Recorder:
    """Downloads recordings into a target. Threads may share it."""

    def __init__(self, client: SynthflowClient, target: str, group_access: GroupAccess) -> None:
        self._client = client
        self._group_access = group_access
        # Absolute, because an erasure may run in another folder.
        self._target = target.rstrip("/") if "://" in target else str(Path(target).absolute())
        self._store, self._base = _open(self._target)
        self.outage: TransientApiError | None = None  # set if no other recording can be downloaded now

    def base_location(self, call: RecordedCall) -> str:
        """Return the location of a recording without its ending."""
        return f"{self._target}/{_base_name(call)}"

    def store(self, call: RecordedCall) -> Outcome:
        """Store the recording of a call, and return it; an error if it failed, None if the call has none.

        Raises:
            ApiError: it concerns every call.
            WarehouseUnusableError: the target cannot be written.
        """
        if self.outage is not None:
            return self.outage
        with tempfile.SpooledTemporaryFile(_MAX_MEMORY_BYTES) as file:
            try:
                audio = self._client.fetch_recording(call.call_id, file)  # type: ignore[arg-type]
            except (AuthenticationError, AccessDeniedError, UnknownHostError):
                raise
            except ApiError as error:
                if isinstance(error, TransientApiError) and error.outlasted:
                    self.outage = error
                return error
            except OSError as error:
                raise WarehouseUnusableError(
                    f"temporary files in {tempfile.gettempdir()} cannot be written: {error.strerror}; free space "
                    "there, or set TMPDIR to another folder"
                ) from None
            if audio is None:
                return None
            file.seek(0)
            ending = audio_ending(file.read(_HEAD_BYTES), audio.content_type)
            if ending is None or audio.size_bytes <= _WAV_HEADER_BYTES:
                return NotAudio(audio.content_type, audio.size_bytes)
            name = _base_name(call) + ending
            file.seek(0)
            try:
                self._write(f"{self._base}/{name}", file)  # type: ignore[arg-type]
            except OSError as error:
                raise _unwritable(error) from None
        return StoredAudio(f"{self._target}/{name}", audio)

    def _write(self, path: str, file: BinaryIO) -> None:
        if isinstance(self._store, fs.LocalFileSystem):
            # Written beside the target and then moved, so that no file is incomplete. An upload to S3 is atomic anyway.
            unfinished = Path(f"{path}.unfinished")
            try:
                with private_files(self._group_access):
                    unfinished.parent.mkdir(parents=True, exist_ok=True)
                    with unfinished.open("wb") as sink:
                        shutil.copyfileobj(file, sink)
                replace_file(unfinished, Path(path))
            finally:
                with suppress(OSError):  # on a full disk, a part of the recording would stay
                    unfinished.unlink(missing_ok=True)
            return
        with self._store.open_output_stream(path) as sink:
            shutil.copyfileobj(file, sink)


def _open(target: str) -> tuple[fs.FileSystem, str]:
    if "://" in target:
        S3Access.load()  # refuses an endpoint that is no address
    try:
        store, path = fs.FileSystem.from_uri(target if "://" in target else Path(target).absolute().as_uri())
    except (pa.ArrowInvalid, OSError) as error:
        # The message quotes neither target nor reason, because an address may hold a password.
        raise WarehouseUnusableError(
            f"SYNTHFLOW_RECORDINGS cannot be opened ({type(error).__name__}); set a folder, or s3://bucket/prefix"
        ) from None
    return store, path


def _unwritable(error: OSError) -> WarehouseUnusableError:
    reason = error.strerror or type(error).__name__
    return WarehouseUnusableError(
        f"the folder of SYNTHFLOW_RECORDINGS cannot be written: {reason}; check its path and permissions"
    )


# The first bytes of the containers of audio, and their ending. A whole header is compared, because a word such as `ID3`
# may also begin a text.
_CONTAINERS = tuple(
    (re.compile(header, re.DOTALL), ending)
    for header, ending in (
        (rb"(RIFF|RIFX|RF64|BW64).{4}WAVE", ".wav"),
        (rb"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00.{8}wave\xf3\xac\xd3\x11", ".w64"),
        (rb"ID3[\x02-\x04][^\xff].[\x00-\x7f]{4}", ".mp3"),
        (rb"OggS\x00[\x00-\x07]", ".ogg"),
        (rb"fLaC[\x00\x80]\x00\x00\x22", ".flac"),
        # Pictures such as HEIC are in this container too.
        (rb"\x00.{3}ftyp(M4[ABPV] |mp4[12]|mp71|MSNV|isom|iso[2-9]|avc1|dash|qt  |3g[2p].|F4[AV] )", ".m4a"),
        (rb"\x1aE\xdf\xa3.{0,50}(webm|matroska)", ".webm"),
        (rb"FORM.{4}AIF[CF]", ".aiff"),
        (rb"caff\x00\x01\x00\x00desc", ".caf"),
        (rb"#!AMR(-WB)?\n", ".amr"),
        (rb"\.snd\x00", ".au"),
        (rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11", ".wma"),
    )
)
# The second byte of a frame, and its ending. Layer I is left out: it begins like text in UTF-16.
_MPEG_LAYERS = {
    **dict.fromkeys((0xE2, 0xE3, 0xF2, 0xF3, 0xFA, 0xFB), ".mp3"),
    **dict.fromkeys((0xE4, 0xE5, 0xF4, 0xF5, 0xFC, 0xFD), ".mp2"),
}
# Types under which audio is served. Servers of files often send none, or no better one than application/octet-stream.
_AUDIO_TYPE = re.compile(
    r"|audio/.*|binary/octet-stream"
    r"|application/.*(octet|binary|download|unknown|audio|mp[234]|mpeg|m4a|ogg|opus|wav|flac|aac|amr).*"
)
# A file of sound alone, which servers may serve as video/mp4 because of its container.
_AUDIO_ONLY = re.compile(rb"\x00.{3}ftypM4[ABP] ", re.DOTALL)


def audio_ending(head: bytes, content_type: str) -> str | None:
    """Return the ending of an audio file, or None if it is not audio.

    A response with status 200 need not be a recording: a proxy answered with its login page. So the first bytes must be
    those of a known container, and the type must not contradict them. A container may hold a video instead, and then
    the type says so.

    Args:
        head: the first bytes of the file.
        content_type: its media type, as the server states it.
    """
    is_audio_type = _AUDIO_TYPE.fullmatch(content_type.lower()) is not None
    if not is_audio_type and not (content_type.lower() == "video/mp4" and _AUDIO_ONLY.match(head)):
        return None
    return next((ending for header, ending in _CONTAINERS if header.match(head)), None) or _frame_ending(head)


def _frame_ending(head: bytes) -> str | None:
    """Return the ending of a file that begins with a frame of MPEG layer II, layer III or AAC; None for any other."""
    if len(head) < _FRAME_HEADER_BYTES or head[0] != 0xFF:  # noqa: PLR2004 (of the sync word)
        return None
    if layer := _MPEG_LAYERS.get(head[1]):
        bit_rate, sample_rate = head[2] >> 4, head[2] >> 2 & 3
        return layer if 0 < bit_rate < 15 and sample_rate < 3 else None  # noqa: PLR2004 (the reserved values)
    if head[1] in (0xF0, 0xF1, 0xF8, 0xF9):
        return ".aac" if head[2] >> 2 & 15 < 13 else None  # noqa: PLR2004 (the reserved values)
    return None


def _base_name(call: RecordedCall) -> str:
    """Return `DAY/AGENT/CALL`, in characters that no file system treats specially."""

    def plain(text: str) -> str:
        safe = re.sub(r"[^A-Za-z0-9_-]", "_", text)[:100]
        return safe if safe == text else f"{safe}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    return f"{call.day}/{plain(call.model_id)}/{plain(call.call_id)}"


def _missing(
    connection: duckdb.DuckDBPyConnection, days: Sequence[dt.date], call_ids: Sequence[str] | None = None
) -> dict[RecordedCall, int]:
    """Return the calls whose recording is still to be requested, with the number of earlier requests.

    Args:
        connection: to the warehouse.
        days: of the calls. If ids are given, the calls may have moved to another day since.
        call_ids: only calls with these ids.
    """
    parameters = {
        **_span(days),
        "days": None if call_ids is not None else list(days),
        "call_ids": None if call_ids is None else list(call_ids),
        "connected_statuses": list(CONNECTED_STATUSES),
        "max_requests": _MAX_REQUESTS,
    }
    rows = execute_named(connection, sql_file(_SQL, "missing_recordings.sql"), parameters).fetchall()
    return {RecordedCall(*call): requests for *call, requests in rows}


def _identified(connection: duckdb.DuckDBPyConnection, days: Mapping[str, dt.date]) -> set[str]:
    """Return the ids of the calls that an erasure can find, because they have a phone number or a transcript."""
    if not days:
        return set()
    parameters = {**_span(days.values()), "call_ids": list(days)}
    return {call_id for (call_id,) in connection.execute(sql_file(_SQL, "identified_calls.sql"), parameters).fetchall()}


def _span(days: Collection[dt.date]) -> dict[str, dt.date]:
    """Return the first and last day to which calls of these days may have moved; without days, an empty span.

    A condition on the day lets DuckDB skip the rest of the file.
    """
    first, last = min(days, default=dt.date.max), max(days, default=dt.date.min)
    if first > last:
        return {"first_day": first, "last_day": last}
    return {"first_day": first - _MOST_DAYS_MOVED, "last_day": last + _MOST_DAYS_MOVED}


def _note(warehouse: Warehouse, recorder: _Recorder, calls: Sequence[RecordedCall]) -> list[RecordedCall]:
    """Save the locations of files before they are written; return the calls that are still to be requested."""

    def note() -> list[RecordedCall]:
        # Looked up again, because people may have been erased since.
        missing = _missing(connection, [call.day for call in calls], [call.call_id for call in calls])
        _replace_rows(
            connection, [_Row(call, requests, recorder.base_location(call)) for call, requests in missing.items()]
        )
        return list(missing)

    with warehouse.connect() as connection:
        return write(connection, note)


def _save(warehouse: Warehouse, outcomes: dict[RecordedCall, Outcome]) -> set[RecordedCall]:
    """Save the outcomes; return the calls whose person was erased meanwhile."""
    call_ids = [call.call_id for call in outcomes]

    def save() -> set[RecordedCall]:
        known = _identified(connection, {call.call_id: call.day for call in outcomes})
        noted = dict(
            connection.execute(
                "SELECT call_id, requests FROM call_recordings "
                "WHERE list_contains($1::VARCHAR[], call_id) AND sha256 IS NULL",
                [call_ids],
            ).fetchall()
        )
        # If the row is missing, another run has stored the recording, or the person was erased.
        rows = [
            _row(call, outcome, noted[call.call_id])
            for call, outcome in outcomes.items()
            if call.call_id in known & noted.keys()
        ]
        _replace_rows(connection, rows)
        return {call for call in outcomes if call.call_id not in known}

    if not outcomes:
        return set()
    with warehouse.connect() as connection:
        return write(connection, save)


def _row(call: RecordedCall, outcome: Outcome, requests: int) -> _Row:
    """Return the row of a call after its recording was requested."""
    match outcome:
        case StoredAudio():
            return _Row(call, requests + 1, outcome.location, outcome.audio)
        case ApiError():
            return _Row(call, requests)  # so the next run tries again
        case _:
            return _Row(call, requests + 1)


def _replace_rows(connection: duckdb.DuckDBPyConnection, rows: Sequence[_Row]) -> None:
    if not rows:
        return
    calls = [row.call for row in rows]
    audio = [row.audio or (None, None, None) for row in rows]
    _delete_rows(connection, [call.call_id for call in calls])
    connection.execute(
        sql_file(_SQL, "insert_recordings.sql"),
        {
            "days": [call.day for call in calls],
            "model_ids": [call.model_id for call in calls],
            "call_ids": [call.call_id for call in calls],
            "locations": [row.location for row in rows],
            "content_types": [content_type for content_type, _, _ in audio],
            "sizes": [size for _, size, _ in audio],
            "checksums": [sha256 for _, _, sha256 in audio],
            "requests": [row.requests for row in rows],
            "loaded_at": dt.datetime.now(dt.UTC),
        },
    )


def _delete_rows(connection: duckdb.DuckDBPyConnection, call_ids: Sequence[str]) -> None:
    connection.execute("DELETE FROM call_recordings WHERE list_contains($1::VARCHAR[], call_id)", [list(call_ids)])


def _count(counts: RecordingCounts, outcomes: dict[RecordedCall, Outcome], log: Callable[[str], None]) -> None:
    """Add the outcomes to the counts, and log failures."""
    for call, outcome in outcomes.items():
        match outcome:
            case TransientApiError() if outcome.outlasted:
                counts.failed += 1  # one error for all of them ends the run
            case ApiError():
                log(f"a recording of {call.day} could not be downloaded: {outcome}")
                counts.failed += 1
            case NotAudio():
                log(f"a recording of {call.day} is not stored: {outcome}. A later run requests it again")
                counts.not_audio += 1
            case StoredAudio():
                counts.stored += 1
                counts.size_bytes += outcome.audio.size_bytes
            case None:
                counts.without += 1
