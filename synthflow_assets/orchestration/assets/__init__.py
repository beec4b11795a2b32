"""The assets: one module for each step of a run, and `steps`, which they have in common."""
