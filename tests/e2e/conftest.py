"""An environment with the wheel, and servers that end with their test."""

import site
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.processes import BIN, ROOT, Server
from tests.forks import COMMANDS, Forks


@pytest.fixture(scope="session")
def wheel_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a fresh environment that the wheel is installed in.

    It finds the dependencies in the environment of the tests, but this package only as the wheel.
    """
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    [wheel] = folder.glob("*.whl")
    venv.create(folder / "venv", with_pip=False)
    made = folder / "venv" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(made), "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True)
    [packages] = (folder / "venv" / "lib").glob("python3.*/site-packages")
    for found in (path for packages_here in site.getsitepackages() for path in Path(packages_here).iterdir()):
        # Without .pth files, one of which is of the editable install. `dg` imports each plugin that is installed:
        # dagster_dbt, which the wheel does not need, takes longer than most commands.
        if found.suffix != ".pth" and not found.name.startswith(("dagster_dbt", "synthflow_assets")):
            (packages / found.name).symlink_to(found)
    # While Python imports Dagster, a fifth of the time goes into the search for garbage.
    (packages / "sitecustomize.py").write_text("import gc\ngc.set_threshold(50_000)\n")
    return made


@pytest.fixture(scope="session")
def wheel_forks(wheel_python: Path) -> Iterator[Forks]:
    """Starts processes of that environment without importing its modules again."""
    started = Forks(wheel_python, COMMANDS)
    yield started
    started.stop()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers; all are stopped at the end."""
    with ExitStack() as stack:
        logs = (tmp_path / f"server{number}.log" for number in range(10))

        def start_one(folder: Path, *command: str, env: dict[str, str], bin: Path = BIN) -> Server:  # noqa: A002
            server = Server([str(bin / command[0]), *command[1:]], folder, env, next(logs))
            stack.callback(server.stop)
            return server

        yield start_one
