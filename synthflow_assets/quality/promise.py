"""What a promise about a table is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Promise:
    """A promise about a table.

    `blocking`: what is computed from the table would be wrong if it were broken. `serious`: something has to be done
    all the same; what is neither is a warning. `compared_with` are the metric tables that the table is held against,
    so they have to be computed before. `file` is the `.sql` file, where it is not named like the promise.

    `remedy` is what to do where it is broken. In it stand for a command that a reader can copy: `{fetch}` to fetch the
    days again, `{fetch_missing}` to fetch what of them is missing, `{compute}` to compute again the table and those
    that it is held against.
    """

    table: str
    name: str
    description: str
    remedy: str
    blocking: bool = False
    serious: bool = False
    compared_with: tuple[str, ...] = ()
    file: str | None = None
