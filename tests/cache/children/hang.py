"""Leave a thread in a store that hangs, a coroutine that hangs, and a loop; then end."""

# ruff: noqa: T201 - a child tells its parent through its standard output

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading

from instructor.cache import BaseCache
from instructor.cache.handle import handle_of
from instructor.exceptions import CacheError


class Hanging(BaseCache):
    timeout = 0.05

    def get(self, key: str) -> str:
        threading.Event().wait()
        return ""

    def set(self, key: str, value: str, ttl: int | None = None) -> None: ...


class HangingCoroutine(Hanging):
    async def get(self, key: str) -> str:
        await asyncio.sleep(1000)
        return ""


logging.disable()
for store in (Hanging(), HangingCoroutine()):
    with contextlib.suppress(CacheError):
        handle_of(store).read("key")
    with contextlib.suppress(CacheError):
        asyncio.run(handle_of(store).read_async("key"))
print("done")
