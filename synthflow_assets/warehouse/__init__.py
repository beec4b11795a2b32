"""The warehouse: table definitions, connections, and landing of calls, in plain Python and SQL without Dagster."""
