"""Plain Python for Synthflow's HTTP API: knows no Dagster, no DuckDB, and nothing of what becomes of the calls."""
