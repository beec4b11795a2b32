"""Servers that respond as a test tells them, over real sockets."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

Respond = Callable[[dict[str, str]], tuple[int, bytes] | tuple[int, bytes, dict[str, str]]]


@contextmanager
def serving(respond: Respond, requests: list[dict[str, str]] | None = None) -> Iterator[str]:
    """Serve until the block ends; yields the base URL.

    `respond` gets the query, with the path as `path`, and returns status, body and perhaps headers.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # or each response takes 40 ms

        def do_GET(self) -> None:
            query = {"path": urlsplit(self.path).path, **dict(parse_qsl(urlsplit(self.path).query))}
            if cookie := self.headers.get("Cookie"):
                query["cookie"] = cookie
            if requests is not None:
                requests.append({**query, "authorization": self.headers.get("Authorization", "")})
            status, body, *headers = respond(query)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **(headers[0] if headers else {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=[0.005], daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v2"
    finally:  # also after an error that a test expects: a server that runs on looks for requests 200 times a second
        server.shutdown()
        server.server_close()


def page(records: list[Any], total: int) -> tuple[int, bytes]:
    """A page of `GET /calls`."""
    return 200, json.dumps({"response": {"pagination": {"total_records": total}, "calls": records}}).encode()


def agents_page(ids: list[str], total: int | None) -> tuple[int, bytes]:
    """A page of `GET /assistants/`."""
    listed = [{"model_id": one, "name": one} for one in ids]
    return 200, json.dumps({"response": {"pagination": {"total_records": total}, "assistants": listed}}).encode()


def serve_raw(stack: ExitStack, talk: Callable[[socket.socket], None]) -> str:
    """Call `talk` with each connection that has sent a request; returns the base URL."""
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
    """Send the head, then one byte after the other without an end."""

    def talk(connection: socket.socket) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(b" ")
            time.sleep(0.02)

    return talk
