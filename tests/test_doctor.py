"""The doctor finds each problem and its remedy, and finds none in a healthy workspace."""

import dataclasses
import datetime as dt
import re
import shutil
import socket
import subprocess
import time
import zoneinfo
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib.resources import files
from pathlib import Path

import duckdb
import pytest

from synthflow_assets import doctor
from synthflow_assets.api.client import SynthflowClient
from synthflow_assets.api.probe import ApiReading, probe
from synthflow_assets.days import day_bounds_ms, last_closed_day, last_due_day
from synthflow_assets.doctor import (
    Finding,
    Verdict,
    _describe,
    _examine_timezone,
    _examine_warehouse,
    _margin,
    examine,
)
from synthflow_assets.loading import load_calls, resolve_agents
from synthflow_assets.metrics import replace_metrics
from synthflow_assets.sandbox.server import Sandbox
from synthflow_assets.settings import REGION_URLS, Settings
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.schema import OPEN_STATUSES
from synthflow_assets.warehouse.staging import Partition
from synthflow_assets.warehouse.trial import LandingTrial
from tests.api.servers import agents_page, page, serving

StartSandbox = Callable[..., Sandbox]
SettingsFor = Callable[..., Settings]


def findings(
    settings: Settings, region_urls: Mapping[str, str] = REGION_URLS, until: str | None = None
) -> dict[str, Finding]:
    """Findings by subject. `until` ends the examination after a subject; the next ones may send a hundred requests."""
    found = {}
    for finding in examine(settings, region_urls):
        found[finding.subject] = finding
        if finding.subject == until:
            break
    return found


def problems(
    settings: Settings, region_urls: Mapping[str, str] = REGION_URLS, until: str | None = None
) -> dict[str, str]:
    found = findings(settings, region_urls, until).values()
    return {finding.subject: finding.text for finding in found if finding.verdict is Verdict.PROBLEM}


@pytest.fixture
def start_sandbox(start_sandbox: StartSandbox) -> StartSandbox:
    """Starts sandboxes with few calls a day."""
    return lambda **config: start_sandbox(**{"calls_per_day": 30, **config})


@pytest.fixture
def settings_for(settings_for: SettingsFor, tmp_path: Path) -> SettingsFor:
    """Settings for a sandbox; the warehouse does not exist yet."""
    return lambda sandbox, **values: settings_for(
        sandbox, **{"warehouse": str(tmp_path / "warehouse.duckdb"), **values}
    )


def test_a_healthy_workspace(start_sandbox: StartSandbox, settings_for: SettingsFor) -> None:
    found = findings(settings_for(start_sandbox(window_filters="start_and_end")))
    assert {finding.verdict for finding in found.values()} == {Verdict.OK}
    assert "Front Desk" in found["agents"].text
    assert "from_date filters the start of calls (inclusive), to_date their end." in found["window"].text
    assert "does not exist yet. The first run creates it." in found["warehouse"].text
    assert all(re.fullmatch(r".*[^.][.?]", finding.text) for finding in found.values())
    assert not Path("data").exists()


def test_the_region_that_takes_the_key_is_named(start_sandbox: StartSandbox) -> None:
    other, own = start_sandbox(api_key="other"), start_sandbox()
    urls = {"us": other.url, "eu": own.url, "global": other.url}
    settings = Settings.of(api_key="sandbox-key")
    assert problems(settings, urls) == {"key": "Region us refuses the key (401), but region eu accepts it."}
    assert findings(settings, urls)["key"].remedy == "(echo; echo SYNTHFLOW_REGION=eu) >> .env"
    nowhere = problems(Settings.of(api_key="wrong"), urls)
    assert nowhere["key"].startswith("Every region refuses the key (401). Make a new key")


def test_a_key_is_not_shown_to_regions_that_its_owner_did_not_choose(
    start_sandbox: StartSandbox, settings_for: SettingsFor
) -> None:
    chosen, other = start_sandbox(), start_sandbox()
    settings = settings_for(chosen, api_key="wrong")
    assert "remove SYNTHFLOW_BASE_URL" in problems(settings, {"us": other.url, "eu": other.url})["key"]
    assert other.api.requests == []


