"""One request to Synthflow: authentication, time-outs, retries, rate, and errors by what can be done about them.

The endpoints are those of https://docs.synthflow.ai/api-reference. Retrying follows one formula: after attempt n
(from 0) wait `min(30, 0.5 * 2**n)` seconds, times a random factor between 0.5 and 1.5, or what `Retry-After` asks
for, until the kind of error at hand has been retried for its `retry_for_seconds`. A 429 or 503 pauses every
connection of the client, not only the one that saw it.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import hashlib
import itertools
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, BinaryIO, NamedTuple, Self, TypeVar
from urllib.parse import quote, urljoin, urlsplit

import requests
import urllib3
from urllib3.exceptions import NameResolutionError

from synthflow_assets.agents import Agent
from synthflow_assets.api.connections import CuttableAdapter
from synthflow_assets.api.pages import CallPage, describe_error, read_agents, read_calls
from synthflow_assets.api.throttle import Reserve, Throttle
from synthflow_assets.errors import (
    AccessDeniedError,
    ApiError,
    AuthenticationError,
    BadRequestError,
    ClientClosedError,
    ConnectionFailedError,
    IncompleteFetchError,
    MalformedAnswerError,
    NotFoundError,
    OverloadedError,
    RateLimitedError,
    ServerError,
    SettingsError,
    TransientApiError,
    UnexpectedAnswerError,
    UnknownHostError,
)
from synthflow_assets.settings import API_KEY_VARIABLE, Settings, with_setting_names

_MOST_AGENTS = 100_000
MAX_PAGE_SIZE = 100  # above it the API answers an error
_CONNECT_SECONDS = 10.0
_READ_SECONDS = 60.0
_FIRST_WAIT_SECONDS = 0.5
_LONGEST_WAIT_SECONDS = 30.0

Answer = TypeVar("Answer")
_CHUNK_BYTES = 2**18
_ANSWER_SECONDS = 120.0  # for the head of an answer, and again for its body
_LARGEST_BODY_BYTES = 256 * 2**20  # decoded; a page of 100 calls is some 200 kB
_ONE_ANSWER: dict[str, Any] = {
    "timeout": (_CONNECT_SECONDS, _READ_SECONDS),
    # A redirect would carry the question, and on the same host the key, to an address nobody set.
    "allow_redirects": False,
    "stream": True,
}


class Audio(NamedTuple):
    """A recording that was downloaded."""

    content_type: str
    size_bytes: int
    sha256: str


class SynthflowClient:
    """Talks to one workspace. Safe to share between threads; `close()` it, or use it in a `with`.

    `requests_sent` counts every request, retries included.
    """

    def __init__(
        self,
        api_key: str,
        base_url: str,
        *,
        max_connections: int = 8,
        requests_per_second: float | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.max_connections = max_connections
        self.requests_per_second = requests_per_second
        self.requests_sent = 0
        self._server_clock: tuple[str, float] | None = None  # its last `Date`, and this machine's time then
        self._closed = threading.Event()
        self._throttle = Throttle(requests_per_second, self._closed)
        self._secret = api_key
        self._connections = CuttableAdapter(max_connections=max_connections, header_seconds=_ANSWER_SECONDS)
        self._session = _session(self.base_url, self._connections)
        self._session.auth = _BearerAuth(api_key)
        self._session.headers["Accept"] = "application/json"
        # For addresses that the API names: knows no key.
        self._anonymous_session = _session(self.base_url, self._connections)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Make the client that the settings describe.

        Raises:
            SettingsError: there is no key.
        """
        if settings.api_key is None:
            said = (
                f"{API_KEY_VARIABLE} is not set. Put the key of your workspace into .env, or give it as an argument "
                "(Synthflow dashboard, Settings, API keys)"
            )
            raise SettingsError(with_setting_names(said, settings))
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
        """One page of `GET /calls`.

        Args:
            model_id: the agent.
            limit: calls a page, 1 to 100.
            offset: index of the first call.
            from_date: begin of the window, in epoch milliseconds.
            to_date: end of the window, in epoch milliseconds.
            call_status: only calls with this status.
            duration_min: only calls of at least so many seconds.
            duration_max: only calls of at most so many seconds.
            lead_phone_number: only calls with this number, E.164.

        Raises:
            ApiError: permanent at once, transient after retrying.
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
        return self._get("/calls", parameters, read_calls)

    def iter_calls(
        self, model_id: str, start: dt.datetime, end: dt.datetime, *, margin_seconds: int = 3600
    ) -> Iterator[dict[str, Any]]:
        """Every call of an agent that started in [start, end), once, as the API's own JSON object.

        Nothing is typed: `start_time` is text of epoch milliseconds, and `duration`, in seconds, may be text too.
        Pages are asked for in parallel, so the order is none. They come while others are still being fetched: only
        when the iteration has ended without an error are the calls complete.

        Args:
            model_id: the agent.
            start: begin of the span, with a time zone.
            end: end of the span, not included.
            margin_seconds: how far past the end the API is asked, because its window may filter the end of calls;
                the longest call that is expected.

        Raises:
            ValueError: a time without a zone, or an empty span.
            IncompleteFetchError: the pages never added up to the API's own total.
            ApiError: permanent at once, transient after retrying.
        """
        from synthflow_assets.api.calls import iter_calls

        return iter_calls(self, model_id, start, end, margin_seconds)

    def list_agents(self) -> list[Agent]:
        """Every agent of the workspace, page by page, from `GET /assistants/`.

        Raises:
            IncompleteFetchError: fewer came than the API states.
            ApiError: permanent at once, transient after retrying.
        """
        found: dict[str, Agent] = {}
        listed = stated = 0
        while listed < _MOST_AGENTS:
            page = self._get("/assistants/", {"limit": MAX_PAGE_SIZE, "offset": listed}, read_agents)
            known = len(found)
            found.update((agent.model_id, agent) for agent in page.agents)
            # Entries that could not be read count as listed, those that came again do not.
            listed += page.listed - len(page.agents) + len(found) - known
            stated = max(stated, page.total_records or 0)
            # A page without news ends it as well: an API that ignores `offset` must not make this loop for ever.
            if len(found) == known or (page.listed < MAX_PAGE_SIZE and listed >= stated):
                break
        if listed < stated:
            raise IncompleteFetchError(
                f"the API lists {len(found):,} agents but states {stated:,}: set SYNTHFLOW_MODEL_IDS to those you want"
            )
        return list(found.values())

    @property
    def clock_ahead_seconds(self) -> float | None:
        """How far this machine's clock is ahead of the API's; None before an answer that says its time.

        The header has whole seconds and was written before the answer travelled, so a second or two mean nothing.
        """
        if self._server_clock is None:
            return None
        said, here = self._server_clock
        try:
            return here - email.utils.parsedate_to_datetime(said).timestamp()
        except (ValueError, OverflowError):
            return None

    @contextmanager
    def sharing_rate(self, reserve: Reserve) -> Iterator[None]:
        """Until the block ends, the request rate is that of all clients together that reserve their turns there."""
        self._throttle.share(reserve)
        try:
            yield
        finally:
            self._throttle.share(None)

    @property
    def pause_seconds(self) -> float:
        """How long every request is being held back now, because the API asked to slow down."""
        return self._throttle.pause_seconds

    def close(self) -> None:
        """Close every connection and wake the threads that wait to retry; they raise `ClientClosedError`."""
        self._closed.set()
        self._connections.cut()
        self._session.close()
        self._anonymous_session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fetch_recording(self, call_id: str, sink: BinaryIO) -> Audio | None:
        """Download the recording of a call: `GET /calls/{call_id}/recording` redirects to a signed address.

        The key goes to the API only, never to the address that it redirects to.

        Args:
            call_id: the call.
            sink: where the audio is written; it is emptied before each attempt.

        Returns:
            What was downloaded, or None where the call has no recording.

        Raises:
            ApiError: permanent at once, transient after retrying.
        """
        path = f"/calls/{quote(call_id, safe='')}/recording"
        try:
            return self._with_retries(lambda: self._download(path, sink))
        except NotFoundError:
            return None

    def _download(self, path: str, sink: BinaryIO) -> Audio:
        sink.seek(0)
        sink.truncate()
        self.requests_sent += 1
        with self._request(partial(self._session.get, self.base_url + path, **_ONE_ANSWER)) as response:
            if response.status_code == 200:
                return self._copy(response, sink)
            if response.status_code not in (302, 303, 307, 308) or "Location" not in response.headers:
                raise self._status_error(response, self._body(response))
            address = urljoin(self.base_url + path, response.headers["Location"])
        with self._request(partial(self._anonymous_session.get, address, **_ONE_ANSWER), address) as audio:
            if audio.status_code == 404:
                raise NotFoundError("the recording is gone")
            if audio.status_code != 200:
                # Signed addresses expire: the next attempt asks for a new one.
                raise ServerError(f"{audio.status_code} instead of the recording from the address that the API named")
            return self._copy(audio, sink)

    def _copy(self, response: requests.Response, sink: BinaryIO) -> Audio:
        """The body into the sink, checked against the length that was promised."""
        digest, size = hashlib.sha256(), 0
        try:
            for chunk in response.raw.stream(_CHUNK_BYTES, decode_content=True):
                digest.update(chunk)
                sink.write(chunk)
                size += len(chunk)
        except urllib3.exceptions.HTTPError as error:
            raise self._connection_error(error) from None
        if size == 0:
            raise MalformedAnswerError("the recording is empty")
        return Audio(response.headers.get("Content-Type", "").partition(";")[0].strip(), size, digest.hexdigest())

    def _get(self, path: str, parameters: dict[str, Any], read: Callable[[bytes], Answer]) -> Answer:
        return self._with_retries(lambda: read(self._send(path, parameters)))

    def _with_retries(self, ask: Callable[[], Answer]) -> Answer:
        """Ask until there is an answer, the error is permanent, or its time for retrying is over."""
        first_failures: dict[type[TransientApiError], float] = {}
        for attempt in itertools.count():
            self._throttle.wait_for_turn()
            if self._closed.is_set():
                raise ClientClosedError("the client was closed while a request waited")
            try:
                return ask()
            except TransientApiError as error:
                # Not from when it was asked: an answer that never came is asked for once more as well.
                first_failure = first_failures.setdefault(type(error), time.monotonic())
                delay = _delay_seconds(attempt, error)
                if time.monotonic() + delay - first_failure > error.retry_for_seconds:
                    raise _gave_up(error, attempt + 1) from None
                if error.concerns_every_connection:
                    self._throttle.pause(delay)
                else:
                    self._closed.wait(delay)
        raise AssertionError("unreachable")

    def _send(self, path: str, parameters: dict[str, Any]) -> bytes:
        """One request; the body of a 200, or the error that any other answer stands for."""
        self.requests_sent += 1
        ask = partial(self._session.get, self.base_url + path, params=parameters, **_ONE_ANSWER)
        with self._request(ask) as response:
            body = self._body(response)
        if said := response.headers.get("Date"):
            self._server_clock = said, time.time()
        if response.status_code == 200:
            return body
        raise self._status_error(response, body)

    def _request(self, ask: Callable[[], requests.Response], address: str = "") -> requests.Response:
        # "from None" throughout: these exceptions quote the address with its whole query.
        try:
            return ask()
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise self._connection_error(error, address) from None

    def _body(self, response: requests.Response) -> bytes:
        # Straight from urllib3: requests' own reading goes in steps of 10 kB, too small for pages of 200 kB.
        parts, size, deadline = [], 0, time.monotonic() + _ANSWER_SECONDS
        try:
            while part := response.raw.read1(_CHUNK_BYTES, decode_content=True):
                parts.append(part)
                size += len(part)
                if size > _LARGEST_BODY_BYTES:
                    raise UnexpectedAnswerError(
                        f"an answer of more than {_LARGEST_BODY_BYTES >> 20} MB was not read to its end; "
                        "set SYNTHFLOW_PAGE_SIZE lower, and check that SYNTHFLOW_BASE_URL is Synthflow's API"
                    )
                if time.monotonic() > deadline:
                    raise ConnectionFailedError(f"an answer took longer than {_ANSWER_SECONDS:.0f} s to come")
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise self._connection_error(error) from None
        return b"".join(parts)

    def _connection_error(self, error: Exception, address: str = "") -> ApiError:
        host = urlsplit(address or self.base_url).netloc
        chain = list(_chain(error))
        for link in chain:
            if isinstance(link, NameResolutionError) and not _passing_dns_trouble(link):
                return UnknownHostError(f"the host {host} does not exist; check SYNTHFLOW_BASE_URL")
            if isinstance(link, (requests.exceptions.SSLError, urllib3.exceptions.SSLError)):
                return UnknownHostError(
                    f"no trusted TLS connection to {host}; check the address and this machine's CAs"
                )
            if isinstance(link, (requests.exceptions.InvalidURL, urllib3.exceptions.LocationValueError, UnicodeError)):
                return UnknownHostError(f"{host} is not a usable host name; check SYNTHFLOW_BASE_URL")
        # NewConnectionError is a kind of TimeoutError in urllib3, so it is asked for first.
        if any(isinstance(link, urllib3.exceptions.NewConnectionError) for link in chain):
            return ConnectionFailedError(f"cannot connect to {host}; is the address right and the network up?")
        if any(isinstance(link, (requests.Timeout, urllib3.exceptions.TimeoutError)) for link in chain):
            return ConnectionFailedError(f"no answer from {host} in time")
        return ConnectionFailedError(f"the connection to {host} broke before the answer was whole")

    def _status_error(self, response: requests.Response, body: bytes) -> ApiError:
        status = response.status_code
        said = describe_error(body, self._secret)
        detail = f": {said}" if said else ""
        if status == 401:
            return AuthenticationError(
                f"401 from {self.base_url}{detail}. The key (SYNTHFLOW_API_KEY) is wrong, or it belongs to another "
                "region: set SYNTHFLOW_REGION to the one of your workspace (us, eu, global)"
            )
        if status == 403:
            return AccessDeniedError(f"403{detail}. The key is valid but may not read this")
        if status == 404:
            return NotFoundError(
                f"404{detail}. Either {self.base_url} is not the API's address, which ends in /v2, "
                "or the agent is not in this workspace: `synthflow-assets agents` lists those that are"
            )
        if status == 429:
            return RateLimitedError(
                f"429{detail}. Too many requests: set SYNTHFLOW_REQUESTS_PER_SECOND lower", _retry_after(response)
            )
        if status in (408, 425):
            return ServerError(f"{status} from the API{detail}. It did not wait for the request: try again later")
        if status >= 500:
            # What it says is not shown: of its own trouble it may speak by quoting a record.
            kind = OverloadedError if status == 503 else ServerError
            return kind(f"{status} from the API. Its own trouble: try again later", _retry_after(response))
        if status < 300:
            return MalformedAnswerError(f"{status} instead of an answer")
        if 300 <= status < 400:
            return UnexpectedAnswerError(f"{status}: the API redirects, so {self.base_url} is not its address")
        return BadRequestError(f"{status}: the API refused the request{detail}")


class _BearerAuth(requests.auth.AuthBase):
    """Sets the key on each request. As an auth object it also keeps requests from reading ~/.netrc."""

    def __init__(self, api_key: str) -> None:
        self._header = f"Bearer {api_key}"

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._header
        return request


def _session(base_url: str, adapter: CuttableAdapter) -> requests.Session:
    session = requests.Session()
    # Proxies and CA bundles of the machine are honoured, but looked up once: requests would do so for each request.
    from_machine = session.merge_environment_settings(base_url, {}, None, None, None)
    session.proxies, session.verify = from_machine["proxies"], from_machine["verify"]
    session.trust_env = False
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _delay_seconds(attempt: int, error: TransientApiError) -> float:
    if error.retry_after_seconds is not None:
        return error.retry_after_seconds + random.uniform(0, 0.25)
    return min(_LONGEST_WAIT_SECONDS, _FIRST_WAIT_SECONDS * 2.0**attempt) * random.uniform(0.5, 1.5)


def _gave_up(error: TransientApiError, attempts: int) -> TransientApiError:
    tries = "1 attempt" if attempts == 1 else f"{attempts} attempts"
    wait = error.retry_after_seconds
    asked = f"; the server asks to wait {wait:.0f} s" if wait is not None else ""
    return type(error)(f"{error} (gave up after {tries}{asked})", wait)


def _retry_after(response: requests.Response) -> float | None:
    """Seconds that `Retry-After` asks for, in either of its forms (RFC 9110, 10.2.3); None where it asks for none.

    A date in the past may only mean that clocks differ, so that it is no leave to ask again at once.
    """
    value = response.headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return float(value) or None
    try:
        seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
    except (TypeError, ValueError, OverflowError):
        return None
    return seconds if seconds > 0 else None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and all that it wraps: requests and urllib3 put causes into `reason` and `args`."""
    seen: set[int] = set()
    pending = [error]
    while pending:
        link = pending.pop(0)
        if not isinstance(link, BaseException) or id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        pending += [getattr(link, "reason", None), link.__cause__, link.__context__, *link.args]


def _passing_dns_trouble(error: NameResolutionError) -> bool:
    return any(isinstance(link, socket.gaierror) and link.errno == socket.EAI_AGAIN for link in _chain(error))
