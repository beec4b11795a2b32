"""The base class of the engines, and what they share: waiting for locks, extensions, error messages."""

from __future__ import annotations

import random
import re
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import duckdb

from synthflow_assets.errors import WarehouseLockedError, WarehouseUnusableError
from synthflow_assets.files import temporary_folder
from synthflow_assets.interfaces import ReserveSlots
from synthflow_assets.warehouse.statements import quoted

_LONGEST_WAIT_SECONDS = 1.0  # between two attempts; longer waits leave a free lock unused
_VERSION_OFFSET, _HEADER_BYTES = 52, 84  # where the header of a DuckDB file names the version that created it
_QUIET_SECONDS = 1.0  # parallel runs often wait for each other shortly; only longer waits are logged

SPILL_PREFIX = "synthflow-spill-"

Connect = Callable[[], AbstractContextManager[duckdb.DuckDBPyConnection]]


class LockPolicy(NamedTuple):
    """How long to wait for a lock, and what to call with a message if the wait takes longer than a second."""

    limit_seconds: float
    on_wait: Callable[[str], None]

    def wait(self, attempt: Callable[[], str | None], location: str) -> None:
        """Repeat an attempt until it succeeds.

        Args:
            attempt: tries to take the lock; returns the name of its holder, or None on success.
            location: of the warehouse, for messages.

        Raises:
            WarehouseLockedError: no attempt succeeded within the limit.
        """
        started = time.monotonic()
        wait_seconds = 0.02
        has_warned = False
        while (holder := attempt()) is not None:
            next_attempt_seconds = time.monotonic() - started + wait_seconds
            if next_attempt_seconds > self.limit_seconds:
                raise WarehouseLockedError(
                    f"{location} is held by {holder} for more than {self.limit_seconds:.0f} s. "
                    "Close that program, or open the warehouse read-only there; then run again"
                )
            if not has_warned and next_attempt_seconds > _QUIET_SECONDS:
                self.on_wait(f"{location} is held by {holder}; waiting")
                has_warned = True
            time.sleep(wait_seconds * random.uniform(0.5, 1.5))
            wait_seconds = min(_LONGEST_WAIT_SECONDS, wait_seconds * 2)


class Engine(ABC):
    """Where the tables of a warehouse are stored. What differs between engines is a method here."""

    def __init__(self, location: str) -> None:
        self.location = location

    @property
    def identity(self) -> str:
        """Equal for two locations of the same warehouse."""
        return self.location

    @contextmanager
    def spill_folder(self) -> Iterator[str]:
        """Yield a folder that only this user can read, for what does not fit into DuckDB's memory; empty for none."""
        with temporary_folder([Path(tempfile.gettempdir())], SPILL_PREFIX) as folder:
            yield folder

    def suppression_copy(self, schema: str) -> Path | None:  # noqa: ARG002
        """Return where a copy of the suppression list is kept outside the warehouse; None if it is not needed."""
        return None

    def owns(self, path: Path) -> bool:  # noqa: ARG002
        """Return whether a path leads to a file of the warehouse on this machine, or to one that it may create."""
        return False

    def prepare(self) -> None:
        """Create what must exist before the warehouse can be created, such as its folder."""
        return

    @abstractmethod
    def exists(self) -> bool:
        """Return whether the warehouse exists.

        Raises:
            WarehouseUnusableError: its location cannot be reached.
        """

    def creation_error(self) -> str | None:
        """Return why a warehouse that does not exist yet cannot be created; None if no reason is known."""
        return None

    def is_writable(self) -> bool:
        """Return whether this user may write to the existing warehouse; True if only the server knows."""
        return True

    def write_lock(
        self,
        connection: duckdb.DuckDBPyConnection,  # noqa: ARG002
        schema: str,  # noqa: ARG002
        lock_policy: LockPolicy,  # noqa: ARG002
    ) -> AbstractContextManager[None]:
        """Hold the lock that serialises the writers of a schema, until the block ends."""
        return nullcontext()

    @abstractmethod
    def attach(
        self, connection: duckdb.DuckDBPyConnection, name: str, lock_policy: LockPolicy, *, read_only: bool
    ) -> None:
        """Attach the warehouse to the connection under a name. Creates it, unless `read_only` is set.

        Raises:
            WarehouseLockedError: another process holds it for longer than the limit.
            WarehouseUnusableError: it cannot be opened or created.
        """

    def configure_storage(self, connection: duckdb.DuckDBPyConnection) -> None:  # noqa: ARG002
        """Configure how new tables are stored. The connection's default schema is theirs."""
        return

    def text_compression(self, connection: duckdb.DuckDBPyConnection) -> str | None:  # noqa: ARG002
        """Return how new columns with long texts are compressed; None leaves it to the engine."""
        return None

    def compact(self, connection: duckdb.DuckDBPyConnection) -> None:  # noqa: ARG002
        """Remove deleted and overwritten rows from storage."""
        return

    def maintain(self, connect: Connect, snapshot_days: int) -> dict[str, int]:  # noqa: ARG002
        """Keep the storage small and fast, and let others write in between. Return counts by name of what was done."""
        return {}

    def request_clock(self, schema: str) -> AbstractContextManager[ReserveSlots | None]:  # noqa: ARG002
        """Yield the request clock that all writers of the schema share; None if the engine has none."""
        return nullcontext()


