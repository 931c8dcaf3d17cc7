"""Plans what a client's requests mark, and learns from the answers what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from instructor.locks import make_lock
from instructor.messages import Completion, Request
from instructor.prompt_caching.blocks import FORMS, Block, read_blocks, write_marks
from instructor.prompt_caching.collapse import Collapse, Watchman
from instructor.prompt_caching.history import Account, Foreseen, History
from instructor.prompt_caching.rules import Rules, find_rules
from instructor.prompt_caching.setting import PromptCache
from instructor.prompt_caching.sight import Sight
from instructor.usage import Usage

_TOKENS_EACH = 0.25
"""How many tokens a character is, until a model's answers have shown it."""
_LEAST, _MOST = 0.05, 1.5
"""What an answer may show; beyond, the prompt held something whose tokens aren't in its characters."""


class Planner:
    """What one client knows of its vendor's prompt cache. It may be used from any thread.

    Attributes:
        account: What its marks have saved and cost.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.account = Account()
        self._clock = clock
        self._history = History()
        self._watchman = Watchman()
        self._tokens_each: dict[str, float] = {}
        self._lock = make_lock()

    def plan(
        self, vendor: str, wire: str, model: str, request: Request, wish: PromptCache, *, is_live: bool = True
    ) -> Request:
        """Copy a request with marks where the vendor's rules make them pay. What the user marked stays as it is.

        A prefix that a live request is to write is noted at once, so that none planned beside it writes it too.
        """
        rules, form = find_rules(vendor, model), FORMS.get(wire)
        if rules is None or form is None:
            return request
        blocks = read_blocks(form, request)
        with self._lock:
            each = self._tokens_each.get(model, _TOKENS_EACH)
            now = self._clock()
            sight = Sight(rules, wish, blocks, self._history, self.account, each, now)
            anchor, chosen = sight.anchor, sight.choose()
            marked = sum(len(block.marks) for block in blocks)
            new = [block for block in chosen if block.mark is None][: max(0, rules.most_marks - marked)]
            for block in new:
                self._history.note(block).is_ours = True
                if is_live:
                    self._history.note_write(block, now)
        if rules.has_key and anchor is not None and "prompt_cache_key" not in request:
            request = {**request, "prompt_cache_key": anchor.prefix.hex()}
        lifetime = rules.snap(wish.lifetime)
        return write_marks(form, request, [(block, _order(rules, blocks, block, lifetime)) for block in new])

    def foresee(self, vendor: str, wire: str, model: str, request: Request, wish: PromptCache) -> Foreseen:
        """Note that a request will be made, as one of many; see `begin` and `end`.

        Where the vendor's requests can't be read, all are taken to have one beginning if the caller says so.
        """
        rules, form = find_rules(vendor, model), FORMS.get(wire)
        if rules is None:
            return Foreseen()
        blocks = [] if form is None else read_blocks(form, request)
        with self._lock:
            least = rules.minimum / self._tokens_each.get(model, _TOKENS_EACH)
            kept = [one for one in blocks if one.characters >= least and (one.can_mark or not rules.most_marks)]
            prefixes = tuple(block.prefix for block in kept)
            if form is None and wish.is_foreseen:
                prefixes = (f"{vendor}/{model}".encode(),)
            whole = blocks[-1].prefix if blocks else b""
            return self._history.foresee(prefixes, whole, rules.seconds(wish.lifetime))

    def begin(self, foreseen: Foreseen) -> None:
        """Note that a request that was foreseen is made now."""
        with self._lock:
            self._history.begin_foreseen(foreseen)

    def drop(self, foreseen: Foreseen) -> None:
        """Note that it won't be made."""
        with self._lock:
            self._history.drop_foreseen(foreseen)

    def end(self, foreseen: Foreseen, *, is_answered: bool) -> None:
        """Note whether the vendor has answered it, and so has read what it begins with."""
        with self._lock:
            self._history.end_foreseen(foreseen, self._clock(), is_answered=is_answered)

    def is_warm(self, prefix: bytes) -> bool:
        """Whether a request needn't wait until another one has written a prefix."""
        with self._lock:
            return self._history.is_warm(prefix, self._clock())

    def watch(self, vendor: str, wire: str, model: str, request: Request) -> Watch | None:
        """Note that a request is being sent; None where its vendor or its wire has no rules."""
        rules, form = find_rules(vendor, model), FORMS.get(wire)
        if rules is None or form is None:
            return None
        watch = Watch(self, rules, model, read_blocks(form, request))
        with self._lock:
            now = self._clock()
            watch.expected = self._find_expected(watch, now)
            self._history.begin(watch.blocks, now, max(rules.lifetimes.values()))
        return watch

    def settle(self, watch: Watch, usage: Usage, completion: Completion) -> Collapse | None:
        """Learn what the vendor read of a request. Returns what to tell the caller, if that was less than expected."""
        rules, blocks = watch.rules, watch.blocks
        if not blocks or not usage.input_tokens:
            return None
        marks = [block for block in blocks if block.mark is not None]
        if rules.writes_anyway:
            marks.append(blocks[-1])
        with self._lock:
            each = usage.input_tokens / blocks[-1].characters
            self._tokens_each[watch.model] = min(_MOST, max(_LEAST, each))
            for block in marks:
                seen = self._history.note(block)
                lifetime = rules.lifetimes.get(block.mark or "") or next(iter(rules.lifetimes.values()))
                seen.kept_until, seen.written_until = max(seen.kept_until, self._clock() + lifetime), 0.0
            self._enter(watch, marks, usage, each)
            return self._watchman.judge(watch.model, blocks, each, watch.expected, usage, completion)

    def _find_expected(self, watch: Watch, now: float) -> Block | None:
        """The longest prefix that this request should be able to read."""
        kept = (
            block
            for block in reversed(watch.blocks)
            if block.mark is not None and self._history.find(block).kept_until > now
        )
        return next(kept, None)

    def _enter(self, watch: Watch, marks: Sequence[Block], usage: Usage, each: float) -> None:
        """Enter what a request cost, and what of it the planner's marks have saved and cost."""
        account, rules = self.account, watch.rules
        account.spent += usage.input_tokens
        ours = [block for block in marks if self._history.find(block).is_ours]
        if not ours or rules.writes_anyway:
            return
        account.saved += usage.cached_tokens * (1 - rules.read)
        price = rules.write.get(ours[-1].mark or "", 1.0) - 1
        account.paid += max(0.0, ours[-1].characters * each - usage.cached_tokens) * price


class Watch:
    """One request under way.

    Attributes:
        expected: The longest prefix that it should be able to read; None where none.
    """

    def __init__(self, planner: Planner, rules: Rules, model: str, blocks: Sequence[Block]) -> None:
        self.rules = rules
        self.model = model
        self.blocks = blocks
        self.expected: Block | None = None
        self._planner = planner

    def settle(self, usage: Usage, completion: Completion) -> Collapse | None:
        """Learn from the answer; see `Planner.settle`."""
        return self._planner.settle(self, usage, completion)


def _order(rules: Rules, blocks: Sequence[Block], block: Block, lifetime: str) -> str:
    """Choose a lifetime beside the user's own marks: vendors refuse a longer one behind a shorter one."""
    seconds = rules.lifetimes
    before = [one.mark for one in blocks if one.mark in seconds and one.characters < block.characters]
    after = [one.mark for one in blocks if one.mark in seconds and one.characters > block.characters]
    longest = max([lifetime, *filter(None, after)], key=seconds.__getitem__)
    return min([longest, *filter(None, before)], key=seconds.__getitem__)
