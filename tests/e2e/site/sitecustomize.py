"""Python imports this module when it starts. It shortens intervals and starts of Dagster that no setting shortens."""

import gc
import sys

gc.set_threshold(50_000)  # while Dagster is imported, a fifth of the time goes into the search for garbage

if "dagster._daemon" in sys.orig_argv[:3]:  # `dg dev` starts it by `python -m dagster._daemon`
    from tests.forks import shorten_intervals

    shorten_intervals()

if sys.orig_argv[2:5] == ["dagster", "api", "grpc"]:  # `dg dev` starts it by `python -m dagster api grpc`
    from tests.forks import COMMANDS, fork_what_is_spawned, import_modules

    import_modules(COMMANDS)
    fork_what_is_spawned()
