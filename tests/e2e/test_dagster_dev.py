"""A real Dagster, webserver and daemon, driven by GraphQL as the UI drives it."""

import dataclasses
import datetime as dt
import json
import os
import signal
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest
from dagster._core.scheduler.instigation import ScheduleInstigatorData

from synthflow_assets.api.client import SynthflowClient
from synthflow_assets.days import last_due_day
from synthflow_assets.loading import load_calls, resolve_agents
from synthflow_assets.sandbox.config import DEFAULT_API_KEY, SandboxConfig
from synthflow_assets.sandbox.server import Sandbox
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse
from tests.e2e.processes import ASSET_COUNT, ROOT, asset_count, free_port, time_zones
from tests.forks import SCHEDULE_SECONDS, Forks

DAY = dt.timedelta(days=1)
POISONED = dt.date(2026, 4, 12)
LIKE_UTC = "Africa/Abidjan"  # has the days of UTC, so that only its name tells whether `.env` was read
SELECTOR = {"repositoryLocationName": "synthflow_assets", "repositoryName": "__repository__"}
ONLY_MISSING = json.dumps({"ops": {"synthflow__fetch_calls": {"config": {"only_missing": True}}}})
ASSETS = ["calls", "call_rejects", "call_loads", "call_duration_daily", "call_load_hourly", "call_report"]

# Every test takes days of its own from the one deployment, so their order does not matter.


