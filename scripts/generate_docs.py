"""Generate docs from the code; with --check, fail if they are out of date."""

import difflib
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic_core import PydanticUndefined

from synthflow_assets.quality import CHECKS, SCHEDULED_CHECKS
from synthflow_assets.sandbox.characters import CHARACTERS
from synthflow_assets.sandbox.config import FAULTS
from synthflow_assets.settings import REGION_URLS, Settings, variable
from synthflow_assets.settings.kinds import kind_of
from synthflow_assets.warehouse.metric_tables import METRIC_TABLES
from synthflow_assets.warehouse.metric_views import METRIC_MACROS, METRIC_VIEWS
from synthflow_assets.warehouse.schema import CALL_VIEWS, TABLES
from synthflow_assets.warehouse.tables import Column, MetricTable

ROOT = Path(__file__).parents[1]
NOTE = "<!-- Written by scripts/generate_docs.py (make docs); change the code instead. -->\n\n"


_ABOUT_METRICS = """\
This page defines every number. A day is a day in the set time zone, and a call belongs to the day that it started on.
Percentiles are interpolated linearly between the two closest calls, as in DuckDB's `quantile_cont`.

Daily percentiles cannot be combined. For a range of days use `duration_summary`, which is exact:

```sql
FROM synthflow.duration_summary('2026-11-01', '2026-11-30');
FROM synthflow.duration_summary('2026-11-01', '2026-11-30', condition := type_of_call = 'inbound');
FROM synthflow.duration_summary_by('2026-11-01', '2026-11-30', model_id);
FROM synthflow.duration_summary_by('2026-01-01', '2026-12-31', date_trunc('month', day));
```

Counts can be added over days and agents. Shares and rates cannot: divide the sums instead.

Most metrics are the same for every `SYNTHFLOW_PII`, and `forget` does not change them. They are computed from columns
of `calls` that hold nothing a person said. The exceptions are [callers and attempts](#callers), and the agents' own
numbers in `call_segments_daily`.

"Connected" means that a person or a machine picked up. For persons, see the outcome `person_reached`.

AI agents do not put calls on hold and do no work after a call. So the mean is called average call duration, not average
handle time. The API has no queue, so there is no abandonment rate.

## Callers

`callers_daily` and `attempts_daily` count people, not calls. A person is a phone number, in the column `caller_key` of
`calls`:

* The other side of an `outbound` call is the number called. The other side of an `inbound` call is the calling number.
  If this number is not usable, or the call has another type, it is the number of the lead.
* Only digits count: `+1 (415) 555-0100`, `0014155550100`, `tel:+1-415-555-0100` and `sip:+14155550100@10.0.0.1` are
  the same caller. A number without its country code is another caller, because the country is not known.
* A withheld number has no key. It comes as a word such as `anonymous` or `restricted`, or as that word on a keypad,
  such as `+266696687`.
* A number with letters, with fewer than 7 or more than 15 digits, or with only zeros has no key. The agent's own
  number has no key either, because an agent that calls itself reaches no person.
* With `SYNTHFLOW_PII=hash`, the key is the keyed hash of the digits, so the numbers of callers are the same. With
  `drop`, there is no key: callers are NULL, and attempts are empty.
* If you change `SYNTHFLOW_PII` or its key, a caller's earlier and later keys differ. To match them, fetch old days
  again.
* `forget` removes the key of an erased person. The tables are computed again without this person.
* Agents can be set to delete caller ids after 30 days. If such a day is fetched again, its callers are gone, unless
  `SYNTHFLOW_VANISHED_FIELDS` is `keep`.
* A caller is new if the warehouse has no earlier day with this caller. So on the first days in the warehouse, nearly
  all callers are new.

Callers do not add up over days or agents. For a range of days use `caller_summary`, which is exact:

```sql
FROM synthflow.caller_summary('2026-11-01', '2026-11-30');
FROM synthflow.caller_summary('2026-11-01', '2026-11-30', condition := type_of_call = 'inbound');
FROM synthflow.caller_summary_by('2026-11-01', '2026-11-30', model_id);
```

Whether a caller is new depends on all earlier days, and attempts on later ones. So a run also computes `callers_daily`
for all later days, and `attempts_daily` for all days. In a year of 1,000,000 calls, computing both for a new day takes
0.4 s on two cores.

## Comparing two versions

`compare_segments` compares the rates of two values of a segment, such as two versions of an agent:

```sql
FROM synthflow.compare_segments('2026-11-01', '2026-11-30', 'assistant_version', '3', '4');
FROM synthflow.compare_segments('2026-11-01', '2026-11-30', 'assistant_version', '3', '4',
                                condition := model_id = '...');
```

Each rate has its difference, second minus first, with a 95 % confidence interval. This is Newcombe's hybrid score
interval, from the Wilson intervals of both rates. If the interval contains 0, chance alone can explain the difference,
and `is_conclusive` is false. Remember:

* The interval assumes that calls are independent. Several calls to the same lead are not, so the uncertainty is larger.
* Even if two versions are equal, about one of 20 comparisons is conclusive by chance. The macro makes four.
* Versions that ran on other days, hours or leads differ in more than the version.

Medians are not compared, because daily medians cannot be combined.

"""


