"""The pictures in Dagster's UI: real PNGs, small, of the right days, and none where there is nothing to show."""

import base64
import datetime as dt
import json
import struct
import subprocess
import zlib
from typing import Any

import duckdb
import pytest

from synthflow_assets.report.previews import _PREVIEWS, drawing, preview_charts, previews
from synthflow_assets.report.previews.worker import compress_png
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.metric_tables import CONNECTED_STATUSES, METRIC_TABLES
from synthflow_assets.warehouse.statements import sql_file
from tests.report.conftest import FIRST, LAST

LARGEST_BYTES = 50_000  # above it Dagster's event log grows noticeably
# Characters that end vl-convert's process: controls, a surrogate that JSON brought, and two that are no characters.
FORBIDDEN = "\x01\x0b\x1b\ufffe\uffff"
ABORTING = "'said \\u000b bye'"  # an expression, so the character comes into being only while the chart is drawn
HANGING = f"test(/(a+)+$/, '{'a' * 40}b')"  # a regular expression that backtracks for hours
HUGE = {"width": 30_000, "height": 30_000}  # 8 GB of pixels


def pictures_of(connection: duckdb.DuckDBPyConnection, table: str, last: dt.date = LAST) -> str | None:
    """The Markdown of a table's pictures, none of which may fail."""
    warnings: list[str] = []
    markdown = previews({table: preview_charts(connection, table, last)}, warnings.append)
    assert warnings == []
    return markdown.get(table)


def chart(title: str, expression: str = "'a'", **properties: Any) -> dict[str, Any]:
    """A small chart, which draws the value of an expression."""
    return {
        "title": title,
        "data": {"values": [{"size": 1}]},
        "transform": [{"calculate": expression, "as": "name"}],
        "mark": "bar",
        "encoding": {"x": {"field": "size", "type": "quantitative"}, "y": {"field": "name", "type": "nominal"}},
        **properties,
    }


def pixels(png: bytes) -> bytes:
    at, found = 8, b""
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        kind, content = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert struct.unpack(">I", png[at + 8 + length : at + 12 + length]) == (zlib.crc32(kind + content),)
        found += content if kind == b"IDAT" else b""
        at += 12 + length
    return zlib.decompress(found)


@pytest.mark.parametrize("table", sorted(_PREVIEWS))
def test_each_is_small_pictures_of_the_last_days(warehouse: Warehouse, table: str) -> None:
    with warehouse.connect(read_only=True) as connection:
        markdown = pictures_of(connection, table)
        assert preview_charts(connection, table, FIRST - dt.timedelta(days=1)) == []
    assert markdown is not None
    assert len(markdown) < LARGEST_BYTES
    pictures = markdown.split("\n\n")
    assert len(pictures) == (2 if table == "call_duration_daily" else 1)
    for one in pictures:
        title, _, picture = one.partition("](data:image/png;base64,")
        assert title.startswith("![")
        assert title.endswith(f", {LAST - dt.timedelta(days=29)} to {LAST}")
        # Something is drawn: a picture of one colour has two different bytes or three.
        assert len(set(pixels(base64.b64decode(picture.removesuffix(")"))))) > 50


def test_medians_in_the_picture_are_those_of_the_calls(warehouse: Warehouse) -> None:
    span = {"first": FIRST, "last": LAST}
    with warehouse.connect(read_only=True) as connection:
        query = sql_file("synthflow_assets.report.previews", "duration_percentiles.sql")
        drawn = connection.execute(query, span).fetchall()
        wanted = connection.execute(
            "SELECT day, unnest(['90th percentile', 'median']), unnest(quantile_cont(duration_seconds, [0.9, 0.5])) "
            "FROM calls WHERE day BETWEEN $first AND $last AND list_contains($statuses, call_status) "
            "GROUP BY day ORDER BY ALL",
            {**span, "statuses": list(CONNECTED_STATUSES)},
        ).fetchall()
    assert len(drawn) == 80
    assert [row[:2] for row in drawn] == [row[:2] for row in wanted]
    assert [row[2] for row in drawn] == pytest.approx([row[2] for row in wanted])


def test_mean_durations_in_the_picture_are_those_of_the_calls(warehouse: Warehouse) -> None:
    span = {"first": FIRST, "last": LAST}
    with warehouse.connect(read_only=True) as connection:
        query = sql_file("synthflow_assets.report.previews", "mean_duration.sql")
        drawn = connection.execute(query, span).fetchall()
        wanted = connection.execute(
            "SELECT day, 'all agents', avg(duration_seconds) FROM calls "
            "WHERE day BETWEEN $first AND $last AND list_contains($statuses, call_status) GROUP BY ALL ORDER BY ALL",
            {**span, "statuses": list(CONNECTED_STATUSES)},
        ).fetchall()
    assert len(drawn) == 40
    assert [row[:2] for row in drawn] == [row[:2] for row in wanted]
    assert [row[2] for row in drawn] == pytest.approx([row[2] for row in wanted])