@dataclasses.dataclass
class Deployment:
    """A running `synthflow-assets dev` over a sandbox that stands for the API."""

    port: int
    folder: Path
    instance: dg.DagsterInstance  # where runs are polled, because a query of the webserver takes ten times as long
    warehouse: Warehouse
    sandbox: Sandbox
    environment: dict[str, str]  # with the Dagster home
    pid: int
    first_output: str = ""  # before any run
    poll_seconds: float = 0.5  # each look at the runs takes a tenth of a second

    @property
    def log(self) -> Path:
        return self.folder / "dev.log"

    def ask(self, query: str, **variables: Any) -> Any:
        body = json.dumps({"query": query, "variables": variables}).encode()
        url = f"http://127.0.0.1:{self.port}/graphql"
        request = urllib.request.Request(url, body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            said = json.load(answer)
        assert not said.get("errors"), said["errors"]
        return said["data"]

    def set_config(self, **config: Any) -> None:
        self.sandbox.api.config = dataclasses.replace(self.sandbox.api.config, **config)

    def backfill(self, first: dt.date, last: dt.date, assets: Sequence[str] = (), **fetch: Any) -> str:
        """Launch a backfill of these assets, or of `ASSETS`, as the UI does. Returns its id."""
        params = {
            "assetSelection": [{"path": ["synthflow", name]} for name in assets or ASSETS],
            "partitionNames": [day.isoformat() for day in days(first, last)],
            "runConfigData": {"ops": {"synthflow__fetch_calls": {"config": fetch}}} if fetch else {},
        }
        answer = self.ask(
            """mutation ($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
                ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }""",
            params=params,
        )["launchPartitionBackfill"]
        assert "backfillId" in answer, answer
        return str(answer["backfillId"])

    def launch(self, job: str, assets: Sequence[str] = (), *, checks: bool = True, **execution: Any) -> str:
        """Launch a job, or some assets of it, as the UI's launchpad does. Returns the id of the run."""
        selector: dict[str, Any] = {**SELECTOR, "jobName": job}
        if assets:
            selector["assetSelection"] = [{"path": ["synthflow", name]} for name in assets]
        if not checks:
            selector["assetCheckSelection"] = []
        answer = self.ask(
            """mutation ($params: ExecutionParams!) { launchRun(executionParams: $params) {
                ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }""",
            params={"selector": selector, **execution},
        )["launchRun"]
        assert "run" in answer, answer
        return str(answer["run"]["runId"])

    def runs(self, **tags: str) -> list[dg.DagsterRun]:
        """The runs with these tags, the latest first."""
        wanted = {key.replace("_", "/", 1): value for key, value in tags.items()}
        return list(self.instance.get_runs(filters=dg.RunsFilter(tags=wanted)))

    def seen(self) -> str:
        """What to read if something did not happen: the runs, what Dagster said of them, and the ends of the logs."""
        lines = []
        for run in self.instance.get_runs(limit=10):
            lines.append(f"{run.run_id} {run.job_name} {run.status.value} {run.tags}")
            entries = [entry for entry in self.instance.all_logs(run.run_id) if entry.message]
            lines += [f"    {entry.message[:1000]}" for entry in entries[-10:]]
        for log in sorted(self.folder.glob("*.log")):
            lines += [f"--- {log.name}", log.read_text(encoding="utf-8", errors="replace")[-5000:]]
        return "\n".join(lines)

    def wait_until(self, reached: Callable[[], Any], what: str, poll_seconds: float | None = None) -> Any:
        """Wait until it is reached, for as long as four minutes. If it is not, the error shows what happened."""
        try:
            return wait_until(reached, what, poll_seconds=poll_seconds or self.poll_seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.seen()}") from None

    def backfill_status(self, backfill: str) -> str:
        found = self.instance.get_backfill(backfill)
        assert found is not None
        return found.status.value

    def status_of(self, run: str) -> str:
        found = self.instance.get_run_by_id(run)
        assert found is not None
        return found.status.value

    def partitions(self, asset: str, first: dt.date, last: dt.date) -> Counter[str]:
        """How many of the days are in which state, as the UI colours them."""
        query = """query ($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
            assetPartitionStatuses { ... on TimePartitionStatuses { ranges { status startKey endKey } } } } } }"""
        node = self.ask(query, key={"path": ["synthflow", asset]})["assetNodeOrError"]
        state = {
            day: one["status"]
            for one in node["assetPartitionStatuses"]["ranges"]
            for day in days(dt.date.fromisoformat(one["startKey"]), dt.date.fromisoformat(one["endKey"]))
        }
        return Counter(state.get(day, "MISSING") for day in days(first, last))

    def check(self, name: str, run: str) -> str:
        """What a check of the calls came to in this run: others, a backfill's too, ask it as well."""
        query = """query ($key: AssetKeyInput!, $name: String!) {
            assetCheckExecutions(assetKey: $key, checkName: $name, limit: 20) { runId status } }"""
        asked = self.ask(query, key={"path": ["synthflow", "calls"]}, name=name)["assetCheckExecutions"]
        [status] = [one["status"] for one in asked if one["runId"] == run]
        return str(status)


def days(first: dt.date, last: dt.date) -> list[dt.date]:
    return [first + dt.timedelta(days=number) for number in range((last - first).days + 1)]


def range_tags(first: dt.date, last: dt.date) -> list[dict[str, str]]:
    """The tags by which the launchpad names the days of a run."""
    ends = {"start": first, "end": last}
    return [{"key": f"dagster/asset_partition_range_{end}", "value": day.isoformat()} for end, day in ends.items()]


def wait_until(reached: Callable[[], Any], what: str, seconds: float = 240, poll_seconds: float = 0.2) -> Any:
    deadline = time.monotonic() + seconds
    while True:
        try:
            found = reached()
        except OSError:  # the webserver is not up yet
            found = None
        if found:
            return found
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(poll_seconds)


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory, forks: Forks) -> Iterator[Deployment]:
    """`synthflow-assets dev` in a folder whose `.env` has a key, with the project's `dagster.yaml` but eager."""
    folder = tmp_path_factory.mktemp("deployment")
    home = folder / "data" / "dagster"
    home.mkdir(parents=True)
    config = (ROOT / "synthflow_assets" / "dagster.yaml").read_text(encoding="utf-8")
    eager = config.replace("poll_interval_seconds: 60", "poll_interval_seconds: 2")
    assert eager != config
    (home / "dagster.yaml").write_text(eager, encoding="utf-8")
    (folder / "dagster.yaml").write_text(config, encoding="utf-8")  # as in a clone; Dagster warns that it is not used
    foreign = ("SYNTHFLOW_", "DAGSTER_")
    port = free_port()
    with Sandbox(SandboxConfig(agents=2, calls_per_day=10, same_volume=True, poisoned_day=POISONED)) as sandbox:
        (folder / ".env").write_text(
            f"SYNTHFLOW_API_KEY={DEFAULT_API_KEY}\nSYNTHFLOW_BASE_URL={sandbox.url}\nSYNTHFLOW_TIMEZONE={LIKE_UTC}\n"
        )
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(foreign)},
            "DAGSTER_HOME": str(home),
            "SYNTHFLOW_PREVIEWS": "false",  # test_empty_folder.py looks at one; they take a third of a run's time
            "SYNTHFLOW_MAX_CONNECTIONS": "4",  # so that a run lasts long enough to be killed
            "DAGSTER_EVENT_LOG_CONSUMER_DAEMON_INTERVAL_SECONDS": "3",  # until a killed run is started again
        }
        instance = dg.DagsterInstance.from_config(str(home))
        warehouse = Warehouse(str(folder / "data/warehouse.duckdb"))
        command = ("synthflow-assets", "dev", "--port", str(port))
        pid = forks.command(command, folder, environment, folder / "dev.log")
        made = Deployment(port, folder, instance, warehouse, sandbox, environment, pid)
        try:
            wait_until(lambda: made.ask("{ version }"), "the webserver")
            query = "{ instance { daemonHealth { allDaemonStatuses { daemonType healthy required } } } }"

            def all_healthy() -> bool:
                daemons = made.ask(query)["instance"]["daemonHealth"]["allDaemonStatuses"]
                return all(one["healthy"] for one in daemons if one["required"])

            wait_until(all_healthy, "the daemon")
            wait_until(lambda: "Ctrl-C" in made.log.read_text(encoding="utf-8"), "the address of the UI")
            made.first_output = made.log.read_text(encoding="utf-8")
            yield made
        finally:
            started = psutil.Process(pid).children(recursive=True)
            os.kill(pid, signal.SIGHUP)  # as a terminal that is closed
            ended = forks.exit_code(pid, seconds=60)
            instance.dispose()
        assert ended == 0, made.log.read_text(encoding="utf-8")
        wait_until(lambda: not any(is_alive(one) for one in started), "the end of Dagster's processes", seconds=60)


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def end_of(deployment: Deployment, backfill: str) -> str:
    return deployment.wait_until(
        lambda: (status := deployment.backfill_status(backfill)) not in ("REQUESTED", "CANCELING") and status,
        f"the end of backfill {backfill}",
    )


