"""The statements of landing."""
