"""The ledger of a `RedisCache`: a hash of sums beside the entries."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TypeVar

from instructor.cache.redis_client import Words, ask_all
from instructor.cache.redis_steps import Steps, as_text, name_ledger

T = TypeVar("T")


def add_amounts(prefix: str, amounts: Mapping[str, Sequence[int]]) -> Steps[int]:
    """Add to the sums of the ledger; return how many of them there are."""
    key = name_ledger(prefix)
    commands: list[Words] = [
        ("HINCRBY", key, f"{place}{name}", number)
        for name, numbers in amounts.items()
        for place, number in enumerate(numbers)
        if number
    ]
    commands.append(("HLEN", key))
    *_, count = yield partial(ask_all, commands=commands)
    return int(count)


def read_amounts(prefix: str) -> Steps[dict[str, list[int]]]:
    """Read all sums of the ledger."""
    key = name_ledger(prefix)
    amounts: dict[str, list[int]] = {}
    for field, number in (yield lambda client: client.hgetall(key)).items():
        text = as_text(field)
        with contextlib.suppress(ValueError, IndexError):  # what others have put there is no reason to lose the rest
            amounts.setdefault(text[1:], [0] * 6)[int(text[0])] = int(number)
    return amounts


class KeepsLedger(ABC):
    """The ability ``"ledger"`` of a store in Redis, for both kinds of callers."""

    prefix: str

    def add_amounts(self, amounts: Mapping[str, Sequence[int]]) -> int:
        """Add to the sums of the ledger; return how many of them there are."""
        return self._perform_any(add_amounts(self.prefix, amounts))

    def read_amounts(self) -> Mapping[str, Sequence[int]]:
        """Return the sums of the ledger, which `clear` leaves alone."""
        return self._perform_any(read_amounts(self.prefix))

    async def add_amounts_async(self, amounts: Mapping[str, Sequence[int]]) -> int:
        """As `add_amounts`, without blocking the event loop."""
        return await self._perform_here(add_amounts(self.prefix, amounts))

    async def read_amounts_async(self) -> Mapping[str, Sequence[int]]:
        """As `read_amounts`, likewise."""
        return await self._perform_here(read_amounts(self.prefix))

    @abstractmethod
    def _perform_any(self, steps: Steps[T]) -> T: ...

    @abstractmethod
    async def _perform_here(self, steps: Steps[T]) -> T: ...
