"""How statements run: with the parameters that they name, and in transactions that are retried after a conflict."""

from contextlib import nullcontext

import duckdb
import pytest

from synthflow_assets.warehouse.statements import execute_named, write


def test_a_statement_gets_the_parameters_that_it_names() -> None:
    # DuckDB rejects unused parameters. The query uses $days_back, and has $days only in a comment.
    query = "SELECT $days_back::BIGINT, '$comment' -- $days\n"
    with duckdb.connect() as connection:
        rows = execute_named(connection, query, {"days": 1, "days_back": 2, "comment": 3}).fetchall()
    assert rows == [(2, "$comment")]


def test_a_parameter_without_a_value_is_an_error() -> None:
    with duckdb.connect() as connection, pytest.raises(duckdb.InvalidInputException, match="days"):
        execute_named(connection, "SELECT $days::BIGINT", {"days_back": 2})


@pytest.mark.parametrize(("message", "attempts"), [("Conflict on update!", 2), ("cannot commit", 1)])
def test_a_conflict_is_retried_from_the_start_and_another_error_is_not(message: str, attempts: int) -> None:
    found: list[int] = []

    def work() -> None:
        found.append(connection.execute("SELECT count(*) FROM rows").fetchall()[0][0])
        connection.execute("INSERT INTO rows VALUES (1)")
        if len(found) == 1:
            raise duckdb.TransactionException(message)

    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE schema_version (version INTEGER); CREATE TABLE rows (number INTEGER)")
        with nullcontext() if attempts == 2 else pytest.raises(duckdb.TransactionException):
            write(connection, work)
        # What a failed attempt did is rolled back.
        assert found == [0] * attempts
        assert connection.execute("SELECT count(*) FROM rows").fetchall() == [(attempts - 1,)]