def test_dev_with_a_key_runs_over_the_api_of_the_key(deployment: Deployment) -> None:
    assert asset_count(deployment.port) == ASSET_COUNT
    assert time_zones(deployment.port) == {LIKE_UTC}
    assert not (deployment.folder / "data/sandbox").exists()
    ui = f"The Dagster UI is at http://127.0.0.1:{deployment.port}. To stop it, press Ctrl-C.\n"
    assert deployment.first_output == f"Starting Dagster ...\n{ui}"


def test_five_days_with_a_poisoned_one_are_four_and_after_mending_all(deployment: Deployment) -> None:
    span = dt.date(2026, 4, 10), dt.date(2026, 4, 14)
    backfill = deployment.backfill(*span)
    assert end_of(deployment, backfill) == "COMPLETED_FAILED"
    [run] = deployment.runs(dagster_backfill=backfill)  # one, over these days and no other
    assert all(run.tags[tag["key"]] == tag["value"] for tag in range_tags(*span))
    for asset in ASSETS:
        assert deployment.partitions(asset, *span) == {"MATERIALIZED": 4, "FAILED": 1}, asset
    assert len(deployment.warehouse.read_frame("call_duration_daily", *span)) == 8
    deployment.set_config(poisoned_day=None)
    deployment.sandbox.api.requests.clear()
    assert end_of(deployment, deployment.backfill(*span, only_missing=True)) == "COMPLETED_SUCCESS"
    for asset in ASSETS:
        assert deployment.partitions(asset, *span) == {"MATERIALIZED": 5}, asset
    assert len({asked["from_date"] for asked in deployment.sandbox.api.requests}) == 1
    assert len(deployment.warehouse.read_frame("call_duration_daily", *span)) == 10


