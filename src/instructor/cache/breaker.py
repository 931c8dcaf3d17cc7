"""The circuit breaker: a store that failed is left alone for a while, then tried once."""

from __future__ import annotations

import math
from itertools import count

next_moment = count(1).__next__
"""Returns a number greater than all before it, which puts operations and changes of breakers in order."""

_FIRST = 0.01
"""What the first pause of an outage is of the longest: a server that was restarted is back within milliseconds."""

_GROWTH = 2
"""Each pause is at least so many times as long as the one before, and as the trial took that failed."""


class CircuitBreaker:
    """Whether one kind of operation (reading, or writing) of one store is in an outage.

    The first failure opens the circuit. From then on only one trial begins after each pause, and only an operation
    that *began* during the outage may end it: one that began earlier and succeeds late says nothing about the store
    now. One that began earlier and fails late belongs to the known outage. So an outage has one beginning and one
    end, whatever succeeds or fails in between.

    The pauses grow from a hundredth of the longest. A store that fails again before it has worked for as long as the
    longest goes on where they were, so that one which fails every now and then doesn't fill the log.

    It has no lock of its own: its callers share one.

    Attributes:
        until: When the next trial may begin, in the caller's clock; None while the store works.
        pause: How long the latest pause is, in seconds.

    Example:
        >>> breaker = CircuitBreaker()
        >>> breaker.fail(next_moment(), now=0.0, longest=10.0), breaker.pause
        (True, 0.1)
        >>> breaker.blocks(now=0.05, trial=5.0), breaker.blocks(now=0.1, trial=5.0)
        (True, False)
        >>> breaker.fail(next_moment(), now=0.1, longest=10.0), breaker.pause
        (False, 0.2)
        >>> breaker.succeed(next_moment(), now=0.3)
        True
    """

    __slots__ = ("_changed", "_ended", "_tried", "pause", "until")

    def __init__(self) -> None:
        self.until: float | None = None
        self.pause = 0.0
        self._changed = 0
        self._ended = -math.inf
        self._tried: float | None = None

    def is_pausing(self, now: float) -> bool:
        """Whether it isn't time yet for a trial."""
        return self.until is not None and now < self.until

    def blocks(self, now: float, trial: float) -> bool:
        """Whether to leave the store alone. Once the pause is over, one caller gets False and makes the trial.

        If the trial is never made, as when its task is cancelled, another caller makes one after `trial` seconds.
        """
        if self.until is None:
            return False
        if self.is_pausing(now):
            return True
        self._tried, self.until = now, now + trial
        return False

    def opened_since(self, began: int) -> bool:
        """Whether the store has failed since an operation was asked for."""
        return self.until is not None and began < self._changed

    def fail(self, began: int, now: float, longest: float) -> bool:
        """Note that an operation failed. Return whether that begins an outage."""
        if began < self._changed:
            return False
        first = self.until is None
        if first:
            self._changed = next_moment()
            if now - self._ended >= longest:
                self.pause = 0.0
        took = 0.0 if self._tried is None else now - self._tried
        self.pause = min(max(_FIRST * longest, _GROWTH * self.pause, _GROWTH * took), longest)
        self._tried, self.until = None, now + self.pause
        return first

    def succeed(self, began: int, now: float) -> bool:
        """Note that an operation succeeded. Return whether that ends an outage."""
        if self.until is None or began < self._changed:
            return False
        self._tried = self.until = None
        self._ended = now
        self._changed = next_moment()
        return True
