"""Erase one person's data from tables, exports and recordings, and keep a restore from bringing it back."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterator
from pathlib import Path

import duckdb

from synthflow_assets.errors import WarehouseError, WarehouseLockedError, WarehouseUnusableError
from synthflow_assets.metrics import replace_metrics
from synthflow_assets.recordings import (
    RecordedCall,
    delete_recordings,
    recording_locations,
    remove_orphans,
    validate_mounted,
)
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.copying import Copied, copy_warehouse
from synthflow_assets.warehouse.erasure import (
    Erasure,
    count_phone,
    erase_suppressed,
    forget_phone,
    load_suppression_list,
)
from synthflow_assets.warehouse.export import export_again, outdate_exports, remove_unfinished
from synthflow_assets.warehouse.metric_tables import ATTEMPTS_DAILY, CALL_SEGMENTS_DAILY, CALLERS_DAILY
from synthflow_assets.warehouse.schema import CALLS
from synthflow_assets.warehouse.staging import remove_abandoned
from synthflow_assets.warehouse.statements import write

# The metrics that are computed from personal columns.
_PERSONAL = (CALLERS_DAILY.name, ATTEMPTS_DAILY.name, CALL_SEGMENTS_DAILY.name)


def count_person(settings: Settings, phone: str) -> tuple[int, int]:
    """Return how many calls and how many rejected records `erase_person` would change; changes nothing.

    Args:
        settings: of the warehouse and the key of hashed numbers.
        phone: the number with its country code.

    Raises:
        SettingsError: this is not the phone number of a person.
        WarehouseError: there is no warehouse, or it cannot be read.
    """
    with Warehouse.from_settings(settings).connect(read_only=True) as connection:
        return count_phone(connection, phone, settings.hash_key)


def erase_person(settings: Settings, phone: str) -> Iterator[str]:
    """Erase the personal data of the person with this phone number.

    Args:
        settings: of the warehouse, the exports, the recordings and the key of hashed numbers.
        phone: the number with its country code.

    Yields:
        Lines that report what was erased.

    Raises:
        SettingsError: this is not the phone number of a person.
        WarehouseError: the tables or files cannot be written; the message says what is erased by then.
    """
    warehouse, files = Warehouse.from_settings(settings), _Files(settings, must_be_mounted=True)
    try:
        with warehouse.connect() as connection:
            erasure = forget_phone(connection, phone, settings.hash_key, files=files)
    except WarehouseLockedError:
        raise
    except WarehouseUnusableError as error:
        raise WarehouseUnusableError(
            f"{error}. The tables are unchanged: correct this, then run the command again"
        ) from None
    remove_abandoned()
    if not (erasure.calls or erasure.rejects):
        yield "This number occurs in no call and in no rejected record"
    yield f"{erasure.calls:,} calls: personal columns set to NULL; times, durations and reasons stay"
    if erasure.hashed:
        yield f"{erasure.hashed:,} calls have hashed numbers. Was another SYNTHFLOW_PII_KEY used for them?"
    yield f"{erasure.rejects:,} rejected records: content erased"
    yield f"{erasure.exports:,} export files rewritten"
    if (exports := settings.export_folder) and "://" not in exports and not Path(exports).is_dir():
        yield f"The folder of exports, {Path(exports).absolute()}, does not exist here. Were exports written elsewhere?"
    yield f"{len(files.deleted):,} recordings deleted"
    yield "The number is on the suppression list: later fetches drop this person's data"
    yield "Synthflow still stores the data; delete it there too"
    yield "Backups still hold the data; `synthflow-assets restore` erases it from the restored calls"
    _finish(warehouse)


def restore_backup(settings: Settings, path: Path, *, replace: bool = False) -> Copied:
    """Copy a backup into the warehouse. The people on either suppression list are erased from the copy.

    Args:
        settings: of the warehouse, the exports and the recordings.
        path: the backup, which is only read.
        replace: replace the calls of the warehouse; otherwise it must be empty.

    Raises:
        WarehouseError: a warehouse cannot be opened, the target is not empty, or the copy differs.
    """
    target = Warehouse.from_settings(settings)
    source = Warehouse(path.absolute(), settings.warehouse_schema)  # absolute, because a file may be called `md:x`
    copied = copy_warehouse(source, target, source_is_live=False, replace=replace, erase=_Files(settings).erase)
    with target.connect() as connection:
        write(connection, lambda: outdate_exports(connection))
    _finish(target)
    return copied


def move_warehouse(settings: Settings, moved: Settings) -> Copied:
    """Copy the warehouse to another location. The people on either suppression list are erased from the copy.

    Args:
        settings: of the warehouse, the exports and the recordings.
        moved: of the new location, which must be empty.

    Raises:
        WarehouseError: a warehouse cannot be opened, the target is not empty, or the copy differs.
    """
    target = Warehouse.from_settings(moved)
    copied = copy_warehouse(Warehouse.from_settings(settings), target, erase=_Files(settings).erase)
    _finish(target)
    return copied


def maintain(settings: Settings, warehouse: Warehouse) -> dict[str, int]:
    """Keep the warehouse small and fast, and remove personal data that killed or failed commands left behind.

    Returns:
        Counts by name of what was done.

    Raises:
        WarehouseError: the warehouse or the recordings cannot be opened or written.
    """
    remove_abandoned()
    copy = warehouse.engine.suppression_copy(warehouse.schema)
    with warehouse.connect() as connection:
        if copy is not None and load_suppression_list(connection, copy):
            # An older file was copied back, with people who were erased since.
            write(connection, lambda: _Files(settings).erase(connection))
        orphans = remove_orphans(connection)
    return {**warehouse.maintain(settings.lake_snapshot_days), "orphaned_recordings_removed": orphans}


class _Files:
    """The files of a workspace with personal data, besides the tables. See `PersonalFiles`.

    Args:
        settings: of the exports and the recordings.
        must_be_mounted: fail if the folder of a recording is missing. A restore on another machine goes on without it.
    """

    def __init__(self, settings: Settings, *, must_be_mounted: bool = False) -> None:
        self._settings = settings
        self._must_be_mounted = must_be_mounted
        self._exports = settings.export_folder
        self._recordings = settings.recordings
        self.deleted: set[str] = set()  # over all attempts: a transaction is repeated if another one commits first

    def erase(self, connection: duckdb.DuckDBPyConnection) -> Erasure:
        """Erase the people on the suppression list."""
        return erase_suppressed(connection, self)

    def delete_recordings(self, locations: list[str], calls: list[tuple[dt.date, str, str]]) -> None:
        # Files are also found by their calls: a warehouse that was fetched again lacks their locations.
        of_calls = recording_locations(self._recordings, itertools.starmap(RecordedCall, calls))
        self.deleted.update(delete_recordings([*locations, *of_calls]))
        if self._must_be_mounted:
            validate_mounted(locations, self.deleted)

    def refresh(self, connection: duckdb.DuckDBPyConnection, days: list[dt.date]) -> int:
        # The erased calls have no caller and no number of the agent any more.
        computed = connection.execute(
            "SELECT DISTINCT day FROM callers_daily WHERE list_contains($1::DATE[], day)", [days]
        ).fetchall()
        affected = (
            replace_metrics(connection, [day for (day,) in computed], self._settings, _PERSONAL) if computed else {}
        )
        if self._exports is None:
            return 0
        remove_unfinished(self._exports, CALLS.name)
        return sum(
            export_again(connection, [table], of_table, self._exports)
            for table, of_table in {CALLS.name: days, **affected}.items()
        )


def _finish(warehouse: Warehouse) -> None:
    """Remove orphaned recordings, and old bytes from the storage.

    Raises:
        WarehouseUnusableError: this failed; a later run tries again.
    """
    try:
        with warehouse.connect() as connection:
            remove_orphans(connection)
        warehouse.finish_erasures()
    except WarehouseError as error:
        raise WarehouseUnusableError(
            f"{error}. The data is erased from the tables, but old bytes of it may remain in the storage: correct "
            "this, then run synthflow-assets maintain. Every load tries to remove them as well"
        ) from None
