"""What a table, a view and a column are, and the columns that nearly all tables have."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

# Where the tables are unless settings say otherwise. SQL names them without it: a connection's default schema is that
# of its workspace, so that several workspaces share a warehouse.
SCHEMA = "synthflow"


class Kind(StrEnum):
    """How a field of a record becomes a value."""

    TEXT = "VARCHAR"
    WHOLE_NUMBER = "BIGINT"  # a JSON number or string of digits; words, fractions and the absurd reject the record
    TIMESTAMP = "TIMESTAMPTZ"  # a date-time; UTC where it names no zone
    EPOCH_MS = "EPOCH_MS"  # epoch milliseconds, as a number or string of digits
    TEXT_LIST = "VARCHAR[]"
    JSON = "JSON"


@dataclass(frozen=True)
class Column:
    """A column of a table.

    `source` is the field of the API's record that it is read from; None where the package makes the value.
    `values` are the values that the documentation knows; others land as well, and a check says so.
    """

    name: str
    sql_type: str
    description: str
    unit: str | None = None
    required: bool = False
    source: str | None = None
    kind: Kind | None = None
    personal: bool = False
    phone: bool = False  # holds a phone number and nothing else
    maximum: int | None = None  # of whole numbers; what is larger cannot be meant
    values: tuple[str, ...] = ()
    formula: str | None = None  # of a metric: how it comes from the fields of `calls`


@dataclass(frozen=True)
class Table:
    """A table: its grain is the columns that tell its rows apart."""

    name: str
    description: str
    grain: tuple[str, ...]
    columns: tuple[Column, ...]

    @property
    def qualified_name(self) -> str:
        """`synthflow.NAME`, for docs."""
        return f"{SCHEMA}.{self.name}"

    def ddl(self) -> str:
        """The statement that makes the table. No constraint but NOT NULL: DuckLake knows no other."""
        lines = [f'    "{c.name}" {c.sql_type}{" NOT NULL" if c.required else ""}' for c in self.columns]
        return f"CREATE TABLE IF NOT EXISTS {self.name} (\n" + ",\n".join(lines) + "\n)"


@dataclass(frozen=True)
class MetricTable(Table):
    """A table that is computed from the calls, and what has to be known of its numbers.

    `sources` are the columns of `calls` that it is computed from; `days_back` is how many days before its own a day
    needs the calls of.
    """

    sources: tuple[str, ...]
    excluded: str
    nulls: str
    days_back: int = 0


@dataclass(frozen=True)
class View:
    """A view on the tables, for readers; its query is the `.sql` file of the same name."""

    name: str
    description: str
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class Macro:
    """A table macro, for readers; its query is the `.sql` file of the same name."""

    name: str
    parameters: tuple[str, ...]
    description: str
    columns: tuple[Column, ...]


DAY = Column("day", "DATE", "Day that the call started on, in the set time zone.", required=True)
MODEL_ID = Column("model_id", "VARCHAR", "Agent that the calls were asked for.", required=True)
