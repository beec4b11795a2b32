"""Recordings are downloaded once, and the API key is not sent to the address of a redirect."""

import datetime as dt
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer
from pyarrow import fs

from synthflow_assets.api.client import SynthflowClient
from synthflow_assets.erasure import erase_person
from synthflow_assets.errors import SettingsError, WarehouseUnusableError
from synthflow_assets.loading import load_calls, resolve_agents
from synthflow_assets.recordings import (
    RecordedCall,
    RecordingCounts,
    _file_name,
    _open,
    delete_recordings,
    store_recordings,
)
from synthflow_assets.sandbox.calls import tone
from synthflow_assets.sandbox.server import Sandbox
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse
from tests.conftest import DAY

StartSandbox = Callable[..., Sandbox]


@pytest.fixture
def landed(
    start_sandbox: StartSandbox, settings_for: Callable[..., Settings]
) -> Callable[..., tuple[Sandbox, Settings]]:
    def land(**config: object) -> tuple[Sandbox, Settings]:
        sandbox = start_sandbox(agents=1, calls_per_day=40, same_volume=True, **config)
        settings = settings_for(sandbox)
        with SynthflowClient.from_settings(settings) as client:
            agents = resolve_agents(client, settings).agents
            list(load_calls(client, Warehouse(settings.warehouse), settings, agents, [DAY], log=print))
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


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket on a local S3 server."""
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
    _, settings = landed()
    counts = store(settings, s3)
    assert counts.stored > 10
    locations = [str(row["location"]) for row in rows(settings).values() if isinstance(row["location"], str)]
    assert len(locations) == counts.stored
    delete_recordings(locations[:1])
    delete_recordings(locations[:1])
    assert store(settings, s3).stored == 0


def test_forgetting_a_person_deletes_the_recordings_on_s3(
    landed: Callable[..., tuple[Sandbox, Settings]], s3: str
) -> None:
    _, settings = landed()
    stored = store(settings, s3).stored
    calls = Warehouse(settings.warehouse).read_frame("calls").set_index("call_id")
    stored_at = {
        call_id: str(row["location"]) for call_id, row in rows(settings).items() if isinstance(row["location"], str)
    }
    phone = calls.loc[list(stored_at), "lead_phone_number"].iloc[0]
    of_person = {
        location for call_id, location in stored_at.items() if calls.loc[call_id, "lead_phone_number"] == phone
    }
    assert f"{len(of_person)} recordings deleted" in list(erase_person(settings, phone))
    bucket, _ = _open(s3)
    left = {
        f"s3://{file.path}" for file in bucket.get_file_info(fs.FileSelector("bucket", recursive=True)) if file.is_file
    }
    assert left == set(stored_at.values()) - of_person
    assert len(left) == stored - len(of_person)
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


def test_file_names_cannot_leave_the_folder() -> None:
    name = _file_name(RecordedCall(dt.date(2026, 3, 10), "../m", "../../etc/passwd"), "audio/mpeg")
    assert name.count("/") == 2
    assert ".." not in name
    assert name.endswith(".mp3")
    assert name != _file_name(RecordedCall(dt.date(2026, 3, 10), "../m", "../../etc_passwd"), "audio/mpeg")
