"""What an answer must look like, and what that adds to a request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

from instructor.wires.property_names import choose_names

Completion: TypeAlias = Any
"""What an SDK returned; None where the provider sent ``null``. It is read by attribute, so no wire needs the SDK."""

Arguments: TypeAlias = Mapping[str, Any]
"""The caller's arguments of one call, under the SDK's own keywords."""


@dataclass(frozen=True)
class ToolSpec:
    """What an answer must look like, as a wire needs to know it.

    Attributes:
        name: A name that every provider accepts for a function: letters, digits, ``_`` and ``-``, at most 64.
        description: The response model's docstring, or one sentence that asks for the answer.
        schema: JSON Schema whose top level is an object; ``$defs`` may stand in it. Never changed by a wire.
    """

    name: str
    description: str
    schema: Mapping[str, Any]

    @cached_property
    def renamed(self) -> dict[str, str]:
        """The names that are sent for properties whose own names Anthropic's API refuses; most schemas have none."""
        return choose_names(self.schema)


@dataclass(frozen=True, slots=True)
class Binding:
    """The part of a request that the response model decides, made once per model, wire and mode.

    Attributes:
        arguments: Keyword arguments for the SDK, such as ``tools`` and ``tool_choice``.
        instruction: Text for the system prompt, empty where the provider needs none.
    """

    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])
    instruction: str = ""
