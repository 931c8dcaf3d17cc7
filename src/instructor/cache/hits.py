"""Hits, counted where they happen and in no other place."""

from __future__ import annotations

from collections import deque

from instructor.cache.entry import Entry
from instructor.locks import make_lock
from instructor.usage import Usage

_MOST_NOTED = 256
"""Hits that are noted before they are added up."""


class HitLog:
    """The hits of one client in one store, and what they saved.

    Both the client's counters and the store's are made of these logs.

    Attributes:
        note: Note what a hit saved. This is a deque's own method: it needs no lock and costs next to nothing.
    """

    __slots__ = ("_hits", "_lock", "_noted", "_seconds", "_tokens", "note")

    def __init__(self) -> None:
        self._noted: deque[tuple[float, Usage]] = deque()
        self._lock = make_lock()
        self._hits = self._tokens = 0
        self._seconds = 0.0
        self.note = self._noted.append

    def hit(self, entry: Entry) -> None:
        """Note a hit, and add up if many are noted."""
        # Not the entry itself, which would be kept alive, with an answer of any size.
        self.note((entry.seconds, entry.usage))
        if len(self._noted) >= _MOST_NOTED:
            self.totals()

    def totals(self) -> tuple[int, int, float]:
        """Hits, tokens saved and seconds saved so far.

        Only this removes from the deque, and under the lock, so no hit is lost or counted twice.
        """
        with self._lock:
            for _ in range(len(self._noted)):
                seconds, usage = self._noted.popleft()
                self._hits += 1
                self._tokens += usage.total_tokens
                self._seconds += seconds
            return self._hits, self._tokens, self._seconds
