"""`python -m synthflow_assets` is the command `synthflow-assets`."""

from synthflow_assets.cli import main

main()
