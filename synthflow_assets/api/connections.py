"""HTTP connections that end: each answer has a deadline as a whole, and all of them can be cut at once.

The time-outs of requests bound each read of the socket, so a server that sends a byte a second holds its client for
ever, and a thread that waits for it keeps the process from ending.
"""

from __future__ import annotations

import socket
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection


class CuttableAdapter(HTTPAdapter):
    """A transport adapter whose connections can be cut, one after its deadline or all of them.

    One thread watches the deadlines, from the first request to `close()`: a timer for each answer would start a
    thread for each.
    """

    def __init__(self, *, max_connections: int, header_seconds: float) -> None:
        self.live: weakref.WeakSet[Any] = weakref.WeakSet()
        self._header_seconds = header_seconds
        self._deadlines: dict[int, tuple[float, Any]] = {}  # by thread: in seconds of the monotonic clock, and a socket
        self._closed = threading.Event()
        self._watch_begins = threading.Lock()
        self._watcher: threading.Thread | None = None
        super().__init__(pool_connections=1, pool_maxsize=max_connections, max_retries=0, pool_block=False)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Let urllib3 make connections of our kind."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _pool_classes(self)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """The same for connections by way of a proxy."""
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = _pool_classes(self)
        return manager

    def cut(self) -> None:
        """End every connection now; who reads from one of them meets its end."""
        for sock in list(self.live):
            _cut(sock)

    def close(self) -> None:
        """Close what is idle, and end the watch."""
        self._closed.set()
        super().close()

    @contextmanager
    def deadline(self, sock: Any) -> Iterator[None]:
        """Cut the socket if the head of an answer takes longer than it may.

        Raises:
            TimeoutError: it did.
        """
        ends, thread = time.monotonic() + self._header_seconds, threading.get_ident()
        self._deadlines[thread] = ends, sock
        self._begin_watch()
        try:
            yield
        finally:
            del self._deadlines[thread]
            if time.monotonic() > ends:
                # Half a head may look like a whole one to the parser.
                raise TimeoutError("the head of the answer took too long")

    def _begin_watch(self) -> None:
        if self._watcher is None:
            with self._watch_begins:
                if self._watcher is None:
                    self._watcher = threading.Thread(target=self._watch, name="synthflow-deadlines", daemon=True)
                    self._watcher.start()

    def _watch(self) -> None:
        while not self._closed.wait(min(1.0, self._header_seconds / 4)):
            now = time.monotonic()
            for ends, sock in list(self._deadlines.values()):
                if now > ends:
                    _cut(sock)


def _pool_classes(adapter: CuttableAdapter) -> dict[str, Any]:
    class Plain(HTTPConnection):
        def connect(self) -> None:
            super().connect()
            adapter.live.add(self.sock)

        def getresponse(self) -> Any:
            with adapter.deadline(self.sock):
                return super().getresponse()

    class Secure(HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            adapter.live.add(self.sock)

        def getresponse(self) -> Any:
            with adapter.deadline(self.sock):
                return super().getresponse()

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


def _cut(sock: Any) -> None:
    # The method of the base class: that of a TLS socket would drop the encryption under the reader's feet.
    with suppress(OSError, AttributeError, TypeError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
