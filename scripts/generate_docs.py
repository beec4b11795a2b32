"""Writes the parts of the docs that follow from the code; with --check, fails where they are not up to date."""

import difflib
import sys
from pathlib import Path

from pydantic_core import PydanticUndefined

from synthflow_assets.quality import CHECKS, SCHEDULED_CHECKS
from synthflow_assets.sandbox.config import FAULTS
from synthflow_assets.settings import REGION_URLS, Settings, variable
from synthflow_assets.warehouse.metric_tables import METRIC_TABLES
from synthflow_assets.warehouse.metric_views import METRIC_MACROS, METRIC_VIEWS
from synthflow_assets.warehouse.schema import METRICS_OF_PERSONAL_DATA, TABLES
from synthflow_assets.warehouse.tables import Column, MetricTable

ROOT = Path(__file__).parents[1]
NOTE = "<!-- Written by scripts/generate_docs.py (make docs); change the code instead. -->\n\n"


_ABOUT_METRICS = """\
Every number with its one definition. A day is one of the set time zone, and a call belongs to the day that it started
on. Percentiles lie between the two closest calls, by linear interpolation, as DuckDB's `quantile_cont` has it. Of the
percentiles of several days none follows for all of them, so ask `duration_summary`, which is exact for any range:

```sql
FROM synthflow.duration_summary('2026-11-01', '2026-11-30');
FROM synthflow.duration_summary('2026-11-01', '2026-11-30', condition := type_of_call = 'inbound');
FROM synthflow.duration_summary_by('2026-11-01', '2026-11-30', model_id);
FROM synthflow.duration_summary_by('2026-01-01', '2026-12-31', date_trunc('month', day));
```

Counts add up over days and agents; shares and rates do not, so divide the sums.

Where `SYNTHFLOW_PII` is `hash` or `drop`,
{empty} are empty: they are computed from JSON, which
cannot be hashed and is left out. All other tables have the very numbers that they have with `keep`. A call whose
personal fields `forget` has emptied is missing from the same tables once its day is computed anew.

An agent is an AI: there is no hold and no work after the call, so the mean is the average call duration, and no
"average handle time". The API knows no queue, so there is no abandonment rate.

"""


def cell(text: object) -> str:
    """A value in a Markdown table."""
    return str(text).replace("|", "\\|").replace("\n", " ")


def code(text: str) -> str:
    """A text as code; empty where there is none."""
    return f"`{text}`" if text else ""


def source_of(column: Column) -> str:
    """Where a column comes from, if that has another name."""
    return f" From `{column.source}`." if column.source not in (None, column.name) else ""


def default_of(name: str) -> str:
    """The default of a setting, as it would be typed."""
    default = Settings.model_fields[name].default
    return "" if default in (None, (), PydanticUndefined) else str(default)


def settings_page() -> str:
    """docs/settings.md."""
    rows = [
        f"| `{variable(name)}` | {code(default_of(name)) or 'unset'} | {cell(field.description)} |"
        for name, field in Settings.model_fields.items()
    ]
    regions = "\n".join(f"* `{region}`: `{url}`" for region, url in REGION_URLS.items())
    return (
        f"# Settings\n\n{NOTE}"
        "Set them in the environment or in a file `.env` in the project's folder. The file wins, as it does for\n"
        "Dagster's own commands. An empty value is an unset one. A bad value, or a name that is none of these, is one\n"
        "clear line and nothing runs. In a `defs.yaml` they are [attributes](component.md), in Python arguments of\n"
        "[`Settings.of`](python.md), in lower case and without the prefix; then the environment is not read.\n\n"
        "| variable | default | meaning |\n|---|---|---|\n" + "\n".join(rows) + "\n\n"
        f"The regions' addresses:\n\n{regions}\n"
    )


