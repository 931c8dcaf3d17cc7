"""Hits, counted where they happen and in no other place."""

from __future__ import annotations

from collections import deque

from instructor.cache.entry import Entry
from instructor.locks import make_lock

_MOST_NOTED = 256
"""Hits that are noted before they are added up; their entries live as long."""


class HitLog:
    """The hits of one client in one store, and what they saved.

    Both the client's counters and the store's are made of these logs.

    Attributes:
        note: Note a hit. This is a deque's own method: it takes an entry without a lock and costs next to nothing.
    """

    __slots__ = ("_hits", "_lock", "_noted", "_seconds", "_tokens", "note")

    def __init__(self) -> None:
        self._noted: deque[Entry] = deque()
        self._lock = make_lock()
        self._hits = self._tokens = 0
        self._seconds = 0.0
        self.note = self._noted.append

    def hit(self, entry: Entry) -> None:
        """Note a hit, and add up if many are noted."""
        self.note(entry)
        if len(self._noted) >= _MOST_NOTED:
            self.totals()

    def totals(self) -> tuple[int, int, float]:
        """Hits, tokens saved and seconds saved so far.

        Only this removes from the deque, and under the lock, so no hit is lost or counted twice.
        """
        with self._lock:
            for _ in range(len(self._noted)):
                entry = self._noted.popleft()
                self._hits += 1
                self._tokens += entry.usage.total_tokens
                self._seconds += entry.seconds
            return self._hits, self._tokens, self._seconds
