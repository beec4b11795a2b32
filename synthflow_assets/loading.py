"""From the API to the warehouse: which agents, which days, and what becomes of each of them."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from synthflow_assets.agents import Agent
from synthflow_assets.api.client import SynthflowClient
from synthflow_assets.api.events import CallWindow, FetchedPage, FetchedWindow, FetchProgress
from synthflow_assets.api.fetch import fetch_windows
from synthflow_assets.days import day_bounds_ms
from synthflow_assets.errors import AccessDeniedError, ApiError, NotFoundError, SettingsError, SynthflowError
from synthflow_assets.progress import ProgressLog
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.erasure import read_suppression_list
from synthflow_assets.warehouse.landing import LoadSummary, SuppressionListChangedError, land, land_agents
from synthflow_assets.warehouse.personal import SuppressionList
from synthflow_assets.warehouse.staging import Partition, ReadyBatch, Staging

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_LAND_EVERY_SECONDS = 5.0  # what a killed backfill loses at most, besides the days under way
_LAND_AT_PARTITIONS = 200

Log = Callable[[str], None]


@dataclass(frozen=True)
class FailedPartition:
    """A day of an agent that did not land, and why; what landed of it before is untouched."""

    day: dt.date
    agent: Agent
    error: SynthflowError

    @property
    def partition(self) -> Partition:
        """Which it is."""
        return Partition(self.day, self.agent.model_id)

    def __str__(self) -> str:
        return f"{self.day} of {self.agent.label}: {self.error}"


class ResolvedAgents(NamedTuple):
    """The agents to fetch, and the set ids that the workspace does not know: an agent was deleted, or mistyped."""

    agents: list[Agent]
    unknown: list[str]

    @property
    def warning(self) -> str | None:
        """What is to be told of the unknown ones, if there are any."""
        if not self.unknown:
            return None
        return (
            f"SYNTHFLOW_MODEL_IDS names {', '.join(self.unknown)}, which the workspace does not have; "
            "`synthflow-assets agents` lists the agents"
        )


class UnlistedAgentsError(SettingsError):
    """The account does not say which agents it has."""


def discover_agents(client: SynthflowClient) -> list[Agent]:
    """All agents of the workspace.

    Raises:
        UnlistedAgentsError: the account has no such endpoint, or none that this key may ask.
        ApiError: the API cannot be asked, or is not at this address.
    """
    try:
        return client.list_agents()
    except (NotFoundError, AccessDeniedError) as error:
        if isinstance(error, NotFoundError) and not client.base_url.endswith("/v2"):
            # Whatever is there answers 404 to every key.
            raise NotFoundError(
                f"{client.base_url} does not end in /v2, as the API's address does; check SYNTHFLOW_BASE_URL"
            ) from None
        raise UnlistedAgentsError(
            "this account does not list its agents: set SYNTHFLOW_MODEL_IDS to their ids, separated by commas "
            "(each agent's page in the Synthflow dashboard shows its id)"
        ) from None


def resolve_agents(client: SynthflowClient, settings: Settings) -> ResolvedAgents:
    """The agents to fetch: the set ones, or all of the workspace.

    Raises:
        SettingsError: none of the set agents exists, or the workspace does not say which it has and none is set.
        ApiError: the API cannot be asked.
    """
    try:
        known = {agent.model_id: agent for agent in discover_agents(client)}
    except (UnlistedAgentsError, NotFoundError):
        if not settings.model_ids:
            raise
        return ResolvedAgents([Agent(model_id, None, None) for model_id in settings.model_ids], [])
    if not known:
        raise SettingsError("the workspace has no agents; is SYNTHFLOW_API_KEY the key of the right one?")
    wanted = settings.model_ids or tuple(known)
    resolved = ResolvedAgents(
        [known[model_id] for model_id in wanted if model_id in known],
        [model_id for model_id in wanted if model_id not in known],
    )
    if not resolved.agents:
        raise SettingsError(str(resolved.warning))
    return resolved


@contextmanager
def shared_rate(client: SynthflowClient, warehouse: Warehouse) -> Iterator[None]:
    """Until the block ends, the client's request rate is that of all processes together that fill this warehouse."""
    if client.requests_per_second is None:
        yield
        return
    with warehouse.request_clock() as reserve, client.sharing_rate(reserve) if reserve else nullcontext():
        yield