def test_days_that_never_landed_are_no_quiet_days(warehouse: Warehouse) -> None:
    with warehouse.connect() as connection:
        whole = pictures_of(connection, "call_duration_daily")
        connection.execute("BEGIN")
        connection.execute("DELETE FROM call_duration_daily WHERE day < $1", [LAST])
        connection.execute("DELETE FROM call_loads WHERE day BETWEEN $1::DATE - 29 AND $1::DATE - 1", [LAST])
        gaps = pictures_of(connection, "call_duration_daily")
        # No day is missing before the first one that landed.
        connection.execute("DELETE FROM call_loads WHERE day < $1", [LAST])
        young = pictures_of(connection, "call_duration_daily")
        connection.execute(
            "INSERT INTO call_loads BY NAME SELECT day::DATE AS day, 'm' AS model_id, 0 AS landed, "
            "0 AS rejected, true AS settled, now() AS loaded_at "
            "FROM range($1::DATE - 29, $1::DATE, INTERVAL 1 DAY) AS days (day)",
            [LAST],
        )
        quiet = pictures_of(connection, "call_duration_daily")
        connection.execute("ROLLBACK")
    assert len({whole, gaps, quiet}) == 3
    assert young == quiet


def test_tables_without_a_picture_have_none(warehouse: Warehouse) -> None:
    with warehouse.connect(read_only=True) as connection:
        assert preview_charts(connection, "calls", LAST) == []
    assert set(_PREVIEWS) <= {table.name for table in METRIC_TABLES}


def test_compressed_pictures_have_the_same_pixels() -> None:
    import vl_convert

    spec = {
        "data": {"values": [{"a": 1}]},
        "mark": "bar",
        "encoding": {"x": {"field": "a", "type": "quantitative"}},
        "width": 300,
    }
    large = vl_convert.vegalite_to_png(spec)
    small = compress_png(large)
    assert len(small) < len(large) / 3
    assert pixels(small) == pixels(large)


def test_characters_that_xml_forbids_are_drawn_as_others(warehouse: Warehouse) -> None:
    drawn_tables = sorted(_PREVIEWS)
    with warehouse.connect() as connection:
        texts = connection.execute(
            "SELECT table_name, column_name FROM duckdb_columns() "
            "WHERE list_contains($1, table_name) AND data_type = 'VARCHAR' "
            "AND column_name NOT IN ('dimension', 'call_status', 'model_id')",
            [[*drawn_tables, "agents"]],
        ).fetchall()
        connection.execute("BEGIN")
        for of_table, column in texts:
            connection.execute(f"UPDATE {of_table} SET {column} = left({column}, 2) || $1 || {column}", [FORBIDDEN])
        charts = {table: preview_charts(connection, table, LAST) for table in drawn_tables}
        connection.execute("ROLLBACK")
    named = {table for table, of_table in charts.items() if json.dumps(FORBIDDEN)[1:-1] in json.dumps(of_table)}
    assert named == {"call_duration_daily", "call_outcomes_daily", "disconnect_reasons_daily", "judge_results_daily"}
    warnings: list[str] = []
    drawn = previews(charts, warnings.append)
    assert warnings == []
    assert set(drawn) == set(drawn_tables)


def test_every_text_of_a_chart_can_be_drawn() -> None:
    allowed = "\t\n\r \x7f\x85\ud7ff\ue000\ufffd\U00010000\U0010ffff"
    assert drawing.drawable({"a\ud83d": [allowed, "\x00\x1f\udfff", 1, None]}) == {
        "a\ufffd": [allowed, "\ufffd" * 3, 1, None]
    }


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (chart("it", ABORTING), "the drawing process ended with SIGABRT"),
        (chart("it", HANGING), "drawing it takes more than 4 s"),
        (chart("it", **HUGE), "the drawing process ended with SIGABRT"),
        (chart("it", "no expression ("), "the drawing process ended with exit code 1"),
    ],
    ids=["aborting", "hanging", "huge", "invalid"],
)
def test_a_picture_that_cannot_be_drawn_costs_only_itself(
    bad: dict[str, Any], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "TIMEOUT_SECONDS", 4)
    warnings: list[str] = []
    drawn = previews({"one": [chart("before")], "two": [bad, chart("after")]}, warnings.append)
    assert {table: markdown.count("](data:image/png") for table, markdown in drawn.items()} == {"one": 1, "two": 1}
    assert drawn["two"].startswith("![after]")
    assert warnings == [f"a preview of two is missing: {reason}; its data is not affected"]


def test_where_no_process_starts_there_is_no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/no/such/python")
    warnings: list[str] = []
    assert previews({"one": [chart("it")]}, warnings.append) == {}
    reason = "the drawing process cannot start: No such file or directory"
    assert warnings == [f"a preview of one is missing: {reason}; its data is not affected"]


def test_no_drawing_process_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[str]] = []
    start = drawing._start

    def note_start() -> subprocess.Popen[str]:
        started.append(start())
        return started[-1]

    monkeypatch.setattr(drawing, "_start", note_start)
    previews({"one": [chart("it"), chart("it", ABORTING), chart("it"), chart("it")]}, lambda _: None)
    assert len(started) == 2  # one for all, and another after the one that ended
    assert all(process.returncode is not None for process in started)
