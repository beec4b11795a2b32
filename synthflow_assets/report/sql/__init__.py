"""The questions that the report asks of the metric tables, each a `.sql` file."""
