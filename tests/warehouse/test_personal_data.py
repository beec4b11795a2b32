"""Personal data is erased permanently on request. If the source erases it, a setting decides whether it is kept."""

import datetime as dt
import hmac
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthflow_assets import loading
from synthflow_assets.api.client import SynthflowClient
from synthflow_assets.erasure import erase_person
from synthflow_assets.errors import SettingsError, WarehouseUnusableError
from synthflow_assets.interfaces import FetchResult
from synthflow_assets.metrics import compute_metrics
from synthflow_assets.sandbox.server import Sandbox
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.erasure import read_suppression_list
from synthflow_assets.warehouse.export import export_days
from synthflow_assets.warehouse.landing import land
from synthflow_assets.warehouse.personal import numbers_sql
from synthflow_assets.warehouse.schema import CALLS, DERIVED_COLUMNS, PERSONAL_COLUMNS
from synthflow_assets.warehouse.staging import Partition, Staging

DAY = dt.date(2026, 3, 10)
StartSandbox = Callable[..., Sandbox]
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
    record("mentioned", transcript="human: call me at +1 415-555.0123 (2 times)"),
    record("nested", collected_variables={"a": {"value": "naïve\n0014155550123"}}),
    record("beside", lead_name="Ada 14155550123", name="4 Ada"),  # a digit begins the next column
    record("strange", of_their_own=["tel:14155550123"]),
    record("another"),
    record("rejected", lead_phone_number=PERSON, duration="long"),
]
THEIRS = {"theirs", "incoming", "mentioned", "nested", "beside", "strange"}


def load(settings: Settings, records: list[dict[str, Any]]) -> None:
    warehouse = Warehouse(settings.warehouse)
    with warehouse.connect() as connection:
        forgotten = read_suppression_list(connection)
    with Staging(settings.pii, settings.hash_key, lambda: forgotten) as staging, warehouse.connect() as connection:
        partition = Partition(DAY, "m")
        staging.add(partition, [json.dumps(one).encode() for one in records])
        staging.complete(partition, FetchResult(len(records), len(records), 0, 0, 0, 1, closed=True))
        land(
            connection,
            staging.take_ready(),
            "run",
            dt.datetime(2026, 3, 12, tzinfo=dt.UTC),
            vanished_fields=settings.vanished_fields,
            pii=settings.pii,
        )


@pytest.fixture(autouse=True)
def without_rows(empty_file: Path, tmp_path: Path) -> None:
    shutil.copy(empty_file, tmp_path / "warehouse.duckdb")


