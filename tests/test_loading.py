"""Agents are resolved, and each (day, agent) pair lands as a whole or not at all."""

import dataclasses
import datetime as dt
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from synthflow_assets import loading
from synthflow_assets.agents import Agent
from synthflow_assets.api.client import SynthflowClient
from synthflow_assets.days import day_bounds_ms
from synthflow_assets.errors import (
    ApiError,
    AuthenticationError,
    BadRequestError,
    NotFoundError,
    ServerError,
    SettingsError,
    WarehouseUnusableError,
)
from synthflow_assets.loading import (
    FailedPartition,
    UnlistedAgentsError,
    discover_agents,
    load_calls,
    resolve_agents,
    shared_rate,
)
from synthflow_assets.quality import CHECKS, FRESHNESS, find_problems
from synthflow_assets.sandbox.server import Sandbox
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.landing import LoadSummary
from synthflow_assets.warehouse.staging import Partition
from tests.api.servers import agents_page, page, serving
from tests.conftest import DAY

StartSandbox = Callable[..., Sandbox]
MakeSettings = Callable[..., Settings]
DAYS = [DAY, DAY + dt.timedelta(days=1), DAY + dt.timedelta(days=2)]


@pytest.fixture(autouse=True)
def fast_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ServerError, "retry_for_seconds", 0.0)


@pytest.mark.parametrize(
    ("status", "path", "kind", "message"),
    [
        (404, "/v2", UnlistedAgentsError, "does not list its agents; set SYNTHFLOW_MODEL_IDS"),
        (403, "/v2", UnlistedAgentsError, "does not list its agents; set SYNTHFLOW_MODEL_IDS"),
        (403, "/v1", UnlistedAgentsError, "does not list its agents; set SYNTHFLOW_MODEL_IDS"),
        (404, "/v1", NotFoundError, r"/v1 does not end in /v2.*check SYNTHFLOW_BASE_URL"),
        (401, "/v2", AuthenticationError, "SYNTHFLOW_REGION"),
        (500, "/v2", ServerError, "Server error"),
    ],
)
def test_each_reason_why_agents_are_not_listed(status: int, path: str, kind: type[Exception], message: str) -> None:
    with (
        serving(lambda _: (status, b"{}")) as url,
        SynthflowClient("k", url.replace("/v2", path)) as client,
        pytest.raises(kind, match=message) as caught,
    ):
        discover_agents(client)
    assert type(caught.value) is kind


def resolve(status: int, ids: list[str], configured: tuple[str, ...], path: str = "/v2") -> loading.ResolvedAgents:
    body = agents_page(ids, len(ids))[1]
    with serving(lambda _: (status, body)) as url, SynthflowClient("k", url.replace("/v2", path)) as client:
        return resolve_agents(client, Settings.of(model_ids=configured))


def test_without_configured_ids_all_agents_are_loaded() -> None:
    resolved = resolve(200, ["b", "a"], ())
    assert (resolved.agents, resolved.unknown, resolved.warning) == (
        [Agent("b", "b", None), Agent("a", "a", None)],
        [],
        None,
    )


def test_configured_agents_keep_their_order_and_unknown_ones_are_named() -> None:
    resolved = resolve(200, ["a", "b", "c"], ("c", "x", "a", "y"))
    assert [agent.name for agent in resolved.agents] == ["c", "a"]
    assert resolved.unknown == ["x", "y"]
    assert str(resolved.warning).startswith("SYNTHFLOW_MODEL_IDS names x, y, which the workspace does not have")


@pytest.mark.parametrize(("status", "path"), [(404, "/v2"), (403, "/v2"), (404, "/v1")])
def test_if_agents_are_not_listed_the_configured_ids_are_used(status: int, path: str) -> None:
    resolved = resolve(status, [], ("a", "b"), path)
    assert resolved == ([Agent("a", None, None), Agent("b", None, None)], [], False)