def tables_page() -> str:
    """docs/tables.md."""
    parts = []
    for table in TABLES.values():
        rows = [
            f"| `{column.name}` | {column.sql_type} | {column.unit or ''} | {'yes' if column.personal else ''} | "
            f"{cell(column.description)}{source_of(column)} |"
            for column in table.columns
        ]
        grain = ", ".join(f"`{name}`" for name in table.grain)
        parts.append(
            f"## {table.qualified_name}\n\n{table.description}\n\nOne row for each {grain}.\n\n"
            "| column | type | unit | personal | meaning |\n|---|---|---|---|---|\n" + "\n".join(rows)
        )
    checks = [
        f"| `{one.table}` | `{one.name}` | {'yes' if one.blocking else ''} | {cell(one.description)} |"
        for one in (*CHECKS, *SCHEDULED_CHECKS)
    ]
    return (
        f"# Tables\n\n{NOTE}The asset `synthflow/NAME` is the table `synthflow.NAME`. Only `agents` has no asset of\n"
        "its own: each fetch brings it up to date.\n\n" + "\n\n".join(parts) + "\n\n## Checks\n\n"
        "Each is one SQL file in `synthflow_assets/quality/`. A blocking check keeps the metrics from being computed\n"
        "from wrong calls.\n\n| table | check | blocking | what is promised |\n|---|---|---|---|\n"
        + "\n".join(checks)
        + "\n"
    )


def metrics_page() -> str:
    """docs/metrics.md."""
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
    *most, last = (code(table.name) for table in METRICS_OF_PERSONAL_DATA)
    about = _ABOUT_METRICS.format(empty=f"{', '.join(most)} and {last}")
    return f"# Metrics\n\n{NOTE}{about}" + "\n\n".join(parts) + "\n"


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
        f"* Left out: {table.excluded[0].lower()}{table.excluded[1:]}\n"
        f"* Where something is missing: {table.nulls[0].lower()}{table.nulls[1:]}\n\n"
        "| column | definition | formula | unit |\n|---|---|---|---|\n" + "\n".join(rows)
    )


def sandbox_faults() -> str:
    """docs/faults.md."""
    rows = "\n".join(f"| `{name}` | {cell(effect)} |" for name, effect in FAULTS.items())
    return (
        f"# Faults of the sandbox\n\n{NOTE}"
        "`synthflow-assets sandbox --fault NAME=CHANCE` switches a misbehaviour on. A chance below 1 is a\n"
        "probability; from 1 on, the fault strikes the first so many requests and then never again.\n\n"
        f"| fault | what the sandbox does |\n|---|---|\n{rows}\n"
    )


def env_example() -> str:
    """.env.example."""
    lines = [
        "# Copy to .env and remove the # before what you set; only the key is needed.",
        "# It wins over the environment. docs/settings.md tells more.",
        "",
    ]
    for name, field in Settings.model_fields.items():
        # All commented: an empty line would erase what the environment sets.
        lines += [f"# {field.description}", f"# {variable(name)}={default_of(name)}", ""]
    return "\n".join(lines[:-1]) + "\n"


PAGES = {
    "docs/settings.md": settings_page,
    "docs/tables.md": tables_page,
    "docs/metrics.md": metrics_page,
    "docs/faults.md": sandbox_faults,
    ".env.example": env_example,
}


def main() -> int:
    """Write or check every page; the number of pages that are not up to date."""
    stale = 0
    for name, make in PAGES.items():
        path, wanted = ROOT / name, make()
        found = path.read_text(encoding="utf-8") if path.exists() else ""
        if found == wanted:
            continue
        if "--check" in sys.argv:
            stale += 1
            print(f"{name} does not follow from the code any more; run: make docs")
            print("\n".join(list(difflib.unified_diff(found.splitlines(), wanted.splitlines(), lineterm="", n=0))[:10]))
        else:
            path.write_text(wanted, encoding="utf-8")
            print(f"wrote {name}")
    return stale


if __name__ == "__main__":
    sys.exit(main())
