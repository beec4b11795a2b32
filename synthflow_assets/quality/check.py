"""The description of a check."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Severity(StrEnum):
    """How bad a failed check is. The names are those of Dagster's asset checks."""

    ERROR = "error"  # numbers are wrong, or missing
    WARN = "warn"  # worth a look


@dataclass(frozen=True)
class Check:
    """A check of a table.

    Attributes:
        table: the table's name, without its schema.
        name: unique among all checks.
        description: what holds when the check passes.
        remedy: what to do when it fails. Placeholders become commands that a reader can copy: `{fetch}` fetches the
            failing days again, `{fetch_missing}` fetches only what is missing of them, `{compute}` computes the table
            and those in `depends_on` again.
        blocking: if it fails, nothing downstream is computed. Blocking checks have the severity ERROR.
        severity: ERROR or WARN.
        depends_on: metric tables that the check reads besides its own, so they are computed first.
        query: its SQL; without it, the `.sql` file that is named after the check.
        examines: the table whose rows count as examined; without it, `table`.
    """

    table: str
    name: str
    description: str
    remedy: str
    blocking: bool = False
    severity: Severity = Severity.WARN
    depends_on: tuple[str, ...] = ()
    query: str | None = field(default=None, repr=False)
    examines: str | None = None

    @property
    def examined_table(self) -> str:
        """The table whose rows count as examined."""
        return self.examines or self.table


@dataclass(frozen=True)
class Examined:
    """What a check examined. If it examined nothing, its message says so."""

    days: int
    agents: int
    rows: int

    def __str__(self) -> str:
        if not self.days:
            return "Nothing was examined, because none of these days has landed."
        numbers = {"day": self.days, "agent": self.agents, "row": self.rows}
        counts = [f"{count:,} {name}" if count == 1 else f"{count:,} {name}s" for name, count in numbers.items()]
        return f"Examined: {', '.join(counts)}."
