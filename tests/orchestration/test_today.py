"""The current day as a partition: a day that is fetched every hour ends as a day that was fetched once."""

import dataclasses
import datetime as dt
import zoneinfo
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.test_utils import freeze_time
from dagster._utils.schedules import schedule_execution_time_iterator

from synthflow_assets.api.client import SynthflowClient
from synthflow_assets.days import local_hours
from synthflow_assets.loading import FailedPartition, load_calls, resolve_agents
from synthflow_assets.metrics import compute_metrics
from synthflow_assets.orchestration.build import build_synthflow_defs
from synthflow_assets.quality import CHECKS, find_problems
from synthflow_assets.sandbox.config import DEFAULT_API_KEY
from synthflow_assets.sandbox.server import Sandbox
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.content import content_versions
from synthflow_assets.warehouse.loads import settled_partitions
from synthflow_assets.warehouse.metric_tables import METRIC_TABLES
from synthflow_assets.warehouse.schema import CALL_LOADS
from synthflow_assets.warehouse.staging import Partition
from tests.instances import ScheduleContext, without_checks

StartSandbox = Callable[..., Sandbox]
MakeSettings = Callable[..., Settings]
BERLIN = "Europe/Berlin"
CALLS = dg.AssetKey(["synthflow", "calls"])
METRICS = [table.name for table in METRIC_TABLES]
# Checks that fail because some records of the test are odd.
ODD = ("no_rejects", "known_values")
HOURLY = ["call_load_hourly", "workspace_load_hourly"]


def set_clock(sandbox: Sandbox, now: dt.datetime) -> None:
    """Move the clock of the sandbox, and with it the `Date` of its responses."""
    sandbox.api.store.config = dataclasses.replace(sandbox.api.store.config, now=now)


def requested(
    settings: Settings, instance: dg.DagsterInstance, schedules: list[str], first: dt.datetime, last: dt.datetime
) -> Iterator[tuple[dt.datetime, dg.RunRequest]]:
    """The ticks of schedules between two moments, as Dagster's cron has them, with the runs that they request."""
    definitions = build_synthflow_defs(settings)
    ticks = []
    for schedule in map(definitions.resolve_schedule_def, schedules):
        times = schedule_execution_time_iterator(first.timestamp(), schedule.cron_schedule, schedule.execution_timezone)
        ticks += [(moment, schedule) for moment in takewhile(lambda moment: moment <= last, times)]
    for moment, schedule in sorted(ticks, key=lambda tick: tick[0]):
        with ScheduleContext(instance, definitions, moment) as context:
            for request in schedule.evaluate_tick(context).run_requests or []:
                yield moment, request


def days_of(request: dg.RunRequest) -> list[dt.date]:
    last = request.tags["dagster/partition"]
    first, last = map(dt.date.fromisoformat, (request.tags.get("synthflow/lookback_from", last), last))
    return [first + dt.timedelta(days=number) for number in range((last - first).days + 1)]


def run(
    sandbox: Sandbox, settings: Settings, moment: dt.datetime, request: dg.RunRequest, metrics: Sequence[str]
) -> None:
    """Do at a moment what the daily job does for a request: fetch, land, compute."""
    set_clock(sandbox, moment)
    days = days_of(request)
    warehouse = Warehouse(settings.warehouse)
    skipped: Collection[Partition] = ()
    if request.run_config:
        with warehouse.connect(read_only=True) as connection:
            skipped = settled_partitions(connection, days, None)
    with SynthflowClient(DEFAULT_API_KEY, sandbox.url) as client:
        agents = resolve_agents(client, settings).agents
        for outcome in load_calls(client, warehouse, settings, agents, days, skipped=skipped, log=lambda _: None):
            assert not isinstance(outcome, FailedPartition), outcome
    with warehouse.connect() as connection:
        compute_metrics(connection, days, settings, metrics)


def rows(settings: Settings, day: dt.date, tables: Sequence[str]) -> dict[str, list[Any]]:
    """The rows of a day in tables, without when and how often they were fetched."""
    found = {}
    with Warehouse(settings.warehouse).connect(read_only=True) as connection:
        for table in tables:
            columns = "COLUMNS(c -> c NOT IN ('loaded_at', 'requests', 'duplicates'))"
            found[table] = connection.execute(
                f"SELECT {columns} FROM {table} WHERE day = $1 ORDER BY ALL", [day]
            ).fetchall()
    return found


SCHEDULES = ["synthflow_today_schedule", "synthflow_daily_schedule"]


def midnight_of(day: dt.date, timezone: str) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), zoneinfo.ZoneInfo(timezone))


