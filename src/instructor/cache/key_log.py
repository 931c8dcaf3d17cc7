"""Which keys were asked for in which order, kept in a file, so that other sizes and policies can be tried on them."""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol, Self

from instructor.cache.eviction import Policy
from instructor.exceptions import CacheError
from instructor.hooks import CacheEvent

_SHOWN = 24
"""Digits of a key that are written: enough to tell any two apart."""

_DIGITS = frozenset("0123456789abcdef")

_BATCH = 256


class Emitter(Protocol):
    """A client, as far as it is needed here."""

    def on(self, name: str, handler: Callable[..., object], /) -> object:
        """Call a handler for each event of a name."""
        ...


class KeyLog:
    """Writes down the key of each look-up of the clients that it follows, a line for each hit and each miss.

    ``instructor cache simulate`` replays the file under other sizes and policies. It holds no prompt and no answer.
    Lines are written some hundred at a time, when the log is closed, and at the end of the process. Several processes
    may write to one file.

    Args:
        path: The file; lines are added to what is there.

    Example:
        >>> client = instructor.from_provider("offline/demo", cache=instructor.AutoCache())
        >>> with KeyLog("keys.log") as log:
        ...     log.follow(client)
        ...     for _ in range(3):
        ...         answer = client.create(response_model=int, messages=[{"role": "user", "content": "Anna is 25."}])
        >>> len(Path("keys.log").read_text().splitlines())
        3
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).absolute()
        self._lines: list[str] = []
        self._lock = threading.Lock()
        _logs.add(self)

    def follow(self, client: Emitter) -> None:
        """Write down the look-ups of a client from now on. Each hit takes a microsecond longer."""
        client.on("cache:hit", self.note)
        client.on("cache:miss", self.note)

    def note(self, event: CacheEvent) -> None:
        """Write down one event."""
        if event.key is not None:
            self._lines.append(event.key[:_SHOWN])
            if len(self._lines) >= _BATCH:
                self.flush()

    def flush(self) -> None:
        """Write what was noted to the file."""
        with self._lock:
            lines, self._lines = self._lines, []
            if lines:
                _append(self.path, "".join(f"{line}\n" for line in lines).encode())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()


def _append(path: Path, data: bytes) -> None:
    """Add whole lines in one write, so that those of other processes don't stand among them."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)


_logs: weakref.WeakSet[KeyLog] = weakref.WeakSet()


def _flush_all() -> None:
    for log in list(_logs):
        log.flush()


atexit.register(_flush_all)


def read_log(path: str | os.PathLike[str]) -> list[str]:
    """Read the keys of a log, in their order. CacheError if it can't be read, or holds none."""
    try:
        keys = Path(path).read_text(encoding="ascii").split()
    except OSError as error:
        raise CacheError(f"The key log {path} can't be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        keys = []
    if not keys or not _DIGITS.issuperset("".join(keys)):
        raise CacheError(f"{path} isn't a key log, or it is empty. Write one with instructor.cache.KeyLog.")
    return keys


def count_hits(policy: Policy, keys: Iterable[str], size: int) -> int:
    """How many look-ups a store of `size` entries would have served, had it stored the answer to each miss."""
    hits = 0
    for name in keys:
        if name in policy:
            hits += 1
            policy.use(name)
            continue
        policy.add(name)
        if len(policy) > size:
            policy.drop(policy.choose())
    return hits
