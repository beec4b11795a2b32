"""Send requests over HTTP: authentication, time-outs, and the download of files."""

from __future__ import annotations

import datetime as dt
import email.utils
import hashlib
import re
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from http import HTTPStatus
from http.cookiejar import DefaultCookiePolicy
from typing import Any, BinaryIO, NamedTuple, TypeVar
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from synthflow_assets.api.connections import CuttableAdapter, DirectSession
from synthflow_assets.api.http_errors import connection_error, host_of, status_error
from synthflow_assets.api.retries import Outage, with_retries
from synthflow_assets.api.throttle import Throttle
from synthflow_assets.errors import (
    ApiError,
    ConnectionFailedError,
    MalformedResponseError,
    NotFoundError,
    ServerError,
    TransientApiError,
    UnexpectedResponseError,
    UnknownHostError,
)

CONNECT_TIMEOUT_SECONDS = 10.0
READ_TIMEOUT_SECONDS = 60.0  # for each read of the socket
ALIVE_TIMEOUT_SECONDS = 10.0  # the same, for the request that finds out whether the API answers anything
RESPONSE_TIMEOUT_SECONDS = 120.0  # for the headers of a response, and again for its body
MAX_BODY_BYTES = 64 * 2**20  # decoded; a page of 100 calls is about 500 kB
LARGE_BODY_BYTES = 4 * 2**20  # larger bodies are read one at a time, whatever the number of connections
DOWNLOAD_TIMEOUT_SECONDS = 600.0  # for a recording, redirects included
MAX_DOWNLOAD_BYTES = 2**30  # an hour of stereo at 48 kHz takes 690 MB as WAV
_MAX_REDIRECTS = 5
_CHUNK_BYTES = 2**18
_STORAGE_HOST = "the host of the recording"
_CONTENT_TYPE = re.compile(r"[\w.+-]{1,80}/[\w.+-]{1,80}", re.ASCII)
_REDIRECTS = (HTTPStatus.FOUND, HTTPStatus.SEE_OTHER, HTTPStatus.TEMPORARY_REDIRECT, HTTPStatus.PERMANENT_REDIRECT)

Parsed = TypeVar("Parsed")


class Audio(NamedTuple):
    """A downloaded recording."""

    content_type: str
    size_bytes: int
    sha256: str


