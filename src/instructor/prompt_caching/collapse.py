"""Why a prefix that was read is not read any more: the first block that differs, and the vendor's own reason."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from instructor.cache.differing import count_common, find_difference
from instructor.messages import Completion
from instructor.prompt_caching.blocks import Block
from instructor.usage import Usage
from instructor.wires.text import get_path

LEAST_SHARE, LEAST_TOKENS = 0.05, 2000
"""By how much less must be read than expected to be worth a word."""
_MOST_REQUESTS = 8
_ALIKE = 0.9
_MOSTLY = 0.5


class Collapse(NamedTuple):
    """A prefix that should have been read, and wasn't.

    Attributes:
        model: The model that was asked.
        expected: The tokens that should have been read.
        read: The tokens that were.
        cause: What differs first, or that nothing does.
        reason: The vendor's own word; empty where it gives none.
    """

    model: str
    expected: int
    read: int
    cause: str
    reason: str = ""

    def __str__(self) -> str:
        reason = f" The provider says: {self.reason}." if self.reason else ""
        return (
            f"{self.model} read {self.read:,} tokens from the provider's prompt cache, where {self.expected:,} were expected: "
            f"{self.cause}.{reason} Keep what changes behind what stays, or see docs/prompt-caching.md."
        )


class Kept(NamedTuple):
    """A request, and the end of its prefix that was read."""

    blocks: Sequence[Block]
    end: Block


class Watchman:
    """Compares each request with those before it. It reports each place once."""

    def __init__(self) -> None:
        self._kept: dict[str, deque[Kept]] = {}
        self._reported: set[tuple[str, str]] = set()

    def judge(
        self,
        model: str,
        blocks: Sequence[Block],
        each: float,
        expected: Block | None,
        usage: Usage,
        completion: Completion,
    ) -> Collapse | None:
        """Judge a request that was answered. `each` is the tokens of a character."""
        kept = self._kept.setdefault(model, deque(maxlen=_MOST_REQUESTS))
        lost = _find_lost(expected, blocks, kept, each, usage.cached_tokens)
        if lost is None:
            if expected is not None:  # what was read once is expected to be read again; a row's own end never is
                kept.append(Kept(blocks, expected))
            return None
        place, cause, tokens = lost
        if (model, place) in self._reported:
            return None
        self._reported.add((model, place))
        return Collapse(model, tokens, usage.cached_tokens, cause, find_reason(completion))


def find_reason(completion: Completion) -> str:
    """The vendor's own word for a prefix that it couldn't read; empty where it gives none."""
    paths = (("diagnostics", "cache_miss_reason", "type"), ("prompt_cache_diagnostics", "reason"))
    reasons = (get_path(completion, *path) for path in paths)
    return next((reason for reason in reasons if isinstance(reason, str)), "")


def _find_lost(
    expected: Block | None, blocks: Sequence[Block], kept: Sequence[Kept], each: float, read: int
) -> tuple[str, str, int] | None:
    """Find what should have been read: where it breaks off, why, and how many tokens it is."""
    if expected is not None and _is_less(read, expected.characters * each):
        return "", "the request begins with what was kept, so the provider has lost it", int(expected.characters * each)
    for earlier in reversed(kept):
        if not _is_less(read, earlier.end.characters * each):
            continue
        found = _find_break(earlier, blocks)
        if found is not None:
            return (*found, int(earlier.end.characters * each))
    return None


def _is_less(read: int, expected: float) -> bool:
    return expected - read >= max(LEAST_TOKENS, LEAST_SHARE * expected)


def _find_break(earlier: Kept, blocks: Sequence[Block]) -> tuple[str, str] | None:
    """Find the first block that differs from an earlier request; None where this is another prompt altogether."""
    length = next(at for at, block in enumerate(earlier.blocks) if block.prefix == earlier.end.prefix) + 1
    before = earlier.blocks[:length]
    pairs = enumerate(zip(before, blocks, strict=False))
    at, (old, new) = next((pair for pair in pairs if pair[1][0].prefix != pair[1][1].prefix), (0, (None, None)))
    if old is None or new is None:
        return None
    if not (_is_edited(old.value, new.value) or _is_mostly_there(before[at:], blocks)):
        return None
    difference = find_difference(old.value, new.value, new.name)
    if difference is not None:
        return new.name, f"first differs {difference}".replace("stored", "before").replace("asked", "now")
    return new.name, f"before {new.name} another model, tool choice, way of thinking or response format is asked for"


def _is_edited(old: Any, new: Any) -> bool:
    """Whether a block is another's with a few other characters."""
    one, other = _text_of(old), _text_of(new)
    start = count_common(one, other)
    end = count_common(one[start:][::-1], other[start:][::-1])
    return start + end >= _ALIKE * max(len(one), len(other), 1)


def _is_mostly_there(lost: Sequence[Block], blocks: Sequence[Block]) -> bool:
    """Whether most of what can't be read is in the request nevertheless, behind something else."""
    there = {_text_of(block.value) for block in blocks}
    texts = [_text_of(block.value) for block in lost]
    return sum(len(text) for text in texts if text in there) >= _MOSTLY * sum(map(len, texts))


def _text_of(value: Any) -> str:
    text = get_path(value, "text")
    return text if isinstance(text, str) else value if isinstance(value, str) else repr(value)
