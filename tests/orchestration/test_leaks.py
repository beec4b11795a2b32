"""No sentence, phone number, name or key is in anything that a run writes, in any encoding."""

import base64
import json
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import dagster as dg
import duckdb
import pytest

from synthflow_assets import loading
from synthflow_assets.orchestration.build import build_synthflow_defs
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.metric_tables import METRIC_TABLES
from synthflow_assets.warehouse.schema import TABLES, VIEWS
from synthflow_assets.warehouse.staging import ReadyBatch
from tests.api.servers import agents_page, page, serving
from tests.instances import without_checks
from tests.receivers import Inbox

DAY = "2026-03-10"
START_MS = 1_773_100_800_000
KEY = "Planted-Key-0987abcdef654321"
NUMBER, NAME, SENTENCE = "+14155550123", "Zebedee Quackenbush", "human: my card ends in tangerine"
PERSONAL = [NUMBER, "(415) 555-0123", NAME, SENTENCE, "zebedee@quackenbush.example"]
FAILING = {"m400": 400, "m404": 404, "m422": 422, "m500": 500, "m302": 302}


def spellings(secret: str) -> set[str]:
    """The secret as it is, in other cases, encoded, spaced, and its halves."""
    # The middle of the base64 of a text that begins at each of three offsets, without what its neighbours change.
    encoded = {base64.b64encode(b"?" * offset + secret.encode()).decode()[4:-4] for offset in range(3)}
    hexadecimal = "".join(f"%{byte:02x}" for byte in secret.encode())
    half = len(secret) // 2
    halves = {secret[:half], secret[half:]} if half >= 8 else set()
    plain = {secret, secret.upper(), secret.lower(), " ".join(secret)}
    return {*plain, quote(secret, safe=""), hexadecimal, *encoded, *halves}


SPELLED = {text: sorted(spellings(text)) for text in (*PERSONAL, KEY)}


def found_in(text: str) -> set[str]:
    return {secret for secret, forms in SPELLED.items() if any(form in text for form in forms)}


def call(number: int, **fields: object) -> dict[str, object]:
    said = {"value": f"{NAME}, {NUMBER}", "collected": True}
    return {
        "call_id": f"c{number}",
        "start_time": START_MS + number,
        "duration": 30,
        "call_status": "completed",
        "lead_phone_number": NUMBER,
        "lead_name": NAME,
        "name": NAME,
        "phone_number_from": "(415) 555-0123",
        "transcript": f"\n{SENTENCE}\nbot: I call {NAME} at {NUMBER}",
        "recording_url": f"https://recordings.example/{quote(NAME)}",
        "error_message": f"Telephony - 404 - {NUMBER}",
        "collected_variables": {"agent": {"who": said}},
        "judge_results": {"goal": "true", "goal_feedback": f"{NAME} said {SENTENCE}"},
        "executed_actions": {
            "Transfer": {
                "name": "Transfer",
                "action_type": "transfer_call_action_type",
                "parameters_from_llm": json.dumps(said),
                "return_value": json.dumps({"status": "transfer-failed-timeout", "failed_reason": NAME, "to": NUMBER}),
                "error_message": f"{NAME} did not answer",
            }
        },
        "telephony_sip_headers": {"To": NUMBER},
        "a_field_of_their_own": {"email": "zebedee@quackenbush.example"},
        **fields,
    }


def hostile(query: dict[str, str], failing: dict[str, int]) -> tuple[int, bytes] | tuple[int, bytes, dict[str, str]]:
    """Answer some agents with calls, and others with errors that quote all secrets in every spelling."""
    if query["path"].endswith("/assistants/"):
        return agents_page(["m1", *FAILING], 1 + len(FAILING))
    status = failing.get(query["model_id"])
    if status is None and query["model_id"] != "m1":
        return page([], 0)
    if status is None:
        calls = [call(1), call(2, duration="long"), call(3, start_time=NAME), call(4, labels={"x": NUMBER})]
        return page([{**one, "model_id": "m1"} for one in calls], len(calls))
    quoted = [form for forms in SPELLED.values() for form in forms]
    details: dict[int, object] = {
        400: {"status": "error", "description": " ".join(quoted), "category": NAME, "request_id": KEY},
        404: f"No agent of {NAME} for {' '.join(quoted)}",
    }
    detail = details.get(status, [{"msg": form, "loc": ["query", form]} for form in quoted])
    return status, json.dumps({"detail": detail}).encode(), {"Location": f"https://{KEY}.example/{quote(NAME)}"}


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    with Inbox() as made:
        os.environ["THEIR_WEBHOOK"] = f"{made.url}/{KEY}"  # removed by clean_environment
        yield made


def run_once(settings: Settings, instance: dg.DagsterInstance) -> None:
    """Run all assets without checks."""
    job = without_checks(build_synthflow_defs(settings).resolve_job_def("synthflow_daily"))
    job.execute_in_process(instance=instance, partition_key=DAY)


