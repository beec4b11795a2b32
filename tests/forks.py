"""Processes forked from one that has imported what they need, because importing Dagster takes longer than most tests.

Run as a script, this module imports the modules that its arguments name. Then it forks a process for each line of JSON
that it reads. The script itself opens no connection, because those of DuckDB and gRPC must not be forked.
"""

import atexit
import contextlib
import fcntl
import gc
import importlib
import importlib.metadata
import inspect
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Sequence
from multiprocessing import context, forkserver, util
from pathlib import Path
from typing import Any, NoReturn

# What `dg` and the definitions import. The definitions themselves read settings, so each process imports them.
COMMANDS = (
    "dagster._cli.asset",
    "dagster._cli.job",
    "dagster._core.execution.plan.active",
    "dagster._core.instance.factory",
    "dagster._core.storage.local_compute_log_manager",
    "dagster._core.storage.sqlite_storage",
    "dagster._grpc.server",
    "dagster.components.core.load_defs",
    "dagster.components.list",
    "dagster_dg_cli.cli",
    "dagster_dg_cli.cli.check",
    "dagster_dg_cli.cli.dev",
    "dagster_dg_cli.cli.labs",
    "dagster_dg_cli.cli.launch",
    "dagster_dg_cli.cli.list",
    "jinja2",
    "pandas",
    "synthflow_assets.api.client",
    "synthflow_assets.cli",
    "synthflow_assets.loading",
    "synthflow_assets.local",
    "synthflow_assets.orchestration.build",
    "synthflow_assets.orchestration.component",
    "synthflow_assets.orchestration.instance.event_log",
    "tomlkit",
    "upath.implementations.local",
)

SCHEDULE_SECONDS = 20

# How many processes of Python a command starts by `python -m`.
STARTED_BY = {
    ("synthflow-assets", "demo"): 1,
    ("synthflow-assets", "dev"): 1,
    ("dagster_dg_cli.cli", "dev"): 3,  # a code server's proxy, the webserver and the daemon
    ("dagster", "code-server"): 1,
    ("dagster-daemon", "run"): 1,  # its code server, unless the workspace names one that runs
}


