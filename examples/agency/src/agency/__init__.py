"""An agency that serves several Synthflow workspaces."""
