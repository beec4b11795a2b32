"""Requests over real sockets: the key, time-outs, sizes, retries, and servers that never finish."""

import email.utils
import io
import socket
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from synthflow_assets.api import client as client_module
from synthflow_assets.api import transport
from synthflow_assets.api.client import SynthflowClient
from synthflow_assets.api.pages import CallPage
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
    TransientApiError,
    UnexpectedResponseError,
    UnknownHostError,
)
from synthflow_assets.sandbox import app
from synthflow_assets.sandbox.config import DEFAULT_API_KEY
from synthflow_assets.sandbox.server import Sandbox
from tests.api.servers import agents_page, drip, page, serve_raw, serving

StartSandbox = Callable[..., Sandbox]


def client_for(sandbox: Sandbox, api_key: str = DEFAULT_API_KEY, **options: float) -> SynthflowClient:
    return SynthflowClient(api_key, sandbox.url, **options)  # type: ignore[arg-type]


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
@pytest.mark.usefixtures("fast_retries")
def test_a_transient_failure_is_retried_and_then_raised(
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
    monkeypatch.setattr(kind, "retry_for_seconds", 0.05)
    with client_for(lasting) as client, pytest.raises(kind, match="gave up after"):
        client.list_calls(lasting.model_ids[0])
    assert client.requests_sent > 1


def test_retry_after_is_waited_for(start_sandbox: StartSandbox) -> None:
    sandbox = start_sandbox(faults={"rate_limit": 1})
    started = time.monotonic()
    with client_for(sandbox) as client:
        client.list_calls(sandbox.model_ids[0])
    assert time.monotonic() - started >= 1
    assert client.requests_sent == 2


@pytest.mark.parametrize("fault", ["rate_limit", "rate_limit_date"])
def test_a_429_pauses_every_connection(
    start_sandbox: StartSandbox, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(app, "_RETRY_AFTER_SECONDS", 60)  # a busy machine would miss the end of a short pause
    sandbox = start_sandbox(faults={fault: 1})
    with ThreadPoolExecutor(2) as pool, client_for(sandbox, max_connections=4) as client:
        limited = pool.submit(client.list_calls, sandbox.model_ids[0])
        while not client.pause_seconds:
            time.sleep(0.001)
        assert 30 < client.pause_seconds < 61.3  # a date has whole seconds
        other = pool.submit(client.list_calls, sandbox.model_ids[0])  # it never got a 429 itself
        time.sleep(0.05)
        assert client.requests_sent == 1
        client.close()
        for waiting in (limited, other):
            with pytest.raises(ClientClosedError):
                waiting.result(timeout=5)


def test_a_pause_that_is_too_long_is_not_waited_for(
    start_sandbox: StartSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RateLimitedError, "retry_for_seconds", 0.5)
    sandbox = start_sandbox(faults={"rate_limit": 1000})
    with client_for(sandbox) as client, pytest.raises(RateLimitedError, match="REQUESTS_PER_SECOND"):
        client.list_calls(sandbox.model_ids[0])
    assert client.requests_sent == 1


def test_the_rate_holds_over_all_threads(start_sandbox: StartSandbox) -> None:
    sandbox = start_sandbox()
    began = time.monotonic()
    with client_for(sandbox, max_connections=8, requests_per_second=40) as client, ThreadPoolExecutor(8) as pool:

        def request(_: int) -> float:
            client.list_calls(sandbox.model_ids[0], limit=1)
            return time.monotonic()

        ended = sorted(pool.map(request, range(12)))
    # A busy machine may be late, but none is early.
    assert [moment for number, moment in enumerate(ended) if moment - began < number / 40] == []


@pytest.mark.parametrize(
    ("request_page", "kind", "says"),
    [
        (lambda client, _: client.list_calls("nobody"), NotFoundError, "synthflow-assets agents"),
        (lambda client, ids: client.list_calls(ids[0], limit=101), BadRequestError, "Limit must be between 1 and 100"),
        (lambda client, ids: client.list_calls(ids[0], from_date="x"), BadRequestError, "from_date"),
    ],
)
def test_a_permanent_failure_is_not_retried(
    start_sandbox: StartSandbox,
    request_page: Callable[[SynthflowClient, list[str]], object],
    kind: type[ApiError],
    says: str,
) -> None:
    sandbox = start_sandbox()
    with client_for(sandbox) as client, pytest.raises(kind, match=says) as caught:
        request_page(client, sandbox.model_ids)
    assert client.requests_sent == 1
    assert "\n" not in str(caught.value)


def test_a_wrong_key_names_the_region_as_a_possible_cause(start_sandbox: StartSandbox) -> None:
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
def test_an_unknown_host_fails_at_once(address: str) -> None:
    with SynthflowClient("key", address) as client, pytest.raises(UnknownHostError, match="SYNTHFLOW_BASE_URL"):
        client.list_agents()
    assert client.requests_sent == 1


@pytest.mark.usefixtures("fast_retries")
def test_a_host_that_has_responded_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    """If its name cannot be resolved then, the name server or the network fails, and the client retries."""
    answers = [socket.gaierror(socket.EAI_NONAME, "?")]
    resolve = socket.getaddrinfo

    def getaddrinfo(*arguments: object) -> object:
        if answers:
            raise answers.pop()
        return resolve(*arguments)  # type: ignore[arg-type]

    with serving(lambda _: (*page([], 0), {"Connection": "close"})) as url, SynthflowClient("key", url) as client:
        client.list_calls("m")
        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        client.list_calls("m")
        assert client.requests_sent == 3


@pytest.mark.usefixtures("fast_retries")
def test_a_closed_port_is_named_and_retried_for_a_limited_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ConnectionFailedError, "retry_for_seconds", 0.05)
    with (
        SynthflowClient("key", "http://127.0.0.1:1/v2") as client,
        pytest.raises(ConnectionFailedError, match=r"cannot connect to 127\.0\.0\.1:1"),
    ):
        client.list_agents()
    assert client.requests_sent > 1


@pytest.mark.parametrize(
    ("has_answered", "fails", "is_outage"), [(False, "all", True), (True, "all", True), (True, "one", False)]
)
def test_5xx_for_calls_alone_are_an_outage_unless_other_calls_are_listed(
    monkeypatch: pytest.MonkeyPatch, has_answered: bool, fails: str, is_outage: bool
) -> None:
    """The list of agents worked meanwhile, so runs failed after two minutes, and no run repeated them."""
    monkeypatch.setattr("synthflow_assets.api.retries._SHORTEST_SECONDS", 0.2)
    is_down = False

    def respond(query: dict[str, str]) -> tuple[int, bytes]:
        if "assistants" in query["path"]:
            return agents_page(["m"], 1)
        return (500, b"") if is_down and (fails == "all" or query["from_date"] == "2") else page([], 0)

    with serving(respond) as url, SynthflowClient("key", url) as client:
        client.wait_for_outages(0, lambda _: None)
        client.list_agents()
        if has_answered:
            client.list_calls("m", from_date=1, to_date=2)
        is_down = True
        with pytest.raises(ServerError) as raised:
            client.list_calls("m", from_date=2, to_date=3)
    assert raised.value.outlasted is is_outage


def test_an_api_that_hangs_answers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it answers other requests is found out in seconds, not in the time that a page may take."""
    monkeypatch.setattr("synthflow_assets.api.retries._SHORTEST_SECONDS", 0.2)
    monkeypatch.setattr(transport, "ALIVE_TIMEOUT_SECONDS", 0.2)
    hangs = False

    def respond(query: dict[str, str]) -> tuple[int, bytes]:
        if "assistants" in query["path"]:
            time.sleep(1.0 if hangs else 0.0)
            return agents_page(["m"], 1)
        return (500, b"") if hangs else page([], 0)

    with serving(respond) as url, SynthflowClient("key", url) as client:
        client.wait_for_outages(0, lambda _: None)
        client.list_agents()
        client.list_calls("m")
        hangs = True
        with pytest.raises(ServerError) as raised:
            client.list_calls("m")
    assert raised.value.outlasted


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
        while client.requests_sent < 1:
            time.sleep(0.01)
        client.close()
        with pytest.raises(ClientClosedError):
            waiting.result(timeout=5)


def test_netrc_neither_replaces_the_key_nor_goes_to_the_storage(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    requests: list[dict[str, str]] = []

    def respond(query: dict[str, str]) -> tuple[int, bytes, dict[str, str]]:
        return (302, b"", {"Location": "/sound"}) if "recording" in query["path"] else (200, b"sound", {})

    with serving(respond, requests) as url, SynthflowClient("key", url) as client:
        client.fetch_recording("a", io.BytesIO())
    assert [request["authorization"] for request in requests] == ["Bearer key", ""]


@pytest.mark.usefixtures("fast_retries")
def test_a_response_that_never_came_is_requested_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "READ_TIMEOUT_SECONDS", 1.0)
    monkeypatch.setattr(ConnectionFailedError, "retry_for_seconds", 0.1)  # less than the time-out
    requests: list[dict[str, str]] = []
    has_ended = threading.Event()

    def respond(_: dict[str, str]) -> tuple[int, bytes]:
        if len(requests) == 1:
            has_ended.wait(10)
        return page([], 0)

    with serving(respond, requests) as url, SynthflowClient("key", url) as client:
        assert client.list_calls("m").total_records == 0
        has_ended.set()
    assert len(requests) == 2


@pytest.mark.parametrize("ahead", [0, -90, 3600])
def test_the_difference_between_the_clocks_is_known(start_sandbox: StartSandbox, ahead: float) -> None:
    with client_for(start_sandbox(clock_behind_seconds=ahead)) as client:
        assert client.clock_ahead_seconds is None
        client.list_agents()
        assert ahead - 2 <= (client.clock_ahead_seconds or 0) <= ahead + 2


@pytest.mark.parametrize(("ahead", "used_ahead"), [(40, 40), (-40, 0), (3600, 3600), (-3600, 0)])
def test_the_earlier_clock_decides_whether_a_day_is_over(
    start_sandbox: StartSandbox, ahead: float, used_ahead: float
) -> None:
    """Without a margin, a clock that is 40 s ahead would settle a day without its last calls."""
    with client_for(start_sandbox(clock_behind_seconds=ahead)) as client:
        client.list_agents()
        assert used_ahead - 2 <= time.time() - client.now_ms / 1000 <= used_ahead + 2


def test_a_slow_body_does_not_set_the_clock_ahead() -> None:
    def talk(connection: socket.socket) -> None:
        date = email.utils.formatdate(usegmt=True)
        body = page([], 0)[1]
        connection.sendall(f"HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Length: {len(body)}\r\n\r\n".encode())
        time.sleep(2.1)
        connection.sendall(body)

    with ExitStack() as stack:
        client = stack.enter_context(SynthflowClient("key", serve_raw(stack, talk)))
        client.list_calls("m")
        assert (client.clock_ahead_seconds or 0) < 2


def test_a_date_without_a_zone_is_in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine in New York, its clock would differ by hours, and only the server's would count."""

    def talk(connection: socket.socket) -> None:
        body = page([], 0)[1]
        head = f"HTTP/1.1 200 OK\r\nDate: {time.asctime(time.gmtime())}\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)

    with monkeypatch.context() as patch, ExitStack() as stack:
        patch.setenv("TZ", "America/New_York")
        time.tzset()
        stack.callback(time.tzset)
        stack.callback(patch.undo)
        client = stack.enter_context(SynthflowClient("key", serve_raw(stack, talk)))
        client.list_calls("m")
        assert abs(client.clock_ahead_seconds or 99) < 5


@pytest.mark.parametrize("date", ["soon", "Thu, 01 Jan 99999 00:00:00 GMT"])
def test_a_date_that_is_none_says_nothing_of_the_clock(date: str) -> None:
    # The last header of a name is the one that counts for this client.
    with serving(lambda _: (*page([], 0), {"Date": date})) as url, SynthflowClient("key", url) as client:
        client.list_calls("m")
        assert client.clock_ahead_seconds is None or abs(client.clock_ahead_seconds) < 5


DRIPS = [b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nX:"]


@pytest.mark.parametrize("head", DRIPS)
def test_a_response_that_drips_has_a_deadline(monkeypatch: pytest.MonkeyPatch, head: bytes) -> None:
    monkeypatch.setattr(transport, "RESPONSE_TIMEOUT_SECONDS", 0.2)
    monkeypatch.setattr(ConnectionFailedError, "retry_for_seconds", 0.0)
    with ExitStack() as stack:
        url = serve_raw(stack, drip(head))
        client = stack.enter_context(SynthflowClient("key", url))
        started = time.monotonic()
        with pytest.raises(ConnectionFailedError):
            client.list_calls("m")
        assert time.monotonic() - started < 15


@pytest.mark.parametrize("head", DRIPS)
def test_closing_the_client_ends_requests_in_flight(head: bytes) -> None:
    with ExitStack() as stack:
        client = SynthflowClient("key", serve_raw(stack, drip(head)))
        caught: list[Exception] = []

        def request() -> None:
            try:
                client.list_calls("m")
            except ApiError as error:
                caught.append(error)

        thread = threading.Thread(target=request)
        thread.start()
        time.sleep(0.15)
        client.close()
        thread.join(timeout=10)
        assert not thread.is_alive()
        assert isinstance(caught[0], (ClientClosedError, ConnectionFailedError))


def test_a_body_without_an_end_is_not_read_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MAX_BODY_BYTES", 2**20)

    def talk(connection: object) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")  # type: ignore[attr-defined]
        while True:
            connection.sendall(b" " * 65536)  # type: ignore[attr-defined]

    with ExitStack() as stack:
        client = stack.enter_context(SynthflowClient("key", serve_raw(stack, talk)))
        with pytest.raises(UnexpectedResponseError, match="larger than 1 MB"):
            client.list_calls("m")


def test_endless_headers_after_a_chunked_body_have_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """http.client reads all of them in one call."""
    monkeypatch.setattr(transport, "RESPONSE_TIMEOUT_SECONDS", 0.3)
    monkeypatch.setattr(ConnectionFailedError, "retry_for_seconds", 0.0)
    _, body = page([], 0)
    chunk = b"%x\r\n%s\r\n0\r\n" % (len(body), body)

    def talk(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk)
        while True:
            connection.sendall(b"X: y\r\n")
            time.sleep(0.01)

    with ExitStack() as stack:
        client = stack.enter_context(SynthflowClient("key", serve_raw(stack, talk)))
        started = time.monotonic()
        with pytest.raises(ConnectionFailedError, match="took longer than"):
            client.list_calls("m")
        assert time.monotonic() - started < 15


@pytest.mark.parametrize(
    "interim", [b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", b"HTTP/1.1 102 Processing\r\n\r\n"]
)
def test_interim_responses_are_skipped(monkeypatch: pytest.MonkeyPatch, interim: bytes) -> None:
    monkeypatch.setattr(ConnectionFailedError, "retry_for_seconds", 0.0)
    _, body = page([], 7)
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    with ExitStack() as stack:
        url = serve_raw(stack, lambda connection: connection.sendall(2 * interim + answer))
        client = stack.enter_context(SynthflowClient("key", url))
        assert client.list_calls("m").total_records == 7
    with ExitStack() as stack:
        url = serve_raw(stack, lambda connection: connection.sendall(30 * interim + answer))
        client = stack.enter_context(SynthflowClient("key", url))
        with pytest.raises(ConnectionFailedError):
            client.list_calls("m")


@pytest.mark.parametrize("line", [b": Ada 4155550100", b"Ada 4155550100", b" Ada 4155550100"])
def test_headers_that_cannot_be_parsed_are_not_logged(caplog: pytest.LogCaptureFixture, line: bytes) -> None:
    """urllib3 warns of them with their text and the address, which may be that of a recording or a webhook."""
    _, body = page([], 7)
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\nX: y\r\n\r\n%s" % (len(body), line, body)
    with ExitStack() as stack:
        url = serve_raw(stack, lambda connection: connection.sendall(answer))
        client = stack.enter_context(SynthflowClient("key", url))
        with suppress(MalformedResponseError):
            assert client.list_calls("m").total_records == 7
    assert not caplog.records


def test_cookies_are_not_kept() -> None:
    cookies: list[str] = []

    def respond(query: dict[str, str]) -> tuple[int, bytes, dict[str, str]]:
        cookies.append(query.get("cookie", ""))
        return (*page([], 0), {"Set-Cookie": "server=3; Path=/"})

    with serving(respond) as url, SynthflowClient("key", url) as client:
        client.list_calls("m")
        client.list_calls("m")
    assert cookies == ["", ""]


def test_large_bodies_are_read_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight connections that each held 256 MB took 3.4 GB."""
    monkeypatch.setattr(transport, "LARGE_BODY_BYTES", 1_000)
    body = page([{"call_id": "a" * 500_000}], 1)
    parsing, most = [], 0
    parse = client_module.parse_calls

    def slow_parse(raw: bytes) -> CallPage:
        nonlocal most
        parsing.append(raw)
        most = max(most, len(parsing))
        time.sleep(0.05)
        parsing.pop()
        return parse(raw)

    monkeypatch.setattr(client_module, "parse_calls", slow_parse)
    with serving(lambda _: body) as url, SynthflowClient("key", url) as client, ThreadPoolExecutor(8) as pool:
        assert [one.total_records for one in pool.map(client.list_calls, "abcdefgh")] == [1] * 8
    assert most == 1


def test_a_body_of_the_allowed_size_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    status, body = page([{"call_id": "a" * 1000}], 1)
    monkeypatch.setattr(transport, "MAX_BODY_BYTES", len(body))
    with serving(lambda _: (status, body)) as url, SynthflowClient("key", url) as client:
        assert client.list_calls("m").total_records == 1


def test_a_small_response_that_unpacks_to_a_large_one_does_not_take_all_memory() -> None:
    packer = zlib.compressobj(wbits=31)
    bomb = b"".join([*(packer.compress(bytes(2**20)) for _ in range(400)), packer.flush()])
    assert len(bomb) < 2**20
    tracemalloc.start()
    try:
        with (
            serving(lambda _: (200, bomb, {"Content-Encoding": "gzip"})) as url,
            SynthflowClient("k", url) as client,
            pytest.raises(UnexpectedResponseError, match="larger than 64 MB"),
        ):
            client.list_agents()
        assert tracemalloc.get_traced_memory()[1] < 200 * 2**20
    finally:
        tracemalloc.stop()
