"""What a text says, found by one regular expression: numbers, dates, addresses and names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from typing import Any

_FACT = re.compile(
    r"""(?P<url>https?://[^\s<>"')\]]+)
    |(?P<email>\b[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[a-z]{2,24}\b)
    |(?P<date>\b(?:\d{4}-\d\d-\d\d|\d{1,2}[/.]\d{1,2}[/.]\d{4}|(?:\d{1,3}|a|two|three|few)[ ](?:day|week|month)s?[ ]ago
        |yesterday|today|tomorrow|last[ ](?:night|week|month))\b)
    |(?P<number>(?<![\w.,])-?\d{1,18}(?:,\d{3}){0,5}(?:\.\d{1,18})?(?![\w.]*\d))
    |(?P<name>\b[^\W\d_a-z][\w'\u2019-]{1,40}(?:[ ][^\W\d_a-z][\w'\u2019-]{1,40}){0,3}\b(?!:))""",
    re.VERBOSE,
)
_COMMON = frozenset(
    {"a", "an", "dear", "extract", "from", "her", "hi", "his", "how", "i'm", "my", "please", "the", "this"}
)
"""Words that begin sentences and are not names."""
_WORD = re.compile(r"[^\W_]+")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_PREFIX, _SHORTEST_WORD = 4, 3


def find_facts(text: str) -> dict[str, list[str]]:
    """The facts in a text, in their order, by kind: ``"number"``, ``"date"``, ``"email"``, ``"url"``, ``"name"``."""
    facts: dict[str, list[str]] = {}
    for match in _FACT.finditer(text):
        kind, value = str(match.lastgroup), match[0].rstrip(".,;:!?")
        first, _, rest = value.partition(" ")
        if kind == "name" and first.lower() in _COMMON:
            value = rest
        if value:
            facts.setdefault(kind, []).append(value)
    return facts


def split_words(text: str) -> list[str]:
    """The words of a text or of a name such as ``card_arrival`` or ``dueDate``, in lower case."""
    return [word.lower() for word in _WORD.findall(_HUMP.sub(" ", text))]


def shorten_words(text: str) -> frozenset[str]:
    """The first four letters of each word, so that ``paying`` and ``payment`` are alike; the shortest words are left out."""
    words = split_words(text)
    return frozenset(word[:_PREFIX] for word in words if len(word) >= _SHORTEST_WORD) or frozenset(words)


def rank_options(options: Sequence[Any], words: frozenset[str]) -> list[tuple[float, Any]]:
    """Score the options of an enum by how many of their words are among `words`: ``(score, option)``, best first."""
    own = [shorten_words(str(option)) for option in options]
    scores = [len(mine & words) / max(len(mine), 1) ** 0.5 for mine in own]
    return sorted(zip(scores, options, strict=True), key=lambda pair: -pair[0])


def is_date(text: str) -> bool:
    """Whether a fact of the kind ``"date"`` stands as ISO 8601 has it; ``today`` doesn't, and ``2024-13-45`` isn't one."""
    try:
        return bool(date.fromisoformat(text))
    except ValueError:
        return False
