"""Turn failed requests and error responses into this package's errors."""

from __future__ import annotations

import email.utils
import re
import socket
import time
from collections.abc import Iterator, Mapping

import requests
import urllib3
from urllib3.exceptions import NameResolutionError

from synthflow_assets.api.error_texts import MAX_ERROR_BYTES, error_texts, parse_error, says_no_calls
from synthflow_assets.errors import (
    AccessDeniedError,
    ApiError,
    AuthenticationError,
    BadRequestError,
    ConnectionFailedError,
    MalformedResponseError,
    NoCallsFoundError,
    NoContentError,
    NotFoundError,
    OverloadedError,
    RateLimitedError,
    ServerError,
    UnexpectedResponseError,
    UnknownHostError,
)
from synthflow_assets.texts import one_line, printable_line

_MAX_PRINTED_LENGTH = 1_000
_CHECK_AGENT = (
    "If the agent was deleted, remove its id from SYNTHFLOW_MODEL_IDS. Otherwise check that the agent is in this "
    "workspace (`synthflow-assets agents` lists them)"
)
_NO_CALLS_STATUSES = (400, 404, 410, 422)
# The API's own sentences, those of the framework that it seems to use (FastAPI), and the names in them.
# Any other number may be a part of a phone number.
_KNOWN_NUMBER = "(?:0|1|20|50|100|200|500|1000)"
_KNOWN_TEXT = re.compile(
    rf"Limit must be between {_KNOWN_NUMBER} and {_KNOWN_NUMBER}\.?"
    r"|(?:Invalid|Missing|Invalid or missing) API key\.?"
    r"|Not Found|Not authenticated|Unauthorized|Forbidden|Method Not Allowed|Too many requests|Rate limit exceeded"
    r"|(?:Agent|Assistant|Call|Model|Recording) not found\.?"
    r"|No calls found\.?"
    r"|Field required|field required"
    r"|Input should be a valid (?:boolean|date|datetime|integer|list|number|string|UUID)"
    r"(?:, unable to parse string as an? (?:integer|number))?"
    rf"|Input should be (?:greater|less) than(?: or equal to)? {_KNOWN_NUMBER}"
    r"|at (?:body|header|path|query)\.(?:call_id|call_status|duration_max|duration_min|from_date|lead_phone_number"
    r"|limit|model_id|offset|to_date)"
    r"|category (?:authentication|important|internal|not_found|rate_limit|validation)"
)


def host_of(address: str) -> str:
    """Return the host and port of a URL for a message: on one line, without user name and password."""
    # `urlsplit` raises an error for `http://[::1`.
    authority = re.split("[/?#]", address.partition("://")[2], maxsplit=1)[0]
    return one_line(authority.rpartition("@")[2])


def connection_error(error: Exception, host: str) -> ApiError:
    """Return the error for a request that got no complete response.

    Args:
        error: raised by requests, urllib3 or the socket.
        host: the requested host as the message names it. The host of an address that a response names is not quoted,
            because it may be any text.
    """
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, NameResolutionError) and not _is_temporary_dns_failure(cause):
            return UnknownHostError(f"the host {host} does not exist; check SYNTHFLOW_BASE_URL")
        if isinstance(cause, (requests.exceptions.SSLError, urllib3.exceptions.SSLError)):
            return UnknownHostError(
                f"no trusted TLS connection to {host}; check the address and the CA certificates of this machine"
            )
        if isinstance(cause, (requests.exceptions.InvalidURL, urllib3.exceptions.LocationValueError, UnicodeError)):
            return UnknownHostError(f"{host} is not a valid host name; check SYNTHFLOW_BASE_URL")
    # First, because NewConnectionError is a TimeoutError in urllib3.
    if any(isinstance(cause, urllib3.exceptions.NewConnectionError) for cause in causes):
        return ConnectionFailedError(f"cannot connect to {host}; check the address and the network")
    if any(isinstance(cause, (requests.Timeout, urllib3.exceptions.TimeoutError)) for cause in causes):
        return ConnectionFailedError(f"{host} did not respond in time; try again later")
    return ConnectionFailedError(f"the connection to {host} broke before the response was complete; try again later")