def test_the_schedule_runs_once_in_each_hour_if_the_clock_is_set_forward(instance: dg.DagsterInstance) -> None:
    day = dt.date(2026, 3, 29)
    settings = Settings.of(timezone=BERLIN, start_date=day, include_today=True)
    midnight = midnight_of(day, BERLIN)
    runs = list(requested(settings, instance, SCHEDULES[:1], midnight, midnight + dt.timedelta(hours=4)))
    assert [f"{moment:%H:%M}" for moment, _ in runs] == ["00:05", "01:05", "03:05"]
    assert {request.run_key for _, request in runs} == {
        f"2026-03-{key}:05:00+00:00" for key in ("28T23", "29T00", "29T01")
    }


# Of the runs that the schedules request on a day of 25 hours: midnight, 02:05 twice, noon, the last hour,
# and those of the next night before and after the day is settled.
EXECUTED = (0, 2, 3, 12, 24, 25, 26)


def test_a_day_that_was_fetched_in_several_hours_equals_one_that_was_fetched_once(
    start_sandbox: StartSandbox, settings_for: MakeSettings, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    """On a day of 25 hours, with calls that come, end and are rejected meanwhile."""
    day = dt.date(2026, 10, 25)
    sandbox = start_sandbox(agents=1, calls_per_day=60, faults={"odd_records": 1.0})
    settings = settings_for(sandbox, timezone=BERLIN, start_date=day, include_today=True, lookback_days=1)
    once = settings.model_copy(update={"warehouse": str(tmp_path / "once.duckdb")})
    midnight, next_day = midnight_of(day, BERLIN), day + dt.timedelta(days=1)
    ticks = list(requested(settings, instance, SCHEDULES, midnight, midnight + dt.timedelta(days=1, hours=5)))
    requests = [request for _, request in ticks]
    assert [days_of(request) for request in requests] == [[day]] * 25 + [[day, next_day]] * 5 + [[day]]
    assert len({request.run_key for request in requests}) == len(requests)  # Dagster runs each key once
    calls = []
    for number in EXECUTED:
        moment, request = ticks[number]
        run(sandbox, settings, moment, request, METRICS if number == 12 else HOURLY)
        if number == 12:
            with Warehouse(settings.warehouse).connect() as connection:
                for check in CHECKS:
                    found = find_problems(connection, check, [day], settings, day - dt.timedelta(days=1))
                    assert [str(problem) for problem in found if check.name not in ODD] == []
        landed = rows(settings, day, ("calls", "call_loads", *HOURLY))
        calls.append(len(landed["calls"]))
        begun = [hour for hour in local_hours(day, BERLIN) if hour.from_ms < moment.timestamp() * 1000]
        assert len(landed["call_load_hourly"]) == len(landed["workspace_load_hourly"]) == len(begun), moment
        is_settled = any(value is True for load in landed["call_loads"] for value in load)
        assert is_settled is (moment > midnight + dt.timedelta(days=1, hours=1)), moment
    assert calls == sorted(calls)
    assert calls[0] < calls[3] < calls[-1]
    moment, request = ticks[-1]
    for one in (settings, once):
        run(sandbox, one, moment, request, METRICS)
    tables = ("calls", "call_rejects", "call_loads", *METRICS)
    assert rows(settings, day, tables) == rows(once, day, tables)


class Dagster:
    """Runs what schedules request, by the clocks of Dagster and of the API, and then what automation requests."""

    def __init__(self, instance: dg.DagsterInstance, sandbox: Sandbox, settings: Settings) -> None:
        self._instance, self._sandbox, self._cursor = instance, sandbox, None
        ours = build_synthflow_defs(settings)
        partitions = ours.resolve_asset_graph().get(CALLS).partitions_def
        eager = dg.AutomationCondition.eager()

        @dg.asset(partitions_def=partitions, deps=[CALLS], automation_condition=eager)
        def latest() -> None: ...

        @dg.asset(
            partitions_def=partitions,
            deps=[CALLS],
            automation_condition=eager.without(dg.AutomationCondition.in_latest_time_window()),
        )
        def every_day() -> None: ...

        self._definitions = dg.Definitions.merge(ours, dg.Definitions([latest, every_day]))
        job = self._definitions.resolve_job_def("synthflow_daily")
        self._job = without_checks(job, ["calls", "call_rejects", "call_loads"])

    def run(self, schedule: str, *moment: int) -> str:
        """Run what a schedule requests at a moment. Returns the run's id."""
        now = dt.datetime(*moment, tzinfo=dt.UTC)  # type: ignore[arg-type]
        set_clock(self._sandbox, now)
        with freeze_time(now), ScheduleContext(self._instance, self._definitions, now) as context:
            [request] = self._definitions.resolve_schedule_def(schedule).evaluate_tick(context).run_requests
            result = self._job.execute_in_process(
                instance=self._instance, tags=request.tags, run_config=request.run_config
            )
        assert result.success
        return result.run_id

    def automation(self, *moment: int) -> dict[str, set[str]]:
        """The days that automation requests of each asset downstream at a moment."""
        now = dt.datetime(*moment, tzinfo=dt.UTC)  # type: ignore[arg-type]
        requested = self._evaluate(now)
        for name, days in requested.items():
            for day in days:
                self._instance.report_runless_asset_event(dg.AssetMaterialization(name, partition=day))
        assert not any(self._evaluate(now).values())  # Dagster sees that they ran
        return requested

    def _evaluate(self, now: dt.datetime) -> dict[str, set[str]]:
        names = ("latest", "every_day")
        with freeze_time(now):
            result = dg.evaluate_automation_conditions(
                self._definitions,
                self._instance,
                dg.AssetSelection.assets(*names),
                cursor=self._cursor,
                evaluation_time=now,
            )
        self._cursor = result.cursor
        return {name: set(result.get_requested_partitions(dg.AssetKey(name))) for name in names}


def test_assets_downstream_see_the_day_so_far_and_superseded_runs_of_the_current_day_are_deleted(
    start_sandbox: StartSandbox, settings_for: MakeSettings, instance: dg.DagsterInstance
) -> None:
    sandbox = start_sandbox(agents=1, calls_per_day=60)
    settings = settings_for(sandbox, start_date=dt.date(2026, 3, 10), include_today=True, lookback_days=1)
    dagster = Dagster(instance, sandbox, settings)
    today, tomorrow = {"2026-03-10"}, {"2026-03-11"}

    def runs() -> set[str]:
        return {run.run_id for run in instance.get_runs()}

    dagster.automation(2026, 3, 10, 14)
    first = dagster.run("synthflow_today_schedule", 2026, 3, 10, 14, 5)
    [record] = instance.fetch_materializations(CALLS, limit=1).records
    assert record.asset_materialization is not None
    so_far_until = record.asset_materialization.metadata["so_far_until"].value
    assert so_far_until == pytest.approx(dt.datetime(2026, 3, 10, 14, 5, tzinfo=dt.UTC).timestamp(), abs=60)
    assert dagster.automation(2026, 3, 10, 14, 6) == {"latest": today, "every_day": today}
    second = dagster.run("synthflow_today_schedule", 2026, 3, 11, 0, 5)
    # The day before has changed too. `eager()` alone looks at the latest day.
    assert dagster.automation(2026, 3, 11, 0, 6) == {"latest": tomorrow, "every_day": today | tomorrow}
    last = dagster.run("synthflow_today_schedule", 2026, 3, 11, 4, 5)
    assert dagster.automation(2026, 3, 11, 4, 6) == {"latest": tomorrow, "every_day": tomorrow}
    daily = dagster.run("synthflow_daily_schedule", 2026, 3, 11, 5)
    assert dagster.automation(2026, 3, 11, 5, 1) == {"latest": set(), "every_day": today}
    days_later = dagster.run("synthflow_today_schedule", 2026, 3, 15, 14, 5)
    assert runs() == {last, daily, days_later}  # 2026-03-11 has no other materialization than that of its last run
    late = dagster.run("synthflow_daily_schedule", 2026, 3, 12, 5)
    next_hour = dagster.run("synthflow_today_schedule", 2026, 3, 15, 15, 5)
    assert runs() == {daily, days_later, late, next_hour}
    assert instance.all_logs(first) == instance.all_logs(second) == instance.all_logs(last) == []
    assert instance.get_materialized_partitions(CALLS) == {"2026-03-10", "2026-03-11", "2026-03-15"}


def test_an_hour_that_changes_nothing_leaves_the_data_version_of_the_day(tmp_path: Path) -> None:
    """What is downstream of the data version would otherwise run every hour."""
    day = dt.date(2026, 3, 10)
    with Warehouse(tmp_path / "w.duckdb").connect() as connection:
        row = "SELECT $1::DATE AS day, 'm' AS model_id, false AS settled, now() AS fetched_until, now() AS loaded_at"
        connection.execute(f"INSERT INTO call_loads BY NAME {row}", [day])
        first = content_versions(connection, CALL_LOADS, [day])
        connection.execute("UPDATE call_loads SET fetched_until = fetched_until + INTERVAL 1 hour")
        assert content_versions(connection, CALL_LOADS, [day]) == first
        connection.execute("UPDATE call_loads SET settled = true")
        assert content_versions(connection, CALL_LOADS, [day]) != first
