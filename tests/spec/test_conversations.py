"""Judge, variables, actions and transfers as tables: JSON in the shapes of the API in, numbers out."""

import json
from typing import Any

import duckdb
import pytest

from tests.spec.calls import Row, computed, land

N = "not_reported"
ABSENT: list[Any] = [None, "null", "{}", "[]", '["x"]', '"text"', "1"]
TABLES = ["judge_results_daily", "collected_variables_daily", "actions_daily", "transfers_daily"]


@pytest.mark.parametrize("table", TABLES)
def test_absent_and_odd_json_gives_no_rows(connection: duckdb.DuckDBPyConnection, table: str) -> None:
    land(
        connection,
        [{"judge_results": one, "collected_variables": one, "executed_actions": one} for one in ABSENT if one]
        + [{"call_status": "completed"}],
    )
    assert computed(connection, table) == []


JUDGED = "judge_check, judged_calls, passes, partials, fails, not_applicable, other_answers, pass_share"


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        #                           judged passes partials fails n/a other share
        pytest.param([{"goal": "true"}], [("goal", 1, 1, 0, 0, 0, 0, 1)], id="one call"),
        pytest.param(
            [{"goal": "True"}, {"goal": " TRUE "}, {"goal": "False"}, {"goal": "Partial"}],
            [("goal", 4, 2, 1, 1, 0, 0, 0.5)],
            id="case and blanks do not matter",
        ),
        pytest.param([{"goal": True}, {"goal": False}], [("goal", 2, 1, 0, 1, 0, 0, 0.5)], id="real booleans"),
        pytest.param(
            [{"goal": None}, {"goal": ""}, {"goal": " "}, {"goal": "true"}],
            [("goal", 1, 1, 0, 0, 0, 0, 1)],
            id="empty and null verdicts are not counted",
        ),
        pytest.param(
            [{"goal": "not_applicable"}, {"goal": "true"}],
            [("goal", 1, 1, 0, 0, 1, 0, 1)],
            id="not applicable is no verdict",
        ),
        pytest.param([{"goal": "not_applicable"}], [("goal", 0, 0, 0, 0, 1, 0, None)], id="a check that never applies"),
        pytest.param(
            [{"mood": "cheerful, mostly"}, {"mood": "false"}],
            [("mood", 1, 0, 0, 1, 0, 1, 0)],
            id="another word is no failed check",
        ),
        pytest.param(
            [{"goal": "true", "goal_feedback": "", "style": "false", "style_feedback": "true"}],
            [("goal", 1, 1, 0, 0, 0, 0, 1), ("style", 1, 0, 0, 1, 0, 0, 0)],
            id="feedback explains the check beside it",
        ),
        pytest.param(
            [{"goal": "true", "goal_reason": "It asked."}, {"gave_reason": "true", "took_feedback": "false"}],
            [
                ("gave_reason", 1, 1, 0, 0, 0, 0, 1),
                ("goal", 1, 1, 0, 0, 0, 0, 1),
                ("took_feedback", 1, 0, 0, 1, 0, 0, 0),
            ],
            id="a check may end in _reason or _feedback if it explains none",
        ),
        pytest.param(
            [{"all_feedback": "true", "judge_found_full_error": "true", "judge_found_partial_or_error": "true"}],
            [],
            id="aggregates are no checks",
        ),
        pytest.param(
            [{"call_summary": "", "call_summary_feedback": "They talked about the weather."}],
            [],
            id="the summary of a call is no verdict",
        ),
    ],
)
def test_judge_results_daily(
    connection: duckdb.DuckDBPyConnection, results: list[dict[str, Any]], expected: list[Row]
) -> None:
    land(connection, [{"judge_results": one} for one in results])
    assert computed(connection, "judge_results_daily", columns=JUDGED) == expected


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        #                    judged passes fails other scored mean
        pytest.param([{"rating": "7"}, {"rating": 10}, {"rating": "8.5"}], (0, 0, 0, 0, 3, 8.5), id="scores"),
        pytest.param([{"rating": "7"}, {"rating": "true"}], (1, 1, 0, 0, 1, 7), id="scores and verdicts"),
        pytest.param([{"rating": "+14155550100"}], (0, 0, 0, 1, 0, None), id="a phone number is no score"),
        pytest.param([{"rating": "nan"}, {"rating": "infinity"}], (0, 0, 0, 2, 0, None), id="words that are numbers"),
    ],
)
def test_scores_of_numeric_evaluations(
    connection: duckdb.DuckDBPyConnection, results: list[dict[str, Any]], expected: Row
) -> None:
    land(connection, [{"judge_results": one} for one in results])
    columns = "judged_calls, passes, fails, other_answers, scored_calls, mean_score"
    assert computed(connection, "judge_results_daily", columns=columns) == [expected]


def test_what_the_judge_found_in_a_whole_call(connection: duckdb.DuckDBPyConnection) -> None:
    found = [("true", "true"), ("false", "True"), ("false", "false"), ("", None), ("true", "false")]
    land(
        connection,
        [{"judge_results": {"judge_found_full_error": f, "judge_found_partial_or_error": p}} for f, p in found],
    )
    columns = "calls_with_full_error, calls_with_any_error"
    assert computed(connection, "call_rates_daily", columns=columns) == [(2, 3)]


