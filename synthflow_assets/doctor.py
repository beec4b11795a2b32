"""Examine everything that a fetch depends on, and report what is wrong and how to correct it.

Nothing is written to the API, the warehouse or temporary files. A bucket of exports gets one small object, which shows
that the bucket accepts writes. The warehouse is examined even if the API fails.
"""

from __future__ import annotations

import datetime as dt
import re
import shlex
import socket
import urllib.request
import zoneinfo
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pyarrow as pa

from synthflow_assets.agents import Agent
from synthflow_assets.api.client import SynthflowClient
from synthflow_assets.api.events import CallWindow, FailedWindow, FetchedPage, FetchedWindow
from synthflow_assets.api.fetch import fetch_windows
from synthflow_assets.api.pages import MAX_PAGE_SIZE
from synthflow_assets.api.probe import ApiReading, probe
from synthflow_assets.days import day_bounds_ms, last_closed_day, last_due_day
from synthflow_assets.errors import ApiError, AuthenticationError, SettingsError, WarehouseError
from synthflow_assets.loading import resolve_agents
from synthflow_assets.orchestration.checks import launch_commands
from synthflow_assets.orchestration.sensors.channels import send_test_alert
from synthflow_assets.orchestration.workspace import Workspace
from synthflow_assets.quality import NO_GAPS, Problem, find_problems, merge_days
from synthflow_assets.report import report_path_error
from synthflow_assets.settings import REGION_URLS, Settings, variable
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.export import examine_export_folder
from synthflow_assets.warehouse.schema import CALL_FIELDS, OPEN_STATUSES, SCHEMA_VERSION, VERSION
from synthflow_assets.warehouse.staging import Partition
from synthflow_assets.warehouse.trial import LANDED_COLUMNS, LandingTrial, TrialResult
from synthflow_assets.zone_data import examine_zone_data

_LOCK_WAIT_SECONDS = 5.0
_CLOCK_TOLERANCE_SECONDS = 30.0
_AGENTS_SHOWN = 20
_CALLS_FETCHED = 1_000  # at most, in the trial of a fetch
_MANY_REJECTS = 0.1  # of the calls of a day
_FIXED_ZONES = ("UTC", "Etc/UTC", "Zulu", "GMT", "Etc/GMT")
_UPDATE_SYSTEM_ZONES = "sudo apt-get update && sudo apt-get install tzdata"
_EARLIER_DEFAULT = "data/synthflow.duckdb"
_LOOKBACK_DAYS_FOR_LEADS = 3  # if calls wait more than a day for their start
_MIN_CALLS_FOR_MARGIN = 20
_MAX_MARGIN_SECONDS = 86_400  # the largest value that the setting allows