def test_no_key_and_no_host() -> None:
    assert "is not set" in problems(Settings.of(), {"us": "http://127.0.0.1:9/v2"})["key"]
    unknown = "http://no-such-host.invalid/v2"
    said = problems(Settings.of(), {"us": unknown})
    assert re.search("cannot be resolved .*Check network", said["host"])
    assert "is not set" in said["key"]
    assert "Check SYNTHFLOW_BASE_URL, and network" in problems(Settings.of(base_url=unknown))["host"]


def test_a_closed_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synthflow_assets.api.retries._SHORTEST_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    settings = Settings.of(api_key="key", base_url=f"http://127.0.0.1:{port}/v2")
    assert problems(settings)["API"].startswith("Cannot connect to 127.0.0.1")


def test_5xx_are_reported_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """They were retried silently for two minutes."""
    monkeypatch.setattr("synthflow_assets.api.retries._SHORTEST_SECONDS", 0.05)
    requests: list[dict[str, str]] = []
    with serving(lambda _: (503, b""), requests) as url:
        assert problems(Settings.of(api_key="key", base_url=url))["API"].startswith("Server overloaded (503)")
    assert len(requests) < 5


def test_clock(start_sandbox: StartSandbox, settings_for: SettingsFor) -> None:
    said = problems(settings_for(start_sandbox(clock_behind_seconds=600)), until="clock")
    assert re.match(r"This machine's clock is (599|600|601) s ahead of the API's", said["clock"])


def test_an_address_that_is_not_the_apis(start_sandbox: StartSandbox, settings_for: SettingsFor) -> None:
    sandbox = start_sandbox()
    said = problems(settings_for(sandbox, base_url=sandbox.url.removesuffix("/v2")))
    assert list(said) == ["API"]
    assert "does not end in /v2" in said["API"]


def test_agents(start_sandbox: StartSandbox, settings_for: SettingsFor) -> None:
    assert "ghost" in problems(settings_for(start_sandbox(), model_ids="ghost"))["agents"]
    unlisted = problems(settings_for(start_sandbox(assistants_endpoint=False)))
    assert "set SYNTHFLOW_MODEL_IDS to their ids" in unlisted["agents"]


def test_an_api_that_ignores_the_window(start_sandbox: StartSandbox, settings_for: SettingsFor) -> None:
    settings = settings_for(start_sandbox(faults={"ignore_window": 1000}))
    assert "ignores from_date and to_date" in problems(settings)["window"]


@pytest.mark.parametrize(
    ("fault", "says"),
    [("short_page", "distinct calls of the"), ("other_model", "belong to another agent")],
)
def test_responses_that_fail_a_run_are_problems(
    start_sandbox: StartSandbox, settings_for: SettingsFor, fault: str, says: str
) -> None:
    """A run fails on these responses, so the doctor must report them."""
    sandbox = start_sandbox(faults={fault: 0.9999}, calls_per_day=60)
    said = problems(settings_for(sandbox, page_size=10), until="fetch")["fetch"]
    assert "cannot be fetched: " in said
    assert says in said


def test_records_that_fail_a_run_are_problems(start_sandbox: StartSandbox, settings_for: SettingsFor) -> None:
    """They are decoded as in a run, but in memory alone."""
    healthy = start_sandbox(calls_per_day=60)
    assert re.match(
        "All [1-9][0-9]* calls can be decoded", findings(settings_for(healthy), until="records")["records"].text
    )
    changed = start_sandbox(faults={"durations_as_fractions": 1e9}, calls_per_day=60)
    said = problems(settings_for(changed), until="records")["records"]
    assert "would not land: " in said
    assert "duration is a fraction" in said
    odd = start_sandbox(faults={"labels_as_objects": 1e9}, calls_per_day=60)
    partly = findings(settings_for(odd), until="records")["records"]
    assert partly.verdict is Verdict.NOTE
    assert "labels is an object in " in partly.text


