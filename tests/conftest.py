"""Shared by all tests: the sandbox over HTTP, settings that point to it, a clean environment."""

import datetime as dt
import gc
import itertools
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from playwright.sync_api import Browser

from synthflow_assets.api import retries
from synthflow_assets.sandbox.config import DEFAULT_API_KEY, SandboxConfig
from synthflow_assets.sandbox.server import Sandbox
from synthflow_assets.settings import API_KEY_VARIABLE, PREFIX, Settings, VariableSecret
from synthflow_assets.warehouse.connection import Warehouse
from tests.browser import chromium_or_skip
from tests.forks import COMMANDS, Forks
from tests.writers import Writers

# An example may start a server, so time says nothing; what was found once is found again.
hypothesis_settings.register_profile("project", deadline=None, derandomize=True, print_blob=True)
hypothesis_settings.load_profile("project")

DAY = dt.date(2026, 3, 10)
# Folders and files whose tests start a browser or other processes, kill them, or land whole days in a file.
SLOW = {
    *("e2e", "lake", "orchestration", "report"),
    *("test_cli.py", "test_connection.py", "test_dbt.py", "test_doctor.py", "test_erasure.py", "test_files.py"),
    *("test_layers.py", "test_loading.py", "test_migration.py", "test_personal_data.py", "test_recordings.py"),
    *("test_startup.py", "test_type_changes.py"),
}

# Slurm's variable, which DuckDB reads before it counts the processors. With one thread, the small tables of tests take
# up to a third less processor time. Child processes inherit it.
THREADS_VARIABLE = "SLURM_CPUS_ON_NODE"
os.environ.setdefault(THREADS_VARIABLE, "1")

# The files that take longest. The files of a group run in one worker, because they use the same session fixtures.
LONGEST = (
    ("tests/e2e/test_dagster_dev.py", "tests/e2e/test_commands.py", "tests/e2e/test_crashes.py"),
    ("tests/e2e/test_empty_folder.py", "tests/e2e/test_projects.py"),
    ("tests/lake/test_many_writers.py", "tests/lake/test_server.py"),
    ("tests/report/test_page.py", "tests/report/test_numbers.py", "tests/report/test_today.py"),
)

# The search for garbage takes a tenth of the time of all tests. Imports make nearly none.
gc.set_threshold(100_000)

# As a shell's background job the tests would ignore Ctrl-C, and so would Dagster's servers, which they stop by it.
# Under `nohup`, they would ignore the end of the terminal.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One for each processor, and one more for slow tests, which often wait. Every worker collects all tests."""
    return (os.cpu_count() or 1) + (config.option.markexpr != "not slow")


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working directory of tests without `tmp_path`. A folder for each takes longer than most of these tests."""
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(autouse=True)
def clean_environment(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, shared_folder: Path
) -> Iterator[None]:
    """No setting, `.env` or Dagster home of the machine or of another test reaches a test."""
    before = dict(os.environ)
    for name in list(os.environ):
        if name.startswith((PREFIX, "DAGSTER_")):
            monkeypatch.delenv(name)
    own_folder = "tmp_path" in request.fixturenames
    monkeypatch.chdir(request.getfixturevalue("tmp_path") if own_folder else shared_folder)
    monkeypatch.setenv("DAGSTER_DISABLE_TELEMETRY", "1")
    yield
    # `.env` files are read into the environment, where monkeypatch does not look.
    os.environ.clear()
    os.environ.update(before)
    for left in shared_folder.iterdir():
        shutil.rmtree(left) if left.is_dir() else left.unlink()


@pytest.fixture(scope="session")
def empty_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a warehouse without rows. Tests that write copy it, because creating the tables takes longer."""
    path = tmp_path_factory.mktemp("empty") / "w.duckdb"
    with Warehouse(path).connect():
        return path


