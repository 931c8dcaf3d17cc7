"""What a planner remembers: the prefixes that were asked for, and what its marks have saved and cost."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

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
    """

    uses: int = 0
    last: float = 0.0
    turns: int = 0
    kept_until: float = 0.0
    written_until: float = 0.0
    is_ours: bool = False


class History:
    """The prefixes of late, the latest `MOST_PREFIXES` of them."""

    def __init__(self) -> None:
        self._seen: OrderedDict[bytes, Seen] = OrderedDict()

    def find(self, block: Block) -> Seen:
        """What is known of the prefix that ends with a block."""
        return self._seen.get(block.prefix) or Seen()

    def is_used(self, block: Block, since: float) -> bool:
        """Whether a request has begun with a prefix since a time."""
        seen = self.find(block)
        return seen.uses > 0 and seen.last >= since

    def note(self, block: Block) -> Seen:
        """The same, to be changed."""
        seen = self._seen.setdefault(block.prefix, Seen())
        self._seen.move_to_end(block.prefix)
        if len(self._seen) > MOST_PREFIXES:
            self._seen.popitem(last=False)
        return seen

    def note_write(self, block: Block, now: float) -> None:
        """Note that a request writes the prefix that ends with a block, unless the vendor keeps it."""
        seen = self.note(block)
        if seen.kept_until <= now:
            seen.written_until = now + _LONGEST_ANSWER

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