def test_a_killed_run_is_started_again_and_goes_on_where_it_stopped(deployment: Deployment) -> None:
    deployment.set_config(latency_seconds=1.0)  # 32 windows over 4 connections: 8 s, and it lands every 5
    span = dt.date(2026, 5, 1), dt.date(2026, 5, 16)
    # Not a backfill: if Dagster looks at one between the failure of a run and its tag "will_retry", it ends the
    # backfill, and does not start the run again.
    killed = deployment.launch("__ASSET_JOB", ASSETS, executionMetadata={"tags": range_tags(*span)})

    def landed() -> int:
        if not deployment.warehouse.exists():
            return 0
        return len(deployment.warehouse.read_frame("call_loads", *span))

    before = deployment.wait_until(landed, "the first landing", poll_seconds=0.2)
    # The processes that hand on its output have its id in their arguments.
    [worker] = {
        process.parent()
        for process in psutil.Process(deployment.pid).children(recursive=True)
        if killed in " ".join(process.cmdline())
    }
    assert worker is not None
    worker.kill()
    asked = len(deployment.sandbox.api.requests)
    deployment.set_config(latency_seconds=0.0)
    assert before < 32, "the kill came too late, so the test tested nothing"
    again = deployment.wait_until(
        lambda: [one for one in deployment.runs(dagster_parent_run_id=killed) if one.is_success],
        "the run that Dagster starts again",
    )
    assert len(again) == 1
    assert landed() == 32
    # And what the four connections were waiting for when the run was killed.
    assert len(deployment.sandbox.api.requests) - asked <= 32 - before + 4


def test_a_killed_dg_launch_is_over_for_dagster_and_holds_up_nobody(
    deployment: Deployment, forks: Forks, tmp_path: Path
) -> None:
    """The shell started it, so only its lock shows that it is gone."""
    deployment.set_config(latency_seconds=8.0)
    span = dt.date(2026, 6, 1), dt.date(2026, 6, 2)
    ranged = "...".join(day.isoformat() for day in span)
    fetched = " or ".join(f'key:"synthflow/{name}"' for name in ("calls", "call_rejects", "call_loads"))
    selected = ("-m", "synthflow_assets.definitions", "--assets", fetched, "--partition-range", ranged)
    command = ("dg", "launch", *selected)
    asked = len(deployment.sandbox.api.requests)
    launch = forks.command(command, deployment.folder, deployment.environment, tmp_path / "launch.log")
    first = {"dagster_asset_partition_range_start": span[0].isoformat()}
    [run] = deployment.wait_until(
        lambda: [one for one in deployment.runs(**first) if one.status is dg.DagsterRunStatus.STARTED],
        "the run of `dg launch`",
    )
    # A step holds a lock from its start on.
    deployment.wait_until(lambda: len(deployment.sandbox.api.requests) > asked, "its first request")
    os.kill(launch, signal.SIGKILL)
    forks.exit_code(launch)
    deployment.set_config(latency_seconds=0.0)
    deployment.wait_until(lambda: deployment.status_of(run.run_id) == "FAILURE", "the end of the killed run")
    forks.run(deployment.folder, *command, "--config-json", ONLY_MISSING, env=deployment.environment)
    assert deployment.partitions("calls", *span) == {"MATERIALIZED": 2}


def start_a_day_ago(deployment: Deployment, schedule: str) -> None:
    """Switch a schedule on, and let the daemon find that it has been on since yesterday.

    If the daemon evaluates schedules between the two steps, it notes that, and there is no tick to make up for. It does
    so when SCHEDULE_SECONDS begin, or seconds later on a busy machine. So the steps wait for a moment in their middle.
    """
    while not 7 < time.time() % SCHEDULE_SECONDS < SCHEDULE_SECONDS - 7:
        time.sleep(0.1)
    answer = deployment.ask(
        """mutation ($selector: ScheduleSelector!) { startSchedule(scheduleSelector: $selector) {
            ... on ScheduleStateResult { scheduleState { status } } ... on PythonError { message } } }""",
        selector={**SELECTOR, "scheduleName": schedule},
    )
    assert answer["startSchedule"]["scheduleState"]["status"] == "RUNNING"
    [state] = [one for one in deployment.instance.all_instigator_state() if one.name == schedule]
    assert isinstance(state.instigator_data, ScheduleInstigatorData)
    assert state.instigator_data.last_iteration_timestamp is None, "the daemon was quicker; see above"
    since = state.instigator_data._replace(start_timestamp=time.time() - 86_400)
    deployment.instance.update_instigator_state(state.with_data(since))


