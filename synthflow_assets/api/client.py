"""The client for Synthflow's API: one method for each endpoint, and the calls of a span of time.

The endpoints are those of https://docs.synthflow.ai/api-reference.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, Self
from urllib.parse import quote

from synthflow_assets.agents import Agent
from synthflow_assets.api.concurrency import ConcurrencyLimit
from synthflow_assets.api.events import CallWindow, FailedWindow, FetchedPage
from synthflow_assets.api.fetch import fetch_windows
from synthflow_assets.api.pages import MAX_PAGE_SIZE, NO_CALLS, CallPage, parse_agents, parse_calls
from synthflow_assets.api.transport import Audio, Transport
from synthflow_assets.errors import (
    IncompleteFetchError,
    NoCallsFoundError,
    NoContentError,
    NotFoundError,
    SettingsError,
)
from synthflow_assets.interfaces import ReserveSlots
from synthflow_assets.settings import API_KEY_VARIABLE, Settings, with_setting_names

MAX_AGENTS = 100_000
_MAX_CLOCK_DIFFERENCE_SECONDS = 60.0
_MAX_ID_LENGTH = 500  # in an address; servers refuse addresses of some kilobytes


class SynthflowClient:
    """A client for one Synthflow workspace. Threads may share it; close it, or use it in a `with` block.

    Args:
        api_key: the key of the workspace.
        base_url: the API's address, such as `https://api.eu.synthflow.ai/v2`.
        max_connections: how many requests may be in flight at once. The client starts with 16 and adds some while the
            API answers as fast as before; if the API refuses requests or slows down, it uses fewer.
        requests_per_second: limit for all threads together; None for no limit.
    """

    def __init__(
        self,
        api_key: str,
        base_url: str,
        *,
        max_connections: int = 32,
        requests_per_second: float | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.max_connections = max_connections
        self.requests_per_second = requests_per_second
        self._listed_agents: frozenset[str] = frozenset()
        self._transport = Transport(
            api_key, self.base_url, max_connections=max_connections, requests_per_second=requests_per_second
        )

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return the client that the settings describe.

        Raises:
            SettingsError: the API key is not set.
        """
        if settings.api_key is None:
            message = (
                f"{API_KEY_VARIABLE} is not set. Put the key of your workspace into .env, or give it as an argument "
                "(Synthflow dashboard, Settings, API keys)"
            )
            raise SettingsError(with_setting_names(message, settings))
        return cls(
            settings.api_key.get_secret_value(),
            settings.api_url,
            max_connections=settings.max_connections,
            requests_per_second=settings.requests_per_second,
        )

    def list_calls(
        self,
        model_id: str,
        *,
        limit: int = MAX_PAGE_SIZE,
        offset: int = 0,
        from_date: int | None = None,
        to_date: int | None = None,
        call_status: str | None = None,
        duration_min: int | None = None,
        duration_max: int | None = None,
        lead_phone_number: str | None = None,
    ) -> CallPage:
        """Return one page of `GET /calls`.

        Args:
            model_id: id of the agent.
            limit: calls in the page, 1 to 100.
            offset: index of the first call, from 0.
            from_date: start of the window, in epoch milliseconds.
            to_date: end of the window, in epoch milliseconds.
            call_status: return only calls with this status.
            duration_min: return only calls of at least this many seconds.
            duration_max: return only calls of at most this many seconds.
            lead_phone_number: return only calls with this number, in E.164 form.

        Raises:
            ApiError: permanent errors at once, transient errors after retries.
        """
        parameters = {
            "model_id": model_id,
            "limit": limit,
            "offset": offset,
            "from_date": from_date,
            "to_date": to_date,
            "call_status": call_status,
            "duration_min": duration_min,
            "duration_max": duration_max,
            "lead_phone_number": lead_phone_number,
        }
        try:
            return self._transport.get("/calls", parameters, parse_calls)
        except NoContentError:
            return NO_CALLS
        except NoCallsFoundError:
            # If the agent is not known to exist, its id or the address may be wrong.
            if model_id in self._listed_agents:
                return NO_CALLS
            raise

    def iter_calls(
        self, model_id: str, start: dt.datetime, end: dt.datetime, *, margin_seconds: int = 3600
    ) -> Iterator[dict[str, Any]]:
        """Yield every call of an agent that started in [start, end), once, as the API's JSON object.

        Values are not converted: `start_time` is text of epoch milliseconds, and `duration`, in seconds, may be text.
        Pages are fetched in parallel, so the calls come in no particular order. They are complete only when the
        iteration ends without an error.

        Args:
            model_id: id of the agent.
            start: start of the span, with a time zone.
            end: end of the span, exclusive, with a time zone.
            margin_seconds: how far the window reaches before `start` and past `end`, because the API may filter calls
                by another time than their start. Set it to the longest call or wait for a start that you expect.

        Yields:
            One JSON object for each call.

        Raises:
            ValueError: a time has no zone, or the span is empty.
            IncompleteFetchError: the pages never added up to the API's total.
            ApiError: permanent errors at once, transient errors after retries.
        """
        for name, moment in (("start", start), ("end", end)):
            if not isinstance(moment, dt.datetime) or moment.tzinfo is None:
                raise ValueError(
                    f"{name} is {str(moment)!r}; allowed is a date-time with a time zone, such as "
                    "datetime(2026, 1, 31, tzinfo=timezone.utc)"
                )
        if start >= end:
            raise ValueError(f"start {start} is not before end {end}")
        return self._iter_window(CallWindow(model_id, _epoch_ms(start), _epoch_ms(end)), margin_seconds)

    def _iter_window(self, window: CallWindow, margin_seconds: int) -> Iterator[dict[str, Any]]:
        # A generator of its own, so that `iter_calls` refuses bad arguments at the call, not at the first iteration.
        for event in fetch_windows(self, [window], margin_seconds=margin_seconds, now_ms=self.now_ms):
            if isinstance(event, FetchedPage):
                for record in event.records:
                    yield json.loads(record.raw)
            elif isinstance(event, FailedWindow):
                raise event.error

    def list_agents(self) -> list[Agent]:
        """Return every agent of the workspace, from all pages of `GET /assistants/`.

        Raises:
            IncompleteFetchError: the pages held fewer agents than the API's total.
            ApiError: permanent errors at once, transient errors after retries.
        """
        agents: dict[str, Agent] = {}
        listed = total = 0
        while listed < MAX_AGENTS:
            parameters = {"limit": MAX_PAGE_SIZE, "offset": listed}
            page = self._transport.get("/assistants/", parameters, parse_agents)
            before = len(agents)
            agents.update((agent.model_id, agent) for agent in page.agents)
            new = len(agents) - before
            # Unreadable entries count as listed; repeated agents do not.
            listed += page.listed - len(page.agents) + new
            total = max(total, page.total_records or 0)
            # A page without new agents ends the loop too, or an API that ignores `offset` would keep it running.
            if new == 0 or (page.listed < MAX_PAGE_SIZE and listed >= total):
                break
        if listed < total:
            raise IncompleteFetchError(
                f"the API lists {len(agents):,} of {total:,} agents; set SYNTHFLOW_MODEL_IDS to those you want"
            )
        self._listed_agents = frozenset(agents)
        return list(agents.values())

    def fetch_recording(self, call_id: str, sink: BinaryIO) -> Audio | None:
        """Download the recording of a call from `GET /calls/{call_id}/recording`.

        The endpoint redirects to a signed address; the API key is not sent there.

        Args:
            call_id: id of the call.
            sink: file that receives the audio; it is emptied before each attempt.

        Returns:
            Content type, size in bytes and SHA-256 of the recording; None if the call has none, or if its id cannot
            be a part of an address.

        Raises:
            ApiError: permanent errors at once, transient errors after retries.
        """
        try:
            return self._transport.download(f"/calls/{_path_segment(call_id)}/recording", sink)
        except NotFoundError:
            return None

    @property
    def requests_sent(self) -> int:
        """Number of requests sent so far, retries included."""
        return self._transport.requests_sent

    @property
    def clock_ahead_seconds(self) -> float | None:
        """Seconds by which this machine's clock is ahead of the API's; None before the first response with a `Date`.

        The header has whole seconds and is written before the response travels, so ignore a difference of 2 s.
        """
        return self._transport.clock_ahead_seconds

    @property
    def clock_correction_seconds(self) -> float:
        """`clock_ahead_seconds`; 0 if the clocks differ by at most a minute, which needs no correction."""
        ahead = self.clock_ahead_seconds or 0.0
        return ahead if abs(ahead) > _MAX_CLOCK_DIFFERENCE_SECONDS else 0.0

    @property
    def now_ms(self) -> int:
        """The present in epoch milliseconds: the earlier time of this machine's clock and the API's.

        If the clock that is used is ahead, even by seconds, an unfinished day counts as over, and the rest of it is
        never fetched. If it is behind, a day is fetched once more than necessary.
        """
        return int((time.time() - max(0.0, self.clock_ahead_seconds or 0.0)) * 1000)

    @property
    def concurrency(self) -> ConcurrencyLimit:
        """How many requests are in flight at once at present (`connections`), up to `max_connections`."""
        return self._transport.throttle.concurrency

    @property
    def pause_seconds(self) -> float:
        """Seconds for which all requests still wait, because the API asked to slow down; 0 if they do not."""
        return self._transport.throttle.pause_seconds

    def wait_for_outages(self, seconds: float, log: Callable[[str], object]) -> None:
        """Retry for longer from now on, if the API cannot be reached or answers 5xx.

        Args:
            seconds: how long requests are retried while none succeeds; at least 10.
            log: called with a message if requests fail for some seconds, and then each minute, from any thread.
        """
        self._transport.outage.wait_for(seconds, log)

    @contextmanager
    def sharing_rate(self, reserve: ReserveSlots) -> Iterator[None]:
        """Share the request rate with other processes until the block ends.

        Args:
            reserve: reserves request slots that all these processes take from; see `ReserveSlots`.
        """
        self._transport.throttle.share(reserve)
        try:
            yield
        finally:
            self._transport.throttle.share(None)

    def close(self) -> None:
        """Close every connection. Requests that wait or are in flight raise an `ApiError`."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _path_segment(id_: str) -> str:
    """Return an id as one segment of a path. Every address that contains an id is built with it.

    Raises:
        NotFoundError: the address would be another one. `/calls/../recording` was sent as `/recording`, because dots
            cannot be escaped.
    """
    is_path = any(part in ("", ".", "..") for part in re.split(r"[/\\]", id_))
    if is_path or len(id_) > _MAX_ID_LENGTH:
        raise NotFoundError("the id cannot be a part of an address")
    return quote(id_, safe="", errors="replace")


def _epoch_ms(time: dt.datetime) -> int:
    return round(time.timestamp() * 1000)
