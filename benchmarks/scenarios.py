"""What is measured: which calls, over which network, and who lands them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from benchmarks.contestants import ALONE, DOWNLOAD, PEER_CONTESTANTS, SAME_GRAPH, SELF, STORE, Contestant
from benchmarks.workload import Workload


@dataclass(frozen=True)
class Scenario:
    """A workload, and who lands it. In a series each contestant has a workload of its own."""

    title: str
    load: Workload
    contestants: tuple[Contestant, ...]
    again: bool = False  # the calls have landed before, and only the second time counts


_EVERYBODY = (SELF, *PEER_CONTESTANTS)

SCENARIOS = {
    "start-up": Scenario("1 day of 3,000 calls", Workload(3_000), (*_EVERYBODY, ALONE, SAME_GRAPH, DOWNLOAD)),
    "ten-agents": Scenario(
        "10 agents with 1,600 calls each, at 500 ms a page",
        Workload(1_600, agents=10, latency_ms=500),
        (*_EVERYBODY, ALONE, DOWNLOAD),
    ),
    "one-agent": Scenario(
        "1 agent with 16,000 calls, at 200 ms a page",
        Workload(16_000, latency_ms=200),
        (*_EVERYBODY, ALONE, DOWNLOAD),
    ),
    "year": Scenario(
        "365 days of 3 agents, 100 calls each, at 100 ms a page",
        Workload(100, days=365, agents=3, latency_ms=100),
        (*_EVERYBODY, ALONE, DOWNLOAD),
    ),
    "quiet-year": Scenario(
        "365 days of 3 agents, 5 calls each, at 100 ms a page",
        Workload(5, days=365, agents=3, latency_ms=100),
        (SELF, ALONE, DOWNLOAD),
    ),
    "100k": Scenario("100,000 calls, no latency", Workload(100_000), (*_EVERYBODY, ALONE, DOWNLOAD, STORE)),
    "300k": Scenario("300,000 calls, no latency", Workload(300_000), (*_EVERYBODY, ALONE, DOWNLOAD, STORE)),
    "again": Scenario("The same 100,000 calls again", Workload(100_000), _EVERYBODY, again=True),
}

# How the cost grows: this package alone, one thing ten times as large.
GROWTH = {
    "10,000 calls": Workload(10_000),
    "100,000 calls": Workload(100_000),
    "1,000,000 calls": Workload(1_000_000),
    "30 days, 100 calls each": Workload(100, days=30),
    "300 days, 100 calls each": Workload(100, days=300),
    "3 agents, 1,000 calls each": Workload(1_000, agents=3),
    "30 agents, 1,000 calls each": Workload(1_000, agents=30),
}
CONNECTIONS = {
    f"{number} connection{'s' if number > 1 else ''}, 4,000 calls at 200 ms a page": replace(
        SELF, settings=(("SYNTHFLOW_MAX_CONNECTIONS", str(number)),)
    )
    for number in (1, 4, 10, 40)
}
