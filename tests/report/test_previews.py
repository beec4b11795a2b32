"""The pictures in Dagster's UI: small PNGs with the right numbers, which can never end a run."""

import base64
import datetime as dt
import json
import struct
import subprocess
import zlib
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import pytest

from synthflow_assets.report.previews import drawing, preview_charts, previews
from synthflow_assets.report.previews.choice import previews_of
from synthflow_assets.report.previews.worker import compress_png
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.metric_tables import CALL_DURATION_DAILY, CONNECTED_STATUSES, METRIC_TABLES
from synthflow_assets.warehouse.statements import sql_file
from synthflow_assets.warehouse.tables import DAY, MODEL_ID, Column, MetricTable
from tests.report.conftest import FIRST, LAST

Draw = Callable[[dict[str, list[drawing.Chart]]], dict[str, str]]
LARGEST_BYTES = 50_000  # above it Dagster's event log grows noticeably
# Characters that end vl-convert's process: controls, a surrogate that JSON brought, and two that are no characters.
FORBIDDEN = "\x01\x0b\x1b\ufffe\uffff"
HANGING = f"test(/(a+)+$/, '{'a' * 40}b')"  # a regular expression that backtracks for hours
HUGE = {"width": 30_000, "height": 30_000}  # 8 GB of pixels


@pytest.fixture(scope="module")
def draw() -> Iterator[Draw]:
    """Returns the Markdown of pictures, none of which may fail. One process draws them all, as it starts slowly."""
    with drawing.Worker() as worker:

        def make(charts: dict[str, list[drawing.Chart]]) -> dict[str, str]:
            warnings: list[str] = []
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("synthflow_assets.report.previews.Worker", lambda: nullcontext(worker))
                patch.setattr(drawing, "TIMEOUT_SECONDS", 120)  # other tests may use the processors
                markdown = previews(charts, warnings.append)
            assert warnings == []
            return markdown

        yield make


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


def test_previews_are_small_pictures_of_the_last_days(warehouse: Warehouse, draw: Draw) -> None:
    with warehouse.connect(read_only=True) as connection:
        charts = {table.name: preview_charts(connection, table, LAST) for table in METRIC_TABLES}
        before = [preview_charts(connection, table, FIRST - dt.timedelta(days=1)) for table in METRIC_TABLES]
    assert before == [[]] * len(METRIC_TABLES)
    drawn = draw(charts)
    for table in METRIC_TABLES:
        markdown = drawn[table.name]
        assert len(markdown) < LARGEST_BYTES, table.name
        pictures = markdown.split("\n\n")
        assert len(pictures) == (2 if table == CALL_DURATION_DAILY else 1)
        for one in pictures:
            title, _, picture = one.partition("](data:image/png;base64,")
            assert title.startswith("![")
            assert title.endswith(f", {LAST - dt.timedelta(days=29)} to {LAST}")
            # An empty picture has two or three different bytes.
            assert len(set(pixels(base64.b64decode(picture.removesuffix(")"))))) > 50


def test_medians_in_the_picture_are_those_of_the_calls(warehouse: Warehouse) -> None:
    span = {"first": FIRST, "last": LAST}
    with warehouse.connect(read_only=True) as connection:
        query = sql_file("synthflow_assets.report.previews", "duration_percentiles.sql")
        drawn = connection.execute(query, {**span, "connected_statuses": list(CONNECTED_STATUSES)}).fetchall()
        wanted = connection.execute(
            "SELECT day, unnest(['90th percentile', 'median']), "
            "unnest(quantile_cont(duration_seconds / 60, [0.9, 0.5])) "
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
            "SELECT day, 'all agents', avg(duration_seconds / 60) FROM calls "
            "WHERE day BETWEEN $first AND $last AND list_contains($statuses, call_status) GROUP BY ALL ORDER BY ALL",
            {**span, "statuses": list(CONNECTED_STATUSES)},
        ).fetchall()
    assert len(drawn) == 40
    assert [row[:2] for row in drawn] == [row[:2] for row in wanted]
    assert [row[2] for row in drawn] == pytest.approx([row[2] for row in wanted])


