"""A clock that moves only when something waits."""

import threading
from collections.abc import Callable


class Clock(threading.Event):
    """Stands for the monotonic clock and for the event that a wait ends by; `closing` is what happens meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000.0
        self.waits: list[float] = []
        self.during_wait: list[Callable[[], object]] = []

    def monotonic(self) -> float:
        return self.now

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.waits.append(round(timeout, 6))
        self.now += timeout
        if self.during_wait:
            self.during_wait.pop(0)()
        return self.is_set()
