"""The circuit breaker: a store that failed is left alone for a while, then tried once."""

from __future__ import annotations

from itertools import count

next_moment = count(1).__next__
"""Returns a number greater than all before it, which puts operations and changes of breakers in order."""


class CircuitBreaker:
    """Whether one kind of operation (reading, or writing) of one store is in an outage.

    The first failure opens the circuit. From then on only one trial begins after each pause, and only an operation
    that *began* during the outage may end it: one that began earlier and succeeds late says nothing about the store
    now. One that began earlier and fails late belongs to the known outage. So an outage has one beginning and one
    end, whatever succeeds or fails in between.

    It has no lock of its own: its callers share one.

    Attributes:
        until: When the next trial may begin, in the caller's clock; None while the store works.

    Example:
        >>> breaker = CircuitBreaker()
        >>> began = next_moment()
        >>> breaker.fail(began, until=10.0)
        True
        >>> breaker.blocks(now=5.0, pause=10.0), breaker.blocks(now=10.0, pause=10.0)
        (True, False)
        >>> breaker.succeed(next_moment())
        True
    """

    __slots__ = ("_changed", "until")

    def __init__(self) -> None:
        self.until: float | None = None
        self._changed = 0

    def blocks(self, now: float, pause: float) -> bool:
        """Whether to leave the store alone. Once the pause is over, one caller gets False and makes the trial."""
        if self.until is None:
            return False
        if now < self.until:
            return True
        # If the trial is never made, as when its task is cancelled, another caller makes one a pause later.
        self.until = now + pause
        return False

    def opened_since(self, began: int) -> bool:
        """Whether the store has failed since an operation was asked for."""
        return self.until is not None and began < self._changed

    def fail(self, began: int, until: float) -> bool:
        """Note that an operation failed. Return whether that begins an outage."""
        if began < self._changed:
            return False
        first = self.until is None
        self.until = until
        if first:
            self._changed = next_moment()
        return first

    def succeed(self, began: int) -> bool:
        """Note that an operation succeeded. Return whether that ends an outage."""
        if self.until is None or began < self._changed:
            return False
        self.until = None
        self._changed = next_moment()
        return True
