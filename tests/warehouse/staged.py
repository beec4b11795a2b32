"""Decode records as a run does, in stagings that all tests of the process share."""

from collections.abc import Mapping

from synthflow_assets.interfaces import FetchResult
from synthflow_assets.warehouse.staging import Partition, ReadyBatch, Staging

_OPEN: dict[tuple[str, str], Staging] = {}


def staged(
    contents: Mapping[Partition, list[bytes]],
    *,
    pii: str = "keep",
    timezone: str = "UTC",
    closed: bool = True,
    states_total: bool = True,
) -> ReadyBatch:
    """Return records as a batch that is ready to land.

    A run also takes many batches from one staging. Preparing a staging takes longer than decoding a batch.
    """
    how = (pii, timezone)
    if how not in _OPEN:
        _OPEN[how] = Staging(pii, "key", timezone=timezone)
    staging = _OPEN[how]
    for partition, lines in contents.items():
        count = len(lines)
        staging.add(partition, lines)
        staging.complete(partition, FetchResult(count, count, 0, 0, 0, 1, closed=closed, states_total=states_total))
    return staging.take_ready()


def close_stagings() -> None:
    """Close the stagings and delete their files."""
    while _OPEN:
        _, staging = _OPEN.popitem()
        with staging:
            pass
