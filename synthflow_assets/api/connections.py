"""HTTP connections that end: each answer has a deadline as a whole, and all of them can be cut at once.

The time-outs of requests bound each read of the socket, so a server that sends a byte a second holds its client for
ever, and a thread that waits for it keeps the process from ending.
"""

from __future__ import annotations

import socket
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection


class CuttableAdapter(HTTPAdapter):
    """A transport adapter whose connections can be cut, one after its deadline or all of them."""

    def __init__(self, *, max_connections: int, header_seconds: float) -> None:
        self.live: weakref.WeakSet[Any] = weakref.WeakSet()
        self.header_seconds = header_seconds
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


def _pool_classes(adapter: CuttableAdapter) -> dict[str, Any]:
    class Plain(HTTPConnection):
        def connect(self) -> None:
            super().connect()
            adapter.live.add(self.sock)

        def getresponse(self) -> Any:
            with _deadline(self.sock, adapter.header_seconds):
                return super().getresponse()

    class Secure(HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            adapter.live.add(self.sock)

        def getresponse(self) -> Any:
            with _deadline(self.sock, adapter.header_seconds):
                return super().getresponse()

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


@contextmanager
def _deadline(sock: Any, seconds: float) -> Iterator[None]:
    passed = threading.Event()

    def end() -> None:
        passed.set()
        _cut(sock)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        if passed.is_set():
            # Half a head may look like a whole one to the parser.
            raise TimeoutError("the head of the answer took too long")


def _cut(sock: Any) -> None:
    # The method of the base class: that of a TLS socket would drop the encryption under the reader's feet.
    with suppress(OSError, AttributeError, TypeError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
