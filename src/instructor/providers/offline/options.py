"""Choosing among the options of an enum by the words they share with the text."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from instructor.providers.offline.text import NEGATIONS, split_stems, split_words, stem

_CUES = {
    "high": "urgent urgently immediately asap emergency stolen stole theft lost fraud fraudulent hacked compromised scam "
    "blocked locked swallowed critical danger dangerous outage down broken stranded hurry quickly desperate",
    "low": "curious wondering wonder someday eventually minor trivial whenever general possible",
    "medium": "wrong failed fail declined pending missing problem issue error help unable charged twice refund",
    "positive": "good great excellent love loved awesome amazing happy thanks wonderful best fantastic pleased perfect",
    "negative": "bad terrible awful hate hated worst poor disappointed angry broken useless horrible slow annoying",
    "yes": "yes yeah sure certainly definitely absolutely correct right agree true",
    "no": "no not never wrong disagree false",
}
_SAME = {
    "high": "critical urgent severe major emergency highest p0 p1",
    "low": "minor lowest trivial p3 p4",
    "medium": "normal moderate p2",
    "positive": "happy satisfied",
    "negative": "unhappy dissatisfied",
    "yes": "true",
    "no": "false",
}
_PLAIN = ("other", "unknown", "unspecified", "none", "neutral", "medium", "normal", "general", "default")
"""Options to take where nothing speaks for any, best first."""
_CUE_WEIGHTS = {"high": 2.0}
"""How much a cue word counts, where not 1: one sign of an emergency outweighs one of everyday trouble."""
_CLAUSE_END = re.compile(r"[,.;!?\n]|\bbut\b", re.IGNORECASE)

_PREFIX = 4
"""How many letters two long words must share at their beginning to count as much alike."""

_CUE_STEMS = {
    option: frozenset(stem(cue) for cue in _CUES[name].split())
    for name in _CUES
    for option in (name, *_SAME[name].split())
}
_WEIGHT_OF = {option: weight for name, weight in _CUE_WEIGHTS.items() for option in (name, *_SAME[name].split())}


def rank_options(options: Sequence[Any], text: str, hint: str = "") -> list[tuple[float, Any]]:
    """Score the options of an enum against a text.

    Words that few options share count more than words that many share (inverse document frequency), and a long
    option must share more than a short one.

    Args:
        options: The values: strings, mostly.
        text: What to look at.
        hint: The field's name and description; what an option shares with it counts nothing.

    Returns:
        ``(score, option)``, best first; equals stay in order. A score of 0 means that nothing speaks for it.
    """
    labels = tuple(str(option) for option in options)
    weights, stems = _weigh(labels)
    present = Counter(split_stems(text))
    told = frozenset(split_stems(hint))
    lowered = f" {' '.join(split_words(text))} "
    scored = [_score(label, own, weights, present, told, lowered) for label, own in zip(labels, stems, strict=True)]
    order = sorted(range(len(scored)), key=lambda index: (-scored[index], _plainness(labels, index, scored)))
    return [(scored[index], options[index]) for index in order]


@lru_cache(maxsize=64)
def _weigh(labels: tuple[str, ...]) -> tuple[dict[str, float], tuple[tuple[str, ...], ...]]:
    stems = tuple(tuple(dict.fromkeys(split_stems(label) or map(stem, split_words(label)))) for label in labels)
    seen = Counter(word for own in stems for word in own)
    return {word: 0.1 + math.log((1 + len(labels)) / count) for word, count in seen.items()}, stems


def _score(
    label: str,
    own: Iterable[str],
    weights: dict[str, float],
    present: Counter[str],
    told: frozenset[str],
    lowered: str,
) -> float:
    own = tuple(own)
    total = sum(weights[word] for word in own)
    shared = sum(weights[word] * _presence(word, present) for word in own if word not in told or len(own) == 1)
    score = shared / math.sqrt(total * (total + 1.0)) if total else 0.0
    if len(own) > 1 and f" {' '.join(split_words(label))} " in lowered:
        score += 0.5
    cues = sum(1 for cue in _CUE_STEMS.get(label.lower(), ()) if cue in present)
    return score + _WEIGHT_OF.get(label.lower(), 1.0) * cues


def _presence(word: str, present: Counter[str]) -> float:
    """How surely a stem is in the text; long stems that only begin alike count less."""
    if word in present:
        return 1.0
    alike = (other for other in present if min(len(word), len(other)) > _PREFIX and other[:_PREFIX] == word[:_PREFIX])
    return 0.6 if any(alike) else 0.0


def _plainness(labels: Sequence[str], index: int, scored: Sequence[float]) -> int:
    if scored[index] > 0:
        return index
    label = labels[index].lower()
    return _PLAIN.index(label) if label in _PLAIN else len(_PLAIN) + index


def is_confirmed(name: str, text: str) -> tuple[bool, bool]:
    """Decide a yes-or-no question about a text from the field's name, such as ``is_refund_requested``.

    Returns:
        The answer, and whether the text says anything about it. A negation up to three words before it, in the same clause, makes it false.
    """
    wanted = {word for word in split_stems(name) if word not in ("true", "fals", "flag")}
    wanted |= {cue for word in split_words(name) for cue in _CUE_STEMS.get(word, ())}
    for clause in _CLAUSE_END.split(text.replace("n't", " not").replace("n\u2019t", " not")):
        words = split_words(clause)
        for at, word in enumerate(words):
            if stem(word) in wanted:
                return not NEGATIONS.intersection(words[max(0, at - 3) : at]), True
    return False, False
