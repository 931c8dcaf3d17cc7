"""The vendors' names as an enum, as 1.x had them. A name as text serves everywhere too."""

from __future__ import annotations

import enum


class Provider(enum.StrEnum):
    """A vendor's name. ``client.provider`` is one for every vendor that is built in, and equals its text.

    Example:
        >>> Provider("groq") is Provider.GROQ, Provider.GROQ == "groq", Provider.GENAI is Provider.GOOGLE
        (True, True, True)
    """

    OPENAI = "openai"
    AZURE_OPENAI = "azure_openai"
    ANTHROPIC = "anthropic"
    ANYSCALE = "anyscale"
    BEDROCK = "bedrock"
    CEREBRAS = "cerebras"
    COHERE = "cohere"
    DATABRICKS = "databricks"
    DEEPSEEK = "deepseek"
    FIREWORKS = "fireworks"
    GOOGLE = "google"
    GENAI = "google"
    GEMINI = "google"
    GENERATIVE_AI = "google"
    GROQ = "groq"
    LITELLM = "litellm"
    MISTRAL = "mistral"
    OLLAMA = "ollama"
    OPENROUTER = "openrouter"
    PERPLEXITY = "perplexity"
    TOGETHER = "together"
    UNKNOWN = "unknown"
    VERTEXAI = "vertexai"
    WRITER = "writer"
    XAI = "xai"

    @classmethod
    def _missing_(cls, value: object) -> Provider | None:
        """Resolve the other names of Google's."""
        return cls.__members__.get(value.upper().replace("-", "_")) if isinstance(value, str) else None


def name_vendor(name: str) -> str:
    """The member for a vendor's name; for a vendor that was registered, the name itself."""
    return Provider(name) if name in _VALUES else name


_VALUES = frozenset(str(provider) for provider in Provider)
