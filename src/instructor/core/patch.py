"""`patch` under the path that upstream's users import it from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from instructor.patching import apatch, patch  # pyright: ignore[reportDeprecated]

InstructorChatCompletionCreate: TypeAlias = Callable[..., Any]
"""What ``patch(create=...)`` makes of a function."""
AsyncInstructorChatCompletionCreate: TypeAlias = Callable[..., Awaitable[Any]]
"""What ``patch(create=...)`` makes of a coroutine function."""

__all__ = ["AsyncInstructorChatCompletionCreate", "InstructorChatCompletionCreate", "apatch", "patch"]
