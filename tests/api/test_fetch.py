"""A window holds exactly the calls that started in it, whatever the API means and however it misbehaves."""

import collections
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from synthflow_assets.api import window as window_module
from synthflow_assets.api.client import SynthflowClient
from synthflow_assets.api.events import CallWindow, FailedWindow, FetchedPage, FetchedWindow, FetchProgress
from synthflow_assets.api.fetch import fetch_windows
from synthflow_assets.errors import (
    AuthenticationError,
    IncompleteFetchError,
    NotFoundError,
    ServerError,
    UnexpectedResponseError,
)
from synthflow_assets.interfaces import FetchResult
from synthflow_assets.sandbox.config import DEFAULT_API_KEY, SandboxConfig
from synthflow_assets.sandbox.server import Sandbox

StartSandbox = Callable[..., Sandbox]
DAY_START_MS, HOUR_MS = 1_773_100_800_000, 3_600_000  # 2026-03-10 in UTC
DAY_MS = 24 * HOUR_MS


def day_of(model_id: str, days: int = 0) -> CallWindow:
    return CallWindow(model_id, DAY_START_MS + days * DAY_MS, DAY_START_MS + (days + 1) * DAY_MS)


def fetch(
    sandbox: Sandbox, windows: Sequence[CallWindow], *, margin_seconds: int = 3600, page_size: int = 100, **options: Any
) -> tuple[dict[CallWindow, list[str]], dict[CallWindow, FetchResult | Exception]]:
    """The ids that came of each window, and how each ended."""
    ids: dict[CallWindow, list[str]] = collections.defaultdict(list)
    ends: dict[CallWindow, FetchResult | Exception] = {}
    with SynthflowClient(DEFAULT_API_KEY, sandbox.url) as client:
        for event in fetch_windows(client, windows, margin_seconds=margin_seconds, page_size=page_size, **options):
            if isinstance(event, FetchProgress):
                continue
            assert event.window not in ends, "nothing comes after a window's end"
            if isinstance(event, FetchedPage):
                ids[event.window] += [str(record.call_id) for record in event.records]
            else:
                ends[event.window] = event.result if isinstance(event, FetchedWindow) else event.error
    return ids, ends


def assert_exact(sandbox: Sandbox, windows: Sequence[CallWindow], **options: Any) -> list[FetchResult]:
    ids, ends = fetch(sandbox, windows, **options)
    for window in windows:
        stats = ends[window]
        assert isinstance(stats, FetchResult), stats
        truth = sandbox.api.store.ids_between(window.model_id, window.start_ms, window.end_ms)
        assert sorted(ids[window]) == sorted(truth)  # sorted lists: nothing missing, nothing twice
        assert stats.fetched == len(ids[window]) + stats.outside_window + stats.other_model
    return [stats for stats in ends.values() if isinstance(stats, FetchResult)]


FILTERS = ["start", "end", "start_and_end"]
ENDS = ["half_open", "inclusive", "exclusive", "exclusive_begin"]
READINGS = list(itertools.product(FILTERS, ENDS, ["descending", "ascending", "arbitrary"]))


@pytest.mark.parametrize(("filters", "ends", "order"), READINGS)
def test_days_are_exact_under_every_reading(start_sandbox: StartSandbox, filters: str, ends: str, order: str) -> None:
    """Calls start in the first and last millisecond of each day, where the readings differ."""
    sandbox = start_sandbox(
        window_filters=filters, window_ends=ends, order=order, calls_per_day=150, agents=1, border_calls=True
    )
    days = [day_of(sandbox.model_ids[0], day) for day in range(3)]
    for edge in (edge for day in days for edge in (day.start_ms, day.end_ms - 1)):
        assert sandbox.api.store.started_between(sandbox.model_ids[0], edge, edge + 1) == 1
    assert_exact(sandbox, days, page_size=37)


def test_without_margin_a_call_across_midnight_is_lost(start_sandbox: StartSandbox) -> None:
    """Shows that the margin is needed, and that these tests would notice its absence."""
    sandbox = start_sandbox(window_filters="start_and_end", calls_per_day=3000, agents=1)
    window = day_of(sandbox.model_ids[0])
    ids, _ = fetch(sandbox, [window], margin_seconds=0)
    assert set(ids[window]) < sandbox.api.store.ids_between(window.model_id, window.start_ms, window.end_ms)


@pytest.mark.parametrize("filters", ["start", "end", "start_and_end"])
def test_big_days_are_cut_so_that_no_offset_is_deep(
    start_sandbox: StartSandbox, monkeypatch: pytest.MonkeyPatch, filters: str
) -> None:
    monkeypatch.setattr(window_module, "MAX_OFFSET", 400)
    monkeypatch.setattr(window_module, "SLICE_TARGET", 200)
    sandbox = start_sandbox(window_filters=filters, calls_per_day=3000, same_volume=True, agents=1)
    [stats] = assert_exact(sandbox, [day_of(sandbox.model_ids[0])])
    assert max(int(asked["offset"]) for asked in sandbox.api.requests) < 400
    # Slices cost their last, partly filled page and the first look at the whole. Calls across their borders, where the
    # API lists them in neither, cost a second round with other borders.
    assert stats.requests <= (5 if filters == "start_and_end" else 2.5) * stats.fetched / 100


