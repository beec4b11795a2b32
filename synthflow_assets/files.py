"""Files that may hold personal data: who may read them, how they are replaced, and folders for temporary ones."""

from __future__ import annotations

import datetime as dt
import fcntl
import os
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, TextIO

GroupAccess = Literal["none", "read", "write"]

# Permissions that new files and folders do not get. Users outside the group never get any.
_DENIED: dict[GroupAccess, int] = {"none": 0o077, "read": 0o027, "write": 0o007}
_LOCK = "lock"
_NEW = "new-"  # before the name of a folder that is not locked yet
_LOCKED_WITHIN_SECONDS = 600.0
_HEAD_BYTES = 300


class _Umask:
    """The umask of this process, which blocks in several threads may restrict at the same time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._denied: list[int] = []
        self._original = 0

    def deny(self, denied: int) -> None:
        with self._lock:
            # The mask can only be read by setting it.
            current = os.umask(0o077)
            if not self._denied:
                self._original = current
            self._denied.append(denied)
            self._apply()

    def allow(self, denied: int) -> None:
        with self._lock:
            self._denied.remove(denied)
            self._apply()

    def _apply(self) -> None:
        mask = self._original
        for denied in self._denied:
            mask |= denied
        os.umask(mask)


_umask = _Umask()


@contextmanager
def private_files(group_access: GroupAccess = "none") -> Iterator[None]:
    """Until the block ends, create files for this user alone: 0600, and 0700 for folders; the umask applies as well.

    It holds for the whole process, because DuckDB creates files in threads of its own. Existing files keep their mode.

    Args:
        group_access: what the group may do with new files.
    """
    denied = _DENIED[group_access]
    _umask.deny(denied)
    try:
        yield
    finally:
        _umask.allow(denied)


def replace_file(fresh: Path, target: Path) -> None:
    """Replace a file atomically; the new one gets the mode of the replaced one.

    Args:
        fresh: the new file, in the same file system.
        target: the file that is replaced, if it exists.

    Raises:
        OSError: the file cannot be replaced.
    """
    with suppress(FileNotFoundError):
        fresh.chmod(stat.S_IMODE(target.stat().st_mode))
    # By this machine's clock. On a network drive it would be the server's, and `no_gaps` compares it with the metrics'.
    os.utime(fresh, (time.time(), time.time()))
    fresh.replace(target)


def replacement_error(
    path: Path, is_ours: Callable[[bytes], bool], otherwise: str = "was not written by this command"
) -> str | None:
    """Return why a command must not write to a path that a user names; None if it may.

    A mistyped path must not replace a key file, a database or a device. So what exists must be a file that the same
    command wrote, or an empty one.

    Args:
        path: of the new file.
        is_ours: whether a file that begins with these bytes was written by the command.
        otherwise: what to say about another file.

    Raises:
        OSError: the existing file cannot be read.
    """
    if not os.path.lexists(path):
        return None
    if not path.is_file():  # a named pipe would be read for ever
        return "is not a regular file"
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    return None if not head or is_ours(head) else otherwise


def file_time(path: Path) -> dt.datetime | None:
    """Return when a file was written; None if it cannot be found."""
    try:
        return dt.datetime.fromtimestamp(path.stat().st_mtime, dt.UTC)
    except OSError:
        return None


@contextmanager
def temporary_folder(places: Sequence[Path], prefix: str) -> Iterator[str]:
    """Yield a folder that only this user can read, in the first place that is writable; remove it at the end.

    Args:
        places: existing folders.
        prefix: of the folder's name. Folders of killed processes with this prefix are removed, up to the first place
            that is writable.

    Yields:
        The path of the folder; empty if no place is writable.
    """
    for place in places:
        remove_abandoned_folders(place, prefix)
        try:
            folder, lock = locked_folder(place, prefix)
        except OSError:
            continue
        try:
            yield str(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            lock.close()
        return
    yield ""


def locked_folder(place: Path, prefix: str) -> tuple[Path, TextIO]:
    """Return a new folder that only this user can read, and its open lock file.

    Raises:
        OSError: the place is not writable, or its file system has no locks.
    """
    folder = Path(tempfile.mkdtemp(dir=place, prefix=_NEW + prefix))
    try:
        lock = (folder / _LOCK).open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Renamed only now, so that `remove_abandoned_folders` never finds it unlocked.
        return folder.rename(folder.with_name(folder.name.removeprefix(_NEW))), lock
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def remove_abandoned_folders(place: Path, prefix: str) -> None:
    """Remove the folders of killed processes. A live process holds the lock of its folder."""
    try:
        with os.scandir(place) as entries:  # not Path.iterdir(): each connection lists the folder for temporary files
            names = [entry.name for entry in entries]
    except OSError:
        return
    for name in names:
        if name.startswith(prefix):
            with suppress(OSError), (place / name / _LOCK).open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(place / name)
        elif name.startswith(_NEW + prefix):
            # Either the process was killed before it locked the folder, or it is about to lock it.
            with suppress(OSError):
                if time.time() - (place / name).stat().st_mtime > _LOCKED_WITHIN_SECONDS:
                    shutil.rmtree(place / name)
