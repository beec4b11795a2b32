"""One request against the real HTTP sandbox: what it sends, what it retries, how it fails."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from synthflow_assets.api.client import SynthflowClient
from synthflow_assets.errors import (
    ApiError,
    AuthenticationError,
    BadRequestError,
    ClientClosedError,
    ConnectionFailedError,
    MalformedResponseError,
    NotFoundError,
    RateLimitedError,
    ServerError,
    SettingsError,
    TransientApiError,
    UnexpectedResponseError,
    UnknownHostError,
)
from synthflow_assets.sandbox.config import DEFAULT_API_KEY
from synthflow_assets.sandbox.server import Sandbox
from synthflow_assets.settings import Settings

StartSandbox = Callable[..., Sandbox]


def client_for(sandbox: Sandbox, api_key: str = DEFAULT_API_KEY, **options: float) -> SynthflowClient:
    return SynthflowClient(api_key, sandbox.url, **options)  # type: ignore[arg-type]


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


def test_filters_filter(start_sandbox: StartSandbox) -> None:
    sandbox = start_sandbox()
    window = {"from_date": 1_773_000_000_000, "to_date": 1_773_086_400_000}
    with client_for(sandbox) as client:
        everything = client.list_calls(sandbox.model_ids[0], **window)
        completed = client.list_calls(sandbox.model_ids[0], call_status="completed", **window)
        long = client.list_calls(sandbox.model_ids[0], duration_min=120, **window)
        short = client.list_calls(sandbox.model_ids[0], duration_max=119, **window)
    assert 0 < completed.total_records < everything.total_records
    assert long.total_records + short.total_records == everything.total_records


def test_agents_come_page_by_page(start_sandbox: StartSandbox) -> None:
    sandbox = start_sandbox(agents=230)
    with client_for(sandbox) as client:
        agents = client.list_agents()
        assert client.requests_sent == 3
    assert [agent.model_id for agent in agents] == sandbox.model_ids
    assert agents[0].name == "Front Desk"


@pytest.mark.parametrize(
    ("faults", "kind"),
    [
        ({"error_500": 1}, ServerError),
        ({"error_503": 1}, ServerError),
        ({"reset": 1}, ConnectionFailedError),
        ({"truncate": 1}, ConnectionFailedError),
        ({"html": 1}, MalformedResponseError),
        ({"wrong_json": 1}, MalformedResponseError),
    ],
)
@pytest.mark.usefixtures("impatient")
def test_what_can_pass_is_retried_and_then_raised(
    start_sandbox: StartSandbox,
    monkeypatch: pytest.MonkeyPatch,
    faults: dict[str, float],
    kind: type[TransientApiError],
) -> None:
    sandbox = start_sandbox(faults=faults)
    with client_for(sandbox) as client:
        assert client.list_calls(sandbox.model_ids[0]).total_records > 0
        assert client.requests_sent == 2
    lasting = start_sandbox(faults=dict.fromkeys(faults, 1000))
    monkeypatch.setattr(kind, "retry_for_seconds", 1.0)
    with client_for(lasting) as client, pytest.raises(kind, match="gave up after"):
        client.list_calls(lasting.model_ids[0])
    assert client.requests_sent > 1


@pytest.mark.parametrize("fault", ["rate_limit", "rate_limit_date"])
def test_both_forms_of_retry_after_are_honoured(start_sandbox: StartSandbox, fault: str) -> None:
    sandbox = start_sandbox(faults={fault: 1})
    started = time.monotonic()
    with client_for(sandbox) as client:
        client.list_calls(sandbox.model_ids[0])
    assert time.monotonic() - started >= 0.9
    assert client.requests_sent == 2


def test_a_pause_that_is_too_long_is_not_slept_through(
    start_sandbox: StartSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RateLimitedError, "retry_for_seconds", 0.5)
    sandbox = start_sandbox(faults={"rate_limit": 1000})
    with client_for(sandbox) as client, pytest.raises(RateLimitedError, match="REQUESTS_PER_SECOND"):
        client.list_calls(sandbox.model_ids[0])
    assert client.requests_sent == 1


def test_429_slows_every_connection_down(start_sandbox: StartSandbox) -> None:
    sandbox = start_sandbox(faults={"rate_limit": 1})
    with client_for(sandbox, max_connections=4) as client, ThreadPoolExecutor(2) as pool:
        limited = pool.submit(client.list_calls, sandbox.model_ids[0])
        while not client.pause_seconds:
            time.sleep(0.001)
        started = time.monotonic()
        client.list_calls(sandbox.model_ids[0])  # never saw a 429 itself
        assert time.monotonic() - started >= 0.5
        limited.result(timeout=5)


def test_rate_is_held_over_all_threads(start_sandbox: StartSandbox) -> None:
    sandbox = start_sandbox()
    began = time.monotonic()
    with client_for(sandbox, max_connections=8, requests_per_second=20) as client, ThreadPoolExecutor(8) as pool:

        def ask(_: int) -> float:
            client.list_calls(sandbox.model_ids[0], limit=1)
            return time.monotonic()

        ended = sorted(pool.map(ask, range(20)))
    # A busy machine may be late, but none is early.
    assert [moment for number, moment in enumerate(ended) if moment - began < number / 20] == []


@pytest.mark.parametrize(
    ("ask", "kind", "says"),
    [
        (lambda client, _: client.list_calls("nobody"), NotFoundError, "synthflow-assets agents"),
        (lambda client, ids: client.list_calls(ids[0], limit=101), BadRequestError, "Limit must be between 1 and 100"),
        (lambda client, ids: client.list_calls(ids[0], from_date="x"), BadRequestError, "from_date"),
    ],
)
def test_permanent_errors_are_not_retried(
    start_sandbox: StartSandbox,
    ask: Callable[[SynthflowClient, list[str]], object],
    kind: type[ApiError],
    says: str,
) -> None:
    sandbox = start_sandbox()
    with client_for(sandbox) as client, pytest.raises(kind, match=says) as caught:
        ask(client, sandbox.model_ids)
    assert client.requests_sent == 1
    assert "\n" not in str(caught.value)


def test_wrong_key_names_the_region_as_a_possible_cause(start_sandbox: StartSandbox) -> None:
    sandbox = start_sandbox()
    with (
        client_for(sandbox, "wrong-key") as client,
        pytest.raises(AuthenticationError, match="SYNTHFLOW_REGION") as caught,
    ):
        client.list_agents()
    assert client.requests_sent == 1
    assert "wrong-key" not in str(caught.value)


def test_redirects_are_not_followed(start_sandbox: StartSandbox) -> None:
    sandbox = start_sandbox(faults={"redirect": 1})
    with client_for(sandbox) as client, pytest.raises(UnexpectedResponseError, match="Redirect"):
        client.list_agents()


@pytest.mark.parametrize("address", ["http://no-such-host.invalid/v2", "http://a..b/v2"])
def test_unknown_host_fails_at_once(address: str) -> None:
    with SynthflowClient("key", address) as client, pytest.raises(UnknownHostError, match="SYNTHFLOW_BASE_URL"):
        client.list_agents()
    assert client.requests_sent == 1


def test_closed_port_is_named_and_retried_for_a_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ConnectionFailedError, "retry_for_seconds", 1.0)
    with (
        SynthflowClient("key", "http://127.0.0.1:1/v2") as client,
        pytest.raises(ConnectionFailedError, match=r"cannot connect to 127\.0\.0\.1:1"),
    ):
        client.list_agents()


def test_errors_quote_neither_address_nor_phone_number(
    start_sandbox: StartSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox = start_sandbox(faults={"error_500": 1000})
    monkeypatch.setattr(ServerError, "retry_for_seconds", 0.0)
    with client_for(sandbox) as client, pytest.raises(ServerError) as caught:
        client.list_calls(sandbox.model_ids[0], lead_phone_number="+14155552671")
    assert "4155552671" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_closing_wakes_a_thread_that_waits(start_sandbox: StartSandbox) -> None:
    sandbox = start_sandbox(faults={"error_500": 1000})
    client = client_for(sandbox)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.list_calls, sandbox.model_ids[0])
        while client.requests_sent < 3:
            time.sleep(0.01)
        client.close()
        with pytest.raises(ClientClosedError):
            waiting.result(timeout=5)


def test_netrc_does_not_replace_the_key(
    start_sandbox: StartSandbox, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    netrc = tmp_path_factory.mktemp("home") / ".netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with client_for(start_sandbox()) as client:
        assert client.list_agents()


def test_no_key_says_where_to_put_it() -> None:
    with pytest.raises(SettingsError, match=r"^api_key is not set.*\.env"):
        SynthflowClient.from_settings(Settings.of())
