"""What alerts are sent to in tests: an HTTP server that keeps what was posted."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class Inbox:
    """An HTTP server on a free port of the loopback interface, for a `with` block."""

    def __init__(self, status: int = 200, answer: bytes = b'{"ok": true}') -> None:
        self.status = status
        self.takes_seconds = 0.0
        self.posted: list[str] = []
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                inbox.posted.append(self.rfile.read(int(self.headers["content-length"])).decode())
                if inbox.takes_seconds:
                    time.sleep(inbox.takes_seconds)
                self.send_response(inbox.status)
                self.send_header("location", "/elsewhere")
                self.send_header("content-type", "application/json")
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                """Nothing on the console."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
