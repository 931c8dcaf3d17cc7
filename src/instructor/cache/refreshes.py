"""Which stored answers are being replaced in the background, so that each is asked for once."""

from __future__ import annotations

import math

from instructor.locks import make_lock, reset_after_fork

MOST = 16
"""Refreshes of one store that run at once in a process. More stale answers than that are served as they are."""

PAUSE = 10.0
"""Seconds after a refresh that failed before the next one of the same key."""


class Refreshes:
    """The refreshes of one store, over all clients in this process.

    Example:
        >>> refreshes = Refreshes()
        >>> refreshes.begin("key", 0.0), refreshes.begin("key", 0.0)
        (True, False)
        >>> refreshes.end("key", 0.0, well=True)
        >>> refreshes.begin("key", 0.0)
        True
    """

    def __init__(self) -> None:
        self._lock = make_lock()
        self._blocked: dict[str, float] = {}
        reset_after_fork(self)

    def begin(self, key: str, now: float) -> bool:
        """Whether the caller should refresh a key. If so it must call `end`, whatever happens."""
        with self._lock:
            if self._blocked.get(key, now) > now:
                return False
            running = {other: until for other, until in self._blocked.items() if until > now}
            if sum(until == math.inf for until in running.values()) >= MOST:
                return False
            self._blocked = {**running, key: math.inf}
            return True

    def end(self, key: str, now: float, *, well: bool) -> None:
        """Let the key be refreshed again: at once, or after a pause if it failed."""
        with self._lock:
            self._blocked[key] = now if well else now + PAUSE

    def reset(self) -> None:
        """Forget all: in a forked child nobody runs them."""
        self._blocked = {}
