"""What an answer must look like, and what that adds to a request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias, cast

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
        repeats: Whether the model may call the tool any number of times, or another one in its place.
    """

    name: str
    description: str
    schema: Mapping[str, Any]
    repeats: bool = False

    @cached_property
    def renamed(self) -> dict[str, str]:
        """The names that are sent for properties whose own names Anthropic's API refuses; most schemas have none."""
        from instructor.wires.property_names import choose_names

        return choose_names(self.schema)


@dataclass(frozen=True, slots=True)
class Binding:
    """The part of a request that the response model decides, made once per model, wire and mode.

    Attributes:
        arguments: Keyword arguments for the SDK, such as ``tools`` and ``tool_choice``.
        instruction: Text for the system prompt, empty where the provider needs none.
        repeats: Whether the answer is any number of calls of our tools.
    """

    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])
    instruction: str = ""
    repeats: bool = False


def repeats_of(specs: Sequence[ToolSpec]) -> bool:
    """Whether an answer is any number of calls of these tools."""
    return any(spec.repeats for spec in specs)


def join_bindings(bindings: Sequence[Binding]) -> Binding:
    """Make one binding of those of several tools: their tools one after the other, and what all of them say alike."""
    if len(bindings) == 1:
        return bindings[0]
    arguments: Any = {}
    for binding in bindings:
        arguments = _join(arguments, binding.arguments)
    instructions = dict.fromkeys(binding.instruction for binding in bindings)
    return Binding(arguments, "\n\n".join(instructions), any(binding.repeats for binding in bindings))


def _join(one: Any, other: Any) -> Any:
    if isinstance(one, list):
        return [*cast("list[Any]", one), *other]
    if isinstance(one, Mapping):
        first, second = cast("Mapping[str, Any]", one), cast("Mapping[str, Any]", other)
        return {
            **first,
            **{name: _join(first[name], value) if name in first else value for name, value in second.items()},
        }
    return other