YES: dict[str, Any] = {"value": "1980-01-01", "collected": True}
NO: dict[str, Any] = {"value": None, "collected": False}


@pytest.mark.parametrize(
    ("collected", "expected"),
    [
        pytest.param([{"agent": {"born": YES}}], [("born", 1, 1, 1)], id="below the agent"),
        pytest.param([{"born": YES}], [("born", 1, 1, 1)], id="flat"),
        pytest.param(
            [{"said": {"value": one}} for one in ("so", 'they said "value": "so"', "", 7, -1.5e3, True, None)],
            [("said", 7, 5, 5 / 7)],
            id="without `collected`, a variable with a value was collected",
        ),
        pytest.param(
            [{"agent": {"value": {"value": "so"}, "said": {"value": "so", "collected": False}}}],
            [("said", 1, 0, 0), ("value", 1, 1, 1)],
            id="a variable may be called value",
        ),
        pytest.param([{"born": YES}, {"agent": {"born": NO}}], [("born", 2, 1, 0.5)], id="both shapes"),
        pytest.param(
            [{"agent": {"value": YES, "collected": NO}}],
            [("collected", 1, 0, 0), ("value", 1, 1, 1)],
            id="variables that are called like the parts of one",
        ),
        pytest.param([{"born": {"collected": "True"}}], [("born", 1, 1, 1)], id="a text for a boolean"),
        pytest.param(
            [{"born": {"value": {"year": 1980}, "collected": True}}], [("born", 1, 1, 1)], id="a nested value"
        ),
        pytest.param([{"agent": {"born": None}}], [("born", 1, 0, 0)], id="NULL was asked for and not collected"),
        pytest.param([{"agent": None}, {"agent": "text"}, {"agent": {}}], [], id="neither shape"),
        pytest.param(
            [{"agent": {"born": NO}, "other": {"born": YES}}, {"agent": {"born": NO}}],
            [("born", 2, 1, 0.5)],
            id="two agents of a call ask once",
        ),
    ],
)
def test_collected_variables(
    connection: duckdb.DuckDBPyConnection, collected: list[dict[str, Any]], expected: list[Row]
) -> None:
    land(connection, [{"collected_variables": one} for one in collected])
    assert computed(connection, "collected_variables_daily") == [("a", "variable", *row) for row in expected]


def action(returned: Any = "{}", kind: str | None = "send_sms_action_type", **more: Any) -> dict[str, Any]:
    """As the API sends it: the return value as a text of JSON, unless it is given as an object."""
    fields = {"error_message": "", "return_value_status": "", "parameters_from_llm": "{}", "timestamp": "1773100800.5"}
    return {"name": "an action", "action_type": kind, "return_value": returned, **fields, **more}


def extractor(returned: Any, **more: Any) -> dict[str, Any]:
    return action(returned, "extract_info_action_type", **more)


def transfer(status: str | None = None, **returned: Any) -> dict[str, Any]:
    given = {"status": status, **returned} if status else returned
    return action(json.dumps(given), "transfer_call_action_type")


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        #                                                        asked collected rate
        pytest.param(
            [{"Get name": extractor('{"first name": "Ada"}')}],
            [("first name", 1, 1, 1)],
            id="an identifier with a space",
        ),
        pytest.param(
            [{"Get name": extractor({"info_extractor_name": None})}],
            [("name", 1, 0, 0)],
            id="the other prefix, nothing",
        ),
        pytest.param(
            [{"x": extractor(json.dumps({"x": one}))} for one in ("", 7, False, {"a": {"b": 1}})],
            [("x", 4, 3, 0.75)],
            id="numbers, false and objects are found, an empty text is not",
        ),
        pytest.param(
            [{"x": extractor("{}", parameters_hard_coded='{"identifier": "x"}')}],
            [("x", 1, 0, 0)],
            id="an extractor that found nothing is named by its parameters",
        ),
        pytest.param(
            [{"1": extractor('{"extract_info_x": null}'), "2": extractor('{"x": 5}')}],
            [("x", 1, 1, 1)],
            id="asked twice in a call counts once",
        ),
        pytest.param([{"x": action('{"x": "y"}')}], [], id="another action extracts nothing"),
    ],
)
def test_what_extractors_found(
    connection: duckdb.DuckDBPyConnection, calls: list[dict[str, Any]], expected: list[Row]
) -> None:
    land(connection, [{"executed_actions": one} for one in calls])
    assert computed(connection, "collected_variables_daily") == [("a", "extractor", *row) for row in expected]


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        #                                               executed failed calls
        pytest.param([{"Send it": action()}], [("send_sms_action_type", 1, 0, 1)], id="one action"),
        pytest.param([[action(), action()]], [("send_sms_action_type", 2, 0, 1)], id="a list of actions"),
        pytest.param(
            [{"a": action(), "b": action()}, {"a": action(), "c": extractor("{}")}, {}],
            [("extract_info_action_type", 1, 0, 1), ("send_sms_action_type", 3, 0, 2)],
            id="several in a call",
        ),
        pytest.param(
            [{"a": action(kind=None)}, {"a": action(kind=" ")}, {"a": None}, {"a": "text"}],
            [(N, 2, 0, 2)],
            id="without a type; what is no object is no action",
        ),
    ],
)
def test_actions_daily(connection: duckdb.DuckDBPyConnection, calls: list[Any], expected: list[Row]) -> None:
    land(connection, [{"executed_actions": one} for one in calls])
    assert computed(connection, "actions_daily") == [("a", *row) for row in expected]


