"""Servers that answer nonsense, never, or without an end: one clear error each, in bounded time and memory."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from synthflow_assets.api import client as client_module
from synthflow_assets.api import transport
from synthflow_assets.api.client import SynthflowClient
from synthflow_assets.api.events import CallWindow, FailedWindow, FetchedPage, FetchedWindow, FetchProgress
from synthflow_assets.api.fetch import fetch_windows
from synthflow_assets.api.http_errors import describe_error, retry_after
from synthflow_assets.api.pages import parse_agents, parse_calls
from synthflow_assets.errors import (
    ApiError,
    ClientClosedError,
    ConnectionFailedError,
    IncompleteFetchError,
    MalformedResponseError,
    ServerError,
    UnexpectedResponseError,
)

START_MS = 1_773_100_800_000
DAY_MS = 86_400_000
Answer = Callable[[dict[str, str]], tuple[int, bytes]]


@contextmanager
def serving(answer: Answer, asked: list[dict[str, str]] | None = None) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # or each response takes 40 ms

        def do_GET(self) -> None:
            query = {"path": urlsplit(self.path).path, **dict(parse_qsl(urlsplit(self.path).query))}
            if asked is not None:
                asked.append(query)
            status, body = answer(query)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=[0.005], daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v2"
    server.shutdown()
    server.server_close()


def page(records: list[Any], total: int) -> tuple[int, bytes]:
    return 200, json.dumps({"response": {"pagination": {"total_records": total}, "calls": records}}).encode()


def record(number: int, **fields: Any) -> dict[str, Any]:
    return {"call_id": f"c{number}", "model_id": "m", "start_time": START_MS + number * 60_000, **fields}


def in_window(query: dict[str, str], records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    low, high = int(query["from_date"]), int(query["to_date"])
    chosen = [one for one in records if low <= one["start_time"] <= high]
    return chosen[int(query["offset"]) : int(query["offset"]) + int(query["limit"])]


def fetch(url: str, models: tuple[str, ...] = ("m",)) -> tuple[list[str | None], list[ApiError]]:
    """Ids that came, and errors of windows that failed."""
    ids: list[str | None] = []
    errors: list[ApiError] = []
    windows = [CallWindow(model, START_MS, START_MS + DAY_MS) for model in models]
    with SynthflowClient("key", url) as client:
        for event in fetch_windows(client, windows, margin_seconds=0):
            if isinstance(event, FetchedPage):
                ids += [one.call_id for one in event.records]
            elif isinstance(event, FailedWindow):
                errors.append(event.error)
            else:
                assert isinstance(event, (FetchedWindow, FetchProgress))
    return ids, errors


@pytest.mark.parametrize("total", [4, 150, 5000, 20_000, 10**6, 10**12, 10**30])
def test_totals_that_do_not_follow_the_window_fail_soon(total: int) -> None:
    asked: list[dict[str, str]] = []
    records = [record(number) for number in range(3)]
    with serving(lambda query: page(in_window(query, records), total), asked) as url:
        try:
            _, errors = fetch(url)
        except ApiError as error:
            errors = [error]
    assert isinstance(errors[0], (UnexpectedResponseError, IncompleteFetchError, MalformedResponseError))
    assert len(asked) < 400


def test_a_total_that_is_too_low_does_not_cut_the_day_short() -> None:
    records = [record(number) for number in range(250)]
    with serving(lambda query: page(in_window(query, records), 0)) as url:
        ids, errors = fetch(url)
    assert errors == []
    assert sorted(map(str, ids)) == sorted(one["call_id"] for one in records)


@pytest.mark.parametrize("cap", [100, 200])
def test_a_total_that_is_capped_does_not_cut_the_day_short(cap: int) -> None:
    records = [record(number) for number in range(250)]
    with serving(lambda query: page(in_window(query, records), cap)) as url:
        ids, errors = fetch(url)
    assert errors == []
    assert sorted(map(str, ids)) == sorted(one["call_id"] for one in records)


def test_a_call_whose_start_is_corrected_while_pages_turn_is_not_lost() -> None:
    """It comes first as a call of the next day, and when the pages are asked for again as one of this."""
    asked: list[dict[str, str]] = []
    moving = record(7)

    def answer(query: dict[str, str]) -> tuple[int, bytes]:
        moving["start_time"] = START_MS + (DAY_MS + 1000 if len(asked) == 1 else 420_000)
        others = [record(number) for number in range(10, 160)]
        if len(asked) == 2:
            others.pop()  # a page that comes back short: all are asked for again
        listed = [moving, *others]
        return page(listed[int(query["offset"]) : int(query["offset"]) + int(query["limit"])], 151)

    with serving(answer, asked) as url:
        ids, errors = fetch(url)
    assert errors == []
    assert len(asked) > 2
    assert sorted(map(str, ids)) == sorted(["c7", *(f"c{number}" for number in range(10, 160))])


def test_an_empty_agent_is_none() -> None:
    odd = record(2, model_id="", call_id=2.5)  # which is read on another way
    with serving(lambda _: page([record(1, model_id=""), odd], 2)) as url:
        assert fetch(url) == (["c1", "2.5"], [])


@pytest.mark.parametrize("status", [408, 425])
def test_a_time_out_of_a_gateway_is_asked_again(status: int) -> None:
    asked: list[dict[str, str]] = []
    with serving(lambda _: page([record(1)], 1) if len(asked) > 1 else (status, b""), asked) as url:
        assert fetch(url) == (["c1"], [])
    assert len(asked) == 2


def test_an_answer_that_never_came_is_asked_for_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "READ_TIMEOUT_SECONDS", 0.5)
    monkeypatch.setattr(ConnectionFailedError, "retry_for_seconds", 0.9)  # with its wait, less than two answers take
    asked: list[dict[str, str]] = []

    def answer(query: dict[str, str]) -> tuple[int, bytes]:
        if len(asked) == 1:
            time.sleep(2)
        return page(in_window(query, [record(1)]), 1)

    with serving(answer, asked) as url:
        assert fetch(url) == (["c1"], [])


@pytest.mark.parametrize(("said", "means"), [("0", None), ("2", 2.0), ("Thu, 01 Jan 2026 00:00:00 GMT", None)])
def test_a_retry_after_that_asks_for_nothing_is_no_leave_to_hurry(said: str, means: float | None) -> None:
    assert retry_after({"Retry-After": said}) == means


def test_a_call_that_cannot_have_started_then_is_handed_on_to_be_rejected() -> None:
    records = [record(0), record(1), record(2), {**record(3), "start_time": 0}]
    with serving(lambda _: page(records, 4)) as url:
        ids, errors = fetch(url)
    assert (sorted(map(str, ids)), errors) == (["c0", "c1", "c2", "c3"], [])


def test_one_agents_refusal_does_not_cost_the_others() -> None:
    def answer(query: dict[str, str]) -> tuple[int, bytes]:
        if query["model_id"] == "bad":
            return 400, b'{"detail":"no"}'
        time.sleep(0.2)
        return page([record(1)], 1)

    with serving(answer) as url:
        ids, errors = fetch(url, ("bad", "m"))
    assert ids == ["c1"]
    assert len(errors) == 1


def test_what_nobody_may_do_fails_as_a_whole() -> None:
    asked: list[dict[str, str]] = []
    with serving(lambda _: (403, b"{}"), asked) as url, pytest.raises(ApiError, match="403"):
        fetch(url, tuple(f"m{number}" for number in range(500)))
    assert len(asked) < 60


def serve_raw(stack: ExitStack, talk: Callable[[socket.socket], None]) -> str:
    """A server that does as it likes with each connection."""
    server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

    def accept() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=run, args=[connection], daemon=True).start()

    def run(connection: socket.socket) -> None:
        with connection:
            try:
                connection.recv(65536)
                talk(connection)
            except OSError:
                pass

    threading.Thread(target=accept, daemon=True).start()
    return f"http://127.0.0.1:{server.getsockname()[1]}/v2"


def drip(head: bytes) -> Callable[[socket.socket], None]:
    def talk(connection: socket.socket) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(b" ")
            time.sleep(0.05)

    return talk


DRIPS = [b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nX:"]


@pytest.mark.parametrize("head", DRIPS)
def test_an_answer_that_drips_has_a_deadline(monkeypatch: pytest.MonkeyPatch, head: bytes) -> None:
    monkeypatch.setattr(transport, "RESPONSE_TIMEOUT_SECONDS", 0.3)
    monkeypatch.setattr("synthflow_assets.errors.ConnectionFailedError.retry_for_seconds", 0.0)
    with ExitStack() as stack:
        url = serve_raw(stack, drip(head))
        client = stack.enter_context(SynthflowClient("key", url))
        with pytest.raises(ConnectionFailedError):
            client.list_calls("m")


@pytest.mark.parametrize("head", DRIPS)
def test_closing_the_client_ends_requests_under_way(head: bytes) -> None:
    with ExitStack() as stack:
        client = SynthflowClient("key", serve_raw(stack, drip(head)))
        caught: list[Exception] = []

        def ask() -> None:
            try:
                client.list_calls("m")
            except ApiError as error:
                caught.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        time.sleep(0.3)
        client.close()
        thread.join(timeout=10)
        assert not thread.is_alive()
        assert isinstance(caught[0], (ClientClosedError, ConnectionFailedError))


def test_a_body_without_an_end_is_not_read_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MAX_BODY_BYTES", 2**20)

    def talk(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b" " * 65536)

    with ExitStack() as stack:
        client = stack.enter_context(SynthflowClient("key", serve_raw(stack, talk)))
        with pytest.raises(UnexpectedResponseError, match="larger than 1 MB"):
            client.list_calls("m")


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("bad key KEYMARK123", "bad key ***"),
        ("no lead <jane.doe@example.com>", "no lead <***>"),
        ("call +1.555.123.4567 or +1\u2011555\u2011123\u20114567 or (555) 123-4567", "call +*** or +*** or (***"),
        ("esc \x1b[31m and \ud800 here", "esc [31m and here"),
        ("x" * 198 + "+14155550123", "x" * 198 + "+*"),
        ("Limit must be between 1 and 100", "Limit must be between 1 and 100"),
    ],
)
def test_what_an_error_echoes_is_masked(said: str, shown: str) -> None:
    assert describe_error(json.dumps({"detail": said}).encode(), "KEYMARK123") == shown


def test_what_the_api_says_of_its_own_trouble_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may quote a record: `cannot serialize ...`."""
    monkeypatch.setattr(ServerError, "retry_for_seconds", 0.0)
    body = json.dumps({"detail": "cannot serialize lead_name Jane Doe"}).encode()
    with serving(lambda _: (500, body)) as url:
        _, [error] = fetch(url)
    assert str(error).startswith("Server error (500); try again later")
    assert "Jane" not in str(error)


