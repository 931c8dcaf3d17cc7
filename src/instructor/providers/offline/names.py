"""Names of people, organisations and places, told by their capitals and by the words around them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from instructor.providers.offline.text import STOP_WORDS, list_words

_WORD = re.compile(r"[^\W\d_][\w'\u2019-]*")
_NO_NAMES = STOP_WORDS | frozenset(
    list_words(
        "hi hello dear thanks thank regards sincerely best monday tuesday wednesday thursday friday saturday "
        "sunday january february march april june july august september october november december "
        "yesterday today tomorrow i'm i've i'd i'll it's that's what's there's here's don't can't ok okay sorry mr "
        "mrs ms dr user name customer text"
    )
)
_INTRODUCTION = re.compile(
    r"(?:name\s?(?:is|:)|\bi am|\bi'm|\bcalled|\bthis is|\bdear|\bmr\.?|\bmrs\.?|\bms\.?|\bdr\.?)\s*$", re.IGNORECASE
)
_FROM_PLACE = re.compile(r"\b(?:in|from|to|near|of|lives? in|moved to|based in)\s+$", re.IGNORECASE)
_AT_FIRM = re.compile(r"\b(?:at|for|with|by|join(?:ed|s)?|works? (?:at|for)|from)\s+$", re.IGNORECASE)
_FIRM = re.compile(r"\b(?:Inc|Ltd|LLC|Corp|GmbH|AG|PLC|Bank|Company|Group|University|Foundation)$")
_VERB = re.compile(
    r"\s*(?:,\s*(?:a|an|the|who|aged?)?\s*\d*|\(|(?:is|was|has|had|works?|lives?|said|says|likes?|from|and)\b)",
    re.IGNORECASE,
)
_SENTENCE_START = re.compile(r"(?:^|[.!?\n]\s*)$")


def find_names(text: str) -> Iterator[tuple[str, str, int]]:
    """Find runs of capitalised words.

    Returns:
        ``(kind, name, start)`` with the kinds ``person``, ``organisation`` and ``place``; one run may be several.
    """
    for start, end in _capital_runs(text):
        name = re.sub(r"['\u2019]s$", "", text[start:end])
        before, after = text[max(0, start - 24) : start], text[end : end + 24]
        for kind, fits in _KINDS.items():
            if fits(name, before, after):
                yield kind, name, start


def _is_person(name: str, before: str, after: str) -> bool:
    if _INTRODUCTION.search(before):
        return True
    if name.isupper() or _FIRM.search(name) or _FROM_PLACE.search(before) or _AT_FIRM.search(before):
        return False
    return not _SENTENCE_START.search(before) or " " in name or bool(_VERB.match(after))


def _is_organisation(name: str, before: str, _after: str) -> bool:
    return bool(_FIRM.search(name) or _AT_FIRM.search(before))


def _is_place(name: str, before: str, _after: str) -> bool:
    return bool(_FROM_PLACE.search(before)) and not _FIRM.search(name)


_KINDS = {"person": _is_person, "organisation": _is_organisation, "place": _is_place}


def _capital_runs(text: str) -> Iterator[tuple[int, int]]:
    """Where runs of capitalised words that are no everyday words begin and end."""
    run: tuple[int, int] | None = None
    for word in _WORD.finditer(text):
        capital = word[0][0].isupper() and word[0].lower() not in _NO_NAMES
        if run and capital and text[run[1] : word.start()] in (" ", ". "[:1]):
            run = (run[0], word.end())
            continue
        if run:
            yield run
        run = word.span() if capital else None
    if run:
        yield run
