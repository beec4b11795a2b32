"""Types that describe tables, views, macros and columns, and the two columns that most tables share."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum

# The default schema of the tables. SQL names tables without a schema: the connection's default schema is that of its
# workspace, so several workspaces can share a warehouse.
SCHEMA = "synthflow"


class Kind(StrEnum):
    """How a field of a record becomes a value."""

    TEXT = "VARCHAR"
    WHOLE_NUMBER = "BIGINT"  # a JSON number or a string of digits; anything else rejects the record
    TIMESTAMP = "TIMESTAMPTZ"  # a date-time; UTC if it names no zone
    EPOCH_MS = "EPOCH_MS"  # epoch milliseconds, as a number or a string of digits
    TEXT_LIST = "VARCHAR[]"
    JSON = "JSON"


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: of the column.
        sql_type: its type in DuckDB.
        description: what a value means.
        unit: of numbers.
        required: whether it is never NULL.
        source: the field of the API's record that it is read from; None if the package makes the value.
        kind: how that field becomes a value.
        personal: whether it may hold personal data.
        phone: whether it holds a phone number and nothing else.
        maximum: of whole numbers; a record with a larger one is rejected.
        values: the documented values. Other values land as well, and the check `known_values` fails.
        formula: of a metric, how it is computed from the columns of `calls`.
        sources: of a metric or a view, the columns that it is computed from; of a metric, they are columns of `calls`.
        summable: of a metric, whether the sum over all rows of a day is a number of that day.
        ratio: of a metric, the numerator and the denominator: SQL over the columns of its table.
    """

    name: str
    sql_type: str
    description: str
    unit: str | None = None
    required: bool = False
    source: str | None = None
    kind: Kind | None = None
    personal: bool = False
    phone: bool = False
    maximum: int | None = None
    values: tuple[str, ...] = ()
    formula: str | None = None
    sources: tuple[str, ...] = ()
    summable: bool = False
    ratio: tuple[str, str] | None = None


@dataclass(frozen=True)
class Table:
    """A table. Its grain is the columns that identify a row."""

    name: str
    description: str
    grain: tuple[str, ...]
    columns: tuple[Column, ...]

    @property
    def qualified_name(self) -> str:
        """Return the name with the default schema, `synthflow.NAME`, for docs."""
        return f"{SCHEMA}.{self.name}"

    def ddl(self, text_compression: str | None = None) -> str:
        """Return the statement that creates the table. DuckLake supports only the constraint NOT NULL.

        Args:
            text_compression: of columns with long texts, which are the personal ones without the phone numbers; None
                leaves it to the engine.
        """

        def definition(column: Column) -> str:
            not_null = " NOT NULL" if column.required else ""
            is_long = text_compression and column.personal and not column.phone
            return f'    "{column.name}" {column.sql_type}{not_null}' + (
                f" USING COMPRESSION {text_compression}" if is_long else ""
            )

        return f"CREATE TABLE IF NOT EXISTS {self.name} (\n" + ",\n".join(map(definition, self.columns)) + "\n)"


class AffectedDays(Enum):
    """The days of a metric table that change if the calls of a day change."""

    THE_DAY = "the day"
    AND_NEXT = "the day and the next one"
    AND_LATER = "the day and all later ones"
    ALL = "all days"


@dataclass(frozen=True)
class Recount:
    """A column of a metric table that is counted again from the calls by the check `recount_TABLE`.

    Attributes:
        column: its sum over the rows of a day and agent is compared.
        each_call: what each call adds to the sum, as SQL over `calls`.
        within: a column of the grain and its values. Each call has one row for each of the values, so the rows of each
            value must reach the sum.
        share: a column whose sum must be 1.
    """

    column: str
    each_call: str = "1"
    within: tuple[str, tuple[str, ...]] | None = None
    share: str | None = None


@dataclass(frozen=True)
class Statistics:
    """Statistics of a metric table that the check `recount_TABLE` computes again in another way.

    Attributes:
        name: of the columns, without `mean_`, `median_`, `p90_`, `total_` and so on.
        of: the values, as SQL that selects the grain of the table and `measurement`.
        divided_by: what the statistics of the values are divided by.
    """

    name: str
    of: str
    divided_by: int = 1


@dataclass(frozen=True)
class MetricTable(Table):
    """A table that is computed from the calls by the `.sql` file of the same name.

    Attributes:
        excluded: which calls are left out, for the docs.
        nulls: how missing values are counted, for the docs.
        recounts: columns that the check `recount_TABLE` counts again.
        every_landed_day: whether a landed day without calls has rows as well.
        affected_days: the days that change if the calls of a day change.
        statistics: statistics that the check `recount_TABLE` computes again.
    """

    excluded: str
    nulls: str
    recounts: tuple[Recount, ...] = ()
    every_landed_day: bool = False
    affected_days: AffectedDays = AffectedDays.THE_DAY
    statistics: tuple[Statistics, ...] = ()

    @property
    def sources(self) -> tuple[str, ...]:
        """Return the columns of `calls` that the table is computed from, without the day and the agent."""
        return tuple(dict.fromkeys(source for column in self.columns for source in column.sources))


@dataclass(frozen=True)
class View:
    """A view for readers; its query is the `.sql` file of the same name.

    Attributes:
        name: of the view.
        description: what a row is.
        columns: of the view; their `sources` are columns of the tables that the query reads.
        reads: names of these tables.
    """

    name: str
    description: str
    columns: tuple[Column, ...]
    reads: tuple[str, ...] = ("calls",)


@dataclass(frozen=True)
class Macro:
    """A table macro for readers; its query is the `.sql` file of the same name."""

    name: str
    parameters: tuple[str, ...]
    description: str
    columns: tuple[Column, ...]


DAY = Column("day", "DATE", "Day in the set time zone. A call belongs to the day that it started on.", required=True)
MODEL_ID = Column("model_id", "VARCHAR", "Id of the agent that the calls were fetched for.", required=True)
