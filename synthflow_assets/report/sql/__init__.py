"""The queries of the report, each a `.sql` file."""
