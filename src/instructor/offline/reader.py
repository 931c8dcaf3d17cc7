"""The walk over a schema that fills it from a text, and takes a sample wherever the text has nothing that fits."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from textwrap import shorten
from typing import Any

from instructor.offline.found import find_facts, is_date, rank_options, shorten_words, split_words
from instructor.offline.samples import Sampler, fits_number, fits_string, write_number
from instructor.offline.schemas import Schema, list_choices, list_options, list_required, merge, type_of

_MOST_VALUES = 2_000
"""How many values are read from the text; after that each further one is a sample."""
_MOST_CHARACTERS, _MOST_ITEMS, _SUMMARY_LENGTH = 50_000, 50, 100
_FOUND, _LIKELY, _GENERIC = 1.0, 0.5, 0.2
"""The evidence for a fact that suits the field; the least for an optional field; that for words which suit any field."""

_SENTENCES = re.compile(r"(?<=[.!?])\s+|\s*\n\s*")
_SPLITS = (re.compile(r"\Z"), re.compile(r"\n"), _SENTENCES, re.compile(r"[.!?]\s+|[\n;,]|\s+and\s+"))
"""Between the whole text, lines, sentences, clauses."""
_KINDS = {
    "email": "email",
    "mail": "email",
    "url": "url",
    "website": "url",
    "uri": "url",
    "name": "name",
    "date": "date",
}
"""The kind of fact for a string of this format, or with this word in its field's name."""


def fill_schema(schema: Mapping[str, Any], text: str) -> Any:
    """Make a JSON value that is valid under a schema, from a text, by plain rules. No language model is involved.

    An enum becomes the option that shares most words with the text. Numbers, dates, addresses and capitalised names are
    taken in their order. What the text doesn't say becomes null, empty or the plainest valid value. The same arguments
    give the same value in every process. You would use it to make data for a test without a provider.

    Args:
        schema: A JSON Schema (2020-12, as pydantic writes it). Not changed.
        text: The text to take values from. Its first 50,000 characters are read; more changes nothing and costs no time.

    Returns:
        A value of dicts, lists, strings, numbers, booleans and None. It validates under the schema wherever the
        schema's ``pattern`` can be read and its limits leave room for a value.

    Raises:
        ConfigurationError: The schema refers to a definition that it doesn't have.

    Example:
        >>> fill_schema({"type": "object", "properties": {"age": {"type": "integer"}}}, "Jason is 25 years old")
        {'age': 25}
    """
    text = text[:_MOST_CHARACTERS].encode("utf-8", "replace").decode()  # half a surrogate pair is not valid JSON
    return _Reader(schema).read(schema, _make_field(text)).value


@dataclass(frozen=True, slots=True)
class _Guess:
    value: Any
    evidence: float = 0.0


@dataclass(frozen=True, slots=True)
class _Field:
    """A text to look at, and the name of the property to fill from it with the references that lead there."""

    text: str
    facts: dict[str, list[str]]  # a field removes the fact that it takes, so that no two fields get the same one
    words: frozenset[str]
    name: str = ""
    refs: frozenset[str] = frozenset()


def _make_field(text: str, name: str = "", refs: frozenset[str] = frozenset()) -> _Field:
    return _Field(text, find_facts(text), shorten_words(text), name, refs)


