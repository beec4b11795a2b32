"""Examines everything that a fetch depends on, and says in plain words what is wrong and how to mend it.

Nothing is written, neither to the API nor to the warehouse. The examination goes on as far as it can: a warehouse is
looked at even where the key is wrong.
"""

from __future__ import annotations

import datetime as dt
import re
import socket
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from synthflow_assets.agents import Agent
from synthflow_assets.api.client import SynthflowClient
from synthflow_assets.api.pages import MAX_PAGE_SIZE
from synthflow_assets.api.probe import ApiReading, probe
from synthflow_assets.days import day_bounds_ms, last_closed_day
from synthflow_assets.errors import ApiError, AuthenticationError, SettingsError, WarehouseError
from synthflow_assets.loading import resolve_agents
from synthflow_assets.settings import REGION_URLS, Settings, variable
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.schema import CALL_FIELDS, OPEN_STATUSES

_LOCK_WAIT_SECONDS = 5.0
_CLOCK_TOLERANCE_SECONDS = 30.0
_AGENTS_SHOWN = 20


class Verdict(StrEnum):
    """How a finding is to be taken."""

    OK = "ok"
    NOTE = "note"
    TROUBLE = "trouble"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at, what was seen, and, where it is trouble, how to mend it."""

    verdict: Verdict
    subject: str
    text: str


def examine(settings: Settings, region_urls: Mapping[str, str] = REGION_URLS) -> Iterator[Finding]:
    """Look at everything, in the order in which one thing needs the other; findings come as they are made."""
    yield from _examine_api(settings, region_urls)
    yield from _examine_warehouse(settings)


def _examine_api(settings: Settings, region_urls: Mapping[str, str]) -> Iterator[Finding]:
    url = settings.base_url or region_urls[settings.region]
    host = _examine_host(url)
    yield host
    if host.verdict is Verdict.TROUBLE:
        return
    if settings.api_key is None:
        text = f"{variable('api_key')} is not set. Put the key into .env (Synthflow dashboard, Settings, API keys)"
        yield Finding(Verdict.TROUBLE, "key", text)
        return
    with SynthflowClient.from_settings(settings.model_copy(update={"base_url": url})) as client:
        try:
            resolved = resolve_agents(client, settings)
        except AuthenticationError:
            yield _examine_regions(settings, region_urls)
            return
        except SettingsError as error:
            yield Finding(Verdict.OK, "key", f"accepted by {url}")
            yield Finding(Verdict.TROUBLE, "agents", str(error))
            return
        except ApiError as error:
            yield Finding(Verdict.TROUBLE, "API", str(error))
            return
        if resolved.warning:
            yield Finding(Verdict.TROUBLE, "agents", resolved.warning)
        try:
            yield from _examine_calls(client, settings, resolved.agents)
        except ApiError as error:
            yield Finding(Verdict.TROUBLE, "calls", str(error))


def _examine_host(url: str) -> Finding:
    host = urlsplit(url).hostname or ""
    proxies = urllib.request.getproxies()
    if urlsplit(url).scheme in proxies and not urllib.request.proxy_bypass(host):
        return Finding(Verdict.OK, "host", f"{host}, by way of the proxy that this machine sets")
    try:
        addresses = {str(found[4][0]) for found in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "not a host name"
        text = f"{host} cannot be looked up ({reason}). Check SYNTHFLOW_BASE_URL and this machine's network and DNS"
        return Finding(Verdict.TROUBLE, "host", text)
    return Finding(Verdict.OK, "host", f"{host} is {', '.join(sorted(addresses)[:3])}")


def _examine_regions(settings: Settings, region_urls: Mapping[str, str]) -> Finding:
    """The key was refused: is it wrong, or only in the wrong region?"""
    refused = "refused (401)"
    if settings.base_url:
        # The key is not shown to hosts that its owner did not name.
        text = f"{refused} by SYNTHFLOW_BASE_URL. Check the key; or unset the address to have the regions tried"
        return Finding(Verdict.TROUBLE, "key", text)
    unreached = []
    for region, url in region_urls.items():
        if region == settings.region:
            continue
        with SynthflowClient.from_settings(settings.model_copy(update={"base_url": url})) as client:
            try:
                client.list_agents()
            except AuthenticationError:
                continue
            except ApiError:
                unreached.append(region)
                continue
        text = f"{refused} in region {settings.region}, accepted in {region}: set SYNTHFLOW_REGION={region}"
        return Finding(Verdict.TROUBLE, "key", text)
    others = f"; {', '.join(unreached)} could not be asked" if unreached else ""
    text = f"{refused} in every region{others}. Make a new key: Synthflow dashboard, Settings, API keys"
    return Finding(Verdict.TROUBLE, "key", text)


def _examine_calls(client: SynthflowClient, settings: Settings, agents: list[Agent]) -> Iterator[Finding]:
    yield Finding(Verdict.OK, "key", f"accepted by {client.base_url}")
    yield _examine_clock(client)
    day = last_closed_day(settings.timezone)
    from_ms, to_ms = day_bounds_ms(day, settings.timezone)
    span_ms = to_ms - 30 * 86_400_000, to_ms

    def count(agent: Agent) -> tuple[int, int]:
        last_day = client.list_calls(agent.model_id, limit=1, from_date=from_ms, to_date=to_ms).total_records
        if last_day:
            return last_day, last_day
        return 0, client.list_calls(agent.model_id, limit=1, from_date=span_ms[0], to_date=span_ms[1]).total_records

    with ThreadPoolExecutor(client.max_connections) as pool:
        counts = dict(zip(agents, pool.map(count, agents), strict=True))
    calls = sum(last_day for last_day, _ in counts.values())
    busiest = sorted(agents, key=lambda agent: counts[agent], reverse=True)
    shown = ", ".join(f"{agent.label} {counts[agent][0]:,}" for agent in busiest[:_AGENTS_SHOWN])
    more = f", and {len(agents) - _AGENTS_SHOWN} more" if len(agents) > _AGENTS_SHOWN else ""
    yield Finding(Verdict.OK, "agents", f"{len(agents):,}, with {calls:,} calls on {day}: {shown}{more}")
    if counts[busiest[0]][1] == 0:
        text = "none of the last 30 days was found, so what the API does with windows could not be tried out"
        yield Finding(Verdict.NOTE, "calls", text)
        return
    yield from _describe(probe(client, busiest[0].model_id, OPEN_STATUSES), settings)


def _examine_clock(client: SynthflowClient) -> Finding:
    ahead = client.clock_ahead_seconds
    if ahead is None:
        return Finding(Verdict.NOTE, "clock", "the API does not say its time, so this machine's was not compared")
    if abs(ahead) <= _CLOCK_TOLERANCE_SECONDS:
        return Finding(Verdict.OK, "clock", "agrees with the API's")
    direction = "ahead of" if ahead > 0 else "behind"
    text = (
        f"{abs(ahead):,.0f} s {direction} the API's: days would be closed too {'early' if ahead > 0 else 'late'}. "
        "Set this machine's clock (NTP)"
    )
    return Finding(Verdict.TROUBLE, "clock", text)


def _describe(reading: ApiReading, settings: Settings) -> Iterator[Finding]:
    """What the API was seen to do, and what this package makes of it."""
    if not reading.honours_window:
        text = (
            "the API ignores from_date and to_date: every fetch would fail. Is SYNTHFLOW_BASE_URL Synthflow's v2 API?"
        )
        yield Finding(Verdict.TROUBLE, "window", text)
        return
    yield Finding(Verdict.OK, "window", _window_text(reading))
    if reading.honours_offset is False:
        yield Finding(Verdict.TROUBLE, "pages", "the API ignores offset: days of more than 100 calls would fail")
    else:
        cap = "refuses" if reading.refuses_larger_pages else "does not refuse"
        size = min(reading.sample, MAX_PAGE_SIZE)
        text = f"a page of {size} took {reading.page_seconds:.2f} s; the API {cap} more than {MAX_PAGE_SIZE}"
        yield Finding(Verdict.OK, "pages", text)
    if reading.order:
        yield Finding(Verdict.OK, "order", reading.order if reading.order != "none" else "none that can be seen")
    if reading.lists_open_calls:
        text = "listed while they go on; they land, and their days stay unsettled until they are fetched again"
        yield Finding(Verdict.OK, "open calls", text)
    longest = reading.longest_call_seconds
    if longest is not None:
        yield _margin(longest, settings.window_margin_seconds, reading)
    yield from _fields(reading)


def _window_text(reading: ApiReading) -> str:
    if reading.from_filters is None or reading.to_filters is None:
        return "which time it filters could not be seen; every reading is provided for"

    def ends(inclusive: bool | None) -> str:
        return "" if inclusive is None else " (inclusive)" if inclusive else " (exclusive)"

    return (
        f"from_date is held against a call's {reading.from_filters}{ends(reading.from_inclusive)}, "
        f"to_date against its {reading.to_filters}{ends(reading.to_inclusive)}; every reading is provided for"
    )


def _margin(longest_seconds: int, margin_seconds: int, reading: ApiReading) -> Finding:
    seen = f"the longest of {reading.sample} recent calls lasted {longest_seconds:,} s"
    if reading.to_filters == "start":
        return Finding(Verdict.OK, "margin", f"{seen}; with this window no margin is needed")
    if longest_seconds < margin_seconds:
        return Finding(Verdict.OK, "margin", f"{seen}; SYNTHFLOW_WINDOW_MARGIN_SECONDS is {margin_seconds:,}")
    text = f"{seen}, longer than SYNTHFLOW_WINDOW_MARGIN_SECONDS ({margin_seconds:,}): set that higher"
    return Finding(Verdict.TROUBLE, "margin", text)


def _fields(reading: ApiReading) -> Iterator[Finding]:
    known = {str(column.source) for column in CALL_FIELDS} | {"model_id"}
    # A name that is no plain word may be anything, so it is only counted.
    new = sorted(name for name in reading.fields - known if re.fullmatch(r"[a-z][a-z_]{0,40}", name))
    if reading.fields - known:
        text = f"{len(reading.fields - known)} that this version does not know; they land in `extra`: {', '.join(new)}"
        yield Finding(Verdict.NOTE, "fields", text.rstrip(": "))
    else:
        yield Finding(Verdict.OK, "fields", f"all {len(reading.fields)} that came have a column")


def _examine_warehouse(settings: Settings) -> Iterator[Finding]:
    try:
        warehouse = Warehouse(
            settings.warehouse,
            settings.warehouse_schema,
            data_path=settings.lake_data_path,
            lock_wait_seconds=_LOCK_WAIT_SECONDS,
            on_wait=lambda _: None,  # the finding says it
        )
        if not warehouse.exists():
            obstacle = warehouse.engine.creation_error()
            if obstacle is None:
                text = f"{settings.warehouse} does not exist yet; the first run makes it"
                yield Finding(Verdict.OK, "warehouse", text)
            else:
                yield Finding(Verdict.TROUBLE, "warehouse", f"{settings.warehouse} cannot be made there: {obstacle}")
            return
        loads = warehouse.read_frame("call_loads")
    except WarehouseError as error:
        yield Finding(Verdict.TROUBLE, "warehouse", str(error))
        return
    if not warehouse.engine.is_writable():
        text = f"{settings.warehouse} may be read but not written by this user. Change its rights or its owner"
        yield Finding(Verdict.TROUBLE, "warehouse", text)
    elif loads.empty:
        yield Finding(Verdict.OK, "warehouse", f"{settings.warehouse} is there; nothing has landed yet")
    else:
        yield _landed(settings, int(loads["landed"].sum()), loads["day"].min().date(), loads["day"].max().date())


def _landed(settings: Settings, calls: int, first: dt.date, last: dt.date) -> Finding:
    text = f"{settings.warehouse}: {calls:,} calls from {first} to {last}"
    if last < last_closed_day(settings.timezone):
        return Finding(Verdict.NOTE, "warehouse", f"{text}. {last_closed_day(settings.timezone)} has not landed yet")
    return Finding(Verdict.OK, "warehouse", text)
