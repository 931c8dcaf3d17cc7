"""Typed, validated answers from any LLM provider, with a cache at its heart.

Example:
    >>> from instructor import from_provider
    >>> from instructor.cache import AutoCache
    >>> client = from_provider("openai/gpt-4.1-mini", cache=AutoCache())
    >>> user = client.create(response_model=User, messages=[{"role": "user", "content": "Anna is 25."}])

The public names are listed below and resolved on first use, so that importing the package costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from instructor.cache import AutoCache, BaseCache, DiskCache, RedisCache, instructor_cache
    from instructor.client import AsyncInstructor, Instructor
    from instructor.factory import from_anthropic, from_genai, from_openai, from_provider
    from instructor.hooks import CacheEvent, HookName, Hooks
    from instructor.mode import Mode

__version__ = "2.0.0"

__all__ = [
    "AsyncInstructor",
    "AutoCache",
    "BaseCache",
    "CacheEvent",
    "DiskCache",
    "HookName",
    "Hooks",
    "Instructor",
    "Mode",
    "RedisCache",
    "from_anthropic",
    "from_genai",
    "from_openai",
    "from_provider",
    "instructor_cache",
]

_HOMES = {
    "AsyncInstructor": "client",
    "AutoCache": "cache",
    "BaseCache": "cache",
    "CacheEvent": "hooks",
    "DiskCache": "cache",
    "HookName": "hooks",
    "Hooks": "hooks",
    "Instructor": "client",
    "Mode": "mode",
    "RedisCache": "cache",
    "from_anthropic": "factory",
    "from_genai": "factory",
    "from_openai": "factory",
    "from_provider": "factory",
    "instructor_cache": "cache",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
