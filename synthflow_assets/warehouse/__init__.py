"""Plain Python and SQL for the tables: what they are, how to open them, how calls land. Knows no Dagster."""
