"""What every engine can do, and what they share: waiting, loading extensions, errors for people."""

from __future__ import annotations

import random
import re
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple, Protocol

import duckdb

from synthflow_assets.errors import WarehouseLockedError, WarehouseUnusableError
from synthflow_assets.interfaces import ReserveSlots
from synthflow_assets.warehouse.statements import quoted

_LONGEST_NAP_SECONDS = 1.0  # waiting longer between tries loses more time than it saves
_MADE_BY, _HEADER_BYTES = 52, 84  # where in a DuckDB file stands the version that made it
_SAID_AFTER_SECONDS = 1.0  # runs side by side wait for each other all the time, and nobody needs to know


Connect = Callable[[], AbstractContextManager[duckdb.DuckDBPyConnection]]


class LockPolicy(NamedTuple):
    """How long a writer waits for its turn, and who is told where that is longer than a moment."""

    limit_seconds: float
    on_wait: Callable[[str], None]

    def wait(self, attempt: Callable[[], str | None], location: str) -> None:
        """Try until it succeeds. The attempt returns who is in the way, or None.

        Raises:
            WarehouseLockedError: it did not succeed within the limit.
        """
        begun = time.monotonic()
        deadline = begun + self.limit_seconds
        nap = 0.02
        said = False
        while (holder := attempt()) is not None:
            if time.monotonic() + nap > deadline:
                raise WarehouseLockedError(
                    f"{location} is held by {holder} for more than {self.limit_seconds:.0f} s. "
                    "Close that program, or open the warehouse read-only there; then run again"
                )
            if not said and time.monotonic() + nap - begun > _SAID_AFTER_SECONDS:
                self.on_wait(f"{location} is held by {holder}; waiting")
                said = True
            time.sleep(nap * random.uniform(0.5, 1.5))
            nap = min(_LONGEST_NAP_SECONDS, nap * 2)


class Engine(Protocol):
    """What `Warehouse` wants of the place where the tables are."""

    location: str

    @property
    def identity(self) -> str:
        """Equal for two locations that are the same place."""

    @property
    def spill_folder(self) -> str:
        """Where DuckDB puts what does not fit into memory."""

    def prepare(self) -> None:
        """Make what must be there before the warehouse can be made."""

    def exists(self) -> bool:
        """Whether the warehouse has been made."""

    def creation_error(self) -> str | None:
        """Why the warehouse, which does not exist yet, cannot be made, as far as can be told."""

    def is_writable(self) -> bool:
        """Whether this user may write to the warehouse, which exists, as far as can be told."""

    def write_lock(
        self, connection: duckdb.DuckDBPyConnection, schema: str, lock_policy: LockPolicy
    ) -> AbstractContextManager[None]:
        """Wait until no other run writes to the schema; until the block ends, others wait."""

    def attach(
        self, connection: duckdb.DuckDBPyConnection, name: str, lock_policy: LockPolicy, *, read_only: bool
    ) -> None:
        """Attach the warehouse to the connection under a name."""

    def configure_storage(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Say how the tables are to be stored, once they are made; the default schema is theirs."""

    def compact(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Remove for good what was deleted or changed, from wherever it still is."""

    def maintain(self, connect: Connect, snapshot_days: int) -> dict[str, int]:
        """Keep the place small and fast, and let others write meanwhile; what was done, as counts by name."""

    def request_clock(self, schema: str) -> AbstractContextManager[ReserveSlots | None]:
        """A clock for requests to the API that all writers of the schema share; None where there cannot be one."""


def machine_spill_folder() -> str:
    """Where DuckDB puts what does not fit into memory, for places that have no folder here to put it beside."""
    return str(Path(tempfile.gettempdir(), "synthflow-duckdb"))


def new_connection() -> duckdb.DuckDBPyConnection:
    """A connection to nothing yet, that takes extensions as `load_extension` gives them and fetches none by itself."""
    return duckdb.connect(":memory:", config={"allow_unsigned_extensions": True, "autoinstall_known_extensions": False})


def load_extension(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Load one of DuckDB's extensions: from its Python package where that is installed, else as DuckDB does.

    DuckDB looks into its own folder, and fetches what is not there from its repository. Python packages make it
    work where there is no internet, and keep the version in the lock.
    """
    connection.execute(f"LOAD {_verified(name)}")


@cache
def _verified(name: str) -> str:
    """What to load, once DuckDB has checked its signature: that takes 0.1 s, which every connection would cost."""
    spec = find_spec(f"duckdb_extension_{name}")
    within = f"extensions/v{duckdb.__version__}/{name}.duckdb_extension"
    packaged = [Path(folder, within) for folder in (spec.submodule_search_locations or [] if spec else [])]
    found = next((quoted(str(path)) for path in packaged if path.exists()), None)
    with duckdb.connect(":memory:") as careful:
        careful.execute(f"LOAD {found}" if found else f"INSTALL {name}; LOAD {name}")
    return found or name


def attach_when_free(
    connection: duckdb.DuckDBPyConnection, statement: str, location: str, lock_policy: LockPolicy
) -> None:
    """Run an ATTACH, waiting for the lock of the file that it opens.

    Raises:
        WarehouseLockedError: another process held it for longer than the limit.
        WarehouseUnusableError: it cannot be opened or made.
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
    """Who holds the file, if that is what the error says."""
    text = str(error)
    if "already attached" in text or "Unique file handle conflict" in text:
        return "another connection of this process"
    if "Could not set lock" not in text:
        return None
    found = re.search(r"held in (.+?) \(PID (\d+)\)", text)
    return f"{Path(found[1]).name} (process {found[2]})" if found else "another process"


_NO_EXTENSION = "an extension of DuckDB cannot be loaded; pip install 'synthflow-assets[lake]' brings them"
_REASONS = (
    (r"not a valid DuckDB database", "it is not a DuckDB file"),
    (r"DATA_PATH parameter", "its data are elsewhere than SYNTHFLOW_LAKE_DATA_PATH says; unset that or set the same"),
    (r"does not exist - and creating", "there is no lake yet; set SYNTHFLOW_LAKE_DATA_PATH and materialize calls"),
    (r"Failed to (?:download|install)|extension.*not found", _NO_EXTENSION),
    (r"does not exist|No such file", "there is no such file yet; materialize synthflow/calls first"),
)  # fmt: skip


def unusable(location: str, error: duckdb.Error) -> WarehouseUnusableError:
    """What DuckDB's error means for the person who set the location."""
    text = str(error)
    if re.search(r"database file with (?:storage )?version number", text):
        return WarehouseUnusableError(_of_later_duckdb(location))
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


def _of_later_duckdb(location: str) -> str:
    """What to do with a file that the installed DuckDB is too old for; its header names the one that made it."""
    with Path(location).open("rb") as file:
        found = re.match(rb"v([0-9.]+)", file.read(_HEADER_BYTES)[_MADE_BY:])
    maker = found[1].decode() if found else "of a later version"
    return (
        f"{location} was made by DuckDB {maker}, and the installed DuckDB {duckdb.__version__} cannot read it: "
        "pip install --upgrade duckdb. For a lake, which needs the installed one, let the later one write a copy that "
        "both read: synthflow-assets backup --to FILE, in another environment"
    )