def test_records_of_an_earlier_day_are_decoded_if_the_last_day_has_no_calls() -> None:
    """The trial would find nothing wrong with no calls."""
    start_ms = int((time.time() - 10 * 86_400) * 1000)

    def respond(query: dict[str, str]) -> tuple[int, bytes]:
        if query["path"].endswith("/assistants/"):
            return agents_page(["m"], 1)
        calls = [
            {"call_id": f"c{i}", "model_id": "m", "start_time": str(start_ms + i), "duration": 1.5} for i in range(9)
        ]
        is_listed = int(query.get("from_date", 0)) <= start_ms + 9 <= int(query.get("to_date", 2**63))
        return page(calls[int(query["offset"]) :][: int(query["limit"])] if is_listed else [], 9 * is_listed)

    with serving(respond) as url:
        said = problems(Settings.of(api_key="key", base_url=url), until="records")["records"]
    assert "9 of 9 records cannot be decoded" in said
    assert "duration is a fraction" in said


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"start_time": str(int((time.time() - 40 * 86_400) * 1000))}, "would be rejected: start_time lies outside"),
        ({"model_id": "other"}, "4 records of another agent would be left out"),
    ],
)
def test_records_that_a_run_rejects_or_leaves_out_are_problems(change: dict[str, str], says: str) -> None:
    start_ms = day_bounds_ms(last_closed_day("UTC"), "UTC")[0]

    def respond(query: dict[str, str]) -> tuple[int, bytes]:
        if query["path"].endswith("/assistants/"):
            return agents_page(["m"], 1)
        calls = [
            {"call_id": f"c{i}", "model_id": "m", "start_time": str(start_ms + i), "duration": 1}
            | (change if i < 4 else {})
            for i in range(10)
        ]
        is_listed = int(query.get("from_date", 0)) <= start_ms + 9 <= int(query.get("to_date", 2**63))
        return page(calls[int(query["offset"]) :][: int(query["limit"])] if is_listed else [], 10 * is_listed)

    with serving(respond) as url:
        assert says in problems(Settings.of(api_key="key", base_url=url), until="records")["records"]


@pytest.mark.usefixtures("not_at_midnight")
def test_a_response_that_would_lose_landed_calls_is_a_problem(
    start_sandbox: StartSandbox, settings_for: SettingsFor
) -> None:
    """A run does not replace what landed with what it cannot decode, even if most records are fine."""
    sandbox = start_sandbox(agents=1, calls_per_day=60, same_volume=True)
    settings = settings_for(sandbox)
    day = last_closed_day("UTC")
    with SynthflowClient.from_settings(settings) as client:
        agents = resolve_agents(client, settings).agents
        list(load_calls(client, Warehouse(settings.warehouse), settings, agents, [day], log=print))
    for fault, says in [
        ("durations_as_fractions", "landed before; most often, duration is a fraction"),
        ("missing_calls", "no longer lists 30 of 60 calls"),
        ("statuses_as_null", "call_status is missing or empty in 60 of 60 calls"),
    ]:
        sandbox.api.config = dataclasses.replace(sandbox.api.config, faults={fault: 1e9})
        assert says in problems(settings, until="records")["records"]


