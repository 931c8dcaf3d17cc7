"""Which rows of a job are under way, and which one is handed out next. It decides, and neither waits nor asks."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

from instructor.jobs.pace import Pace
from instructor.jobs.row import Row

T = TypeVar("T")

_LEAST_ROWS = 256
_ROWS_PER_REQUEST = 32
_READ_BETWEEN = 64
"""How many rows are read while a finished one waits to be handed out, so that nobody who could be asking is idle."""


class Slot(Generic[T]):
    """The place of a row among the others.

    Attributes:
        row: The row; None until it is answered.
        is_paid: Whether the provider has answered, so that the answer is being checked and stored.
        is_over: Whether its thread has done with it.
    """

    __slots__ = ("is_over", "is_paid", "row")

    def __init__(self, row: Row[T] | None = None) -> None:
        self.row = row
        self.is_paid = self.is_over = False


class Window(Generic[T]):
    """The rows that were read and not handed out yet. Their number is limited, whatever the first of them is waiting for.

    Attributes:
        under_way: The rows that are being asked for.
        has_ended: Whether no more rows are to be read.
    """

    def __init__(self, pace: Pace, *, ordered: bool) -> None:
        self._pace = pace
        self._ordered = ordered
        self._slots: deque[Slot[T]] = deque()
        self.under_way: set[Slot[T]] = set()
        self.has_ended = False

    def wants_row(self, read: int) -> bool:
        """Whether to read another row. `read` is how many were read since one was handed out.

        With nothing under way a finished row is handed out at once: hits are served as they are read. Otherwise rows
        are read first, because a request that isn't sent costs more time than a finished row that waits.
        """
        limit, under_way = self._pace.limit, len(self.under_way)
        held = len(self._slots) if self._ordered else len(self._slots) + under_way
        if self.has_ended or under_way >= limit or held >= max(_LEAST_ROWS, _ROWS_PER_REQUEST * limit):
            return False
        return not self._has_finished or (under_way > 0 and read < _READ_BETWEEN)

    def add(self, row: Row[T]) -> None:
        """Add a row that is answered already."""
        self._slots.append(Slot(row))

    def begin(self) -> Slot[T]:
        """Add a row that is asked for now."""
        slot: Slot[T] = Slot()
        self.under_way.add(slot)
        if self._ordered:
            self._slots.append(slot)
        return slot

    def finish(self, slot: Slot[T], row: Row[T], seconds: float) -> None:
        """Note the answer of a row that was asked for, and how long its requests took."""
        slot.row = row
        self.under_way.discard(slot)
        self._pace.note(row, seconds)
        if not self._ordered:
            self._slots.append(slot)

    def take(self) -> Row[T] | None:
        """The row to hand out; None if its turn hasn't come."""
        return self._slots.popleft().row if self._has_finished else None

    @property
    def _has_finished(self) -> bool:
        return bool(self._slots) and self._slots[0].row is not None