@pytest.fixture
def fast_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first wait before a retry is 5 ms instead of half a second."""
    monkeypatch.setattr(retries, "FIRST_WAIT_SECONDS", 0.005)


@pytest.fixture
def not_at_midnight() -> None:
    """If midnight UTC is near, wait for it: with it, the closed days change."""
    now = dt.datetime.now(dt.UTC)
    midnight = dt.datetime.combine(now.date() + dt.timedelta(days=1), dt.time(), dt.UTC)
    if midnight - now < dt.timedelta(minutes=2):
        time.sleep((midnight - now).total_seconds())


@pytest.fixture
def start_sandbox() -> Iterator[Callable[..., Sandbox]]:
    """Starts sandboxes with the given config; all are stopped at the end."""
    with ExitStack() as stack:

        def start(**config: Any) -> Sandbox:
            return stack.enter_context(Sandbox(SandboxConfig(**{"calls_per_day": 150, "agents": 2, **config})))

        yield start


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """Starts processes of this environment without importing its modules again."""
    started = Forks(Path(sys.executable), ("tests.writers", *COMMANDS))
    yield started
    started.stop()


@pytest.fixture
def writers(forks: Forks, tmp_path: Path) -> Iterator[Writers]:
    """Starts writers in processes of their own; all end with the test."""
    started = Writers(forks, tmp_path)
    yield started
    started.stop()


@pytest.fixture
def settings_for(tmp_path: Path, empty_file: Path) -> Callable[..., Settings]:
    """Settings for a sandbox, with a warehouse without rows in the test's folder."""
    warehouse = tmp_path / "warehouse.duckdb"

    def make(sandbox: Sandbox, **values: Any) -> Settings:
        if "warehouse" not in values and not warehouse.exists():
            shutil.copy(empty_file, warehouse)
        os.environ[API_KEY_VARIABLE] = DEFAULT_API_KEY  # removed by clean_environment
        defaults = {
            "api_key": VariableSecret(API_KEY_VARIABLE),
            "base_url": sandbox.url,
            "warehouse": str(warehouse),
        }
        return Settings.of(**{**defaults, **values})

    return make


# Of a module, not of the session: Playwright's event loop would be in the way of tests that start one of their own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium, or a skipped test."""
    with chromium_or_skip() as found:
        yield found


def pytest_collection_finish() -> None:
    """Search for garbage less often than usual, and not among what was imported."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--no-skips", action="store_true", help="A skipped test is a failure, as in CI.")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "slow: loads whole days, or starts a browser or other processes; not in `make test-fast`"
    )


def pytest_sessionfinish(session: pytest.Session) -> None:
    terminal = session.config.pluginmanager.get_plugin("terminalreporter")
    if session.config.getoption("--no-skips") and terminal and terminal.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not import slow tests that are not selected: every worker imports what it collects."""
    unselected = config.option.markexpr == "not slow" and collection_path.name in SLOW
    return True if unselected else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests of the folders and files in `SLOW`, and those that need a browser, and run them first."""
    for item in items:
        # Not the parts above: a clone may be in a folder of the name `lake`.
        if "browser" in getattr(item, "fixturenames", ()) or SLOW & set(item.path.relative_to(config.rootpath).parts):
            item.add_marker("slow")
    deal_out(items, workers=getattr(config, "workerinput", {"workercount": 1})["workercount"])


def deal_out(items: list[pytest.Item], workers: int) -> None:
    """Order the tests so that each worker begins with some of the slow files, and ends with fast tests.

    A long test that starts last keeps one worker busy while the others have ended. pytest-xdist gives each worker an
    equal number of consecutive tests. When a worker has none left, it steals the last ones of another worker.
    """
    slow: dict[str, list[pytest.Item]] = {file: [] for group in LONGEST for file in group}
    fast: list[pytest.Item] = []
    for item in items:
        if item.get_closest_marker("slow"):
            slow.setdefault(item.nodeid.split("::")[0], []).append(item)
        else:
            fast.append(item)
    worker_of = {file: number for number, group in enumerate(LONGEST) for file in group}
    dealt: list[list[pytest.Item]] = [[] for _ in range(workers)]
    for number, (file, tests) in enumerate(slow.items()):
        dealt[worker_of.get(file, number) % workers] += tests
    rest = iter(fast)
    for tests in dealt:
        tests.extend(itertools.islice(rest, max(0, len(items) // workers - len(tests))))
    items[:] = [*itertools.chain(*dealt), *rest]
