"""The walk over a schema that fills it from a text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from instructor.providers.offline.field import FOUND, GENERIC, LIKELY, Field, Source, find_stated
from instructor.providers.offline.numbers import fill_number, find_numbers
from instructor.providers.offline.options import is_confirmed, rank_options
from instructor.providers.offline.pattern import sample_pattern
from instructor.providers.offline.schemas import Heights, Schema, list_choices, merge, type_of
from instructor.providers.offline.strings import fill_string, find_strings
from instructor.providers.offline.text import shorten, split_clauses, split_lines, split_sentences, split_stems
from instructor.providers.offline.variation import vary

_MOST_VALUES = 2_000
"""How many values are filled from the text; after that each further one is the smallest that is valid."""
_MOST_ITEMS = 50
_ANY_LENGTH = 200
_CONFIDENT = 0.3


def fill_schema(schema: Mapping[str, Any], text: str) -> Any:
    """Make a JSON value that is valid under a schema, from a text, by rules.

    Enums are chosen by shared words, numbers, dates, amounts, names and addresses are found by patterns, booleans
    follow negations, and what the text does not say becomes null, empty or the plainest valid value. The same
    arguments give the same value in every process. No language model is involved.

    You would use it to make plausible data in a test without a provider.

    Args:
        schema: A JSON Schema (2020-12, as pydantic writes it). Not changed.
        text: The text to take values from.

    Returns:
        A value of dicts, lists, strings, numbers, booleans and None. It validates under the schema wherever the
        schema's ``pattern`` can be read and its limits leave room for a value.

    Example:
        >>> fill_schema({"type": "object", "properties": {"age": {"type": "integer"}}}, "Jason is 25 years old")
        {'age': 25}
    """
    return _Filler(schema).fill(schema, _Spot(Field(), Source(text))).value


@dataclass(frozen=True, slots=True)
class _Filled:
    """A value, the evidence for it (0 to 1), and whether every required part of it was found."""

    value: Any
    evidence: float
    complete: bool = True


@dataclass(frozen=True, slots=True)
class _Spot:
    """Where in the answer we are: the field, the text to look at, the references followed to come here."""

    place: Field
    source: Source
    refs: frozenset[str] = frozenset()
    short: bool = False
    """Whether to take the smallest value, because this schema contains itself."""

    def about(self, text: str) -> _Spot:
        return replace(self, source=Source(text))


class _Filler:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._heights = Heights(root)
        self._values = 0

    def fill(self, schema: Any, spot: _Spot) -> _Filled:
        """Fill one schema."""
        self._values += 1
        plain, spot = self._enter(schema, spot)
        if "const" in plain:
            return _Filled(plain["const"], GENERIC)
        if "enum" in plain:
            return _fill_enum(plain, spot)
        choices = list_choices(plain)
        if choices:
            return self.fill(self._choose(choices, spot), spot)
        return self._fill_type(plain, spot)

    def _enter(self, schema: Any, spot: _Spot) -> tuple[Schema, _Spot]:
        plain, followed = merge(schema, self._root)
        said = f"{plain.get('title', '')} {plain.get('description', '')}".strip()
        known = replace(spot.place, description=spot.place.description or said)
        again = bool(followed & spot.refs) or self._values > _MOST_VALUES
        return plain, replace(spot, place=known, refs=spot.refs | followed, short=spot.short or again)

    def _fill_type(self, plain: Schema, spot: _Spot) -> _Filled:
        fill = _TYPES.get(type_of(plain))
        if fill is None:
            return _Filled(shorten(spot.source.text, _ANY_LENGTH), GENERIC)
        return fill(self, plain, spot)

    def _choose(self, choices: Sequence[Any], spot: _Spot) -> Any:
        if spot.short:
            return min(choices, key=self._heights.of)
        return max(choices, key=lambda choice: self._estimate(choice, spot))

    def _estimate(self, schema: Any, spot: _Spot) -> float:
        """How well a choice suits the text, without filling what lies deep in it."""
        plain, inside = self._enter(schema, spot)
        if inside.short:
            return -1.0
        kind = type_of(plain)
        if kind == "null":
            return LIKELY - 0.01
        if list_choices(plain):
            return max(self._estimate(choice, inside) for choice in list_choices(plain))
        if kind == "object":
            return self._estimate_object(plain, inside)
        if kind == "array":
            return 0.9 * self._estimate(plain.get("items", {}), inside)
        return self.fill(plain, replace(inside, source=Source(spot.source.text, set(spot.source.used)))).evidence

    def _estimate_object(self, plain: Schema, spot: _Spot) -> float:
        properties: dict[str, Any] = plain.get("properties", {})
        own = split_stems(f"{plain.get('title', '')} {plain.get('description', '')} {' '.join(properties)}")
        own += split_stems(" ".join(str(value) for schema in properties.values() for value in _constants(schema)))
        present = set(split_stems(spot.source.text))
        shared = sum(1 for word in dict.fromkeys(own) if word in present)
        source = Source(spot.source.text, set(spot.source.used))
        required = [name for name in plain.get("required", ()) if name in properties]
        found = [self._estimate_property(name, properties[name], replace(spot, source=source)) for name in required]
        return shared + (sum(found) / len(found) if found else 0.0)

    def _estimate_property(self, name: str, schema: Any, spot: _Spot) -> float:
        plain, inside = self._enter(schema, replace(spot, place=Field(name)))
        if inside.short or list_choices(plain) or type_of(plain) in ("object", "array"):
            return GENERIC
        return self.fill(plain, inside).evidence

    def fill_object(self, plain: Schema, spot: _Spot) -> _Filled:
        """Fill the properties that are required, and those that the text speaks of."""
        required = frozenset(plain.get("required", ()))
        value: dict[str, Any] = {}
        evidence: list[float] = []
        complete = True
        for name, schema in plain.get("properties", {}).items():
            fixed = bool(_constants(schema))
            if spot.short and name not in required and not fixed:
                continue
            filled = self.fill(schema, replace(spot, place=Field(name)))
            evidence.append(filled.evidence)
            complete = complete and (name not in required or fixed or (filled.complete and filled.evidence >= LIKELY))
            if name in required or fixed or filled.evidence >= LIKELY:
                value[name] = filled.value
        self.fill_free_keys(plain, spot, value)
        return _Filled(value, sum(evidence) / len(evidence) if evidence else float(bool(value)), complete)

    def fill_free_keys(self, plain: Schema, spot: _Spot, value: dict[str, Any]) -> None:
        """Members that no property names: those that the text states, and as many as ``minProperties`` asks."""
        patterns: dict[str, Any] = plain.get("patternProperties", {})
        pattern, free = next(iter(patterns.items()), ("", plain.get("additionalProperties", {})))
        names, _ = merge(plain.get("propertyNames", {}), self._root)
        for key in names.get("enum", ()):
            if free is not False and not spot.short and find_stated(str(key), spot.source.text):
                value[key] = self.fill(free, replace(spot, place=Field(str(key)))).value
        for key in plain.get("required", ()):
            if key not in value:
                value[key] = self.fill(free, replace(spot, place=Field(key))).value
        keys = names.get("enum") or [
            sample_pattern(pattern or names.get("pattern", ""), at) or f"{at + 1}".rjust(names.get("minLength", 1), "0")
            for at in range(plain.get("minProperties", 0))
        ]
        for key in keys:
            if len(value) >= plain.get("minProperties", 0):
                break
            if key not in value:
                value[key] = self.fill(free, replace(spot, place=Field(str(key)))).value

    def fill_array(self, plain: Schema, spot: _Spot) -> _Filled:
        """Fill an array with all that the text gives, within the limits."""
        prefix = plain.get("prefixItems", ())
        values = [self.fill(schema, spot).value for schema in prefix]
        least, most = plain.get("minItems", 0), min(plain.get("maxItems", _MOST_ITEMS), _MOST_ITEMS)
        items = plain.get("items", {})
        if not prefix and not spot.short:
            values = self._find_items(items, spot)
        evidence = FOUND if values else 0.0
        values = _drop_doubles(values) if plain.get("uniqueItems") else values
        values = values[: max(most, least)]
        while len(values) < least:
            values.append(self._fill_another(items, spot, values, unique=plain.get("uniqueItems", False)))
        return _Filled(values, evidence)

    def _fill_another(self, items: Any, spot: _Spot, values: list[Any], *, unique: bool) -> Any:
        """One more item, because ``minItems`` asks for it."""
        value = self.fill(items, spot).value
        plain, _ = merge(items, self._root)
        return vary(value, plain, values, lambda schema: merge(schema, self._root)[0]) if unique else value

    def _find_items(self, items: Any, spot: _Spot) -> list[Any]:
        """All items that the text gives."""
        plain, inside = self._enter(items, spot)
        if inside.short:
            return []
        choices = [choice for choice in list_choices(plain) if type_of(merge(choice, self._root)[0]) != "null"]
        text = spot.source.text
        if options := plain.get("enum", _constants(plain)):
            ranked = rank_options(options, text, inside.place.hint)
            return [option for score, option in ranked if score >= max(_CONFIDENT, ranked[0][0] / 2)]
        if choices and not _are_objects(choices, self._root):
            return self._find_items(self._choose(choices, inside), inside)
        kind = type_of(plain)
        if kind in _COLLECTORS:
            return list(_COLLECTORS[kind](plain, spot.place, text))
        return self._find_objects(items, spot) if choices or kind == "object" else []

    def _find_objects(self, items: Any, spot: _Spot) -> list[Any]:
        """One object for each line, sentence or clause, whichever gives the most objects that are complete."""
        best: list[Any] = []
        for split in (_keep_whole, split_lines, split_sentences, split_clauses):
            filled = [self.fill(items, spot.about(piece)) for piece in split(spot.source.text)[:_MOST_ITEMS]]
            found = [one.value for one in filled if one.complete and one.evidence >= LIKELY]
            best = found if len(found) > len(best) else best
        if best:
            return best
        whole = self.fill(items, spot)
        return [whole.value] if whole.evidence >= GENERIC else []


def _keep_whole(text: str) -> list[str]:
    return [text] if text.strip() else []


def _are_objects(choices: Sequence[Any], root: Mapping[str, Any]) -> bool:
    return all(type_of(merge(choice, root)[0]) == "object" for choice in choices)


def _constants(schema: Any) -> list[Any]:
    """The value that a property must have, such as the tag of a discriminated union."""
    if not isinstance(schema, Mapping):
        return []
    return [schema["const"]] if "const" in schema else []


def _drop_doubles(values: list[Any]) -> list[Any]:
    return [value for at, value in enumerate(values) if value not in values[:at]]


def _fill_enum(plain: Schema, spot: _Spot) -> _Filled:
    if len(plain["enum"]) == 1:
        return _Filled(plain["enum"][0], GENERIC)
    score, option = rank_options(plain["enum"], spot.source.text, spot.place.hint)[0]
    return _Filled(option, FOUND if score >= _CONFIDENT else GENERIC * (score > 0))


def _fill_boolean(_: _Filler, _plain: Schema, spot: _Spot) -> _Filled:
    answer, said = is_confirmed(spot.place.name, spot.source.text)
    return _Filled(answer, FOUND if said else 0.0)


def _fill_number(_: _Filler, plain: Schema, spot: _Spot) -> _Filled:
    return _Filled(*fill_number(plain, spot.place, spot.source))


def _fill_string(_: _Filler, plain: Schema, spot: _Spot) -> _Filled:
    return _Filled(*fill_string(plain, spot.place, spot.source))


def _fill_null(_: _Filler, _plain: Schema, _spot: _Spot) -> _Filled:
    return _Filled(None, LIKELY - 0.01)


_TYPES: dict[str, Callable[[_Filler, Schema, _Spot], _Filled]] = {
    "object": _Filler.fill_object,
    "array": _Filler.fill_array,
    "string": _fill_string,
    "integer": _fill_number,
    "number": _fill_number,
    "boolean": _fill_boolean,
    "null": _fill_null,
}
_COLLECTORS: dict[str, Callable[[Schema, Field, str], Sequence[Any]]] = {
    "integer": find_numbers,
    "number": find_numbers,
    "string": find_strings,
}
