"""The alert sensor, and the channels that it sends to. It exists only if a channel is set."""
