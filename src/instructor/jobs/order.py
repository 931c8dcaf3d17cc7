"""In which order a job asks where the provider keeps what rows begin with: one row writes it, and the others read it."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar

from instructor.engine.first_request import foresee
from instructor.jobs.window import AHEAD, Slot
from instructor.prompt_caching.history import Foreseen

if TYPE_CHECKING:
    from instructor.engine.call import Call
    from instructor.jobs.asking import Miss
    from instructor.prompt_caching.planner import Planner
    from instructor.row import Row

T = TypeVar("T")

PATIENCE: Final = 60.0
"""Seconds after which rows go on without the one that writes what they begin with."""
_MOST_LOOKED_FOR: Final = 8
"""How many rows with one beginning are looked for at once while each of them is found in a store, which writes nothing.
So many are asked for together where those that are stored end, which costs less than to wait for each read alone."""


@dataclass(frozen=True, slots=True)
class Foresight:
    """Knows what rows will begin with.

    Attributes:
        planner: Knows what the provider keeps; it hears of what will be asked.
        make_call: Makes the call that a row will be.
    """

    planner: Planner
    make_call: Callable[[Miss], Call[Any]]

    def foresee(self, miss: Miss) -> Foreseen:
        """Find out what a row will begin with. What keeps it from being written, the row meets itself."""
        try:
            return foresee(self.make_call(miss)) or Foreseen()
        except Exception:  # noqa: BLE001 - a template, or a key of the user's, may raise anything
            return Foreseen()


class Waiting(NamedTuple, Generic[T]):
    """A row that waits for its turn."""

    slot: Slot[T]
    miss: Miss
    foreseen: Foreseen


@dataclass(slots=True)
class Beginning:
    """What several rows begin with.

    Attributes:
        rows: How many rows that wait or are under way begin with it.
        under_way: How many of them are under way.
        most: How many of them may be, until one of them has been answered.
        since: When the latest of them began.
    """

    rows: int = 0
    under_way: int = 0
    most: int = 1
    since: float = 0.0


class Order(Generic[T]):
    """The rows of a job that wait for their turn. It decides, and neither waits nor asks.

    They go in the order of the input, but for two things. A row whose beginning another one is writing waits until that one
    is answered, or has failed. And rows whose beginning is written go before others, by `AHEAD` places at most, so
    that they come while the provider keeps it.
    """

    def __init__(
        self, planner: Planner, foresee: Callable[[Miss], Foreseen], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._planner = planner
        self._foresee = foresee
        self._clock = clock
        self._ready: list[tuple[int, int, Waiting[T]]] = []
        self._held: dict[bytes, list[Waiting[T]]] = {}
        self._beginnings: dict[bytes, Beginning] = {}
        self._under_way: dict[Slot[T], Foreseen] = {}
        self._looked_again = clock()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def patience(self) -> float | None:
        """In how many seconds to look again, unless a row is answered before; None where no row waits for another."""
        return PATIENCE if self._held else None

    def add(self, slot: Slot[T], miss: Miss) -> None:
        """Have a row wait for its turn."""
        foreseen = self._foresee(miss)
        for prefix in foreseen.prefixes:
            self._beginnings.setdefault(prefix, Beginning()).rows += 1
        self._count += 1
        self._sort(Waiting(slot, miss, foreseen))

    def begin(self) -> Waiting[T] | None:
        """Choose the row that is asked about next; None if each of them waits for another."""
        if not self._ready and self._held and self._clock() - self._looked_again >= PATIENCE:
            self._looked_again = self._clock()
            self._release([*self._held])
        while self._ready:
            waiting = heapq.heappop(self._ready)[2]
            if not self._is_held(waiting):
                self._begin(waiting)
                return waiting
        return None

    def end(self, slot: Slot[T], row: Row[T]) -> None:
        """Note what has come of a row that was under way: those that wait for it go on, or one of them does."""
        foreseen = self._under_way.pop(slot)
        is_answered = not row.cached and (row.error is None or row.usage.input_tokens > 0)
        self._planner.end(foreseen, is_answered=is_answered)
        for prefix in foreseen.prefixes:
            beginning = self._beginnings[prefix]
            beginning.under_way -= 1
            beginning.most = min(2 * beginning.most, _MOST_LOOKED_FOR) if row.cached else 1
        self._forget(foreseen)
        self._release(foreseen.prefixes)

    def drop(self, after: int = -1) -> set[Slot[T]]:
        """Drop the rows behind one, by its place in the input; return their places in the window."""
        waiting = [*(one for *_, one in self._ready), *(one for held in self._held.values() for one in held)]
        self._ready, self._held, self._count = [], {}, 0
        for one in waiting:
            if one.miss.index <= after:
                self._count += 1
                self._sort(one)
            else:
                self._planner.drop(one.foreseen)
                self._forget(one.foreseen)
        return {one.slot for one in waiting if one.miss.index > after}

    def _begin(self, waiting: Waiting[T]) -> None:
        self._count -= 1
        self._under_way[waiting.slot] = waiting.foreseen
        self._planner.begin(waiting.foreseen)
        now = self._clock()
        for prefix in waiting.foreseen.prefixes:
            beginning = self._beginnings[prefix]
            beginning.under_way += 1
            beginning.since = now
        if any(self._beginnings[prefix].rows > 1 and self._is_written(prefix) for prefix in waiting.foreseen.prefixes):
            ready, self._ready = self._ready, []
            for *_, one in ready:  # so that those with this beginning come first, once it is written
                self._sort(one)

    def _is_held(self, waiting: Waiting[T]) -> bool:
        """Whether a row has to wait for another one; then it is kept until that ends."""
        written = next(filter(self._is_written, waiting.foreseen.prefixes), None)
        if written is not None:
            self._held.setdefault(written, []).append(waiting)
        return written is not None

    def _is_written(self, prefix: bytes) -> bool:
        """Whether other rows are writing it at this moment."""
        beginning = self._beginnings[prefix]
        if beginning.under_way < beginning.most or self._planner.is_warm(prefix):
            return False
        return self._clock() - beginning.since < PATIENCE

    def _sort(self, waiting: Waiting[T]) -> None:
        """Put a row to those that wait for another one, or to those that may begin."""
        if self._is_held(waiting):
            return
        index = waiting.miss.index
        ahead = AHEAD if self._is_warm(waiting) else 0
        heapq.heappush(self._ready, (index - ahead, index, waiting))

    def _is_warm(self, waiting: Waiting[T]) -> bool:
        """Whether all that a row has in common with others is written."""
        for prefix in reversed(waiting.foreseen.prefixes):
            if self._planner.is_warm(prefix):
                return True
            if self._beginnings[prefix].rows > 1:
                return False
        return False

    def _release(self, prefixes: Iterable[bytes]) -> None:
        """Look again at the rows that wait for others."""
        for prefix in prefixes:
            for waiting in self._held.pop(prefix, ()):
                self._sort(waiting)

    def _forget(self, foreseen: Foreseen) -> None:
        for prefix in foreseen.prefixes:
            beginning = self._beginnings[prefix]
            beginning.rows -= 1
            if not beginning.rows:
                del self._beginnings[prefix]
