"""Removes one person's data from everywhere it was written: tables, exports, recordings."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from synthflow_assets.recordings import delete_recordings
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.erasure import forget_phone
from synthflow_assets.warehouse.export import export_again, remove_unfinished
from synthflow_assets.warehouse.schema import CALLS
from synthflow_assets.warehouse.staging import remove_abandoned


def remove_person(settings: Settings, phone: str) -> Iterator[str]:
    """Remove what is known of the person with this number; says line by line what was removed.

    Raises:
        SettingsError: that is not the number of a person.
        WarehouseError: the tables or exports cannot be written.
    """
    warehouse = Warehouse.from_settings(settings)
    folder = settings.export_folder

    def write_exports(days: list[dt.date]) -> int:
        remove_unfinished(folder, CALLS.name)
        return export_again(connection, [CALLS.name], days, folder)

    with warehouse.connect() as connection:
        removal = forget_phone(
            connection, phone, settings.hash_key, delete_recordings=delete_recordings, export_again=write_exports
        )
    remove_abandoned()
    # Until the file is written anew, the old bytes are still in its free space.
    warehouse.compact()
    yield f"{removal.calls:,} calls: every personal field emptied; times, durations and reasons stay"
    if removal.hashed:
        yield f"{removal.hashed:,} calls have hashed numbers: were they made with another SYNTHFLOW_PII_KEY?"
    yield f"{removal.rejects:,} rejected records: content removed"
    yield f"{removal.exports:,} export files written anew"
    yield f"{removal.recordings:,} recordings deleted"
    yield "Later fetches leave this person's data out. Synthflow still has it: delete it there as well"
