"""Take the screenshot of the report for the docs; with --check, fail if the report has changed since.

The calls are fetched over HTTP from the sandbox, which generates the same calls for the same days.
"""

import datetime as dt
import hashlib
import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from synthflow_assets.api.client import SynthflowClient  # noqa: E402
from synthflow_assets.loading import FailedPartition, load_calls, resolve_agents  # noqa: E402
from synthflow_assets.metrics import compute_metrics  # noqa: E402
from synthflow_assets.report import write_report  # noqa: E402
from synthflow_assets.report.previews.worker import compress_png  # noqa: E402
from synthflow_assets.sandbox.config import SandboxConfig  # noqa: E402
from synthflow_assets.sandbox.server import Sandbox  # noqa: E402
from synthflow_assets.settings import API_KEY_VARIABLE, Settings, VariableSecret  # noqa: E402
from synthflow_assets.warehouse.connection import Warehouse  # noqa: E402

PICTURE = ROOT / "docs" / "images" / "report.png"
RECORD = PICTURE.with_suffix(".inputs")
FIRST, LAST = dt.date(2026, 8, 31), dt.date(2026, 10, 29)
SHOWN_DAYS = 30
SIZE = {"width": 1280, "height": 1385}


def inputs() -> str:
    """Return a hash of everything that the picture depends on: the report, the sandbox's calls, and this script."""
    package = ROOT / "synthflow_assets"
    sources = [path for path in (package / "report").rglob("*") if path.suffix in {".py", ".sql", ".js", ".css", ".j2"}]
    digest = hashlib.sha256()
    calls = [package / "sandbox" / name for name in ("calls.py", "characters.py", "conversations.py")]
    for path in sorted([*sources, *calls, Path(__file__)]):
        digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return digest.hexdigest() + "\n"


def write_sandbox_report(folder: Path) -> Path:
    """Land two months of the sandbox's calls and return the path of a report on the second."""
    days = [FIRST + dt.timedelta(days=number) for number in range((LAST - FIRST).days + 1)]
    with Sandbox(SandboxConfig(agents=5, calls_per_day=140)) as sandbox:
        os.environ[API_KEY_VARIABLE] = sandbox.api.config.api_key
        settings = Settings.of(api_key=VariableSecret(API_KEY_VARIABLE), base_url=sandbox.url)
        warehouse = Warehouse(str(folder / "warehouse.duckdb"))
        with SynthflowClient.from_settings(settings) as client:
            agents = resolve_agents(client, settings).agents
            landed = list(load_calls(client, warehouse, settings, agents, days, log=print))
    if failed := [str(one) for one in landed if isinstance(one, FailedPartition)]:
        raise SystemExit(failed[0])
    with warehouse.connect() as connection:
        compute_metrics(connection, days, settings)
    made_at = dt.datetime.combine(LAST + dt.timedelta(days=1), dt.time(5, 10), dt.UTC)
    first = LAST - dt.timedelta(days=SHOWN_DAYS - 1)
    return write_report(warehouse, settings, folder / "report.html", first, LAST, made_at=made_at).path


def main() -> int:
    """Return the exit code: 1 if --check finds an outdated picture."""
    if "--check" in sys.argv:
        if RECORD.exists() and RECORD.read_text(encoding="utf-8") == inputs():
            return 0
        print(f"{PICTURE.relative_to(ROOT)} is outdated; run: make picture")
        return 1
    from tests.browser import chromium

    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        page = browser.new_page(viewport=SIZE)
        page.goto(write_sandbox_report(Path(folder)).as_uri())
        page.wait_for_selector("body[data-drawn-in-ms]")
        PICTURE.parent.mkdir(parents=True, exist_ok=True)
        PICTURE.write_bytes(compress_png(page.screenshot()))
    RECORD.write_text(inputs(), encoding="utf-8")
    print(f"wrote {PICTURE.relative_to(ROOT)}, {PICTURE.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
