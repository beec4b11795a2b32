"""Each failure becomes an error of the right class, whose text says what to do and quotes nothing personal."""

import email.utils
import json
import re
import socket
import sys
import time
from typing import Any

import pytest
import requests
import urllib3
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from synthflow_assets.api.error_texts import says_no_calls
from synthflow_assets.api.http_errors import (
    connection_error,
    describe_error,
    host_of,
    printable_text,
    retry_after,
    status_error,
)
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
    TransientApiError,
    UnexpectedResponseError,
    UnknownHostError,
)

BASE_URL = "https://api.example/v2"


def error_of(status: int, body: Any = None, headers: dict[str, str] | None = None) -> ApiError:
    return status_error(status, headers or {}, json.dumps(body).encode() if body else b"", BASE_URL, "KEYMARK123")


@pytest.mark.parametrize(
    ("status", "kind", "says"),
    [
        (201, MalformedResponseError, "Response without content (201); try again later"),
        (204, NoContentError, "Response without content (204); try again later"),
        (299, MalformedResponseError, "Response without content (299); try again later"),
        (300, UnexpectedResponseError, "Redirect (300)"),
        (301, UnexpectedResponseError, f"Redirect (301): {BASE_URL} is not the API's address"),
        (399, UnexpectedResponseError, "Redirect (399)"),
        (400, BadRequestError, "Request rejected (400)"),
        (401, AuthenticationError, f"Invalid API key (401 from {BASE_URL}). Check SYNTHFLOW_API_KEY"),
        (403, AccessDeniedError, "Access denied (403). The key is valid but"),
        (
            404,
            NotFoundError,
            "Not found (404). If the agent was deleted, remove its id from SYNTHFLOW_MODEL_IDS",
        ),
        (408, ServerError, "The API did not process the request in time (408); try again later"),
        (422, BadRequestError, "Request rejected (422)"),
        (425, ServerError, "The API did not process the request in time (425); try again later"),
        (429, RateLimitedError, "Too many requests (429); set SYNTHFLOW_REQUESTS_PER_SECOND lower"),
        (499, BadRequestError, "Request rejected (499)"),
        (500, ServerError, "Server error (500); try again later"),
        (502, ServerError, "Server error (502); try again later"),
        (503, OverloadedError, "Server overloaded (503); try again later"),
        (599, ServerError, "Server error (599); try again later"),
    ],
)
def test_status(status: int, kind: type[ApiError], says: str) -> None:
    error = error_of(status)
    assert type(error) is kind
    assert str(error).startswith(says)
    assert "\n" not in str(error)


@pytest.mark.parametrize("status", [401, 403, 404, 408, 422, 429])
def test_what_the_api_says_is_quoted(status: int) -> None:
    said = error_of(status, {"detail": "Field required"})
    assert f"({status}): Field required" in str(said).replace(f" from {BASE_URL}", "")


PLANTED = (
    "Jane Doe",
    "Jane",
    "+14155550123",
    "4155550123",
    "KEYMARK123",
    "S0VZTUFSSzEyMw==",
    "k e y m a r k",
    "bot: Hello",
)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 422, 425, 429, 500, 503])
@pytest.mark.parametrize(
    "body",
    [
        {"detail": "no lead %s"},
        {"detail": {"status": "error", "description": "%s", "category": "%s"}},
        {"detail": [{"msg": "Field required", "loc": ["query", "%s"], "input": "%s"}, {"msg": "%s"}]},
        {"detail": [{"msg": "Field required %s"}, "%s"]},
        {"error": "%s", "message": "Not Found %s"},
        {"message": "Limit must be between 1 and 100: %s"},
    ],
)
def test_only_known_sentences_reach_a_message(status: int, body: Any) -> None:
    """A message is kept in logs, in Dagster's event store and in alerts."""
    for planted in PLANTED:
        error = error_of(status, json.loads(json.dumps(body).replace("%s", planted)))
        assert not any(text in f"{error!s} {error!r}" for text in PLANTED)
        if planted != "KEYMARK123":
            assert planted in error.response_text  # for `doctor --debug`


@pytest.mark.parametrize("status", [500, 502, 503])
def test_what_the_api_says_of_a_failure_of_its_own_is_not_quoted(status: int) -> None:
    """It may quote a record: `cannot serialize ...`."""
    assert "Jane" not in str(error_of(status, {"detail": "cannot serialize lead_name Jane Doe"}))


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_retry_after_goes_with_the_error(status: int) -> None:
    error = error_of(status, headers={"Retry-After": "12"})
    assert isinstance(error, TransientApiError)
    assert error.retry_after_seconds == 12


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", None),
        ("2", 2.0),
        (" 3 ", 3.0),
        ("-1", None),
        ("soon", None),
        ("", None),
        ("Thu, 01 Jan 2026 00:00:00 GMT", None),
    ],
)
def test_a_retry_after_that_asks_for_no_time_is_none(value: str, seconds: float | None) -> None:
    assert retry_after({"Retry-After": value}) == seconds
    assert retry_after({}) is None


