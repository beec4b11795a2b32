"""Find how many requests the API answers at once, because it publishes no limit.

The scheme is AIMD (additive increase, multiplicative decrease) with slow start, by which TCP finds how much a network
carries. As in TCP Vegas, response times count as well as refusals, so a server that slows down is not driven into
errors. A round is one response for each connection, and at least 16. The time of a round is the median of its response
times.

* After a round that is as fast as usual, a connection is added. At the start, their number doubles instead.
* If the API refuses a request (429, 503) or does not answer, the connections are halved. The refused number is not
  tried again for a minute, after the next refusal for two minutes, and so on. So the number settles below the limit.
* If two rounds in a row are slower, the connections are halved. If the next round is faster, the load was the cause,
  and the larger number is not tried again for a minute. Otherwise, response times vary or pages are larger. The
  earlier number is restored, and this time becomes the usual one.

A gradient limit compares a short average of the response times with a long one. It was not chosen, because a slowly
growing load raises the long average too. Here the usual time rises only if fewer connections were not faster.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from synthflow_assets.errors import TransientApiError

FIRST_CONNECTIONS = 16
_MIN_ROUND = 16  # responses; the median of fewer says little
_AS_FAST, _SLOWER = 1.2, 1.4  # times the usual response time
_FASTER = 0.75  # times the response time with twice as many connections
_FOLLOW = 0.05  # share of the difference by which each round moves the usual response time
_FEW_CONNECTIONS = 4  # slow responses never reduce the connections below this: so few overload no server
_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 60.0, 3600.0  # until a number that was too large is tried again

REFUSED = "the API refuses more"
SLOWER = "with more, the API is slower"
VARYING = "response times vary, whatever the number of connections"


class _Round(NamedTuple):
    connections: int
    seconds: float  # the median of its response times


class ConcurrencyLimit:
    """Limits how many requests are under way at once, and learns from each of them. Threads may share it.

    Args:
        bound: the largest number of connections.
        stopped: when set, nothing waits any more.
    """

    def __init__(self, bound: int, stopped: threading.Event | None = None) -> None:
        self.bound = bound
        self.connections = min(FIRST_CONNECTIONS, bound)
        self.note = ""  # why there are not more connections, or what the response times do
        self._stopped = stopped or threading.Event()
        self._changed = threading.Condition()
        self._in_use = 0
        self._resizes = 0
        self._response_seconds: list[float] = []  # of this round
        self._usual_seconds: float | None = None
        self._was_slow = False
        self._halved: _Round | None = None  # the round after which the connections were halved, until the next ends
        self._is_doubling = True
        self._too_many = bound + 1  # connections
        self._retry_at = 0.0  # in seconds of the monotonic clock
        self._refusals = 0
        self._has_answered = False  # since the last refusal

    @contextmanager
    def connection(self) -> Iterator[None]:
        """Wait for a free connection, and hold it until the block ends."""
        with self._changed:
            self._changed.wait_for(lambda: self._in_use < self.connections or self._stopped.is_set())
            self._in_use += 1
        try:
            yield
        finally:
            with self._changed:
                self._in_use -= 1
                self._changed.notify()

    @contextmanager
    def observing(self) -> Iterator[None]:
        """Learn from how long the block takes, or how it fails. The block sends one request."""
        resizes, start = self._resizes, time.monotonic()
        try:
            yield
        except TransientApiError as error:
            with self._changed:
                if error.may_be_overload and resizes == self._resizes:
                    self._handle_refusal()
            raise
        seconds = time.monotonic() - start
        with self._changed:
            # A request that was sent before the number changed says nothing about it, and neither do idle connections.
            if resizes == self._resizes and 2 * self._in_use > self.connections:
                self._handle_response(seconds)

    def wake(self) -> None:
        """Wake waiting threads, so that they notice that the limit is stopped."""
        with self._changed:
            self._changed.notify_all()

    def _handle_refusal(self) -> None:
        # Without a response since the last refusal, it is an outage rather than a limit.
        if self._has_answered or not self._refusals:
            self._avoid(self.connections, min(_LONGEST_WAIT_SECONDS, _WAIT_SECONDS * 2.0**self._refusals))
            self._refusals += 1
        self._has_answered = self._is_doubling = False
        self._halved = None
        self.note = REFUSED
        self._resize(self.connections // 2)

    def _avoid(self, connections: int, seconds: float) -> None:
        self._too_many = connections
        self._retry_at = time.monotonic() + seconds

    def _handle_response(self, seconds: float) -> None:
        self._has_answered = True
        self._response_seconds.append(seconds)
        round_size = max(self.connections, _MIN_ROUND)
        if len(self._response_seconds) >= (round_size // 2 if self._is_doubling else round_size):
            seconds = statistics.median(self._response_seconds)
            self._response_seconds.clear()
            self._finish_round(_Round(self.connections, seconds))

    def _finish_round(self, this: _Round) -> None:
        if self._halved is not None:
            halved, self._halved = self._halved, None
            if this.seconds > _FASTER * halved.seconds:
                self._usual_seconds = this.seconds
                self.note = VARYING
                self._resize(halved.connections)
                return
            self._is_doubling = False
            self._avoid(halved.connections, _WAIT_SECONDS)
            self.note = SLOWER
        usual = self._usual_seconds or this.seconds  # of the first round, there is nothing to compare with
        is_slow = this.seconds > _SLOWER * usual
        if not is_slow:
            self._is_doubling &= this.seconds < _AS_FAST * usual
            # The first round also opens the connections, so a faster one replaces it. A slow round does not change the
            # usual time, because the load may be its cause.
            follow = 1.0 if self._is_doubling and this.seconds < usual else _FOLLOW
            self._usual_seconds = usual + follow * (this.seconds - usual)
            self._widen()
        elif self._was_slow and self.connections > _FEW_CONNECTIONS:
            self._halved = this
            self._resize(max(_FEW_CONNECTIONS, self.connections // 2))
        elif self._was_slow:
            self._usual_seconds = this.seconds
        self._was_slow = is_slow and self._halved is None

    def _widen(self) -> None:
        limit = self.bound if time.monotonic() >= self._retry_at else min(self.bound, self._too_many - 1)
        connections = min(limit, self.connections * 2 if self._is_doubling else self.connections + 1)
        if connections > self.connections:
            self._resize(connections)
        if connections == self.bound:
            self._is_doubling = False
            self.note = "" if self.note == REFUSED else self.note

    def _resize(self, connections: int) -> None:
        self.connections = max(1, connections)
        self._resizes += 1
        self._response_seconds.clear()
        self._changed.notify_all()
