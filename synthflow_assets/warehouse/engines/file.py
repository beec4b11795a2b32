"""A DuckDB file: one machine, one writer at a time."""

from __future__ import annotations

import fcntl
import glob
import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TextIO

import duckdb

from synthflow_assets.errors import WarehouseUnusableError
from synthflow_assets.files import replace_file, temporary_folder
from synthflow_assets.interfaces import ReserveSlots
from synthflow_assets.warehouse.engines.base import (
    SPILL_PREFIX,
    Connect,
    Engine,
    LockPolicy,
    attach_when_free,
)
from synthflow_assets.warehouse.statements import describe, quoted

# Calls are long rows, and DuckDB holds a row group in memory until it is full. Its default of 122,880 rows took twice
# the memory and the same time. With smaller groups, a query for some days also skips more of the file.
_NEW_FILE = "ROW_GROUP_SIZE 20480"
# The format of new files; existing files keep theirs. All supported versions of DuckDB read it: DuckDB 1.5, which a
# lake needs for its extensions, cannot read the default format of DuckDB 2. It makes DuckDB 2 no slower, and DuckDB 1.5
# lands in 80 % of the time that its own default format takes.
_NEW_FILE_FORMAT = "v1.5.0"
_MAX_AHEAD_SECONDS = 600.0  # of the request clock
# The endings of the files that are written beside a warehouse. Some have the name of a schema before them.
_OWN_ENDINGS = re.compile(r"|\.wal|\.compacting(\.wal)?|\.\w+\.pace|\.\w+\.forgotten(\.unfinished)?")
_MAX_FREE_SHARE = 0.3  # of a file's blocks; above it the file is rewritten