def test_a_retry_after_may_be_a_date() -> None:
    date = email.utils.formatdate(time.time() + 30, usegmt=True)
    assert 28 < (retry_after({"Retry-After": date}) or 0) <= 30


def wrapped(cause: Exception) -> Exception:
    """As requests raises it: in its own error, around urllib3's."""
    pool = urllib3.HTTPSConnectionPool("api.example")
    return requests.ConnectionError(urllib3.exceptions.MaxRetryError(pool, "/v2/calls?lead_phone_number=1", cause))


CONNECTION = urllib3.connection.HTTPSConnection("api.example")


@pytest.mark.parametrize(
    ("cause", "kind", "says"),
    [
        (urllib3.exceptions.SSLError("x"), UnknownHostError, "no trusted TLS connection to api.example"),
        (UnicodeError("x"), UnknownHostError, "api.example is not a valid host name"),
        (
            urllib3.exceptions.NewConnectionError(CONNECTION, "refused"),
            ConnectionFailedError,
            "cannot connect to api.example",
        ),
        (
            urllib3.exceptions.ReadTimeoutError(CONNECTION, "/", "x"),  # type: ignore[arg-type]
            ConnectionFailedError,
            "api.example did not respond in time",
        ),
        (TimeoutError("x"), ConnectionFailedError, "the connection to api.example broke"),
        (urllib3.exceptions.ProtocolError("x"), ConnectionFailedError, "the connection to api.example broke"),
    ],
)
def test_connection(cause: Exception, kind: type[ApiError], says: str) -> None:
    error = connection_error(wrapped(cause), host_of("https://api.example/v2/calls?lead_phone_number=1"))
    assert type(error) is kind
    assert str(error).startswith(says)
    assert "lead_phone" not in str(error)


def test_a_host_is_one_line_without_a_password() -> None:
    assert host_of("https://ada:secret@api.example:1/v2") == "api.example:1"
    assert host_of("https://api\x1b[2J.example/v2").isprintable()


@pytest.mark.parametrize(
    ("number", "kind", "says"),
    [
        (socket.EAI_NONAME, UnknownHostError, "the host api.example does not exist; check SYNTHFLOW_BASE_URL"),
        (socket.EAI_AGAIN, ConnectionFailedError, "cannot connect to api.example"),  # the name server is down
    ],
)
def test_a_name_that_is_not_resolved(
    monkeypatch: pytest.MonkeyPatch, number: int, kind: type[ApiError], says: str
) -> None:
    def getaddrinfo(*_: object) -> None:
        raise socket.gaierror(number, "?")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(requests.ConnectionError) as caught:
        requests.get(BASE_URL, timeout=5)
    error = connection_error(caught.value, "api.example")
    assert type(error) is kind
    assert str(error).startswith(says)