def test_the_trial_of_a_run_writes_nothing(
    start_sandbox: StartSandbox, settings_for: SettingsFor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/proc/none")  # not writable
    assert problems(settings_for(start_sandbox(calls_per_day=60))) == {}
    assert list(tmp_path.iterdir()) == []
    with LandingTrial(Partition(dt.date(2026, 3, 10), "m"), "UTC") as trial:
        row = trial._connection.execute("SELECT current_setting('temp_directory')").fetchone()
    assert row == ("",)


def test_a_margin_shorter_than_calls(start_sandbox: StartSandbox, settings_for: SettingsFor) -> None:
    settings = settings_for(start_sandbox(window_filters="end"), window_margin_seconds=60)
    found = findings(settings, until="margin")["margin"]
    assert found.verdict is Verdict.PROBLEM
    assert "longer than SYNTHFLOW_WINDOW_MARGIN_SECONDS (60)" in found.text
    # The remedy is a command that works as it is, also on a file that an editor left without a last newline.
    Path(".env").write_text("SYNTHFLOW_REGION=eu")
    subprocess.run(found.remedy, shell=True, check=True)  # noqa: S602
    longest = int(re.search(r"took ([0-9,]+) s", found.text)[1].replace(",", ""))  # type: ignore[index]
    assert Settings.load().region == "eu"
    assert longest < Settings.load().window_margin_seconds < longest + 3601
    assert problems(settings_for(start_sandbox(), window_margin_seconds=60), until="margin") == {}


@pytest.mark.parametrize(("calls", "verdict"), [(60, Verdict.OK), (0.4, Verdict.NOTE)])
def test_nothing_follows_from_too_few_calls(
    start_sandbox: StartSandbox, settings_for: SettingsFor, calls: float, verdict: Verdict
) -> None:
    found = findings(settings_for(start_sandbox(agents=1, calls_per_day=calls)), until="margin")["margin"]
    assert found.verdict is verdict
    said = r"Only \d+ recent calls could be" if verdict is Verdict.NOTE else "The window filters the start of 23 recent"
    assert re.match(said, found.text)


@pytest.mark.parametrize(("filters", "time"), [("creation", "creation"), ("scheduled_start", "scheduled start")])
def test_a_margin_shorter_than_the_time_before_a_start(
    start_sandbox: StartSandbox, settings_for: SettingsFor, filters: str, time: str
) -> None:
    settings = settings_for(start_sandbox(agents=1, window_filters=filters))
    with_short_margin = settings.model_copy(update={"window_margin_seconds": 60})
    reading = read_api(settings)
    short = {finding.subject: finding for finding in _describe(reading, with_short_margin)}
    assert short["window"].text == f"from_date filters the {time} of calls, to_date their {time}."
    assert short["margin"].verdict is Verdict.PROBLEM
    assert {finding.verdict for finding in _describe(reading, settings)} == {Verdict.OK}
    # Calls that wait for more than a day need more than the largest margin.
    waiting = dataclasses.replace(reading, lead_seconds=86_401)
    for lookback_days, verdict in ((1, Verdict.PROBLEM), (3, Verdict.NOTE)):
        found = _margin(60, 3600, lookback_days, waiting)
        assert found.verdict is verdict
        assert "waited more than a day for their start" in found.text
        assert ("SYNTHFLOW_LOOKBACK_DAYS=3" in found.remedy) is (verdict is Verdict.PROBLEM)


def read_api(settings: Settings) -> ApiReading:
    with SynthflowClient.from_settings(settings) as client:
        return probe(client, client.list_agents()[0].model_id, OPEN_STATUSES)


@pytest.fixture
def use_zones() -> Iterator[Callable[..., None]]:
    """Makes Python use the zone data of the given folders only; of the package `tzdata` if there are none."""

    def use(*folders: Path) -> None:
        zoneinfo.reset_tzpath(to=folders)
        zoneinfo.ZoneInfo.clear_cache()

    yield use
    zoneinfo.reset_tzpath()
    zoneinfo.ZoneInfo.clear_cache()


def test_old_zone_data(use_zones: Callable[..., None], tmp_path: Path) -> None:
    """In data of before 2026, the clocks of Vancouver change in winter, as those of Los Angeles do."""
    today = dt.date(2026, 11, 28)  # in 2028, the zone data of 2026 is said to be old
    (tmp_path / "America").mkdir()
    with files("tzdata.zoneinfo.America").joinpath("Los_Angeles").open("rb") as file:
        (tmp_path / "America" / "Vancouver").write_bytes(file.read())
    (tmp_path / "tzdata.zi").write_text("# version 2024b\n# Zone data\n")
    use_zones(tmp_path)
    finding = _examine_timezone(Settings.of(timezone="America/Vancouver"), today)
    assert finding.verdict is Verdict.PROBLEM
    assert f"in {tmp_path} (2024b) is older" in finding.text
    assert "from 2026-11-02 on" in finding.text
    assert finding.remedy.endswith("install tzdata")
    use_zones()
    assert (
        "DuckDB's zone data differs from 2026-11-02 on"
        in _examine_timezone(Settings.of(timezone="America/Vancouver"), today).text
    )
    assert _examine_timezone(Settings.of(timezone="Europe/Berlin"), today).verdict is Verdict.OK


def test_unknown_fields() -> None:
    start_ms = day_bounds_ms(last_closed_day("UTC"), "UTC")[0]
    call = {"call_id": "a", "model_id": "m", "start_time": str(start_ms), "duration": 1, "mood": {"score": 0.5}}

    def respond(query: dict[str, str]) -> tuple[int, bytes]:
        if query["path"].endswith("/assistants/"):
            return agents_page(["m"], 1)
        is_listed = int(query.get("from_date", 0)) <= start_ms <= int(query.get("to_date", 2**63))
        return page([call] if is_listed and query["offset"] == "0" else [], int(is_listed))

    with serving(respond) as url:
        found = findings(Settings.of(api_key="key", base_url=url))
    assert found["fields"].verdict is Verdict.NOTE
    assert "mood" in found["fields"].text


def test_warehouse(tmp_path: Path, empty_file: Path) -> None:
    def examined(**values: str) -> dict[str, Finding]:
        """The warehouse and exports are examined even if the API cannot be reached."""
        usual = {"warehouse": str(tmp_path / "none.duckdb")}
        return findings(Settings.of(**{**usual, **values}), {"us": "http://no-such-host.invalid/v2"})

    text = tmp_path / "notes.txt"
    text.write_text("no database")
    problem = examined(warehouse=str(text))["warehouse"]
    assert (problem.verdict, "it is not a DuckDB file" in problem.text) == (Verdict.PROBLEM, True)
    problem = examined(warehouse="/proc/none/a.duckdb")["warehouse"]
    assert (problem.verdict, "cannot be created" in problem.text) == (Verdict.PROBLEM, True)
    foreign = tmp_path / "foreign.duckdb"
    duckdb.connect(str(foreign)).close()
    problem = examined(warehouse=str(foreign))["warehouse"]
    assert (problem.verdict, "lacks tables" in problem.text) == (Verdict.PROBLEM, True)
    own = tmp_path / "own.duckdb"
    shutil.copy(empty_file, own)
    found = examined(warehouse=str(own), export_dir=str(tmp_path / "out"))
    assert "Nothing has landed yet" in found["warehouse"].text
    assert found["exports"].text.endswith("out is writable.")
    problem = examined(export_dir="/proc/none")["exports"]
    assert (problem.verdict, "it is not writable" in problem.text) == (Verdict.PROBLEM, True)


def test_a_report_that_would_replace_another_file_is_a_problem(tmp_path: Path) -> None:
    """Each run failed at its last step, and the doctor found nothing wrong."""
    path = tmp_path / "warehouse.duckdb"
    settings = Settings.of(warehouse=str(path), report=str(path))
    urls = {"us": "http://no-such-host.invalid/v2"}
    said = f"The report cannot be written: {path} belongs to the warehouse; set SYNTHFLOW_REPORT to another path."
    assert problems(settings, urls)["report"] == said
    notes = tmp_path / "notes.html"
    notes.write_text("mine")
    assert (
        "notes.html is not a report; set"
        in problems(settings.model_copy(update={"report": str(notes)}), urls)["report"]
    )


def test_the_default_file_of_earlier_versions_is_named(
    tmp_path: Path, empty_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings.of(warehouse="data/warehouse.duckdb")
    assert warehouse_of(settings).verdict is Verdict.OK
    Path("data").mkdir()
    shutil.copy(empty_file, "data/synthflow.duckdb")
    found = warehouse_of(settings)
    assert "data/synthflow.duckdb exists" in found.text
    subprocess.run(["/bin/sh", "-c", found.remedy], check=True)
    assert Path(".env").read_text().strip() == "SYNTHFLOW_WAREHOUSE=data/synthflow.duckdb"
    shutil.copy(empty_file, "data/warehouse.duckdb")
    assert "Nothing has landed yet" in warehouse_of(settings).text


def warehouse_of(settings: Settings) -> Finding:
    """What the doctor says about the warehouse."""
    [finding] = _examine_warehouse(settings)
    return finding


def warehouse_at(settings: Settings, monkeypatch: pytest.MonkeyPatch, now: dt.datetime) -> Finding:
    """What the doctor says about the warehouse at this time."""
    monkeypatch.setattr(doctor, "last_due_day", partial(last_due_day, now=now))
    return warehouse_of(settings)


def test_gaps_are_trouble_and_the_command_repairs_them(
    start_sandbox: StartSandbox, settings_for: SettingsFor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Days before the first landed one and between others were not noticed; a day that is not due yet is no gap."""
    settings = settings_for(start_sandbox(agents=1, calls_per_day=2), start_date=dt.date(2026, 3, 1))
    with SynthflowClient.from_settings(settings) as client:
        agents = resolve_agents(client, settings).agents
        landed = [dt.date(2026, 3, 5), dt.date(2026, 3, 7), dt.date(2026, 3, 8)]
        list(load_calls(client, Warehouse(settings.warehouse), settings, agents, landed, log=print))
    with Warehouse(settings.warehouse).connect() as connection:
        replace_metrics(connection, landed, settings)
    due, early = dt.datetime(2026, 3, 9, 7, 30, tzinfo=dt.UTC), dt.datetime(2026, 3, 10, 6, 30, tzinfo=dt.UTC)
    for now in (due, early):
        found = warehouse_at(settings, monkeypatch, now)
        assert found.verdict is Verdict.PROBLEM
        assert " calls from 2026-03-05 to 2026-03-08. 5 days have gaps, from 2026-03-01 to 2026-03-06." in found.text
        assert "2026-03-01 to 2026-03-04 " in found.text
        assert ": never landed (and 1 more)" in found.text
    assert found.remedy == (
        "dg launch -m synthflow_assets.definitions --assets 'group:synthflow' "
        "--partition-range 2026-03-01...2026-03-06 "
        """--config-json '{"ops": {"synthflow__fetch_calls": {"config": {"only_missing": true}}}}'"""
    )
    from_7 = settings.model_copy(update={"start_date": dt.date(2026, 3, 7), "model_ids": (agents[0].model_id,)})
    assert warehouse_at(from_7, monkeypatch, early).verdict is Verdict.OK
    assert "1 day has gaps, 2026-03-09. " in warehouse_at(from_7, monkeypatch, early + dt.timedelta(hours=1)).text
    exporting = from_7.model_copy(update={"export_dir": str(tmp_path / "exports")})
    assert "no export is as new as its table" in warehouse_at(exporting, monkeypatch, early).text
    with duckdb.connect(settings.warehouse) as connection:
        connection.execute("DROP TABLE synthflow.metric_computations; UPDATE synthflow.schema_version SET version = 7")
    found = warehouse_at(from_7, monkeypatch, early)
    assert (found.verdict, "The next run migrates them" in found.text) == (Verdict.NOTE, True)


def test_a_margin_shorter_than_the_time_before_some_starts_is_a_problem(
    start_sandbox: StartSandbox, settings_for: SettingsFor
) -> None:
    # Which of the latest calls were created early depends on the time of day.
    for seed in range(8):
        sandbox = start_sandbox(agents=1, seed=seed, window_filters="early_creation")
        found = findings(settings_for(sandbox), until="margin")
        if "a time before the start of some calls" in found["window"].text:
            assert found["margin"].verdict is Verdict.PROBLEM
            assert "SYNTHFLOW_WINDOW_MARGIN_SECONDS=7200" in found["margin"].remedy
            return
    raise AssertionError("no samples differed")


def test_a_vanished_warehouse_is_noted_if_a_start_date_is_set(tmp_path: Path, empty_file: Path) -> None:
    start, expected = last_due_day("UTC") - dt.timedelta(days=9), last_due_day("UTC")
    settings = Settings.of(warehouse=str(tmp_path / "warehouse.duckdb"), start_date=start)
    found = warehouse_of(settings)
    assert found.verdict is Verdict.NOTE
    assert found.text.endswith(f"The first run creates it. The days from {start} to {expected} are missing.")
    assert str(found.remedy).endswith(f"--partition-range {start}...{expected}")
    shutil.copy(empty_file, settings.warehouse)
    assert f"Nothing has landed yet. The days from {start}" in warehouse_of(settings).text
    future = settings.model_copy(update={"start_date": expected + dt.timedelta(days=3)})
    assert warehouse_of(future).verdict is Verdict.OK
