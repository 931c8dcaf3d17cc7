"""Which of the things in a store was used longest ago, where a use does no more than write a number into the thing."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from itertools import chain, count, repeat
from typing import Generic, TypeVar

Name = TypeVar("Name")

_MOST_LOOKS = 128
"""At how many things that were used since they were put in line to look at once: so long may a store be busy with it."""

_UNTOLD = 1024
"""In a store of so many things and more, uses that follow one another by less than a share of one in so many have one number:
numbers of their own would have to be fetched from the machine's memory, as the thing has been."""


def number_uses(most: int) -> Iterator[int]:
    """The numbers of uses, one after the other, for a store of at most so many things."""
    share = most // _UNTOLD
    return chain.from_iterable(map(repeat, count(1), repeat(share))) if share > 1 else count(1)


class UseOrder(Generic[Name]):
    """The names of things in the order of their last uses, as far as that has to be known.

    In a list that every use changes, a hit among a million would fetch its neighbours in the list from the machine's memory
    too, which takes longer than the rest of the hit. So a name stands where it was put in line. Only one that comes to
    the front and was used since is put in line again, at the place of that use.

    `number_of` returns the number of a thing's last use, and None for what isn't held any more.
    """

    def __init__(self, number_of: Callable[[Name], int | None]) -> None:
        self._number_of = number_of
        self._names: deque[Name] = deque()
        self._numbers: deque[int] = deque()
        self._again: list[tuple[int, int, Name]] = []
        self._serial = count()

    def __len__(self) -> int:
        return len(self._names) + len(self._again)

    def add(self, name: Name, number: int) -> None:
        """Put in line what is new, and used last."""
        self._names.append(name)
        self._numbers.append(number)

    def choose(self) -> Name:
        """Say what was used longest ago: of all, or of the first `_MOST_LOOKS` in line if all those were used since."""
        looked: list[tuple[int, int, Name]] = []
        for number, name in self._take():
            latest = self._number_of(name)
            if latest is None:
                continue
            if latest == number:
                return name
            looked.append((latest, next(self._serial), name))
            heappush(self._again, looked[-1])
            if len(looked) == _MOST_LOOKS:
                break
        return min(looked)[-1]

    def forget(self) -> None:
        """Leave out what isn't held any more, and where else a name stands that was dropped and put in line again."""
        line: dict[Name, int] = {}
        for number, name in self._take():
            if self._number_of(name) is not None:
                line.setdefault(name, number)
        self._numbers.extend(line.values())
        self._names.extend(line)

    def _take(self) -> Iterator[tuple[int, Name]]:
        while self._names or self._again:
            if not self._again or (self._names and self._numbers[0] <= self._again[0][0]):
                yield self._numbers.popleft(), self._names.popleft()
            else:
                number, _, name = heappop(self._again)
                yield number, name
