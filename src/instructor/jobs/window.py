"""Which rows of a job are under way, and which one is handed out next. It decides, and neither waits nor asks."""

from __future__ import annotations

from collections import deque
from itertools import takewhile
from typing import TYPE_CHECKING, Generic, TypeVar

from instructor.jobs.pace import Pace
from instructor.row import Row

if TYPE_CHECKING:
    from instructor.jobs.asking import Miss
    from instructor.jobs.order import Order

T = TypeVar("T")

AHEAD = 256
"""How many rows are held at least, and how many wait at most for their turn, where rows have an order of their own."""
_ROWS_PER_REQUEST = 32
_MOST_READY = 16
"""How many rows are ready to be asked at most beside those that are under way, so that a thread that has answered one row
needn't wait until the next one is read."""
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

    With `has_queue` more rows may be under way than the pace allows: some of them are ready, and wait for a thread.

    Attributes:
        under_way: The rows that are being asked for.
        has_ended: Whether no more rows are to be read.
        order: The rows that wait for their turn; None where none does.
        is_stopped: Whether rows that wait for their turn aren't to be asked either.
    """

    def __init__(self, pace: Pace, *, ordered: bool, order: Order[T] | None = None, has_queue: bool = False) -> None:
        self._pace = pace
        self._has_queue = has_queue
        self.order = order
        self._ordered = ordered
        self._slots: deque[Slot[T]] = deque()
        self.under_way: set[Slot[T]] = set()
        self.has_ended = False
        self.is_stopped = False

    @property
    def most_ready(self) -> int:
        """How many rows may be ready at most, and wait for a thread."""
        return min(self._pace.limit - 1, _MOST_READY) if self._has_queue else 0

    def wants_row(self, read: int) -> bool:
        """Whether to read another row. `read` is how many were read since one was handed out.

        With nothing under way a finished row is handed out at once: hits are served as they are read. Otherwise rows
        are read first, because a request that isn't sent costs more time than a finished row that waits.
        """
        limit, under_way = self._pace.limit, len(self.under_way)
        held = len(self._slots) if self._ordered else len(self._slots) + under_way
        is_busy = under_way >= limit and under_way >= limit + self.most_ready  # which a hit needn't work out
        if self.order is not None:
            waiting = len(self.order)
            held, is_busy = held if self._ordered else held + waiting, waiting >= AHEAD
        if self.has_ended or is_busy or held >= max(AHEAD, _ROWS_PER_REQUEST * limit):
            return False
        return not self._has_finished or (under_way > 0 and read < _READ_BETWEEN)

    def add(self, row: Row[T]) -> None:
        """Add a row that is answered already."""
        self._slots.append(Slot(row))

    def admit(self, miss: Miss) -> Slot[T] | None:
        """Add a row that isn't answered; return its place if it is asked for now, and not when its turn comes."""
        slot: Slot[T] = Slot()
        if self._ordered:
            self._slots.append(slot)
        if self.order is None:
            self.under_way.add(slot)
            return slot
        self.order.add(slot, miss)
        return None

    def begin(self) -> tuple[Slot[T], Miss] | None:
        """Begin with a row whose turn has come; None if there is none, or enough are under way."""
        if self.order is None or len(self.under_way) >= self._pace.limit:
            return None
        if self.is_stopped:
            self.drop_waiting()
        waiting = self.order.begin()
        if waiting is None:
            return None
        self.under_way.add(waiting.slot)
        return waiting.slot, waiting.miss

    def drop_waiting(self, after: int = -1) -> None:
        """Ask for no row that waits behind one, by its place in the input. In order, rows end before the first of those."""
        if self.order is not None:
            self._forget(self.order.drop(after))

    def drop(self, slots: set[Slot[T]]) -> None:
        """Forget rows that were under way, and are not asked about after all."""
        self.under_way -= slots
        self._forget(slots)

    def _forget(self, dropped: set[Slot[T]]) -> None:
        if dropped:
            self._slots = deque(takewhile(lambda slot: slot not in dropped, self._slots))

    @property
    def patience(self) -> float | None:
        """After how many seconds to see whether another row may begin, though none was answered; None for never."""
        return None if self.order is None else self.order.patience

    def finish(self, slot: Slot[T], row: Row[T]) -> None:
        """Note the answer of a row that was asked for."""
        slot.row = row
        self.under_way.discard(slot)
        self._pace.note(row)
        if self.order is not None:
            self.order.end(slot, row)
        if not self._ordered:
            self._slots.append(slot)

    def is_first(self, slot: Slot[T]) -> bool:
        """Whether a row is the next one to be handed out. From any thread."""
        try:
            return self._slots[0] is slot
        except IndexError:
            return False

    def take(self) -> Row[T] | None:
        """The row to hand out; None if its turn hasn't come."""
        return self._slots.popleft().row if self._has_finished else None

    @property
    def _has_finished(self) -> bool:
        return bool(self._slots) and self._slots[0].row is not None
