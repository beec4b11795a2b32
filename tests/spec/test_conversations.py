"""Judge, variables and actions as tables: the JSON that the API sends in, counts out."""

from typing import Any

import duckdb
import pytest

from tests.spec.calls import Row, computed, land

ABSENT: list[Any] = [None, "null", "{}", "[]", '["x"]', '"text"', "1"]


@pytest.mark.parametrize("table", ["judge_results_daily", "collected_variables_daily", "actions_daily"])
def test_nothing_comes_of_what_is_absent_or_no_object(connection: duckdb.DuckDBPyConnection, table: str) -> None:
    """As it is where SYNTHFLOW_PII is `hash` or `drop`."""
    land(
        connection,
        [{"judge_results": one, "collected_variables": one, "executed_actions": one} for one in ABSENT if one]
        + [{"call_status": "completed"}],
    )
    assert computed(connection, table) == []


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        #                           judged passes partials fails other share
        pytest.param([{"polite": "true"}], [("a", "polite", 1, 1, 0, 0, 0, 1)], id="one call"),
        pytest.param(
            [{"polite": "True"}, {"polite": " TRUE "}, {"polite": "False"}, {"polite": "Partial"}],
            [("a", "polite", 4, 2, 1, 1, 0, 0.5)],
            id="case and blanks do not matter",
        ),
        pytest.param([{"polite": True}, {"polite": False}], [("a", "polite", 2, 1, 0, 1, 0, 0.5)], id="real booleans"),
        pytest.param(
            [{"polite": None}, {"polite": ""}, {"polite": "true"}],
            [("a", "polite", 1, 1, 0, 0, 0, 1)],
            id="no answer is no judgement",
        ),
        pytest.param(
            [{"mood": "cheerful, mostly"}, {"mood": 7}],
            [("a", "mood", 2, 0, 0, 0, 2, None)],
            id="other answers are no verdicts, and have no share",
        ),
        pytest.param(
            [{"mood": "cheerful"}, {"mood": "true"}, {"mood": "false"}],
            [("a", "mood", 3, 1, 0, 1, 1, 0.5)],
            id="the share is of the verdicts",
        ),
        pytest.param(
            [{"polite": "true", "polite_reason": "It said please."}],
            [("a", "polite", 1, 1, 0, 0, 0, 1)],
            id="a reason is no check",
        ),
        pytest.param(
            [{"gave_reason": "true"}, {"gave_reason": "False"}],
            [("a", "gave_reason", 2, 1, 0, 1, 0, 0.5)],
            id="a check may be called so, if it has verdicts",
        ),
    ],
)
def test_judge_results_daily(
    connection: duckdb.DuckDBPyConnection, results: list[dict[str, Any]], expected: list[Row]
) -> None:
    land(connection, [{"judge_results": one} for one in results])
    assert computed(connection, "judge_results_daily", columns=JUDGED) == expected


JUDGED = "model_id, judge_check, judged_calls, passes, partials, fails, other_answers, pass_share"
YES: dict[str, Any] = {"value": "1980-01-01", "collected": True}
NO: dict[str, Any] = {"value": None, "collected": False}


