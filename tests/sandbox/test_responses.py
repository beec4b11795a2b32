"""The sandbox responds as the live API does, and knows which calls exist."""

import datetime as dt
import json
from collections.abc import Callable
from typing import Any

import pytest
import requests

from synthflow_assets.sandbox.config import DEFAULT_API_KEY, SandboxConfig
from synthflow_assets.sandbox.server import Sandbox
from synthflow_assets.sandbox.store import CallStore, Window

START_MS, DAY_MS = 1_773_100_800_000, 86_400_000
StartSandbox = Callable[..., Sandbox]


def get(sandbox: Sandbox, path: str, key: str | None = DEFAULT_API_KEY, **parameters: Any) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    root = sandbox.url.removesuffix("/v2")
    with requests.get(root + path, params=parameters, headers=headers, timeout=10) as answer:
        return answer.status_code, answer.json()


def test_calls_look_like_the_live_apis(start_sandbox: StartSandbox) -> None:
    sandbox = start_sandbox()
    status, body = get(
        sandbox, "/v2/calls", model_id=sandbox.model_ids[0], from_date=START_MS, to_date=START_MS + DAY_MS, limit=100
    )
    calls = body["response"]["calls"]
    assert status == 200
    assert body["response"]["pagination"]["total_records"] >= len(calls) > 50
    assert all(isinstance(call["duration"], str) and call["duration"].isdecimal() for call in calls)
    assert all(isinstance(call["start_time"], str) and len(call["start_time"]) == 13 for call in calls)
    assert {"assistant_version", "telephony_ringing_duration", "telephony_sip_headers"} <= set(calls[0])


def test_default_limit_and_unknown_parameters(start_sandbox: StartSandbox) -> None:
    sandbox = start_sandbox()
    status, body = get(sandbox, "/v2/calls", model_id=sandbox.model_ids[0], form_date=START_MS)
    assert (status, len(body["response"]["calls"])) == (200, 20)


@pytest.mark.parametrize(
    ("path", "key", "parameters", "status", "message"),
    [
        ("/v2/calls", DEFAULT_API_KEY, {"model_id": "x", "limit": 101}, 400, "Limit must be between 1 and 100"),
        ("/v2/calls", DEFAULT_API_KEY, {"model_id": "x", "limit": 0}, 400, "Limit must be between 1 and 100"),
        ("/v2/calls", DEFAULT_API_KEY, {}, 422, "Field required"),
        ("/v2/calls", DEFAULT_API_KEY, {"model_id": "x", "offset": "a"}, 422, "valid integer"),
        ("/v2/calls", DEFAULT_API_KEY, {"model_id": "x", "to_date": "soon"}, 422, "valid integer"),
        ("/v2/calls", DEFAULT_API_KEY, {"model_id": "x"}, 404, "Assistant not found"),
        ("/v2/calls", "wrong", {}, 401, "Invalid or missing API key"),
        ("/v2/calls", None, {}, 401, "Invalid or missing API key"),
        ("/v2/nothing", DEFAULT_API_KEY, {}, 404, "Not Found"),
        ("/nothing", DEFAULT_API_KEY, {}, 404, "not_found"),
    ],
)
def test_errors_have_the_live_apis_shapes(
    start_sandbox: StartSandbox, path: str, key: str | None, parameters: dict[str, Any], status: int, message: str
) -> None:
    code, body = get(start_sandbox(), path, key, **parameters)
    assert code == status
    assert message in json.dumps(body)
    if isinstance(body.get("detail"), dict):
        assert set(body["detail"]) == {"status", "description", "timestamp", "request_id", "category"}
        assert body["detail"]["status"] == "error"
        said_at = dt.datetime.fromisoformat(body["detail"]["timestamp"])
        assert dt.timedelta(0) <= dt.datetime.now(dt.UTC) - said_at < dt.timedelta(minutes=1)


def test_dates_are_accepted_in_three_forms_and_the_end_is_exclusive(start_sandbox: StartSandbox) -> None:
    """The live API answered each form for the same days in this way."""
    sandbox = start_sandbox(border_calls=True)

    def starts(from_date: Any, to_date: Any) -> list[int]:
        listing = {"model_id": sandbox.model_ids[0], "from_date": from_date, "to_date": to_date, "limit": 100}
        _, body = get(sandbox, "/v2/calls", **listing)
        total = body["response"]["pagination"]["total_records"]
        _, rest = get(sandbox, "/v2/calls", **listing, offset=100)
        calls = body["response"]["calls"] + rest["response"]["calls"]
        assert len(calls) == total
        return sorted(int(call["start_time"]) for call in calls)

    of_day = starts(START_MS, START_MS + DAY_MS)
    assert (of_day[0], of_day[-1]) == (START_MS, START_MS + DAY_MS - 1)
    assert starts("2026-03-10", "2026-03-11") == of_day
    assert starts("2026-03-10T00:00:00", "2026-03-11T00:00:00") == of_day
    assert starts("2026-03-09T20:00:00-04:00", "2026-03-11T00:00:00Z") == of_day
    assert starts("2026-03-10", "2026-03-10T00:00:00.001") == [START_MS]
    assert starts("2026-03-10", "2026-03-10") == []


