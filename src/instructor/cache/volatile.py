"""Finds prompts that never come again because a date, an id or the like in them is new each time.

A prompt is reduced to its form, in which each such span is a mark. Calls of one form that differ in the same kind of
span give themselves away. Of a prompt nothing is kept but hashes.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Final, NamedTuple, cast

MOST_EXAMINED = 100
"""Misses of a client that are looked at. A prompt that changes with every call shows among the first; and to reduce one
takes a tenth of a millisecond for each 1,000 characters, so for a program of many calls it comes to nothing."""

_LONGEST = 10_000
"""Characters of a prompt that is looked at."""


class Kind(NamedTuple):
    """A kind of span.

    Attributes:
        name: What it is called, with its article.
        patterns: What it looks like. Each begins with few characters, so that a search is fast.
        advice: What to do about it.
        shown: Characters of it that a warning shows: an id may be a credential.
        enough: Calls that differ in it before it counts.
    """

    name: str
    patterns: tuple[str, ...]
    advice: str
    shown: int = 40
    enough: int = 3


_DROP = "Take it out of the prompt; to get new answers on purpose, pass cache_salt="
_COARSER = "Take it out of the prompt, or write it coarser, such as the hour for a time and the month for a date"
_FIELDS = "Write the object's fields into the prompt, or give its class a __repr__ without an address"
_PATH = "Write the name of the file alone, or take it out of the prompt"
_CLOCK = r"[0-9]{1,2}:\d\d(?::\d\d(?:[.,]\d+)?)?(?: ?[AaPp]\.?[Mm]\b)?"
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\.?"
_ISO = r"[0-9]{4}-\d\d-\d\d"

KINDS: Final = (
    Kind("a UUID", (r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b",), _DROP, shown=8),
    Kind("the repr of an object", (r"<[^<>\n]{1,80} at 0x[0-9a-fA-F]+>",), _FIELDS),
    Kind("a memory address", (r"0x[0-9a-fA-F]{6,16}\b",), _FIELDS),
    Kind(
        "a time",
        (rf"{_ISO}[T ]{_CLOCK}(?:Z|[+-]\d\d:?\d\d)?", _CLOCK, r"1[5-9]\d{8}(?:\d{3})?(?:\.\d+)?\b"),
        _COARSER,
    ),
    Kind(
        "a date",
        (
            rf"{_ISO}\b",
            r"[0-9]{1,2}[./]\d{1,2}[./]\d{2,4}\b",
            rf"[0-9]{{1,2}}\.? {_MONTH} \d{{4}}",
            rf"{_MONTH} \d{{1,2}}, \d{{4}}",
        ),
        _COARSER,
    ),
    Kind("an id", (r"[0-9a-f]{16,64}\b",), _DROP, shown=8),
    Kind("a path", (r"[/\\][\w.+~-]+(?:[/\\][\w.+~-]+)+",), _PATH),
    Kind("a counter", (r"[0-9]+",), "Take it out of the prompt", enough=8),
)
"""What was found by an earlier row isn't looked at by a later one."""

_COUNTER = KINDS[-1]


@functools.cache
def _compile() -> list[tuple[Kind, re.Pattern[str]]]:
    # When they are first needed, because it takes milliseconds. One after the other they take a third of the time that
    # one pattern of them all does.
    return [(kind, re.compile(pattern)) for kind in KINDS for pattern in kind.patterns]


class Span(NamedTuple):
    """A span of a prompt.

    Attributes:
        field: Where it stands, such as ``messages[0].content``.
        text: It.
    """

    kind: Kind
    field: str
    text: str

    def __str__(self) -> str:
        shown = self.text[: self.kind.shown]
        return f"{shown + '...' if len(self.text) > len(shown) else shown!r} in {self.field}"


class _Form(NamedTuple):
    """What was seen of the calls of one form.

    Attributes:
        calls: How many there were, one after the other, that differ in spans that count.
        values: Of the latest one, what stands for each span.
    """

    calls: int
    values: list[int]


class VolatileSpans:
    """What one client has seen of prompts that missed."""

    def __init__(self) -> None:
        self._forms: dict[int, _Form] = {}
        self._left = MOST_EXAMINED

    @property
    def is_open(self) -> bool:
        """Whether there are misses left to be looked at."""
        return self._left > 0

    def examine(self, settings: int, messages: object) -> list[Span]:
        """Return the spans in which a call differs from several others, and in nothing else; one of each kind.

        `settings` stands for all of the call but its messages.
        """
        if self._left <= 0:
            return []
        self._left -= 1
        texts = list(_find_texts(messages, "messages"))
        if sum(len(text) for _, text in texts) > _LONGEST:
            return []
        spans: list[Span] = []
        texts = [(field, _reduce(field, text, spans)) for field, text in texts]
        form = hash((settings, *texts, *(span.kind.name for span in spans)))
        values = [_value_of(span) for span in spans]
        known = self._forms.get(form)
        pairs = zip(values, known.values if known is not None else values, strict=False)
        changed = [number for number, (value, before) in enumerate(pairs) if value != before]
        if known is None or not changed:
            self._forms[form] = known or _Form(1, values)
            return []
        # A number that goes up by one is a counter; any other number is what is asked about.
        counts = all(spans[at].kind is not _COUNTER or values[at] == known.values[at] + 1 for at in changed)
        self._forms[form] = made = _Form(known.calls + 1 if counts else 1, values)
        found = {spans[at].kind: spans[at] for at in reversed(changed)}
        enough = max(kind.enough for kind in found)
        return list(found.values()) if counts and made.calls >= enough else []


def _reduce(field: str, text: str, spans: list[Span]) -> str:
    """Write a text with marks in place of spans, and collect these."""
    for kind, pattern in _compile():
        form, parts, end = text, list[str](), 0
        for match in pattern.finditer(text):
            spans.append(Span(kind, field, match[0]))
            parts += text[end : match.start()], "\0"
            end = match.end()
        text = "".join([*parts, form[end:]]) if parts else text
    return text


def reduce_text(text: str) -> str:
    """The form of a text; itself where that is too long to be looked at."""
    return text if len(text) > _LONGEST else _reduce("", text, [])


def _value_of(span: Span) -> int:
    return int(span.text) if span.kind is _COUNTER and len(span.text) < 18 else hash(span.text)  # noqa: PLR2004 - an int


def _find_texts(value: object, field: str) -> Iterator[tuple[str, str]]:
    """The texts in plain data, each with its path."""
    if isinstance(value, str):
        yield field, value
    elif isinstance(value, dict):
        for name, member in cast("dict[object, object]", value).items():
            yield from _find_texts(member, f"{field}.{name}")
    elif isinstance(value, list | tuple):
        for number, member in enumerate(cast("list[object]", value)):
            yield from _find_texts(member, f"{field}[{number}]")