@pytest.mark.parametrize(
    "config",
    [
        {"faults": {"arrival": 3}},
        {"faults": {"short_page": 2}},
        {"faults": {"short_page": 0.2}},
        {"faults": {"repeat_page": 2}},
        {"faults": {"repeat_page": 0.2}},
        {"order": "shuffled"},
        {"order": "tied"},
        {"faults": {"capped_total": 10_000}},
        {"faults": {"listed_twice": 10_000}},
        {"faults": {"listed_twice": 10_000}, "order": "tied"},
        {"faults": {"reset": 1, "truncate": 2, "html": 1, "error_500": 2, "wrong_json": 1}},
    ],
    ids=str,
)
@pytest.mark.usefixtures("impatient")
def test_drift_and_faults_are_noticed_and_mended(start_sandbox: StartSandbox, config: dict[str, Any]) -> None:
    sandbox = start_sandbox(calls_per_day=700, same_volume=True, agents=1, **config)
    assert_exact(sandbox, [day_of(sandbox.model_ids[0])])


@pytest.mark.parametrize("seed", range(8))
def test_calls_that_change_places_from_page_to_page_are_not_missed(start_sandbox: StartSandbox, seed: int) -> None:
    """PostgreSQL does so with equal ones; a call that comes twice for one that does not come must not make it up."""
    sandbox = start_sandbox(seed=seed, calls_per_day=310 + 30 * seed, same_volume=True, agents=1, order="tied")
    assert_exact(sandbox, [day_of(sandbox.model_ids[0])])


def test_an_api_that_ignores_the_offset_is_given_up_soon(start_sandbox: StartSandbox) -> None:
    sandbox = start_sandbox(calls_per_day=250, same_volume=True, agents=1, faults={"ignore_offset": 10_000})
    window = day_of(sandbox.model_ids[0])
    ids, ends = fetch(sandbox, [window])
    assert isinstance(ends[window], FetchResult)  # by slices of time that fit on a page
    assert len(ids[window]) == len(set(ids[window])) == 250
    assert len(sandbox.api.requests) < 60


def test_a_small_day_of_another_agent_is_refused(start_sandbox: StartSandbox) -> None:
    sandbox = start_sandbox(calls_per_day=2, same_volume=True, agents=2, faults={"other_model": 1000})
    window = day_of(sandbox.model_ids[0])
    _, ends = fetch(sandbox, [window])
    assert isinstance(ends[window], UnexpectedResponseError)


def test_a_day_that_stays_short_fails_after_a_bounded_number_of_requests(start_sandbox: StartSandbox) -> None:
    sandbox = start_sandbox(calls_per_day=300, same_volume=True, agents=1, faults={"short_page": 0.9999})
    window = day_of(sandbox.model_ids[0])
    _, ends = fetch(sandbox, [window])
    assert isinstance(ends[window], IncompleteFetchError)
    assert "distinct calls of the" in str(ends[window])
    assert len(sandbox.api.requests) < 500


@pytest.mark.parametrize(
    ("fault", "says"), [("ignore_window", "ignore from_date and to_date"), ("other_model", "belong to another agent")]
)
def test_an_answer_to_another_question_is_said(start_sandbox: StartSandbox, fault: str, says: str) -> None:
    sandbox = start_sandbox(faults={fault: 1000})
    window = day_of(sandbox.model_ids[0])
    _, ends = fetch(sandbox, [window])
    assert isinstance(ends[window], UnexpectedResponseError)
    assert says in str(ends[window])


def test_one_agents_failure_does_not_cost_the_others(start_sandbox: StartSandbox) -> None:
    sandbox = start_sandbox()
    windows = [day_of("nobody"), *(day_of(model_id) for model_id in sandbox.model_ids)]
    ids, ends = fetch(sandbox, windows)
    assert isinstance(ends[windows[0]], NotFoundError)
    assert all(isinstance(ends[window], FetchResult) and ids[window] for window in windows[1:])


def test_a_wrong_key_ends_everything_at_once(start_sandbox: StartSandbox) -> None:
    sandbox = start_sandbox()
    windows = [day_of(sandbox.model_ids[0], day) for day in range(100)]
    with SynthflowClient("wrong", sandbox.url) as client, pytest.raises(AuthenticationError):
        list(fetch_windows(client, windows, margin_seconds=0))
    assert client.requests_sent < 50