class FileEngine(Engine):
    """A DuckDB file. It has one writer or any number of readers at a time; attaching takes the file's lock."""

    @property
    def identity(self) -> str:
        """The device and inode of the file, because several paths may lead to it; its path if it does not exist."""
        try:
            found = Path(self.location).stat()
        except OSError:
            return os.path.realpath(self.location)
        return f"{found.st_dev}:{found.st_ino}"

    def owns(self, path: Path) -> bool:
        """Return whether a path leads to the file, or to one that is written beside it, now or later."""
        for own in (Path(self.location).absolute(), Path(os.path.realpath(self.location))):
            for other in (path.absolute(), Path(os.path.realpath(path))):
                is_beside = os.path.realpath(other.parent) == os.path.realpath(own.parent)
                if is_beside and _is_own_name(own.name, other.name):
                    return True
            written = [one for one in own.parent.glob(f"{glob.escape(own.name)}*") if _is_own_name(own.name, one.name)]
            if path.exists() and any(path.samefile(one) for one in written if one.exists()):
                return True
        return False

    @contextmanager
    def spill_folder(self) -> Iterator[str]:
        """Yield a folder beside the file; if that is not writable, one in the system's folder for temporary files.

        Each connection has its own, because two readers would use the same file names.
        """
        file = Path(self.location).absolute()
        with temporary_folder([file.parent, Path(tempfile.gettempdir())], f".{file.name}.{SPILL_PREFIX}") as folder:
            yield folder

    def suppression_copy(self, schema: str) -> Path:
        """Return a file beside the warehouse. It stays if the warehouse is removed to fetch again or to restore."""
        return Path(f"{self.location}.{schema}.forgotten")

    def prepare(self) -> None:
        """Create the folder of the file."""
        try:
            Path(self.location).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WarehouseUnusableError(
                f"SYNTHFLOW_WAREHOUSE={self.location}: its folder cannot be created ({error.strerror}); "
                "set another path"
            ) from None

    def exists(self) -> bool:
        """Return whether the file exists."""
        return Path(self.location).exists()

    def creation_error(self) -> str | None:
        """Return an error if the nearest existing folder is not writable."""
        return None if is_writable(Path(self.location)) else "the folder is not writable. Set SYNTHFLOW_WAREHOUSE"

    def is_writable(self) -> bool:
        """Return whether this user may write to the file."""
        return os.access(self.location, os.W_OK)

    def attach(
        self, connection: duckdb.DuckDBPyConnection, name: str, lock_policy: LockPolicy, *, read_only: bool
    ) -> None:
        """Attach the file, and wait for its lock."""
        path = Path(self.location)
        if path.exists() and not (path.is_file() or path.is_dir()):
            # DuckDB would wait for a named pipe for ever.
            raise WarehouseUnusableError(f"{self.location} is not a regular file; give the path of a DuckDB file")
        connection.execute(f"SET storage_compatibility_version = '{_NEW_FILE_FORMAT}'")
        options = "READ_ONLY" if read_only else _NEW_FILE
        attach_when_free(
            connection, f"ATTACH {quoted(self.location)} AS {name} ({options})", self.location, lock_policy
        )

    def text_compression(self, connection: duckdb.DuckDBPyConnection) -> str | None:
        """Return zstd, unless the format of the file does not support it.

        With the compression that DuckDB chooses, landing takes a sixth longer, and the file is at least 1.5 times as
        large.
        """
        [(file_format,)] = connection.execute(
            "SELECT tags['storage_version'] FROM duckdb_databases() WHERE database_name = 'warehouse'"
        ).fetchall()
        return None if file_format.startswith(("v1.0.", "v1.1.")) else "zstd"

    def compact(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Rewrite the file without the bytes of deleted and overwritten rows."""
        # If the location is a symbolic link, rewrite the file that it points to, and keep the link.
        file = Path(self.location).resolve()
        fresh = self._compacting()
        size_bytes = file.stat().st_size
        try:
            _remove_database(fresh)
            connection.execute(f"ATTACH {quoted(str(fresh))} AS fresh ({_NEW_FILE})")
            connection.execute("COPY FROM DATABASE warehouse TO fresh")
            connection.execute("DETACH fresh")
            connection.execute("CHECKPOINT warehouse")
            # The lock of the old file is still held; processes that wait for it will open the new file.
            replace_file(fresh, file)
        except (duckdb.Error, OSError) as error:
            reason = describe(error) if isinstance(error, duckdb.Error) else error.strerror
            raise WarehouseUnusableError(
                f"{self.location} cannot be rewritten: {reason}. "
                f"This needs up to {2 * size_bytes / 1e6:,.0f} MB beside it"
            ) from None
        finally:
            with suppress(OSError):
                _remove_database(fresh)

    def _compacting(self) -> Path:
        """Return the path of the new file while this one is rewritten."""
        file = Path(self.location).resolve()
        return file.with_name(f"{file.name}.compacting")

    def _remove_abandoned(self) -> None:
        """Remove the new file of a killed process; a live one would hold the lock of this file.

        Raises:
            WarehouseUnusableError: it cannot be removed.
        """
        try:
            _remove_database(self._compacting())
        except OSError as error:
            raise WarehouseUnusableError(
                f"{self._compacting()}, an old copy of the warehouse, cannot be removed: {error.strerror}; remove it"
            ) from None

    def maintain(self, connect: Connect, snapshot_days: int) -> dict[str, int]:  # noqa: ARG002 (a file keeps no snapshots)
        """Rewrite the file if much of it is free space, which DuckDB reuses but never returns to the disk."""
        with connect() as connection:
            size_bytes = Path(self.location).stat().st_size
            self._remove_abandoned()
            row = connection.execute(
                "SELECT free_blocks / greatest(total_blocks, 1) FROM pragma_database_size() "
                "WHERE database_name = 'warehouse'"
            ).fetchone()
            if row and row[0] > _MAX_FREE_SHARE:
                self.compact(connection)
        return {"size_bytes_before": size_bytes, "size_bytes": Path(self.location).stat().st_size}

    def request_clock(self, schema: str) -> AbstractContextManager[ReserveSlots | None]:
        """Keep the clock in a small file beside the warehouse, for the processes of this machine."""

        def reserve(count: int, interval_seconds: float) -> float:
            with _open_clock(Path(f"{self.location}.{schema}.pace")) as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                file.seek(0)
                now, content = time.time(), file.read()
                ahead = float(content) - now if re.fullmatch(r"[0-9]+[.][0-9]+", content) else 0.0
                # A time that is further ahead was written before the machine's clock was set back.
                first = now + (ahead if 0 < ahead < _MAX_AHEAD_SECONDS else 0.0)
                file.truncate(0)
                file.write(f"{first + count * interval_seconds:.6f}")
            return first - now

        self.prepare()
        _open_clock(Path(f"{self.location}.{schema}.pace")).close()
        return nullcontext(reserve)


def _is_own_name(own: str, name: str) -> bool:
    return name.startswith(own) and bool(_OWN_ENDINGS.fullmatch(name.removeprefix(own)))


def _remove_database(file: Path) -> None:
    for path in (file, file.with_name(f"{file.name}.wal")):
        path.unlink(missing_ok=True)


def _open_clock(path: Path) -> TextIO:
    try:
        return path.open("a+", encoding="ascii")
    except OSError as error:
        raise WarehouseUnusableError(
            f"{path} cannot be written ({error.strerror}). Processes share SYNTHFLOW_REQUESTS_PER_SECOND through it; "
            "make its folder writable"
        ) from None


def is_writable(path: Path) -> bool:
    """Return whether a file could be created at the path. Creates nothing."""
    folder = path.absolute().parent
    while not folder.exists():
        folder = folder.parent
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True
