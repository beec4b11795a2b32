"""HTTP connections with a deadline for each response, which can all be cut at once.

The time-outs of requests bound each read of the socket. If a server sent a byte a second, the request would never
end, and its thread would keep the process from ending.
"""

from __future__ import annotations

import http.client
import socket
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

_MAX_INTERIM_RESPONSES = 20
_FIRST_INTERIM = 102  # http.client skips 100 (Continue); 101 (Switching Protocols) is never requested


class DirectSession(requests.Session):
    """A session that never handles redirects.

    Even if redirects are switched off, requests parses the address and reads the whole body. An invalid address raised
    a ValueError, and an endless body was read for ever.
    """

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return None, whatever the response."""


class CuttableAdapter(HTTPAdapter):
    """A transport adapter that can cut its connections: one at its deadline, or all at once.

    One thread checks the deadlines, from the first request to `close()`. A timer for each response would start one
    thread for each.

    Args:
        max_connections: connections that are kept open for reuse.
        header_seconds: longest time from a request to the end of its response's headers.
    """

    def __init__(self, *, max_connections: int, header_seconds: float) -> None:
        self.open_sockets: weakref.WeakSet[Any] = weakref.WeakSet()
        self._header_seconds = header_seconds
        self._thread = _ThreadState()
        # By thread: the deadline, in seconds of the monotonic clock, and the socket.
        self._deadlines: dict[int, tuple[float, Any]] = {}
        self._closed = threading.Event()
        self._watcher_lock = threading.Lock()
        self._watcher: threading.Thread | None = None
        super().__init__(pool_connections=1, pool_maxsize=max_connections, max_retries=0, pool_block=False)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make urllib3 use connections with a deadline."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _pool_classes(self)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """Make urllib3 use connections with a deadline through a proxy too."""
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = _pool_classes(self)
        return manager

    def cut(self) -> None:
        """Shut down every connection now; threads that read from one get an error."""
        for sock in list(self.open_sockets):
            shut_down(sock)

    def close(self) -> None:
        """Close idle connections, and stop checking deadlines."""
        self._closed.set()
        super().close()

    @contextmanager
    def header_deadline(self, sock: Any) -> Iterator[None]:
        """Shut the socket down if the block takes longer than headers may take.

        Raises:
            TimeoutError: the block took longer.
        """
        self._thread.sock = sock
        with self._deadline(sock, time.monotonic() + self._header_seconds):
            yield

    @contextmanager
    def body_deadline(self, end: float) -> Iterator[None]:
        """Shut down the socket of this thread's last request if the block does not read the response in time.

        Endless headers may follow a chunked body, and http.client reads them in one call.

        Args:
            end: the deadline, in seconds of the monotonic clock.

        Raises:
            TimeoutError: the block took longer.
        """
        with self._deadline(self._thread.sock, end):
            yield

    @contextmanager
    def _deadline(self, sock: Any, end: float) -> Iterator[None]:
        thread = threading.get_ident()
        self._deadlines[thread] = end, sock
        self._start_watcher()
        try:
            yield
        finally:
            del self._deadlines[thread]
            if time.monotonic() > end:
                # Raised even without an error: http.client accepts a response that was cut short as complete.
                raise TimeoutError("the response took too long")

    def _start_watcher(self) -> None:
        if self._watcher is None:
            with self._watcher_lock:
                if self._watcher is None:
                    self._watcher = threading.Thread(target=self._watch, name="synthflow-deadlines", daemon=True)
                    self._watcher.start()

    def _watch(self) -> None:
        while not self._closed.wait(min(1.0, self._header_seconds / 4)):
            now = time.monotonic()
            for end, sock in list(self._deadlines.values()):
                if now > end:
                    shut_down(sock)


class _ThreadState(threading.local):
    """The socket of this thread's last request. Each thread reads a response before it sends the next request."""

    sock: Any = None


class _Response(http.client.HTTPResponse):
    """A response that skips all interim responses; http.client skips only 100 (Continue).

    It keeps no headers that cannot be parsed: urllib3 would log them, and the address of the request, as a warning.
    """

    def begin(self) -> None:
        """Read the headers."""
        super().begin()
        self.msg.defects.clear()
        self.msg.set_payload("")

    def _read_status(self) -> tuple[str, int, str]:
        for _ in range(_MAX_INTERIM_RESPONSES):
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not _FIRST_INTERIM <= status < http.HTTPStatus.OK:
                return version, status, reason
            http.client.parse_headers(self.fp)
        raise http.client.HTTPException("too many interim responses")


def _pool_classes(adapter: CuttableAdapter) -> dict[str, Any]:
    class Plain(HTTPConnection):
        response_class = _Response

        def connect(self) -> None:
            super().connect()
            adapter.open_sockets.add(self.sock)

        def getresponse(self) -> Any:
            with adapter.header_deadline(self.sock):
                return super().getresponse()

    class Secure(Plain, HTTPSConnection):
        pass

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


def shut_down(sock: Any) -> None:
    """Shut a socket down from another thread; a thread that reads from it gets the end of the stream."""
    # The method of the base class: that of a TLS socket would drop the encryption while another thread reads.
    with suppress(OSError, AttributeError, TypeError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
