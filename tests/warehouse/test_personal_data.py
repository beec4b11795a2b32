"""Personal data: forgotten on request and for good; kept where the source erases it, if that is wanted."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from synthflow_assets.errors import SettingsError
from synthflow_assets.removal import remove_person
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.export import export_days
from synthflow_assets.warehouse.forgetting import read_forgotten
from synthflow_assets.warehouse.landing import FetchCounts, Partition, Spool, land
from synthflow_assets.warehouse.schema import CALLS, PERSONAL_COLUMNS

DAY = dt.date(2026, 3, 10)
START_MS = 1_773_100_800_000
PERSON = "+14155550123"
OTHER = "+14155550999"


def record(call_id: str, **fields: Any) -> dict[str, Any]:
    return {
        "call_id": call_id,
        "start_time": START_MS,
        "duration": 5,
        "call_status": "completed",
        "lead_phone_number": OTHER,
        "agent_phone_number": "+14155550100",
        "lead_name": "NAMEMARK",
        "transcript": "human: TRANSCRIPTMARK",
        **fields,
    }


RECORDS = [
    record("theirs", lead_phone_number=PERSON, collected_variables={"a": {"value": "VARMARK"}}),
    record("incoming", phone_number_from="+1 (415) 555-0123"),
    record("mentioned", transcript="human: call me at 14155550123"),
    record("another"),
    record("rejected", lead_phone_number=PERSON, duration="long"),
]


def load(settings: Settings, records: list[dict[str, Any]]) -> None:
    warehouse = Warehouse(settings.warehouse)
    with warehouse.connect() as connection:
        forgotten = read_forgotten(connection)
    with Spool(settings.pii, settings.hash_key, lambda: forgotten) as spool, warehouse.connect() as connection:
        partition = Partition(DAY, "m")
        spool.add(partition, [json.dumps(one).encode() for one in records])
        spool.complete(partition, FetchCounts(len(records), len(records), 0, 0, 0, 1, closed=True))
        land(
            connection,
            spool.take_ready(),
            "run",
            dt.datetime(2026, 3, 12, tzinfo=dt.UTC),
            vanished_fields=settings.vanished_fields,
            pii=settings.pii,
        )


def settings(tmp_path: Path, **values: Any) -> Settings:
    return Settings.of(
        **{"warehouse": str(tmp_path / "synthflow.duckdb"), "export_dir": str(tmp_path / "export"), **values}
    )


def names_of(where: Settings, column: str = "lead_name") -> dict[str, Any]:
    frame = Warehouse(where.warehouse).read_frame("calls")
    return {row["call_id"]: None if row[column] != row[column] else row[column] for _, row in frame.iterrows()}


def test_one_person_is_removed_from_tables_exports_and_the_bytes_of_the_file(tmp_path: Path) -> None:
    where = settings(tmp_path)
    load(where, RECORDS)
    with Warehouse(where.warehouse).connect() as connection:
        export_days(connection, "calls", [DAY], Path(where.export_dir))
    assert b"14155550123" in Path(where.warehouse).read_bytes()
    said = list(remove_person(where, PERSON))
    assert said[0].startswith("3 calls")
    assert said[1].startswith("1 rejected records")
    assert said[2].startswith("1 export files")
    assert names_of(where) == {"theirs": None, "incoming": None, "mentioned": None, "another": "NAMEMARK"}
    frame = Warehouse(where.warehouse).read_frame("calls").set_index("call_id")
    assert frame.loc["theirs", [column.name for column in PERSONAL_COLUMNS]].isna().all()
    assert frame.loc["theirs", "duration_seconds"] == 5
    exported = duckdb.read_parquet(f"{where.export_dir}/calls/*.parquet").df().set_index("call_id")
    assert exported.loc[["theirs"], "lead_name"].isna().all()
    assert exported.loc["another", "lead_name"] == "NAMEMARK"
    assert b"14155550123" not in Path(where.warehouse).read_bytes()
    assert b"VARMARK" not in Path(where.warehouse).read_bytes()
    rejects = Warehouse(where.warehouse).read_frame("call_rejects")
    assert rejects["record"].isna().tolist() == [True]
    assert list(rejects["reason"]) == ["duration is not a whole number from 0 to 31622400"]


@pytest.mark.parametrize("pii", ["keep", "hash"])
def test_a_later_fetch_does_not_bring_it_back(tmp_path: Path, pii: str) -> None:
    where = settings(tmp_path, pii=pii, pii_key="secret")
    load(where, RECORDS)
    assert names_of(where)["theirs"] is not None
    list(remove_person(where, "1-415-555-0123"))
    for _ in range(2):
        assert names_of(where)["theirs"] is None
        assert names_of(where)["another"] is not None
        load(where, RECORDS)
    assert Warehouse(where.warehouse).read_frame("call_rejects")["record"].isna().tolist() == [True]
    assert len(list(Warehouse(where.warehouse).read_frame("forgotten")["phone_hash"])) == 1


def test_what_is_no_persons_number_is_refused(tmp_path: Path) -> None:
    where = settings(tmp_path)
    load(where, RECORDS)
    with pytest.raises(SettingsError, match="an agent's own number, in 4 calls"):
        list(remove_person(where, "+1 415 555 0100"))
    with pytest.raises(SettingsError, match="no phone number"):
        list(remove_person(where, "5555"))
    assert names_of(where)["theirs"] == "NAMEMARK"


ERASED = [record("theirs", lead_name=None, transcript=None, lead_phone_number=None)]


def test_the_source_is_mirrored_unless_told_otherwise(tmp_path: Path) -> None:
    where = settings(tmp_path)
    load(where, RECORDS[:1])
    load(where, ERASED)
    assert names_of(where) == {"theirs": None}


def test_what_the_source_erased_is_kept_where_that_is_wanted(tmp_path: Path) -> None:
    where = settings(tmp_path, vanished_fields="keep")
    load(where, RECORDS[:1])
    load(where, [*ERASED, record("new", lead_name="Somebody")])
    assert names_of(where) == {"theirs": "NAMEMARK", "new": "Somebody"}
    assert names_of(where, "lead_phone_number")["theirs"] == PERSON
    assert json.loads(names_of(where, "collected_variables")["theirs"]) == {"a": {"value": "VARMARK"}}
    assert len(Warehouse(where.warehouse).read_frame("calls")) == 2


def test_data_that_landed_before_hashing_or_dropping_does_not_survive_it(tmp_path: Path) -> None:
    load(settings(tmp_path), RECORDS[:1])
    hashing = settings(tmp_path, vanished_fields="keep", pii="hash", pii_key="secret")
    load(hashing, ERASED)
    assert names_of(hashing) == {"theirs": None}
    load(hashing, RECORDS[:1])
    load(hashing, ERASED)
    assert len(names_of(hashing)["theirs"]) == 64
    dropping = settings(tmp_path, vanished_fields="keep", pii="drop")
    load(dropping, ERASED)
    assert names_of(dropping) == {"theirs": None}


def test_every_column_that_may_hold_a_person_is_classed() -> None:
    innocent = {
        "day", "model_id", "call_id", "start_time", "duration_seconds", "call_status", "type_of_call",
        "end_call_reason", "telephony_disconnect_reason", "telephony_hangup", "telephony_duration_ms",
        "telephony_ringing_duration_ms", "telephony_start", "telephony_end", "recording_duration", "agents_used",
        "labels", "assistant_version", "campaign_type", "deployment_type", "timezone", "loaded_at",
    }  # fmt: skip
    assert {column.name for column in CALLS.columns} - {column.name for column in PERSONAL_COLUMNS} == innocent
