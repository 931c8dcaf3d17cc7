"""The columns of an output that is a table: where a record begins, its answer's fields, and how it went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from pydantic import TypeAdapter
from pydantic.errors import PydanticUserError

Row = dict[str, Any]
Schema = Mapping[str, Any]

_BEFORE: Final = {"line": "integer", "file": "string"}
_AFTER: Final = {"cached": "boolean", "error": "string"}
OWN: Final = frozenset(_BEFORE | _AFTER)
ANSWER: Final = "answer"
"""The one column of an answer that has no fields."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, and the JSON schema of its values with the definitions that it refers to."""

    name: str
    schema: Schema
    definitions: Schema = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of an output.

    Attributes:
        fields: The columns by the answer's fields; empty for an answer that has none, which is one column itself.
        answer: The column of such an answer.
        has_file: Whether there is a column for the name of the input.
    """

    fields: Mapping[str, Column]
    answer: Column
    has_file: bool

    @property
    def all(self) -> tuple[Column, ...]:
        """The columns in order."""
        before = {name: kind for name, kind in _BEFORE.items() if name != "file" or self.has_file}
        own = [[Column(name, {"type": kind}) for name, kind in part.items()] for part in (before, _AFTER)]
        return (*own[0], *(self.fields.values() or (self.answer,)), *own[1])

    def make_row(self, line: int, file: str, answer: object, *, cached: bool) -> Row:
        """Make the row of a record that has its answer."""
        row: Row = dict.fromkeys(column.name for column in self.all)
        row |= {"line": line, "cached": cached} | ({"file": file} if self.has_file else {})
        if self.fields and isinstance(answer, dict):
            values = cast("Row", answer)
            return row | {self.fields[name].name: value for name, value in values.items() if name in self.fields}
        return row | {self.answer.name: answer}

    def make_failed_row(self, line: int, file: str, error: str) -> Row:
        """Make the row of a record that has none."""
        row: Row = dict.fromkeys(column.name for column in self.all)
        return row | {"line": line, "error": error} | ({"file": file} if self.has_file else {})


def find_schema(response_model: Any) -> Schema:
    """Find the JSON schema of what a response model's answers are written as; empty for a type that has none."""
    try:
        return TypeAdapter(response_model).json_schema(mode="serialization")
    except PydanticUserError:
        return {}


def find_columns(response_model: Any, *, has_file: bool) -> Columns:
    """Find the columns for the answers of a response model by its JSON schema.

    A field that is named as one of our own columns gets the column ``answer.NAME``.
    """
    schema = find_schema(response_model)
    definitions: Schema = schema.get("$defs", {})
    root = schema
    while "$ref" in root:
        root = definitions[root["$ref"].rpartition("/")[2]]
    properties: Schema = {} if root.get("additionalProperties") else root.get("properties", {})
    names = {name: f"{ANSWER}.{name}" if name in OWN else name for name in properties}
    fields = {name: Column(names[name], part, definitions) for name, part in properties.items()}
    return Columns(fields, Column(ANSWER, schema, definitions), has_file)