SANDBOX = """\
The sandbox sends only shapes that Synthflow documents or that public payloads of live calls show. Other shapes are
faults. `tests/sandbox/shapes.py` describes the shapes, and a test compares every record with them.

* The same seed, agent and day always have the same calls. All names and texts are invented, and all phone numbers are
  reserved for fiction.
* If a person was reached, a record has 2 to 20 kB. Three of a thousand such records have 100 kB, because of the
  parameters of an action. With `--small-records`, records have about 2 kB.
* `from_date` and `to_date` are epoch milliseconds, dates or date-times. A call at `to_date` is not listed.

Each agent has a character. Agents after the sixth repeat them.

"""


def cell(text: object) -> str:
    """Return a value as a cell of a Markdown table."""
    return str(text).replace("|", "\\|").replace("\n", " ")


def code(text: str) -> str:
    """Return a text as code, or nothing if it is empty."""
    return f"`{text}`" if text else ""


def source_of(column: Column) -> str:
    """Return the API field of a column, if it has another name."""
    return f" From `{column.source}`." if column.source not in (None, column.name) else ""


def values_of(column: Column) -> str:
    """Return the documented values of a column, if there are any."""
    # The first spelling of each. Others have underscores instead of hyphens, or the reverse.
    values = {value.replace("_", "-"): value for value in reversed(column.values)}
    return f" Documented values: {', '.join(map(code, reversed(values.values())))}." if values else ""


def default_of(name: str) -> str:
    """Return the default of a setting as it is written in `.env`, or an empty text."""
    default = Settings.model_fields[name].default
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, tuple):
        return ",".join(default)
    return "" if default in (None, PydanticUndefined) else str(default)


def settings_page() -> str:
    """Return the text of docs/settings.md."""
    rows = [
        f"| `{variable(name)}` | {code(default_of(name)) or 'unset'} | {cell(field.description)} |"
        for name, field in Settings.model_fields.items()
    ]
    regions = "\n".join(f"* `{region}`: `{url}`" for region, url in REGION_URLS.items())
    return (
        f"# Settings\n\n{NOTE}"
        "Set these variables in the environment, or in a file `.env` in the project's folder. If both set a\n"
        "variable, the file wins, as with Dagster's own commands. An empty value means unset; an empty\n"
        "`SYNTHFLOW_PII` is refused. If a value is not allowed or a name is unknown, nothing runs, and one line says\n"
        "what is allowed.\n\n"
        "In `.env`, write each setting on a line of its own. A line is refused if it cannot be read, or if it refers\n"
        "to a variable that is not set. It is also refused if it empties a setting that the environment or an\n"
        "earlier line sets. A name that is no setting is refused if it begins with `SYNTHFLOW`, in upper or lower\n"
        "case, or resembles that of a setting. If the value of another variable contains a setting after a space,\n"
        "put the value in quotes.\n\n"
        "In a `defs.yaml`, the settings are [attributes](component.md). In Python, they are arguments of\n"
        "[`Settings.of`](python.md). Both use lower case without the prefix, and do not read the environment.\n\n"
        "| variable | default | meaning |\n|---|---|---|\n" + "\n".join(rows) + "\n\n"
        f"Addresses of the regions:\n\n{regions}\n"
    )


def arguments_module() -> str:
    """Return the text of synthflow_assets/settings/arguments.py."""
    kinds = {name: kind_of(field) for name, field in Settings.model_fields.items()}
    lines = [f"    {name}: {kind.argument}{' | None' if kind.is_optional else ''}\n" for name, kind in kinds.items()]
    return (
        '"""The keyword arguments of `Settings.of`, for type checkers and editors.\n\n'
        'Written by scripts/generate_docs.py (make docs); change `model.Settings` instead.\n"""\n\n'
        "from __future__ import annotations\n\n"
        "import datetime as dt\n"
        "from collections.abc import Sequence\n"
        "from pathlib import PurePath\n"
        "from typing import TypedDict\n\n"
        "from pydantic import SecretStr\n\n\n"
        "class SettingsArguments(TypedDict, total=False):\n"
        '    """The fields of `Settings` by name, in every type that is accepted. `dg.EnvVar` is a `str`."""\n\n'
        + "".join(lines)
    )


def tables_page() -> str:
    """Return the text of docs/tables.md."""
    parts = [
        f"## {table.qualified_name}\n\n{table.description}\n\n"
        f"One row for each {', '.join(f'`{name}`' for name in table.grain)}.\n\n{_columns(table.columns)}"
        for table in TABLES.values()
    ]
    parts += [f"## {view.name}\n\nA view. {view.description}\n\n{_columns(view.columns)}" for view in CALL_VIEWS]
    checks = [
        f"| `{one.table}` | `{one.name}` | {'yes' if one.blocking else ''} | {cell(one.description)} |"
        for one in (*CHECKS, *SCHEDULED_CHECKS)
    ]
    return (
        f"# Tables\n\n{NOTE}Each asset `synthflow/NAME` writes the table `synthflow.NAME`.\n\n"
        + "\n\n".join(parts)
        + "\n\n## Checks\n\n"
        "Each check is one SQL query, from `synthflow_assets/quality/`. If a blocking check fails, no metric is\n"
        "computed.\n\n"
        "| table | check | blocking | passes if |\n|---|---|---|---|\n" + "\n".join(checks) + "\n"
    )


