"""JSON Schema made to fit what a provider accepts. Every function returns a new schema and changes none.

A provider that holds a model to a schema takes a subset of JSON Schema (2020-12), each another one. What a subset
cannot express goes into the description, and our own validation still checks the answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import NoneType
from typing import Any, cast

from instructor.wires.capabilities import SchemaSubset
from instructor.wires.content import is_mapping
from instructor.wires.pattern import anchor_pattern
from instructor.wires.references import expand_root, resolve_ref
from instructor.wires.text import dump_json

Schema = dict[str, Any]

SCHEMAS_BY_NAME = frozenset({"properties", "patternProperties", "$defs", "definitions"})
SCHEMA_LISTS = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
SCHEMAS = frozenset({"items", "additionalProperties"})
"""The keywords below which there are schemas: by name, in a list, or one."""

SCALAR_KEYWORDS = frozenset({"type", "title", "description", "enum", "const", "format"})
_BOUNDS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "maxItems"})
_DEFINITIONS = frozenset({"$defs", "definitions"})
_NESTING = (
    frozenset({"$ref", "properties", "required", "additionalProperties", "items", "anyOf", "oneOf"}) | _DEFINITIONS
)
HINTS = frozenset({"default", "examples", "minLength", "maxLength", "uniqueItems", "minProperties", "maxProperties"})
"""Keywords that no subset has, but that help the model: they go into the description."""
_MARKS = frozenset({"$schema", "$id", "$anchor", "$comment", "discriminator", "deprecated", "readOnly", "writeOnly"})
_DROPPED = _MARKS | {"contentMediaType", "contentEncoding"}
_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"})
_FOREIGN = re.compile(r"\(\?(?!:)|\\[AzZpP]")
"""Syntax of Python's or Rust's patterns that JSON Schema's haven't: look-arounds, flags, named groups, ``\\A``.

Pydantic writes a pattern that looks ahead for a Decimal."""
_TYPE_NAMES: dict[type, str] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    NoneType: "null",
}
_TYPING = frozenset({"type", "enum", "const", "anyOf", "oneOf", "properties"})
"""A schema with none of these takes any value."""

_MOST_COPIES = 2
"""How deep definitions are written out within each other, where a reference has other members beside it."""


@dataclass(frozen=True, slots=True)
class _Subset:
    """What a provider that holds a model to a schema takes of JSON Schema.

    Attributes:
        kept: Keywords that are sent as they are. The others that help the model go into the description.
        refused: Says for some of these which values are refused; these go into the description too.
        takes_recursion: Whether a definition may contain itself.
        limits: The most that a schema may have of each thing that `_measure` counts.
    """

    kept: frozenset[str]
    refused: Mapping[str, Callable[[Any], bool]]
    takes_recursion: bool
    limits: Mapping[str, int]

    @property
    def described(self) -> frozenset[str]:
        """The keywords that go into the description."""
        return (HINTS | _BOUNDS | {"minItems", "pattern"}) - self.kept


_OPENAI = _Subset(
    kept=SCALAR_KEYWORDS | _BOUNDS | {"minItems", "pattern"},
    refused={
        "format": lambda name: name not in _FORMATS,
        "pattern": lambda pattern: _FOREIGN.search(pattern) is not None,
    },
    takes_recursion=True,
    limits={
        "properties": 5000,
        "enum values": 1000,
        "levels": 10,
        "characters": 120_000,
        "characters of an enum": 15_000,
    },
)
"""See https://platform.openai.com/docs/guides/structured-outputs#supported-schemas."""
_ANTHROPIC = _Subset(
    kept=SCALAR_KEYWORDS | {"minItems"},
    refused={
        "format": lambda name: name not in _FORMATS | {"uri"},
        "minItems": lambda count: count > 1,
    },
    takes_recursion=False,
    limits={"unions": 16},
)
"""See https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations. Every property
is required, so that the limit on optional properties is never met."""
_LONG_ENUM = 250
"""An enum with more values than this is bounded in characters too."""


class _NotExpressibleError(Exception):
    """The subset cannot express the schema. Never leaves this file."""


def strict_schema(schema: Mapping[str, Any]) -> Schema | None:
    """Express a schema in the subset that OpenAI holds a model to with ``strict: true``.

    Every object is closed and requires all its properties; ``oneOf`` becomes ``anyOf``; a ``$ref`` stands alone;
    what the subset has no keyword for (a default, a minimum length) goes into the description.

    None where the subset cannot express it: free-form dicts, untyped values, tuples, an object that takes extra
    members, or a schema over the published limits (5000 properties, 1000 enum values, 10 levels, 120,000 characters of
    names and values, 15,000 characters of an enum with more than 250 values).

    Example:
        >>> strict_schema({"type": "object", "properties": {"n": {"type": "integer", "default": 1}}})
        {'type': 'object', 'properties': {'n': {'type': 'integer', 'description': 'default: 1'}}, 'required': ['n'], \
'additionalProperties': False}
        >>> strict_schema({"type": "object", "additionalProperties": True}) is None
        True
    """
    return _express(schema, _OPENAI)