class Forks:
    """The script as a process, and the processes that it forks.

    Args:
        python: the interpreter of the environment whose modules are imported.
        modules: what to import before forking.
    """

    def __init__(self, python: Path, modules: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            [str(python), "-P", __file__, *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._ask() == "ready"

    def call(self, function: str, argument: Any, output: Path) -> int:
        """Start a process that calls `module:function` with an argument. Returns its id."""
        return int(self._ask(function=function, argument=argument, output=str(output)))

    def command(self, command: Sequence[str], folder: Path, env: dict[str, str], output: Path) -> int:
        """Start a process that does what the command would do in a folder. Returns its id.

        Args:
            command: `python -m` with a module, or a console script of the environment, and its arguments.
            folder: the working directory.
            env: the whole environment.
            output: the file for what the process prints.
        """
        return int(self._ask(command=list(command), folder=str(folder), env=env, output=str(output)))

    def run(self, folder: Path, *command: str, env: dict[str, str] | None = None, code: int = 0) -> str:
        """Run a command in a folder to its end; its output."""
        with tempfile.TemporaryDirectory() as kept:
            output = Path(kept, "output")
            ended = self.exit_code(self.command(command, folder, env or dict(os.environ), output))
            said = output.read_text(encoding="utf-8")
        assert ended == code, said
        return said

    def exit_code(self, child: int, seconds: float = 600) -> int:
        """Wait for the end of a process. Returns its exit code, or the number of its signal as a negative one."""
        deadline = time.monotonic() + seconds
        while (code := self.poll(child)) is None:
            assert time.monotonic() < deadline, f"process {child} has not ended after {seconds:.0f} s"
            time.sleep(0.05)  # each look wakes two processes
        return code

    def poll(self, child: int) -> int | None:
        """Return the exit code of a process that has ended; it must not be asked for again."""
        answer = self._ask(ended=child)
        return None if answer == "no" else int(answer)

    def stop(self) -> None:
        """End the script and all processes of its session."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with self._process:  # closes the pipes, and waits
            pass

    def _ask(self, **question: Any) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if question:
            print(json.dumps(question), file=self._process.stdin, flush=True)
        return self._process.stdout.readline().strip()


def fork_what_is_spawned() -> None:
    """Fork what `multiprocessing` would spawn in this process, with all modules that it has imported so far.

    Dagster's code server spawns a process for each run, and a run one for each step. They would import Dagster again.
    Call it before the process opens connections or starts threads.
    """
    context._concrete_contexts["spawn"] = context._concrete_contexts["forkserver"]  # type: ignore[attr-defined]
    spawn = util.spawnv_passfds
    util.spawnv_passfds = lambda _, arguments, fds: fork_script(arguments[-1], fds)
    try:
        forkserver.ensure_running()
    finally:
        util.spawnv_passfds = spawn


def fork_script(script: str, fds: Sequence[int]) -> int:
    """Fork a process that runs a script, as `python -c` would, with some file descriptors. Returns its id."""
    if child := os.fork():
        return child
    for number in map(int, os.listdir("/dev/fd")):  # noqa: PTH208
        if number > 2 and number not in fds:
            with contextlib.suppress(OSError):  # the folder itself
                os.close(number)
    try:
        exec(script, {})  # noqa: S102
    finally:
        os._exit(0)


def fork_what_is_executed(count: int) -> None:
    """Fork the first processes that this process would start by `python -m`, because they would import Dagster again.

    They are forked now, and wait until they are needed. Call it before the process opens connections or starts threads.
    """
    spares: list[tuple[int, socket.socket]] = []
    for _ in range(count):
        ours, theirs = socket.socketpair()
        if child := os.fork():
            theirs.close()
            spares.append((child, ours))
        else:
            for left in (ours, *(other for _, other in spares)):
                left.close()
            do_what_is_asked(theirs)
    execute = subprocess.Popen._execute_child  # type: ignore[attr-defined]

    def fork_or_execute(process: Any, args: Sequence[str], *others: Any) -> None:
        given = inspect.signature(execute).bind(process, args, *others).arguments
        has_pipes = {given["p2cread"], given["c2pread"], given["errread"]} != {-1}
        if not spares or has_pipes or list(args[:2]) != [sys.executable, "-m"]:
            execute(process, args, *others)
            return
        process.pid, asking = spares.pop()
        process._child_created = True
        fds = {number: number for number in given["pass_fds"]}
        fds |= {to: fd for to, fd in ((1, given["c2pwrite"]), (2, given["errwrite"])) if fd != -1}
        question = {
            "command": ["python", *args[1:]],
            "folder": str(given["cwd"] or Path.cwd()),
            "env": dict(os.environ if given["env"] is None else given["env"]),
            "session": given["start_new_session"],
            "fds": list(fds),
        }
        with asking:
            socket.send_fds(asking, [b"."], list(fds.values()))
            asking.sendall(json.dumps(question).encode() + b"\n")
            assert asking.recv(1), "the forked process has ended"

    subprocess.Popen._execute_child = fork_or_execute  # type: ignore[attr-defined]


def do_what_is_asked(asked: socket.socket) -> NoReturn:
    """Wait for a command and do it, with the open files of the process that asked; end with that process."""
    dot, received, *_ = socket.recv_fds(asked, 1, 10)
    if not dot:
        os._exit(0)
    with asked.makefile() as lines:
        question = json.loads(lines.readline())
    if question["session"]:
        os.setsid()
    asked.sendall(b".")
    asked.close()
    # Above all numbers that they will have.
    copies = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 100) for fd in received]
    for fd in received:
        os.close(fd)
    for copy, number in zip(copies, question["fds"], strict=True):
        os.dup2(copy, number)
        os.close(copy)
    do_and_end(question)


def shorten_intervals() -> None:
    """Shorten what Dagster's daemon waits for, and has no setting for."""
    from dagster._core.run_coordinator.queued_run_coordinator import QueuedRunCoordinator
    from dagster._daemon import controller
    from dagster._scheduler import scheduler

    controller.DEFAULT_DAEMON_INTERVAL_SECONDS = 2  # between looks at the backfills; 30 by default
    QueuedRunCoordinator.dequeue_interval_seconds = 1  # type: ignore[method-assign, assignment]  # 5 by default
    scheduler.SECONDS_IN_MINUTE = SCHEDULE_SECONDS  # between looks at the schedules


def keep_connections() -> None:
    """Keep Dagster's connections to PostgreSQL, as its webserver does; by default, each query opens a new one.

    To start a process of PostgreSQL takes ten times as long as a query.
    """
    from sqlalchemy import pool

    class Kept(pool.QueuePool):
        def __init__(self, creator: Any, **others: Any) -> None:
            super().__init__(creator, pool_size=2, max_overflow=-1, **others)

    pool.NullPool = Kept  # type: ignore[assignment, misc]


def leave_out_other_components() -> None:
    """Keep Dagster from importing and describing the components of other packages, each time it loads a `defs` folder.

    That takes longer than most commands, above all for dagster_dbt.
    """
    from dagster.components.core import package_entry

    found = package_entry.get_entry_points_from_python_environment
    package_entry.get_entry_points_from_python_environment = lambda group: [
        entry_point for entry_point in found(group) if entry_point.name == "synthflow_assets"
    ]


def answer(text: object) -> None:
    """Send a line to the test."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def become(question: dict[str, Any]) -> None:
    """Do in a forked process what was asked for, with its output in the file that was asked for."""
    if "output" in question:
        output = os.open(question["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: PTH123, SIM115
    if "function" in question:
        module, name = question["function"].split(":")
        getattr(importlib.import_module(module), name)(question["argument"])
        return
    os.chdir(question["folder"])
    os.environ.clear()
    os.environ.update(question["env"])
    name, *arguments = question["command"]
    is_module = name == "python"
    if is_module:
        _, name, *arguments = arguments
    leave_out_other_components()
    if name in ("dagster-daemon", "dagster._daemon"):
        shorten_intervals()
    if "DAGSTER_PG_DB" in os.environ:
        keep_connections()
    fork_what_is_executed(STARTED_BY.get((name, *arguments[:1]), 0))  # type: ignore[arg-type]
    fork_what_is_spawned()
    paths = [path for path in question["env"].get("PYTHONPATH", "").split(os.pathsep) if path]
    if is_module:
        sys.path[:0] = ["", *paths]
        sys.argv = [name, *arguments]
        runpy.run_module(name, run_name="__main__", alter_sys=True)
        return
    sys.path[:0] = paths
    sys.argv = [str(Path(sys.executable).with_name(name)), *arguments]
    [script] = importlib.metadata.entry_points(group="console_scripts", name=name)
    sys.exit(script.load()())


def do_and_end(question: dict[str, Any]) -> NoReturn:
    """Do what was asked for, and end the process, without the destructors of libraries whose threads are not forked."""
    code = 0
    try:
        become(question)
    except SystemExit as ending:  # its code may be a message
        code = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
        if isinstance(ending.code, str):
            print(ending.code, file=sys.stderr)  # noqa: T201
    except BaseException:  # noqa: BLE001
        sys.excepthook(*sys.exc_info())  # which the definitions replace
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]  # waits for the threads of the process
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(code)


def import_modules(names: Sequence[str]) -> None:
    """Import modules for the processes to fork, which then look for no garbage in them: that copies their memory."""
    gc.disable()
    for name in names:
        importlib.import_module(name)
    gc.freeze()
    gc.set_threshold(50_000)  # for what the processes import; a fifth of that time would go into the search for garbage
    gc.enable()
    # Python 3.12 and later warn of threads. Those of the imported libraries only wait for work.
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)


def main() -> None:
    """Import the modules, and answer each line of standard input."""
    import_modules(sys.argv[1:])
    answer("ready")
    while line := sys.stdin.readline():
        question = json.loads(line)
        if child := question.get("ended"):
            ended, status = os.waitpid(child, os.WNOHANG)
            answer(os.waitstatus_to_exitcode(status) if ended else "no")
        elif child := os.fork():
            answer(child)
        else:
            do_and_end(question)


if __name__ == "__main__":
    main()