@pytest.mark.parametrize(
    ("status", "ids", "configured", "kind", "message"),
    [
        (404, [], (), UnlistedAgentsError, "set SYNTHFLOW_MODEL_IDS"),
        (200, [], (), SettingsError, "the workspace has no agents; check that SYNTHFLOW_API_KEY"),
        (200, [], ("a",), SettingsError, "the workspace has no agents"),
        (200, ["a"], ("x",), SettingsError, "^SYNTHFLOW_MODEL_IDS names x, which"),
        (401, [], ("a",), AuthenticationError, "SYNTHFLOW_REGION"),
    ],
)
def test_no_agent_to_load_is_an_error(
    status: int, ids: list[str], configured: tuple[str, ...], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        resolve(status, ids, configured)


class Run:
    """Loads days of a sandbox, and keeps the outcomes and the messages."""

    def __init__(self, sandbox: Sandbox, settings: Settings) -> None:
        self.sandbox = sandbox
        self.settings = settings
        self.warehouse = Warehouse(settings.warehouse)
        self.lines: list[str] = []
        self.outcomes: list[LoadSummary | FailedPartition] = []
        with SynthflowClient.from_settings(settings) as client:
            self.agents = resolve_agents(client, settings).agents

    def load(self, **options: Any) -> list[LoadSummary]:
        self.outcomes = []
        with SynthflowClient.from_settings(self.settings) as client:
            for outcome in self.outcomes_of(client, **options):
                self.outcomes.append(outcome)
        return [outcome for outcome in self.outcomes if isinstance(outcome, LoadSummary)]

    def outcomes_of(self, client: SynthflowClient, **options: Any) -> Iterator[LoadSummary | FailedPartition]:
        return load_calls(client, self.warehouse, self.settings, self.agents, DAYS, log=self.lines.append, **options)

    @property
    def failed(self) -> list[FailedPartition]:
        return [outcome for outcome in self.outcomes if isinstance(outcome, FailedPartition)]

    def count(self, table: str) -> int:
        return len(self.warehouse.read_frame(table))


@pytest.fixture
def run(start_sandbox: StartSandbox, settings_for: MakeSettings) -> Callable[..., Run]:
    def make(settings: dict[str, Any] | None = None, **config: Any) -> Run:
        sandbox = start_sandbox(**{"calls_per_day": 40, "same_volume": True, **config})
        return Run(sandbox, settings_for(sandbox, **(settings or {})))

    return make


@pytest.mark.parametrize("timezone", ["UTC", "America/New_York"])
def test_every_pair_lands_with_its_counts(run: Callable[..., Run], timezone: str) -> None:
    one = run({"timezone": timezone}, border_calls=True)
    summaries = one.load(run_id="run-7")
    assert {summary.partition for summary in summaries} == {
        Partition(day, agent.model_id) for day in DAYS for agent in one.agents
    }
    for summary in summaries:
        from_ms, to_ms = day_bounds_ms(summary.day, timezone)
        assert summary.landed == one.sandbox.api.store.started_between(summary.model_id, from_ms, to_ms)
        assert summary.fetched == summary.landed + summary.outside_window
        assert (summary.rejected, summary.settled) == (0, True)
    assert one.count("calls") == sum(summary.landed for summary in summaries) > 200
    assert set(one.warehouse.read_frame("call_loads")["run_id"]) == {"run-7"}
    assert set(one.warehouse.read_frame("agents")["name"]) == {agent.name for agent in one.agents}


def test_a_deleted_agent_without_a_name_is_not_expected(run: Callable[..., Run]) -> None:
    one = run(agents=2)
    one.agents = [agent._replace(name=None) for agent in one.agents]
    one.load()
    gone = one.agents.pop()
    one.load()
    with one.warehouse.connect(read_only=True) as connection:
        due = DAYS[-1] + dt.timedelta(days=1)
        [problem] = find_problems(connection, FRESHNESS, None, one.settings, due)
    assert problem.agent == one.agents[0].label
    assert any(f"agent {gone.label} is not expected any more" in line for line in one.lines)


def test_skipped_pairs_are_not_fetched(run: Callable[..., Run]) -> None:
    one = run()
    skipped = {Partition(DAYS[0], one.agents[0].model_id), Partition(DAYS[2], one.agents[1].model_id)}
    summaries = one.load(skipped=skipped)
    assert len(summaries) == 4
    assert not {summary.partition for summary in summaries} & skipped
    assert len({(request["model_id"], request["from_date"]) for request in one.sandbox.api.requests}) == 4


def test_a_pair_that_fails_does_not_affect_others(run: Callable[..., Run]) -> None:
    one = run(poisoned_day=DAYS[1])
    summaries = one.load()
    assert {summary.day for summary in summaries} == {DAYS[0], DAYS[2]}
    assert {failure.partition for failure in one.failed} == {Partition(DAYS[1], agent.model_id) for agent in one.agents}
    assert all(isinstance(failure.error, BadRequestError) for failure in one.failed)
    assert str(one.failed[0]).startswith(f"{DAYS[1]} of {one.failed[0].agent.name}: Request rejected (400)")


def test_calls_of_a_pair_that_fails_late_do_not_land(run: Callable[..., Run]) -> None:
    """Its first pages were staged already."""
    one = run(faults={"short_page": 0.9999}, calls_per_day=150, agents=1)
    assert one.load() == []
    assert len(one.failed) == 3
    assert one.count("calls") == 0


def test_an_error_of_all_pairs_is_raised_after_the_complete_ones_have_landed(
    settings_for: MakeSettings, start_sandbox: StartSandbox
) -> None:
    first_ms = day_bounds_ms(DAYS[0], "UTC")[0]
    call = {"call_id": "a", "model_id": "m", "start_time": str(first_ms), "duration": "5"}

    def respond(query: dict[str, str]) -> tuple[int, bytes]:
        """The key is revoked after the first day."""
        return page([call], 1) if int(query["from_date"]) < first_ms else (401, b"")

    with serving(respond) as url:
        settings = settings_for(start_sandbox(), base_url=url, max_connections=1)
        warehouse = Warehouse(settings.warehouse)
        with SynthflowClient.from_settings(settings) as client:
            outcomes = load_calls(client, warehouse, settings, [Agent("m", None, None)], DAYS, log=print)
            assert isinstance(next(outcomes), LoadSummary)
            with pytest.raises(AuthenticationError):
                next(outcomes)
    assert list(warehouse.read_frame("calls")["call_id"]) == ["a"]


def test_a_record_of_two_agents_is_rejected_and_not_counted_as_another_agents(
    start_sandbox: StartSandbox, settings_for: MakeSettings
) -> None:
    first_ms = day_bounds_ms(DAY, "UTC")[0]
    start = f'"start_time":{first_ms}'
    records = [f'{{"call_id":"{one}","model_id":"m",{start}}}' for one in "abc"]
    records.append(f'{{"call_id":"two","model_id":"m","model_id":"other",{start}}}')
    calls = ",".join(records)
    body = f'{{"response":{{"pagination":{{"total_records":4}},"calls":[{calls}]}}}}'.encode()
    with serving(lambda _: (200, body)) as url:
        settings = settings_for(start_sandbox(), base_url=url)
        warehouse = Warehouse(settings.warehouse)
        with SynthflowClient.from_settings(settings) as client:
            list(load_calls(client, warehouse, settings, [Agent("m", None, None)], [DAY], log=print))
    assert list(warehouse.read_frame("call_rejects")["reason"]) == ["a field occurs twice"]
    assert list(warehouse.read_frame("call_loads")["other_model"]) == [0]
    assert list(warehouse.read_frame("calls")["call_id"]) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("at", "every", "landings"),
    [(200, 600.0, {1}), (1, 600.0, {2, 3, 4, 5, 6}), (200, -1.0, {2, 3, 4, 5, 6})],
)
def test_complete_pairs_land_by_number_or_time(
    run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, at: int, every: float, landings: set[int]
) -> None:
    monkeypatch.setattr(loading, "LAND_AT_PARTITIONS", at)
    monkeypatch.setattr(loading, "LAND_EVERY_SECONDS", every)
    one = run()
    summaries = one.load()
    lines = [line for line in one.lines if line.startswith("landed ")]
    assert len(lines) in landings  # what becomes complete while others land is landed together
    assert sum(int(line.split()[1]) for line in lines) == sum(summary.landed for summary in summaries)
    assert lines[-1].endswith("(day, agent) pairs")