def anthropic_schema(schema: Mapping[str, Any]) -> Schema | None:
    """Express a schema in the subset that Anthropic holds a model to in ``output_config.format``.

    It is the result of `strict_schema` without bounds and patterns, which go into the description; recursion is
    refused.

    None where the subset cannot express it, as for `strict_schema`, or where it has more than 16 unions.

    Example:
        >>> anthropic_schema({"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}})
        {'type': 'object', 'properties': {'n': {'type': 'integer', 'description': 'minimum: 1'}}, 'required': ['n'], \
'additionalProperties': False}
    """
    return _express(schema, _ANTHROPIC)


def anchor_patterns(schema: Mapping[str, Any]) -> Schema:
    r"""Write every pattern of a schema as `anchor_pattern` does; one that it can't write goes into the description.

    Example:
        >>> anchor_patterns({"type": "string", "pattern": r"\d+"})
        {'type': 'string', 'pattern': '^[0-9]+$'}
    """
    members = map_schemas(schema, anchor_patterns)
    pattern = schema.get("pattern")
    if isinstance(pattern, str):
        anchored = anchor_pattern(pattern)
        members["pattern"] = anchored
        if anchored is None:
            describe_keywords(members, schema, ["pattern"])
    return members


def map_schemas(schema: Mapping[str, Any], write: Callable[[Mapping[str, Any]], Schema]) -> Schema:
    """Copy a schema with each schema directly below it written by `write`.

    `write` isn't called for ``true`` and ``false``, which are schemas too.

    Example:
        >>> map_schemas({"properties": {"a": {"title": "A"}, "b": True}}, lambda schema: {})
        {'properties': {'a': {}, 'b': True}}
    """

    def write_member(name: str, value: Any) -> Any:
        if name in SCHEMAS_BY_NAME:
            return {key: write_one(child) for key, child in value.items()}
        if name in SCHEMA_LISTS:
            return [write_one(child) for child in value]
        return write_one(value) if name in SCHEMAS else value

    def write_one(child: Any) -> Any:
        return write(child) if is_mapping(child) else child

    return {name: write_member(name, value) for name, value in schema.items()}


def express_schema(schema: Mapping[str, Any], subset: SchemaSubset, *, strict: bool) -> tuple[Schema, bool]:
    """Express a schema for native structured output.

    Returns the schema, and whether the model can be held to it strictly. Anthropic's subset applies even where the
    caller doesn't ask for strictness, because the API refuses any other schema.
    """
    if subset == "anthropic":
        expressed = anthropic_schema(schema)
    else:
        expressed = strict_schema(schema) if strict and subset != "plain" else None
    written = expand_root(schema) if expressed is None else expressed
    return anchor_patterns(written) if subset == "anchored" else written, strict and expressed is not None


def _express(schema: Mapping[str, Any], subset: _Subset) -> Schema | None:
    root = expand_root(schema)
    try:
        expressed = _Strict(root, subset).convert(root)
    except _NotExpressibleError:
        return None
    if expressed.get("type") != "object" or not (subset.takes_recursion or not _is_recursive(expressed)):
        return None
    measured = _measure(expressed)
    return expressed if all(measured[name] <= most for name, most in subset.limits.items()) else None


class _Strict:
    """One run of `_express`: the schema it started from, the subset, and how many copies deep it is."""

    def __init__(self, root: Schema, subset: _Subset) -> None:
        self._root = root
        self._subset = subset
        self._copies = 0

    def convert(self, node: Any) -> Schema:
        """Convert one schema and all below it."""
        if not is_mapping(node):  # `true` and `false` are schemas too: anything, nothing
            raise _NotExpressibleError
        members = _merge_single(node)
        if "$ref" in members:
            return self._convert_reference(members)
        kept, described = self._subset.kept, self._subset.described
        unknown = members.keys() - kept - _NESTING - described - _DROPPED
        if unknown or not members.keys() & _TYPING:
            raise _NotExpressibleError(node)
        strict = {**_name_type(members), **{name: value for name, value in members.items() if name in kept}}
        self._move_to_description(strict, members)
        self._convert_members(strict, members)
        return strict

    def _convert_members(self, strict: Schema, members: Schema) -> None:
        if _is_a(strict, "object"):
            if "properties" not in members or members.get("additionalProperties", False) is not False:
                raise _NotExpressibleError(members)
            strict["properties"] = self._convert_all(members["properties"])
            strict["required"] = list(members["properties"])
            strict["additionalProperties"] = False
        if _is_a(strict, "array"):
            strict["items"] = self.convert(members.get("items"))
        choices = members.get("anyOf") or members.get("oneOf")
        if choices:
            strict["anyOf"] = [self.convert(choice) for choice in choices]
        for name in _DEFINITIONS & members.keys():
            strict[name] = self._convert_all(members[name])

    def _move_to_description(self, strict: Schema, members: Schema) -> None:
        names = [name for name in members if name in self._subset.described and members[name] is not None]
        names += [
            name for name, is_refused in self._subset.refused.items() if name in strict and is_refused(strict[name])
        ]
        describe_keywords(strict, members, names)

    def _convert_all(self, schemas: Mapping[str, Any]) -> Schema:
        return {name: self.convert(schema) for name, schema in schemas.items()}

    def _convert_reference(self, members: Schema) -> Schema:
        """Keep a reference that has no other members; otherwise write its target out, with these members."""
        ref = members.pop("$ref")
        beside = {name: value for name, value in members.items() if name not in _DROPPED}
        if beside.keys() - {"title", "description"} - self._subset.described:
            raise _NotExpressibleError(members)
        if not beside:
            return {"$ref": ref}
        if self._copies == _MOST_COPIES:  # models that refer to each other would never end
            notes: Schema = {name: value for name, value in beside.items() if name in self._subset.kept}
            self._move_to_description(notes, beside)
            return {**notes, "anyOf": [{"$ref": ref}]}
        self._copies += 1
        strict = self.convert({**resolve_ref(self._root, ref), **beside})
        self._copies -= 1
        return strict


