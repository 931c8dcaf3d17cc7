"""The ways in which an answer can be asked for, and the names that 1.x had for them."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

from instructor.describing import warn_caller
from instructor.exceptions import ModeError


class _ModeType(enum.EnumMeta):
    """Resolves ``Mode.ANTHROPIC_TOOLS`` and the other names of 1.x, which are not members."""

    def __getattr__(cls, name: str) -> Mode:
        mode = _find_legacy(name) if name in _LEGACY else None
        if mode is None:
            raise AttributeError(f"Mode has no member {name!r}. It has {', '.join(Mode.__members__)}.", name=name)
        return mode

    def __getitem__(cls, name: str) -> Any:  # the base class's type is that of any enum's member
        """Resolve ``Mode["TOOLS"]``, and ``Mode["ANTHROPIC_TOOLS"]`` as the attribute of that name is resolved."""
        mode = _find_legacy(name) if name in _LEGACY else None
        return super().__getitem__(name) if mode is None else mode


class Mode(enum.Enum, metaclass=_ModeType):
    """How a provider is asked for a typed answer.

    Without ``mode=`` each call uses the best mode of its model. Choose one yourself to compare modes, or for a server
    that supports less than its model's table says: ``from_provider(..., mode=Mode.JSON)``.

    The names of 1.x still work, as attributes and as text, with a `DeprecationWarning` that names today's.

    Example:
        >>> Mode("tool_call") is Mode("tools") is Mode.TOOLS
        True
    """

    __hash__ = object.__hash__  # by identity: Enum's own is a Python function, and modes are keys on every request

    TOOLS = "tool_call"
    """The model calls a function whose parameters are the response model's schema."""
    JSON = "json_mode"
    """The provider enforces valid JSON; the system prompt describes the schema."""
    JSON_SCHEMA = "json_schema_mode"
    """The provider enforces the schema itself."""
    MD_JSON = "markdown_json_mode"
    """The provider enforces nothing; the model is asked for a fenced JSON block. Works with any model."""
    RESPONSES_TOOLS = "responses_tools"
    """A function call through OpenAI's Responses API."""
    PARALLEL_TOOLS = "parallel_tool_call"
    """Each member of ``list[A | B]`` is a function, and the model calls any of them any number of times."""

    @classmethod
    def tool_modes(cls) -> set[Mode]:
        """The modes in which the answer is a function call, whatever the API.

        Example:
            >>> sorted(mode.name for mode in Mode.tool_modes())
            ['PARALLEL_TOOLS', 'RESPONSES_TOOLS', 'TOOLS']
        """
        return {cls.TOOLS, cls.RESPONSES_TOOLS, cls.PARALLEL_TOOLS}

    @classmethod
    def json_modes(cls) -> set[Mode]:
        """The modes in which the answer is text that holds JSON.

        Example:
            >>> Mode.MD_JSON in Mode.json_modes()
            True
        """
        return set(cls) - cls.tool_modes()

    @classmethod
    def _missing_(cls, value: object) -> Mode | None:
        """Resolve a member's name and a name or value of 1.x, in any case; `ModeError` for any other."""
        name = value.strip().upper() if isinstance(value, str) else ""
        member = cls.__members__.get(name) or _BY_VALUE.get(name) or _find_legacy(_LEGACY_VALUES.get(name, name))
        if member is None:
            raise ModeError(str(value), "", list(cls.__members__))
        return member


_LEGACY: Mapping[str, Mode] = {
    "FUNCTIONS": Mode.TOOLS,
    "TOOLS_STRICT": Mode.TOOLS,
    "JSON_O1": Mode.JSON_SCHEMA,
    "RESPONSES_TOOLS_WITH_INBUILT_TOOLS": Mode.RESPONSES_TOOLS,
    "ANTHROPIC_TOOLS": Mode.TOOLS,
    "ANTHROPIC_REASONING_TOOLS": Mode.TOOLS,
    "ANTHROPIC_PARALLEL_TOOLS": Mode.PARALLEL_TOOLS,
    "ANTHROPIC_JSON": Mode.JSON,
    "GENAI_TOOLS": Mode.TOOLS,
    "GENAI_JSON": Mode.JSON,
    "GENAI_STRUCTURED_OUTPUTS": Mode.JSON,
    # 1.x sent these two to SDKs that are gone; google-genai speaks JSON, but not MD_JSON.
    "GEMINI_TOOLS": Mode.TOOLS,
    "GEMINI_JSON": Mode.JSON,
    "VERTEXAI_TOOLS": Mode.TOOLS,
    "VERTEXAI_JSON": Mode.JSON,
    "VERTEXAI_PARALLEL_TOOLS": Mode.PARALLEL_TOOLS,
    "MISTRAL_TOOLS": Mode.TOOLS,
    "MISTRAL_STRUCTURED_OUTPUTS": Mode.JSON_SCHEMA,
    "COHERE_TOOLS": Mode.TOOLS,
    "COHERE_JSON_SCHEMA": Mode.JSON_SCHEMA,
    "FIREWORKS_TOOLS": Mode.TOOLS,
    "FIREWORKS_JSON": Mode.MD_JSON,
    "CEREBRAS_TOOLS": Mode.TOOLS,
    "CEREBRAS_JSON": Mode.MD_JSON,
    "WRITER_TOOLS": Mode.TOOLS,
    "WRITER_JSON": Mode.MD_JSON,
    "BEDROCK_TOOLS": Mode.TOOLS,
    "BEDROCK_JSON": Mode.MD_JSON,
    "XAI_TOOLS": Mode.TOOLS,
    "XAI_JSON": Mode.MD_JSON,
    "OPENROUTER_STRUCTURED_OUTPUTS": Mode.JSON_SCHEMA,
    "PERPLEXITY_JSON": Mode.MD_JSON,
}
_BY_VALUE: Mapping[str, Mode] = {mode.value.upper(): mode for mode in Mode}
# The values of 1.x were the names in lower case, but for these.
_LEGACY_VALUES: Mapping[str, str] = {
    "FUNCTION_CALL": "FUNCTIONS",
    "JSON_OBJECT": "COHERE_JSON_SCHEMA",
}


def resolve_mode(mode: Mode | str) -> Mode:
    """Turn what a user may write for a mode into a `Mode`.

    It may be a `Mode`, its value (``"tool_call"``), its name (``"TOOLS"``), or a name or value of 1.x
    (``"ANTHROPIC_TOOLS"``), which warns. Upper and lower case count alike.

    Example:
        >>> resolve_mode("json_schema")
        <Mode.JSON_SCHEMA: 'json_schema_mode'>
    """
    return Mode(mode)


def _find_legacy(name: str) -> Mode | None:
    """Find the mode that a name of 1.x stands for, and warn at the line of the user's code."""
    mode = _LEGACY.get(name)
    if mode is not None:
        message = f"Mode {name} of instructor 1.x is now {mode.name}; use that name."
        warn_caller(message, DeprecationWarning)
    return mode
