"""`from_provider` under a path of 1.x."""

from instructor.factory import from_provider

__all__ = ["from_provider"]
