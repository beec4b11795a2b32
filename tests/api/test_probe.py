"""The probe finds the reading that the sandbox is configured for."""

import dataclasses
import datetime as dt
import functools
import itertools
from collections.abc import Callable

import pytest

from synthflow_assets.api.client import SynthflowClient
from synthflow_assets.api.probe import ApiReading, probe
from synthflow_assets.sandbox.config import DEFAULT_API_KEY
from synthflow_assets.sandbox.server import Sandbox
from synthflow_assets.warehouse.schema import CALL_FIELDS, OPEN_STATUSES

StartSandbox = Callable[..., Sandbox]
SIDES = {
    "start": ("start", "start"),
    "end": ("end", "end"),
    "start_and_end": ("start", "end"),
    "creation": ("creation", "creation"),
    "scheduled_start": ("scheduled start", "scheduled start"),
}
# The calls before this hour, a Saturday's noon, once took more requests than those before other hours.
NOW = dt.datetime(2026, 11, 28, 12, tzinfo=dt.UTC)


@pytest.fixture
def start_sandbox(start_sandbox: StartSandbox) -> StartSandbox:
    """The number of requests depends on the latest calls, and so on the hour. Few calls a day make responses small."""
    return functools.partial(start_sandbox, now=NOW, calls_per_day=40)


def read(sandbox: Sandbox) -> ApiReading:
    with SynthflowClient(DEFAULT_API_KEY, sandbox.url) as client:
        client.list_agents()  # shows the client what the time is for the sandbox
        return probe(client, sandbox.model_ids[0], OPEN_STATUSES)


@pytest.mark.parametrize(
    ("filters", "ends"),
    [
        *itertools.product(("start", "start_and_end"), ("half_open", "inclusive", "exclusive", "exclusive_begin")),
        # Whether the ends are included cannot be found out for these.
        *itertools.product(("end", "creation", "scheduled_start"), ("inclusive", "exclusive")),
    ],
)
def test_window(start_sandbox: StartSandbox, filters: str, ends: str) -> None:
    sandbox = start_sandbox(window_filters=filters, window_ends=ends, agents=1)
    reading = read(sandbox)
    assert (reading.from_filters, reading.to_filters) == SIDES[filters]
    leads = {"creation": range(10, 1_202), "scheduled_start": range(600, 1_502)}
    assert reading.lead_seconds in leads.get(filters, [0])
    by_start = filters in ("start", "start_and_end")
    assert reading.from_inclusive == (ends in ("half_open", "inclusive") if by_start else None)
    assert reading.to_inclusive == (ends in ("inclusive", "exclusive_begin") if filters == "start" else None)
    assert reading.honours_window
    assert reading.honours_offset
    assert reading.refuses_larger_pages
    # Of these, 20 are for calls that may be filtered by an earlier time. For each call with a longer lead than all
    # calls before, about 10 are added.
    assert len(sandbox.api.requests) < (160 if filters in leads else 45)


@pytest.mark.parametrize("seed", range(6))
def test_calls_of_a_second_are_no_samples(start_sandbox: StartSandbox, seed: int) -> None:
    """Their middle cannot be told from their start and end."""
    reading = read(start_sandbox(seed=seed, agents=1))
    assert (reading.from_filters, reading.to_filters) == ("start", "start")


@pytest.mark.parametrize(
    ("order", "seen"), [("descending", "newest first"), ("ascending", "oldest first"), ("arbitrary", "none")]
)
def test_order(start_sandbox: StartSandbox, order: str, seen: str) -> None:
    assert read(start_sandbox(order=order, agents=1)).order == seen


def test_an_ignored_window_is_found(start_sandbox: StartSandbox) -> None:
    assert not read(start_sandbox(faults={"ignore_window": 1000}, agents=1)).honours_window


def test_open_calls_are_found(start_sandbox: StartSandbox) -> None:
    busy = {"agents": 1, "calls_per_day": 50_000, "same_volume": True}
    assert read(start_sandbox(**busy)).lists_open_calls
    assert read(start_sandbox(**busy, hide_open_calls=True)).lists_open_calls is None


def test_without_calls_nothing_is_known(start_sandbox: StartSandbox) -> None:
    reading = read(start_sandbox(agents=1, calls_per_day=0))
    assert (reading.sample, reading.order, reading.longest_call_seconds) == (0, None, None)
    assert (reading.from_filters, reading.to_filters, reading.honours_offset) == (None, None, None)


def test_fields_and_lengths_are_those_of_the_calls(start_sandbox: StartSandbox) -> None:
    reading = read(start_sandbox(agents=1))
    assert {column.source for column in CALL_FIELDS} < reading.fields | {"telephony_ringing_duration"}
    assert 60 < (reading.longest_call_seconds or 0) < 3_600
    assert dataclasses.asdict(reading)["sample"] == 100


def test_a_time_before_the_start_of_some_calls_is_found(start_sandbox: StartSandbox) -> None:
    """Every second call was created early. A margin shorter than this time loses calls."""
    # The three latest calls alone show it for some of these seeds only.
    readings = [read(start_sandbox(agents=1, seed=seed, window_filters="early_creation")) for seed in range(5)]
    assert {reading.lead_seconds for reading in readings} <= {5_400, 5_401}
    assert "start" not in {reading.from_filters for reading in readings}
    assert {reading.examined for reading in readings} == {23}