def run_and_alert(settings: Settings, instance: dg.DagsterInstance, failing: dict[str, int]) -> None:
    definitions = build_synthflow_defs(settings)
    sensor = definitions.resolve_sensor_def("synthflow_alerts")

    def tick(cursor: str | None) -> str | None:
        with dg.build_sensor_context(instance, cursor=cursor, definitions=definitions) as context:
            return sensor.evaluate_tick(context).cursor

    cursor = tick(None)
    job = definitions.resolve_job_def("synthflow_daily")
    some = [dg.AssetKey(["synthflow", name]) for name in ("calls", "call_rates_daily", "calls_export", "call_report")]
    failed = job.execute_in_process(instance=instance, partition_key=DAY, asset_selection=some, raise_on_error=False)
    assert not failed.success
    cursor = tick(cursor)
    # Now all pairs land, so that the other steps run as well. Of the checks that are the same for each metric, one
    # metric has its own.
    failing.clear()
    layer = job.asset_layer
    same = {f"{kind}_{table.name}" for kind in ("unique", "recount") for table in METRIC_TABLES[1:]}
    checks = {key for key in layer.asset_graph.asset_check_keys if key.name not in same}
    whole = job.get_subset(asset_selection=set(layer.executable_asset_keys), asset_check_selection=checks)
    whole.execute_in_process(instance=instance, partition_key=DAY)
    tick(cursor)


def tables_of(warehouse: Warehouse) -> str:
    """All rows as text: a search in the bytes of the file would miss what is compressed."""
    with warehouse.connect(read_only=True) as connection:
        rows = [
            connection.execute(f"SELECT * FROM {name}").fetchall() for name in [*TABLES, *(view.name for view in VIEWS)]
        ]
    return repr(rows)


def files_in(*folders: Path) -> dict[Path, str]:
    found = {}
    for path in (path for folder in folders for path in folder.rglob("*") if path.is_file()):
        found[path] = path.read_bytes().decode("latin-1")
        if path.suffix == ".parquet":
            found[path] += repr(duckdb.read_parquet(str(path)).fetchall())
    return found


def keep_files_of_landing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copy what exists only while a batch lands: the staged files, the log of the warehouse, and what DuckDB spills."""
    land = loading.land

    def landing(connection: duckdb.DuckDBPyConnection, batch: ReadyBatch, *args: Any, **options: Any) -> Any:
        landed = land(connection, batch, *args, **options)
        [(file,)] = connection.execute(
            "SELECT path FROM duckdb_databases() WHERE database_name = 'warehouse'"
        ).fetchall()
        number = len(list(folder.iterdir()))
        copied = folder / f"{number}"
        shutil.copytree(batch.files[0].parent, copied)
        for path in Path(file).parent.glob(f"{Path(file).name}*"):
            (shutil.copytree if path.is_dir() else shutil.copyfile)(path, copied / path.name)
        return landed

    folder.mkdir(parents=True)
    monkeypatch.setattr(loading, "land", landing)


@pytest.mark.parametrize("pii", ["drop", "keep"])
def test_no_file_of_a_run_has_a_secret(
    tmp_path: Path,
    on_disk: dg.DagsterInstance,
    inbox: Inbox,
    pii: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("synthflow_assets.errors.TransientApiError.retry_for_seconds", 0.0)
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.INFO, logger="urllib3")  # it logs the path of each request, of webhooks too
    data, home = tmp_path / "data", Path(on_disk.root_directory)
    keep_files_of_landing(data / "landing", monkeypatch)
    os.environ["SYNTHFLOW_API_KEY"] = KEY
    os.environ["THEIR_HASH_KEY"] = KEY
    failing = dict(FAILING) if pii == "keep" else {}  # errors are the same, whatever is stored
    with serving(lambda query: hostile(query, failing)) as url:
        settings = Settings.of(
            api_key=dg.EnvVar("SYNTHFLOW_API_KEY"),
            base_url=url,
            warehouse=str(data / "w.duckdb"),
            export_dir=str(data / "exports"),
            report=str(data / "report.html"),
            pii=pii,
            pii_key=dg.EnvVar("THEIR_HASH_KEY"),
            previews=pii == "keep",  # then more is in the tables that they show
            alert_webhook_url=dg.EnvVar("THEIR_WEBHOOK"),
        )
        if failing:
            run_and_alert(settings, on_disk, failing)
        else:
            run_once(settings, on_disk)
    warehouse = Warehouse.from_settings(settings)
    calls = warehouse.read_frame("calls")
    assert list(calls["call_id"]) == ["c1", "c4"]
    assert len(warehouse.read_frame("call_rejects")) == 2
    if pii == "keep":
        assert any("5 of 6 (day, agent) pairs failed" in posted for posted in inbox.posted)
    files = files_in(data, home)
    assert any(path.suffix == ".parquet" and "exports" in path.parts for path in files)
    during_landing = {path.suffix: text for path, text in files.items() if "landing" in path.parts}
    assert "c1" in during_landing[".parquet"]
    assert during_landing[".wal"]
    events = "".join(text for path, text in files.items() if home in path.parents)
    assert ("5 of 6 (day, agent) pairs failed" if pii == "keep" else "STEP_SUCCESS") in events
    printed = capfd.readouterr()
    said = "\n".join([*inbox.posted, caplog.text, printed.out, printed.err])
    assert found_in(said) == set()
    stored = {path for path in files if path.suffix == ".parquet" or path.name.startswith("w.duckdb")}
    assert {path: found_in(text) for path, text in files.items() if path not in stored and found_in(text)} == {}
    in_tables = found_in(tables_of(warehouse) + "".join(files[path] for path in stored))
    # With `keep`, the data is there, and the search finds it.
    assert in_tables == (set(PERSONAL) if pii == "keep" else set())


def test_the_search_finds_every_spelling() -> None:
    for secret in (*PERSONAL, KEY):
        half = len(secret) // 2
        for text in (
            secret.upper(),
            quote(secret),
            f"a {base64.b64encode(f'x{secret}y'.encode()).decode()} b",
            " ".join(secret),
            f"{secret[:half]}\n{secret[half:]}",
        ):
            assert secret in found_in(text) or half < 8, (secret, text)
