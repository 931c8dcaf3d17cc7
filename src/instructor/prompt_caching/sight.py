"""Where to mark one request, by what is known of its prefixes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from instructor.prompt_caching.blocks import SYSTEM, TURNS, Block
from instructor.prompt_caching.history import Account, History
from instructor.prompt_caching.rules import Rules
from instructor.prompt_caching.setting import PromptCache
from instructor.wires.content import SYSTEM_ROLES

_LIKELY = 2
"""After how many uses of a prefix another one is likely, and after how many requests of a conversation."""


@dataclass(frozen=True, slots=True)
class Sight:
    """One request as the planner sees it: its blocks, and what is known of them.

    Attributes:
        tokens_each: How many tokens a character is taken for.
    """

    rules: Rules
    wish: PromptCache
    blocks: Sequence[Block]
    history: History
    account: Account
    tokens_each: float
    now: float

    def choose(self) -> list[Block]:
        """Choose the blocks whose ends to mark, the most important first."""
        kept, shared = self._last_kept(), self._last_shared()
        marked = [] if kept is None else [kept]
        targets = [block for block in self._targets(shared) if kept is None or block.characters > kept.characters]
        written = next((block for block in targets if self._is_worth(block, kept)), None)
        if written is not None:
            # What ends within a prefix that is written anyway costs nothing.
            marked.append(written)
            inner = (shared, self.static, *targets)
            marked += [block for block in inner if block is not None and block.characters < written.characters]
        return list({block.prefix: block for block in marked}.values())

    @property
    def eligible(self) -> list[Block]:
        """The blocks at whose end a mark has an effect."""
        least = self.rules.minimum
        return [block for block in self.blocks if block.can_mark and self.tokens(block) >= least]

    @property
    def static(self) -> Block | None:
        """The end of the tools and the system prompt."""
        found = None
        for block in self.blocks:
            if block.level == TURNS and block.role not in SYSTEM_ROLES:
                break
            found = block if block.can_mark else found
        return found if found is not None and self.tokens(found) >= self.rules.minimum else None

    @property
    def anchor(self) -> Block | None:
        """What all requests with a common prefix have in common, for a vendor that leads them to one machine by a key."""
        if not self.blocks or self.tokens(self.blocks[-1]) < self.rules.minimum:
            return None
        return self.static or next((block for block in self.blocks if block.level == TURNS), None)

    def tokens(self, block: Block | None) -> float:
        """The tokens up to the end of a block, as far as they are known."""
        return 0.0 if block is None else block.characters * self.tokens_each

    def _last_kept(self) -> Block | None:
        """The longest prefix that the vendor still keeps."""
        kept = [block for block in self.eligible if self.history.find(block).kept_until > self.now]
        return kept[-1] if kept else None

    def _last_shared(self) -> Block | None:
        """The longest prefix with which another request began of late."""
        window = self.rules.seconds(self.wish.lifetime)
        late = [block for block in self.eligible if self.history.is_used(block, self.now - window)]
        return late[-1] if late else None

    def _targets(self, shared: Block | None) -> Iterator[Block]:
        """What may be worth writing, the longest first."""
        eligible = self.eligible
        is_growing = shared is not None and shared != eligible[-1] and self.history.find(shared).turns > 0
        has_answers = any(block.role in ("assistant", "model") for block in self.blocks)
        yield from self._awaited(eligible)
        if eligible and (is_growing or (self.wish.is_foreseen and has_answers)):
            yield eligible[-1]
        if self.wish.is_foreseen:
            yield from self._foreseen()
        if shared is not None:
            yield shared
            if self.static is not None and self.static.characters < shared.characters:
                yield self.static

    def _awaited(self, eligible: Sequence[Block]) -> Iterator[Block]:
        """What other rows of a job begin with as well, the longest first: an inner one where more of them share it."""
        others = 0
        for block in reversed(eligible):
            awaited = self.history.count_awaited(block)
            if awaited > others:
                others = awaited
                yield block

    def _foreseen(self) -> Iterator[Block]:
        """What another request is likely to begin with, before there was one: a document before its question, or what is static."""
        users = [block for block in self.eligible if block.level == TURNS and block.role not in SYSTEM_ROLES]
        if self.wish.response_models:
            # Where the system prompt is apart, the document is in it.
            is_apart = any(block.level == SYSTEM for block in self.blocks)
            yield from () if is_apart else reversed(users)
        elif users and users[-1].at > 0 and users[-1].turn == users[0].turn:
            yield from reversed(users[:-1])
        if self.static is not None:
            yield self.static

    def _is_worth(self, target: Block, kept: Block | None) -> bool:
        """Whether to write a prefix: another request is to read it, and none writes it at this moment."""
        if any(self._is_under_way(block) for block in self.eligible if block.characters <= target.characters):
            return False
        if self.rules.writes_anyway or self.wish.is_foreseen:
            return True
        price = self.rules.write[self.rules.snap(self.wish.lifetime)] - 1
        awaited = self.history.count_awaited(target)
        if awaited and awaited * (1 - self.rules.read) >= price:
            return True
        before = self._last_shared()
        turns = 0 if before is None else self.history.find(before).turns
        is_likely = max(self.history.find(target).uses, turns) >= _LIKELY
        return self.account.can_risk(price * (self.tokens(target) - self.tokens(kept)), is_likely=is_likely)

    def _is_under_way(self, block: Block) -> bool:
        """Whether another request is writing a prefix at this moment; to write it as well would be paid for twice."""
        seen = self.history.find(block)
        return seen.written_until > self.now and seen.kept_until <= self.now