def settings(tmp_path: Path, **values: Any) -> Settings:
    return Settings.of(
        **{"warehouse": str(tmp_path / "warehouse.duckdb"), "export_dir": str(tmp_path / "export"), **values}
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
    said = list(erase_person(where, PERSON))
    assert said[0].startswith("6 calls")
    assert said[1].startswith("1 rejected records")
    assert said[2].startswith("1 export files")
    assert {call_id for call_id, name in names_of(where).items() if name is None} == THEIRS
    assert names_of(where)["another"] == "NAMEMARK"
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
def test_a_later_fetch_does_not_restore_erased_data(tmp_path: Path, pii: str) -> None:
    where = settings(tmp_path, pii=pii, pii_key="secret")
    load(where, RECORDS)
    assert None not in names_of(where).values()
    list(erase_person(where, "1-415-555-0123"))
    # Text that was hashed can no longer be searched. Later fetches search the text before it is hashed.
    emptied = THEIRS if pii == "keep" else {"theirs", "incoming"}
    assert {call_id for call_id, name in names_of(where).items() if name is None} == emptied
    load(where, RECORDS)
    assert {call_id for call_id, name in names_of(where).items() if name is None} == THEIRS
    assert Warehouse(where.warehouse).read_frame("call_rejects")["record"].isna().tolist() == [True]
    # The number, and its hash with the key.
    assert len(list(Warehouse(where.warehouse).read_frame("forgotten")["phone_hash"])) == 2


def test_the_same_number_has_the_same_hash_however_it_is_written(tmp_path: Path) -> None:
    where = settings(tmp_path, pii="hash", pii_key="secret")
    spelled = [PERSON, "0014155550123", "+1 (415) 555-0123", "1.415.555.0123"]
    load(where, [record(text, lead_phone_number=text) for text in [*spelled, "anonymous", "withheld"]])
    hashes = names_of(where, "lead_phone_number")
    expected = hmac.new(b"secret", b"14155550123", "sha256").hexdigest()
    assert {hashes[text] for text in spelled} == {expected}
    assert len({hashes["anonymous"], hashes["withheld"], expected}) == 3
    with pytest.raises(SettingsError, match="an agent's own number, in 6 calls"):
        list(erase_person(where, "+1 415 555 0100"))
    assert next(erase_person(where, "+1 415 555 0123")).startswith("4 calls")


def test_a_running_fetch_does_not_restore_erased_data(
    start_sandbox: StartSandbox, settings_for: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "LAND_AT_PARTITIONS", 1)
    sandbox = start_sandbox(agents=1, calls_per_day=30, same_volume=True)
    where, days = settings_for(sandbox), [DAY, DAY + dt.timedelta(days=1)]
    warehouse, said, outcomes = Warehouse(where.warehouse), list[str](), list[Any]()
    with SynthflowClient.from_settings(where) as client:
        [agent] = client.list_agents()
        starts = {day: dt.datetime.combine(day, dt.time(), dt.UTC) for day in days}
        person_of = {
            day: next(client.iter_calls(agent.model_id, start, start + dt.timedelta(days=1)))["lead_phone_number"]
            for day, start in starts.items()
        }
        for outcome in loading.load_calls(client, warehouse, where, [agent], days, log=said.append):
            outcomes.append(outcome)
            if len(outcomes) == 1:
                [under_way] = set(days) - {outcome.day}
                person = person_of[under_way]
                list(erase_person(where, person))
    assert {outcome.day for outcome in outcomes} == set(days)
    assert sum("erased meanwhile" in line for line in said) == 1
    calls = warehouse.read_frame("calls")
    assert person not in set(calls["lead_phone_number"])
    assert calls["lead_phone_number"].isna().sum() == 1


def test_an_erasure_that_failed_at_an_export_is_completed_by_the_next_one(tmp_path: Path) -> None:
    where = settings(tmp_path)
    load(where, RECORDS)
    with Warehouse(where.warehouse).connect() as connection:
        export_days(connection, "calls", [DAY], Path(where.export_dir))
    exported = Path(where.export_dir) / "calls" / f"{DAY}.parquet"
    held = exported.read_bytes()
    exported.unlink()
    exported.mkdir()
    with pytest.raises(WarehouseUnusableError, match="cannot export to"):
        list(erase_person(where, PERSON))
    assert names_of(where)["theirs"] == "NAMEMARK"
    exported.rmdir()
    exported.write_bytes(held)
    killed = exported.with_name(f".{exported.name}.1")
    killed.write_bytes(held)
    assert "1 export files rewritten" in list(erase_person(where, PERSON))
    assert not killed.exists()
    assert set(duckdb.read_parquet(str(exported)).df().query("lead_name.isna()")["call_id"]) == THEIRS


def test_an_erased_caller_is_left_out_of_callers_and_attempts(tmp_path: Path) -> None:
    """Their exports as well; other metrics stay as they were."""
    where = settings(tmp_path)
    outbound = [
        record(f"{call_id}", type_of_call="outbound", phone_number_to=number, lead_phone_number=number)
        for call_id, number in (("theirs", PERSON), ("other", "+14155550177"))
    ]
    load(where, outbound)
    with Warehouse(where.warehouse).connect() as connection:
        compute_metrics(connection, [DAY], where)
        for table in ("callers_daily", "attempts_daily", "call_rates_daily"):
            export_days(connection, table, [DAY], Path(where.export_dir))
        assert connection.execute("SELECT callers FROM callers_daily").fetchall() == [(2,)]
    assert "2 export files rewritten" in list(erase_person(where, PERSON))
    with Warehouse(where.warehouse).connect(read_only=True) as connection:
        assert connection.execute("SELECT calls, callers FROM callers_daily").fetchall() == [(2, 1)]
        assert connection.execute("SELECT leads FROM attempts_daily").fetchall() == [(1,)]
        assert connection.execute("SELECT calls FROM call_rates_daily").fetchall() == [(2,)]
    exported = duckdb.read_parquet(f"{where.export_dir}/callers_daily/{DAY}.parquet").fetchall()
    assert [row[4] for row in exported] == [1]


def test_an_erasure_deletes_the_files_of_a_killed_fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    where = settings(tmp_path)
    load(where, RECORDS)
    with Staging() as in_use:
        killed = tmp_path / "synthflow-staging-killed"
        killed.mkdir()
        (killed / "lock").touch()
        list(erase_person(where, PERSON))
        assert not killed.exists()
        in_use.add(Partition(DAY, "m"), [b"{}"])
        in_use.complete(Partition(DAY, "m"), FetchResult(1, 1, 0, 0, 0, 1, closed=True))
        assert all(file.exists() for file in in_use.take_ready().files)


def test_hashed_numbers_are_not_searched_without_their_key(tmp_path: Path) -> None:
    load(settings(tmp_path, pii="hash", pii_key="secret"), RECORDS)
    with pytest.raises(SettingsError, match="the numbers of 7 calls are hashed: set SYNTHFLOW_PII_KEY"):
        list(erase_person(settings(tmp_path), PERSON))


def test_a_key_that_matches_no_hash_is_questioned(tmp_path: Path) -> None:
    load(settings(tmp_path, pii="hash", pii_key="secret"), RECORDS)
    hint = "7 calls have hashed numbers. Was another SYNTHFLOW_PII_KEY used for them?"
    wrong = settings(tmp_path, pii="hash", pii_key="another")
    assert list(erase_person(wrong, PERSON))[:3] == [
        "This number occurs in no call and in no rejected record",
        "0 calls: personal columns set to NULL; times, durations and reasons stay",
        hint,
    ]
    assert hint not in list(erase_person(settings(tmp_path, pii="hash", pii_key="secret"), PERSON))


def test_a_link_to_a_warehouse_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "warehouse.duckdb").unlink()
    real = tmp_path / "disk" / "real.duckdb"
    real.parent.mkdir()
    load(settings(tmp_path, warehouse=str(real)), RECORDS)
    real.chmod(0o640)
    where = settings(tmp_path)
    Path(where.warehouse).symlink_to(real)
    list(erase_person(where, PERSON))
    assert Path(where.warehouse).is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    assert b"14155550123" not in real.read_bytes()


