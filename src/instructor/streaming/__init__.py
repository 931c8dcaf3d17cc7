"""Streaming: reading an answer while it is written, and showing what is complete of it.

`done` and `not_null` are the rules that a response model may put on its fields.
"""

from instructor.streaming.rules import done, not_null

__all__ = ["done", "not_null"]
