"""Every error that this package raises on purpose, grouped by what can be done about it.

    SynthflowError
    ├── SettingsError              a setting is missing or wrong: mend it, start again
    ├── ApiError
    │   ├── PermanentApiError      asking again gives the same answer
    │   │   ├── AuthenticationError    401: the key, or the region
    │   │   ├── AccessDeniedError      403: the key may not do this
    │   │   ├── NotFoundError          404: no such path or agent
    │   │   ├── BadRequestError        400, 422 and the other 4xx
    │   │   ├── UnknownHostError       the host name does not exist, or its certificate is not trusted
    │   │   └── UnexpectedAnswerError  a redirect, an ignored window, another agent's calls
    │   ├── TransientApiError      asking again later may succeed
    │   │   ├── ConnectionFailedError  refused, reset, timed out, cut short
    │   │   ├── MalformedAnswerError   not JSON, or JSON of another shape
    │   │   ├── RateLimitedError       429
    │   │   └── ServerError            5xx
    │   │       └── OverloadedError        503
    │   ├── ClientClosedError      somebody closed the client meanwhile
    │   └── IncompleteFetchError   the pages never added up to the API's own total
    ├── WarehouseError
    │   ├── WarehouseLockedError   another process holds the file
    │   └── WarehouseUnusableError the path cannot be opened or written
    ├── ReportError            the report cannot be made of what was asked for, or not be written
    └── AlertError                 an alert could not be delivered: it is tried again

Messages are for people: one line, what is wrong and what to do next. They never hold a key, a phone number,
a name, or any part of a call.
"""

from __future__ import annotations

from typing import ClassVar


class SynthflowError(Exception):
    """Base of all errors of this package; its text is one line that says what to do next."""


class SettingsError(SynthflowError):
    """A setting is missing or has a value that is not allowed."""


class ApiError(SynthflowError):
    """The Synthflow API could not give what was asked for."""


class PermanentApiError(ApiError):
    """Asking again gives the same answer, so nobody retries it."""


class AuthenticationError(PermanentApiError):
    """401: the key is wrong, or belongs to a workspace in another region."""


class AccessDeniedError(PermanentApiError):
    """403: the key is known but may not do this."""


class NotFoundError(PermanentApiError):
    """404: no such path, or no such agent."""


class BadRequestError(PermanentApiError):
    """400, 422 or another 4xx: the API refused the parameters."""


class UnknownHostError(PermanentApiError):
    """The host name cannot be resolved, or its certificate is not trusted."""


class UnexpectedAnswerError(PermanentApiError):
    """The API answered, but not to the question that was asked."""


class TransientApiError(ApiError):
    """Asking again later may succeed.

    `retry_for_seconds` bounds how long this kind of trouble is retried, counted from the first failure.
    `concerns_every_connection` says that the others should wait as well, not only the one that met it.
    `retry_after_seconds` is what the server itself asked for, where it did.
    """

    retry_for_seconds: ClassVar[float] = 120.0
    concerns_every_connection: ClassVar[bool] = False

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class ConnectionFailedError(TransientApiError):
    """The connection was refused, reset, cut short, or timed out."""

    # A server that restarts is back within seconds; a wrong port stays closed, and its owner is waiting.
    retry_for_seconds: ClassVar[float] = 10.0


class MalformedAnswerError(TransientApiError):
    """The answer is not JSON, or JSON of another shape: often a gateway's error page."""

    # A gateway's page passes quickly; a base URL that points to a web site never does.
    retry_for_seconds: ClassVar[float] = 10.0


class RateLimitedError(TransientApiError):
    """429: too many requests."""

    retry_for_seconds: ClassVar[float] = 600.0
    concerns_every_connection: ClassVar[bool] = True


class ServerError(TransientApiError):
    """5xx: the server's own trouble."""


class OverloadedError(ServerError):
    """503: the service as a whole has too much to do."""

    concerns_every_connection: ClassVar[bool] = True


class ClientClosedError(ApiError):
    """The client was closed while a request waited for its turn."""


class IncompleteFetchError(ApiError):
    """The distinct calls of the pages never added up to the total that the API states."""


class WarehouseError(SynthflowError):
    """The warehouse could not do what was asked for."""


class WarehouseLockedError(WarehouseError):
    """Another process held the warehouse for longer than the limit."""


class WarehouseUnusableError(WarehouseError):
    """The warehouse cannot be opened or written at this place."""


class ReportError(SynthflowError):
    """The report cannot be made of what was asked for, or cannot be written."""


class AlertError(SynthflowError):
    """An alert could not be delivered."""