@pytest.mark.parametrize(
    ("collected", "expected"),
    [
        pytest.param([{"agent": {"born": YES}}], [("a", "born", 1, 1, 1)], id="below the agent"),
        pytest.param([{"born": YES}], [("a", "born", 1, 1, 1)], id="flat"),
        pytest.param(
            [{"said": {"value": one}} for one in ("so", 'they said "value": "so"', "", 7, -1.5e3, True, None)],
            [("a", "said", 7, 6, 6 / 7)],
            id="whatever the answer is, and whatever it looks like",
        ),
        pytest.param(
            [{"agent": {"value": {"value": "so"}, "said": {"value": "so", "collected": False}}}],
            [("a", "said", 1, 0, 0), ("a", "value", 1, 1, 1)],
            id="a variable may be called value",
        ),
        pytest.param(
            [{"born": YES}, {"agent": {"born": NO}}], [("a", "born", 2, 1, 0.5)], id="both shapes, one variable"
        ),
        pytest.param(
            [{"agent": {"value": YES, "collected": NO}}],
            [("a", "collected", 1, 0, 0), ("a", "value", 1, 1, 1)],
            id="variables that are called like the parts of one",
        ),
        pytest.param([{"born": {"collected": "True"}}], [("a", "born", 1, 1, 1)], id="a text for a boolean"),
        pytest.param(
            [{"agent": {"born": {"value": "x"}}}, {"born": {"value": "x"}}, {"agent": {"born": {"value": None}}}],
            [("a", "born", 3, 2, 2 / 3)],
            id="without `collected` the value tells",
        ),
        pytest.param(
            [{"born": {"value": {"y": 1980}, "collected": True}}], [("a", "born", 1, 1, 1)], id="a nested value"
        ),
        pytest.param([{"agent": {"born": None}}], [("a", "born", 1, 0, 0)], id="NULL was asked and not collected"),
        pytest.param([{"agent": None}, {"agent": "text"}, {"agent": {}}], [], id="neither shape"),
        pytest.param(
            [{"agent": {"born": NO}, "other": {"born": YES}}, {"agent": {"born": NO}}],
            [("a", "born", 2, 1, 0.5)],
            id="two agents of a call ask once",
        ),
        pytest.param(
            [{"agent": {"born": YES}}, {"agent": {"born": YES}}, {"agent": {"born": NO}}],
            [("a", "born", 3, 2, 2 / 3)],
            id="calls with the same JSON count each",
        ),
    ],
)
def test_collected_variables_daily(
    connection: duckdb.DuckDBPyConnection, collected: list[dict[str, Any]], expected: list[Row]
) -> None:
    land(connection, [{"collected_variables": one} for one in collected])
    assert computed(connection, "collected_variables_daily") == expected


def action(returned: Any, kind: str | None = "SEND_SMS") -> dict[str, Any]:
    return {"name": "an action", "action_type": kind, "return_value": returned}


@pytest.mark.parametrize(
    ("actions", "expected"),
    [
        pytest.param([{"sms 1": action('{"status": "ok"}')}], [("a", "SEND_SMS", 1, 0)], id="one action"),
        pytest.param([{"sms 1": action(None)}, {"sms 1": action("sent")}], [("a", "SEND_SMS", 2, 0)], id="no JSON"),
        pytest.param(
            [
                {"sms 1": action('{"status": "Error"}')},
                {"sms 1": action({"status": "failed"})},
                {"sms 1": action({"success": False})},
                {"sms 1": action('{"error": "no route"}')},
                {"sms 1": action('{"error": null, "status": "ok"}'), "sms 2": action({"error": False})},
            ],
            [("a", "SEND_SMS", 6, 4)],
            id="failed, in each way that it may be said",
        ),
        pytest.param(
            [{"a": action(None, "TRANSFER"), "b": action(None), "c": action(None)}],
            [("a", "SEND_SMS", 2, 0), ("a", "TRANSFER", 1, 0)],
            id="several in a call count each",
        ),
        pytest.param(
            [{"a": action(None, None)}, {"a": action(None, " ")}, {"a": None}, {"a": "text"}],
            [("a", "not_reported", 4, 0)],
            id="an action without a type",
        ),
    ],
)
def test_actions_daily(
    connection: duckdb.DuckDBPyConnection, actions: list[dict[str, Any]], expected: list[Row]
) -> None:
    land(connection, [{"executed_actions": one} for one in actions])
    assert computed(connection, "actions_daily") == expected


@pytest.mark.parametrize("table", ["judge_results_daily", "collected_variables_daily", "actions_daily"])
def test_a_key_that_comes_twice_does_not_stop_the_day(connection: duckdb.DuckDBPyConnection, table: str) -> None:
    twice = '{"x": {"value": 1, "collected": true}, "x": {"value": 2, "collected": true}}'
    land(connection, [{"judge_results": twice, "collected_variables": twice, "executed_actions": twice}])
    assert len(computed(connection, table)) == 1
