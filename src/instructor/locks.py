"""Locks that a forked child finds open."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any

_locks: weakref.WeakSet[Any] = weakref.WeakSet()


def make_lock() -> threading.Lock:
    """A lock that is free in a forked child, though a thread of the parent held it at the moment of the fork.

    Only the forking thread lives on in the child, so nobody there would ever release it. What it guards must
    be usable at any point between two instructions of the holder, as a dict or a counter is.
    """
    lock = threading.Lock()
    _locks.add(lock)
    return lock


def _free_all() -> None:
    for lock in list(_locks):
        lock._at_fork_reinit()  # noqa: SLF001 - what the standard library does with its own locks


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_free_all)