def test_a_missed_tick_is_made_up_for_once(deployment: Deployment) -> None:
    """The schedule appears to have been on since yesterday, so the daemon makes up for the tick at 05:00."""
    start_a_day_ago(deployment, "synthflow_daily_schedule")

    def ticked() -> list[dg.DagsterRun]:
        return deployment.runs(dagster_schedule_name="synthflow_daily_schedule")

    deployment.wait_until(lambda: [run for run in ticked() if run.is_finished], "the run of the tick")
    *later, run = ticked()  # the latest first
    assert run.is_success
    # If the test runs at 05:00, there is also a tick of this day.
    assert all(run.tags["dagster/run_key"] != one.tags["dagster/run_key"] for one in later)
    last = dt.date.fromisoformat(run.tags["dagster/partition"])
    first = dt.date.fromisoformat(run.tags["synthflow/lookback_from"])
    assert last - first == dt.timedelta(days=2)
    assert deployment.partitions("calls", first, last) == {"MATERIALIZED": 3}


def test_a_stale_agent_is_red_while_old_days_are_backfilled(deployment: Deployment) -> None:
    _, stale = deployment.sandbox.model_ids
    last = last_due_day("UTC")
    settings = Settings.of(api_key=DEFAULT_API_KEY, base_url=deployment.sandbox.url)
    with SynthflowClient.from_settings(settings) as client:
        agents = resolve_agents(client, settings).agents
        # The day before as well: an agent is expected where it was fetched in the two weeks before.
        two_days = [last - DAY, last]
        list(load_calls(client, deployment.warehouse, settings, agents, two_days, log=lambda _: None))
    with deployment.warehouse.connect() as connection:
        connection.execute("DELETE FROM call_loads WHERE day = $1 AND model_id = $2", [last, stale])
        connection.execute("DELETE FROM calls WHERE day = $1 AND model_id = $2", [last, stale])
    backfill = deployment.backfill(dt.date(2026, 1, 1), dt.date(2026, 1, 2))
    during = deployment.launch("synthflow_freshness")
    deployment.wait_until(lambda: deployment.status_of(during) == "SUCCESS", "the freshness check")
    assert deployment.check("fresh_per_model", during) == "FAILED"
    assert end_of(deployment, backfill) == "COMPLETED_SUCCESS"
    after = deployment.launch("synthflow_freshness")
    deployment.wait_until(lambda: deployment.status_of(after) == "SUCCESS", "the freshness check")
    assert deployment.check("fresh_per_model", after) == "FAILED"


def test_two_backfills_and_the_schedule_at_once_lose_nothing(deployment: Deployment) -> None:
    deployment.set_config(latency_seconds=0.05)
    spans = [(dt.date(2026, 2, 20), dt.date(2026, 2, 23)), (dt.date(2026, 2, 22), dt.date(2026, 2, 25))]
    backfills = [deployment.backfill(*span) for span in spans]
    dry = deployment.ask(
        """mutation ($selector: ScheduleSelector!, $at: Float) {
            scheduleDryRun(selectorData: $selector, timestamp: $at) { ... on DryRunInstigationTick {
            evaluationResult { runRequests { tags { key value } runConfigYaml } error { message } } } } }""",
        selector={**SELECTOR, "scheduleName": "synthflow_daily_schedule"},
        at=dt.datetime(2026, 2, 27, 5, tzinfo=dt.UTC).timestamp(),
    )
    [request] = dry["scheduleDryRun"]["evaluationResult"]["runRequests"]
    tags = [tag for tag in request["tags"] if tag["key"] in ("dagster/partition", "synthflow/lookback_from")]
    assert len(tags) == 2
    scheduled = deployment.launch("synthflow_daily", ASSETS, executionMetadata={"tags": tags})
    assert [end_of(deployment, one) for one in backfills] == ["COMPLETED_SUCCESS"] * 2
    deployment.wait_until(lambda: deployment.status_of(scheduled) == "SUCCESS", "the schedule's run")
    first, last = dt.date(2026, 2, 20), dt.date(2026, 2, 26)
    stored = deployment.warehouse.read_frame("calls", first, last)
    begin = int(dt.datetime.combine(first, dt.time(), dt.UTC).timestamp() * 1000)
    end = int(dt.datetime.combine(last + dt.timedelta(days=1), dt.time(), dt.UTC).timestamp() * 1000)
    for model_id in deployment.sandbox.model_ids:
        found = stored.loc[stored["model_id"] == model_id, "call_id"]
        assert found.is_unique
        assert set(found) == deployment.sandbox.api.store.ids_between(model_id, begin, end)
    metrics = deployment.warehouse.read_frame("call_duration_daily", first, last)
    assert int(metrics["calls"].sum()) == len(stored)
    for asset in ASSETS:
        assert deployment.partitions(asset, first, last) == {"MATERIALIZED": 7}, asset
