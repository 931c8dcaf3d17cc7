"""Hits, counted where they happen and in no other place."""

from __future__ import annotations

from collections import deque

from instructor.cache.entry import Entry
from instructor.locks import make_lock
from instructor.usage import Usage

MOST_NOTED = 256
"""Hits that are noted before they are added up."""


class HitLog:
    """The hits of one client in one store, and what they saved.

    Both the client's counters and the store's are made of these logs.

    Attributes:
        noted: What hits have saved since they were last added up.
        note: Note what a hit saved, which the fast path does itself. This is a deque's own method: it needs no lock and
            costs next to nothing.
    """

    __slots__ = ("_hits", "_lock", "_seconds", "_tokens", "note", "noted")

    def __init__(self) -> None:
        self.noted: deque[tuple[float, Usage]] = deque()
        self._lock = make_lock()
        self._hits = self._tokens = 0
        self._seconds = 0.0
        self.note = self.noted.append

    def hit(self, entry: Entry) -> None:
        """Note a hit, and add up if many are noted."""
        # Not the entry itself, which would be kept alive, with an answer of any size.
        self.note((entry.seconds, entry.usage))
        if len(self.noted) >= MOST_NOTED:
            self.totals()

    def totals(self) -> tuple[int, int, float]:
        """Hits, tokens saved and seconds saved so far.

        Only this removes from the deque, and under the lock, so no hit is lost or counted twice.
        """
        with self._lock:
            for _ in range(len(self.noted)):
                seconds, usage = self.noted.popleft()
                self._hits += 1
                self._tokens += usage.total_tokens
                self._seconds += seconds
            return self._hits, self._tokens, self._seconds
