"""This package beside what people would pick instead: the same calls from the same sandbox, in one run."""
