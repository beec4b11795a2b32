"""The wheel, its command, and a folder with nothing in it: demo, home and dev."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from synthflow_assets.local import summarize_checks
from synthflow_assets.quality import CHECKS, SCHEDULED_CHECKS
from synthflow_assets.sandbox.server import Sandbox
from synthflow_assets.warehouse.connection import Warehouse
from tests.e2e.processes import (
    ASSET_COUNT,
    ROOT,
    Server,
    asset_count,
    environment,
    free_port,
    partition_counts,
    run_states,
    time_zones,
    wait_for_end_of_processes,
)
from tests.forks import Forks

CHECK_COUNT = len(CHECKS) + len(SCHEDULED_CHECKS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "empty"
    made.mkdir()
    return made


@pytest.mark.usefixtures("not_at_midnight")
def test_demo_then_dev_over_the_sandbox(
    folder: Path, wheel_python: Path, wheel_forks: Forks, start: Callable[..., Server], browser: Browser
) -> None:
    env = environment(SYNTHFLOW_EXPORT_DIR="leaked")
    # A key and settings of a real workspace must not leak into the demo.
    real = "SYNTHFLOW_API_KEY=real\nSYNTHFLOW_MODEL_IDS=real-agent\nSYNTHFLOW_TIMEZONE=Asia/Tokyo\n"
    (folder / ".env").write_text(real)
    first = wheel_forks.run(folder, "synthflow-assets", "demo", env=env)
    warehouse = Warehouse(str(folder / "data/sandbox/warehouse.duckdb"))
    calls = warehouse.read_frame("calls")
    assert f"The sandbox has {len(calls):,} calls in these days; {len(calls):,} landed" in first
    assert len(calls) > 100
    assert "synthflow.call_duration_daily" in first
    assert "synthflow.disconnect_reasons_daily" in first
    assert "synthflow-assets dev" in first
    days = warehouse.read_frame("call_loads")["day"].dt.date
    passed = f"{CHECK_COUNT} of {CHECK_COUNT} checks passed"
    assert passed in first
    with warehouse.connect() as connection:  # as after midnight, until the window's margin is over
        connection.execute("UPDATE call_loads SET settled = false WHERE day = $1", [days.max()])
    assert summarize_checks(warehouse, days.min(), days.max()) == passed
    page = browser.new_page()
    page.goto((folder / "data/sandbox/report.html").as_uri())
    page.wait_for_selector("body[data-drawn-in-ms]")
    assert page.inner_text("#headline-calls") == f"{len(calls):,}"

    second = wheel_forks.run(folder, "synthflow-assets", "demo", env=env)
    again = warehouse.read_frame("calls")
    assert again.drop(columns="loaded_at").equals(calls.drop(columns="loaded_at"))
    assert second.splitlines()[2:] == first.splitlines()[2:]
    assert sorted(path.name for path in folder.iterdir()) == [".env", "data"]
    assert sorted(path.name for path in (folder / "data").iterdir()) == ["sandbox"]

    (folder / ".env").write_text(real.replace("SYNTHFLOW_API_KEY=real", ""))  # without a key, `dev` uses the sandbox
    port = free_port()
    server = start(folder, "synthflow-assets", "dev", "--port", str(port), env=env, bin=wheel_python.parent)
    server.wait_for(f"http://127.0.0.1:{port}/server_info")
    assert asset_count(port) == ASSET_COUNT
    assert time_zones(port) == {"UTC"}
    assert run_states(port) == ["SUCCESS", "SUCCESS"]  # the demos
    assert partition_counts(port) == {"numPartitions": 7, "numMaterialized": 7}
    assert "SYNTHFLOW_API_KEY is not set, so Dagster runs over the sandbox API" in server.log.read_text()
    page = browser.new_page(viewport={"width": 1500, "height": 1800})
    page.goto(f"http://127.0.0.1:{port}/assets/synthflow/call_duration_daily")
    page.get_by_text("[Show Markdown]").first.click()
    page.wait_for_selector("img[src^='data:image/png']")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Plots").click()
    page.wait_for_selector("canvas")
    assert page.locator("canvas").count() >= 4
    page.close()
    server.kill_descendant("dagster._daemon")
    assert server.wait() == 1
    assert server.log.read_text().endswith("Error: Dagster ended by itself; see the messages above\n")
    wait_for_end_of_processes(folder)


def test_home_then_a_run(
    folder: Path, wheel_python: Path, wheel_forks: Forks, start_sandbox: Callable[..., Sandbox]
) -> None:
    sandbox = start_sandbox(agents=1)
    (folder / ".env").write_text(f"SYNTHFLOW_API_KEY=sandbox-key\nSYNTHFLOW_BASE_URL={sandbox.url}\n")
    # Runs that started at once on a fresh home failed while each made its storages; `home` makes them one at a time.
    home, outputs = folder / "data/dagster", [folder.parent / f"home{number}" for number in range(4)]
    at_once = [wheel_forks.command(("synthflow-assets", "home"), folder, environment(), one) for one in outputs]
    assert [wheel_forks.exit_code(child) for child in at_once] == [0] * 4
    assert {output.read_text().strip() for output in outputs} == {str(home)}
    [packages] = wheel_python.parents[1].glob("lib/python3.*/site-packages")
    for name in ("dagster.yaml", "workspace.yaml"):
        assert (home / name).resolve() == (packages / "synthflow_assets" / name).resolve()
        assert (home / name).read_bytes() == (ROOT / "synthflow_assets" / name).read_bytes()
    assert (home / "history/runs/index.db").exists()
    assert (home / "schedules/schedules.db").exists()

    launch = ("-m", "dagster_dg_cli.cli", "launch", "-m", "synthflow_assets.definitions", "--partition", "2026-03-10")
    env = environment(DAGSTER_HOME=str(home))
    wheel_forks.run(folder, "python", *launch, "--assets", "synthflow/calls", env=env)
    assert len(Warehouse(str(folder / "data/warehouse.duckdb")).read_frame("calls")) > 0


def test_a_home_whose_environment_was_removed_is_linked_anew(folder: Path, wheel_forks: Forks) -> None:
    home = folder / "data/dagster"
    home.mkdir(parents=True)
    (home / "dagster.yaml").symlink_to(folder / "removed")
    (home / "workspace.yaml").write_text("load_from: []\n")
    wheel_forks.run(folder, "synthflow-assets", "home")
    assert (home / "dagster.yaml").read_bytes() == (ROOT / "synthflow_assets" / "dagster.yaml").read_bytes()
    assert (home / "workspace.yaml").read_text() == "load_from: []\n"
