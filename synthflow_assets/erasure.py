"""Erase one person's data from tables, exports and recordings."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterator

from synthflow_assets.recordings import RecordedCall, delete_recordings, recording_locations, remove_orphans
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.erasure import count_phone, forget_phone
from synthflow_assets.warehouse.export import export_again, remove_unfinished
from synthflow_assets.warehouse.schema import CALLS
from synthflow_assets.warehouse.staging import remove_abandoned


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
        settings: of the warehouse, the exports and the key of hashed numbers.
        phone: the number with its country code.

    Yields:
        Lines that report what was erased.

    Raises:
        SettingsError: this is not the phone number of a person.
        WarehouseError: the tables or exports cannot be written.
    """
    warehouse = Warehouse.from_settings(settings)
    folder = settings.export_folder

    def write_exports(days: list[dt.date]) -> int:
        if folder is None:
            return 0
        remove_unfinished(folder, CALLS.name)
        return export_again(connection, [CALLS.name], days, folder)

    deleted: set[str] = set()  # files; the erasure may be repeated if another writer commits first

    def delete(locations: list[str], calls: list[tuple[dt.date, str, str]]) -> None:
        # Files of the calls are looked for as well: an older warehouse may have been restored that does not know them.
        of_calls = recording_locations(settings.recordings, itertools.starmap(RecordedCall, calls))
        deleted.update(delete_recordings([*locations, *of_calls]))

    with warehouse.connect() as connection:
        erasure = forget_phone(
            connection, phone, settings.hash_key, delete_recordings=delete, export_again=write_exports
        )
        remove_orphans(connection)
    remove_abandoned()
    # The old bytes stay in the free space of the file until it is rewritten.
    warehouse.compact()
    if not (erasure.calls or erasure.rejects):
        yield "This number occurs in no call and in no rejected record"
    yield f"{erasure.calls:,} calls: personal columns set to NULL; times, durations and reasons stay"
    if erasure.hashed:
        yield f"{erasure.hashed:,} calls have hashed numbers. Was another SYNTHFLOW_PII_KEY used for them?"
    yield f"{erasure.rejects:,} rejected records: content erased"
    yield f"{erasure.exports:,} export files rewritten"
    yield f"{len(deleted):,} recordings deleted"
    yield "The number is on the suppression list: later fetches drop this person's data"
    yield "Synthflow still stores the data; delete it there too"