class Transport:
    """Sends requests to one base URL. Threads may share it.

    `requests_sent` counts every request, retries included.
    """

    def __init__(self, api_key: str, base_url: str, *, max_connections: int, requests_per_second: float | None) -> None:
        self.base_url = base_url
        self.requests_sent = 0
        self._host = host_of(base_url)
        self._api_key = api_key
        self._closed = threading.Event()
        self.throttle = Throttle(requests_per_second, self._closed, max_connections)
        self._server_date: tuple[str, float] | None = None  # the last `Date` header, and the local time it came at
        self._connections = CuttableAdapter(max_connections=max_connections, header_seconds=RESPONSE_TIMEOUT_SECONDS)
        self._session = _session(base_url, self._connections)
        self._session.auth = _BearerAuth(api_key)
        self._session.headers["Accept"] = "application/json"
        # For addresses that the API names: it never sends the key.
        self._anonymous_session = _session(base_url, self._connections)
        self._large_body = threading.Lock()
        self.outage = Outage(self._is_alive)
        self._has_responded = False
        self._requested: set[str] = set()  # paths below the base URL
        self._answered: set[str] = set()  # those of them that the API has answered, if only with a permanent error
        self._small_request: tuple[str, dict[str, Any]] = ("/assistants/", {"limit": 1})  # sent to see if it is alive

    @property
    def clock_ahead_seconds(self) -> float | None:
        """Seconds by which the local clock is ahead of the API's; None before the first response with a `Date`."""
        if self._server_date is None:
            return None
        date, local_seconds = self._server_date
        try:
            time_of_server = email.utils.parsedate_to_datetime(date)
            # The oldest of the three forms of a date in HTTP has no zone: Sun Nov  6 08:49:37 1994.
            zoned = time_of_server if time_of_server.tzinfo else time_of_server.replace(tzinfo=dt.UTC)
            return local_seconds - zoned.timestamp()
        except (ValueError, OverflowError):
            return None

    def close(self) -> None:
        """Close every connection. Requests that wait or are in flight raise an `ApiError`."""
        self.throttle.stop()
        self._connections.cut()
        self._session.close()
        self._anonymous_session.close()

    def get(self, path: str, parameters: dict[str, Any], parse: Callable[[bytes], Parsed]) -> Parsed:
        """Return the parsed body of `GET path`.

        Args:
            path: below the base URL, with a leading slash.
            parameters: query parameters; None is left out.
            parse: turns the body into a value, or raises `MalformedResponseError`, which is retried.

        Raises:
            ApiError: permanent errors at once, transient errors after retries.
        """

        def attempt() -> Parsed:
            with ExitStack() as until_parsed:
                return parse(self._get_body(path, parameters, until_parsed))

        self._requested.add(path)
        try:
            result = with_retries(attempt, self.throttle, self._closed, self.outage)
        except ApiError as error:
            if not (isinstance(error, TransientApiError) and error.is_outage):
                self._answered.add(path)
            raise
        self._answered.add(path)
        if "limit" in parameters:
            self._small_request = path, {**parameters, "limit": 1}
        return result

    def _is_alive(self) -> bool:
        """Return whether the API answers a small request: the last one that it answered, for a single record.

        Once calls were fetched, this is a request for calls: an API that lists agents may fail to list calls. If the
        API has never answered a path that was requested, the answer of another proves nothing.
        """
        if self._requested - self._answered:
            return False
        self.throttle.wait_for_slot()
        try:
            with ExitStack() as until_read:
                self._get_body(*self._small_request, until_read, ALIVE_TIMEOUT_SECONDS)
        except TransientApiError as error:
            return not error.is_outage
        except UnknownHostError:
            return False
        except ApiError:
            return True
        return True

    def download(self, path: str, file: BinaryIO) -> Audio:
        """Download the file that `GET path` returns or redirects to.

        The key goes to the API only, never to the address of the redirect.

        Args:
            path: below the base URL, with a leading slash.
            file: receives the body; it is emptied before each attempt.

        Raises:
            NotFoundError: there is no such file.
            ApiError: permanent errors at once, transient errors after retries.
        """
        return with_retries(lambda: self._download(path, file), self.throttle, self._closed, self.outage)

    def _get_body(
        self, path: str, parameters: dict[str, Any], until_parsed: ExitStack, read_seconds: float | None = None
    ) -> bytes:
        with self._send_to_api(path, parameters, read_seconds) as response:
            received_at = time.time()  # not after the body, which may take minutes
            body = self._read_body(response, until_parsed)
        if date := response.headers.get("Date"):
            self._server_date = date, received_at
        if response.status_code == HTTPStatus.OK:
            return body
        raise self._status_error(response, body)

    def _download(self, path: str, file: BinaryIO) -> Audio:
        file.seek(0)
        file.truncate()
        deadline = time.monotonic() + DOWNLOAD_TIMEOUT_SECONDS
        address = self.base_url + path
        with self._send_to_api(path) as response:
            if response.status_code == HTTPStatus.OK:
                return self._copy_body(response, file, deadline, self._host)
            if response.status_code not in _REDIRECTS or "Location" not in response.headers:
                with ExitStack() as until_read:
                    raise self._status_error(response, self._read_body(response, until_read))
            address = _redirect_address(address, response)
        for _ in range(_MAX_REDIRECTS):
            with self._send_to_storage(address) as response:
                match response.status_code:
                    case HTTPStatus.OK:
                        return self._copy_body(response, file, deadline, _STORAGE_HOST)
                    case HTTPStatus.NOT_FOUND:
                        raise NotFoundError("the recording no longer exists")
                    case status if status in _REDIRECTS and "Location" in response.headers:
                        address = _redirect_address(address, response)
                    case status:
                        # Signed addresses expire: the next attempt requests a new one.
                        raise ServerError(f"the address of the recording answered {status}; try again later")
        raise UnexpectedResponseError(f"the recording is behind more than {_MAX_REDIRECTS} redirects; try again later")

    def _send_to_api(
        self, path: str, parameters: dict[str, Any] | None = None, read_seconds: float | None = None
    ) -> requests.Response:
        try:
            response = self._send(self._session, self.base_url + path, parameters, read_seconds)
        except UnknownHostError as error:
            if not self._has_responded:
                raise
            # The host exists: it has responded before. So the name server or the network fails.
            raise ConnectionFailedError(str(error)) from None
        self._has_responded = True
        return response

    def _send_to_storage(self, address: str) -> requests.Response:
        try:
            return self._send(self._anonymous_session, address)
        except UnknownHostError:
            # This address affects only one recording; the address of the API affects all requests.
            raise UnexpectedResponseError("the host of the recording cannot be reached; try again later") from None

    def _send(
        self,
        session: requests.Session,
        address: str,
        parameters: dict[str, Any] | None = None,
        read_seconds: float | None = None,
    ) -> requests.Response:
        self.requests_sent += 1
        try:
            return session.get(
                address,
                params=parameters,
                timeout=(CONNECT_TIMEOUT_SECONDS, read_seconds or READ_TIMEOUT_SECONDS),
                # A redirect would carry the query, and on the same host the key, to an address that is not configured.
                allow_redirects=False,
                stream=True,
            )
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            # "from None" throughout: these exceptions quote the address with its whole query.
            raise connection_error(error, self._host if session is self._session else _STORAGE_HOST) from None

    def _read_body(self, response: requests.Response, until_parsed: ExitStack) -> bytes:
        """Return the body of a response.

        Args:
            response: whose headers were read.
            until_parsed: the caller's stack. If the body is large, no other large body is read until the stack closes.
        """
        # Directly from urllib3: requests reads in steps of 10 kB, too small for pages of 500 kB.
        chunks, size, is_large = [], 0, False
        try:
            with self._connections.body_deadline(time.monotonic() + RESPONSE_TIMEOUT_SECONDS):
                for chunk in iter(partial(response.raw.read1, _CHUNK_BYTES, decode_content=True), b""):
                    chunks.append(chunk)
                    size += len(chunk)
                    if size > MAX_BODY_BYTES:
                        raise UnexpectedResponseError(
                            f"the response is larger than {MAX_BODY_BYTES >> 20} MB; set SYNTHFLOW_PAGE_SIZE lower, "
                            "and check that SYNTHFLOW_BASE_URL is Synthflow's API"
                        )
                    if size > LARGE_BODY_BYTES and not is_large:
                        is_large = True
                        until_parsed.enter_context(self._large_body)
        except TimeoutError:
            raise ConnectionFailedError(
                f"the response took longer than {RESPONSE_TIMEOUT_SECONDS:.0f} s; try again later"
            ) from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise connection_error(error, self._host) from None
        return b"".join(chunks)

    def _copy_body(self, response: requests.Response, file: BinaryIO, deadline: float, host: str) -> Audio:
        # urllib3 raises an error when the body is shorter than its Content-Length.
        digest, size = hashlib.sha256(), 0
        # Both errors are permanent, so that one recording does not hold up the others; the next run tries again.
        try:
            with self._connections.body_deadline(deadline):
                for chunk in iter(partial(response.raw.read1, _CHUNK_BYTES, decode_content=True), b""):
                    digest.update(chunk)
                    file.write(chunk)
                    size += len(chunk)
                    if size > MAX_DOWNLOAD_BYTES:
                        raise UnexpectedResponseError(f"the recording is larger than {MAX_DOWNLOAD_BYTES >> 20} MB")
        except TimeoutError:
            raise UnexpectedResponseError(
                f"the recording took longer than {DOWNLOAD_TIMEOUT_SECONDS:.0f} s; try again later"
            ) from None
        except urllib3.exceptions.HTTPError as error:
            raise connection_error(error, host) from None
        if size == 0:
            raise MalformedResponseError("the recording is empty; try again later")
        content_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
        # The header may be any text.
        return Audio(content_type if _CONTENT_TYPE.fullmatch(content_type) else "", size, digest.hexdigest())

    def _status_error(self, response: requests.Response, body: bytes) -> ApiError:
        return status_error(response.status_code, response.headers, body, self.base_url, self._api_key)


class _BearerAuth(requests.auth.AuthBase):
    """Sets the key on each request. As an auth object it also keeps requests from reading ~/.netrc."""

    def __init__(self, api_key: str) -> None:
        self._header = f"Bearer {api_key}"

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._header
        return request


def _redirect_address(address: str, response: requests.Response) -> str:
    """Return the address that a response redirects to.

    Raises:
        UnexpectedResponseError: the target is not an HTTP address, such as `file:///` or `http://[::1`.
    """
    try:
        target = urljoin(address, response.headers["Location"])
        parts = urlsplit(target)
        is_valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_valid = False
    if not is_valid:
        raise UnexpectedResponseError("the recording has an invalid address; try again later")
    return target


def _session(base_url: str, adapter: CuttableAdapter) -> requests.Session:
    session = DirectSession()
    # Proxies and CA bundles of the environment apply, but are looked up once: requests would do so for each request.
    environment = session.merge_environment_settings(base_url, {}, None, None, None)
    session.proxies, session.verify = environment["proxies"], environment["verify"]
    session.trust_env = False
    # Cookies are not kept, because a gateway's cookie would tie all requests to one server.
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session
