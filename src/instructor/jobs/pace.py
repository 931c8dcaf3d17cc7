"""How many rows a job asks for at once."""

from __future__ import annotations

from typing import Any, Final, Literal

from instructor.exceptions import ArgumentError
from instructor.failures import may_recover
from instructor.jobs.row import Row

Concurrency = int | Literal["auto"]

_FIRST: Final = 4
_MOST: Final = {False: 64, True: 256}
"""The most rows at once that a job comes to by itself: threads, and tasks."""
_SLOWER = 2.0
"""How many times as long as the fastest answers an answer may take before there are too many at once."""
_SMOOTHING = 0.1
_MOST_LOOKED_FOR: Final = 8
"""How many rows a job looks for in its store at once before it has asked for any. So many are asked for beside the first
one where those that are stored end, which costs less than to wait for each read of a slow store alone."""


class Pace:
    """A limit that learns: one more row at once for each answer, as long as answers don't get slower.

    Once they take twice as long as the fastest did, or one fails that may
    succeed later, as after a 429, the limit falls by a third, and from then on grows by
    one in as many answers as it counts. So it doubles with each round of answers at first, and then creeps.
    If it `begins_with_one`, the first answer is awaited before others are asked for: it writes the prompt cache that they
    read. Rows that are found in a store write none, so a few are looked for at once until one isn't found.

    Attributes:
        limit: How many rows may be asked for at once.
    """

    def __init__(self, concurrency: Concurrency, *, asynchronous: bool, begins_with_one: bool = False) -> None:
        if concurrency != "auto" and (type(concurrency) is not int or concurrency < 1):
            raise ArgumentError(f'concurrency= is "auto" or a whole number above 0, not {concurrency!r}.')
        self._learns = concurrency == "auto"
        self.most = _MOST[asynchronous] if concurrency == "auto" else concurrency
        self._level = float(min(_FIRST, self.most) if self._learns else self.most)
        self._begins = begins_with_one
        self.limit = 1 if begins_with_one else int(self._level)
        self._creeps = False
        self._fastest = float("inf")
        self._mean = 0.0
        self._rest = 0

    def go_on_from(self, earlier: Pace) -> None:
        """Begin with what an earlier job of the same kind has learned."""
        self._level, self._creeps, self._begins = earlier._level, earlier._creeps, earlier._begins
        self._fastest, self._mean = earlier._fastest, earlier._mean
        self.limit = earlier.limit

    def note(self, row: Row[Any], seconds: float) -> None:
        """Learn from a row that was asked for."""
        if self._begins:
            self._begins = row.cached
            self.limit = min(2 * self.limit, _MOST_LOOKED_FOR, self.most) if row.cached else int(self._level)
            return
        if not self._learns:
            return
        self._rest -= 1
        if row.error is None and not row.cached:
            self._mean = seconds if not self._mean else self._mean + _SMOOTHING * (seconds - self._mean)
            self._fastest = min(self._fastest, self._mean)
        if _is_crowded(row.error) or self._mean > _SLOWER * self._fastest:
            self._fall()
        elif row.error is None:
            self._level = min(self.most, self._level + (1 / self._level if self._creeps else 1))
        self.limit = int(self._level)

    def _fall(self) -> None:
        """Fall once for a round of answers: those of one round tell of one and the same crowd."""
        if self._rest <= 0:
            self._creeps = True
            self._rest = self.limit
            self._level = max(1.0, self._level * 2 / 3)


def _is_crowded(error: Exception | None) -> bool:
    """Whether a row failed because the provider, or the network, had too much to do."""
    return error is not None and may_recover(error.__cause__ or error)
