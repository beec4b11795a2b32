"""Run SQL: from `.sql` files, with named parameters, and in atomic transactions."""

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
_LONGEST_WAIT_SECONDS = 2.0
_CONFLICT = re.compile("conflict|retry count|could not serialize", re.IGNORECASE)  # other errors would repeat
_STORAGE_PROBLEM = re.compile(
    "No space left on device|File too large|Disk quota exceeded|Read-only file system|Input/output error", re.IGNORECASE
)
_COMMIT_LACKS_MEMORY = re.compile("Failed to commit: (failed to pin|could not allocate|.*out of memory)", re.IGNORECASE)
# DuckLake detects conflicts table by table, but not between two transactions that only insert: two runs of the same new
# day would both commit and land each call twice. Every writer updates this row, so two overlapping writers always
# conflict, and one of them retries. On other engines the update costs nothing.
_FENCE = "UPDATE schema_version SET version = version"


def write(connection: duckdb.DuckDBPyConnection, work: Callable[[], Result]) -> Result:
    """Run `work` in a transaction, and retry it if another writer of the workspace committed first.

    Args:
        connection: to the warehouse.
        work: executes the statements; it may run several times.

    Returns:
        What `work` returned.

    Raises:
        duckdb.TransactionException: the transaction conflicted with others for longer than 120 s.
    """
    deadline = time.monotonic() + _CONFLICT_LIMIT_SECONDS
    wait_seconds = 0.05
    while True:
        try:
            with transaction(connection):
                connection.execute(_FENCE)
                return work()
        except duckdb.TransactionException as error:
            if not _CONFLICT.search(str(error)) or time.monotonic() + wait_seconds > deadline:
                raise
        time.sleep(wait_seconds * random.uniform(0.5, 1.5))
        wait_seconds = min(_LONGEST_WAIT_SECONDS, wait_seconds * 2)


@contextmanager
def transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Commit the changes of the block, or roll back all of them if it fails."""
    connection.execute("BEGIN")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # If DuckDB ended the transaction itself, ROLLBACK fails too. The first error is the one to raise.
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
    """Return a text as an SQL literal, for statements that cannot have parameters."""
    return "'" + text.replace("'", "''") + "'"


def lacks_memory(error: duckdb.Error) -> bool:
    """Return whether DuckDB ran out of memory. During a commit it raises another exception type."""
    return isinstance(error, duckdb.OutOfMemoryException) or bool(_COMMIT_LACKS_MEMORY.search(str(error)))


def describe(error: duckdb.Error) -> str:
    """Return a DuckDB error as one line. Errors that may quote personal data are reduced to their type."""
    if found := _STORAGE_PROBLEM.search(str(error)):
        return found[0].lower()
    if isinstance(error, (duckdb.IOException, duckdb.BinderException)) or lacks_memory(error):
        return str(error).splitlines()[0]
    return type(error).__name__


@cache
def sql_file(package: str, name: str, *included: str) -> str:
    """Return the text of a `.sql` file of a package, such as `sql_file("synthflow_assets.metrics", "a.sql")`.

    Args:
        package: name of the package.
        name: name of the file.
        included: names of files of the package, without `.sql`. The text of `b.sql` replaces each `{b}`.
    """
    text = files(package).joinpath(name).read_text(encoding="utf-8")
    for other in included:
        text = text.replace(f"{{{other}}}", sql_file(package, f"{other}.sql"))
    return text


@cache
def without_comments(query: str) -> str:
    """Return an SQL text without comments, blank lines and line breaks."""
    lines = (re.sub(r"^((?:[^'-]|'[^']*'|-(?!-))*)--.*", r"\1", line) for line in query.splitlines())
    return " ".join(" ".join(lines).split())
