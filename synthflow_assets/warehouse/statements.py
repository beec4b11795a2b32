"""How SQL is run here: from `.sql` files, and in transactions that end whole or not at all."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from importlib.resources import files
from typing import Any, TypeVar

import duckdb

Result = TypeVar("Result")

_CONFLICT_LIMIT_SECONDS = 120.0
_LONGEST_NAP_SECONDS = 2.0
_CONFLICT = re.compile("conflict|retry count|could not serialize", re.IGNORECASE)  # else it would fail again
_COMMIT_LACKS_MEMORY = re.compile("Failed to commit: (failed to pin|could not allocate|.*out of memory)", re.IGNORECASE)
# DuckLake holds the changes of two transactions against each other table by table, and lets both commit that delete
# nothing and insert: two runs of the same new day would land each call twice. All writers change this row, so of two
# that overlap one always has to begin again. On other engines it costs nothing.
_FENCE = "UPDATE schema_version SET version = version"


def write(connection: duckdb.DuckDBPyConnection, work: Callable[[], Result]) -> Result:
    """Run the work in a transaction that overlaps no other one of the workspace, and again where one came first.

    Raises:
        duckdb.TransactionException: others came first for longer than the limit.
    """
    deadline = time.monotonic() + _CONFLICT_LIMIT_SECONDS
    nap = 0.05
    while True:
        try:
            with transaction(connection):
                connection.execute(_FENCE)
                return work()
        except duckdb.TransactionException as error:
            if not _CONFLICT.search(str(error)) or time.monotonic() + nap > deadline:
                raise
        time.sleep(nap * random.uniform(0.5, 1.5))
        nap = min(_LONGEST_NAP_SECONDS, nap * 2)


@contextmanager
def transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """All of the block's changes, or none of them."""
    connection.execute("BEGIN")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # A transaction that DuckDB has ended itself cannot be rolled back again; its error is the one to see.
        with suppress(duckdb.Error):
            connection.execute("ROLLBACK")
        raise


def execute_named(
    connection: duckdb.DuckDBPyConnection, query: str, parameters: Mapping[str, Any]
) -> duckdb.DuckDBPyConnection:
    """Execute one statement with those of the parameters that it names; DuckDB rejects the others.

    Args:
        connection: to execute it on.
        query: one SQL statement with parameters such as `$days`.
        parameters: values by name, without the `$`.

    Returns:
        The connection, to fetch the rows from.

    Raises:
        duckdb.Error: the statement fails, or names a parameter that has no value.
    """
    [statement] = connection.extract_statements(query)
    used = {name: value for name, value in parameters.items() if name in statement.named_parameters}
    return connection.execute(statement, used)


def quoted(text: str) -> str:
    """A text as SQL, for statements that cannot have parameters."""
    return "'" + text.replace("'", "''") + "'"


def lacks_memory(error: duckdb.Error) -> bool:
    """Whether more memory would help. Where it ran out during a commit, DuckDB says so in an error of another kind."""
    return isinstance(error, duckdb.OutOfMemoryException) or bool(_COMMIT_LACKS_MEMORY.search(str(error)))


def describe(error: duckdb.Error) -> str:
    """What DuckDB's error says, on one line; of errors that quote values only the kind, because those are people's."""
    if isinstance(error, (duckdb.IOException, duckdb.BinderException)) or lacks_memory(error):
        return str(error).splitlines()[0]
    if "No space left" in str(error):
        return "no space left on the device"
    return type(error).__name__


@cache
def sql_file(package: str, name: str) -> str:
    """The text of a `.sql` file of this project, such as `sql_file("synthflow_assets.metrics", "a.sql")`."""
    return files(package).joinpath(name).read_text(encoding="utf-8")
