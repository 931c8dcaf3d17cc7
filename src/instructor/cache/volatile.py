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
takes time, so for a program of many calls it comes to nothing."""

_LONGEST = 10_000
"""Characters of a prompt that is looked at."""


class Kind(NamedTuple):
    """A kind of span.

    Attributes:
        name: What it is called, with its article.
        patterns: What it looks like, and which characters are to be written as 0 before. A search for what begins with a
            character takes a tenth of the time of one for what begins with a digit.
        advice: What to do about it.
        shown: Characters of it that a warning shows: an id may be a credential.
        enough: Calls that differ in it before it counts.
    """

    name: str
    patterns: tuple[tuple[str, str], ...]
    advice: str
    shown: int = 40
    enough: int = 3


_DROP = "Take it out of the prompt; to get new answers on purpose, pass cache_salt="
_COARSER = "Take it out of the prompt, or write it coarser, such as the hour for a time and the month for a date"
_FIELDS = "Write the object's fields into the prompt, or give its class a __repr__ without an address"
_PATH = "Write the name of the file alone, or take it out of the prompt"
_AS_IT_IS, _DIGITS, _LOWER_HEX, _HEX = "", "123456789", "123456789abcdef", "123456789abcdefABCDEF"
_CLOCK = r"00?:00(?::00(?:[.,]0+)?)?(?: ?[AaPp]\.?[Mm]\b)?"
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\.?"
_ISO = "0000-00-00"

KINDS: Final = (
    Kind("a UUID", ((_HEX, r"00000000-(?:0000-){3}0{12}\b"),), _DROP, shown=8),
    Kind("the repr of an object", ((_AS_IT_IS, r"<[^<>\n]{1,80} at 0x[0-9a-fA-F]+>"),), _FIELDS),
    Kind("a memory address", ((_AS_IT_IS, r"0x[0-9a-fA-F]{6,16}\b"),), _FIELDS),
    Kind(
        "a time",
        (
            (_DIGITS, rf"{_ISO}[T ]{_CLOCK}(?:Z|[+-]00:?00)?"),
            (_DIGITS, _CLOCK),
            (_AS_IT_IS, r"1[5-9]\d{8}(?:\d{3})?(?:\.\d+)?\b"),
        ),
        _COARSER,
    ),
    Kind(
        "a date",
        (
            (_DIGITS, rf"{_ISO}\b"),
            (_DIGITS, r"00?[./]00?[./]000?0?\b"),
            (_DIGITS, rf"00?\.? {_MONTH} 0000"),
            (_DIGITS, rf"{_MONTH} 00?, 0000"),
        ),
        _COARSER,
    ),
    Kind("an id", ((_LOWER_HEX, r"00000000000000000{0,48}\b"),), _DROP, shown=8),
    Kind("a path", ((_AS_IT_IS, r"[/\\][\w.+~-]+(?:[/\\][\w.+~-]+)+"),), _PATH),
    Kind("a counter", ((_DIGITS, "00*"),), "Take it out of the prompt", enough=8),
)
"""What was found by an earlier row isn't looked at by a later one."""

_COUNTER = KINDS[-1]


@functools.cache
def _compile() -> list[tuple[Kind, bytes, re.Pattern[str]]]:
    # When they are first needed, because it takes milliseconds. One after the other they take a third of the time that
    # one pattern of them all does.
    rows = [(kind, zeros.encode(), pattern) for kind in KINDS for zeros, pattern in kind.patterns]
    return [(kind, bytes.maketrans(zeros, b"0" * len(zeros)), re.compile(pattern)) for kind, zeros, pattern in rows]


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
    shapes: dict[bytes, str] = {}
    for kind, table, pattern in _compile():
        if table not in shapes:  # in bytes, because `str.translate` takes 50 times as long once a letter isn't ASCII
            shapes[table] = text.encode("utf-8", "surrogatepass").translate(table).decode("utf-8", "surrogatepass")
        parts, end = list[str](), 0
        for match in pattern.finditer(shapes[table]):
            start, before, end = match.start(), end, match.end()
            spans.append(Span(kind, field, text[start:end]))
            parts += text[before:start], "\0"
        if parts:
            text, shapes = "".join([*parts, text[end:]]), {}
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
