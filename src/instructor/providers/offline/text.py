"""A text as the filler sees it: words without their endings, sentences, clauses."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache


def list_words(words: str) -> list[str]:
    """Split a literal into its words; a long list is easier to read as a text."""
    return words.split()


STOP_WORDS = frozenset(
    list_words(
        "a about above after again all also am an and any anyone are as at be because been before being but by can "
        "could did do does doing down during each either else ever few for from further get give go got had has "
        "have having he her here hers him his how however i if in into is it its itself just let like may me might "
        "mine more most much must my myself need no nor not now of off on once only or other our out over own "
        "please same she should so some such than that the their them then there these they this those though "
        "through to too under until up us very was way we were what when where whether which while who whom why "
        "will with would yes yet you your extract following"
    )
)
"""Words that say little about what a text is about."""

NEGATIONS = frozenset(
    list_words("no not never none without cannot isn wasn doesn don didn hasn haven won aren nor neither")
)

_WORD = re.compile(r"[^\W_]+")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]*[A-Z0-9])|\n+")
_CLAUSE_END = re.compile(r"\s*[;,]\s+(?:and\s+)?|\s+(?:and|but)\s+")
_BULLET = re.compile(r"^\s*(?:[-*\u2022]|\d{1,3}[.)])\s+")
_ENDINGS = (
    ("ational", "ate"), ("ization", "ize"), ("fulness", "ful"), ("iness", "y"), ("ations", "ate"), ("ation", "ate"),
    ("ments", ""), ("ment", ""), ("ingly", ""), ("edly", ""), ("ities", "ity"), ("ies", "y"), ("ied", "y"), ("ings", ""),
    ("ing", ""), ("sses", "ss"), ("ions", ""), ("ion", ""), ("ness", ""), ("ally", "al"), ("ly", ""), ("eed", "ee"),
    ("ed", ""), ("ers", ""), ("er", ""), ("als", ""), ("al", ""), ("es", ""), ("s", ""),
)  # fmt: skip
_SHORTEST_STEM = 3


def split_words(text: str) -> list[str]:
    """The words of a text or of a name such as ``card_arrival`` or ``dueDate``, in lower case."""
    return [word.lower() for word in _WORD.findall(_HUMP.sub(" ", text))]


@lru_cache(maxsize=20_000)
def stem(word: str) -> str:
    """Cut a word's ending off, roughly: ``payments``, ``paying`` and ``payed`` all become ``pay``."""
    for ending, instead in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) + len(instead) >= _SHORTEST_STEM:
            word = word[: len(word) - len(ending)] + instead
            break
    if len(word) > _SHORTEST_STEM and word[-1] == word[-2] and word[-1] in "bdgmnprt":
        word = word[:-1]
    if len(word) > _SHORTEST_STEM and word.endswith(("e", "y")):
        word = word[:-1]
    return word


def split_stems(text: str) -> list[str]:
    """The stems of the words that say something, in order."""
    return [stem(word) for word in split_words(text) if word not in STOP_WORDS]


def split_sentences(text: str) -> list[str]:
    """The sentences of a text; a line break ends one, too. List bullets are taken off."""
    return _clean(_SENTENCE_END.split(text))


def split_lines(text: str) -> list[str]:
    """The lines that are not empty, without list bullets."""
    return _clean(text.splitlines())


def split_clauses(text: str) -> list[str]:
    """Pieces smaller than a sentence: cut at commas, semicolons, "and" and "but"."""
    return _clean(piece for sentence in split_sentences(text) for piece in _CLAUSE_END.split(sentence))


def shorten(text: str, length: int) -> str:
    """The text on one line, cut after a whole word where it is longer than `length` characters."""
    line = " ".join(text.split())
    if len(line) <= length:
        return line
    cut = line[: max(length - 1, 0)].rsplit(" ", 1)[0].rstrip(" ,;:-")
    return f"{cut}\u2026" if cut and length > 1 else line[:length]


def _clean(pieces: Iterable[str]) -> list[str]:
    bare = (_BULLET.sub("", piece).strip() for piece in pieces)
    return [piece for piece in bare if piece]