def test_calls_do_not_depend_on_the_request() -> None:
    one, other = CallStore(SandboxConfig()), CallStore(SandboxConfig())
    model_id = next(iter(one.agents))
    day = Window(START_MS, START_MS + DAY_MS)
    whole = one.select(model_id, day).page(0, 1000, 10**14)
    pages = [record for offset in range(0, 1000, 7) for record in other.select(model_id, day).page(offset, 7, 10**14)]
    assert pages == whole
    assert whole != CallStore(SandboxConfig(seed=8, agents=3)).select(
        next(iter(CallStore(SandboxConfig(seed=8)).agents)), day
    ).page(0, 1000, 10**14)


@pytest.mark.parametrize(
    ("ends", "includes_begin", "includes_end"),
    [
        ("half_open", True, False),
        ("inclusive", True, True),
        ("exclusive", False, False),
        ("exclusive_begin", False, True),
    ],
)
def test_each_reading_of_the_windows_ends(ends: Any, includes_begin: bool, includes_end: bool) -> None:
    store = CallStore(SandboxConfig(window_ends=ends, border_calls=True, agents=1))
    model_id = next(iter(store.agents))

    def lists_first_call(from_ms: int, to_ms: int) -> bool:
        records = store.select(model_id, Window(from_ms, to_ms)).page(0, 1000, 10**14)
        return str(START_MS) in {json.loads(record)["start_time"] for record in records}

    assert lists_first_call(START_MS, START_MS + DAY_MS) is includes_begin
    assert lists_first_call(START_MS - DAY_MS, START_MS) is includes_end
    assert lists_first_call(START_MS - 1, START_MS + 1)


def test_border_calls_start_in_the_first_and_last_millisecond_of_each_day() -> None:
    for calls_per_day in (0, 1, 2, 50):
        config = SandboxConfig(border_calls=True, agents=1, calls_per_day=calls_per_day, same_volume=True)
        store = CallStore(config)
        model_id = next(iter(store.agents))
        assert store.started_between(model_id, START_MS, START_MS + DAY_MS) == calls_per_day
        assert store.started_between(model_id, START_MS, START_MS + 1) == (calls_per_day > 1)
        assert store.started_between(model_id, START_MS + DAY_MS - 1, START_MS + DAY_MS) == (calls_per_day > 0)


def test_the_count_equals_what_is_listed(start_sandbox: StartSandbox) -> None:
    sandbox = start_sandbox()
    _, counted = get(sandbox, "/sandbox/count", from_date=START_MS, to_date=START_MS + DAY_MS)
    for model_id in sandbox.model_ids:
        assert counted[model_id] == len(sandbox.api.store.ids_between(model_id, START_MS, START_MS + DAY_MS))


def test_calls_in_progress_are_open(start_sandbox: StartSandbox) -> None:
    now = dt.datetime(2026, 3, 10, 14, tzinfo=dt.UTC)
    sandbox = start_sandbox(calls_per_day=20_000, now=now)
    listing = {"model_id": sandbox.model_ids[0], "from_date": START_MS, "limit": 100}
    _, body = get(sandbox, "/v2/calls", **listing)
    calls = body["response"]["calls"]
    assert {"in-progress"} <= {call["call_status"] for call in calls} - {"completed"}
    assert all(call["telephony_end"] is None for call in calls if call["call_status"] == "in-progress")
    assert all(int(call["start_time"]) <= now.timestamp() * 1000 for call in calls)
    hidden = start_sandbox(calls_per_day=20_000, now=now, hide_open_calls=True)
    _, body = get(hidden, "/v2/calls", **{**listing, "model_id": hidden.model_ids[0]})
    assert not {"in-progress", "ringing"} & {call["call_status"] for call in body["response"]["calls"]}


def test_hundreds_of_thousands_of_calls_a_day() -> None:
    store = CallStore(SandboxConfig(calls_per_day=300_000, same_volume=True))
    model_id = next(iter(store.agents))
    assert store.started_between(model_id, START_MS, START_MS + DAY_MS) == 300_000
    deep = store.select(model_id, Window(START_MS, START_MS + DAY_MS)).page(299_990, 100, 10**14)
    assert len(deep) == 10


def test_an_unknown_fault_is_rejected() -> None:
    with pytest.raises(ValueError, match="unknown fault gremlins"):
        SandboxConfig(faults={"gremlins": 1})


def test_prompts_are_listed_as_the_live_api_does(start_sandbox: StartSandbox) -> None:
    """Without them, no test could show that they are never stored."""
    _, body = get(start_sandbox(), "/v2/assistants/")
    assert "CONFIDENTIAL PROMPT" in json.dumps(body)
