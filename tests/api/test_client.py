"""Each endpoint sends what the reference says, and reads what the API sends."""

import hashlib
import io
from collections.abc import Callable

import pytest

from synthflow_assets.api import client as client_module
from synthflow_assets.api.client import SynthflowClient
from synthflow_assets.errors import (
    AccessDeniedError,
    IncompleteFetchError,
    MalformedResponseError,
    ServerError,
    SettingsError,
    UnexpectedResponseError,
)
from synthflow_assets.sandbox.calls import tone
from synthflow_assets.sandbox.config import DEFAULT_API_KEY
from synthflow_assets.sandbox.server import Sandbox
from synthflow_assets.settings import Settings
from tests.api.servers import agents_page, page, serving

StartSandbox = Callable[..., Sandbox]


def client_for(sandbox: Sandbox) -> SynthflowClient:
    return SynthflowClient(DEFAULT_API_KEY, sandbox.url)


def test_every_parameter_of_the_reference_reaches_the_server(start_sandbox: StartSandbox) -> None:
    sandbox = start_sandbox()
    with client_for(sandbox) as client:
        client.list_calls(
            sandbox.model_ids[0],
            limit=7,
            offset=3,
            from_date=1_772_000_000_000,
            to_date=1_773_000_000_000,
            call_status="completed",
            duration_min=5,
            duration_max=900,
            lead_phone_number="+14155552671",
        )
    assert sandbox.api.requests == [
        {
            "model_id": sandbox.model_ids[0],
            "limit": "7",
            "offset": "3",
            "from_date": "1772000000000",
            "to_date": "1773000000000",
            "call_status": "completed",
            "duration_min": "5",
            "duration_max": "900",
            "lead_phone_number": "+14155552671",
        }
    ]


def test_parameters_that_are_not_set_are_not_sent() -> None:
    requests: list[dict[str, str]] = []
    with serving(lambda _: page([], 0), requests) as url, SynthflowClient("k", f"{url}/") as client:
        client.list_calls("m")
    assert requests == [
        {"path": "/v2/calls", "model_id": "m", "limit": "100", "offset": "0", "authorization": "Bearer k"}
    ]


def test_filters_filter(start_sandbox: StartSandbox) -> None:
    sandbox = start_sandbox()
    window = {"from_date": 1_773_000_000_000, "to_date": 1_773_086_400_000}
    with client_for(sandbox) as client:
        all_calls = client.list_calls(sandbox.model_ids[0], **window)
        completed = client.list_calls(sandbox.model_ids[0], call_status="completed", **window)
        long = client.list_calls(sandbox.model_ids[0], duration_min=120, **window)
        short = client.list_calls(sandbox.model_ids[0], duration_max=119, **window)
    assert 0 < completed.total_records < all_calls.total_records
    assert long.total_records + short.total_records == all_calls.total_records


def test_agents_come_page_by_page(start_sandbox: StartSandbox) -> None:
    sandbox = start_sandbox(agents=230)
    with client_for(sandbox) as client:
        agents = client.list_agents()
        assert client.requests_sent == 3
    assert [agent.model_id for agent in agents] == sandbox.model_ids
    assert agents[0].name == "Front Desk"


IDS = [f"a{number}" for number in range(250)]


def list_agents(respond: Callable[[int], tuple[int, bytes]]) -> tuple[list[str], list[int]]:
    """Ids that came, and the offsets that were requested."""
    requests: list[dict[str, str]] = []
    with (
        serving(lambda query: respond(int(query["offset"])), requests) as url,
        SynthflowClient("k", url) as client,
    ):
        agents = client.list_agents()
    assert {(request["path"], request["limit"]) for request in requests} == {("/v2/assistants/", "100")}
    return [agent.model_id for agent in agents], [int(request["offset"]) for request in requests]


@pytest.mark.parametrize("total", [None, 1, 250])
def test_agents_beyond_a_wrong_total_are_found(total: int | None) -> None:
    assert list_agents(lambda offset: agents_page(IDS[offset : offset + 100], total)) == (IDS, [0, 100, 200])


def test_a_full_last_page_of_agents_is_read_on() -> None:
    assert list_agents(lambda offset: agents_page(IDS[:200][offset : offset + 100], None)) == (IDS[:200], [0, 100, 200])


def test_pages_of_agents_that_are_shorter_than_requested_are_read_on() -> None:
    assert list_agents(lambda offset: agents_page(IDS[:120][offset : offset + 50], 120))[1] == [0, 50, 100]


def test_agents_that_are_listed_again_do_not_hide_others() -> None:
    """A new agent moves the last of a page to the next one."""
    ids, offsets = list_agents(lambda offset: agents_page(IDS[max(0, offset - 1) :][:100], 199))
    assert (ids, offsets) == (IDS, [0, 100, 199])


def test_unreadable_agents_count_as_listed() -> None:
    assert list_agents(lambda offset: agents_page(["a", "", ""], 3) if offset == 0 else agents_page([], 3)) == (
        ["a"],
        [0],
    )


def test_missing_agents_are_an_error() -> None:
    for respond in (lambda _: agents_page(IDS[:100], 10**6), lambda offset: agents_page(IDS[:99][offset:], 100)):
        with pytest.raises(IncompleteFetchError, match=r"lists (100|99) of 1[0,]+ agents; set SYNTHFLOW_MODEL_IDS"):
            list_agents(respond)