class Verdict(StrEnum):
    """The severity of a finding."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """The result of one examination."""

    verdict: Verdict
    subject: str
    text: str  # one or two sentences
    remedy: str = ""  # a shell command that helps, if there is one
    response: str = ""  # what the API said; it may hold personal data


def examine(
    settings: Settings, region_urls: Mapping[str, str] = REGION_URLS, *, send_alerts: bool = False
) -> Iterator[Finding]:
    """Examine settings, API and warehouse.

    Args:
        settings: of the workspace.
        region_urls: the base URL of the API by region.
        send_alerts: also send a test alert through every channel.

    Yields:
        Findings as they are made: a finding comes after those that it depends on.
    """
    changed = [variable(name) for name in Settings.model_fields if name in settings.model_fields_set]
    text = f"These differ from the default: {', '.join(changed)}." if changed else "All settings have their default."
    yield Finding(Verdict.OK, "settings", text)
    yield _examine_timezone(settings, dt.datetime.now(dt.UTC).date())
    yield from _examine_api(settings, region_urls)
    yield from _examine_warehouse(settings)
    yield from _examine_report(settings)
    if settings.export_folder is not None:
        yield _examine_exports(settings.export_folder)
    if send_alerts:
        yield from _examine_alerts(settings)


def _examine_alerts(settings: Settings) -> Iterator[Finding]:
    try:
        results = send_test_alert(settings)
    except SettingsError as error:
        yield Finding(Verdict.PROBLEM, "alerts", _sentence(error))
        return
    if not results:
        yield Finding(Verdict.NOTE, "alerts", "No channel is set, so no alerts are sent.")
    for channel, problem in results.items():
        if problem is None:
            yield Finding(Verdict.OK, "alerts", f"The channel accepted a test alert: {channel}.")
        else:
            yield Finding(Verdict.PROBLEM, "alerts", _sentence(problem))


def _set(field: str, value: object) -> str:
    """Return the command that sets a setting: the last line of `.env` that names it applies."""
    # The empty line ends a last line without a newline, which would otherwise swallow the setting.
    return f"(echo; echo {shlex.quote(f'{variable(field)}={value}')}) >> .env"


def _sentence(message: object) -> str:
    """Return the message of an error as a sentence."""
    text = str(message)
    if text.split(maxsplit=1)[0].isalpha():  # not a path or a name
        text = text[0].upper() + text[1:]
    return text if text.endswith((".", "?")) else f"{text}."


def _examine_timezone(settings: Settings, today: dt.date) -> Finding:
    """Return the finding about the zone data. If it is old, days begin at a wrong time."""
    timezone = settings.timezone
    data = examine_zone_data(timezone, settings.start_date, today)
    version, place = data.version or "of an unknown version", data.folder or "Python's package tzdata"
    if data.differs_from is not None:
        text = (
            f"The zone data in {place} ({version}) is older than Python's package tzdata ({data.newer_version}). "
            f"They differ for {timezone}, from {data.differs_from} on: days would begin at a wrong time."
        )
        return Finding(Verdict.PROBLEM, "time zone", text, _UPDATE_SYSTEM_ZONES)
    text = f"The zone data for {timezone} is {version}, from {place}."
    if timezone not in _FIXED_ZONES and (data.year or 0) < today.year - 1:
        text = f"{text} The rules of {timezone} may have changed since then."
        remedy = _UPDATE_SYSTEM_ZONES if data.folder else "pip install --upgrade tzdata"
        return Finding(Verdict.NOTE, "time zone", text, remedy)
    if data.duckdb_differs_from is not None:
        text = (
            f"{text} DuckDB's zone data differs from {data.duckdb_differs_from} on. The tables are not affected. In "
            "your own SQL, use the column `day` instead of AT TIME ZONE."
        )
        return Finding(Verdict.NOTE, "time zone", text)
    return Finding(Verdict.OK, "time zone", text)


def _examine_api(settings: Settings, region_urls: Mapping[str, str]) -> Iterator[Finding]:
    url = settings.base_url or region_urls[settings.region]
    host = _examine_host(url, "SYNTHFLOW_BASE_URL, and " if settings.base_url else "")
    yield host
    if settings.api_key is None:
        text = f"{variable('api_key')} is not set. Synthflow's dashboard shows the key under Settings, API keys."
        yield Finding(Verdict.PROBLEM, "key", text, _set("api_key", "YOUR_KEY"))
    if host.verdict is Verdict.PROBLEM or settings.api_key is None:
        return
    with SynthflowClient.from_settings(settings.model_copy(update={"base_url": url})) as client:
        client.wait_for_outages(0, lambda _: None)  # the user waits for the finding
        try:
            resolved = resolve_agents(client, settings)
        except AuthenticationError:
            yield _examine_regions(settings, region_urls)
            return
        except SettingsError as error:
            yield Finding(Verdict.OK, "key", f"{url} accepts the key.")
            yield Finding(Verdict.PROBLEM, "agents", _sentence(error))
            return
        except ApiError as error:
            yield Finding(Verdict.PROBLEM, "API", _sentence(error), response=error.response_text)
            return
        if resolved.warning:
            yield Finding(Verdict.PROBLEM, "agents", _sentence(resolved.warning), "synthflow-assets agents")
        try:
            yield from _examine_calls(client, settings, resolved.agents)
        except ApiError as error:
            yield Finding(Verdict.PROBLEM, "calls", _sentence(error), response=error.response_text)


def _examine_host(url: str, setting: str) -> Finding:
    host = urlsplit(url).hostname or ""
    proxies = urllib.request.getproxies()
    if urlsplit(url).scheme in proxies and not urllib.request.proxy_bypass(host):
        return Finding(Verdict.OK, "host", f"{host} is reached through the proxy of this machine.")
    try:
        addresses = {str(found[4][0]) for found in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "not a host name"
        text = f"{host} cannot be resolved ({reason}). Check {setting}network and DNS of this machine."
        return Finding(Verdict.PROBLEM, "host", text, f"nslookup {shlex.quote(host)}")
    return Finding(Verdict.OK, "host", f"{host} resolves to {', '.join(sorted(addresses)[:3])}.")


def _examine_regions(settings: Settings, region_urls: Mapping[str, str]) -> Finding:
    """Return whether another region accepts the key that this one refused."""
    if settings.base_url:
        # The key is not sent to hosts that the user did not name.
        text = (
            "SYNTHFLOW_BASE_URL refuses the key (401). Check the key, or remove SYNTHFLOW_BASE_URL so that the doctor "
            "tries every region."
        )
        return Finding(Verdict.PROBLEM, "key", text)
    unreached = []
    for region, url in region_urls.items():
        if region == settings.region:
            continue
        with SynthflowClient.from_settings(settings.model_copy(update={"base_url": url})) as client:
            client.wait_for_outages(0, lambda _: None)
            try:
                client.list_agents()
            except AuthenticationError:
                continue
            except ApiError:
                unreached.append(region)
                continue
        text = f"Region {settings.region} refuses the key (401), but region {region} accepts it."
        return Finding(Verdict.PROBLEM, "key", text, _set("region", region))
    others = f" ({', '.join(unreached)} did not respond)" if unreached else ""
    text = f"Every region refuses the key (401){others}. Make a new key in Synthflow's dashboard: Settings, API keys."
    return Finding(Verdict.PROBLEM, "key", text, _set("api_key", "NEW_KEY"))


def _examine_calls(client: SynthflowClient, settings: Settings, agents: list[Agent]) -> Iterator[Finding]:
    yield Finding(Verdict.OK, "key", f"{client.base_url} accepts the key.")
    yield _examine_clock(client)
    day = last_closed_day(settings.timezone)
    from_ms, to_ms = day_bounds_ms(day, settings.timezone)
    span_ms = to_ms - 30 * 86_400_000, to_ms

    def count(agent: Agent) -> _Count:
        last_day = client.list_calls(agent.model_id, limit=1, from_date=from_ms, to_date=to_ms).total_records
        if last_day:
            return _Count(last_day, last_day, None)
        page = client.list_calls(agent.model_id, limit=1, from_date=span_ms[0], to_date=span_ms[1])
        starts = (call.start_ms for call in page.calls if call.start_ms is not None)
        start_ms = next((start_ms for start_ms in starts if span_ms[0] <= start_ms < span_ms[1]), None)
        return _Count(0, page.total_records, start_ms)

    with ThreadPoolExecutor(client.max_connections) as pool:
        counts = dict(zip(agents, pool.map(count, agents), strict=True))
    calls = sum(found.last_day for found in counts.values())
    busiest = sorted(agents, key=lambda agent: counts[agent][:2], reverse=True)
    shown = ", ".join(f"{agent.label} {counts[agent].last_day:,}" for agent in busiest[:_AGENTS_SHOWN])
    more = f", and {len(agents) - _AGENTS_SHOWN} more" if len(agents) > _AGENTS_SHOWN else ""
    text = f"{len(agents):,} agents had {calls:,} calls on {day}: {shown}{more}."
    yield Finding(Verdict.OK, "agents", text)
    yield from _examine_fetch(client, settings, _trial_agent(agents, counts), counts, day)
    if counts[busiest[0]].in_30_days == 0:
        text = "The last 30 days have no calls, so the behaviour of the API could not be examined."
        yield Finding(Verdict.NOTE, "calls", text)
        return
    yield from _describe(probe(client, busiest[0].model_id, OPEN_STATUSES), settings)


class _Count(NamedTuple):
    """How many calls an agent had, and the start of one of them in epoch milliseconds if the last day has none."""

    last_day: int
    in_30_days: int
    start_ms: int | None


def _trial_agent(agents: list[Agent], counts: Mapping[Agent, _Count]) -> Agent:
    """Return the busiest of the agents with few calls, so that the trial takes seconds."""

    def rank(agent: Agent) -> tuple[bool, int, bool]:
        calls = counts[agent].last_day
        return calls > _CALLS_FETCHED, abs(_CALLS_FETCHED - calls), counts[agent].start_ms is None

    return min(agents, key=rank)


def _examine_fetch(
    client: SynthflowClient, settings: Settings, agent: Agent, counts: Mapping[Agent, _Count], day: dt.date
) -> Iterator[Finding]:
    """Yield findings about fetching and decoding a day of an agent by the code that a run uses. Nothing lands.

    If the last day has no calls, an earlier day with calls is fetched instead.
    """
    start_ms = counts[agent].start_ms
    if start_ms is not None:
        day = dt.datetime.fromtimestamp(start_ms / 1000, zoneinfo.ZoneInfo(settings.timezone)).date()
    window = CallWindow(agent.model_id, *day_bounds_ms(day, settings.timezone))
    events = fetch_windows(
        client,
        [window],
        margin_seconds=settings.window_margin_seconds,
        page_size=settings.page_size,
        now_ms=client.now_ms,
    )
    landed = _landed_calls(settings, day)
    partition = Partition(day, agent.model_id)
    try:
        with LandingTrial(
            partition, settings.timezone, settings.pii, settings.hash_key, landed, settings.vanished_fields
        ) as trial:
            for event in events:
                match event:
                    case FetchedPage():
                        trial.add([record.raw for record in event.records])
                    case FetchedWindow():
                        calls = event.result.fetched - event.result.outside_window - event.result.other_model
                        text = f"{day} of {agent.label} was fetched: {calls:,} calls, none missing."
                        yield Finding(Verdict.OK, "fetch", text)
                        yield from _decoding(
                            f"{day} of {agent.label}", calls, event.result.other_model, trial.result(event.result)
                        )
                    case FailedWindow():
                        text = f"{day} of {agent.label} cannot be fetched: {_sentence(event.error)}"
                        yield Finding(Verdict.PROBLEM, "fetch", text, response=event.error.response_text)
    except WarehouseError as error:
        yield Finding(Verdict.PROBLEM, "records", _sentence(error))


def _landed_calls(settings: Settings, day: dt.date) -> pa.Table | None:
    """Return the calls that landed on days around this one, because a run must not lose them.

    None if the warehouse cannot be read, which has a finding of its own.
    """
    week = dt.timedelta(days=7)
    try:
        warehouse = _warehouse(settings)
        if not warehouse.exists():
            return None
        query = f"SELECT {', '.join(LANDED_COLUMNS)} FROM calls WHERE day BETWEEN $1 AND $2"  # noqa: S608 (our names)
        with warehouse.connect(read_only=True) as connection:
            return connection.execute(query, [day - week, day + week]).to_arrow_table()
    except WarehouseError:
        return None


def _decoding(partition: str, calls: int, other_model: int, result: TrialResult) -> Iterator[Finding]:
    """Yield findings about decoding the calls of a partition."""
    if result.error is not None:
        yield Finding(Verdict.PROBLEM, "records", f"{partition} would not land: {_sentence(result.error)}")
        return
    notes = [f"{count:,} records would be rejected: {reason}" for reason, count in result.rejected.items()]
    many = _MANY_REJECTS * (calls + other_model)
    if other_model:
        notes.append(f"{other_model:,} records of another agent would be left out")
    verdict = Verdict.PROBLEM if sum(result.rejected.values()) + other_model > many else Verdict.NOTE
    for note in notes:
        yield Finding(verdict, "records", f"{partition}: {note}.")
    for warning in result.warnings:
        yield Finding(Verdict.NOTE, "records", f"{partition}: {warning}.")
    if not (notes or result.warnings):
        yield Finding(Verdict.OK, "records", f"All {calls:,} calls can be decoded.")


def _examine_clock(client: SynthflowClient) -> Finding:
    ahead = client.clock_ahead_seconds
    if ahead is None:
        text = "The API does not send its time, so this machine's clock could not be compared with it."
        return Finding(Verdict.NOTE, "clock", text)
    if abs(ahead) <= _CLOCK_TOLERANCE_SECONDS:
        return Finding(Verdict.OK, "clock", "This machine's clock agrees with the API's.")
    direction, effect = ("ahead of", "early") if ahead > 0 else ("behind", "late")
    text = f"This machine's clock is {abs(ahead):,.0f} s {direction} the API's, so days would end too {effect}."
    return Finding(Verdict.PROBLEM, "clock", text, "sudo timedatectl set-ntp true")


def _describe(reading: ApiReading, settings: Settings) -> Iterator[Finding]:
    """Yield how the API behaves, and what that means for fetches."""
    if not reading.honours_window:
        text = (
            "The API ignores from_date and to_date, so every fetch would fail. SYNTHFLOW_BASE_URL must be the address "
            "of Synthflow's v2 API."
        )
        yield Finding(Verdict.PROBLEM, "window", text, _set("base_url", REGION_URLS[settings.region]))
        return
    yield Finding(Verdict.OK, "window", _window_text(reading))
    if reading.honours_offset is False:
        text = "The API ignores offset, so days of more than 100 calls would fail. Report this to Synthflow."
        yield Finding(Verdict.PROBLEM, "pages", text)
    else:
        limit = "refuses" if reading.refuses_larger_pages else "allows"
        size = min(reading.sample, MAX_PAGE_SIZE)
        text = f"A page of {size} calls took {reading.page_seconds:.2f} s. The API {limit} more than {MAX_PAGE_SIZE}."
        yield Finding(Verdict.OK, "pages", text)
    if reading.order:
        order = "in no visible order" if reading.order == "none" else reading.order
        yield Finding(Verdict.OK, "order", f"The API lists calls {order}.")
    if reading.lists_open_calls:
        text = (
            "The API lists calls in progress. They land, and their days are fetched again until the calls have ended."
        )
        yield Finding(Verdict.OK, "open calls", text)
    longest = reading.longest_call_seconds
    if longest is not None:
        yield _margin(longest, settings.window_margin_seconds, settings.lookback_days, reading)
    yield from _fields(reading)


def _window_text(reading: ApiReading) -> str:
    if reading.lead_seconds and (reading.from_filters is None or reading.to_filters is None):
        return "The API filters a time before the start of some calls. The margin must be longer than that difference."
    if reading.from_filters is None or reading.to_filters is None:
        return "The calls do not show which of their times the window filters. Fetches work with each of them."

    def ends(inclusive: bool | None) -> str:
        return "" if inclusive is None else " (inclusive)" if inclusive else " (exclusive)"

    return (
        f"from_date filters the {reading.from_filters} of calls{ends(reading.from_inclusive)}, "
        f"to_date their {reading.to_filters}{ends(reading.to_inclusive)}."
    )


def _margin(longest_seconds: int, margin_seconds: int, lookback_days: int, reading: ApiReading) -> Finding:
    if reading.from_filters == "start" and reading.to_filters == "start":
        calls = f"{reading.examined} recent calls"
        if reading.examined < _MIN_CALLS_FOR_MARGIN:
            text = f"Only {calls} could be examined, too few to tell whether a margin is necessary."
            return Finding(Verdict.NOTE, "margin", text)
        return Finding(Verdict.OK, "margin", f"The window filters the start of {calls}, so they need no margin.")
    if reading.lead_seconds:
        longest_seconds = max(longest_seconds, reading.lead_seconds)
        seen = f"Recent calls took, or waited for their start, up to {longest_seconds:,} s"
    else:
        seen = f"The longest of {reading.sample} recent calls took {longest_seconds:,} s"
    if longest_seconds < margin_seconds:
        return Finding(Verdict.OK, "margin", f"{seen}; SYNTHFLOW_WINDOW_MARGIN_SECONDS is {margin_seconds:,}.")
    text = f"{seen}, longer than SYNTHFLOW_WINDOW_MARGIN_SECONDS ({margin_seconds:,})."
    enough_seconds = (longest_seconds // 3600 + 1) * 3600
    if enough_seconds <= _MAX_MARGIN_SECONDS:
        return Finding(Verdict.PROBLEM, "margin", text, _set("window_margin_seconds", enough_seconds))
    text = (
        "Recent calls waited more than a day for their start, which is the largest margin. Such a call lands if one "
        "run fetches both its day and the day that lists it, as the daily schedule does with its look-back. So fetch "
        "older days as ranges."
    )
    if lookback_days >= _LOOKBACK_DAYS_FOR_LEADS:
        return Finding(Verdict.NOTE, "margin", text)
    return Finding(Verdict.PROBLEM, "margin", text, _set("lookback_days", _LOOKBACK_DAYS_FOR_LEADS))


def _fields(reading: ApiReading) -> Iterator[Finding]:
    known = {str(column.source) for column in CALL_FIELDS} | {"model_id"}
    # An unusual name may hold anything, so it is counted but not shown.
    new = sorted(name for name in reading.fields - known if re.fullmatch(r"[a-z][a-z_]{0,40}", name))
    if reading.fields - known:
        shown = f": {', '.join(new)}" if new else ""
        text = f"{len(reading.fields - known)} fields have no column in this version and land in `extra`{shown}."
        yield Finding(Verdict.NOTE, "fields", text)
    else:
        yield Finding(Verdict.OK, "fields", f"All {len(reading.fields)} fields of the calls have a column.")


def _examine_warehouse(settings: Settings) -> Iterator[Finding]:
    try:
        warehouse = _warehouse(settings)
        if not warehouse.exists():
            problem = warehouse.engine.creation_error()
            if problem is None:
                yield _not_yet(settings)
            else:
                text = f"{settings.warehouse} cannot be created: {problem}."
                default = Settings.model_fields["warehouse"].default
                yield Finding(Verdict.PROBLEM, "warehouse", text, _set("warehouse", default))
            return
        loads = warehouse.read_frame("call_loads")
        gaps = _gaps(warehouse, settings)
    except WarehouseError as error:
        yield Finding(Verdict.PROBLEM, "warehouse", _sentence(error))
        return
    if not warehouse.engine.is_writable():
        text = f"{settings.warehouse} is readable but not writable for this user."
        command = f'sudo chown "$(id -un)" {shlex.quote(settings.warehouse)}'
        yield Finding(Verdict.PROBLEM, "warehouse", text, command)
    elif loads.empty:
        yield _nothing_landed(settings, f"{settings.warehouse} exists. Nothing has landed yet.")
    else:
        first, last = loads["day"].min().date(), loads["day"].max().date()
        text = f"{settings.warehouse} has {int(loads['landed'].sum()):,} calls from {first} to {last}."
        yield _landed(settings, text, gaps)


def _examine_exports(folder: str) -> Finding:
    try:
        examine_export_folder(folder)
    except WarehouseError as error:
        return Finding(Verdict.PROBLEM, "exports", _sentence(error))
    return Finding(Verdict.OK, "exports", f"{folder} is writable.")


def _examine_report(settings: Settings) -> Iterator[Finding]:
    """Yield a finding if each run would fail at its last step, because the report must not replace a file."""
    try:
        problem = report_path_error(_warehouse(settings), settings, settings.report_path)
    except WarehouseError:
        return  # the finding about the warehouse reports it
    if problem is not None:
        yield Finding(Verdict.PROBLEM, "report", f"The report cannot be written: {problem}.")


def _warehouse(settings: Settings) -> Warehouse:
    return Warehouse(
        settings.warehouse,
        settings.warehouse_schema,
        data_path=settings.lake_data_path,
        lock_wait_seconds=_LOCK_WAIT_SECONDS,
        on_wait=lambda _: None,  # the finding reports it
    )


def _not_yet(settings: Settings) -> Finding:
    """Return the finding about a warehouse that does not exist. It is new, or has the earlier default name."""
    text = f"{settings.warehouse} does not exist yet. The first run creates it."
    default = Settings.model_fields["warehouse"].default
    if settings.warehouse != default or not Path(_EARLIER_DEFAULT).is_file():
        return _nothing_landed(settings, text)
    text = f"{_EARLIER_DEFAULT} exists. It was the default; now the default is {default}. Keep using the earlier file."
    return Finding(Verdict.PROBLEM, "warehouse", text, _set("warehouse", _EARLIER_DEFAULT))


def _nothing_landed(settings: Settings, text: str) -> Finding:
    """Return the finding about a warehouse without days. If a start date is set, they are missing."""
    expected = last_due_day(settings.timezone)
    if "start_date" not in settings.model_fields_set or settings.start_date > expected:
        return Finding(Verdict.OK, "warehouse", text)
    text += f" The days from {settings.start_date} to {expected} are missing."
    return Finding(Verdict.NOTE, "warehouse", text, _launch(settings, "fetch", settings.start_date, expected))


def _gaps(warehouse: Warehouse, settings: Settings) -> list[Problem] | None:
    """Return what the check `no_gaps` finds, with consecutive days as one; None if the tables are not migrated yet."""
    with warehouse.connect(read_only=True) as connection:
        [(version,)] = connection.execute(f"SELECT max(version) FROM {VERSION.name}").fetchall()  # noqa: S608 (our name)
        if version is None or version < SCHEMA_VERSION:
            return None
        return merge_days(find_problems(connection, NO_GAPS, None, settings, last_due_day(settings.timezone)))


def _landed(settings: Settings, text: str, gaps: Sequence[Problem] | None) -> Finding:
    """Return the finding about a warehouse with days, and the command that repairs all gaps."""
    if gaps is None:
        text = f"{text} Its tables are of an earlier version. The next run migrates them; then run the doctor again."
        return Finding(Verdict.NOTE, "warehouse", text)
    if not gaps:
        return Finding(Verdict.OK, "warehouse", text)
    days = {gap.day + dt.timedelta(days=number) for gap in gaps if gap.day for number in range(gap.days)}
    first, last = min(days), max(days)
    place = f"1 day has gaps, {first}" if len(days) == 1 else f"{len(days):,} days have gaps, from {first} to {last}"
    others = f" (and {len(gaps) - 1:,} more)" if len(gaps) > 1 else ""
    text = f"{text} {place}. {gaps[0]}{others}. If a run is in progress, wait until it ends, then try again."
    return Finding(Verdict.PROBLEM, "warehouse", text, _launch(settings, "fetch_missing", first, last))


def _launch(settings: Settings, command: str, first: dt.date, last: dt.date) -> str:
    """Return the command that fetches these days: all with `fetch`, what is missing of them with `fetch_missing`."""
    workspace = replace(Workspace.of(settings), launch_command="dg launch -m synthflow_assets.definitions")
    return launch_commands(workspace, NO_GAPS, f"{first}", f"{last}")[command].strip("`")