def test_numbers_that_are_no_persons_are_refused(tmp_path: Path) -> None:
    where = settings(tmp_path)
    load(where, RECORDS)
    with pytest.raises(SettingsError, match="an agent's own number, in 7 calls"):
        list(erase_person(where, "+1 415 555 0100"))
    with pytest.raises(SettingsError, match="not a phone number"):
        list(erase_person(where, "5555"))
    assert names_of(where)["theirs"] == "NAMEMARK"


ERASED = [record("theirs", lead_name=None, transcript=None, lead_phone_number=None)]


def test_the_source_is_mirrored_by_default(tmp_path: Path) -> None:
    where = settings(tmp_path)
    load(where, RECORDS[:1])
    load(where, ERASED)
    assert names_of(where) == {"theirs": None}


def test_vanished_fields_are_kept_if_set(tmp_path: Path) -> None:
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


def test_every_column_is_marked_as_personal_or_known_not_to_be() -> None:
    innocent = {
        "day", "model_id", "call_id", "start_time", "duration_seconds", "call_status", "type_of_call",
        "end_call_reason", "telephony_disconnect_reason", "telephony_hangup", "telephony_duration_ms",
        "telephony_ringing_duration_ms", "telephony_start", "telephony_end", "recording_duration", "agents_used",
        "labels", "assistant_version", "campaign_type", "deployment_type", "timezone", "listed_day", "loaded_at",
        *(column.name for column in DERIVED_COLUMNS if column.name != "caller_key"),
    }  # fmt: skip
    assert {column.name for column in CALLS.columns} - {column.name for column in PERSONAL_COLUMNS} == innocent


@cache
def searcher() -> duckdb.DuckDBPyConnection:
    """Return a connection with a prepared search of `texts`, because planning takes longer than searching."""
    connection = duckdb.connect()
    connection.execute("CREATE TABLE texts (place BIGINT, text VARCHAR)")
    connection.execute(f"PREPARE search AS SELECT {numbers_sql('text')} FROM texts ORDER BY place")
    return connection


def numbers_in(*texts: str) -> list[list[str]]:
    """Return the phone numbers that are found in each text."""
    connection = searcher()
    connection.execute("DELETE FROM texts")
    connection.execute("INSERT INTO texts SELECT unnest(range(len($1))), unnest($1::VARCHAR[])", [list(texts)])
    return [numbers for (numbers,) in connection.execute("EXECUTE search").fetchall()]


@given(
    groups=st.lists(st.from_regex(r"\A[0-9]{1,5}\Z"), min_size=2, max_size=6).filter(
        lambda groups: 7 <= len("".join(groups)) <= 15 and not "".join(groups).startswith("00")
    ),
    separator=st.sampled_from(
        ["", " ", "-", ".", ") ", " - ", ") - (", "    ", "\t", "\n", "/", *"\u00a0\u2009\u2013\u2212"]
    ),
    before=st.sampled_from(["", "call ", "+", "00", "tel:", "at 10 ", "\n", "ü"]),
    after=st.sampled_from(["", ".", " 2 times", ", or 5", "\n7"]),
)
def test_a_number_is_found_in_any_text_and_any_json(groups: list[str], separator: str, before: str, after: str) -> None:
    text = before + separator.join(groups) + after
    found = numbers_in(text, json.dumps([text]), json.dumps({"a": text}, ensure_ascii=False))
    assert len(found) == 3
    assert all("".join(groups) in numbers for numbers in found)


@given(st.lists(st.text("0123456789", min_size=1, max_size=4) | st.just("1" * 18), min_size=30, max_size=110))
def test_a_number_is_found_anywhere_in_a_long_row_of_numbers(groups: list[str]) -> None:
    expected = {
        "".join(groups[first:last])
        for first in range(len(groups))
        for last in range(first + 1, len(groups) + 1)
        if 7 <= len("".join(groups[first:last])) <= 17
    }
    [numbers] = numbers_in(" ".join(groups))
    assert set(numbers) == {number.removeprefix("00") for number in expected}


def test_a_long_row_of_numbers_is_searched_in_seconds() -> None:
    """After the first erasure, every record is searched for numbers when it lands."""
    text = "1 2 3 4 5 6 7 8 9 0 " * 3_000 + "415 555 0123"
    search = f"SELECT list_contains({numbers_sql('$1::VARCHAR')}, '4155550123')"
    # In a process of its own, because DuckDB does not interrupt an expression.
    script = f"import duckdb; assert duckdb.execute({search!r}, [{text!r}]).fetchall() == [(True,)]"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
