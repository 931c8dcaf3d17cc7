"""What a field's name and description say about the value that belongs in it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from instructor.providers.offline.facts import Fact, find_facts
from instructor.providers.offline.text import list_words, split_stems, split_words, stem

FOUND = 1.0
"""The evidence for a value that stands in the text where the field asks for it."""
LIKELY = 0.5
"""The least evidence for which an optional field is filled."""
GENERIC = 0.2
"""The evidence for a text that would do for any field."""

_ROLES = {
    "email": "email mail",
    "url": "url link website uri homepage",
    "phone": "phone mobile telephone tel fax",
    "uuid": "uuid guid",
    "date": "date day deadline due birthday dob born when",
    "time": "time hour clock",
    "duration": "duration length period",
    "currency": "currency",
    "money": "amount price cost total fee balance sum payment charge salary income budget money paid revenue refund",
    "percent": "percent percentage rate discount",
    "organisation": "company organisation organization employer merchant firm vendor brand supplier",
    "place": "city country location place address town state region destination origin",
    "identifier": "id identifier number code reference ref sku account order invoice",
    "title": "title subject headline heading",
    "summary": "summary description gist reason explanation reasoning rationale thought note detail comment answer response "
    "result output conclusion abstract overview analysis justification message_summary",
    "whole": "text content body message input quote original transcript",
    "keywords": "tag keyword topic theme label category",
    "person": "name person author customer user employee sender recipient patient speaker surname who contact",
}
_ROLE_OF = {stem(word): role for role, words in _ROLES.items() for word in words.split()}
_NEAR = {"age": ("years", "old", "aged"), "quantity": ("items", "pieces", "units"), "count": ("items", "times")}
_PERSON_PARTS = frozenset(
    list_words("first last full given family middle sur person customer user author employee contact")
)
_FAR = 10_000


@dataclass(frozen=True, slots=True)
class Field:
    """Where a value goes.

    Attributes:
        name: The property's name; empty at the top.
        description: Its description and its title.
    """

    name: str = ""
    description: str = ""

    @property
    def role(self) -> str:
        """The first role that a word of the name speaks for, from its end: an ``order_date`` is a date."""
        words = split_words(self.name)
        for word in reversed(words):
            role = _ROLE_OF.get(stem(word), "")
            if role == "person" and word == "name" and set(words) - _PERSON_PARTS - {"name"}:
                return ""  # a file_name is nobody's
            if role:
                return role
        return next((_ROLE_OF[word] for word in split_stems(self.description)[:3] if word in _ROLE_OF), "")

    @property
    def hint(self) -> str:
        """All that is said about the field."""
        return f"{self.name} {self.description}"


@dataclass(frozen=True, slots=True)
class Source:
    """The text that values are taken from, and what has been taken, so that two fields do not get the same thing."""

    text: str
    used: set[tuple[str, int]] = field(default_factory=set[tuple[str, int]])

    def rank(self, kinds: Iterable[str], wanted: Field) -> list[Fact]:
        """The facts of these kinds, those not used yet first, then by kind, then nearest to the field's own words."""
        order = {kind: position for position, kind in enumerate(kinds)}
        facts = [fact for fact in find_facts(self.text) if fact.kind in order]
        if len(facts) <= 1:
            return facts
        places = _find_words(wanted.name, self.text)
        return sorted(
            facts,
            key=lambda fact: (
                (fact.kind, fact.start) in self.used,
                order[fact.kind],
                _distance(fact, places),
                fact.start,
            ),
        )

    def take(self, fact: Fact) -> None:
        """Mark a fact as used."""
        self.used.add((fact.kind, fact.start))


def _find_words(name: str, text: str) -> list[int]:
    wanted = {stem(near) for word in split_words(name) for near in (word, *_NEAR.get(word, ()))}
    return [found.start() for found in re.finditer(r"[^\W_]+", text) if stem(found[0].lower()) in wanted]


def _distance(fact: Fact, places: list[int]) -> int:
    """Characters to the nearest of the words; a word before the fact is nearer than one behind it."""
    return min(
        (fact.start - place if place <= fact.start else 2 * (place - fact.start) for place in places), default=_FAR
    )


def find_stated(name: str, text: str) -> str | None:
    """What the text itself gives for a name: ``name: value``, ``"name": "value"``, ``name = value``, ``name is value``."""
    words = r"[\s_-]?".join(re.escape(word) for word in split_words(name))
    if not words:
        return None
    found = re.search(
        rf"(?<![^\W_]){words}[\"']?\s*(?::|=|\bis\b)\s*[\"']?(?P<value>[^\n\"',;{{\[]+?)(?=\s+and\s|[\n\"',;}}]|\.\s|\.?$)",
        text,
        re.IGNORECASE,
    )
    return found["value"].strip() if found else None