def test_fetching_goes_on_while_a_landing_waits(run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "LAND_AT_PARTITIONS", 1)
    one = run({"page_size": 1, "max_connections": 4}, latency_seconds=0.01)
    requests_while_landing: list[int] = []
    land = loading.land

    def slow_land(*arguments: Any, **options: Any) -> list[LoadSummary]:
        before = len(one.sandbox.api.requests)
        deadline = time.monotonic() + 30
        while (
            not requests_while_landing and len(one.sandbox.api.requests) < before + 20 and time.monotonic() < deadline
        ):
            time.sleep(0.01)
        requests_while_landing.append(len(one.sandbox.api.requests) - before)
        return land(*arguments, **options)

    monkeypatch.setattr(loading, "land", slow_land)
    one.load()
    assert requests_while_landing[0] >= 20  # more than were in flight before


def test_the_settings_reach_the_requests(run: Callable[..., Run]) -> None:
    one = run({"page_size": 33, "window_margin_seconds": 120, "timezone": "Asia/Tokyo"})
    one.load()
    from_ms, to_ms = day_bounds_ms(DAYS[0], "Asia/Tokyo")
    request = min(one.sandbox.api.requests, key=lambda one: one["from_date"])
    assert (int(request["from_date"]), int(request["to_date"])) == (from_ms - 120_001, to_ms + 120_000)
    assert request["limit"] == "33"


