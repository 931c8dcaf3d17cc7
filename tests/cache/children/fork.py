"""Fork while another thread holds the locks of every store and handle; parent and child must both go on."""

# ruff: noqa: T201 - a child tells its parent through its standard output

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import threading
import warnings

from instructor.cache import AutoCache, BaseCache, DiskCache, handle
from instructor.cache import sqlite_file as disks
from instructor.cache.entry import Entry, Origin
from instructor.cache.handle import handle_of


class Plain(BaseCache):
    """Runs in worker threads, which the child does not have."""

    def get(self, key: str) -> str:
        return "plain"

    def set(self, key: str, value: str, ttl: int | None = None) -> None: ...


class Coroutine(BaseCache):
    """Runs in a loop thread, which the child does not have."""

    async def get(self, key: str) -> str:
        return "coroutine"

    async def set(self, key: str, value: str, ttl: int | None = None) -> None: ...


memory, plain, coroutine = AutoCache(), Plain(), Coroutine()
disk = DiskCache(tempfile.mkdtemp())


def use_all(name: str) -> None:
    memory.keep(Entry(name, (), b"", Origin("", ""), 1.0))
    assert memory.find(name) is not None
    assert handle_of(plain).read("a") == "plain"
    assert handle_of(coroutine).read("a") == "coroutine"
    disk.set(name, name)
    assert disk.get(name) == name.encode()
    for store in (memory, plain, coroutine, disk):
        handle_of(store).count(misses=1)


use_all("before")
locks = [
    memory._lock,
    handle._making,
    disks._opening,
    *(handle_of(s)._lock for s in (memory, plain, coroutine, disk)),
]
locks += [handle_of(plain)._runner.get_workers()._lock, handle_of(coroutine)._runner.get_loop()._lock]
held, release = threading.Event(), threading.Event()


def hold() -> None:
    with contextlib.ExitStack() as stack:
        for lock in locks:
            stack.enter_context(lock)
        held.set()
        release.wait()


holder = threading.Thread(target=hold)
holder.start()
held.wait()
warnings.simplefilter("ignore", DeprecationWarning)  # forking with threads is what is tested
parents_connection = disk._connect()
child = os.fork()
if child == 0:
    assert disk._connect() is not parents_connection
    use_all("child")
    assert handle_of(AutoCache()) is not None
    print("child ok", flush=True)
    os._exit(0)
release.set()
holder.join()
_, status = os.waitpid(child, 0)
use_all("parent")
assert disk.get("child") == b"child"
print("parent ok", flush=True)
sys.exit(status)