@pytest.mark.parametrize(("connections", "failures"), [(1, 1), (1, 3), (2, 2), (2, 3), (8, 8)])
@pytest.mark.usefixtures("impatient")
def test_days_that_fail_first_do_not_cost_those_behind(
    start_sandbox: StartSandbox, monkeypatch: pytest.MonkeyPatch, connections: int, failures: int
) -> None:
    monkeypatch.setattr(ServerError, "retry_for_seconds", 0.0)
    sandbox = start_sandbox(faults={"error_500": failures})
    windows = [day_of(sandbox.model_ids[0], day) for day in range(20)]
    with SynthflowClient(DEFAULT_API_KEY, sandbox.url, max_connections=connections) as client:
        events = list(fetch_windows(client, windows, margin_seconds=0))
    assert sum(isinstance(event, FailedWindow) for event in events) == failures
    assert sum(isinstance(event, FetchedWindow) for event in events) == 20 - failures


@pytest.mark.usefixtures("impatient")
def test_a_dead_api_ends_everything(start_sandbox: StartSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ServerError, "retry_for_seconds", 0.1)
    sandbox = start_sandbox(faults={"error_500": 10_000})
    windows = [day_of(sandbox.model_ids[0], day) for day in range(100)]
    with SynthflowClient(DEFAULT_API_KEY, sandbox.url) as client, pytest.raises(ServerError):
        list(fetch_windows(client, windows, margin_seconds=0))


def test_small_days_cost_one_request(start_sandbox: StartSandbox) -> None:
    sandbox = start_sandbox(calls_per_day=60, agents=1)
    stats = assert_exact(sandbox, [day_of(sandbox.model_ids[0], day) for day in range(10)])
    assert [one.requests for one in stats] == [1] * 10


def test_a_window_that_reaches_into_the_present_is_not_closed(start_sandbox: StartSandbox) -> None:
    sandbox = start_sandbox(agents=1)
    window = day_of(sandbox.model_ids[0])
    for hours, closed in ((24.5, False), (25.0, True)):
        _, ends = fetch(sandbox, [window], now_ms=int(DAY_START_MS + hours * HOUR_MS))
        stats = ends[window]
        assert isinstance(stats, FetchResult)
        assert stats.closed is closed
    assert int(sandbox.api.requests[0]["to_date"]) == DAY_START_MS + 24.5 * HOUR_MS  # never asks for the future


def test_no_window_no_request(start_sandbox: StartSandbox) -> None:
    sandbox = start_sandbox()
    assert fetch(sandbox, []) == ({}, {})
    assert sandbox.api.requests == []


def test_a_consumer_that_stops_leaves_no_thread_waiting(start_sandbox: StartSandbox) -> None:
    sandbox = start_sandbox(calls_per_day=2000)
    with SynthflowClient(DEFAULT_API_KEY, sandbox.url) as client:
        events = fetch_windows(client, [day_of(sandbox.model_ids[0])], margin_seconds=0)
        next(events)
        events.close()  # type: ignore[attr-defined]


@given(data=st.data())
@hypothesis_settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_window_of_any_api_equals_the_plain_truth(monkeypatch: pytest.MonkeyPatch, data: st.DataObject) -> None:
    """Random calls, windows, page sizes, orders, readings and drift: each id once, or a failed window."""
    sliced = data.draw(st.booleans(), "sliced")
    monkeypatch.setattr(window_module, "MAX_OFFSET", 60 if sliced else 10_000)
    monkeypatch.setattr(window_module, "SLICE_TARGET", 30 if sliced else 5_000)
    config = SandboxConfig(
        seed=data.draw(st.integers(0, 1000), "seed"),
        agents=1,
        calls_per_day=data.draw(st.integers(0, 500), "calls"),
        window_filters=data.draw(st.sampled_from(FILTERS), "filters"),
        window_ends=data.draw(st.sampled_from(ENDS), "ends"),
        order=data.draw(st.sampled_from(["descending", "ascending", "arbitrary", "tied", "shuffled"]), "order"),
        faults=data.draw(
            st.dictionaries(
                st.sampled_from(["arrival", "short_page", "repeat_page", "listed_twice"]), st.integers(1, 3), max_size=2
            ),
            "faults",
        ),
    )
    start = DAY_START_MS + data.draw(st.integers(0, DAY_MS), "start")
    length = data.draw(st.integers(1, 2 * DAY_MS), "length")
    with Sandbox(config) as sandbox:
        window = CallWindow(sandbox.model_ids[0], start, start + length)
        ids, ends = fetch(sandbox, [window], page_size=data.draw(st.integers(5, 100), "page size"))
        truth = sandbox.api.store.ids_between(window.model_id, window.start_ms, window.end_ms)
        assert len(ids[window]) == len(set(ids[window]))
        if isinstance(ends[window], FetchResult):
            assert set(ids[window]) == truth
        else:
            assert isinstance(ends[window], IncompleteFetchError)
            # Giving up is right only where a single question cannot settle it.
            assert config.faults or (sliced and config.window_filters == "start_and_end")