def test_personal_data_is_treated_by_the_settings(run: Callable[..., Run]) -> None:
    one = run({"pii": "drop"})
    one.load()
    assert one.warehouse.read_frame("calls")["lead_phone_number"].isna().all()


@pytest.mark.parametrize(("vanished_fields", "kept"), [("keep", True), ("mirror", False)])
def test_vanished_fields_are_treated_by_the_settings(run: Callable[..., Run], vanished_fields: str, kept: bool) -> None:
    one = run({"vanished_fields": vanished_fields}, agents=1)
    one.load()
    with one.warehouse.connect() as connection:
        connection.execute("UPDATE calls SET lead_name = 'as it landed before'")
        text = "UPDATE calls SET transcript = 'as it landed before' WHERE transcript IS NULL"
        connection.execute(text)
    one.load()
    assert (one.warehouse.read_frame("calls")["transcript"] == "as it landed before").any() == kept


def test_under_hash_no_plain_text_of_an_earlier_load_is_kept(run: Callable[..., Run]) -> None:
    one = run({"vanished_fields": "keep", "pii": "hash", "pii_key": "secret"}, agents=1)
    one.load()
    with one.warehouse.connect() as connection:
        connection.execute("UPDATE calls SET transcript = 'as it landed before' WHERE transcript IS NULL")
    one.load()
    assert not (one.warehouse.read_frame("calls")["transcript"] == "as it landed before").any()


def test_an_unusable_location_fails_early(run: Callable[..., Run], tmp_path: Path) -> None:
    one = run()
    one.warehouse = Warehouse(str(tmp_path / "calls.duckdb" / "no-folder"))
    (tmp_path / "calls.duckdb").write_text("a file")
    with pytest.raises(WarehouseUnusableError):
        one.load()
    assert len(one.sandbox.api.requests) <= 2 * one.settings.max_connections


def test_an_agent_without_a_name_is_shown_by_its_id() -> None:
    failure = FailedPartition(DAY, Agent("model-7", None, None), ApiError("x"))
    assert str(failure) == "2026-03-10 of model-7: x"
    assert failure.partition == Partition(DAY, "model-7")


@pytest.mark.parametrize(("rate", "is_shared"), [(None, False), (200.0, True)])
def test_a_request_rate_is_shared_by_the_warehouse(
    run: Callable[..., Run], tmp_path: Path, rate: float | None, is_shared: bool
) -> None:
    one = run({"requests_per_second": rate})
    with SynthflowClient.from_settings(one.settings) as client:
        with shared_rate(client, one.warehouse):
            client.list_agents()
        assert bool(list(tmp_path.glob("*.pace"))) is is_shared