def test_an_error_that_refers_to_itself_is_read_once() -> None:
    error = OSError("x")
    error.args = (error,)
    assert type(connection_error(error, "api.example")) is ConnectionFailedError


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"detail": "Not Found"}, "Not Found"),
        (
            {"detail": {"status": "error", "description": "Limit must be between 1 and 100.", "category": "important"}},
            "Limit must be between 1 and 100.; category important",
        ),
        ({"detail": [{"msg": "Field required", "loc": ["query", "model_id"]}]}, "Field required; at query.model_id"),
        ({"error": "not_found", "message": "Not Found"}, "Not Found"),
        ({"detail": ["Forbidden", "b", "Forbidden"]}, "Forbidden"),
        ({"detail": [{"msg": "Input should be a valid integer, unable to parse string as an integer"}]}, ...),
        ({"detail": [{"msg": "Input should be less than or equal to 100"}]}, ...),
        # Digits of a phone number.
        ({"detail": [{"msg": "Input should be less than or equal to 555010"}]}, ""),
        ({"detail": "Limit must be between 415 and 5550"}, ""),
        ({"detail": {"description": 5}}, ""),
        ({"detail": None}, ""),
        (["x"], ""),
        ("x", ""),
    ],
)
def test_every_shape_of_an_error_body_is_read(body: Any, text: Any) -> None:
    assert describe_error(json.dumps(body).encode()) == (body["detail"][0]["msg"] if text is ... else text)


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"detail": "cut', b"[" * 100_000, b"\xff"])
def test_a_body_that_is_no_json_says_nothing(body: bytes) -> None:
    assert describe_error(body) == ""


def test_what_doctor_prints_is_one_line_without_the_key() -> None:
    assert printable_text("a \x1b[31m\r\nKEY\u202e b".encode(), "KEY") == "a [31m *** b"
    assert len(printable_text(b"x" * 5_000)) == 1_000


NO_CALLS = [
    *(
        "No calls yet",
        "No calls so far.",
        "There are currently no calls",
        "0 calls found",
        "No calls have been made yet",
    ),
    *("You have no calls yet", "This agent has no calls", "Found 0 calls", "Zero calls!", "Sorry, no calls found"),
    *("No call records found for this agent", "No call logs exist", "No results match the given filters"),
    *("No data available for this date range", "No records returned between 2026-11-01 and 2026-11-02"),
    *("No calls for agent with id 'a-1' in the selected time period", "No calls found\nin this workspace"),
    *("No calls found for the given model_id.", "No calls found for the specified agent id in this period"),
    *("Calls not found for model_id: 12x34", "No results were found for your search"),
]
OTHER_TEXTS = [
    *("No data in cache, try again later", "No calls for this workspace: the subscription has expired"),
    *("No data available for your plan", "No calls found; please upgrade", "No calls available in your region"),
    *("No calls in us-east-1", "No calls for agent subscription", "No data yet", "No calls found. Try again later."),
    *("No calls allowed", "No calls for", "Call not found", "No calls found for the agent of another workspace"),
    *("No calls found for the given model_id: it does not exist", "No calls found for the given model_id or key"),
]


@pytest.mark.parametrize(
    ("body", "says_so"),
    [
        ({"detail": "No calls found"}, True),
        ({"detail": {"description": "No calls were found for agent 123."}}, True),
        ({"error": "not_found", "message": "No data found"}, True),
        ({"status": "error", "error": "no records found in the requested window"}, True),
        ("No results", True),
        ({"detail": [{"msg": "Calls not found"}]}, True),
        ({"message": "No matching calls were found"}, True),
        ({"detail": "There were no conversations."}, True),
        ({"status": "error", "response": {"message": "No calls have been found"}}, True),
        ({"response": "No calls found"}, True),
        ({"detail": {"status": "error", "description": "No calls found", "category": "not_found"}}, True),
        *((text, True) for text in NO_CALLS),
        *((text, False) for text in OTHER_TEXTS),
        # Another text says more.
        ({"error": "No calls found", "message": "The subscription has expired"}, False),
        ({"detail": "No calls found", "hint": "Upgrade the plan"}, False),
        ({"detail": [{"msg": "No calls found"}, {"msg": "quota exceeded"}]}, False),
        ({"detail": {"description": "No calls found", "category": "quota"}}, False),
        ({"detail": "No calls found", "data": [[]]}, False),
        ({"success": True, "message": "No calls found", "has_more": False}, True),
        ({"message": "No calls found", "has_more": True}, False),
        ({"message": "No calls found", "partial": True}, False),
        ({"message": "No calls found", "complete": False}, False),
        ({"detail": "Not Found"}, False),
        ({"detail": "Assistant not found"}, False),
        ({"detail": "Record not found"}, False),
        ({"message": "No call permission"}, False),
        ({"message": "No data source"}, False),
        ({"message": "No matching agent was found"}, False),
        ({"error": "not_found", "message": "The requested route does not exist"}, False),
    ],
    ids=str,
)
def test_only_a_clear_sentence_means_that_there_are_no_calls(body: Any, says_so: bool) -> None:
    statuses = (400, 404, 410, 422)
    understood = {status: isinstance(error_of(status, body), NoCallsFoundError) for status in statuses}
    assert understood == dict.fromkeys(statuses, says_so)


# The words of the sentences above. Any other word may say why the calls cannot be seen.
KNOWN_WORDS = {word for text in NO_CALLS for word in re.findall("[a-z]+", text.lower())}


@given(
    st.sampled_from(NO_CALLS),
    st.sampled_from([" ", ", ", "; ", ": ", ". ", "! ", " - ", " (", "\n", " for ", " for your ", " in this ", " in "]),
    st.sampled_from(["plan", "cache", "region", "quota", "permission", "now", "later", "upgrade", "expired"])
    | st.from_regex("[a-z]{4,12}", fullmatch=True).filter(lambda word: word not in KNOWN_WORDS),
)
@hypothesis_settings(max_examples=200)
def test_no_calls_and_any_other_word_are_an_error(text: str, separator: str, word: str) -> None:
    assert says_no_calls(text)
    assert not says_no_calls(text.rstrip(".!") + separator + word)
    assert not says_no_calls(word + separator + text)


def test_deep_json_says_nothing() -> None:
    tree: Any = "No calls found"
    for _ in range(sys.getrecursionlimit()):
        tree = [tree]
    assert not says_no_calls(tree)
