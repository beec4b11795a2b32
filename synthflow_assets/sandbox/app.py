"""The HTTP endpoints of the sandbox: `/v2` responds as Synthflow does, `/sandbox` states which calls exist."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import email.utils
import random
import time
import uuid
import zlib
from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from synthflow_assets.sandbox.calls import DAY_MS, tone
from synthflow_assets.sandbox.config import SandboxConfig
from synthflow_assets.sandbox.record_faults import RECORD_FAULTS, changed
from synthflow_assets.sandbox.store import CallStore, Selection, Window

_MAX_LIMIT = 100
_DEFAULT_LIMIT = 20
_RETRY_AFTER_SECONDS = 1
_WITHOUT_RECORDING = 10  # one call in ten has no recording
_SIGNATURE = "sandbox"
# At this distance pages of 100 and pages of 75 both end. The calls before and after change places from page to page, as
# rows with the same sort key do in PostgreSQL.
_TIE_DISTANCE = 300
_MAX_TOTAL = 200  # with the fault `capped_total`
_MAX_OFFSET = 300  # with the faults `low_offset_limit` and `denied_offset`

Endpoint = Callable[[Request], Awaitable[Response]]


class SandboxApi:
    """The state of one sandbox server: its calls, its faults, and the requests it got.

    Args:
        config: the data, the reading of the API, and the faults.
    """

    def __init__(self, config: SandboxConfig) -> None:
        self.config = config
        self.store = CallStore(config)
        self.requests: list[dict[str, str]] = []  # the query of each `GET /calls`, for tests and benchmarks
        self.audio_served = 0
        self.refusals = 0  # of requests beyond `max_requests`
        self._under_way = 0
        self._fault_counts: dict[str, int] = {}
        self._random = random.Random(config.seed)
        self._recent_requests: list[float] = []  # of the last second, in seconds of the monotonic clock

    def app(self) -> Starlette:
        """Return the ASGI application."""
        return Starlette(
            routes=[
                Route("/v2/calls/{call_id}/recording", self._api(self._recording)),
                Route("/recordings/{call_id}.wav", self._audio),
                Route("/v2/calls", self._api(self._calls)),
                Route("/v2/calls/", self._api(self._calls)),
                Route("/v2/assistants", self._api(self._assistants)),
                Route("/v2/assistants/", self._api(self._assistants)),
                Route("/sandbox/count", self._count),
                Route("/sandbox/requests", self._requests),
                Route("/v2/{path:path}", _no_such_path),
                Route("/{path:path}", _no_such_route),
            ]
        )

    def _happens(self, fault: str) -> bool:
        """Return whether the fault affects this request."""
        chance = self.config.faults.get(fault, 0.0)
        if chance >= 1:
            self._fault_counts[fault] = self._fault_counts.get(fault, 0) + 1
            return self._fault_counts[fault] <= chance
        return self._random.random() < chance

    def _api(self, endpoint: Endpoint) -> Endpoint:
        """Add what all endpoints of the API share: latency, rate limit, API key, and faults of the transport."""

        async def respond(request: Request) -> Response:
            self._under_way += 1
            try:
                return await respond_in_time(request)
            finally:
                self._under_way -= 1

        async def respond_in_time(request: Request) -> Response:
            if self.config.max_requests is not None and self._under_way > self.config.max_requests:
                self.refusals += 1
                return _error(429, "Too many requests", "rate_limit")
            if self.config.latency_seconds:
                await asyncio.sleep(self._latency_seconds())
            failure = self._rate_failure() or self._transport_failure(request)
            if failure is not None:
                return failure
            if request.headers.get("authorization") != f"Bearer {self.config.api_key}":
                return _error(401, "Invalid or missing API key", "authentication")
            response = await endpoint(request)
            response.headers["Date"] = email.utils.formatdate(
                self.store.now_ms() / 1000 - self.config.clock_behind_seconds, usegmt=True
            )
            if self._happens("truncate"):
                return _truncated(response)
            return response

        return respond

    def _latency_seconds(self) -> float:
        seconds = self.config.latency_seconds
        if self.config.latency_varies:
            seconds = self._random.expovariate(1 / seconds)
        if self.config.full_speed_requests is not None:
            seconds *= max(1.0, self._under_way / self.config.full_speed_requests)
        return seconds

    def _rate_failure(self) -> Response | None:
        if self.config.requests_per_second is None:
            return None
        now = time.monotonic()
        self._recent_requests = [time for time in self._recent_requests if time > now - 1]
        self._recent_requests.append(now)
        if len(self._recent_requests) > self.config.requests_per_second:
            return _rate_limited(str(_RETRY_AFTER_SECONDS))
        return None

    def _transport_failure(self, request: Request) -> Response | None:
        if self._happens("reset"):
            # ASGI cannot close a connection without a response, so this reaches uvicorn's transport.
            request.receive.__self__.transport.abort()  # type: ignore[attr-defined]
            return Response()
        if self._happens("error_500"):
            return _error(500, "Internal server error", "internal")
        if self._happens("error_503"):
            return _error(503, "Service unavailable", "internal")
        if self._happens("rate_limit"):
            return _rate_limited(str(_RETRY_AFTER_SECONDS))
        if self._happens("rate_limit_date"):
            # HTTP dates have whole seconds, so a date one second ahead may already be over.
            return _rate_limited(email.utils.formatdate(time.time() + _RETRY_AFTER_SECONDS + 1, usegmt=True))
        if self._happens("html"):
            return HTMLResponse("<html><body><h1>502 Bad Gateway</h1></body></html>")
        if self._happens("wrong_json"):
            return JSONResponse({"status": "ok", "response": {"items": []}})
        if self._happens("redirect"):
            return RedirectResponse("/elsewhere")
        return None

    async def _calls(self, request: Request) -> Response:
        query = request.query_params
        self.requests.append(dict(query))
        model_id = query.get("model_id")
        if not model_id:
            return JSONResponse({"detail": [{"msg": "Field required", "loc": ["query", "model_id"]}]}, 422)
        numbers: dict[str, int | None] = {}
        for name in ("limit", "offset", "from_date", "to_date", "duration_min", "duration_max"):
            try:
                numbers[name] = _parse_number(query.get(name), is_date=name in ("from_date", "to_date"))
            except ValueError:
                return JSONResponse(
                    {"detail": [{"msg": "Input should be a valid integer", "loc": ["query", name]}]}, 422
                )
        limit = _DEFAULT_LIMIT if numbers["limit"] is None else numbers["limit"]
        offset = numbers["offset"] or 0
        if not 1 <= limit <= _MAX_LIMIT:
            return _error(400, f"Limit must be between 1 and {_MAX_LIMIT}.", "important")
        if model_id not in self._agents():
            if self.config.unknown_model == "not_found":
                return _error(404, "Assistant not found", "not_found")
            return _page(0, limit, offset, [])
        if self._is_poisoned(numbers["from_date"], numbers["to_date"]):
            return _error(400, "The requested window cannot be read", "validation")
        window = Window(
            numbers["from_date"],
            numbers["to_date"],
            query.get("call_status"),
            numbers["duration_min"],
            numbers["duration_max"],
            query.get("lead_phone_number"),
        )
        return self._list(model_id, limit, offset, window)

    def _agents(self) -> list[str]:
        """Return the ids of the agents that exist."""
        model_ids = list(self.store.agents)
        return model_ids[:-1] if "deleted_agent" in self.config.faults else model_ids

    def _is_poisoned(self, from_ms: int | None, to_ms: int | None) -> bool:
        if self.config.poisoned_day is None or from_ms is None or to_ms is None:
            return False
        # The requested window is longer than the day, but has the same middle.
        return (from_ms + to_ms) // 2 // DAY_MS == (self.config.poisoned_day - dt.date(1970, 1, 1)).days

    def _list(self, model_id: str, limit: int, offset: int, window: Window) -> Response:
        """Return a page of calls, after the faults of paging."""
        if self._happens("other_model"):
            model_id = next(other for other in self.store.agents if other != model_id)
        if self._happens("ignore_window"):
            window = dataclasses.replace(window, from_ms=None, to_ms=None)
        if self._happens("arrival"):
            self.store.add_arrival(model_id, window)
        if self._happens("repeat_page"):
            offset = max(0, offset - limit)
        if self._happens("ignore_offset"):
            offset = 0
        if offset >= _MAX_OFFSET and (refusal := self._refused_offset()) is not None:
            return refusal
        selection = self._selection(model_id, window)
        if not len(selection) and (empty := self._other_empty_response()) is not None:
            return empty
        total, records = self._page_of(selection, offset, limit)
        if self._happens("capped_total"):
            total = min(total, _MAX_TOTAL)
        return _page(total, limit, offset, self._changed_records(records) if records else [])

    def _selection(self, model_id: str, window: Window) -> Selection:
        """Return the calls to list, after the faults that leave calls out."""
        selection = self.store.select(model_id, window)
        if self._happens("no_calls"):
            return selection.every(len(selection) + 1)
        return selection.every(2) if self._happens("missing_calls") else selection

    def _refused_offset(self) -> Response | None:
        """Return the response to a large offset, if a fault is on."""
        if self._happens("low_offset_limit"):
            return _error(400, "Offset is too large", "validation")
        if self._happens("denied_offset"):
            return _error(403, "Forbidden", "authentication")
        return None

    def _changed_records(self, records: list[str]) -> list[str]:
        """Return the records of a page, after the faults that change them."""
        if self._happens("short_page"):
            records = records[:-1]
        for fault, change in RECORD_FAULTS.items():
            if self._happens(fault):
                records = [changed(record, change) for record in records]
        return records

    def _other_empty_response(self) -> Response | None:
        """Return another form of "no calls" than an empty page, if a fault is on."""
        for fault, response in _EMPTY_RESPONSES.items():
            if self._happens(fault):
                return response()
        return None

    def _page_of(self, selection: Selection, offset: int, limit: int) -> tuple[int, list[str]]:
        """Return the total and the records of a page, after the faults that change the order."""
        lists_twice = self._happens("listed_twice")
        if not lists_twice and self.config.order not in ("tied", "shuffled"):
            return len(selection), selection.page(offset, limit, self.store.now_ms())
        calls = selection.page(0, len(selection), self.store.now_ms())
        if lists_twice:
            calls = [record for number, record in enumerate(calls) for _ in range(2 - bool(number % 10))]
        if self.config.order == "shuffled":
            self._random.shuffle(calls)
        if self.config.order == "tied":
            shuffle = random.Random(f"{self.config.seed}/{offset + limit}")
            for middle in range(_TIE_DISTANCE, len(calls), _TIE_DISTANCE):
                calls[middle - 1 : middle + 1] = shuffle.sample(calls[middle - 1 : middle + 1], 2)
        return len(calls), calls[offset : offset + limit]

    async def _assistants(self, request: Request) -> Response:
        if not self.config.assistants_endpoint:
            return JSONResponse({"detail": "Not Found"}, 404)
        limit = int(request.query_params.get("limit", _DEFAULT_LIMIT))
        offset = int(request.query_params.get("offset", 0))
        listed = [
            {
                "model_id": agent.model_id,
                "name": agent.name,
                "type": agent.type,
                "agent": {"prompt": "CONFIDENTIAL PROMPT. " * 50, "greeting_message": "Hello"},
            }
            for agent in (self.store.agents[model_id] for model_id in self._agents()[offset : offset + limit])
        ]
        pagination = {"total_records": len(self._agents()), "limit": limit, "offset": offset}
        return JSONResponse({"status": "ok", "response": {"pagination": pagination, "assistants": listed}})

    async def _recording(self, request: Request) -> Response:
        call_id = request.path_params["call_id"]
        if zlib.crc32(call_id.encode()) % _WITHOUT_RECORDING == 0:
            return _error(404, "Recording not found", "not_found")
        # Another host name, like the storage behind the live API.
        port = request.url.port
        return RedirectResponse(f"http://localhost:{port}/recordings/{call_id}.wav?signature={_SIGNATURE}")

    async def _audio(self, request: Request) -> Response:
        self.audio_served += 1
        if "authorization" in request.headers:
            return Response("the storage must not get the API key", 400)
        if request.query_params.get("signature") != _SIGNATURE or self._happens("expired_link"):
            return Response("expired", 403)
        response = Response(tone(request.path_params["call_id"]), media_type="audio/wav")
        return _truncated(response) if self._happens("broken_audio") else response

    async def _count(self, request: Request) -> Response:
        query = request.query_params
        model_ids = [query["model_id"]] if "model_id" in query else list(self.store.agents)
        window = int(query["from_date"]), int(query["to_date"])
        return JSONResponse({model_id: self.store.started_between(model_id, *window) for model_id in model_ids})

    async def _requests(self, _: Request) -> Response:
        deepest = max((int(query.get("offset", 0)) for query in self.requests), default=0)
        return JSONResponse({"list_calls": len(self.requests), "deepest_offset": deepest})


def _parse_number(text: str | None, *, is_date: bool) -> int | None:
    """Return a parameter as a number; of a date or date-time, its epoch milliseconds, in UTC if it has no zone.

    Raises:
        ValueError: the text is neither.
    """
    if text is None:
        return None
    if not is_date or text.lstrip("-").isdecimal():
        return int(text)
    moment = dt.datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp() * 1000)


def _page(total: int, limit: int, offset: int, records: list[str]) -> Response:
    # Joined as text, because the records are JSON already.
    head = f'{{"status":"ok","response":{{"pagination":{{"total_records":{total},"limit":{limit},"offset":{offset}}},'
    return Response(f'{head}"calls":[{",".join(records)}]}}}}', media_type="application/json")


def _error(status: int, description: str, category: str) -> Response:
    detail = {
        "status": "error",
        "description": description,
        "timestamp": dt.datetime.now(dt.UTC).isoformat(),
        "request_id": uuid.uuid4().hex,
        "category": category,
    }
    return JSONResponse({"detail": detail}, status)


# By the name of the fault.
_EMPTY_RESPONSES: dict[str, Callable[[], Response]] = {
    "no_calls_null": lambda: JSONResponse(
        {"status": "ok", "response": {"pagination": {"total_records": 0}, "calls": None}}
    ),
    "no_calls_without_pagination": lambda: JSONResponse({"status": "ok", "response": {"calls": []}}),
    "no_calls_without_response": lambda: JSONResponse({"status": "ok"}),
    "no_calls_204": lambda: Response(status_code=204),
    "no_calls_404": lambda: _error(404, "No calls found", "not_found"),
    "no_calls_400": lambda: JSONResponse({"error": "bad_request", "message": "No data found"}, 400),
    "no_calls_object": lambda: JSONResponse({"status": "ok", "response": {"calls": {}}}),
    "no_calls_list": lambda: JSONResponse([]),
    "no_calls_message": lambda: JSONResponse({"status": "ok", "message": "No calls found."}),
}


def _rate_limited(retry_after: str) -> Response:
    response = _error(429, "Too many requests", "rate_limit")
    response.headers["Retry-After"] = retry_after
    return response


def _truncated(response: Response) -> Response:
    # Content-Length keeps the full length, so uvicorn closes the connection after the shorter body.
    response.body = response.body[: len(response.body) // 2]
    return response


async def _no_such_path(_: Request) -> Response:
    return JSONResponse({"detail": "Not Found"}, 404)


async def _no_such_route(_: Request) -> Response:
    return JSONResponse({"error": "not_found", "message": "The requested route does not exist"}, 404)
