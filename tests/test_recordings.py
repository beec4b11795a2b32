"""Recordings are downloaded once, and the API key is not sent to the address of a redirect."""

import datetime as dt
import hashlib
import io
import json
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pyarrow import fs

from synthflow_assets import recordings
from synthflow_assets.api import transport
from synthflow_assets.api.client import SynthflowClient
from synthflow_assets.erasure import erase_person
from synthflow_assets.errors import ConnectionFailedError, SettingsError, WarehouseUnusableError
from synthflow_assets.loading import load_calls, resolve_agents
from synthflow_assets.recordings import (
    RecordedCall,
    RecordingCounts,
    _base_name,
    _open,
    _Recorder,
    audio_ending,
    delete_recordings,
    remove_orphans,
    store_recordings,
)
from synthflow_assets.sandbox.calls import tone
from synthflow_assets.sandbox.config import DEFAULT_API_KEY, SandboxConfig
from synthflow_assets.sandbox.server import Sandbox
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.landing import LoadSummary
from synthflow_assets.warehouse.schema import PERSONAL_COLUMNS
from tests.api.servers import drip, serve_raw, serving
from tests.conftest import DAY

StartSandbox = Callable[..., Sandbox]
ISO_MEDIA = b"\x00\x00\x00\x20ftypisom"
WEBM = b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\xf7\x81\x01B\xf2\x81\x04B\xf3\x81\x08B\x82\x84webm"
WAVE64 = bytes.fromhex("726966662e91cf11a5d628db04c10000001000000000000077617665f3acd3118cd100c04f8edb8a")


CONFIG: dict[str, Any] = {"agents": 1, "calls_per_day": 20, "same_volume": True}


