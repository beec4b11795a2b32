"""Tell whether a process of a run still exists, by file locks that the operating system releases when it ends.

Process ids are no substitute: they are reused, and in another container they name another process.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO, Self

import dagster as dg

# Held by this process. A lock is released when the last object for its file is closed, so each is kept here.
_HELD: dict[Path, IO[bytes]] = {}


class RunLocks:
    """One locked file for each process that executes steps of a run.

    Args:
        folder: where the files are; every process that asks about the runs needs the same folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def of(cls, instance: dg.DagsterInstance) -> Self | None:
        """Return the locks of an instance's runs; None if its run launcher is not the one of this package."""
        return getattr(instance.run_launcher, "run_locks", None)

    def hold(self, run_id: str) -> None:
        """Lock this process's file of a run until `release`, or until the process ends.

        If the file system has no locks, nothing is held, and the run never counts as dead.
        """
        path = self._path(run_id)
        if path in _HELD:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("wb")
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:
            file.close()
            path.unlink()
        else:
            _HELD[path] = file

    def release(self, run_id: str) -> None:
        """Remove this process's file of a run."""
        path = self._path(run_id)
        file = _HELD.pop(path, None)
        if file is not None:
            path.unlink(missing_ok=True)
            file.close()

    def has_died(self, run_id: str) -> bool:
        """Return whether processes held locks of the run, and all of them ended without releasing theirs."""
        files = list(self._folder.glob(f"{run_id}-*"))
        return bool(files) and all(map(_is_abandoned, files))

    def _path(self, run_id: str) -> Path:
        return self._folder / f"{run_id}-{os.getpid()}"


def _is_abandoned(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return path.exists()  # if not, it was released between the two lines
    except OSError:  # it was released, or its process exists
        return False
