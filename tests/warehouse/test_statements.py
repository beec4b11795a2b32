"""How statements run: with the parameters that they name."""

import duckdb
import pytest

from synthflow_assets.warehouse.statements import execute_named


def test_a_statement_gets_the_parameters_that_it_names() -> None:
    # DuckDB rejects a parameter too many: $days is none of the query's, although its text begins with "$days".
    query = "SELECT $days_back::BIGINT, '$comment' -- $days\n"
    with duckdb.connect() as connection:
        rows = execute_named(connection, query, {"days": 1, "days_back": 2, "comment": 3}).fetchall()
    assert rows == [(2, "$comment")]


def test_a_parameter_without_a_value_is_an_error() -> None:
    with duckdb.connect() as connection, pytest.raises(duckdb.InvalidInputException, match="days"):
        execute_named(connection, "SELECT $days::BIGINT", {"days_back": 2})
