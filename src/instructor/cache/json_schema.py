"""JSON Schemas that are the same in every process."""

from __future__ import annotations

import json
from collections.abc import Set as AbstractSet
from typing import Any, cast

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema, to_jsonable_python


class StableJsonSchema(GenerateJsonSchema):
    """Pydantic's generator, except that the members of a set are sorted.

    Pydantic writes a set among the defaults and in ``Field(examples=...)`` as a list in the set's own order, which for
    strings depends on ``PYTHONHASHSEED``. The request and its cache key would change from one process to the next.

    Example:
        >>> from pydantic import BaseModel
        >>> class Tagged(BaseModel):
        ...     tags: set[str] = {"b", "c", "a"}
        >>> Tagged.model_json_schema(schema_generator=StableJsonSchema)["properties"]["tags"]["default"]
        ['a', 'b', 'c']
    """

    def encode_default(self, dft: object) -> Any:
        """Write a default as JSON data."""
        return super().encode_default(_sort_sets(dft))

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        """Write the schema of a pydantic model."""
        return _sort_examples(super().model_schema(schema), schema["cls"])

    def dataclass_schema(self, schema: core_schema.DataclassSchema) -> JsonSchemaValue:
        """Write the schema of a dataclass."""
        return _sort_examples(super().dataclass_schema(schema), schema["cls"])


def _sort_examples(schema: JsonSchemaValue, model: type) -> JsonSchemaValue:
    """Put sorted examples in place of those that pydantic wrote when the class was made."""
    for field in getattr(model, "__pydantic_fields__", {}).values():
        if not field.examples:
            continue
        written = to_jsonable_python(field.examples)
        for shown in schema.get("properties", {}).values():
            if shown.get("examples") == written:
                shown["examples"] = to_jsonable_python(_sort_sets(field.examples))
    return schema


def _sort_sets(value: object) -> object:
    """Turn every set into a sorted list; a container that holds none is returned as it is."""
    if isinstance(value, AbstractSet):
        members = [_sort_sets(member) for member in cast("AbstractSet[object]", value)]
        return sorted(members, key=lambda member: json.dumps(to_jsonable_python(member, fallback=repr), sort_keys=True))
    if type(value) in (list, tuple):
        return [_sort_sets(item) for item in cast("list[object]", value)]
    if type(value) is dict:
        return {name: _sort_sets(member) for name, member in cast("dict[object, object]", value).items()}
    return value
