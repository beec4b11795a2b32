"""The errors that this package raises, grouped by what you can do about them.

    SynthflowError
    ├── SettingsError                a setting is missing or wrong: correct it and start again
    ├── ApiError
    │   ├── PermanentApiError        a retry gives the same response
    │   │   ├── AuthenticationError      401: wrong key, or wrong region
    │   │   ├── AccessDeniedError        403: the key lacks a permission
    │   │   ├── NotFoundError            404: no such path or agent
    │   │   │   └── NoCallsFoundError        404, 400, 410 or 422: no calls in this window
    │   │   ├── BadRequestError          400, 422 and other 4xx
    │   │   ├── UnknownHostError         no such host, or an untrusted certificate
    │   │   └── UnexpectedResponseError  a redirect, an ignored window, calls of another agent
    │   ├── TransientApiError        a later retry may succeed
    │   │   ├── ConnectionFailedError    refused, reset, timed out, incomplete
    │   │   ├── MalformedResponseError   not JSON, or JSON of another shape
    │   │   │   └── NoContentError           204
    │   │   ├── RateLimitedError         429
    │   │   └── ServerError              5xx
    │   │       └── OverloadedError          503
    │   ├── ClientClosedError        the client was closed meanwhile
    │   └── IncompleteFetchError     the pages never added up to the API's total
    ├── WarehouseError
    │   ├── WarehouseLockedError     another process holds the file
    │   └── WarehouseUnusableError   the location cannot be opened or written
    │       └── BucketUnreachableError   the server of a bucket cannot be reached at the moment
    ├── UnreadableRecordsError       a field changed its type; nothing of the day was replaced
    ├── VanishedCallsError           landed calls or values are gone or moved; nothing of the day was replaced
    ├── ReportError                  the report cannot be built or written
    └── AlertError                   an alert could not be delivered; it is sent again later

A message is one line: what is wrong, then what to do next. It never holds a key, a phone number, a name, or any part of
a call.
"""

from __future__ import annotations

from typing import ClassVar


class SynthflowError(Exception):
    """Base of all errors of this package. Its text is one line that says what to do next."""


class SettingsError(SynthflowError):
    """A setting is missing or has a value that is not allowed."""


class ApiError(SynthflowError):
    """A request to the Synthflow API failed.

    Attributes:
        response_text: the start of the response. It may hold personal data, so only `doctor --debug` prints it.
    """

    response_text: str = ""


class PermanentApiError(ApiError):
    """A retry gives the same response, so the client does not retry."""


class AuthenticationError(PermanentApiError):
    """401: the key is wrong, or belongs to a workspace in another region."""


class AccessDeniedError(PermanentApiError):
    """403: the key is valid but lacks a permission."""


class NotFoundError(PermanentApiError):
    """404: there is no such path or agent."""


class NoCallsFoundError(NotFoundError):
    """404, 400, 410 or 422: the API found no calls. `SynthflowClient.list_calls` returns an empty page instead."""


class BadRequestError(PermanentApiError):
    """400, 422 or another 4xx: the API rejected the parameters."""


class UnknownHostError(PermanentApiError):
    """The host name cannot be resolved, or the certificate is not trusted."""


class UnexpectedResponseError(PermanentApiError):
    """The response does not match the request."""


class TransientApiError(ApiError):
    """A later retry may succeed.

    Args:
        message: one line, for people.
        retry_after_seconds: how long the API asks to wait; None if it does not say.

    Attributes:
        retry_for_seconds: how long errors of this class are retried, counted from the first one.
        pauses_all_connections: whether the client's other connections wait as well.
        may_be_overload: whether the API may have got too many requests at once.
        is_outage: whether the error means that the API cannot be reached or does not work.
        outlasted: whether the API answered nothing for as long as the client waits, so that all requests would fail.
    """

    retry_for_seconds: ClassVar[float] = 120.0
    pauses_all_connections: ClassVar[bool] = False
    may_be_overload: ClassVar[bool] = False
    is_outage: ClassVar[bool] = False
    outlasted: bool = False

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class ConnectionFailedError(TransientApiError):
    """The connection was refused, reset or timed out, or the response was incomplete."""

    # A server that restarts is back within seconds, but a wrong port stays closed and its user is waiting. A run waits
    # for longer, see `SynthflowClient.wait_for_outages`.
    retry_for_seconds: ClassVar[float] = 10.0
    may_be_overload: ClassVar[bool] = True
    is_outage: ClassVar[bool] = True


class MalformedResponseError(TransientApiError):
    """The response is not JSON, or JSON of another shape; often the error page of a gateway."""

    # A gateway recovers within seconds, but a base URL that points to a web site never does.
    retry_for_seconds: ClassVar[float] = 10.0


class NoContentError(MalformedResponseError):
    """204: the response has no content. `SynthflowClient.list_calls` returns an empty page instead."""

    retry_for_seconds: ClassVar[float] = 0.0


class RateLimitedError(TransientApiError):
    """429: too many requests."""

    retry_for_seconds: ClassVar[float] = 600.0
    pauses_all_connections: ClassVar[bool] = True
    may_be_overload: ClassVar[bool] = True


class ServerError(TransientApiError):
    """5xx: the server failed."""

    is_outage: ClassVar[bool] = True


class OverloadedError(ServerError):
    """503: the server is overloaded."""

    pauses_all_connections: ClassVar[bool] = True
    may_be_overload: ClassVar[bool] = True


class ClientClosedError(ApiError):
    """The client was closed while a request waited."""


class IncompleteFetchError(ApiError):
    """The distinct calls of the pages never added up to the API's total."""


class WarehouseError(SynthflowError):
    """The warehouse could not do what was requested."""


class WarehouseLockedError(WarehouseError):
    """Another process held the warehouse for longer than the limit."""


class WarehouseUnusableError(WarehouseError):
    """The warehouse cannot be opened or written at its location."""


class BucketUnreachableError(WarehouseUnusableError):
    """The server of a bucket cannot be reached or does not work. A later attempt may succeed."""


class UnreadableRecordsError(SynthflowError):
    """So many records of a day cannot be decoded that a field must have changed its type."""


class VanishedCallsError(SynthflowError):
    """The API no longer lists calls that landed before, moves them to another day, or no longer sends their values."""


class ReportError(SynthflowError):
    """The report cannot be built from the requested days, or cannot be written."""


class AlertError(SynthflowError):
    """An alert could not be delivered."""