def load_calls(
    client: SynthflowClient,
    warehouse: Warehouse,
    settings: Settings,
    agents: Sequence[Agent],
    days: Sequence[dt.date],
    *,
    run_id: str = "",
    skipped: Collection[Partition] = (),
    log: Log,
) -> Iterator[LoadSummary | FailedPartition]:
    """Fetch days of agents and land them, each (day, agent) as a whole; the agents' names land beside them.

    The warehouse is open only while complete partitions are written, never while pages are waited for. What is
    `skipped` is not fetched. Should somebody be forgotten meanwhile, what has not landed is fetched again.

    Yields:
        A `LoadSummary` once a partition is committed, or a `FailedPartition`.

    Raises:
        ApiError: what concerns every partition. Those that were complete by then are landed first.
        WarehouseError: the warehouse cannot be opened or written.
    """
    done = set(skipped)
    while True:
        try:
            for outcome in _load(client, warehouse, settings, agents, days, run_id, done, log):
                done.add(outcome.partition)
                yield outcome
        except SuppressionListChangedError:
            log("somebody was forgotten meanwhile: what has not landed yet is fetched again, without that person")
        else:
            return


def _load(
    client: SynthflowClient,
    warehouse: Warehouse,
    settings: Settings,
    agents: Sequence[Agent],
    days: Sequence[dt.date],
    run_id: str,
    skipped: Collection[Partition],
    log: Log,
) -> Iterator[LoadSummary | FailedPartition]:
    """The same once, with those left out whose data was not to be written when it began."""
    partitions: dict[CallWindow, Partition] = {}
    agent_of = {agent.model_id: agent for agent in agents}
    trouble: ApiError | None = None
    last_landing = time.monotonic()
    progress = ProgressLog(len(days) * len(agents) - len(skipped), log)
    unstored = list(agents)

    def land_ready() -> list[LoadSummary]:
        if not staging.ready_partitions:
            return []
        batch = staging.take_ready()
        with warehouse.connect() as connection:
            landed = _land(connection, batch, settings, run_id)
            land_agents(connection, unstored, dt.datetime.now(dt.UTC))
        unstored.clear()
        log(f"landed {sum(summary.landed for summary in landed):,} calls of {len(landed):,} (day, agent) pairs")
        return landed

    with Staging(settings.pii, settings.hash_key, partial(_forgotten, warehouse), settings.timezone) as staging:
        events = fetch_windows(
            client,
            _windows(days, agents, settings.timezone, skipped, partitions),
            margin_seconds=settings.window_margin_seconds,
            page_size=settings.page_size,
        )
        try:
            for event in events:
                if isinstance(event, FetchProgress):
                    progress.update(event)
                    continue
                if isinstance(event, FetchedPage):
                    staging.add(partitions[event.window], [record.raw for record in event.records])
                    continue
                partition = partitions.pop(event.window)
                if isinstance(event, FetchedWindow):
                    staging.complete(partition, event.result)
                else:
                    staging.discard(partition)
                    yield FailedPartition(partition.day, agent_of[partition.model_id], event.error)
                if staging.ready_partitions >= _LAND_AT_PARTITIONS or (
                    staging.ready_partitions and time.monotonic() - last_landing > _LAND_EVERY_SECONDS
                ):
                    yield from land_ready()
                    last_landing = time.monotonic()
        except ApiError as error:
            trouble = error
        yield from land_ready()
    if trouble is not None:
        raise trouble


def _windows(
    days: Iterable[dt.date],
    agents: Sequence[Agent],
    timezone: str,
    skipped: Collection[Partition],
    partitions: dict[CallWindow, Partition],
) -> Iterator[CallWindow]:
    """The windows to fetch, day by day; notes in `partitions` what each of them is."""
    for day in days:
        bounds = day_bounds_ms(day, timezone)
        for agent in agents:
            partition = Partition(day, agent.model_id)
            if partition not in skipped:
                window = CallWindow(agent.model_id, *bounds)
                partitions[window] = partition
                yield window


def _forgotten(warehouse: Warehouse) -> SuppressionList:
    """Who is not to be written. Makes the tables where there are none, so that a place of no use is noticed early."""
    with warehouse.connect() as connection:
        return read_suppression_list(connection)


def _land(connection: DuckDBPyConnection, batch: ReadyBatch, settings: Settings, run_id: str) -> list[LoadSummary]:
    return land(
        connection,
        batch,
        run_id,
        dt.datetime.now(dt.UTC),
        vanished_fields=settings.vanished_fields,
        pii=settings.pii,
    )
