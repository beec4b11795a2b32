"""HTTP connections with a deadline for each response, which can all be cut at once.

The time-outs of requests bound each read of the socket. So a server that sends a byte a second would hold its client
for ever, and the thread that waits for it would keep the process from ending.
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
            _shut_down(sock)

    def close(self) -> None:
        """Close idle connections, and stop checking deadlines."""
        self._closed.set()
        super().close()

    @contextmanager
    def deadline(self, sock: Any) -> Iterator[None]:
        """Shut the socket down if the block takes longer than headers may take.

        Raises:
            TimeoutError: the block took longer.
        """
        end, thread = time.monotonic() + self._header_seconds, threading.get_ident()
        self._deadlines[thread] = end, sock
        self._start_watcher()
        try:
            yield
        finally:
            del self._deadlines[thread]
            if time.monotonic() > end:
                # Raised even without an error: http.client accepts headers that were cut short as complete.
                raise TimeoutError("the headers of the response took too long")

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
                    _shut_down(sock)


def _pool_classes(adapter: CuttableAdapter) -> dict[str, Any]:
    class Plain(HTTPConnection):
        def connect(self) -> None:
            super().connect()
            adapter.open_sockets.add(self.sock)

        def getresponse(self) -> Any:
            with adapter.deadline(self.sock):
                return super().getresponse()

    class Secure(HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            adapter.open_sockets.add(self.sock)

        def getresponse(self) -> Any:
            with adapter.deadline(self.sock):
                return super().getresponse()

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


def _shut_down(sock: Any) -> None:
    # The method of the base class: that of a TLS socket would drop the encryption while another thread reads.
    with suppress(OSError, AttributeError, TypeError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
