"""Load calls from the API into the warehouse: resolve the agents, fetch the days, land them."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import NamedTuple, Self

import duckdb

from synthflow_assets.agents import Agent
from synthflow_assets.api.client import SynthflowClient
from synthflow_assets.api.events import CallWindow, FailedWindow, FetchedPage, FetchedWindow, FetchProgress
from synthflow_assets.api.fetch import fetch_windows
from synthflow_assets.days import day_bounds_ms
from synthflow_assets.errors import (
    AccessDeniedError,
    ApiError,
    NotFoundError,
    SettingsError,
    SynthflowError,
    VanishedCallsError,
    WarehouseError,
)
from synthflow_assets.progress import ProgressLog
from synthflow_assets.settings import Settings
from synthflow_assets.texts import one_line
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.erasure import read_suppression_list, unfinished_erasures
from synthflow_assets.warehouse.landing import LoadSummary, SuppressionListChangedError, land, land_agents
from synthflow_assets.warehouse.loads import find_strays
from synthflow_assets.warehouse.personal import SuppressionList
from synthflow_assets.warehouse.safeguards import RunLosses, find_losses, unreadable_fields
from synthflow_assets.warehouse.staging import Partition, ReadyBatch, Staging

# Landing happens when either is reached. A killed run loses at most this, besides the days that are being fetched.
LAND_EVERY_SECONDS = 5.0
LAND_AT_PARTITIONS = 200
CONFIRM_AFTER_SECONDS = 5.0  # if calls have vanished, the API is asked again after this time

Log = Callable[[str], None]


@dataclass(frozen=True)
class FailedPartition:
    """A (day, agent) pair that did not land, and the reason. Its earlier rows are unchanged."""

    day: dt.date
    agent: Agent
    error: SynthflowError

    @property
    def partition(self) -> Partition:
        """The (day, agent) pair."""
        return Partition(self.day, self.agent.model_id)

    @property
    def is_about_vanished_calls(self) -> bool:
        """Whether the pair would lose calls or values that landed before."""
        return isinstance(self.error, VanishedCallsError)

    def __str__(self) -> str:
        return f"{self.day} of {self.agent.label}: {self.error}"


class ResolvedAgents(NamedTuple):
    """The agents to fetch, and the configured ids that are not in the workspace.

    `are_listed`: whether the account lists its agents. If not, it is unknown whether a configured agent exists.
    """

    agents: list[Agent]
    unknown: list[str]
    are_listed: bool = True

    @property
    def warning(self) -> str | None:
        """A message about the unknown ids; None if there are none."""
        if not self.unknown:
            return None
        return (
            f"SYNTHFLOW_MODEL_IDS names {', '.join(map(one_line, self.unknown))}, which the workspace does not have; "
            "`synthflow-assets agents` lists the agents"
        )


class UnlistedAgentsError(SettingsError):
    """The account does not list its agents, and none are configured."""


def discover_agents(client: SynthflowClient) -> list[Agent]:
    """Return all agents of the workspace.

    Raises:
        UnlistedAgentsError: the account has no endpoint for agents, or the key lacks the permission.
        ApiError: the request failed, or the base URL is not the API's.
    """
    try:
        return client.list_agents()
    except (NotFoundError, AccessDeniedError) as error:
        # A server at another address responds with 404 to every path.
        if isinstance(error, NotFoundError) and not client.base_url.endswith("/v2"):
            raise NotFoundError(
                f"{client.base_url} does not end in /v2, as the API's address does; check SYNTHFLOW_BASE_URL"
            ) from None
        raise UnlistedAgentsError(
            "this account does not list its agents; set SYNTHFLOW_MODEL_IDS to their ids, separated by commas "
            "(each agent's page in the Synthflow dashboard shows its id)"
        ) from None


def resolve_agents(client: SynthflowClient, settings: Settings) -> ResolvedAgents:
    """Return the agents to fetch: the configured ones, or all of the workspace.

    Raises:
        SettingsError: no configured agent exists; or none is configured, and the workspace lists none.
        ApiError: the request failed.
    """
    try:
        known = {agent.model_id: agent for agent in discover_agents(client)}
    except (UnlistedAgentsError, NotFoundError):
        if not settings.model_ids:
            raise
        return ResolvedAgents([Agent(model_id, None, None) for model_id in settings.model_ids], [], are_listed=False)
    if not known:
        raise SettingsError("the workspace has no agents; check that SYNTHFLOW_API_KEY is the key of the right one")
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
    """Until the block ends, share the request rate with all processes that load into this warehouse."""
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
    listed: Sequence[Agent] | None = None,
    accept_deleted: bool = False,
    log: Log,
) -> Iterator[LoadSummary | FailedPartition]:
    """Fetch days of agents and land them, each (day, agent) pair as a whole.

    If a pair lacks calls or values that landed before, it does not land yet. When all other pairs are fetched, the API
    is asked again. If too much is missing then, from the pair or from the whole run, the pair fails and what landed
    stays.

    The warehouse is open only while complete pairs are written, never while pages are fetched. If a person is erased
    meanwhile, what has not landed is fetched again without that person.

    Args:
        client: sends the requests.
        warehouse: gets the calls, and the names of the agents.
        settings: time zone, margin, page size and treatment of personal data.
        agents: whose calls to load.
        days: which days to load, in the settings' time zone.
        run_id: the value of `run_id` in `call_loads`.
        skipped: pairs that are not fetched.
        listed: all agents that the API lists and the settings select; by default `agents`.
        accept_deleted: whether a pair lands even if it loses many calls or values that landed before.
        log: gets messages for people.

    Yields:
        A `LoadSummary` when a pair is committed, a `FailedPartition` when it has failed.

    Raises:
        ApiError: it concerns every pair. Pairs that were complete by then have landed.
        WarehouseError: the warehouse cannot be opened or written.
    """
    loader = _Loader(
        client,
        warehouse,
        settings,
        agents,
        days,
        run_id,
        log,
        agents if listed is None else listed,
        accept_deleted=accept_deleted,
    )
    pairs = [Partition(day, agent.model_id) for day in days for agent in agents]
    done, doubted, landed = set(skipped), set[Partition](), set[Partition]()
    while True:
        remaining = [pair for pair in pairs if pair not in done]
        first = [pair for pair in remaining if pair not in doubted]
        if remaining and not first:
            log(f"{len(remaining):,} (day, agent) pairs lack calls or values that landed before; asking the API again")
            time.sleep(CONFIRM_AFTER_SECONDS)
        try:
            for outcome in loader.load(first or remaining, confirmed=not first):
                pair = outcome.partition
                if first and isinstance(outcome, FailedPartition) and outcome.is_about_vanished_calls:
                    doubted.add(pair)
                    continue
                done.add(pair)
                if isinstance(outcome, LoadSummary):
                    landed.add(pair)
                yield outcome
            if done.issuperset(pairs):
                yield from loader.load_strays(landed)
                loader.land_listing()
                return
        except SuppressionListChangedError:
            log("a person was erased meanwhile; the pairs that have not landed are fetched again, without that person")


class _LandingThread:
    """Lands one batch at a time, while fetching goes on: a landing may wait for the lock. A context manager."""

    def __init__(self, land: Callable[[ReadyBatch], list[LoadSummary | FailedPartition]]) -> None:
        self._land = land
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="synthflow-land")
        self._landing: Future[list[LoadSummary | FailedPartition]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown(wait=True)

    @property
    def is_busy(self) -> bool:
        """Whether a batch is being landed."""
        return self._landing is not None and not self._landing.done()

    def start(self, batch: ReadyBatch) -> None:
        """Start to land a batch."""
        self._landing = self._executor.submit(self._land, batch)

    def outcomes(self) -> list[LoadSummary | FailedPartition]:
        """Wait for the batch, and return its outcomes, once. Errors of the landing are raised here."""
        landing, self._landing = self._landing, None
        return [] if landing is None else landing.result()


class _Loader:
    """Fetches and lands (day, agent) pairs."""

    def __init__(
        self,
        client: SynthflowClient,
        warehouse: Warehouse,
        settings: Settings,
        agents: Sequence[Agent],
        days: Sequence[dt.date],
        run_id: str,
        log: Log,
        listed: Sequence[Agent],
        *,
        accept_deleted: bool,
    ) -> None:
        self._client = client
        self._warehouse = warehouse
        self._settings = settings
        self._agents = {agent.model_id: agent for agent in agents}
        self._days = days
        self._run_id = run_id
        self._log = log
        self._listed = listed
        self._accept_deleted = accept_deleted
        self._has_landed_listing = False
        self._losses = RunLosses()
        self._confirmed = False
        self._outside: dict[Partition, list[tuple[str, int]]] = {}  # ids and starts, by the pair that listed the calls
        self._strays: dict[Partition, frozenset[str]] = {}  # ids of calls that are wanted although they start outside
        self._last_landing = time.monotonic()

    def load(self, pairs: Sequence[Partition], *, confirmed: bool) -> Iterator[LoadSummary | FailedPartition]:
        """Fetch and land pairs once.

        Args:
            pairs: to fetch.
            confirmed: whether the pairs are fetched for the second time. If not, a pair does not land if it lacks calls
                or values that landed before.

        Raises:
            SuppressionListChangedError: a person was erased; what has not been yielded has not landed.
        """
        self._confirmed = confirmed
        settings = self._settings
        now_ms = self._now_ms()
        windows = {self._window(pair): pair for pair in pairs}
        yield from self._without_future(windows, now_ms)
        progress = ProgressLog(len(windows), self._log)
        error_of_all: ApiError | None = None
        with (
            Staging(settings.pii, settings.hash_key, self._read_suppression_list, settings.timezone) as staging,
            _LandingThread(self._land) as landing,
        ):
            events = fetch_windows(
                self._client,
                windows,
                margin_seconds=settings.window_margin_seconds,
                page_size=settings.page_size,
                now_ms=now_ms,
            )
            try:
                for event in events:
                    match event:
                        case FetchProgress():
                            progress.update(event)
                        case FetchedPage():
                            staging.add(windows[event.window], [record.raw for record in event.records])
                        case FetchedWindow():
                            staging.complete(windows[event.window], event.result)
                            self._outside[windows[event.window]] = event.outside
                        case FailedWindow():
                            pair = windows[event.window]
                            staging.discard(pair)
                            yield FailedPartition(pair.day, self._agents[pair.model_id], event.error)
                    if self._is_landing_due(staging) and not landing.is_busy:
                        yield from landing.outcomes()
                        landing.start(staging.take_ready())
            except ApiError as error:
                error_of_all = error
            yield from landing.outcomes()
            if staging.ready_partitions:
                yield from self._land(staging.take_ready())
        if error_of_all is not None:
            raise error_of_all

    def load_strays(self, landed: Collection[Partition]) -> Iterator[LoadSummary | FailedPartition]:
        """Fetch pairs again if they listed calls of another day that the window of that day did not list.

        The API filters these calls by a time that is more than a margin from their start. They land as strays.

        Args:
            landed: the pairs that landed.
        """
        outside = {pair: calls for pair, calls in self._outside.items() if calls and pair in landed}
        if not outside:
            return
        with self._warehouse.connect(read_only=True) as connection:
            strays = find_strays(connection, outside, self._days, self._settings.timezone)
        if not strays:
            return
        self._log(
            f"{sum(map(len, strays.values())):,} calls were listed only for another day than they start on; fetching "
            f"{len(strays):,} (day, agent) pairs again. SYNTHFLOW_WINDOW_MARGIN_SECONDS is too short: see "
            "`synthflow-assets doctor`"
        )
        self._strays = strays
        yield from self.load(list(strays), confirmed=True)

    def land_listing(self) -> None:
        """Land the listed agents, unless they landed with a batch."""
        if not self._has_landed_listing:
            with self._warehouse.connect() as connection:
                self._land_listing(connection)

    def _land_listing(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Land the listed agents once, and log those that are no longer listed."""
        if self._has_landed_listing:
            return
        gone = land_agents(connection, self._listed, dt.datetime.now(dt.UTC))
        self._has_landed_listing = True
        for agent in gone:
            self._log(
                f"agent {agent.label} is not expected any more: the workspace does not list it, or "
                "SYNTHFLOW_MODEL_IDS does not name it. Its calls stay"
            )

    def _now_ms(self) -> int:
        """Return the present by the earlier of both clocks; log a difference of more than a minute."""
        if ahead := self._client.clock_correction_seconds:
            direction = "ahead of" if ahead > 0 else "behind"
            self._log(
                f"this machine's clock is {abs(ahead):,.0f} s {direction} the API's. A day counts as over only if both "
                "clocks say so; set this machine's clock (NTP)"
            )
        return self._client.now_ms

    def _without_future(self, windows: dict[CallWindow, Partition], now_ms: int) -> list[FailedPartition]:
        """Remove the windows of days that begin in the future: fetching them would replace their calls by none."""
        time = dt.datetime.fromtimestamp(now_ms / 1000, dt.UTC)
        error = ApiError(
            f"this day has not begun: it is {time:%Y-%m-%d %H:%M} UTC by the earlier of this machine's clock and the "
            "API's. Nothing of it was replaced; set this machine's clock (NTP), or report the API's clock to Synthflow"
        )
        future = [windows.pop(window) for window in list(windows) if window.start_ms > now_ms]
        return [FailedPartition(pair.day, self._agents[pair.model_id], error) for pair in future]

    def _window(self, pair: Partition) -> CallWindow:
        strays = self._strays.get(pair, frozenset())
        return CallWindow(pair.model_id, *day_bounds_ms(pair.day, self._settings.timezone), strays)

    def _is_landing_due(self, staging: Staging) -> bool:
        if self._confirmed:  # as one batch, because what pairs lose is summed over all of them
            return False
        if staging.ready_partitions >= LAND_AT_PARTITIONS:
            return True
        return staging.ready_partitions > 0 and time.monotonic() - self._last_landing > LAND_EVERY_SECONDS

    def _land(self, batch: ReadyBatch) -> list[LoadSummary | FailedPartition]:
        with self._warehouse.connect() as connection:
            losses = find_losses(
                connection,
                batch,
                run=self._losses,
                confirmed=self._confirmed,
                vanished_fields=self._settings.vanished_fields,
                pii=self._settings.pii,
                accept_deleted=self._accept_deleted,
            )
            batch = batch.without(losses.refused)
            for warning in (*unreadable_fields(connection, batch), *losses.removed):
                self._log(warning)
            landed = land(
                connection,
                batch,
                self._run_id,
                dt.datetime.now(dt.UTC),
                run_days=self._days,
                vanished_fields=self._settings.vanished_fields,
                pii=self._settings.pii,
                accept_deleted=self._accept_deleted,
            )
            self._land_listing(connection)
        self._last_landing = time.monotonic()
        self._log(f"landed {sum(summary.landed for summary in landed):,} calls of {len(landed):,} (day, agent) pairs")
        failed = [
            FailedPartition(pair.day, self._agents[pair.model_id], error) for pair, error in losses.refused.items()
        ]
        return [*landed, *failed]

    def _read_suppression_list(self) -> SuppressionList:
        # This also creates missing tables, so that an unusable location fails before the first page is fetched.
        with self._warehouse.connect() as connection:
            suppressed = read_suppression_list(connection)
            is_unfinished = bool(unfinished_erasures(connection))
        if is_unfinished:
            try:
                self._warehouse.finish_erasures()
            except WarehouseError as error:
                self._log(f"old bytes of erased people may still be in the storage: {error}")
        return suppressed
