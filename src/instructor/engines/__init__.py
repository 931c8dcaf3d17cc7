"""Engines: work in groups, done by the workers of somebody else's cluster."""
