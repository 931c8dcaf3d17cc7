"""Typed, validated answers from any LLM provider, with a cache at its heart.

Example:
    >>> from instructor import from_provider
    >>> from instructor.cache import AutoCache
    >>> from pydantic import BaseModel
    >>> class User(BaseModel):
    ...     name: str
    ...     age: int
    >>> client = from_provider("offline/demo", cache=AutoCache())  # or "openai/gpt-6-luna", with OPENAI_API_KEY set
    >>> client.create(response_model=User, messages=[{"role": "user", "content": "Anna is 25."}])
    User(name='Anna', age=25)

The public names are listed below. Each is imported when it is first used, so importing the package takes milliseconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from instructor import cache, exceptions, hooks
    from instructor.cache import AutoCache, BaseCache, DiskCache, RedisCache
    from instructor.client import AsyncInstructor, Instructor
    from instructor.factory import from_anthropic, from_genai, from_openai, from_provider
    from instructor.function.decorator import instructor_cache
    from instructor.hooks import CacheEvent, HookName, Hooks
    from instructor.mode import Mode
    from instructor.providers.registry import register_provider
else:
    from instructor.lazy import resolve_names

    def _explain(name: str) -> str | None:
        from instructor.missing_names import explain_missing

        return explain_missing(name)

    __getattr__, __dir__ = resolve_names(
        __name__,
        {
            "AsyncInstructor": "instructor.client",
            "AutoCache": "instructor.cache",
            "BaseCache": "instructor.cache",
            "CacheEvent": "instructor.hooks",
            "DiskCache": "instructor.cache",
            "HookName": "instructor.hooks",
            "Hooks": "instructor.hooks",
            "Instructor": "instructor.client",
            "Mode": "instructor.mode",
            "RedisCache": "instructor.cache",
            "cache": "instructor.cache",
            "exceptions": "instructor.exceptions",
            "from_anthropic": "instructor.factory",
            "from_genai": "instructor.factory",
            "from_openai": "instructor.factory",
            "from_provider": "instructor.factory",
            "hooks": "instructor.hooks",
            "instructor_cache": "instructor.function.decorator",
            "register_provider": "instructor.providers.registry",
        },
        _explain,
    )

__version__ = "1.99.0"

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
    "cache",
    "exceptions",
    "from_anthropic",
    "from_genai",
    "from_openai",
    "from_provider",
    "hooks",
    "instructor_cache",
    "register_provider",
]
