"""The ledger of a `RedisCache`: a hash of sums beside the entries."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TypeVar

from instructor.cache.books import Posting
from instructor.cache.redis_client import Words, ask_all
from instructor.cache.redis_steps import Steps, as_text, is_refusal, name_ledger, name_posted

T = TypeVar("T")


# All that may be refused, such as a command that the account may not use, comes before the token is entered, because what
# is refused is posted in another way. What others have put in the place of a sum is left out.
_POST = """
redis.call('HLEN', KEYS[1])
local first = tonumber(ARGV[4])
if ARGV[first] then
  local added = redis.pcall('HINCRBY', KEYS[1], ARGV[first], 0)
  if type(added) == 'table' and not string.find(added.err, 'integer') then return added end
end
local now = redis.call('TIME')[1]
for at = 5, first - 1 do redis.call('ZREM', KEYS[2], ARGV[at]) end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - ARGV[2])
redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -1 - ARGV[3])
redis.call('EXPIRE', KEYS[2], ARGV[2])
if redis.call('ZADD', KEYS[2], 'NX', now, ARGV[1]) == 1 then
  for at = first, #ARGV, 2 do redis.pcall('HINCRBY', KEYS[1], ARGV[at], ARGV[at + 1]) end
end
redis.pcall('EXPIRE', KEYS[2], ARGV[2])
return redis.call('HLEN', KEYS[1])
"""

_REMEMBERED_SECONDS, _MOST_REMEMBERED = 7 * 86_400, 100_000
"""How long, and how many tokens of what was entered are remembered, besides those that nobody will post again."""


def post(prefix: str, posting: Posting) -> Steps[int]:
    """Add a posting to the sums of the ledger, unless it was added before: its reply may have been lost."""
    pairs = [word for field in _fields(posting) for word in field]
    settled = posting.settled
    arguments = (posting.token, _REMEMBERED_SECONDS, _MOST_REMEMBERED, 5 + len(settled), *settled, *pairs)
    names = (name_ledger(prefix), name_posted(prefix))
    return int((yield lambda client: client.eval(_POST, 2, *names, *arguments)))


def add_amounts(prefix: str, amounts: Mapping[str, Sequence[int]]) -> Steps[int]:
    """Add to the sums of the ledger; return how many of them there are."""
    key = name_ledger(prefix)
    commands: list[Words] = [("HINCRBY", key, field, number) for field, number in _fields(amounts)]
    commands.append(("HLEN", key))
    *_, count = yield partial(ask_all, commands=commands)
    return int(count)


def _fields(amounts: Mapping[str, Sequence[int]]) -> Iterator[tuple[str, int]]:
    for name, numbers in amounts.items():
        for place, number in enumerate(numbers):
            if number:
                yield f"{place}{name}", number


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

    _refuses_scripts = False

    def add_amounts(self, amounts: Mapping[str, Sequence[int]]) -> int:
        """Add to the sums of the ledger; return how many of them there are.

        Where the server runs no scripts for this user, what was entered when the connection was lost may be entered twice.
        """
        return self._perform_any(self._enter(amounts))

    def read_amounts(self) -> Mapping[str, Sequence[int]]:
        """Return the sums of the ledger, which `clear` leaves alone."""
        return self._perform_any(read_amounts(self.prefix))

    async def add_amounts_async(self, amounts: Mapping[str, Sequence[int]]) -> int:
        """As `add_amounts`, without blocking the event loop."""
        return await self._perform_here(self._enter(amounts))

    async def read_amounts_async(self) -> Mapping[str, Sequence[int]]:
        """As `read_amounts`, likewise."""
        return await self._perform_here(read_amounts(self.prefix))

    def _enter(self, amounts: Mapping[str, Sequence[int]]) -> Steps[int]:
        if isinstance(amounts, Posting) and not self._refuses_scripts:
            try:
                return (yield from post(self.prefix, amounts))
            except Exception as error:
                if not is_refusal(error):
                    raise
                self._refuses_scripts = True
        return (yield from add_amounts(self.prefix, amounts))

    @abstractmethod
    def _perform_any(self, steps: Steps[T]) -> T: ...

    @abstractmethod
    async def _perform_here(self, steps: Steps[T]) -> T: ...
