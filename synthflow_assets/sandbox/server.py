"""Run the sandbox: in the foreground for the command line, in a thread for tests and the demo."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress
from typing import Any, Self

import uvicorn

from synthflow_assets.sandbox.app import SandboxApi
from synthflow_assets.sandbox.config import SandboxConfig


def serve(config: SandboxConfig, host: str, port: int) -> None:
    """Serve until interrupted.

    Args:
        config: the data, the reading of the API, and the faults.
        host: host name or address to listen on.
        port: TCP port.
    """
    uvicorn.run(
        SandboxApi(config).app(), host=host, port=port, log_level="warning", access_log=False, date_header=False
    )


class Sandbox:
    """A sandbox in a thread of this process, on a free port of the loopback interface. Use it in a `with` block.

    Args:
        config: the data, the reading of the API, and the faults; a small workspace without faults unless given.
    """

    def __init__(self, config: SandboxConfig | None = None) -> None:
        self.config = config or SandboxConfig()
        self.api = SandboxApi(self.config)
        self._server = uvicorn.Server(
            uvicorn.Config(
                self.api.app(), log_level="critical", access_log=False, lifespan="off", ws="none", date_header=False
            )
        )
        # With its protocol named, or asyncio leaves Nagle's algorithm on, which costs 40 ms a response.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen()

    @property
    def url(self) -> str:
        """The value for `SYNTHFLOW_BASE_URL`."""
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}/v2"

    @property
    def model_ids(self) -> list[str]:
        """Ids of the agents, busiest first."""
        return list(self.api.store.agents)

    def __enter__(self) -> Self:
        new_loop = self._server.config.get_loop_factory() or asyncio.new_event_loop
        self._loop = new_loop()
        self._serving = self._loop.create_task(self._server.serve(sockets=[self._socket]))
        self._thread = threading.Thread(target=self._run, daemon=True)
        # The socket listens already, so a request that comes before the server runs waits for it.
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # Cancelled, because uvicorn's own shutdown waits 0.2 s, which hundreds of tests would add up.
        self._loop.call_soon_threadsafe(self._serving.cancel)
        self._thread.join(timeout=10)
        self._socket.close()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve_until_cancelled())

    async def _serve_until_cancelled(self) -> None:
        with suppress(asyncio.CancelledError):
            await self._serving
        for server in getattr(self._server, "servers", []):
            server.close()
        connections: set[Any] = self._server.server_state.connections
        # Connections that are accepted just now appear a moment later, and the loop must not end before theirs do.
        for _ in range(3):
            while connections:
                for connection in list(connections):
                    connection.transport.abort()
                await asyncio.sleep(0)
            await asyncio.sleep(0.001)
