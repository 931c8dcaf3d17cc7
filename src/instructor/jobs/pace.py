"""How many rows a job asks for at once."""

from __future__ import annotations

from typing import Any, Final, Literal

from instructor.exceptions import ArgumentError
from instructor.failures import is_nowhere, is_unreached, may_recover
from instructor.row import Row

Concurrency = int | Literal["auto"]

_FIRST: Final = 4
_MOST: Final = {False: 64, True: 256}
"""The most rows at once that a job comes to by itself: threads, and tasks."""
_SLOWER = 2.0
"""How many times as long as the fastest answers an answer may take before there are too many at once."""
_SMOOTHING = 0.1


class Pace:
    """A limit that learns: one more row at once for each answer, as long as answers don't get slower.

    Once they take twice as long as the fastest did, or one fails that may succeed later, as after a 429, the limit falls by
    a third, and from then on grows by one in as many answers as it counts. So it doubles with each round of answers at
    first, and then creeps.

    Attributes:
        limit: How many rows may be asked for at once.
        is_reached: Whether anything answers at the provider's URL, by the first row that shows it; None before that row.
    """

    def __init__(self, concurrency: Concurrency, *, asynchronous: bool) -> None:
        if concurrency != "auto" and (type(concurrency) is not int or concurrency < 1):
            raise ArgumentError(f'concurrency= is "auto" or a whole number above 0, not {concurrency!r}.')
        self._learns = concurrency == "auto"
        self.most = _MOST[asynchronous] if concurrency == "auto" else concurrency
        self._level = float(min(_FIRST, self.most) if self._learns else self.most)
        self.limit = int(self._level)
        self.is_reached: bool | None = None
        self._creeps = False
        self._fastest = float("inf")
        self._mean = 0.0
        self._rest = 0

    def go_on_from(self, earlier: Pace) -> None:
        """Begin with what an earlier job of the same kind has learned."""
        self._level, self._creeps = earlier._level, earlier._creeps
        self._fastest, self._mean = earlier._fastest, earlier._mean
        self.limit, self.is_reached = earlier.limit, earlier.is_reached

    def note(self, row: Row[Any]) -> None:
        """Learn from a row that was asked for."""
        if self.is_reached is None:
            self.is_reached = _is_reached(row)
        if not self._learns:
            return
        self._rest -= 1
        if row.error is None and not row.cached:
            self._mean = row.seconds if not self._mean else self._mean + _SMOOTHING * (row.seconds - self._mean)
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


def _is_reached(row: Row[Any]) -> bool | None:
    """Whether a row shows that the provider can be reached; None where it doesn't tell, as a hit or a timeout."""
    if row.usage.total_tokens or row.error is None:
        return None if row.cached else True
    if is_nowhere(row.error):
        return False
    return None if not row.attempts or is_unreached(row.error.__cause__ or row.error) else True
