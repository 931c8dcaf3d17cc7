"""The engine: what happens in one call, and in which order."""
