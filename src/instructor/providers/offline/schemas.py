"""JSON Schema (2020-12) made plain for the filler: references resolved, ``allOf`` merged, sizes known."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, cast

from instructor.providers.offline.text import list_words
from instructor.wires.schema import resolve_ref

Schema = dict[str, Any]

_INFERRED = {
    "object": ("properties", "additionalProperties", "patternProperties", "minProperties"),
    "array": ("items", "prefixItems", "minItems", "maxItems"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "string": ("pattern", "format", "minLength", "maxLength"),
}
_SAID_OF_CHOICE = frozenset(
    list_words("anyOf oneOf title description default discriminator examples type $defs definitions")
)
_NOTE = re.compile(r"\b(minLength|maxLength|uniqueItems|minProperties|maxProperties|default|format): ?([^,\n]+)")


def merge(schema: Any, root: Mapping[str, Any]) -> tuple[Schema, frozenset[str]]:
    """Resolve a schema's own ``$ref`` and merge its ``allOf``.

    Returns:
        The plain schema, and the references that were followed.
    """
    if not isinstance(schema, Mapping):
        return {}, frozenset()
    merged = dict(cast("Mapping[str, Any]", schema))
    followed: set[str] = set()
    while "$ref" in merged or "allOf" in merged:
        ref = merged.pop("$ref", None)
        parts = list(merged.pop("allOf", ()))
        if ref is not None:
            if ref in followed:
                break
            followed.add(ref)
            parts.append(resolve_ref(root, ref))
        for part in parts:
            merged = _join(merged, part)
    return _read_notes(merged), frozenset(followed)


def _join(first: Schema, second: Mapping[str, Any]) -> Schema:
    joined = {**second, **first}
    for name in ("properties", "$defs"):
        if name in first and name in second:
            joined[name] = {**second[name], **first[name]}
    if "required" in first and "required" in second:
        joined["required"] = [*first["required"], *second["required"]]
    if "$ref" in second and "$ref" in first:
        joined["allOf"] = [{"$ref": second["$ref"]}]
    return joined


def _read_notes(schema: Schema) -> Schema:
    """Take back the limits that a strict schema tells in the last line of a description."""
    last = str(schema.get("description", "")).rpartition("\n")[2]
    for name, text in _NOTE.findall(last):
        try:
            schema.setdefault(name, text.strip() if name == "format" else json.loads(text))
        except ValueError:
            continue
    return schema


def type_of(schema: Mapping[str, Any]) -> str:
    """The schema's type, inferred from its keywords where it is not said; empty for anything at all."""
    named = schema.get("type")
    if isinstance(named, str):
        return named
    return next((name for name, words in _INFERRED.items() if any(word in schema for word in words)), "")


def list_choices(schema: Mapping[str, Any]) -> list[Any]:
    """The schemas that a value may choose among; empty where there is no choice."""
    choices = _drop_decimal_text(schema.get("anyOf") or schema.get("oneOf") or [])
    if choices:
        rest = {name: value for name, value in schema.items() if name not in _SAID_OF_CHOICE}
        return [{**choice, "allOf": [*choice.get("allOf", ()), rest]} if rest else choice for choice in choices]
    types = schema.get("type")
    if isinstance(types, list):
        return [{**schema, "type": name} for name in cast("list[str]", types)]
    return []


def _drop_decimal_text(choices: list[Any]) -> list[Any]:
    """A string beside a number is how pydantic writes a ``Decimal``; not every text is one, but every number is."""
    types = [choice.get("type") for choice in choices]
    return [choice for at, choice in enumerate(choices) if types[at] != "string" or types[at - 1 : at] != ["number"]]


class Heights:
    """How deep the smallest value of a schema is, so that a schema that contains itself can be ended.

    Args:
        root: The whole schema.
    """

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._known: dict[str, float] = {}
        changed = True
        while changed:  # every round lowers at least one reference's height, so this ends
            before = dict(self._known)
            self.of(root)
            for ref in before:
                self._known[ref] = 1 + self.of(resolve_ref(root, ref))
            changed = before != self._known

    def of(self, schema: Any) -> float:
        """The height: 0 for a scalar, infinite while nothing better is known of a reference."""
        if not isinstance(schema, Mapping):
            return 0
        members = cast("Mapping[str, Any]", schema)
        return max((measure(self, members) for measure in _MEASURES), default=0)

    def of_reference(self, members: Mapping[str, Any]) -> float:
        """What is known of the definition."""
        return self._known.setdefault(members["$ref"], math.inf) if "$ref" in members else 0

    def of_choice(self, members: Mapping[str, Any]) -> float:
        """The lowest choice."""
        choices = members.get("anyOf") or members.get("oneOf") or ()
        heights = [self.of(choice) for choice in choices]
        return min(heights, default=0)

    def of_object(self, members: Mapping[str, Any]) -> float:
        """One more than the highest required property."""
        properties = members.get("properties", {})
        # The optional ones are visited, too, so that the references in them become known.
        heights = {name: self.of(schema) for name, schema in properties.items()}
        return 1 + max((heights.get(name, 0) for name in members.get("required", ())), default=0)

    def of_array(self, members: Mapping[str, Any]) -> float:
        """0 where it may be empty, else one more than an item."""
        items = self.of(members["items"]) if "items" in members else 0
        prefix = [self.of(item) for item in members.get("prefixItems", ())]
        return 1 + max(prefix) if prefix else (1 + items if members.get("minItems") else 0)

    def of_all(self, members: Mapping[str, Any]) -> float:
        """The highest part."""
        return max((self.of(part) for part in members.get("allOf", ())), default=0)


_MEASURES = (Heights.of_reference, Heights.of_choice, Heights.of_object, Heights.of_array, Heights.of_all)
