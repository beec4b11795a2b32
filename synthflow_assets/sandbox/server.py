"""Runs the sandbox: in the foreground for people, in a thread for tests and the demo."""

from __future__ import annotations

import socket
import threading
from types import TracebackType
from typing import Self

import uvicorn

from synthflow_assets.sandbox.app import SandboxApi
from synthflow_assets.sandbox.config import SandboxConfig


def serve(config: SandboxConfig, host: str, port: int) -> None:
    """Serve until interrupted."""
    uvicorn.run(
        SandboxApi(config).app(), host=host, port=port, log_level="warning", access_log=False, date_header=False
    )


class Sandbox:
    """A sandbox in a thread of this process, on a free port of the loopback interface, for a `with` block."""

    def __init__(self, config: SandboxConfig | None = None) -> None:
        self.config = config or SandboxConfig()
        self.api = SandboxApi(self.config)
        server_config = uvicorn.Config(
            self.api.app(), log_level="critical", access_log=False, lifespan="off", ws="none", date_header=False
        )
        self._server = uvicorn.Server(server_config)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)

    @property
    def url(self) -> str:
        """What to set as `SYNTHFLOW_BASE_URL`."""
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}/v2"

    @property
    def model_ids(self) -> list[str]:
        """The agents, busiest first."""
        return list(self.api.store.agents)

    def __enter__(self) -> Self:
        # The socket listens already, so a request that comes before the server runs waits for it.
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join(timeout=10)
        self._socket.close()
