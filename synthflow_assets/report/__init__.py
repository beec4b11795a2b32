"""Write the report: one self-contained HTML page for people who do not write SQL, from the metric tables alone."""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from synthflow_assets.days import last_closed_day
from synthflow_assets.errors import ReportError
from synthflow_assets.files import GroupAccess, private_files, replace_file, replacement_error
from synthflow_assets.report.content import Content, Span, read_content
from synthflow_assets.report.page import render
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse

__all__ = ["Report", "Span", "last_days", "report_path_error", "write_report"]

# Mail servers accept more, but an attachment grows by a third in transit.
LARGEST_BYTES = 3_000_000
# The beginning of the template. Many other pages have a doctype and a Content-Security-Policy.
_MARKER = b'<meta name="generator" content="synthflow-assets">'
# Tried one after the other until the page is small enough: (with the days before the span, percent by which durations
# may differ to be counted as one).
_REDUCTIONS = ((True, 0), (False, 0), (False, 1), (False, 2), (False, 5), (False, 10))


@dataclass(frozen=True)
class Report:
    """A report that was written.

    Attributes:
        path: the HTML file.
        size_bytes: its size.
        days: the number of days that it covers, without the days before that it compares them with.
        agents: the number of agents in it.
        headline: its first numbers by name, such as `calls` and `person_reached_rate`, over all its days and agents.
    """

    path: Path
    size_bytes: int
    days: int
    agents: int
    headline: dict[str, float]

    @property
    def warning(self) -> str | None:
        """One line about a report that exceeds `LARGEST_BYTES`; None if it does not."""
        if self.size_bytes <= LARGEST_BYTES:
            return None
        return (
            f"the report is {self.size_bytes / 1e6:.1f} MB, and many mail servers reject more than "
            f"{LARGEST_BYTES / 1e6:.1f} MB; choose fewer days "
            "(`synthflow-assets report --from ... --to ...`, SYNTHFLOW_REPORT_DAYS) or agents (`--model`)"
        )


def last_days(warehouse: Warehouse, settings: Settings, to_day: dt.date | None = None) -> Span:
    """Return the days that a report covers by default: the last `settings.report_days`, or fewer if fewer have landed.

    The span ends yesterday. If none of its days has landed, it ends on the last landed day instead: a first backfill
    may be of days long ago.

    Args:
        warehouse: is asked which days have landed.
        settings: for `report_days` and the time zone.
        to_day: the last day of the span, whether it has landed or not.

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
    """Write the report over the days `from_day` to `to_day` inclusive, and replace an older one atomically.

    Args:
        warehouse: holds the metric tables.
        settings: for the time zone and the threshold of short calls.
        path: of the HTML file; missing folders are created.
        from_day: the first day.
        to_day: the last day.
        agents: ids or names of the agents to include; all agents if empty.
        made_at: the time that the report states as its own; now by default.

    Raises:
        ReportError: an agent is unknown, or the file cannot be written, or it would replace anything but a report.
        WarehouseError: the warehouse cannot be read.
    """
    if problem := report_path_error(warehouse, settings, path):
        raise ReportError(problem)
    span = Span(from_day, to_day)
    page, content = _render_small_enough(warehouse, settings, span, agents, made_at or dt.datetime.now(dt.UTC))
    try:
        _replace(path, page, settings.group_access)
    except OSError as error:
        remedy = _remedy(settings, path)
        raise ReportError(f"cannot write the report to {path}: {error.strerror}; {remedy}") from None
    return Report(path, len(page), span.days, len(content.facts["agents"]), content.headline())


def report_path_error(warehouse: Warehouse, settings: Settings, path: Path) -> str | None:
    """Return why the report must not be written to a path, and what to do; None if it may.

    Args:
        warehouse: whose files are not replaced.
        settings: for the path that they name, so that the message names the setting.
        path: of the HTML file.
    """
    try:
        if warehouse.engine.owns(path):
            problem: str | None = "belongs to the warehouse"
        else:
            problem = replacement_error(path, lambda head: _MARKER in head, otherwise="is not a report")
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
    return f"{path} {problem}; {_remedy(settings, path)}" if problem else None


def _remedy(settings: Settings, path: Path) -> str:
    if path == settings.report_path:
        return "set SYNTHFLOW_REPORT to another path"
    return "give another path for the report"


def _render_small_enough(
    warehouse: Warehouse, settings: Settings, span: Span, agents: Sequence[str], made_at: dt.datetime
) -> tuple[bytes, Content]:
    """Return the page with as much content as fits in `LARGEST_BYTES`; if nothing fits, the smallest."""
    with warehouse.connect(read_only=True) as connection:
        for with_before, percent in _REDUCTIONS:
            content = read_content(
                connection, span, agents, timezone=settings.timezone, with_before=with_before, percent=percent
            )
            page = render(content, settings, made_at)
            if len(page) <= LARGEST_BYTES:
                break
    return page, content


def _replace(path: Path, page: bytes, group_access: GroupAccess) -> None:
    """Write the page beside `path` and rename it, so that readers see the old or the new page as a whole."""
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with private_files(group_access):
            path.parent.mkdir(parents=True, exist_ok=True)
            with unfinished.open("xb") as file:
                file.write(page)
        replace_file(unfinished, path)
    except OSError:
        with suppress(OSError):
            unfinished.unlink()
        raise
