"""JSON Schema made to fit what a provider accepts. Every function returns a new schema and changes none.

The form that `strict_schema` makes is the subset of JSON Schema (2020-12) that OpenAI's structured outputs accept,
see https://platform.openai.com/docs/guides/structured-outputs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from types import NoneType
from typing import Any, TypeGuard

from instructor.exceptions import ConfigurationError
from instructor.wires.text import dump_json

Schema = dict[str, Any]

_SCALAR_KEYWORDS = frozenset({"type", "title", "description", "enum", "const", "pattern", "format"})
_BOUNDS = frozenset(
    {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minItems", "maxItems"}
)
_KEPT = _SCALAR_KEYWORDS | _BOUNDS
_DEFINITIONS = frozenset({"$defs", "definitions"})
_NESTING = (
    frozenset({"$ref", "properties", "required", "additionalProperties", "items", "anyOf", "oneOf"}) | _DEFINITIONS
)
_TOLD = frozenset({"default", "examples", "minLength", "maxLength", "uniqueItems", "minProperties", "maxProperties"})
"""Keywords that strict mode refuses, but that help the model: they go into the description."""
_MARKS = frozenset({"$schema", "$id", "$anchor", "$comment", "discriminator", "deprecated", "readOnly", "writeOnly"})
_DROPPED = _MARKS | {"contentMediaType", "contentEncoding"}
_LOOKAROUND = re.compile(r"\(\?<?[=!]")
_NOTES = frozenset({"title", "description"}) | _TOLD
_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"})

_REFUSED_VALUES: dict[str, Callable[[Any], bool]] = {
    "format": lambda name: name not in _FORMATS,
    "pattern": lambda pattern: _LOOKAROUND.search(pattern) is not None,
}
"""Keywords that strict mode takes with some values only. Pydantic writes a pattern that looks ahead for a Decimal."""
_TYPE_NAMES: dict[type, str] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    NoneType: "null",
}
_TYPING = frozenset({"type", "enum", "const", "anyOf", "oneOf", "properties"})
"""A schema with none of these takes any value."""

_MOST_PROPERTIES = 5000
_MOST_ENUM_VALUES = 1000
_DEEPEST = 10
_MOST_COPIES = 2
"""How deep definitions are written out within each other, where something stands beside the reference."""


class _NotExpressibleError(Exception):
    """The schema says something that the form asked for has no words for. Never leaves this file."""


def strict_schema(schema: Mapping[str, Any]) -> Schema | None:
    """Express a schema in the subset that OpenAI holds a model to with ``strict: true``.

    Every object is closed and requires all its properties; ``oneOf`` becomes ``anyOf``; a ``$ref`` stands alone;
    what the subset has no keyword for (a default, a shortest length) is told in the description instead.

    Args:
        schema: A schema whose top level is an object, or a ``$ref`` to one. Not changed.

    Returns:
        A new schema; None where the subset cannot say it: free-form dicts, untyped values, tuples, an object that
        takes extra members, or a schema over the published limits (5000 properties, 1000 enum values, 10 levels).

    Example:
        >>> strict_schema({"type": "object", "properties": {"n": {"type": "integer", "default": 1}}})
        {'type': 'object', 'properties': {'n': {'type': 'integer', 'description': 'default: 1'}}, 'required': ['n'], \
'additionalProperties': False}
        >>> strict_schema({"type": "object", "additionalProperties": True}) is None
        True
    """
    root = expand_root(schema)
    try:
        strict = _Strict(root).convert(root)
        if strict.get("type") != "object" or not _is_within_limits(strict):
            return None
    except _NotExpressibleError:
        return None
    return strict


def expand_root(schema: Mapping[str, Any]) -> Schema:
    """Replace a ``$ref`` at the top by what it names, because a function's parameters must be an object there.

    Pydantic writes a model that contains itself as ``{"$defs": ..., "$ref": ...}``.

    Raises:
        ConfigurationError: The reference leads nowhere, or only back to itself.
    """
    expanded = dict(schema)
    seen: set[str] = set()
    while "$ref" in expanded:
        ref = expanded.pop("$ref")
        if ref in seen:
            raise ConfigurationError(f"The schema's {ref!r} refers only to itself. Say what an answer looks like.")
        seen.add(ref)
        expanded = {**resolve_ref(schema, ref), **expanded}
    return deepcopy(expanded)


def resolve_ref(root: Mapping[str, Any], ref: str) -> Mapping[str, Any]:
    """Find what a reference such as ``"#/$defs/User"`` names (RFC 6901, as a URI fragment).

    Args:
        root: The whole schema.
        ref: The reference; it must point into `root`.

    Raises:
        ConfigurationError: The reference leads nowhere, or out of the schema.
    """
    found: Any = root
    head, *names = ref.split("/")
    for name in names:
        key = name.replace("~1", "/").replace("~0", "~")
        found = found.get(key) if _is_mapping(found) else None
    if head != "#" or not _is_mapping(found):
        raise ConfigurationError(f"The schema has no {ref!r}. Only references to its own definitions can be used.")
    return found


def _is_mapping(node: Any) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(node, Mapping)


class _Strict:
    """One run of `strict_schema`: the schema it started from, and how many copies deep it is."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._copies = 0

    def convert(self, node: Any) -> Schema:
        """Convert one schema and all below it."""
        if not _is_mapping(node):  # `true` and `false` are schemas too: anything, nothing
            raise _NotExpressibleError
        members = _merge_single(node)
        if "$ref" in members:
            return self._convert_reference(members)
        unknown = members.keys() - _KEPT - _NESTING - _TOLD - _DROPPED
        if unknown or not members.keys() & _TYPING:
            raise _NotExpressibleError(node)
        strict = {**_name_type(members), **{name: value for name, value in members.items() if name in _KEPT}}
        _tell(strict, members)
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

    def _convert_all(self, schemas: Mapping[str, Any]) -> Schema:
        return {name: self.convert(schema) for name, schema in schemas.items()}

    def _convert_reference(self, members: Schema) -> Schema:
        """Leave a reference alone if it stands alone; else write its target out, with what stood beside it."""
        ref = members.pop("$ref")
        beside = {name: value for name, value in members.items() if name not in _DROPPED}
        if beside.keys() - _NOTES:
            raise _NotExpressibleError(members)
        if not beside:
            return {"$ref": ref}
        if self._copies == _MOST_COPIES:  # models that refer to each other would never end
            told: Schema = {name: value for name, value in beside.items() if name in _KEPT}
            _tell(told, beside)
            return {**told, "anyOf": [{"$ref": ref}]}
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
    """Say the type of a schema that leaves it to its values, as pydantic does for ``Literal["a", 1]``."""
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
    kind: str | list[str] = strict.get("type", [])
    return name in ([kind] if isinstance(kind, str) else kind)


def _tell(strict: Schema, members: Mapping[str, Any]) -> None:
    """Say in the description what strict mode has no keyword for. Our own validation still holds the answer to it."""
    told = [name for name in members if name in _TOLD and members[name] is not None]
    told += [name for name, is_refused in _REFUSED_VALUES.items() if name in strict and is_refused(strict[name])]
    for name in told:
        strict.pop(name, None)
    if told:
        said = [strict["description"]] if strict.get("description") else []
        notes = ", ".join(f"{name}: {dump_json(members[name])}" for name in told)
        strict["description"] = "\n".join([*said, notes])


def _is_within_limits(strict: Schema) -> bool:
    nodes = list(_walk(strict, 1))
    return (
        sum(len(node.get("properties", ())) for node, _ in nodes) <= _MOST_PROPERTIES
        and sum(len(node.get("enum", ())) for node, _ in nodes) <= _MOST_ENUM_VALUES
        and max(depth for _, depth in nodes) <= _DEEPEST
    )


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
