"""What a forked child needs: locks that are free, and a way to begin anew."""

from __future__ import annotations

import contextlib
import gc
import os
import threading
import time
import weakref
from collections.abc import Callable, Generator
from typing import Any, Protocol

_locks: weakref.WeakSet[Any] = weakref.WeakSet()


class Resettable(Protocol):
    """Something that counts on threads of this process, or on their locks."""

    def reset(self) -> None:
        """Begin anew, without those threads."""
        ...


_resettable: weakref.WeakSet[Resettable] = weakref.WeakSet()


def make_lock() -> threading.Lock:
    """A lock that is free in a forked child, though a thread of the parent held it at the moment of the fork.

    Only the forking thread lives on in the child, so nobody there would ever release it. What it guards must
    be usable at any point between two instructions of the holder, as a dict or a counter is.
    """
    lock = threading.Lock()
    _locks.add(lock)
    return lock


def reset_after_fork(thing: Resettable) -> None:
    """Have ``thing.reset()`` called in a forked child, for as long as `thing` lives."""
    _resettable.add(thing)


def after_fork(callback: Callable[[], None]) -> None:
    """Have `callback` called in every forked child, before anything else runs there; on Windows nothing forks.

    Use it for what a child must not share with its parent: threads, connections, calls under way. The callbacks run
    in the order of their registration, and stay registered for as long as the process lives.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=callback)


def fork_between(lock: threading.Lock) -> None:
    """Have a fork wait for a moment at which nobody holds a lock of `make_lock`, for `LONGEST_WAIT` seconds at most."""
    _awaited.add(lock)


def fork_last(before: Callable[[], None], after: Callable[[], None]) -> None:
    """Have `before` called before each fork, when no other holds a lock of `fork_between`, and `after` on both sides."""
    _last.append((before, after))
    after_fork(after)


@contextlib.contextmanager
def without_collecting() -> Generator[None, None, None]:
    """Collect no garbage while the calls of other threads are looked at.

    Python 3.11 makes the frames of calls as they are looked at, and may collect garbage then. A finalizer that lets other
    threads go on meanwhile crashes the interpreter or stops it for ever (https://github.com/python/cpython/issues/106883).
    """
    with _looking:
        try:
            if gc.isenabled():
                _paused.add("gc")
                gc.disable()
            yield
        finally:
            _collect_again()


def _collect_again() -> None:
    if _paused:
        gc.enable()
        _paused.clear()


_looking = make_lock()
_paused: set[str] = set()


LONGEST_WAIT = 1.0
"""Seconds for which a fork waits at most."""

_last: list[tuple[Callable[[], None], Callable[[], None]]] = []


class _Held(threading.local):
    """What this thread holds while it forks."""

    locks: tuple[threading.Lock, ...] = ()


_awaited: weakref.WeakSet[threading.Lock] = weakref.WeakSet()
_held = _Held()


def _hold() -> None:
    until = time.monotonic() + LONGEST_WAIT
    _held.locks = ()
    for lock in list(_awaited):
        if lock.acquire(timeout=max(0.0, until - time.monotonic())):
            _held.locks += (lock,)
    for before, _ in _last:
        before()


def _let_go() -> None:
    for _, after in _last:
        after()
    for lock in _held.locks:
        lock.release()


def _begin_anew() -> None:
    for lock in list(_locks):
        lock._at_fork_reinit()  # noqa: SLF001 - what the standard library does with its own locks
    _collect_again()
    for thing in list(_resettable):
        thing.reset()


after_fork(_begin_anew)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_hold, after_in_parent=_let_go)