def status_error(status: int, headers: Mapping[str, str], body: bytes, base_url: str, api_key: str = "") -> ApiError:
    """Return the error for a response that is not 200.

    Args:
        status: HTTP status code.
        headers: of the response; `Retry-After` is read.
        body: of the response; for 4xx, its known sentences are quoted.
        base_url: the base URL of the API, for the message.
        api_key: masked in what `doctor --debug` prints.
    """
    if status in _NO_CALLS_STATUSES and says_no_calls(parse_error(body)):
        error: ApiError = NoCallsFoundError(
            f"No calls found ({status}). {_CHECK_AGENT}, and that {base_url} is the API's address, which ends in /v2"
        )
    else:
        error = _status_error(status, headers, body, base_url)
    error.response_text = printable_text(body, api_key)
    return error


def _status_error(status: int, headers: Mapping[str, str], body: bytes, base_url: str) -> ApiError:
    description = describe_error(body)
    detail = f": {description}" if description else ""
    match status:
        case 401:
            return AuthenticationError(
                f"Invalid API key (401 from {base_url}){detail}. Check SYNTHFLOW_API_KEY; if it is right, set "
                "SYNTHFLOW_REGION to the region of the workspace (us, eu, global)"
            )
        case 403:
            return AccessDeniedError(f"Access denied (403){detail}. The key is valid but lacks the permission")
        case 404:
            return NotFoundError(
                f"Not found (404){detail}. {_CHECK_AGENT}, and that {base_url} is the API's address, which ends in /v2"
            )
        case 408 | 425:
            return ServerError(f"The API did not process the request in time ({status}){detail}; try again later")
        case 429:
            return RateLimitedError(
                f"Too many requests (429){detail}; set SYNTHFLOW_REQUESTS_PER_SECOND lower", retry_after(headers)
            )
        # The body of a 5xx is not quoted, because it may quote a record.
        case 503:
            return OverloadedError("Server overloaded (503); try again later", retry_after(headers))
        case _ if status >= 500:
            return ServerError(f"Server error ({status}); try again later", retry_after(headers))
        case _ if status < 300:
            error_class = NoContentError if status == 204 else MalformedResponseError
            return error_class(f"Response without content ({status}); try again later")
        case _ if status < 400:
            return UnexpectedResponseError(
                f"Redirect ({status}): {base_url} is not the API's address; check SYNTHFLOW_BASE_URL"
            )
    return BadRequestError(f"Request rejected ({status}){detail}")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that `Retry-After` asks for, in either form of RFC 9110, 10.2.3; None if it asks for none.

    A date in the past counts as none: the clocks may differ, so it does not allow an immediate retry.
    """
    value = headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return float(value) or None
    try:
        seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
    except (TypeError, ValueError, OverflowError):
        return None
    return seconds if seconds > 0 else None


def describe_error(body: bytes) -> str:
    """Return the known sentences of an error body; empty if there are none.

    An error may quote the request or a record. Logs, alerts and Dagster's event store keep messages for a long time,
    so messages quote only sentences and names from closed lists.

    Args:
        body: of the response, in any of the four shapes that the API and its gateway send.
    """
    return "; ".join(dict.fromkeys(text for text in error_texts(body) if _KNOWN_TEXT.fullmatch(text)))


def printable_text(body: bytes, secret: str = "") -> str:
    """Return the body of an error as one line of at most 1,000 printable characters, for `doctor --debug` only.

    Args:
        body: of the response. It may hold personal data.
        secret: the API key, which is masked.
    """
    text = body[:MAX_ERROR_BYTES].decode(errors="replace")
    if secret:
        text = text.replace(secret, "***")
    return printable_line(text)[:_MAX_PRINTED_LENGTH]


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the error and all that it wraps: requests and urllib3 put causes into `reason` and `args`."""
    seen: set[int] = set()
    pending = [error]
    while pending:
        cause = pending.pop(0)
        if not isinstance(cause, BaseException) or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        pending += [getattr(cause, "reason", None), cause.__cause__, cause.__context__, *cause.args]


def _is_temporary_dns_failure(error: NameResolutionError) -> bool:
    return any(isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_AGAIN for cause in _causes(error))
