"""The public names of `instructor` 1.x that this version doesn't have, and what to use instead of each.

Read only when such a name is looked up, so that ``import instructor`` doesn't pay for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_CLIENT = "from_openai(client), from_anthropic(client) or from_genai(client), which return a client with create()"
_FACTORIES = "cerebras cohere databricks deepseek fireworks groq mistral openrouter perplexity together vertexai xai"
"""Vendors whose factory of 1.x did what `from_provider` does."""
_SCHEMA = "create(response_model=YourModel) with a plain pydantic model"
_SENT = 'a handler of the event "completion:kwargs", which receives the whole request'
_BATCH = "the command `instructor extract`, or create() in threads or tasks"
_VALIDATOR = "a pydantic validator that calls a client of its own"

INSTEAD: Final[Mapping[str, str]] = {
    f"from_{name}": f'from_provider("{name}/model")' for name in _FACTORIES.split()
} | {
    "BatchJob": _BATCH,
    "BatchProcessor": _BATCH,
    "BatchRequest": _BATCH,
    "FinetuneFormat": "instructor_cache or a handler of `completion:response`, and write the file yourself",
    "Instructions": "instructor_cache or a handler of `completion:response`, and write the file yourself",
    "Provider": "the vendor's name as text, as in from_provider",
    "from_anyscale": "from_openai(client) with the service's base URL",
    "from_bedrock": "from_anthropic(anthropic.AnthropicBedrock()) for Claude",
    "from_gemini": 'from_genai(client) or from_provider("google/model")',
    "from_writer": "from_openai(client) with the service's base URL",
    "v2": "the names of the package itself",
}


def explain_missing(name: str) -> str | None:
    """Say what to use instead of a name of 1.x; None for a name that 1.x didn't have either.

    Example:
        >>> explain_missing("from_groq")
        'instructor.from_groq is not here yet; use from_provider("groq/model"), or pin "instructor<1.99".'
    """
    instead = INSTEAD.get(name)
    return None if instead is None else f'instructor.{name} is not here yet; use {instead}, or pin "instructor<1.99".'