def test_missing_days_differ_from_days_without_calls(warehouse: Warehouse, draw: Draw) -> None:
    charts = {}
    with warehouse.connect() as connection:
        charts["whole"] = preview_charts(connection, CALL_DURATION_DAILY, LAST)
        connection.execute("BEGIN")
        connection.execute("DELETE FROM call_duration_daily WHERE day < $1", [LAST])
        connection.execute("DELETE FROM call_loads WHERE day BETWEEN $1::DATE - 29 AND $1::DATE - 1", [LAST])
        charts["missing"] = preview_charts(connection, CALL_DURATION_DAILY, LAST)
        # Days before the first landed one are not missing.
        connection.execute("DELETE FROM call_loads WHERE day < $1", [LAST])
        charts["first"] = preview_charts(connection, CALL_DURATION_DAILY, LAST)
        connection.execute(
            "INSERT INTO call_loads BY NAME SELECT day::DATE AS day, 'm' AS model_id, 0 AS landed, "
            "0 AS rejected, true AS settled, now() AS loaded_at "
            "FROM range($1::DATE - 29, $1::DATE, INTERVAL 1 DAY) AS days (day)",
            [LAST],
        )
        charts["without calls"] = preview_charts(connection, CALL_DURATION_DAILY, LAST)
        connection.execute("ROLLBACK")
    drawn = draw(charts)
    assert len({drawn["whole"], drawn["missing"], drawn["without calls"]}) == 3
    assert drawn["first"] == drawn["without calls"]


def new_table(name: str, grain: tuple[str, ...], *columns: Column) -> MetricTable:
    """A table without a picture of its own."""
    return MetricTable(name, "New.", grain, (DAY, MODEL_ID, *columns), excluded="", nulls="")


OUTCOME = Column("outcome", "VARCHAR", "Outcome.", required=True)
TRANSFERS = Column("transfers", "BIGINT", "Transfers.", "transfers", summable=True)
FAILED = Column("failed", "BIGINT", "Failed ones.", "transfers", summable=True)
SHARE = Column("share", "DOUBLE", "Share.", "1")
FAILURE_RATE = Column("failure_rate", "DOUBLE", "Failed divided by all.", "1", ratio=("failed", "transfers"))
WORST = Column("worst", "DOUBLE", "Worst.", "seconds")
BY_OUTCOME = ("day", "model_id", "outcome")


NEW_TABLES = [
    (BY_OUTCOME, (OUTCOME, TRANSFERS), "Transfers by outcome", "columns", [("a b", 4.0), ("c", 8.0)]),
    (BY_OUTCOME, (OUTCOME, TRANSFERS, SHARE), "Transfers by outcome", "shares", [("a b", 4.0), ("c", 8.0)]),
    (BY_OUTCOME, (OUTCOME, TRANSFERS, FAILED, FAILURE_RATE), "Failure rate by outcome", "rates",
     [("a b", 0.5), ("c", 0.25)]),
    (("day", "model_id"), (FAILED,), "Failed transfers by agent", "columns", [("Agent 0", 3.0), ("new", 1.0)]),
    (("day", "model_id"), (TRANSFERS, FAILED, FAILURE_RATE), "Failure rate", "rates", [("failure rate", 4 / 12)]),
    (("day",), (FAILED,), "Failed transfers", "columns", [("all agents", 4.0)]),
]  # fmt: skip


def test_the_preview_of_a_new_table_follows_from_its_entry(warehouse: Warehouse, draw: Draw) -> None:
    charts = {}
    with warehouse.connect() as connection:
        connection.execute("BEGIN")
        connection.execute(
            "CREATE TABLE new_daily AS SELECT $1::DATE AS day, * FROM (VALUES "
            "('agent-0', 'a_b', 1, 0, 0.1), ('agent-0', 'c', 4, 1, 0.4), ('agent-0', 'a_b', 3, 2, 0.3), "
            "('new', 'c', 4, 1, 0.4)) AS rows (model_id, outcome, transfers, failed, share)",
            [LAST],
        )
        for number, (grain, columns, title, shape, rows) in enumerate(NEW_TABLES):
            table = new_table("new_daily", grain, *columns)
            [preview] = previews_of(table)
            assert (preview.title, preview.shape.value) == (title, shape)
            found = connection.execute(preview.query, {"first": FIRST, "last": LAST}).fetchall()
            assert found == [(LAST, *row) for row in rows], (title, shape)
            charts[f"{number}"] = preview_charts(connection, table, LAST)
        connection.execute("ROLLBACK")
    assert len(draw(charts)) == len(NEW_TABLES)


def test_a_table_without_numbers_that_add_up_has_no_preview() -> None:
    assert previews_of(new_table("new_daily", ("day", "model_id"), WORST)) == ()


def test_lines_are_those_of_the_largest_denominators(warehouse: Warehouse) -> None:
    table = new_table("new_daily", BY_OUTCOME, OUTCOME, TRANSFERS, FAILED, FAILURE_RATE)
    with warehouse.connect() as connection:
        connection.execute("BEGIN")
        connection.execute(
            "CREATE TABLE new_daily AS SELECT $1::DATE AS day, 'm' AS model_id, 'o' || n AS outcome, "
            "n AS transfers, 10 - n AS failed FROM range(10) AS numbers (n)",
            [LAST],
        )
        found = connection.execute(previews_of(table)[0].query, {"first": FIRST, "last": LAST}).fetchall()
        connection.execute("ROLLBACK")
    assert [name for _, name, _ in found] == ["o7", "o8", "o9"]


