"""How SQL is run here: from `.sql` files, and in transactions that end whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.resources import files

import duckdb


@contextmanager
def transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """All of the block's changes, or none of them."""
    connection.execute("BEGIN")
    try:
        yield
    except BaseException:
        # A transaction that DuckDB has ended itself cannot be rolled back again; its error is the one to see.
        with suppress(duckdb.Error):
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def describe(error: duckdb.Error) -> str:
    """What DuckDB's error says, on one line; of errors that quote values only the kind, because those are people's."""
    if isinstance(error, (duckdb.IOException, duckdb.OutOfMemoryException, duckdb.BinderException)):
        return str(error).splitlines()[0]
    if "No space left" in str(error):
        return "no space left on the device"
    return type(error).__name__


@cache
def sql_file(package: str, name: str) -> str:
    """The text of a `.sql` file of this project, such as `sql_file("synthflow_assets.metrics", "a.sql")`."""
    return files(package).joinpath(name).read_text(encoding="utf-8")
