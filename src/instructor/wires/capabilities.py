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
        refused: Arguments that the model refuses whatever their value. They are left out of the request.
        thinks: Whether it thinks by default. Its reasoning counts towards the output limit.
    """

    modes: tuple[Mode, ...] = (Mode.TOOLS,)
    tool_choice: ToolChoice = "named"
    schema: SchemaSubset = "plain"
    output_limit: str = "max_tokens"
    refused: frozenset[str] = frozenset()
    thinks: bool = False


DEFAULT_CAPABILITIES = Capabilities()
"""What a wire assumes about a model whose capabilities it doesn't get."""


def adapt_arguments(arguments: Mapping[str, Any], capabilities: Capabilities) -> dict[str, Any]:
    """Adapt a caller's arguments to the model: rename the output limit and leave out what the model refuses.

    The cache key is computed from the result, so two calls that send the same request share one key.

    Example:
        >>> adapt_arguments({"max_tokens": 9, "stop": "."}, Capabilities(output_limit="max_completion_tokens"))
        {'max_completion_tokens': 9, 'stop': '.'}
    """
    limit = capabilities.output_limit
    names = {"max_tokens": limit, "max_completion_tokens": limit} if limit != "max_tokens" else {}
    return {names.get(name, name): value for name, value in arguments.items() if name not in capabilities.refused}