def test_compressed_pictures_have_the_same_pixels() -> None:
    def part(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 300, 100, 8, 2, 0, 0, 0)
    rows = b"".join(b"\0" + bytes([number, 0, 9]) * 300 for number in range(100))
    content = zlib.compress(rows, 0)
    halves = part(b"IDAT", content[:999]) + part(b"IDAT", content[999:])
    large = b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + part(b"pHYs", bytes(9)) + halves + part(b"IEND", b"")
    small = compress_png(large)
    assert len(small) < len(large) / 3
    assert pixels(small) == pixels(large) == rows
    before, after = (png.index(b"IDAT") - 4 for png in (small, large))
    assert small[:before] == large[:after]
    assert small.endswith(part(b"IEND", b""))


def test_characters_that_xml_forbids_are_drawn_as_others(warehouse: Warehouse, draw: Draw) -> None:
    names = [table.name for table in METRIC_TABLES]
    with warehouse.connect() as connection:
        texts = connection.execute(
            "SELECT table_name, column_name FROM duckdb_columns() "
            "WHERE list_contains($1, table_name) AND data_type = 'VARCHAR' "
            "AND column_name NOT IN ('dimension', 'segment', 'call_status', 'model_id')",
            [[*names, "agents"]],
        ).fetchall()
        connection.execute("BEGIN")
        for of_table, column in texts:
            connection.execute(f"UPDATE {of_table} SET {column} = left({column}, 2) || $1 || {column}", [FORBIDDEN])
        charts = {table.name: preview_charts(connection, table, LAST) for table in METRIC_TABLES}
        connection.execute("ROLLBACK")
    named = {table for table, of_table in charts.items() if json.dumps(FORBIDDEN)[1:-1] in json.dumps(of_table)}
    by_name = {"call_duration_daily", "call_outcomes_daily", "disconnect_reasons_daily", "judge_results_daily"}
    assert by_name <= named
    # The others have the same shapes.
    assert set(draw({table: charts[table] for table in by_name})) == by_name


def test_every_text_of_a_chart_can_be_drawn() -> None:
    allowed = "\t\n\r \x7f\x85\ud7ff\ue000\ufffd\U00010000\U0010ffff"
    assert drawing.drawable({"a\ud83d": [allowed, "\x00\x1f\udfff", 1, None]}) == {
        "a\ufffd": [allowed, "\ufffd" * 3, 1, None]
    }


def test_a_picture_that_cannot_be_drawn_costs_only_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """No drawing process is left."""
    started: list[subprocess.Popen[str]] = []
    start = drawing._start

    def note_start() -> subprocess.Popen[str]:
        started.append(start())
        return started[-1]

    warnings: list[str] = []

    def warn(text: str) -> None:
        warnings.append(text)
        monkeypatch.setattr(drawing, "TIMEOUT_SECONDS", 60)

    monkeypatch.setattr(drawing, "_start", note_start)
    monkeypatch.setattr(drawing, "TIMEOUT_SECONDS", 0.5)  # for the first, which hangs
    bad = {
        "hanging": (chart("it", HANGING), "drawing it takes more than 0.5 s"),
        "huge": (chart("it", **HUGE), "the drawing process ended with SIGABRT"),
        "invalid": (chart("it", "no expression ("), "the drawing process ended with exit code 1"),
    }
    charts = {name: [one, chart("after"), chart("last")] for name, (one, _) in bad.items()}
    drawn = previews({**charts, "good": [chart("later")]}, warn)
    assert {table: markdown.count("](data:image/png") for table, markdown in drawn.items()} == {
        **dict.fromkeys(bad, 2),
        "good": 1,
    }
    assert all(drawn[name].startswith("![after]") for name in bad)
    assert warnings == [
        f"a preview of {name} is missing: {reason}; its data is not affected" for name, (_, reason) in bad.items()
    ]
    assert len(started) == 1 + len(bad)  # one for all, and another after each that ended
    assert all(process.returncode is not None for process in started)


def test_without_a_process_there_is_no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/no/such/python")
    warnings: list[str] = []
    assert previews({"one": [chart("it")]}, warnings.append) == {}
    reason = "the drawing process cannot start: No such file or directory"
    assert warnings == [f"a preview of one is missing: {reason}; its data is not affected"]
