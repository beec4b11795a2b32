"""A set of call ids in little memory: a day of an agent may hold millions of calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

MAX_RECENT = 50_000


class IdSet:
    """A set of 64-bit hashes of ids, at 8 bytes each; a Python set needs about 100.

    Recent hashes are in a Python set, the others in a few sorted arrays. Each array is at most half as long as the one
    before it, so that a search touches few of them.
    """

    def __init__(self) -> None:
        self._recent: set[int] = set()
        self._sorted: list[npt.NDArray[np.int64]] = []
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def add(self, keys: Sequence[int]) -> list[bool]:
        """Add hashes and return, for each, whether it is new.

        Args:
            keys: 64-bit hashes, as `hash` returns them.
        """
        distinct, known = set(keys), self._find_sorted(keys)
        if len(distinct) == len(keys) and not known and self._recent.isdisjoint(distinct):
            # Nearly every page has only new calls, and this takes a fifth of the time.
            self._recent |= distinct
            is_new = [True] * len(keys)
        else:
            is_new = []
            for key in keys:
                new = key not in known and key not in self._recent
                is_new.append(new)
                if new:
                    self._recent.add(key)
        self._length += sum(is_new)
        if len(self._recent) > MAX_RECENT:
            self._sort_recent()
        return is_new

    def _find_sorted(self, keys: Sequence[int]) -> set[int]:
        """Return the keys that are in the sorted arrays."""
        if not self._sorted:
            return set()
        import numpy as np  # its import takes 0.1 s, which only a day of this size is worth

        wanted = np.array(keys, np.int64)
        found = np.zeros(len(keys), bool)
        for array in self._sorted:
            positions = np.minimum(np.searchsorted(array, wanted), array.size - 1)
            found |= array[positions] == wanted
        return set(wanted[found].tolist())

    def _sort_recent(self) -> None:
        import numpy as np

        self._sorted.append(np.sort(np.fromiter(self._recent, np.int64, len(self._recent))))
        self._recent = set()
        while len(self._sorted) > 1 and self._sorted[-2].size < 2 * self._sorted[-1].size:
            last, previous = self._sorted.pop(), self._sorted.pop()
            self._sorted.append(np.sort(np.concatenate([previous, last])))
