"""What a forked child needs: locks that are free, and a way to begin anew."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import Any

_locks: weakref.WeakSet[Any] = weakref.WeakSet()


def make_lock() -> threading.Lock:
    """Make a lock that is free in a forked child, even if a thread of the parent held it at the moment of the fork.

    Only the forking thread lives on in the child, so no thread there would ever release the lock. What it guards must
    be usable wherever its holder may be interrupted, as a dict or a counter is.
    """
    lock = threading.Lock()
    _locks.add(lock)
    return lock


def after_fork(callback: Callable[[], None]) -> None:
    """Have `callback` called in every forked child, before anything else runs there; on Windows nothing forks.

    Use it for what a child must not share with its parent: threads, connections, calls under way. The callbacks run
    in the order of their registration, and stay registered for as long as the process lives.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=callback)


def _free_all() -> None:
    for lock in list(_locks):
        lock._at_fork_reinit()  # noqa: SLF001 - what the standard library does with its own locks


after_fork(_free_all)
