"""JSON Schema made to fit what Google's Gemini API takes as ``parameters_json_schema`` and ``response_json_schema``.

The API knows a subset, see https://ai.google.dev/api/generate-content#v1beta.GenerationConfig: optional values, unions,
enums and definitions are in it; a ``$ref`` stands alone, and what contains itself must not be required.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from instructor.wires.references import expand_root
from instructor.wires.schema import (
    HINTS,
    SCALAR_KEYWORDS,
    SCHEMA_LISTS,
    SCHEMAS,
    Schema,
    describe_keywords,
    map_schemas,
    reach_references,
)

_BOUNDS = frozenset({"minItems", "maxItems", "minimum", "maximum"})
_KEPT = (SCALAR_KEYWORDS - {"const"}) | _BOUNDS | {"$id", "$anchor", "$ref", "required", "propertyOrdering"}
_KNOWN = _KEPT | {"properties", "$defs"} | SCHEMA_LISTS | SCHEMAS
_LIMITS = {"pattern", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "propertyNames", "patternProperties"}
_DESCRIBED = HINTS | _LIMITS
"""Keywords that the API does not know, but that help the model: they go into the description."""
_FORMATS = frozenset({"date-time", "date", "time"})


def fit_schema(schema: Mapping[str, Any]) -> Schema:
    """Express a schema in the API's subset. What the subset cannot say, our own validation still checks.

    Example:
        >>> fit_schema({"type": "object", "properties": {"kind": {"const": "cat", "type": "string"}}})
        {'type': 'object', 'properties': {'kind': {'type': 'string', 'enum': ['cat']}}}
    """
    root = expand_root(schema)
    definitions: dict[str, Schema] = {f"#/$defs/{name}": node for name, node in root.get("$defs", {}).items()}
    for ref, definition in definitions.items():
        definition.update(_loosen(ref, definition, definitions))
    return _fit(root)


def _fit(node: Mapping[str, Any]) -> Schema:
    members = map_schemas({name: value for name, value in node.items() if name in _KNOWN}, _fit)
    described = [name for name in node if name in _DESCRIBED and node[name] is not None]
    if "const" in node:
        members.update(_name_constant(node["const"]))
    if node.get("type") == "string" and node.get("format", "date") not in _FORMATS:
        described.append("format")
    describe_keywords(members, node, described)
    if "$ref" in members and not all(name.startswith("$") for name in members):
        members["anyOf"] = [{"$ref": members.pop("$ref")}]
    return members


def _name_constant(value: Any) -> Schema:
    # An enum takes text and numbers; for true, false and null the type must do.
    if isinstance(value, bool) or value is None:
        return {"type": "null" if value is None else "boolean"}
    return {"enum": [value]}


def _loosen(ref: str, definition: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """Require no member of a definition that leads back to it."""
    members = definition.get("properties", {})
    kept = [key for key in definition.get("required", ()) if ref not in reach_references(members.get(key), definitions)]
    return {"required": kept} if "required" in definition else {}
