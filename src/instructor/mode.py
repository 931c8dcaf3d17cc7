"""How an answer is asked for and read: the modes, and upstream's older names for them."""

from __future__ import annotations

import enum
import warnings

from instructor.exceptions import ModeError


class Mode(enum.Enum):
    """The way a provider is made to answer in a given shape.

    You choose one in ``from_provider(..., mode=Mode.JSON)`` when a vendor or a local model does not
    support its default. Each vendor offers a few of them and has one as its default.

    Example:
        >>> Mode("tool_call") is Mode.TOOLS
        True
    """

    TOOLS = "tool_call"
    """The model calls a function whose parameters are the response model's schema."""
    JSON = "json_mode"
    """The provider promises JSON; the schema is told in the system prompt."""
    JSON_SCHEMA = "json_schema_mode"
    """The provider itself holds the answer to the schema."""
    MD_JSON = "markdown_json_mode"
    """Nothing is promised; the model is asked for a fenced JSON block. Works with any model."""
    RESPONSES_TOOLS = "responses_tools"
    """A function call through OpenAI's Responses API."""


_LEGACY: dict[str, Mode] = {
    "FUNCTIONS": Mode.TOOLS,
    "TOOLS_STRICT": Mode.TOOLS,
    "JSON_O1": Mode.JSON_SCHEMA,
    "RESPONSES_TOOLS_WITH_INBUILT_TOOLS": Mode.RESPONSES_TOOLS,
    "ANTHROPIC_TOOLS": Mode.TOOLS,
    "ANTHROPIC_REASONING_TOOLS": Mode.TOOLS,
    "ANTHROPIC_JSON": Mode.JSON,
    "GENAI_TOOLS": Mode.TOOLS,
    "GENAI_JSON": Mode.JSON,
    "GENAI_STRUCTURED_OUTPUTS": Mode.JSON,
    "MISTRAL_TOOLS": Mode.TOOLS,
    "MISTRAL_STRUCTURED_OUTPUTS": Mode.JSON_SCHEMA,
    "FIREWORKS_TOOLS": Mode.TOOLS,
    "FIREWORKS_JSON": Mode.MD_JSON,
    "CEREBRAS_TOOLS": Mode.TOOLS,
    "CEREBRAS_JSON": Mode.MD_JSON,
    "XAI_TOOLS": Mode.TOOLS,
    "XAI_JSON": Mode.MD_JSON,
    "OPENROUTER_STRUCTURED_OUTPUTS": Mode.JSON_SCHEMA,
    "PERPLEXITY_JSON": Mode.MD_JSON,
}


def resolve_mode(mode: Mode | str) -> Mode:
    """Turn what a user may write for a mode into a `Mode`.

    Args:
        mode: A `Mode`, its value (``"tool_call"``), its name (``"TOOLS"``), or one of upstream's older
            names (``"ANTHROPIC_TOOLS"``), which warn.

    Returns:
        The mode.

    Raises:
        ModeError: The name is unknown.
    """
    if isinstance(mode, Mode):
        return mode
    if isinstance(mode, str):
        if mode in Mode.__members__:
            return Mode[mode]
        if mode in _LEGACY:
            warnings.warn(
                f"Mode {mode!r} is now {_LEGACY[mode].name}; use that name.", DeprecationWarning, stacklevel=3
            )
            return _LEGACY[mode]
        for member in Mode:
            if member.value == mode:
                return member
    raise ModeError(str(mode), "instructor", [member.name for member in Mode])
