"""The frozen data that travels through one call, from the user's keywords to the reply."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Messages = list[dict[str, Any]]
"""A conversation in the form of OpenAI's chat API: dicts with ``role`` and ``content``."""

Request = dict[str, Any]
"""Keyword arguments of one call of a provider's SDK. A new one is made for each attempt; none is changed."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that one answer cost, or the sum over several attempts.

    Attributes:
        input_tokens: Tokens read by the model, those from the provider's own prompt cache included.
        output_tokens: Tokens written by the model, reasoning included.
        cached_tokens: The part of ``input_tokens`` that the provider served from its own prompt cache.
        reasoning_tokens: The part of ``output_tokens`` spent on hidden reasoning, where the provider says so.

    Example:
        >>> (Usage(10, 2) + Usage(5, 1)).total_tokens
        18
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens

    @property
    def prompt_tokens(self) -> int:
        """`input_tokens` under OpenAI's name."""
        return self.input_tokens

    @property
    def completion_tokens(self) -> int:
        """`output_tokens` under OpenAI's name."""
        return self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_tokens + other.cached_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
        )


@dataclass(frozen=True, slots=True)
class Shape:
    """What an answer must look like, as a wire needs to know it.

    Attributes:
        name: A name that every provider accepts for a function: letters, digits, ``_`` and ``-``, at most 64.
        description: The response model's docstring, or one sentence that asks for the answer.
        schema: JSON Schema whose top level is an object; ``$defs`` may stand in it. Never changed by a wire.
    """

    name: str
    description: str
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Binding:
    """The part of a request that the response model decides, made once per model, wire and mode.

    Attributes:
        arguments: Keyword arguments for the SDK, such as ``tools`` and ``tool_choice``.
        instruction: Text for the system prompt, empty where the provider needs none.
    """

    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])
    instruction: str = ""


def copy_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Copy keywords as deep as they can be copied: an SDK's own objects in them may not be."""
    return {name: _copy_value(value) for name, value in values.items()}


def _copy_value(value: Any) -> Any:
    try:
        return copy.deepcopy(value)
    except Exception:  # noqa: BLE001 - an object that refuses to be copied is handed over as it is
        return value