def _columns(columns: Sequence[Column]) -> str:
    rows = [
        f"| `{column.name}` | {column.sql_type} | {column.unit or ''} | {'yes' if column.personal else ''} | "
        f"{cell(column.description)}{source_of(column)}{values_of(column)} |"
        for column in columns
    ]
    return "| column | type | unit | personal | meaning |\n|---|---|---|---|---|\n" + "\n".join(rows)


def metrics_page() -> str:
    """Return the text of docs/metrics.md."""
    parts = [_metric_table(table) for table in METRIC_TABLES]
    parts += [
        f"## {macro.name}({', '.join(macro.parameters)})\n\n{macro.description}\n\nColumns: "
        + ", ".join(f"`{column.name}`" for column in macro.columns)
        + "."
        for macro in METRIC_MACROS
    ]
    parts += [
        f"## {view.name}\n\n{view.description}\n\nColumns: " + ", ".join(f"`{one.name}`" for one in view.columns) + "."
        for view in METRIC_VIEWS
    ]
    return f"# Metrics\n\n{NOTE}{_ABOUT_METRICS}" + "\n\n".join(parts) + "\n"


def _metric_table(table: MetricTable) -> str:
    rows = [
        f"| `{column.name}` | {cell(column.description)} | {code(cell(column.formula or ''))} | {column.unit or ''} |"
        for column in table.columns
        if column.name not in ("day", "model_id")
    ]
    return (
        f"## {table.name}\n\n{table.description}\n\n"
        f"* One row for each {', '.join(code(name) for name in table.grain)}.\n"
        f"* From the fields {', '.join(code(name) for name in table.sources)} of `calls`.\n"
        f"* Excluded: {table.excluded[0].lower()}{table.excluded[1:]}\n"
        f"* Missing values: {table.nulls[0].lower()}{table.nulls[1:]}\n\n"
        "| column | definition | formula | unit |\n|---|---|---|---|\n" + "\n".join(rows)
    )


def sandbox_faults() -> str:
    """Return the text of docs/faults.md."""
    rows = "\n".join(f"| `{name}` | {cell(effect)} |" for name, effect in FAULTS.items())
    agents = "\n".join(
        f"| {one.name} | {one.type_of_call} | {one.statuses['completed']:.0%} "
        f"| {sum(share for status, share in one.statuses.items() if 'voicemail' in status):.0%} "
        f"| {one.transfers:.0%} | {1 - one.transfer_success:.0%} |"
        for one in CHARACTERS
    )
    return (
        f"# Faults of the sandbox\n\n{NOTE}"
        f"{SANDBOX}"
        "| agent | type | completed | voicemail | completed calls with a transfer | of these, failed |\n"
        f"|---|---|---|---|---|---|\n{agents}\n\n"
        "## Faults\n\n"
        "`synthflow-assets sandbox --fault NAME=CHANCE` switches a fault on. If CHANCE is below 1, it is a\n"
        "probability. If it is a number N of 1 or more, the fault affects the first N requests only.\n\n"
        f"| fault | what the sandbox does |\n|---|---|\n{rows}\n"
    )


def env_example() -> str:
    """Return the text of .env.example."""
    lines = [
        "# Copy this file to .env and remove the # before each setting that you change. Only the key is required.",
        "# .env wins over the environment; see docs/settings.md.",
        "",
    ]
    for name, field in Settings.model_fields.items():
        # All are commented out: an empty value would override the environment.
        lines += [f"# {field.description}", f"# {variable(name)}={default_of(name)}", ""]
    return "\n".join(lines[:-1]) + "\n"


PAGES = {
    "synthflow_assets/settings/arguments.py": arguments_module,
    "docs/settings.md": settings_page,
    "docs/tables.md": tables_page,
    "docs/metrics.md": metrics_page,
    "docs/faults.md": sandbox_faults,
    ".env.example": env_example,
}


def main() -> int:
    """Write or check every page; return the number of pages that are out of date."""
    stale = 0
    for name, make in PAGES.items():
        path, wanted = ROOT / name, make()
        found = path.read_text(encoding="utf-8") if path.exists() else ""
        if found == wanted:
            continue
        if "--check" in sys.argv:
            stale += 1
            print(f"{name} is out of date; run: make docs")
            print("\n".join(list(difflib.unified_diff(found.splitlines(), wanted.splitlines(), lineterm="", n=0))[:10]))
        else:
            path.write_text(wanted, encoding="utf-8")
            print(f"wrote {name}")
    return stale


if __name__ == "__main__":
    sys.exit(main())