def test_an_error_body_that_is_nested_too_deeply_says_nothing() -> None:
    assert describe_error(b"[" * 100_000) == ""


GOOD = '{"call_id":"good","start_time":1773100800000}'


@pytest.mark.parametrize(
    "bad",
    [
        '{"call_id":"bad","x":' + "[" * 2000 + "]" * 2000 + "}",
        '{"call_id":"bad","x":"a\x01b"}',
        '{"call_id":"bad","x":1e999}',
        '{"call_id":"bad","x":' + "9" * 5000 + "}",
        '{"call_id":"bad","x":"\\ud83d"}',
        '{"call_id":"bad","x":NaN}',
        '{"call_id":1.5,"start_time":1773100800000}',
        '{"call_id":"bad","start_time":[1]}',
        "null",
        "5",
    ],
)
@pytest.mark.parametrize("beside", [GOOD, GOOD.replace("}", ',"x":"\\ud83d\\ude00"}')])
def test_one_bad_record_costs_no_neighbour(bad: str, beside: str) -> None:
    body = f'{{"response":{{"pagination":{{"total_records":3}},"calls":[{beside},{bad},{beside}]}}}}'
    calls = parse_calls(body.encode()).calls
    assert len(calls) == 3
    assert [(call.call_id, call.start_ms) for call in (calls[0], calls[2])] == [("good", START_MS)] * 2