@pytest.fixture(scope="module")
def landed_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a warehouse with a day of calls. Tests copy it, because landing takes longer than many of them."""
    file = tmp_path_factory.mktemp("landed") / "w.duckdb"
    with Sandbox(SandboxConfig(**CONFIG)) as sandbox:
        settings = Settings.of(api_key=DEFAULT_API_KEY, base_url=sandbox.url, warehouse=str(file))
        with SynthflowClient.from_settings(settings) as client:
            agents = resolve_agents(client, settings).agents
            [summary] = load_calls(client, Warehouse(file), settings, agents, [DAY], log=print)
            assert isinstance(summary, LoadSummary)
    return file


@pytest.fixture
def landed(
    start_sandbox: StartSandbox, settings_for: Callable[..., Settings], landed_file: Path
) -> Callable[..., tuple[Sandbox, Settings]]:
    """Starts a sandbox of these calls, with the given faults of recordings."""

    def land(**config: object) -> tuple[Sandbox, Settings]:
        sandbox = start_sandbox(**CONFIG, **config)
        settings = settings_for(sandbox)
        shutil.copy(landed_file, settings.warehouse)
        return sandbox, settings

    return land


def store(settings: Settings, target: str, messages: list[str] | None = None) -> RecordingCounts:
    with SynthflowClient.from_settings(settings) as client:
        log = (messages if messages is not None else []).append
        return store_recordings(client, Warehouse(settings.warehouse), target, [DAY], log)


def rows(settings: Settings) -> dict[str, dict[str, object]]:
    frame = Warehouse(settings.warehouse).read_frame("call_recordings")
    return {str(row["call_id"]): dict(row) for _, row in frame.iterrows()}


def test_each_recording_is_downloaded_once_and_matches_the_table(
    landed: Callable[..., tuple[Sandbox, Settings]], tmp_path: Path
) -> None:
    sandbox, settings = landed()
    counts = store(settings, str(tmp_path / "audio"))
    assert counts.stored > 10
    assert counts.without > 0
    assert counts.failed == 0
    table = rows(settings)
    assert len(table) == counts.stored + counts.without
    files = list((tmp_path / "audio").rglob("*.wav"))
    assert len(files) == counts.stored
    for call_id, row in table.items():
        if row["location"] != row["location"] or row["location"] is None:
            continue
        audio = Path(str(row["location"])).read_bytes()
        assert audio == tone(call_id)
        assert (row["size_bytes"], row["sha256"]) == (len(audio), hashlib.sha256(audio).hexdigest())
        assert row["content_type"] == "audio/wav"
    served = sandbox.api.audio_served
    assert store(settings, str(tmp_path / "audio")) == RecordingCounts(without=counts.without)
    assert sandbox.api.audio_served == served


@pytest.mark.usefixtures("fast_retries")
def test_an_incomplete_recording_or_an_expired_link_is_retried(
    landed: Callable[..., tuple[Sandbox, Settings]], tmp_path: Path
) -> None:
    _, settings = landed(faults={"broken_audio": 3, "expired_link": 2})
    counts = store(settings, str(tmp_path / "audio"))
    assert counts.failed == 0
    assert {path.stat().st_size for path in (tmp_path / "audio").rglob("*.wav")} == {len(tone("any"))}


@pytest.mark.usefixtures("fast_retries")
def test_a_failure_is_logged_and_retried_by_the_next_run(
    landed: Callable[..., tuple[Sandbox, Settings]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("synthflow_assets.errors.TransientApiError.retry_for_seconds", 0.0)
    monkeypatch.setattr("synthflow_assets.errors.ConnectionFailedError.retry_for_seconds", 0.0)
    _, settings = landed(faults={"broken_audio": 4})
    messages: list[str] = []
    first = store(settings, str(tmp_path / "audio"), messages)
    assert first.failed == 4
    assert len(messages) == 4
    assert "broke before the response was complete" in messages[0]
    assert "signature" not in "".join(messages)
    second = store(settings, str(tmp_path / "audio"))
    assert (second.stored, second.failed) == (4, 0)
    assert not list((tmp_path / "audio").rglob("*.unfinished"))


def test_an_outage_is_one_error_instead_of_one_for_each_recording(
    landed: Callable[..., tuple[Sandbox, Settings]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of recordings were each retried for up to two minutes, and no run repeated them afterwards."""
    _, settings = landed()
    monkeypatch.setattr("synthflow_assets.api.retries._SHORTEST_SECONDS", 0.2)
    messages: list[str] = []
    unreachable = settings.model_copy(update={"base_url": "http://127.0.0.1:9/v2"})
    with SynthflowClient.from_settings(unreachable) as client:
        client.wait_for_outages(0, messages.append)
        with pytest.raises(ConnectionFailedError) as raised:
            store_recordings(client, Warehouse(settings.warehouse), str(tmp_path / "audio"), [DAY], messages.append)
    assert raised.value.outlasted
    assert messages == []
    assert store(settings, str(tmp_path / "audio")).stored > 10


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket on a local S3 server."""
    from moto.server import ThreadedMotoServer  # late: every worker would import it while it collects the tests

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    fs.S3FileSystem(endpoint_override=f"http://{host}:{port}", allow_bucket_creation=True).create_dir("bucket")
    yield "s3://bucket/recordings"
    server.stop()


def test_s3(landed: Callable[..., tuple[Sandbox, Settings]], s3: str) -> None:
    """Forgetting a person deletes their recordings there."""
    _, settings = landed()
    stored = store(settings, s3).stored
    assert stored > 10
    calls = Warehouse(settings.warehouse).read_frame("calls").set_index("call_id")
    stored_at = {
        call_id: str(row["location"]) for call_id, row in rows(settings).items() if isinstance(row["location"], str)
    }
    assert len(stored_at) == stored
    phone = calls.loc[list(stored_at), "lead_phone_number"].iloc[0]
    of_person = {
        location for call_id, location in stored_at.items() if calls.loc[call_id, "lead_phone_number"] == phone
    }
    assert f"{len(of_person)} recordings deleted" in list(erase_person(settings, phone))
    bucket, _ = _open(s3)

    def left() -> set[str]:
        files = bucket.get_file_info(fs.FileSelector("bucket", recursive=True))
        return {f"s3://{file.path}" for file in files if file.is_file}

    assert left() == set(stored_at.values()) - of_person
    other = min(left())
    for deleted in (1, 0):
        assert len(delete_recordings([other])) == deleted
    assert left() == set(stored_at.values()) - of_person - {other}
    assert store(settings, s3).stored == 0  # also in the next run


@pytest.mark.parametrize("target", ["s3://", "gopher://x/y", "s3://key:secret@bucket/x"])
def test_a_target_that_is_neither_folder_nor_bucket_is_rejected(target: str) -> None:
    with pytest.raises(SettingsError, match=r"^recordings is not usable.*s3://bucket/prefix") as caught:
        Settings.of(recordings=target)
    assert "secret" not in str(caught.value)


def test_recordings_and_hidden_data_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="recordings are personal data"):
        Settings.of(recordings=str(tmp_path), pii="drop")


def test_a_folder_that_cannot_be_written_is_an_error(landed: Callable[..., tuple[Sandbox, Settings]]) -> None:
    _, settings = landed()
    with pytest.raises(WarehouseUnusableError, match="SYNTHFLOW_RECORDINGS"):
        store(settings, "/proc/none")


def test_a_recording_that_does_not_fit_on_the_disk_leaves_no_part_of_itself(
    settings_for: Callable[..., Settings], start_sandbox: StartSandbox, tmp_path: Path
) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with SynthflowClient.from_settings(settings_for(start_sandbox(calls_per_day=0))) as client:
        recorder = _Recorder(client, str(tmp_path / "audio"), "none")
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, before[1]))
        try:
            with pytest.raises(OSError, match="File too large"):
                recorder._write(str(tmp_path / "audio" / "a.wav"), io.BytesIO(b"x" * 100_000))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list((tmp_path / "audio").iterdir()) == []


def test_file_names_cannot_leave_the_folder() -> None:
    name = _base_name(RecordedCall(dt.date(2026, 3, 10), "../m", "../../etc/passwd"))
    assert name.count("/") == 2
    assert "." not in name
    assert name != _base_name(RecordedCall(dt.date(2026, 3, 10), "../m", "../../etc_passwd"))


def phone_of(settings: Settings, call_id: str) -> str:
    with Warehouse(settings.warehouse).connect(read_only=True) as connection:
        query = "SELECT lead_phone_number FROM calls WHERE call_id = $1"
        [(phone,)] = connection.execute(query, [call_id]).fetchall()
    return str(phone)


def audio_files(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in folder.rglob("*") if path.is_file()}


def test_forget_finds_every_file_of_a_killed_run(
    landed: Callable[..., tuple[Sandbox, Settings]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    _, settings = landed()
    with monkeypatch.context() as patch:
        patch.setattr(recordings, "_save", killed)
        with pytest.raises(KeyboardInterrupt):
            store(settings, str(tmp_path / "audio"))
    files = audio_files(tmp_path / "audio")
    assert len(files) > 10
    locations = {call_id: row["location"] for call_id, row in rows(settings).items()}
    assert set(files) <= {Path(str(location)).name for location in locations.values()}
    [theirs, other] = list(files)[:2]
    assert "1 recordings deleted" in list(erase_person(settings, phone_of(settings, theirs)))
    assert set(audio_files(tmp_path / "audio")) == set(files) - {theirs}
    # The next run completes the others, and does not request theirs.
    store(settings, str(tmp_path / "audio"))
    assert set(audio_files(tmp_path / "audio")) == set(files) - {theirs}
    assert rows(settings)[other]["sha256"] == hashlib.sha256(tone(other)).hexdigest()


def test_forget_finds_recordings_of_a_relative_folder_from_another_folder(
    landed: Callable[..., tuple[Sandbox, Settings]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, settings = landed()
    monkeypatch.chdir(tmp_path)
    store(settings, "audio")
    theirs = next(iter(audio_files(tmp_path / "audio")))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert "1 recordings deleted" in list(erase_person(settings, phone_of(settings, theirs)))
    assert theirs not in audio_files(tmp_path / "audio")


def test_forget_does_not_give_up_recordings_that_are_not_mounted(
    landed: Callable[..., tuple[Sandbox, Settings]], tmp_path: Path
) -> None:
    """It reported that nothing was left to delete, and nothing ever found the files again."""
    _, settings = landed()
    store(settings, str(tmp_path / "audio"))
    theirs, other = list(audio_files(tmp_path / "audio"))[:2]
    phone = phone_of(settings, theirs)
    (tmp_path / "audio").rename(tmp_path / "unmounted")
    with pytest.raises(WarehouseUnusableError, match=r"audio, which does not exist here; .* run the command again"):
        list(erase_person(settings, phone))
    with Warehouse(settings.warehouse).connect() as connection:
        connection.execute("DELETE FROM calls WHERE call_id = $1", [other])
        assert remove_orphans(connection) == 0
    (tmp_path / "unmounted").rename(tmp_path / "audio")
    assert "1 recordings deleted" in list(erase_person(settings, phone))
    assert not {theirs, other} & set(audio_files(tmp_path / "audio"))


def test_forget_finds_recordings_in_the_folder_to_which_they_were_moved(
    landed: Callable[..., tuple[Sandbox, Settings]], tmp_path: Path
) -> None:
    _, settings = landed()
    store(settings, str(tmp_path / "audio"))
    theirs = next(iter(audio_files(tmp_path / "audio")))
    (tmp_path / "audio").rename(tmp_path / "moved")
    moved = settings.model_copy(
        update={"recordings": str(tmp_path / "moved"), "export_dir": str(tmp_path / "unmounted")}
    )
    lines = list(erase_person(moved, phone_of(settings, theirs)))
    assert "1 recordings deleted" in lines
    assert f"The folder of exports, {tmp_path}/unmounted, does not exist here. Were exports written elsewhere?" in lines
    assert theirs not in audio_files(tmp_path / "moved")


@pytest.mark.parametrize("step", ["_note", "_save"])
def test_a_person_erased_while_recordings_download_has_none_afterwards(
    landed: Callable[..., tuple[Sandbox, Settings]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    _, settings = landed()
    calls = Warehouse(settings.warehouse).read_frame("calls")
    theirs = str(calls.loc[calls["recording_url"].notna(), "call_id"].min())
    honest = getattr(recordings, step)

    def after_an_erasure(*arguments: Any) -> Any:
        list(erase_person(settings, phone_of(settings, theirs)))
        return honest(*arguments)

    monkeypatch.setattr(recordings, step, after_an_erasure)
    counts = store(settings, str(tmp_path / "audio"))
    assert counts.stored > 10
    assert counts.erased == (step == "_save")
    assert theirs not in audio_files(tmp_path / "audio")
    assert not isinstance(rows(settings).get(theirs, {}).get("sha256"), str)


def _calls_with_audio(settings: Settings, folder: Path) -> dict[str, dict[str, Any]]:
    store(settings, str(folder))
    return {call_id: row for call_id, row in rows(settings).items() if isinstance(row["location"], str)}


def test_a_recording_that_an_erasure_cannot_find_is_deleted(
    landed: Callable[..., tuple[Sandbox, Settings]], tmp_path: Path
) -> None:
    _, settings = landed()
    stored = _calls_with_audio(settings, tmp_path / "audio")
    unlisted, anonymous = sorted(stored)[:2]
    with Warehouse(settings.warehouse).connect() as connection:
        connection.execute("DELETE FROM calls WHERE call_id = $1", [unlisted])
        emptied = ", ".join(f"{column.name} = NULL" for column in PERSONAL_COLUMNS)
        connection.execute(f"UPDATE calls SET {emptied} WHERE call_id = $1", [anonymous])
    store(settings, str(tmp_path / "audio"))
    assert set(audio_files(tmp_path / "audio")) == set(stored) - {unlisted, anonymous}
    assert not {unlisted, anonymous} & set(rows(settings))


def test_a_response_that_is_not_audio_is_not_stored_and_is_requested_again(
    landed: Callable[..., tuple[Sandbox, Settings]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recordings, "_MAX_REQUESTS", 4)
    _, settings = landed()
    answers: dict[str, tuple[int, bytes, dict[str, str]]] = {}
    requests: list[dict[str, str]] = []
    login = (200, b"<!DOCTYPE html><title>Sign in</title>" + b" " * 100, {"Content-Type": "audio/wav"})
    messages: list[str] = []

    def respond(query: dict[str, str]) -> tuple[int, bytes, dict[str, str]]:
        return answers.get(query["path"].split("/")[-2], login)

    with serving(respond, requests) as url:
        proxied = settings.model_copy(update={"base_url": url})
        counts = store(proxied, str(tmp_path / "audio"), messages)
        assert (counts.stored, counts.not_audio, len(requests)) == (0, len(requests), len(messages))
        assert counts.not_audio > 10
        assert "the response is not audio (audio/wav, 137 bytes)" in messages[0]
        assert not audio_files(tmp_path / "audio")
        one = requests[0]["path"].split("/")[-2]
        answers[one] = (200, tone(one), {"Content-Type": "binary/octet-stream"})
        assert store(proxied, str(tmp_path / "audio")).stored == 1
        assert list((tmp_path / "audio").rglob(f"{one}.wav"))
        for _ in range(4):
            store(proxied, str(tmp_path / "audio"))
    per_call = {path: sum(one["path"] == path for one in requests) for path in {one["path"] for one in requests}}
    assert sorted(set(per_call.values())) == [2, 4]


@pytest.mark.parametrize(
    ("head", "content_type", "ending"),
    [
        (tone("a")[:64], "audio/wav", ".wav"),
        (b"ID3\x04\x00\x00\x00\x00\x02\x01TIT2", "application/octet-stream", ".mp3"),
        (b"\xff\xfb\x90d", "", ".mp3"),
        (b"\xff\xf1\x50\x80", "audio/aac", ".aac"),
        (b"OggS\x00\x02", "binary/octet-stream", ".ogg"),
        (b"\x00\x00\x00\x20ftypM4A ", "video/mp4", ".m4a"),
        (b"fLaC\x00\x00\x00\x22", "audio/flac", ".flac"),
        (WEBM, "audio/webm", ".webm"),
        (b"FORM\x00\x00\x10\x00AIFFCOMM", "audio/aiff", ".aiff"),
        (b"\xff\xfb\x90d", "application/x-mp3", ".mp3"),
        (b"\xff\xfd\x84\xc4", "audio/mpeg", ".mp2"),
        (b"\xff\xf4\x84\xc4", "audio/x-mp2", ".mp2"),
        (WAVE64, "audio/x-w64", ".w64"),
        (b"BW64\xff\xff\xff\xffWAVEds64", "application/force-download", ".wav"),
        (ISO_MEDIA, "audio/mp4", ".m4a"),
        (ISO_MEDIA, "application/octet-stream", ".m4a"),
        (WEBM, "", ".webm"),
        # Videos, which may be in the containers of audio.
        (ISO_MEDIA, "video/mp4", None),
        (ISO_MEDIA, "Video/MP4", None),
        (WEBM, "video/webm", None),
        (b"OggS\x00\x02", "video/ogg", None),
        (b"\x00\x00\x00\x14ftypqt  ", "video/quicktime", None),
        (b"RIFF\x00\x00\x10\x00AVI LIST", "audio/wav", None),
        # Files of another kind, with a type of audio.
        (b"Internal Server Error", "audio/wav", None),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3", "audio/mpeg", None),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "audio/wav", None),
        (b"PK\x03\x04\x14\x00\x00\x00", "audio/wav", None),
        (b"\x1f\x8b\x08\x00\x00\x00\x00\x00", "audio/wav", None),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "audio/wav", None),
        (b"\x00\x00\x00\x18ftypheic", "audio/mp4", None),
        (b"\x7f\xff\x7e\x7f" * 16, "audio/basic", None),
        # Texts that begin like audio.
        (b"ID3 is how tags begin", "audio/mpeg", None),
        (b"OggS", "audio/ogg", None),
        (b"caffeine", "audio/x-caf", None),
        (b"see the WAVE file", "audio/wav", None),
        (b"\xff\xfb\xffd", "audio/mpeg", None),
        (b"\xff\xfb\x90d", "text/html", None),
        (b"\xff\xfd\xffd", "audio/mpeg", None),
        (b"\xff\xfe<\x00h\x00", "audio/mpeg", None),
        (b"\xff\xfb\x90d", "application/pdf", None),
        (b"\xff\xfb\x90d", "nothing", None),
        (b"riff" + b"\x00" * 60, "audio/x-w64", None),
        (b"#!AMR\n<html>", "text/html", None),
        (b"OggS\x00\x02", "application/json", None),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "application/octet-stream", None),
        (b"\n<html>", "audio/mpeg", None),
        (b'{"detail": "Not Found"}', "audio/wav", None),
        (b"\xef\xbb\xbf<?xml ", "audio/wav", None),
        (b"\xff\xfe<\x00h\x00", "text/html", None),
        (b"not found", "text/plain", None),
        (b"", "audio/wav", None),
    ],
)
def test_audio_is_recognised_by_its_first_bytes(head: bytes, content_type: str, ending: str | None) -> None:
    assert audio_ending(head, content_type) == ending


@pytest.mark.usefixtures("fast_retries")
def test_recordings_after_a_hostile_one_are_stored(
    landed: Callable[..., tuple[Sandbox, Settings]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "MAX_DOWNLOAD_BYTES", 100_000)
    monkeypatch.setattr(transport, "DOWNLOAD_TIMEOUT_SECONDS", 5.0)
    _, settings = landed()
    closed = "http://Ada~Smith:4155550100@127.0.0.1:9/a"
    locations = [
        "http://[::1",
        "file:///etc/passwd",
        "http://x.invalid/a",
        "//",
        "http://127.0.0.1:0/a",
        "/v2/loop",
        closed,
    ]
    monkeypatch.setattr("synthflow_assets.errors.ConnectionFailedError.retry_for_seconds", 0.0)
    hostile: dict[str, str] = {}

    def respond(query: dict[str, str]) -> tuple[int, bytes, dict[str, str]]:
        path = query["path"]
        call_id = path.split("/")[-2]
        if path == "/v2/loop":
            return 302, b"", {"Location": "/v2/loop"}
        if call_id not in hostile and len(hostile) <= len(locations):
            hostile[call_id] = locations[len(hostile)] if len(hostile) < len(locations) else "large"
        match hostile.get(call_id):
            case None:
                return 200, tone(call_id), {"Content-Type": "audio/wav"}
            case "large":
                return 200, tone(call_id) * 10, {"Content-Type": "audio/wav"}
            case location:
                return 302, b"", {"Location": location}

    messages: list[str] = []
    with serving(respond) as url:
        counts = store(settings.model_copy(update={"base_url": url}), str(tmp_path / "audio"), messages)
    assert (counts.failed, len(messages)) == (len(locations) + 1, counts.failed)
    assert counts.stored > 10
    assert len(audio_files(tmp_path / "audio")) == counts.stored
    said = json.dumps(messages)
    for expected in ("an invalid address", "more than 5 redirects", "cannot be reached", "is larger than"):
        assert expected in said, expected
    # No text of an address is shown.
    assert "cannot connect to the host of the recording" in said
    assert not [text for text in ("passwd", "127.0.0.1", "Ada", "4155550100") if text in said]


@pytest.mark.usefixtures("fast_retries")
def test_a_recording_that_never_ends_is_given_up(
    landed: Callable[..., tuple[Sandbox, Settings]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "DOWNLOAD_TIMEOUT_SECONDS", 0.3)
    _, settings = landed()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: audio/wav\r\nContent-Length: 100000\r\n\r\n"
    messages: list[str] = []
    with ExitStack() as stack:
        url = serve_raw(stack, drip(head))
        counts = store(
            settings.model_copy(update={"base_url": url, "max_connections": 40}), str(tmp_path / "audio"), messages
        )
    assert (counts.stored, counts.failed) == (0, len(messages))
    assert counts.failed > 10
    assert "took longer than" in messages[0]
    assert not audio_files(tmp_path / "audio")