def _merge_single(node: Mapping[str, Any]) -> Schema:
    """Take the only branch of an ``allOf`` into the schema around it."""
    members = dict(node)
    every = members.pop("allOf", None)
    if every is None:
        return members
    if len(every) != 1:
        raise _NotExpressibleError(node)
    return {**every[0], **members}


def _name_type(members: Mapping[str, Any]) -> Schema:
    """Infer the type of a schema that has only values, as pydantic writes for ``Literal["a", 1]``."""
    if "properties" in members:
        return {"type": "object"}
    if "enum" not in members and "const" not in members:
        return {}
    values = members.get("enum", [members.get("const")])
    if any(type(value) not in _TYPE_NAMES for value in values):
        raise _NotExpressibleError(members)
    names = sorted({_TYPE_NAMES[type(value)] for value in values})
    return {"type": names[0] if len(names) == 1 else names}


def _is_a(strict: Schema, name: str) -> bool:
    types: str | list[str] = strict.get("type", [])
    return name in ([types] if isinstance(types, str) else types)


def describe_keywords(written: Schema, members: Mapping[str, Any], names: Iterable[str]) -> None:
    """Move keywords into the description. Our own validation still checks the answer."""
    notes = [f"{name}: {dump_json(members[name])}" for name in names]
    for name in names:
        written.pop(name, None)
    if notes:
        written["description"] = "\n".join(filter(None, [written.get("description"), ", ".join(notes)]))


def _measure(schema: Schema) -> dict[str, int]:
    """Count what providers limit."""
    nodes = list(_walk(schema, 1))
    enums = [node["enum"] for node, _ in nodes if "enum" in node]
    names = [name for node, _ in nodes for group in ("properties", *_DEFINITIONS) for name in node.get(group, ())]
    values = [value for enum in enums for value in enum] + [node["const"] for node, _ in nodes if "const" in node]
    return {
        "properties": sum(len(node.get("properties", ())) for node, _ in nodes),
        "enum values": sum(map(len, enums)),
        "levels": max(depth for _, depth in nodes),
        "characters": sum(map(len, names)) + sum(len(str(value)) for value in values),
        "characters of an enum": max((_count_characters(enum) for enum in enums if len(enum) > _LONG_ENUM), default=0),
        "unions": sum("anyOf" in node or isinstance(node.get("type"), list) for node, _ in nodes),
    }


def _count_characters(values: Iterable[Any]) -> int:
    return sum(len(value) for value in values if isinstance(value, str))


def _is_recursive(schema: Schema) -> bool:
    definitions = {f"#/{group}/{name}": node for group in _DEFINITIONS for name, node in schema.get(group, {}).items()}
    return any(ref in reach_references(node, definitions) for ref, node in definitions.items())


def reach_references(node: Any, definitions: Mapping[str, Any]) -> set[str]:
    """Find all references that a schema leads to, through definitions too."""
    found: set[str] = set()
    waiting = list(_references(node))
    while waiting:
        ref = waiting.pop()
        if ref not in found:
            found.add(ref)
            waiting.extend(_references(definitions.get(ref)))
    return found


def _references(node: Any) -> Iterator[str]:
    if is_mapping(node):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for item in cast("list[Any]", node):
            yield from _references(item)


def _walk(node: Schema, depth: int) -> Iterator[tuple[Schema, int]]:
    yield node, depth
    for child in node.get("anyOf", ()):
        yield from _walk(child, depth)
    for child in _children(node):
        yield from _walk(child, depth + 1)
    for name in _DEFINITIONS & node.keys():
        for child in node[name].values():
            yield from _walk(child, 1)


def _children(node: Schema) -> Iterable[Schema]:
    yield from node.get("properties", {}).values()
    if "items" in node:
        yield node["items"]
