"""How many requests may be under way at once: more while answers come as fast as ever, fewer when they don't."""

from __future__ import annotations

from typing import Final

_AT_FIRST: Final = 8
"""Requests under way before the first answer says what is allowed."""
_LEAST: Final = 2
_CUT: Final = 0.7
_SLOW: Final = 3.0
"""Answers that take this much longer than when they came fastest say that the provider is crowded."""
_WEIGHT: Final = 0.05
_MOST: Final = 100_000


class Concurrency:
    """The number of requests under way, and how many there may be.

    Attributes:
        under_way: How many there are.
        most: How many there may be.
    """

    def __init__(self, ceiling: int | None = None) -> None:
        self.under_way = 0
        self._ceiling = ceiling or _MOST
        self.most = float(min(_AT_FIRST, self._ceiling))
        self._usual: float | None = None
        self._fastest = 0.0
        self._cut_at = float("-inf")

    def seconds_until_free(self) -> float:
        """How long until one of the requests under way likely ends; 0 if another may join them."""
        if self.under_way < int(self.most):
            return 0.0
        return min(max((self._usual or 1.0) / self.most, 0.005), 1.0)

    def succeeded(self, seconds: float, now: float) -> None:
        """Note an answer: with each that came as fast as ever, one more request may be under way."""
        if self._usual is None:
            self._usual = self._fastest = seconds
        self._usual += _WEIGHT * (seconds - self._usual)
        self._fastest = min(self._fastest, self._usual)
        if self._usual <= _SLOW * self._fastest:
            if self.under_way >= self.most / 2:
                self.most = min(self.most + 1, self._ceiling)
        elif self._cut(now):
            self._fastest *= 1 / _CUT  # what is slow for good is what is usual, some time

    def failed(self, now: float) -> None:
        """Note that the provider was overloaded, or didn't answer in time."""
        self._cut(now)

    def _cut(self, now: float) -> bool:
        if now - self._cut_at < max(self._usual or 1.0, 1.0):
            return False
        self._cut_at = now
        self.most = float(max(min(_LEAST, self._ceiling), int(min(self.most, self.under_way + 1) * _CUT)))
        return True
