"""The cache: stores, keys and entries.

Example:
    >>> from instructor import from_provider
    >>> from instructor.cache import DiskCache
    >>> client = from_provider("openai/gpt-6-luna", cache=DiskCache(directory=".cache"))
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from instructor.cache.cassette import CassetteCache
    from instructor.cache.copying import copy_entries
    from instructor.cache.key import make_cache_key
    from instructor.cache.key_log import KeyLog
    from instructor.cache.memory import AutoCache
    from instructor.cache.memory_cache import MemoryCache
    from instructor.cache.objects import FileSystemCache
    from instructor.cache.redis import RedisCache
    from instructor.cache.sealed import SealedCache
    from instructor.cache.sql import SqlCache
    from instructor.cache.sqlite import DiskCache
    from instructor.cache.stats import CacheStats
    from instructor.cache.store import BaseCache
    from instructor.cache.tiered import TieredCache
    from instructor.function.decorator import instructor_cache
else:
    from instructor.lazy import resolve_names

    __getattr__, __dir__ = resolve_names(
        __name__,
        {
            "AutoCache": "instructor.cache.memory",
            "BaseCache": "instructor.cache.store",
            "CacheStats": "instructor.cache.stats",
            "CassetteCache": "instructor.cache.cassette",
            "DiskCache": "instructor.cache.sqlite",
            "FileSystemCache": "instructor.cache.objects",
            "KeyLog": "instructor.cache.key_log",
            "MemoryCache": "instructor.cache.memory_cache",
            "RedisCache": "instructor.cache.redis",
            "SealedCache": "instructor.cache.sealed",
            "SqlCache": "instructor.cache.sql",
            "TieredCache": "instructor.cache.tiered",
            "copy_entries": "instructor.cache.copying",
            "instructor_cache": "instructor.function.decorator",
            "make_cache_key": "instructor.cache.key",
        },
    )

__all__ = [
    "AutoCache",
    "BaseCache",
    "CacheStats",
    "CassetteCache",
    "DiskCache",
    "FileSystemCache",
    "KeyLog",
    "MemoryCache",
    "RedisCache",
    "SealedCache",
    "SqlCache",
    "TieredCache",
    "copy_entries",
    "instructor_cache",
    "make_cache_key",
]
