"""The pictures in Dagster's UI: real PNGs, small, of the right days, and none where there is nothing to show."""

import base64
import datetime as dt
import struct
import zlib

import pytest

from synthflow_assets.report.previews import _PREVIEWS, preview, smaller
from synthflow_assets.warehouse.connection import Warehouse
from synthflow_assets.warehouse.metric_tables import CONNECTED_STATUSES, METRIC_TABLES
from synthflow_assets.warehouse.statements import sql_file
from tests.report.conftest import FIRST, LAST

LARGEST_BYTES = 50_000  # above it Dagster's event log grows noticeably


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
        markdown = preview(connection, table, LAST)
        assert preview(connection, table, FIRST - dt.timedelta(days=1)) is None
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
        whole = preview(connection, "call_duration_daily", LAST)
        connection.execute("BEGIN")
        connection.execute("DELETE FROM call_duration_daily WHERE day < $1", [LAST])
        connection.execute("DELETE FROM call_loads WHERE day BETWEEN $1::DATE - 29 AND $1::DATE - 1", [LAST])
        gaps = preview(connection, "call_duration_daily", LAST)
        # No day is missing before the first one that landed.
        connection.execute("DELETE FROM call_loads WHERE day < $1", [LAST])
        young = preview(connection, "call_duration_daily", LAST)
        connection.execute(
            "INSERT INTO call_loads BY NAME SELECT day::DATE AS day, 'm' AS model_id, 0 AS landed, "
            "0 AS rejected, true AS settled, now() AS loaded_at "
            "FROM range($1::DATE - 29, $1::DATE, INTERVAL 1 DAY) AS days (day)",
            [LAST],
        )
        quiet = preview(connection, "call_duration_daily", LAST)
        connection.execute("ROLLBACK")
    assert len({whole, gaps, quiet}) == 3
    assert young == quiet


def test_tables_without_a_picture_have_none(warehouse: Warehouse) -> None:
    with warehouse.connect(read_only=True) as connection:
        assert preview(connection, "calls", LAST) is None
    assert set(_PREVIEWS) <= {table.name for table in METRIC_TABLES}


def test_smaller_pictures_have_the_same_pixels() -> None:
    import vl_convert

    spec = {
        "data": {"values": [{"a": 1}]},
        "mark": "bar",
        "encoding": {"x": {"field": "a", "type": "quantitative"}},
        "width": 300,
    }
    large = vl_convert.vegalite_to_png(spec)
    small = smaller(large)
    assert len(small) < len(large) / 3
    assert pixels(small) == pixels(large)
