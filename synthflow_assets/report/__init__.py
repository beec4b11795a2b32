"""One self-contained HTML page for people who do not write SQL, from the metric tables alone."""

from __future__ import annotations

import datetime as dt
import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from synthflow_assets.days import last_closed_day
from synthflow_assets.errors import ReportError
from synthflow_assets.report.content import Content, Span, read_content
from synthflow_assets.report.page import render
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse

__all__ = ["Report", "Span", "last_days", "write_report"]

# What mail servers take without a word is more, but every attachment grows by a third on its way.
LARGEST_BYTES = 3_000_000
# What is given up, one after the other, until a page is small enough: days before the span; exact durations.
_THRIFT = ((True, 0), (False, 0), (False, 1), (False, 2), (False, 5), (False, 10))


@dataclass(frozen=True)
class Report:
    """A page that was written."""

    path: Path
    size_bytes: int
    days: int
    agents: int

    @property
    def warning(self) -> str | None:
        """What is to be said of a page that is too large with all thrift; None of one that is not."""
        if self.size_bytes <= LARGEST_BYTES:
            return None
        return (
            f"the report is {self.size_bytes / 1e6:.1f} MB, and many mail servers take {LARGEST_BYTES / 1e6:.1f}; "
            "choose fewer days (`synthflow-assets report --from ... --to ...`, SYNTHFLOW_REPORT_DAYS) "
            "or agents (`--model`)"
        )


def last_days(warehouse: Warehouse, settings: Settings, to_day: dt.date | None = None) -> Span:
    """The days that a report is about unless it is asked for others: `settings.report_days`, or as many as there are.

    They end yesterday. Where nothing of them has landed they end with the last day that has, so that who begins with
    days long gone sees those.

    Raises:
        WarehouseError: the warehouse cannot be read.
    """
    with warehouse.connect(read_only=True) as connection:
        landed = connection.execute("SELECT min(day), max(day) FROM call_loads").fetchone()
    first, last = landed or (None, None)
    end = to_day or last_closed_day(settings.timezone)
    if to_day is None and last is not None and (end - last).days >= settings.report_days:
        end = last
    begin = end - dt.timedelta(days=settings.report_days - 1)
    return Span(min(end, max(begin, first or begin)), end)


def write_report(
    warehouse: Warehouse,
    settings: Settings,
    path: Path,
    from_day: dt.date,
    to_day: dt.date,
    agents: Sequence[str] = (),
    made_at: dt.datetime | None = None,
) -> Report:
    """Write the page over the days `from_day` to `to_day` inclusive; an older page is replaced as a whole.

    Args:
        warehouse: whose metric tables are read.
        settings: for the time zone and the length of a short call.
        path: of the page.
        from_day: the first day.
        to_day: the last day.
        agents: ids or names; none of them means all agents.
        made_at: what the page says of its age; now, unless given.

    Raises:
        ReportError: no agent is called so, or the page cannot be written.
        WarehouseError: the warehouse cannot be read.
    """
    span = Span(from_day, to_day)
    page, content = _page(warehouse, settings, span, agents, made_at or dt.datetime.now(dt.UTC))
    _replace(path, page)
    return Report(path, len(page), span.days, len(content.facts["agents"]))


def _page(
    warehouse: Warehouse, settings: Settings, span: Span, agents: Sequence[str], made_at: dt.datetime
) -> tuple[bytes, Content]:
    """The page with as much in it as is small enough."""
    with warehouse.connect(read_only=True) as connection:
        for with_before, percent in _THRIFT:
            content = read_content(connection, span, agents, with_before=with_before, percent=percent)
            page = render(content, settings, made_at)
            if len(page) <= LARGEST_BYTES:
                break
    return page, content


def _replace(path: Path, page: bytes) -> None:
    """Beside the target and moved over it, so that a reader never meets half a page."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, unfinished = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(page)
            Path(unfinished).chmod(0o644)
            Path(unfinished).replace(path)
        except OSError:
            with suppress(OSError):
                Path(unfinished).unlink()
            raise
    except OSError as error:
        raise ReportError(f"no report at {path}: {error.strerror}; give another path") from None
