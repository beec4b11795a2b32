"""A metric table and a field of the API are added as CONTRIBUTING says, and all the rest follows from the entries."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import synthflow_assets
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.schema import SCHEMA_VERSION

PACKAGE = Path(synthflow_assets.__file__).parent
QUERY = """
-- Calls by mood.
SELECT day, model_id, coalesce(nullif(trim(mood), ''), $not_reported) AS mood, count(*) AS calls
FROM calls
WHERE list_contains($days::DATE[], day)
GROUP BY 1, 2, 3
"""
ENTRY = """
METRIC_TABLES += (
    MetricTable(
        "moods_daily",
        "Calls by mood.",
        ("day", "model_id", "mood"),
        (
            DAY,
            MODEL_ID,
            _text("mood", "The mood.", "mood", "mood"),
            _count("calls", "Calls in this mood.", "count(calls)", "mood"),
        ),
        excluded="Nothing.",
        nulls="A call without a mood counts as not_reported.",
        recounts=(Recount("calls"),),
    ),
)
"""
FIELD = '        _field("mood", Kind.TEXT, "Mood of the call.", values=("cheerful",)),\n'
# Run with the changed package: what a contributor would see.
PROBE = """
import datetime as dt, json, sys
import dagster as dg
import synthflow_assets
from synthflow_assets import Settings, Warehouse, build_synthflow_defs
from synthflow_assets.interfaces import FetchResult
from synthflow_assets.metrics import compute_metrics
from synthflow_assets.quality import CHECKS, find_problems
from synthflow_assets.warehouse.landing import land
from synthflow_assets.warehouse.staging import Partition, Staging

changed, file, scripts = sys.argv[1:]
assert synthflow_assets.__file__.startswith(changed), synthflow_assets.__file__
sys.path.insert(0, scripts)
import generate_docs

day, start_ms = dt.date(2026, 3, 10), 1_773_100_800_000
moods = ["cheerful", "cheerful", "gloomy", None]
records = [
    json.dumps({"call_id": str(number), "start_time": start_ms, "mood": mood}).encode()
    for number, mood in enumerate(moods)
]
with Warehouse(file).connect() as connection:
    # The old file was migrated: the field had landed in `extra`.
    assert connection.execute("SELECT mood, extra FROM calls").fetchall() == [("wistful", None)]
    with Staging() as staging:
        staging.add(Partition(day, "a"), records)
        staging.complete(Partition(day, "a"), FetchResult(4, 4, 0, 0, 0, 1, True))
        land(connection, staging.take_ready(), "run", dt.datetime.now(dt.UTC))
    compute_metrics(connection, [day], Settings.of())
    rows = connection.execute("SELECT mood, calls FROM moods_daily ORDER BY ALL").fetchall()
    assert rows == [("cheerful", 2), ("gloomy", 1), ("not_reported", 1)], rows

    checks = {check.name: check for check in CHECKS}

    def problems(name):
        return [str(one) for one in find_problems(connection, checks[name], [day], Settings.of(), day)]

    assert problems("known_values") == ["mood is gloomy in 1 calls, which is not documented"], problems("known_values")
    assert problems("recount_moods_daily") == problems("unique_moods_daily") == []
    connection.execute("INSERT INTO moods_daily FROM moods_daily WHERE mood = 'cheerful'")
    assert problems("recount_moods_daily") == ["2026-03-10 a: calls sums to 6, expected 4"]
    assert problems("unique_moods_daily") == ["2026-03-10 a: 2 rows where there must be one"]

graph = build_synthflow_defs(Settings.of(export_dir="exports")).get_repository_def().asset_graph
key = dg.AssetKey(["synthflow", "moods_daily"])
assert {key, dg.AssetKey(["synthflow", "moods_daily_export"])} <= graph.get_all_asset_keys()
assert {check.name for check in graph.get_check_keys_for_assets({key})} == {"recount_moods_daily", "unique_moods_daily"}
assert [column.name for column in graph.get(key).metadata["dagster/column_schema"].columns][2:] == ["mood", "calls"]
for page in (generate_docs.tables_page(), generate_docs.metrics_page()):
    assert "moods_daily" in page
assert "Mood of the call." in generate_docs.tables_page()
assert "`recount_moods_daily`" in generate_docs.tables_page()
"""


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    """A copy of the package with one more metric table and one more field."""
    folder = tmp_path / "changed"
    package = folder / "synthflow_assets"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "metrics" / "moods_daily.sql").write_text(QUERY)
    entries = package / "warehouse" / "metric_tables.py"
    entries.write_text(entries.read_text() + ENTRY)
    schema = package / "warehouse" / "schema.py"
    version, end = f"SCHEMA_VERSION = {SCHEMA_VERSION}", '        Column("extra"'
    text = schema.read_text()
    assert text.count(version) == text.count(end) == 1
    schema.write_text(text.replace(version, f"SCHEMA_VERSION = {SCHEMA_VERSION + 1}").replace(end, FIELD + end))
    return folder


@pytest.mark.slow
def test_one_entry_and_one_query_make_a_metric_table_and_one_line_a_field(changed: Path, tmp_path: Path) -> None:
    file = tmp_path / "warehouse.duckdb"
    with Warehouse(str(file)).connect() as connection:
        connection.execute(
            "INSERT INTO calls BY NAME SELECT DATE '2026-03-09' AS day, 'a' AS model_id, 'old' AS call_id, "
            """now() AS start_time, now() AS loaded_at, 'other' AS call_outcome, '{"mood": "wistful"}' AS extra"""
        )
    # The tests of the changed package run in a process of their own, because this one has imported the real package.
    scripts = PACKAGE.parent / "scripts"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROBE, str(changed), str(file), str(scripts)],
        env={**os.environ, "PYTHONPATH": str(changed)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
