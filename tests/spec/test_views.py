"""The views on the JSON of calls: one row an action, a verdict, a variable."""

import datetime as dt
from typing import Any

import duckdb
import pytest

from synthflow_assets.warehouse.schema import CALL_VIEWS
from tests.spec.calls import Row, land

AT = dt.datetime(2026, 3, 10, 12, 0, 0, 500_000, dt.UTC)
ACTIONS = {
    "Get name": {
        "name": "Get name",
        "action_type": "extract_info_action_type",
        "return_value": '{"first name": "Ada"}',
        "return_value_status": "",
        "parameters_from_llm": "{}",
        "parameters_hard_coded": '{"identifier": "first name"}',
        "timestamp": str(AT.timestamp()),
    },
    "odd": "no object",
    "To sales": {
        "action_type": "transfer_call_action_type",
        "return_value": {"status": "transfer-failed-timeout", "failed_reason": "rejected_by_destination"},
        "return_value_status": "failed",
        "parameters_from_llm": None,
    },
    "SMS": {"action_type": "send_sms_action_type", "return_value": "sent"},
}


def rows(connection: duckdb.DuckDBPyConnection, view: str, columns: str) -> list[Row]:
    return connection.execute(f"SELECT {columns} FROM {view} ORDER BY ALL").fetchall()


@pytest.mark.parametrize("shape", [dict, list])
def test_call_actions(connection: duckdb.DuckDBPyConnection, shape: type) -> None:
    executed = ACTIONS if shape is dict else list(ACTIONS.values())
    land(connection, [{"executed_actions": executed}, {"executed_actions": {}}, {"executed_actions": None}])
    columns = "action_type, failed, status, failed_reason, return_value::VARCHAR, return_value_status"
    assert rows(connection, "call_actions", columns) == [
        ("extract_info_action_type", False, None, None, '{"first name": "Ada"}', ""),
        ("send_sms_action_type", False, None, None, '"sent"', None),
        (
            *("transfer_call_action_type", True, "transfer-failed-timeout", "rejected_by_destination"),
            '{"status":"transfer-failed-timeout","failed_reason":"rejected_by_destination"}',
            "failed",
        ),
    ]
    columns = "parameters_from_llm::VARCHAR, parameters_hard_coded::VARCHAR, epoch_ms(executed_at)"
    assert rows(connection, "call_actions", columns)[0] == (
        "{}",
        '{"identifier": "first name"}',
        int(AT.timestamp() * 1000),
    )


def test_call_judgements(connection: duckdb.DuckDBPyConnection) -> None:
    results = {
        "goal": "true",
        "goal_feedback": "It asked.",
        "style": "False",
        "style_reason": "Too long.",
        "rating": 7,
        'odd " / ~ name': "partial",
        'odd " / ~ name_feedback': "So it is.",
        "all_feedback": "Fine.",
        "steps": "",
    }
    land(connection, [{"judge_results": results}])
    assert rows(connection, "call_judgements", "judge_check, verdict, feedback") == [
        ("goal", "true", "It asked."),
        ('odd " / ~ name', "partial", "So it is."),
        ("rating", "7", None),
        ("style", "false", "Too long."),
    ]


def test_call_variables(connection: duckdb.DuckDBPyConnection) -> None:
    collected = {
        "agent-1": {"born": {"value": "1980-01-01", "collected": True}, "size": {"value": None, "collected": False}},
        "agent-2": {"born": {"value": None, "collected": False}},
    }
    land(
        connection,
        [
            {"collected_variables": collected, "executed_actions": ACTIONS},
            {"collected_variables": {"born": {"value": {"year": 1980}, "collected": True}}},
        ],
    )
    assert rows(connection, "call_variables", "source, variable, collected, value::VARCHAR") == [
        ("extractor", "first name", True, '"Ada"'),
        ("variable", "born", True, '"1980-01-01"'),
        ("variable", "born", True, '{"year":1980}'),
        ("variable", "size", False, None),
    ]


def test_without_the_json_the_typed_columns_stay(connection: duckdb.DuckDBPyConnection) -> None:
    """As SYNTHFLOW_PII=drop stores it, and as a forgotten person's calls are."""
    land(
        connection,
        [
            {
                "executed_actions": ACTIONS,
                "judge_results": {"goal": "true", "goal_feedback": "It asked."},
                "collected_variables": {"born": {"value": "1980", "collected": True}},
            }
        ],
    )
    connection.execute("UPDATE calls SET executed_actions = NULL, judge_results = NULL, collected_variables = NULL")
    assert rows(connection, "call_actions", "action_type, failed, return_value, action") == [
        ("extract_info_action_type", False, None, None),
        ("send_sms_action_type", False, None, None),
        ("transfer_call_action_type", True, None, None),
    ]
    assert rows(connection, "call_judgements", "judge_check, verdict, feedback") == [("goal", "true", None)]
    assert rows(connection, "call_variables", "source, variable, collected, value") == [
        ("extractor", "first name", True, None),
        ("variable", "born", True, None),
    ]


def test_they_have_the_columns_that_are_documented(connection: duckdb.DuckDBPyConnection) -> None:
    for view in CALL_VIEWS:
        described: list[Any] = connection.execute(f"DESCRIBE FROM {view.name}").fetchall()
        assert [row[:2] for row in described] == [
            (column.name, "TIMESTAMP WITH TIME ZONE" if column.sql_type == "TIMESTAMPTZ" else column.sql_type)
            for column in view.columns
        ]