def test_agents_without_an_end_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "MAX_AGENTS", 1_000)
    ids, _ = list_agents(lambda offset: agents_page([f"{offset}-{number}" for number in range(100)], None))
    assert len(ids) == 1_000


def test_a_recording_is_downloaded_without_the_key(start_sandbox: StartSandbox) -> None:
    sandbox, file = start_sandbox(), io.BytesIO(b"of an earlier attempt" * 10_000)
    file.seek(50)
    with client_for(sandbox) as client:
        audio = client.fetch_recording("call 1", file)
        assert client.requests_sent == 2
    assert file.getvalue() == tone("call 1")
    assert audio == ("audio/wav", len(file.getvalue()), hashlib.sha256(file.getvalue()).hexdigest())


def test_a_recording_may_come_without_a_redirect() -> None:
    requests: list[dict[str, str]] = []
    file = io.BytesIO()
    respond = lambda _: (200, b"sound", {"Content-Type": "audio/mpeg; x=y"})  # noqa: E731
    with serving(respond, requests) as url, SynthflowClient("k", url) as client:
        audio = client.fetch_recording("a/b c", file)
    assert requests[0]["path"] == "/v2/calls/a%2Fb%20c/recording"
    assert audio is not None
    assert (audio.content_type, audio.size_bytes, file.getvalue()) == ("audio/mpeg", 5, b"sound")


@pytest.mark.parametrize("call_id", ["..", ".", "", "a/../..", "..\\..", "/", "a//b", "x" * 5_000])
def test_an_id_that_would_change_the_address_is_not_requested(call_id: str) -> None:
    """The client requested `/v2/recording` for the call `..`."""
    requests: list[dict[str, str]] = []
    with serving(lambda _: (200, b"sound"), requests) as url, SynthflowClient("k", url) as client:
        assert client.fetch_recording(call_id, io.BytesIO()) is None
    assert not requests


@pytest.mark.parametrize(
    ("call_id", "segment"), [("%2e%2e", "%252e%252e"), ("a?b#c", "a%3Fb%23c"), ("...", "..."), ("\ud800", "%3F")]
)
def test_any_other_id_is_one_segment_of_the_address(call_id: str, segment: str) -> None:
    requests: list[dict[str, str]] = []
    with serving(lambda _: (200, b"sound"), requests) as url, SynthflowClient("k", url) as client:
        client.fetch_recording(call_id, io.BytesIO())
    assert [request["path"] for request in requests] == [f"/v2/calls/{segment}/recording"]


@pytest.mark.parametrize("status", [302, 303, 307, 308])
def test_each_kind_of_redirect_leads_to_the_recording(status: int) -> None:
    requests: list[dict[str, str]] = []

    def respond(query: dict[str, str]) -> tuple[int, bytes, dict[str, str]]:
        return (status, b"", {"Location": "/sound?x=1"}) if "recording" in query["path"] else (200, b"sound", {})

    with serving(respond, requests) as url, SynthflowClient("k", url) as client:
        assert client.fetch_recording("a", io.BytesIO()) is not None
    assert [(one["path"], one["authorization"]) for one in requests] == [
        ("/v2/calls/a/recording", "Bearer k"),
        ("/sound", ""),
    ]


@pytest.mark.parametrize("at", ["recording", "sound"])
def test_no_recording_is_none(at: str) -> None:
    def respond(query: dict[str, str]) -> tuple[int, bytes, dict[str, str]]:
        return (404, b"", {}) if at in query["path"] else (302, b"", {"Location": "/sound"})

    with serving(respond) as url, SynthflowClient("k", url) as client:
        assert client.fetch_recording("a", io.BytesIO()) is None


@pytest.mark.usefixtures("fast_retries")
@pytest.mark.parametrize(
    ("api", "storage", "kind"),
    [
        ((403, b"", {}), None, AccessDeniedError),
        ((302, b"", {}), None, UnexpectedResponseError),  # without an address
        ((301, b"", {"Location": "/sound"}), None, UnexpectedResponseError),
        ((302, b"", {"Location": "/sound"}), (403, b"", {}), ServerError),
        ((302, b"", {"Location": "/sound"}), (302, b"", {"Location": "/sound"}), UnexpectedResponseError),
        ((302, b"", {"Location": "/sound"}), (200, b"", {}), MalformedResponseError),
    ],
)
def test_a_recording_that_cannot_be_had_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
    api: tuple[int, bytes, dict[str, str]],
    storage: tuple[int, bytes, dict[str, str]] | None,
    kind: type[Exception],
) -> None:
    monkeypatch.setattr("synthflow_assets.errors.TransientApiError.retry_for_seconds", 0.0)
    monkeypatch.setattr(MalformedResponseError, "retry_for_seconds", 0.0)
    with (
        serving(lambda query: api if "recording" in query["path"] else storage or (500, b"", {})) as url,
        SynthflowClient("k", url) as client,
        pytest.raises(kind),
    ):
        client.fetch_recording("a", io.BytesIO())


def test_no_key_says_where_to_put_it() -> None:
    with pytest.raises(SettingsError, match=r"^api_key is not set.*\.env"):
        SynthflowClient.from_settings(Settings.of())


def test_the_settings_reach_the_client(settings_for: Callable[..., Settings], start_sandbox: StartSandbox) -> None:
    settings = settings_for(start_sandbox(), max_connections=3, requests_per_second=7.5)
    with SynthflowClient.from_settings(settings) as client:
        assert (client.base_url, client.max_connections) == (settings.base_url, 3)
        assert client.requests_per_second == 7.5
        assert client.list_agents()
