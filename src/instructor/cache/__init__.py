"""The cache: stores, keys and entries.

Example:
    >>> from instructor import from_provider
    >>> from instructor.cache import DiskCache
    >>> client = from_provider("openai/gpt-4.1-mini", cache=DiskCache(directory=".cache"))
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from instructor.cache.decorator import instructor_cache
    from instructor.cache.key import make_cache_key
    from instructor.cache.memory import AutoCache
    from instructor.cache.redis import RedisCache
    from instructor.cache.sqlite import DiskCache
    from instructor.cache.store import BaseCache, CacheStats

__all__ = [
    "AutoCache",
    "BaseCache",
    "CacheStats",
    "DiskCache",
    "RedisCache",
    "instructor_cache",
    "make_cache_key",
]

_HOMES = {
    "AutoCache": "memory",
    "BaseCache": "store",
    "CacheStats": "store",
    "DiskCache": "sqlite",
    "RedisCache": "redis",
    "instructor_cache": "decorator",
    "make_cache_key": "key",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