@pytest.mark.usefixtures("not_at_midnight")
@pytest.mark.parametrize(
    ("days_ago", "api_at", "said"),
    [
        (2, 0, None),
        (2, -2, r"this machine's clock is \d+,\d{3} s ahead of the API's"),
        (0, 2, r"this machine's clock is \d+,\d{3} s behind the API's"),
    ],
)
def test_a_day_is_settled_only_if_it_is_over_by_both_clocks(
    start_sandbox: StartSandbox, settings_for: MakeSettings, days_ago: int, api_at: int, said: str | None
) -> None:
    """Whichever clock is two days ahead, a day would be settled with most of its calls missing."""
    now = dt.datetime.now(dt.UTC)
    sandbox = start_sandbox(agents=1, calls_per_day=20, clock_behind_seconds=-api_at * 86_400.0)
    settings = settings_for(sandbox, window_margin_seconds=0)
    messages: list[str] = []
    with SynthflowClient.from_settings(settings) as client:
        agents = resolve_agents(client, settings).agents
        day = now.date() - dt.timedelta(days=days_ago)
        [summary] = load_calls(client, Warehouse(settings.warehouse), settings, agents, [day], log=messages.append)
    assert isinstance(summary, LoadSummary)
    assert summary.settled is (said is None)
    assert [bool(re.match(said or "", message)) for message in messages if "clock" in message] == [True] * bool(said)


def test_a_day_that_has_not_begun_by_the_clock_of_the_api_keeps_its_calls(
    start_sandbox: StartSandbox, settings_for: MakeSettings
) -> None:
    """A server with a clock of 1970 sent no calls for the requested window, which ends before it begins."""
    day = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=2)
    sandbox = start_sandbox(agents=1, calls_per_day=20, same_volume=True)
    settings = settings_for(sandbox)
    warehouse = Warehouse(settings.warehouse)
    outcomes = []
    for clock_behind_seconds in (0.0, 5 * 86_400.0):
        sandbox.api.config = dataclasses.replace(sandbox.api.config, clock_behind_seconds=clock_behind_seconds)
        with SynthflowClient.from_settings(settings) as client:
            agents = resolve_agents(client, settings).agents
            outcomes += load_calls(client, warehouse, settings, agents, [day], log=print)
    assert isinstance(outcomes[0], LoadSummary)
    assert isinstance(outcomes[1], FailedPartition)
    assert "this day has not begun: it is 20" in str(outcomes[1])
    assert len(warehouse.read_frame("calls")) == outcomes[0].landed == 20


def test_a_call_that_only_another_day_lists_lands_on_its_own(run: Callable[..., Run]) -> None:
    # The sandbox lists calls by their end. Without a margin, the day of its start does not list a call over midnight.
    one = run({"window_margin_seconds": 0}, window_filters="end", border_calls=True)
    one.load()
    stored = one.warehouse.read_frame("calls").groupby(["day", "model_id"]).size()
    for day in DAYS[:-1]:
        for agent in one.agents:
            from_ms, to_ms = day_bounds_ms(day, "UTC")
            count = one.sandbox.api.store.started_between(agent.model_id, from_ms, to_ms)
            assert stored[str(day), agent.model_id] == count
    assert one.warehouse.read_frame("calls")["listed_day"].notna().sum() > 0
    # The day before the first is not fetched, so its calls are rejected.
    assert set(one.warehouse.read_frame("call_rejects")["day"].dt.date) == {DAYS[0]}


def test_a_call_whose_filtered_time_is_more_than_a_margin_from_its_start_is_not_lost(run: Callable[..., Run]) -> None:
    """It starts within two margins of the day that lists it, and the window of its own day does not list it."""
    one = run(agents=1, calls_per_day=300, window_filters="early_creation")
    one.load()
    stored = one.warehouse.read_frame("calls")
    for day in DAYS[1:]:
        ids = one.sandbox.api.store.ids_between(one.agents[0].model_id, *day_bounds_ms(day, "UTC"))
        assert set(stored[stored["day"].dt.date == day]["call_id"]) == ids
    assert (stored["listed_day"].notna().any(), one.failed) == (True, [])
    rejected = set(one.warehouse.read_frame("call_rejects")["day"].dt.date)
    assert rejected <= {DAYS[-1]}  # calls of the day after the last, which is not fetched
    with one.warehouse.connect(read_only=True) as connection:
        for check in CHECKS:
            if check.blocking:
                assert find_problems(connection, check, None, one.settings, DAYS[-1]) == []
    assert any("calls were listed only for another day than they start on" in line for line in one.lines)
    requests = len(one.sandbox.api.requests)
    one.load()  # settles nothing new, and loses nothing
    assert set(one.warehouse.read_frame("calls")["call_id"]) == set(stored["call_id"])
    assert len(one.sandbox.api.requests) == 2 * requests