def new_connection() -> duckdb.DuckDBPyConnection:
    """Return a connection without a warehouse. It can load the extensions of Python packages, and installs none.

    It writes no temporary files until a folder for them is set.
    """
    return duckdb.connect(
        ":memory:",
        config={"allow_unsigned_extensions": True, "autoinstall_known_extensions": False, "temp_directory": ""},
    )


def load_extension(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Load a DuckDB extension: from its Python package if that is installed, else from DuckDB's repository.

    Python packages work without internet access, and a lock file pins their version.
    """
    connection.execute(f"LOAD {_verified_extension(name)}")


@cache
def _verified_extension(name: str) -> str:
    """Return what to load, after DuckDB verified its signature. Once per process, because it takes 0.1 s."""
    spec = find_spec(f"duckdb_extension_{name}")
    within = f"extensions/v{duckdb.__version__}/{name}.duckdb_extension"
    packaged = [Path(folder, within) for folder in (spec.submodule_search_locations or [] if spec else [])]
    found = next((quoted(str(path)) for path in packaged if path.exists()), None)
    with duckdb.connect(":memory:") as connection:  # unlike new_connection(), it rejects unsigned extensions
        connection.execute(f"LOAD {found}" if found else f"INSTALL {name}; LOAD {name}")
    return found or name


def attach_when_free(
    connection: duckdb.DuckDBPyConnection, statement: str, location: str, lock_policy: LockPolicy
) -> None:
    """Run an ATTACH statement, and wait for the lock of the file that it opens.

    Raises:
        WarehouseLockedError: another process holds the lock for longer than the limit.
        WarehouseUnusableError: the warehouse cannot be opened or created.
    """

    def attempt() -> str | None:
        try:
            connection.execute(statement)
        except duckdb.Error as error:
            holder = _lock_holder(error)
            if holder is None:
                raise unusable(location, error) from None
            return holder
        return None

    lock_policy.wait(attempt, location)


def _lock_holder(error: duckdb.Error) -> str | None:
    """Return who holds the lock of the file; None if the error has another cause."""
    text = str(error)
    if "already attached" in text or "Unique file handle conflict" in text:
        return "another connection of this process"
    if "Could not set lock" not in text:
        return None
    found = re.search(r"held in (.+?) \(PID (\d+)\)", text)
    return f"{Path(found[1]).name} (process {found[2]})" if found else "another process"


_NO_EXTENSION = "a DuckDB extension cannot be loaded; install it with pip install 'synthflow-assets[lake]'"
_REASONS = (
    (r"not a valid DuckDB database", "it is not a DuckDB file"),
    (r"DATA_PATH parameter", "SYNTHFLOW_LAKE_DATA_PATH is not the data path of this lake; unset it"),
    (r"does not exist - and creating", "there is no lake yet; set SYNTHFLOW_LAKE_DATA_PATH and materialize calls"),
    (r"Failed to (?:download|install)|extension.*not found", _NO_EXTENSION),
    (r"does not exist|No such file", "there is no such file yet; materialize synthflow/calls first"),
)  # fmt: skip


def unusable(location: str, error: duckdb.Error) -> WarehouseUnusableError:
    """Return the error that explains a DuckDB error to the person who set the location."""
    text = str(error)
    if re.search(r"database file with (?:storage )?version number", text):
        return WarehouseUnusableError(_newer_duckdb_message(location))
    if found := re.search(r"Unable to connect to Postgres.*?: (?:connection to .*? failed: )?(.*)", text):
        reason = f"PostgreSQL says: {found[1].strip()}"
    elif known := next((words for pattern, words in _REASONS if re.search(pattern, text)), None):
        reason = known
    elif found := re.search(r": (Permission denied|Is a directory|Not a directory|Read-only file system)", text):
        reason = found[1].lower()
    else:
        reason = text.splitlines()[0].removeprefix("IO Error: ").rstrip(".")
    return WarehouseUnusableError(
        f"the warehouse {location} cannot be opened: {reason}. Check the location (SYNTHFLOW_WAREHOUSE)"
    )


def _newer_duckdb_message(location: str) -> str:
    """Return what to do with a file of a newer DuckDB version, which is in the file's header."""
    with Path(location).open("rb") as file:
        found = re.match(rb"v([0-9.]+)", file.read(_HEADER_BYTES)[_VERSION_OFFSET:])
    version = found[1].decode() if found else "of a later version"
    return (
        f"{location} was created by DuckDB {version}, and the installed DuckDB {duckdb.__version__} cannot read it: "
        "pip install --upgrade duckdb. If you need the installed version for a lake, write a copy that both versions "
        "read: synthflow-assets backup --to FILE, in an environment with the later version"
    )
