"""What people would pick instead, each as its own documentation recommends, each in an environment of its own.

All read `BENCH_URL`, `BENCH_KEY`, `BENCH_MODELS`, `BENCH_FROM`, `BENCH_TO` (days, inclusive) and write `BENCH_FILE`.
"""
