"""A DuckDB file: one machine, one writer at a time."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TextIO

import duckdb

from synthflow_assets.errors import WarehouseUnusableError
from synthflow_assets.interfaces import ReserveSlots
from synthflow_assets.warehouse.engines.base import Connect, LockPolicy, attach_when_free, unusable
from synthflow_assets.warehouse.statements import quoted

# Calls are long rows, and DuckDB holds a row group in memory until it is full: its default of 122,880 rows took twice
# the memory and no less time. Smaller groups also let a question about some days pass over the others.
_NEW_FILE = "ROW_GROUP_SIZE 20480"
# Of files that are made now; those that are there keep theirs. Every allowed version of DuckDB reads it, whichever made
# the file: what DuckDB 2 makes by itself, DuckDB 1.5 cannot read, whose extensions a lake needs. It costs DuckDB 2
# nothing, and lets DuckDB 1.5 land in four fifths of the time that its own default takes.
_FORMAT_OF_NEW_FILES = "v1.5.0"
_FURTHEST_AHEAD_SECONDS = 600.0
_MOST_FREE = 0.3  # of a file's blocks, before it is worth writing the others anew


class FileEngine:
    """A DuckDB file. One process at a time may write, and while it does, none may read."""

    def __init__(self, location: str) -> None:
        self.location = location

    @property
    def identity(self) -> str:
        """The file, whatever path leads to it."""
        return str(Path(self.location).resolve())

    @property
    def spill_folder(self) -> str:
        """Beside the file, where DuckDB itself would put it."""
        return f"{self.location}.tmp"

    def prepare(self) -> None:
        """Make the folder."""
        try:
            Path(self.location).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WarehouseUnusableError(
                f"SYNTHFLOW_WAREHOUSE={self.location}: its folder cannot be made ({error.strerror}); set another path"
            ) from None

    def exists(self) -> bool:
        """Whether there is a file."""
        return Path(self.location).exists()

    def creation_error(self) -> str | None:
        """Whether the nearest folder that exists may be written."""
        return None if is_writable(Path(self.location)) else "the folder is not writable. Set SYNTHFLOW_WAREHOUSE"

    def is_writable(self) -> bool:
        """Whether the file may be written."""
        return os.access(self.location, os.W_OK)

    def write_lock(
        self,
        connection: duckdb.DuckDBPyConnection,  # noqa: ARG002
        schema: str,  # noqa: ARG002
        lock_policy: LockPolicy,  # noqa: ARG002
    ) -> AbstractContextManager[None]:
        """Attaching takes the file's lock, which is all that is needed."""
        return nullcontext()

    def attach(
        self, connection: duckdb.DuckDBPyConnection, name: str, lock_policy: LockPolicy, *, read_only: bool
    ) -> None:
        """Attach the file, waiting for its lock."""
        connection.execute(f"SET storage_compatibility_version = '{_FORMAT_OF_NEW_FILES}'")
        options = "READ_ONLY" if read_only else _NEW_FILE
        attach_when_free(
            connection, f"ATTACH {quoted(self.location)} AS {name} ({options})", self.location, lock_policy
        )

    def configure_storage(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Row groups are the file's own; nothing else is to be said."""

    def compact(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Write the file anew, without the bytes of rows that were deleted or changed."""
        # The file itself, where the location is a link to it: the link stays, and the old bytes do not.
        file = Path(self.location).resolve()
        fresh = file.with_name(f"{file.name}.compacting")
        fresh.unlink(missing_ok=True)
        try:
            connection.execute(f"ATTACH {quoted(str(fresh))} AS fresh ({_NEW_FILE})")
            connection.execute("COPY FROM DATABASE warehouse TO fresh")
            connection.execute("DETACH fresh")
            connection.execute("CHECKPOINT warehouse")
            # While the lock on the old file is still held: who waits for it opens the new one.
            shutil.copymode(file, fresh)
            fresh.replace(file)
        except duckdb.Error as error:
            raise unusable(self.location, error) from None
        finally:
            fresh.unlink(missing_ok=True)

    def maintain(self, connect: Connect, snapshot_days: int) -> dict[str, int]:  # noqa: ARG002 (a file keeps no snapshots)
        """Write the file anew where much of it is free space; DuckDB uses that again, but never gives it back."""
        with connect() as connection:
            size_bytes = Path(self.location).stat().st_size
            row = connection.execute(
                "SELECT free_blocks / greatest(total_blocks, 1) FROM pragma_database_size() "
                "WHERE database_name = 'warehouse'"
            ).fetchone()
            if row and row[0] > _MOST_FREE:
                self.compact(connection)
        return {"size_bytes_before": size_bytes, "size_bytes": Path(self.location).stat().st_size}

    def request_clock(self, schema: str) -> AbstractContextManager[ReserveSlots | None]:
        """A little file beside the warehouse, for the processes of this machine."""

        def reserve(count: int, interval_seconds: float) -> float:
            with _opened(Path(f"{self.location}.{schema}.pace")) as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                file.seek(0)
                now, said = time.time(), file.read()
                ahead = float(said) - now if re.fullmatch(r"[0-9]+[.][0-9]+", said) else 0.0
                # What is further ahead was written before the machine's clock was set back.
                first = now + (ahead if 0 < ahead < _FURTHEST_AHEAD_SECONDS else 0.0)
                file.truncate(0)
                file.write(f"{first + count * interval_seconds:.6f}")
            return first - now

        self.prepare()
        return nullcontext(reserve)


def _opened(pace: Path) -> TextIO:
    try:
        return pace.open("a+", encoding="ascii")
    except OSError as error:
        raise WarehouseUnusableError(
            f"{pace} cannot be written: {error.strerror}. All processes share SYNTHFLOW_REQUESTS_PER_SECOND by it; "
            "make its folder writable"
        ) from None


def is_writable(path: Path) -> bool:
    """Whether a file could be made at the path; nothing is left behind."""
    folder = path.absolute().parent
    while not folder.exists():
        folder = folder.parent
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True