FAILED = [
    action(error_message="no route"),
    action('{"status": "error"}'),
    action('{"status": "Failed"}'),
    action({"status": "failure"}),
    action('{"status": "transfer-failed-connection-error"}'),
    action('{"success": false}'),
    action('{"error": "no such number"}'),
    action(return_value_status="failed"),
    action('{"status_code": 500}'),
    action('{"status_code": "400"}'),
]
FINE = [
    action(),
    action(None),
    action("sent"),
    action('{"status": "ok", "success": true, "error": null}'),
    action({"error": "", "status_code": 200}),
    action({"error": False}),
    action('{"status": "transfer-success"}'),
    action(error_message=" "),
    action(return_value_status=None),
]


@pytest.mark.parametrize("one", FAILED, ids=str)
def test_each_sign_of_a_failure_is_enough(connection: duckdb.DuckDBPyConnection, one: dict[str, Any]) -> None:
    land(connection, [{"executed_actions": {"a": one}}])
    assert computed(connection, "actions_daily", columns="executed, failed") == [(1, 1)]


@pytest.mark.parametrize("one", FINE, ids=str)
def test_no_sign_of_a_failure(connection: duckdb.DuckDBPyConnection, one: dict[str, Any]) -> None:
    land(connection, [{"executed_actions": {"a": one}}])
    assert computed(connection, "actions_daily", columns="executed, failed") == [(1, 0)]


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        #                                                             transfers calls mean median
        pytest.param([{"a": transfer("transfer-success")}], [("transfer-success", N, 1, 1, None, None)], id="success"),
        pytest.param(
            [{"a": transfer("transfer-failed-timeout", failed_reason="number_not_found"), "b": transfer()}],
            [(N, N, 1, 1, None, None), ("transfer-failed-timeout", "number_not_found", 1, 1, None, None)],
            id="a reason, and a transfer that reports nothing",
        ),
        pytest.param(
            [{"a": transfer("transfer-success", human_connected_at=1773100800.5 + seconds)} for seconds in (2, 4, 12)],
            [("transfer-success", N, 3, 3, 6, 4)],
            id="the seconds until a human answered",
        ),
        pytest.param(
            [{"a": transfer("transfer-success", human_connected_at=1773100800.5)}],
            [("transfer-success", N, 1, 1, 0, 0)],
            id="a human answered at once",
        ),
        pytest.param(
            [{"a": transfer("transfer-success", human_connected_at=1773100800.0)}],
            [("transfer-success", N, 1, 1, None, None)],
            id="a human cannot answer before the transfer",
        ),
        pytest.param(
            [{"a": transfer("transfer-failed-timeout"), "b": transfer("transfer-failed-timeout")}],
            [("transfer-failed-timeout", N, 2, 1, None, None)],
            id="tried twice in a call",
        ),
        pytest.param(
            [{"a": transfer("transfer-failed", failed_reason="call +1 415 555 0100")}],
            [("transfer-failed", "other", 1, 1, None, None)],
            id="a reason that is no plain code is not shown",
        ),
        pytest.param([{"a": action('{"status": "transfer-success"}')}], [], id="a message is no transfer"),
    ],
)
def test_transfers_daily(
    connection: duckdb.DuckDBPyConnection, calls: list[dict[str, Any]], expected: list[Row]
) -> None:
    land(connection, [{"executed_actions": one} for one in calls])
    assert computed(connection, "transfers_daily") == [("a", *row) for row in expected]


def test_failed_transfers_show_as_failed_actions_and_in_the_rates(connection: duckdb.DuckDBPyConnection) -> None:
    """Of 112 failed transfers, actions_daily once reported none."""
    failed = transfer("transfer-failed-connection-error", failed_reason="carrier_unavailable")
    land(connection, [{"executed_actions": {"To sales": failed}, "call_status": "completed"}] * 112)
    assert computed(connection, "actions_daily") == [("a", "transfer_call_action_type", 112, 112, 112)]
    columns = "transferred_calls, transfer_success_rate, contained_calls, containment_rate"
    assert computed(connection, "call_rates_daily", columns=columns) == [(112, 0, 0, 0)]


@pytest.mark.parametrize("table", TABLES)
def test_a_key_that_comes_twice_does_not_stop_the_day(connection: duckdb.DuckDBPyConnection, table: str) -> None:
    twice = '{"x": {"value": 1, "collected": true}, "x": {"value": 2, "collected": true}}'
    land(connection, [{"judge_results": twice, "collected_variables": twice, "executed_actions": twice}])
    assert len(computed(connection, table)) <= 1
