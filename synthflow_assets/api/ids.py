"""A set of call ids that stays small: a day of an agent may hold millions of calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_MOST_RECENT = 50_000


class IdSet:
    """Distinct 64-bit hashes of ids, in 8 bytes each where a Python set takes a hundred.

    The recent ones are in a Python set, the others in a few sorted arrays, each at most half as long as the one before.
    """

    def __init__(self) -> None:
        self._recent: set[int] = set()
        self._sorted: list[npt.NDArray[np.int64]] = []
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def add(self, keys: Sequence[int]) -> list[bool]:
        """Add some keys, as `hash` makes them; says of each whether it is new."""
        distinct, old = set(keys), self._among_sorted(keys)
        if len(distinct) == len(keys) and not old and self._recent.isdisjoint(distinct):
            # So it is with nearly every page, and this takes a fifth of the time.
            self._recent |= distinct
            news = [True] * len(keys)
        else:
            news = []
            for key in keys:
                is_new = key not in old and key not in self._recent
                news.append(is_new)
                if is_new:
                    self._recent.add(key)
        self._length += sum(news)
        if len(self._recent) > _MOST_RECENT:
            self._sort()
        return news

    def _among_sorted(self, keys: Sequence[int]) -> set[int]:
        """Those of the keys that are in the sorted arrays."""
        if not self._sorted:
            return set()
        import numpy as np  # where a day is so large, its import no longer counts

        wanted = np.array(keys, np.int64)
        found = np.zeros(len(keys), bool)
        for known in self._sorted:
            places = np.minimum(np.searchsorted(known, wanted), known.size - 1)
            found |= known[places] == wanted
        return set(wanted[found].tolist())

    def _sort(self) -> None:
        import numpy as np

        self._sorted.append(np.sort(np.fromiter(self._recent, np.int64, len(self._recent))))
        self._recent = set()
        while len(self._sorted) > 1 and self._sorted[-2].size < 2 * self._sorted[-1].size:
            last, before = self._sorted.pop(), self._sorted.pop()
            self._sorted.append(np.sort(np.concatenate([before, last])))
