"""The thin Dagster shell around the plain code: assets, checks, partitions, schedules, resources."""
