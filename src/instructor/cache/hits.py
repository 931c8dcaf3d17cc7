"""Hits, counted where they happen and in no other place."""

from __future__ import annotations

import time
from collections import Counter, deque
from typing import TYPE_CHECKING

from instructor.cache.books import Books, Line, line_of
from instructor.cache.entry import Entry, saved_by
from instructor.locks import make_lock, reset_after_fork
from instructor.prices import TIERS, tier_of

if TYPE_CHECKING:
    from instructor.cache.carried import Saved

MOST_NOTED = 64
"""Hits that are noted before they are counted."""

MOST_COUNTED = 1024
"""Answers whose hits are counted before they are entered into the books."""

ENTER_SECONDS = 5.0
"""How long counted hits may wait for that while there are more. They count on the day on which they are entered."""


class HitLog:
    """The hits of one client in one store, and what they saved.

    The client's counters, the store's and the books of both are made of these logs.

    Attributes:
        noted: What hits have saved since they were last counted.
        note: Note what a hit saved, which the fast path does itself. This is a deque's own method: it needs no lock and
            costs next to nothing.
    """

    __slots__ = ("__weakref__", "_books", "_counts", "_due", "_hits", "_lock", "_seconds", "_tokens", "note", "noted")

    def __init__(self, *books: Books) -> None:
        self.noted: deque[Saved] = deque()
        self._books = books
        self._lock = make_lock()
        self._counts: Counter[Saved] = Counter()
        self._due = 0.0
        self._hits = self._tokens = 0
        self._seconds = 0.0
        self.note = self.noted.append
        for one in books:
            one.read_from(self)
        reset_after_fork(self)

    def enter_into(self, books: Books) -> None:
        """Have what hits save from now on entered into these books too."""
        self.totals()
        self._books = (*self._books, books)
        books.read_from(self)

    def hit(self, entry: Entry) -> None:
        """Note a hit, and count if many are noted."""
        # Not the entry itself, which would be kept alive, with an answer of any size.
        self.note(saved_by(entry))
        if len(self.noted) >= MOST_NOTED:
            self.count()

    def count(self) -> None:
        """Count what was noted. Only this removes from the deque, and under the lock, so no hit is lost or counted twice."""
        with self._lock:
            take = self.noted.popleft
            self._counts.update([take() for _ in range(len(self.noted))])
            now = time.monotonic()
            if now < self._due and len(self._counts) < MOST_COUNTED:
                return
            self._enter()
            self._due = now + ENTER_SECONDS
        for books in self._books:
            books.offer()

    def totals(self) -> tuple[int, int, float]:
        """Hits, tokens saved and seconds saved so far, all of which are in the books by then."""
        with self._lock:
            if self.noted or self._counts:
                take = self.noted.popleft
                self._counts.update([take() for _ in range(len(self.noted))])
                self._enter()
            return self._hits, self._tokens, self._seconds

    def reset(self) -> None:
        """Leave what the parent of a forked child has noted to the parent's books."""
        books, self._books = self._books, ()
        self.totals()
        self._books = books

    def _enter(self) -> None:
        """Enter what was counted into the books. Every hit on disk is counted for itself, so this adds up to lists."""
        counts, self._counts = self._counts, Counter()
        sums: dict[object, list[float]] = {}
        found: dict[object, Saved] = {}
        first = TIERS[0]
        for saved, count in counts.items():
            seconds, usage, origin, tags = saved
            read = usage.input_tokens
            place = id(origin) if 0 < read <= first and not tags else (id(origin), tags, tier_of(usage))
            row = sums.get(place)
            if row is None:
                row, found[place] = sums.setdefault(place, [0.0] + [0] * 5), saved
            row[0] += count * seconds
            row[1] += count
            row[2] += count * read
            row[3] += count * usage.output_tokens
            row[4] += count * usage.cached_tokens
            row[5] += count * usage.cache_write_tokens
        lines: list[tuple[Line, list[int]]] = []
        for where, (_, usage, origin, tags) in found.items():
            seconds, *numbers = sums[where]
            whole = [*map(int, numbers), round(seconds * 1e6)]
            self._hits += whole[0]
            self._tokens += whole[1] + whole[2]
            self._seconds += seconds
            if origin is not None:
                lines.append((line_of("hit", origin, tags, usage), whole))
        for books in self._books if lines else ():
            books.add(lines)