class _Reader:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._sampler = Sampler(root)
        self._values = 0

    def read(self, schema: Any, field: _Field) -> _Guess:
        """Read one value. A schema that contains itself is read once and then ended by a sample."""
        self._values += 1
        plain, followed = merge(schema, self._root)
        if followed & field.refs or self._values > _MOST_VALUES:
            return _Guess(self._sampler.sample(schema))
        field = replace(field, refs=field.refs | followed)
        if options := list_options(plain):
            score, option = rank_options(options, field.words)[0]
            return _Guess(option, _FOUND if score else 0.0)
        if choices := list_choices(plain):
            return self._choose(choices, field)
        return _TYPES[type_of(plain)](self, plain, field)

    def _choose(self, choices: list[Schema], field: _Field) -> _Guess:
        """Read every choice and keep the one that the text says most for; the first of equals."""
        trials = [replace(field, facts={kind: [*values] for kind, values in field.facts.items()}) for _ in choices]
        guesses = [self.read(choice, trial) for choice, trial in zip(choices, trials, strict=True)]
        best = max(range(len(choices)), key=lambda at: guesses[at].evidence)
        field.facts.update(trials[best].facts)
        return guesses[best]

    def read_object(self, plain: Schema, field: _Field) -> _Guess:
        """Read the required properties, and the others where the text speaks of them.

        The evidence is that for the weakest required property: an object that lacks a part isn't in the text. A constant
        that the text names adds to it, as it tells the members of a union apart.
        """
        properties: dict[str, Any] = plain.get("properties", {})
        guesses = {name: self.read(schema, replace(field, name=name)) for name, schema in properties.items()}
        required, fixed = list_required(plain)
        is_found = {name: guess.evidence >= _LIKELY for name, guess in guesses.items()}
        members = {name: guess.value for name, guess in guesses.items() if name in required | fixed or is_found[name]}
        self._sampler.add_members(members, plain)
        weakest = min((guesses[name].evidence for name in required - fixed), default=float(any(is_found.values())))
        return _Guess(members, weakest + any(is_found[name] for name in fixed))

    def read_array(self, plain: Schema, field: _Field) -> _Guess:
        """Read all items that the text gives, within the limits."""
        values = [self.read(schema, field).value for schema in plain.get("prefixItems", ())]
        values = values or self._read_items(plain.get("items", {}), field)
        if plain.get("uniqueItems"):
            values = [value for at, value in enumerate(values) if value not in values[:at]]
        values = values[: plain.get("maxItems")]
        evidence = _FOUND if values else 0.0
        self._sampler.extend(values, plain, plain.get("minItems", 0))
        return _Guess(values, evidence)

    def _read_items(self, items: Any, field: _Field) -> list[Any]:
        plain, followed = merge(items, self._root)
        if followed & field.refs:
            return []
        if options := list_options(plain):
            ranked = rank_options(options, field.words)
            return [option for score, option in ranked if score and score >= ranked[0][0] / 2]
        if type_of(plain) not in {"string", "integer", "number"}:
            return self._read_pieces(items, field)
        kind = _find_kind(plain, field.name)
        if kind or plain.keys() & {"format", "contentMediaType"}:
            return [value for value, _ in _list_facts(plain, field, kind)][:_MOST_ITEMS]
        return [text for text in _split(field.text, _SENTENCES) if fits_string(text, plain)]

    def _read_pieces(self, items: Any, field: _Field) -> list[Any]:
        """One item for each line, sentence or clause, whichever gives the most items that lack nothing."""
        best: list[Any] = []
        for ends in _SPLITS:
            pieces = _split(field.text, ends)
            guesses = [self.read(items, _make_field(piece, field.name, field.refs)) for piece in pieces]
            best = max(best, [guess.value for guess in guesses if guess.evidence >= _LIKELY], key=len)
        return best

    def read_scalar(self, plain: Schema, field: _Field) -> _Guess:
        """Take the first fact that fits; else, for a string without a format or a pattern, the first words."""
        kind = _find_kind(plain, field.name)
        for value, fact in _list_facts(plain, field, kind):
            field.facts[kind].remove(fact)
            return _Guess(value, _FOUND)
        if type_of(plain) in {"", "string"} and not plain.keys() & {"format", "pattern", "contentMediaType"}:
            sentence = next(iter(_split(field.text, _SENTENCES)), "")
            most = max(plain.get("maxLength", _SUMMARY_LENGTH), 1)
            text = shorten(sentence, most, placeholder="\u2026").ljust(plain.get("minLength", 0), ".")
            if sentence and fits_string(text, plain):
                return _Guess(text, _GENERIC)
        return _Guess(self._sampler.sample(plain))


def _split(text: str, ends: re.Pattern[str]) -> list[str]:
    pieces = (piece.strip() for piece in ends.split(text))
    return [piece for piece in pieces if piece][:_MOST_ITEMS]


def _find_kind(plain: Schema, name: str) -> str:
    """The kind of fact that suits a field: by its type, its format, or else its name."""
    if type_of(plain) not in {"", "string"}:
        return "number"
    form = plain.get("format") or plain.get("contentMediaType")
    words = [form] if form else [word.removesuffix("s") for word in split_words(name)]
    return next((_KINDS[word] for word in words if word in _KINDS), "")


def _list_facts(plain: Schema, field: _Field, kind: str) -> Iterator[tuple[Any, str]]:
    """The values of a kind that are valid here, each with the fact that it is written from."""
    for fact in field.facts.get(kind, ()):
        if kind == "number":
            number = Fraction(fact.replace(",", ""))
            if fits_number(number, plain):
                yield write_number(number, plain), fact
        elif fits_string(fact, plain) and (plain.get("format") != "date" or is_date(fact)):
            yield fact, fact


_TYPES: dict[str, Callable[[_Reader, Schema, _Field], _Guess]] = {
    **dict.fromkeys(("", "string", "integer", "number"), _Reader.read_scalar),
    "object": _Reader.read_object,
    "array": _Reader.read_array,
    "boolean": lambda _reader, _plain, _field: _Guess(False),
    "null": lambda _reader, _plain, _field: _Guess(None, _LIKELY - 0.01),
}
