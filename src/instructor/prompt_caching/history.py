"""What a planner remembers: the prefixes that were asked for, and what its marks have saved and cost."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from instructor.prompt_caching.blocks import Block

MOST_PREFIXES = 8192
"""Prefixes that are remembered; one request has as many as it has blocks."""

STAKE = 0.002
"""The share of what was spent on input that may be lost to writes that nobody reads."""

TRUST, TRUSTED_TOKENS = 0.06, 1000
"""What may be lost to a first such write: a share of what was spent, and tokens at the price of plain input."""

_LONGEST_ANSWER = 60.0
"""Seconds after which a request that writes a prefix is no reason any more not to write it again."""


@dataclass(slots=True)
class Seen:
    """What is known of one prefix. Times are those of the planner's clock.

    Attributes:
        uses: How many requests began with it, each soon after the one before.
        last: When the last one did.
        turns: Of how many requests a conversation consisted when one ended here; 0 where none did.
        kept_until: Until when the vendor keeps it.
        written_until: Until when a request that writes it may be under way.
        is_ours: Whether the planner had it marked.
        warm_until: Until when a row of a job needn't wait for another one to write it.
    """

    uses: int = 0
    last: float = 0.0
    turns: int = 0
    kept_until: float = 0.0
    written_until: float = 0.0
    is_ours: bool = False
    warm_until: float = 0.0


class Foreseen(NamedTuple):
    """What a row of a job will ask that isn't asked yet.

    Attributes:
        prefixes: What it begins with and the vendor keeps, the shortest first.
        whole: All that it asks.
        seconds: How long the vendor keeps a prefix at least.
        is_counted: Whether it is another request for each prefix. An equal row that is foreseen already is none.
    """

    prefixes: tuple[bytes, ...] = ()
    whole: bytes = b""
    seconds: float = 0.0
    is_counted: bool = False


class History:
    """The prefixes of late, the latest `MOST_PREFIXES` of them."""

    def __init__(self) -> None:
        self._seen: OrderedDict[bytes, Seen] = OrderedDict()
        self._awaited: Counter[bytes] = Counter()
        self._whole: Counter[bytes] = Counter()

    def find(self, block: Block) -> Seen:
        """What is known of the prefix that ends with a block."""
        return self._seen.get(block.prefix) or Seen()

    def is_used(self, block: Block, since: float) -> bool:
        """Whether a request has begun with a prefix since a time."""
        seen = self.find(block)
        return seen.uses > 0 and seen.last >= since

    def note(self, block: Block) -> Seen:
        """The same, to be changed."""
        return self._note(block.prefix)

    def _note(self, prefix: bytes) -> Seen:
        seen = self._seen.setdefault(prefix, Seen())
        self._seen.move_to_end(prefix)
        if len(self._seen) > MOST_PREFIXES:
            self._seen.popitem(last=False)
        return seen

    def note_write(self, block: Block, now: float) -> None:
        """Note that a request writes the prefix that ends with a block, unless the vendor keeps it."""
        seen = self.note(block)
        if seen.kept_until <= now:
            seen.written_until = now + _LONGEST_ANSWER

    def count_awaited(self, block: Block) -> int:
        """How many requests with a prefix are foreseen and haven't begun."""
        return self._awaited[block.prefix]

    def foresee(self, prefixes: tuple[bytes, ...], whole: bytes, seconds: float) -> Foreseen:
        """Count a request that will be made."""
        foreseen = Foreseen(prefixes, whole, seconds, not self._whole[whole])
        self._whole[whole] += 1
        if foreseen.is_counted:
            self._awaited.update(prefixes)
        return foreseen

    def begin_foreseen(self, foreseen: Foreseen) -> None:
        """Note that it is made now."""
        if foreseen.is_counted:
            _discount(self._awaited, foreseen.prefixes)

    def drop_foreseen(self, foreseen: Foreseen) -> None:
        """Note that it won't be made."""
        self.begin_foreseen(foreseen)
        _discount(self._whole, [foreseen.whole])

    def end_foreseen(self, foreseen: Foreseen, now: float, *, is_answered: bool) -> None:
        """Note what has come of it. One that wasn't answered has written nothing, so that the next one may."""
        _discount(self._whole, [foreseen.whole])
        for prefix in foreseen.prefixes:
            if is_answered:
                self._note(prefix).warm_until = now + foreseen.seconds
            elif prefix in self._seen:
                self._seen[prefix].written_until = 0.0

    def is_warm(self, prefix: bytes, now: float) -> bool:
        """Whether a row needn't wait for another one to write a prefix."""
        seen = self._seen.get(prefix)
        return seen is not None and max(seen.warm_until, seen.kept_until) > now

    def begin(self, blocks: Sequence[Block], now: float, window: float) -> None:
        """Note that a request begins. Uses that lie further apart than `window` seconds aren't one after the other."""
        turns = 1 + max((self.find(block).turns for block in blocks[:-1]), default=0)
        for block in blocks:
            seen = self.note(block)
            seen.uses = seen.uses + 1 if now - seen.last <= window else 1
            seen.last = now
            if block.mark is not None:
                self.note_write(block, now)
        if blocks:
            self.note(blocks[-1]).turns = turns


def _discount(counts: Counter[bytes], prefixes: Iterable[bytes]) -> None:
    for prefix in prefixes:
        counts[prefix] -= 1
        if counts[prefix] <= 0:
            del counts[prefix]


@dataclass(slots=True)
class Account:
    """What a planner's marks have saved and cost, and what was spent in all: in tokens at the price of plain input."""

    spent: float = 0.0
    saved: float = 0.0
    paid: float = 0.0

    def can_risk(self, cost: float, *, is_likely: bool) -> bool:
        """Whether a write may turn out to be for nothing. One that is likely to be read is paid for in advance, once."""
        funds = self.saved - self.paid + STAKE * self.spent
        is_trusted = is_likely and not self.paid and cost <= min(TRUSTED_TOKENS, TRUST * self.spent)
        return funds >= cost or is_trusted
