"""Which runs still have their process, told by locks that the operating system takes back when a process ends.

Ids of processes would not do: they are used again, and in another container they mean another process.
"""

import fcntl
from pathlib import Path
from typing import IO

# Of this process, for as long as it lives: a lock goes with the last object that holds its file.
_HELD: dict[Path, IO[bytes]] = {}


class RunLocks:
    """A file for each run that is being executed, locked by the process that does."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def hold(self, run_id: str) -> None:
        """This process executes the run. Where the file system knows no locks, nobody can tell."""
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
        """The run is over, whoever says so."""
        path = self._path(run_id)
        path.unlink(missing_ok=True)
        file = _HELD.pop(path, None)
        if file is not None:
            file.close()

    def has_died(self, run_id: str) -> bool:
        """Whether the process that executed the run is gone, and the run was not over. False where nobody held it."""
        path = self._path(run_id)
        try:
            with path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return path.exists()  # else it was released between the two lines
        except OSError:  # there is none, or it is held
            return False

    def _path(self, run_id: str) -> Path:
        return self._folder / run_id
