"""Stores of the one server of a run, closed at the end of each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from instructor.cache.redis import RedisCache
from servers import Valkey

MakeStore = Callable[..., RedisCache]


@pytest.fixture
def make_store(valkey: Valkey) -> Iterator[MakeStore]:
    """Makes a store, as each process has one."""
    with ExitStack() as stores:

        def make(**settings: Any) -> RedisCache:
            return stores.enter_context(RedisCache(url=valkey.url, **settings))

        yield make
