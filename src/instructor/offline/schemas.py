"""JSON Schema (2020-12) made plain: references resolved, ``allOf`` merged, choices listed, heights known."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, cast

from instructor.wires.references import resolve_ref

Schema = dict[str, Any]

_INFERRED = {
    "object": {"properties", "additionalProperties", "patternProperties", "minProperties"},
    "array": {"items", "prefixItems", "minItems", "maxItems"},
    "number": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
    "string": {"pattern", "format", "minLength", "maxLength"},
}
_OF_ALL_CHOICES = frozenset(
    {"anyOf", "oneOf", "title", "description", "default", "discriminator", "examples", "type", "$defs", "definitions"}
)
_NOTE = re.compile(r"(?:^|, )(\w+): ")


def merge(schema: Any, root: Mapping[str, Any], seen: frozenset[str] = frozenset()) -> tuple[Schema, frozenset[str]]:
    """Resolve a schema's own ``$ref`` and merge its ``allOf``; return it with the references that were followed."""
    merged: Schema = dict(cast("Schema", schema)) if isinstance(schema, Mapping) else {}  # `true` is any value
    ref, parts = merged.pop("$ref", None), list(merged.pop("allOf", ()))
    if ref is not None and ref not in seen:
        seen |= {ref}
        parts.append(resolve_ref(root, ref))
    for part in parts:
        plain, seen = merge(part, root, seen)
        both: Schema = {
            "properties": {**plain.get("properties", {}), **merged.get("properties", {})},
            "required": [*plain.get("required", ()), *merged.get("required", ())],
        }
        merged = {**plain, **merged, **{name: value for name, value in both.items() if value}}
    _read_notes(merged)
    return merged, seen


def _read_notes(schema: Schema) -> None:
    """Take back the keywords that `strict_schema` moved into the last line of the description, as ``name: JSON``."""
    line, at = str(schema.get("description", "")).rpartition("\n")[2], 0
    while note := _NOTE.match(line, at):
        try:
            value, at = json.JSONDecoder().raw_decode(line, note.end())
        except ValueError:
            return
        schema.setdefault(note[1], value)


def type_of(schema: Mapping[str, Any]) -> str:
    """The schema's type, inferred from its keywords where it has none; empty for any value at all."""
    inferred = (name for name, keywords in _INFERRED.items() if keywords & schema.keys())
    return schema["type"] if isinstance(schema.get("type"), str) else next(inferred, "")


def list_options(schema: Any) -> list[Any]:
    """The values that an enum or a constant allows; empty where the schema is neither."""
    members = cast("Schema", schema) if isinstance(schema, Mapping) else {}
    return [members["const"]] if "const" in members else list(members.get("enum", ()))


def list_required(schema: Schema) -> tuple[frozenset[str], frozenset[str]]:
    """The properties that an object must have, and those with one value only, which may tell members of a union apart."""
    properties: dict[str, Any] = schema.get("properties", {})
    fixed = frozenset(name for name, value in properties.items() if len(list_options(value)) == 1)
    return frozenset(properties.keys() & schema.get("required", ())), fixed


def list_choices(schema: Mapping[str, Any]) -> list[Schema]:
    """The schemas that a value may choose among; empty where there is no choice."""
    if choices := _drop_decimal_text(schema.get("anyOf") or schema.get("oneOf") or []):
        rest = {name: value for name, value in schema.items() if name not in _OF_ALL_CHOICES}
        if "discriminator" in schema:  # pydantic needs the tag even where it has a default
            rest["required"] = [*rest.get("required", ()), schema["discriminator"]["propertyName"]]
        return [{**choice, "allOf": [*choice.get("allOf", ()), rest]} for choice in choices]
    types = schema.get("type")
    return [{**schema, "type": name} for name in cast("list[str]", types)] if isinstance(types, list) else []


def _drop_decimal_text(choices: list[Schema]) -> list[Schema]:
    """Pydantic writes a ``Decimal`` as a number or a string. Not every string is one, but every number is."""
    types = [choice.get("type") for choice in choices]
    return [choice for at, choice in enumerate(choices) if types[at] != "string" or types[at - 1 : at] != ["number"]]


class Heights:
    """How deep the smallest value of each schema is, so that a schema that contains itself can be ended."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._known: dict[str, float] = {}
        before: dict[str, float] = {"": 0}
        while before != self._known:  # every round lowers the height of at least one reference, so this ends
            before = dict(self._known)
            self.of(root)
            self._known |= {ref: 1 + self.of(resolve_ref(root, ref)) for ref in before}

    def of(self, schema: Any) -> float:
        """The height: 0 for a scalar, infinite while nothing better is known of a reference."""
        if not isinstance(schema, Mapping):
            return 0
        members = cast("Schema", schema)
        choices = [self.of(choice) for choice in members.get("anyOf") or members.get("oneOf") or ()]
        # What is optional is visited as well, so that the references in it become known.
        properties = {name: self.of(value) for name, value in members.get("properties", {}).items()}
        items, free = self.of(members.get("items")), self.of(members.get("additionalProperties"))
        inner = [properties.get(name, 0) for name in members.get("required", ())]
        inner += [self.of(item) for item in members.get("prefixItems", ())]
        inner += [items] * bool(members.get("minItems")) + [free] * bool(members.get("minProperties"))
        known = self._known.setdefault(members["$ref"], math.inf) if "$ref" in members else 0
        parts = [self.of(part) for part in members.get("allOf", ())]
        return max(known, min(choices, default=0), 1 + max(inner, default=-1), *parts)
