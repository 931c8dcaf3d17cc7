"""What one model of one vendor can do: data that wires and the engine decide by.

The table that says so for each vendor and model is ``providers/capabilities.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from instructor.mode import Mode

ToolChoice = Literal["named", "required", "auto", "omitted"]
"""The strongest way in which a model may be made to call a tool.

``"named"``: it can be forced to call one function by name; ``"required"``: to call some function; ``"auto"``: it
decides; ``"omitted"``: it decides, and the keyword itself is refused.
"""

SchemaSubset = Literal["openai_strict", "anthropic", "anchored", "plain"]
"""What a model's native structured output takes of JSON Schema.

``"openai_strict"``: OpenAI's strict subset; ``"anthropic"``: no bounds, no recursion; ``"anchored"``: every pattern
needs ``^`` and ``$`` and plain classes (llama.cpp and its like); ``"plain"``: whatever pydantic writes.
"""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What one model can do.

    Attributes:
        modes: The modes that serve, best first. ``mode=None`` takes the first.
        tool_choice: How a tool call can be asked for.
        schema: What native structured output takes.
        output_limit: The name of the output limit: ``max_tokens`` is sent under this name where it differs.
        refused: Arguments that the model refuses whatever their value. They are left out of the request, except
            ``max_completion_tokens``, which is sent as ``max_tokens``.
        thinks: Whether it thinks by default. Its reasoning counts towards the output limit.
        developer: Whether messages may be the developer's. Where not, they are sent as the system's.
    """

    modes: tuple[Mode, ...] = (Mode.TOOLS,)
    tool_choice: ToolChoice = "named"
    schema: SchemaSubset = "plain"
    output_limit: str = "max_tokens"
    refused: frozenset[str] = frozenset()
    thinks: bool = False
    developer: bool = True


OUTPUT_LIMITS: tuple[str, ...] = ("max_tokens", "max_completion_tokens")
"""The two names that the chat API has for the output limit."""

DEFAULT_CAPABILITIES = Capabilities()
"""What a wire assumes about a model whose capabilities it doesn't get."""


def adapt_arguments(arguments: Mapping[str, Any], capabilities: Capabilities) -> dict[str, Any]:
    """Adapt a caller's arguments to the model: rename the output limit and leave out what the model refuses.

    The cache key is computed from the result, so two calls that send the same request share one key.

    Example:
        >>> adapt_arguments({"max_tokens": 9, "stop": "."}, Capabilities(output_limit="max_completion_tokens"))
        {'max_completion_tokens': 9, 'stop': '.'}
    """
    limit, refused = capabilities.output_limit, capabilities.refused
    is_renamed = limit != "max_tokens" or "max_completion_tokens" in refused
    names: dict[str, str] = dict.fromkeys(OUTPUT_LIMITS, limit) if is_renamed else {}
    return {names.get(name, name): value for name, value in arguments.items() if name in names or name not in refused}


def refused_arguments(arguments: Mapping[str, Any], capabilities: Capabilities) -> tuple[str, ...]:
    """Name the arguments that `adapt_arguments` leaves out.

    Example:
        >>> refused_arguments({"temperature": 0, "top_p": None}, Capabilities(refused=frozenset({"temperature", "top_p"})))
        ('temperature',)
    """
    if not arguments:
        return ()
    refused = capabilities.refused.intersection(arguments).difference(OUTPUT_LIMITS)
    return tuple(sorted(name for name in refused if arguments[name] is not None))