def test_a_start_is_known_although_the_id_is_odd() -> None:
    body = '{"response":{"pagination":{"total_records":1},"calls":[{"call_id":1.5,"start_time":"+1773100800000"}]}}'
    [call] = parse_calls(body.encode()).calls
    assert (call.call_id, call.start_ms) == ("1.5", START_MS)  # as the database reads it


def test_a_negative_total_is_no_total() -> None:
    with pytest.raises(MalformedResponseError, match="total of -5"):
        parse_calls(page([], -5)[1])


def test_one_odd_agent_costs_no_other() -> None:
    odd: list[Any] = [None, {"model_id": ""}, {"name": "no id"}, {"model_id": 7, "name": 8}, {"model_id": "a"}]
    body = json.dumps({"response": {"pagination": {"total_records": None}, "assistants": odd}})
    read = parse_agents(body.replace('"a"', '"a","name":"half \\ud83d"').encode())
    assert [(agent.model_id, agent.name) for agent in read.agents] == [("7", "8"), ("a", "half \ufffd")]
    assert (read.listed, read.total_records) == (5, None)


def agents(ids: list[str], total: int | None) -> tuple[int, bytes]:
    listed = [{"model_id": one, "name": one} for one in ids]
    return 200, json.dumps({"response": {"pagination": {"total_records": total}, "assistants": listed}}).encode()


def test_agents_beyond_a_wrong_total_and_an_ignored_offset() -> None:
    ids = [f"a{number}" for number in range(250)]
    with serving(lambda query: agents(ids[int(query["offset"]) :][:100], 1)) as url, SynthflowClient("k", url) as one:
        assert len(one.list_agents()) == 250
    with (
        serving(lambda _: agents(ids[:100], 10**6)) as url,
        SynthflowClient("k", url) as one,
        pytest.raises(IncompleteFetchError, match="lists 100 of 1,000,000 agents"),
    ):
        one.list_agents()


def test_agents_without_an_end_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_MAX_AGENTS", 1_000)
    with (
        serving(lambda query: agents([f"{query['offset']}-{number}" for number in range(100)], None)) as url,
        SynthflowClient("k", url) as one,
    ):
        assert len(one.list_agents()) == 1_000
