"""Checks that compare a day with earlier days: the last usual value passes, and one call more fails."""

import datetime as dt

import duckdb
import pytest

from synthflow_assets.quality import CHECKS, find_problems
from synthflow_assets.settings import Settings
from tests.quality.conftest import LAST

CHECKS_BY_NAME = {check.name: check for check in CHECKS}
Calls = dict[int, int]  # by how many days ago
Counts = dict[str, int]


def is_found(connection: duckdb.DuckDBPyConnection, name: str) -> bool:
    return bool(find_problems(connection, CHECKS_BY_NAME[name], [LAST], Settings.of(), LAST))


def land(connection: duckdb.DuckDBPyConnection, days_ago: int, landed: int, fields: Counts) -> None:
    connection.execute(
        "INSERT INTO call_loads BY NAME SELECT $1::DATE AS day, 'a' AS model_id, $2 AS landed, "
        "MAP($3::VARCHAR[], $4::BIGINT[]) AS fields, now() AS loaded_at",
        [LAST - dt.timedelta(days=days_ago), landed, list(fields), list(fields.values())],
    )


def weekly(*landed: int) -> Calls:
    """Calls of the same weekday, from last week backwards."""
    return {7 * (weeks + 1): calls for weeks, calls in enumerate(landed)}


@pytest.mark.parametrize(
    ("earlier", "usual", "unusual"),
    [
        # Four times the root of the median: 40.2.
        pytest.param(weekly(100, 100, 100, 100), [60, 140], [59, 141], id="what chance explains"),
        pytest.param(weekly(400, 400, 400, 400), [240, 560], [239, 561], id="four tenths of the median"),
        # 4 x 1.4826 x 50 = 296.5.
        pytest.param(weekly(100, 200, 100, 200), [0, 446], [447], id="days that differ much"),
        pytest.param(weekly(100, 100, 100), [0, 10_000], [], id="three earlier days are too few"),
        pytest.param(weekly(100, 100, 100) | {63: 100}, [10_000], [], id="nine weeks ago is too long ago"),
        pytest.param(weekly(100, 100, 100) | {8: 100, 6: 100, 1: 100}, [10_000], [], id="other weekdays do not count"),
        pytest.param({35: 100, 42: 100, 49: 100, 56: 100}, [140], [141], id="eight weeks ago counts"),
    ],
)
def test_usual_volume(
    connection: duckdb.DuckDBPyConnection, earlier: Calls, usual: list[int], unusual: list[int]
) -> None:
    for today in usual + unusual:
        connection.execute("DELETE FROM call_loads")
        for days_ago, landed in {**earlier, 0: today}.items():
            land(connection, days_ago, landed, {})
        assert is_found(connection, "usual_volume") == (today in unusual), today


@pytest.mark.parametrize(
    ("before", "today", "found"),
    [
        pytest.param({"callee_hangup": 199}, {"error": 50, "callee_hangup": 50}, False, id="too few calls before"),
        pytest.param({"callee_hangup": 200}, {"error": 50, "callee_hangup": 50}, True, id="enough calls before"),
        pytest.param({"a": 500, "b": 500}, {"a": 700, "b": 300}, False, id="20 points"),
        pytest.param({"a": 500, "b": 500}, {"a": 701, "b": 299}, True, id="more than 20 points"),
        pytest.param({"a": 1000}, {"a": 3, "b": 4}, False, id="four calls more than usual"),
        pytest.param({"a": 1000}, {"a": 3, "b": 6}, True, id="more than five calls"),
        pytest.param({"a": 10_000}, {"a": 95, "forbidden": 5}, False, id="a bad reason, 5 points"),
        pytest.param({"a": 10_000}, {"a": 94, "forbidden": 6}, True, id="a bad reason, more than 5 points"),
        pytest.param({"a": 10_000}, {"a": 94, "b": 6}, False, id="another reason may rise by more"),
        pytest.param({"a": 10_000}, {"a": 18, "error": 4}, False, id="four calls with a bad reason"),
        pytest.param({"a": 10_000}, {"a": 25, "error": 5}, True, id="five calls with a bad reason"),
        pytest.param({"a": 180, "error": 20}, {"a": 15, "error": 5}, False, id="within four standard errors"),
        pytest.param({"a": 5000, "error": 5000}, {"a": 590, "error": 410}, False, id="a bad reason that fell"),
    ],
)
def test_usual_disconnects(connection: duckdb.DuckDBPyConnection, before: Counts, today: Counts, found: bool) -> None:
    for days_ago, is_compared in ((28, True), (29, False)):
        connection.execute("DELETE FROM disconnect_reasons_daily")
        for days, counts in ((days_ago, before), (0, today)):
            for reason, calls in counts.items():
                connection.execute(
                    "INSERT INTO disconnect_reasons_daily VALUES ($1, 'a', $2, $3, 0, 0)",
                    [LAST - dt.timedelta(days=days), reason, calls],
                )
        assert is_found(connection, "usual_disconnects") == (found and is_compared)


@pytest.mark.parametrize(
    ("earlier", "today", "found"),
    [
        pytest.param({7: (40, {"mood": 40})}, (20, {}), True, id="20 calls should have had it"),
        pytest.param({7: (40, {"mood": 40})}, (19, {}), False, id="19 calls are chance"),
        pytest.param({7: (40, {"mood": 20})}, (39, {}), False, id="half of 39 calls are chance"),
        pytest.param({8: (40, {"mood": 40}), 7: (40, {})}, (40, {}), False, id="it has been empty for a week"),
        pytest.param({7: (40, {"mood": 40})}, (40, {"mood": 1}), False, id="one call has it"),
        pytest.param({1: (40, {})}, (40, {"mood": 1}), True, id="a new field"),
        pytest.param({1: (40, {})}, (40, {"name": 1}), False, id="a field that is known, filled for the first time"),
        pytest.param({1: (40, {"mood": 1})}, (40, {"mood": 30}), False, id="a field that came before"),
        pytest.param({1: (0, {})}, (40, {"mood": 30}), False, id="a week without calls says nothing"),
        pytest.param({}, (40, {"mood": 30}), False, id="the first day"),
    ],
)
def test_same_fields(
    connection: duckdb.DuckDBPyConnection,
    earlier: dict[int, tuple[int, Counts]],
    today: tuple[int, Counts],
    found: bool,
) -> None:
    connection.execute("DELETE FROM call_loads")
    for days_ago, (landed, fields) in {**earlier, 0: today}.items():
        land(connection, days_ago, landed, fields)
    assert is_found(connection, "same_fields") == found
