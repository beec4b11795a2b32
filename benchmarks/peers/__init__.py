"""The alternatives: each is used as its own documentation recommends, in an environment of its own.

All read `BENCH_URL`, `BENCH_KEY`, `BENCH_MODELS`, `BENCH_FROM`, `BENCH_TO` (days, inclusive) and write `BENCH_FILE`.
"""
