"""What a JSON Schema refers to."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from instructor.exceptions import ConfigurationError
from instructor.wires.content import is_mapping


def expand_root(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Replace a ``$ref`` at the top by what it names, because a function's parameters must be an object there.

    Pydantic writes a model that contains itself as ``{"$defs": ..., "$ref": ...}``.
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
    """Find what a reference such as ``"#/$defs/User"`` names (RFC 6901, as a URI fragment)."""
    found: Any = root
    head, *names = ref.split("/")
    for name in names:
        key = name.replace("~1", "/").replace("~0", "~")
        found = found.get(key) if is_mapping(found) else None
    if head != "#" or not is_mapping(found):
        raise ConfigurationError(f"The schema has no {ref!r}. Only references to its own definitions can be used.")
    return found
