"""Property names that an API refuses, changed in the schema that is sent and changed back in what is read.

An alias such as ``"Full Name"`` or ``"größe"`` is a good name for JSON, but Anthropic's API takes letters of ASCII,
digits, ``_``, ``.`` and ``-`` only, and at most 64 of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from unicodedata import normalize

from instructor.exceptions import ConfigurationError
from instructor.wires.content import is_list, is_mapping
from instructor.wires.references import resolve_ref
from instructor.wires.schema import Schema, map_schemas
from instructor.wires.text import dump_json, parse_json

_ALLOWED = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
_REFUSED = re.compile(r"[^a-zA-Z0-9_.-]+")
_LONGEST = 56
"""Leaves room for the number that tells two names apart."""


def choose_names(schema: Mapping[str, Any]) -> dict[str, str]:
    """Choose a name that the API takes for every property whose own name it refuses.

    Returns the new names by the refused ones. Each is unlike all other property names in the schema.

    Example:
        >>> choose_names({"properties": {"Full Name": {}, "Full_Name": {}, "größe": {}}})
        {'Full Name': 'Full_Name_2', 'größe': 'grosse'}
    """
    names = list(dict.fromkeys(_find_names(schema)))
    taken = {name for name in names if _ALLOWED.fullmatch(name)}
    chosen: dict[str, str] = {}
    for name in names:
        if name not in taken and name not in chosen:
            chosen[name] = _make_unlike(_spell(name), taken | set(chosen.values()))
    return chosen


def _spell(name: str) -> str:
    plain = normalize("NFKD", name.replace("ß", "ss"))
    letters = "".join(character for character in plain if not 0x300 <= ord(character) < 0x370)  # noqa: PLR2004 - accents
    return _REFUSED.sub("_", letters)[:_LONGEST].strip("_") or "field"


def _make_unlike(name: str, taken: set[str]) -> str:
    number, made = 1, name
    while made in taken:
        number += 1
        made = f"{name}_{number}"
    return made


def _find_names(schema: Mapping[str, Any]) -> list[str]:
    names: list[str] = []

    def collect(node: Mapping[str, Any]) -> Schema:
        names.extend(node.get("properties", ()))
        return map_schemas(node, collect)

    collect(schema)
    return names


def rename_properties(schema: Mapping[str, Any], names: Mapping[str, str]) -> Schema:
    """Write a schema with other property names; each property that is renamed tells its real name as its title."""
    return _rename(schema, names) if names else dict(schema)


def _rename(node: Mapping[str, Any], names: Mapping[str, str]) -> Schema:
    written = map_schemas(node, lambda child: _rename(child, names))
    if "properties" in written:
        children = written["properties"].items()
        written["properties"] = {names.get(key, key): _title(key, child, names) for key, child in children}
    if "required" in written:
        written["required"] = [names.get(key, key) for key in written["required"]]
    return written


def _title(name: str, child: Any, names: Mapping[str, str]) -> Any:
    if name not in names or not is_mapping(child) or "$ref" in child:  # a reference has to stand alone
        return child
    return {"title": name, **child}


def restore_names(text: str, schema: Mapping[str, Any]) -> str:
    """Write an answer with the property names of the schema in place of those that were sent.

    Only properties that the schema describes are renamed, not the keys of a dict that the model chose itself.

    Returns the answer unchanged if no name was changed, or if it isn't JSON.

    Example:
        >>> restore_names('{"Full_Name": "Ada"}', {"type": "object", "properties": {"Full Name": {}}})
        '{"Full Name":"Ada"}'
    """
    names = choose_names(schema)
    value = parse_json(text) if names else None
    if value is None:
        return text
    sent = {new: name for name, new in names.items()}
    return dump_json(_restore(value, list(_alternatives(schema, schema, set())), schema, sent))


def _restore(value: Any, nodes: Sequence[Mapping[str, Any]], root: Mapping[str, Any], sent: Mapping[str, str]) -> Any:
    """Restore the names in a value that any of the schemas `nodes` may describe."""
    if is_list(value):
        below = [child for node in nodes for child in _items_of(node)]
        items = _resolve_all(below, root)
        return [_restore(item, items, root, sent) for item in value]
    if not is_mapping(value):
        return value
    restored: dict[str, Any] = {}
    for key, member in value.items():
        name = sent.get(key, key)
        described = [node["properties"][name] for node in nodes if name in node.get("properties", {})]
        others = [node["additionalProperties"] for node in nodes if "additionalProperties" in node]
        children = _resolve_all(described or others, root)
        restored[name if described else key] = _restore(member, children, root, sent)
    return restored


def _items_of(node: Mapping[str, Any]) -> list[Any]:
    return [*node.get("prefixItems", ()), *([node["items"]] if "items" in node else [])]


def _resolve_all(nodes: Sequence[Any], root: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [found for node in nodes for found in _alternatives(node, root, set())]


def _alternatives(node: Any, root: Mapping[str, Any], seen: set[str]) -> Iterator[Mapping[str, Any]]:
    """Find every schema that may describe a value: `node` itself, what it refers to, and its branches."""
    if not is_mapping(node):
        return
    yield node
    ref = node.get("$ref")
    if isinstance(ref, str) and ref not in seen:
        try:
            target: Any = resolve_ref(root, ref)
        except ConfigurationError:  # it leads out of the schema
            target = None
        yield from _alternatives(target, root, seen | {ref})
    for name in ("anyOf", "oneOf", "allOf"):
        for branch in node.get(name, ()):
            yield from _alternatives(branch, root, seen)
