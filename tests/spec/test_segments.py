"""Segments and costs as tables; two versions compared as the literature does it."""

from typing import Any

import duckdb
import pytest

from synthflow_assets.errors import SettingsError
from synthflow_assets.settings import Settings
from tests.spec.calls import DAY, Call, Row, computed, land


def test_every_call_is_in_one_row_of_each_segment(connection: duckdb.DuckDBPyConnection) -> None:
    transfer = {"action_type": "transfer_call_action_type", "return_value": {"status": "transfer-success"}}
    new = {"assistant_version": "2", "agent_phone_number": "+14155550199"}
    calls: list[Call] = [
        {**new, "call_status": "completed", "duration_seconds": 60, "judge_results": {"goal": "true"}},
        {**new, "call_status": "left_voicemail", "duration_seconds": 20, "judge_results": {"goal": "partial"}},
        {**new, "call_status": "no-answer", "duration_seconds": 30, "judge_results": {"goal": "not_applicable"}},
        {"assistant_version": " ", "call_status": "completed", "duration_seconds": 5, "executed_actions": [transfer]},
    ]
    land(connection, calls)
    rows = computed(connection, "call_segments_daily", columns="* EXCLUDE (day, model_id)")
    second = (3, 2, 1, 80, 40, 2, 1, 0, 0, 0, 2 / 3, 1 / 3, 1 / 2, None)
    rest = (1, 1, 1, 5, 5, 0, 0, 1, 1, 0, 1, 1, None, 1)
    every = (4, 3, 2, 85, 20, 2, 1, 1, 1, 0, 3 / 4, 1 / 2, 1 / 2, 1)
    assert rows == [
        ("agent_phone_number", "+14155550199", *second),
        ("agent_phone_number", "not_reported", *rest),
        ("assistant_version", "2", *second),
        ("assistant_version", "not_reported", *rest),
        ("campaign_type", "not_reported", *every),
        ("deployment_type", "not_reported", *every),
    ]


@pytest.mark.parametrize(
    ("first", "second", "interval"),
    [
        # From the table of examples in Newcombe, Statistics in Medicine 17, 1998: method 10, four decimals.
        pytest.param((48, 80), (56, 70), (0.0524, 0.3339), id="56/70 and 48/80"),
        pytest.param((3, 10), (9, 10), (0.1705, 0.8090), id="9/10 and 3/10"),
        pytest.param((2, 98), (6, 84), None, id="few calls"),
        pytest.param((0, 10), (10, 10), (0.6075, 1.0000), id="10/10 and 0/10"),
    ],
)
def test_versions_are_compared_with_the_interval_of_newcombe(
    connection: duckdb.DuckDBPyConnection,
    first: tuple[int, int],
    second: tuple[int, int],
    interval: tuple[float, float] | None,
) -> None:
    calls = [
        {"assistant_version": version, "call_status": "completed" if number < reached else "busy"}
        for version, (reached, count) in (("1", first), ("2", second))
        for number in range(count)
    ]
    land(connection, calls)
    computed(connection, "call_segments_daily")
    compared = compare(connection, "1", "2")["person_reached_rate"]
    assert compared[:6] == (first[0], first[1], first[0] / first[1], second[0], second[1], second[0] / second[1])
    difference, low, high, is_conclusive = compared[6:]
    assert difference == second[0] / second[1] - first[0] / first[1]
    if interval:
        assert (round(low, 4), round(high, 4)) == interval
    assert is_conclusive == bool(interval)
    # The other way round, it is the same interval.
    other = compare(connection, "2", "1")["person_reached_rate"][6:]
    assert other == pytest.approx((-difference, -high, -low, is_conclusive))


def test_what_has_no_calls_cannot_be_compared(connection: duckdb.DuckDBPyConnection) -> None:
    land(connection, [{"assistant_version": "1", "call_status": "completed"}])
    computed(connection, "call_segments_daily")
    found = compare(connection, "1", "2")
    assert found["person_reached_rate"] == (1, 1, 1, 0, 0, None, None, None, None, None)
    assert found["goal_pass_share"] == (0, 0, None, 0, 0, None, None, None, None, None)
    assert list(found) == ["connection_rate", "goal_pass_share", "person_reached_rate", "transfer_success_rate"]
    query = f"FROM compare_segments('{DAY}', '{DAY}', 'assistant_version', 1, 2, condition := model_id = 'b')"
    assert {row[2] for row in connection.execute(query).fetchall()} == {0}


def compare(connection: duckdb.DuckDBPyConnection, first: str, second: str) -> dict[str, Row]:
    query = f"FROM compare_segments('{DAY}', '{DAY}', 'assistant_version', '{first}', '{second}') ORDER BY rate"
    return {rate: tuple(row) for rate, *row in connection.execute(query).fetchall()}


@pytest.mark.parametrize(
    ("price", "expected"),
    [
        #                  billed seconds reached passes price currency cost each reached, passed
        pytest.param(None, [(4, 3, 90, 1, 1, None, None, None, None, None)], id="no price"),
        pytest.param(0.5, [(4, 3, 90, 1, 1, 0.5, "EUR", 0.75, 0.75, 0.75)], id="half a euro"),
        pytest.param(0, [(4, 3, 90, 1, 1, 0, "EUR", 0, 0, 0)], id="free"),
    ],
)
def test_costs_of_a_day(
    connection: duckdb.DuckDBPyConnection, price: float | None, expected: list[tuple[Any, ...]]
) -> None:
    calls = [
        {"call_status": "completed", "duration_seconds": 60, "judge_results": {"goal": "true"}},
        {"call_status": "no-answer", "duration_seconds": 30},
        {"call_status": "user_canceled", "duration_seconds": 600},
        {"call_status": "failed", "duration_seconds": None},
    ]
    land(connection, calls)
    settings = {"price_per_minute": price, "price_currency": "EUR"}
    assert computed(connection, "call_costs_daily", columns="* EXCLUDE (day, model_id)", **settings) == expected
    land(connection, [])
    [row] = computed(connection, "call_costs_daily", columns="* EXCLUDE (day, model_id)", **settings)
    assert row[-3:] == (None if price is None else 0, None, None)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"price_per_minute": -0.01}, "price_per_minute is -0.01; allowed is a number from 0 to 1000000"),
        ({"price_per_minute": "much"}, "price_per_minute is 'much'; allowed is a number from 0 to 1000000"),
        (
            {"price_currency": "euros"},
            "price_currency is 'euros'; allowed is three capital letters such as USD or EUR",
        ),
    ],
)
def test_a_price_that_is_none_is_refused_in_one_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.of(**settings)
    assert str(caught.value) == message
