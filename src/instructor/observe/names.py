"""What spans, metrics and labels are called.

The names below ``gen_ai.`` are those of OpenTelemetry's conventions for generative AI, as in semantic conventions 0.66b2
(https://github.com/open-telemetry/semantic-conventions-genai, read 2026-11-21). They are in development there, so they
stand here and nowhere else. Names below ``instructor.`` are ours.
"""

from __future__ import annotations

import os
from typing import Final

OPERATION: Final = "gen_ai.operation.name"
CHAT: Final = "chat"
PROVIDER: Final = "gen_ai.provider.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
RESPONSE_MODEL: Final = "gen_ai.response.model"
STREAM: Final = "gen_ai.request.stream"
OUTPUT_TYPE: Final = "gen_ai.output.type"
INPUT_MESSAGES: Final = "gen_ai.input.messages"
OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
TOKEN_TYPE: Final = "gen_ai.token.type"  # noqa: S105 - a name
ERROR_TYPE: Final = "error.type"

USAGE: Final = {
    "gen_ai.usage.input_tokens": "input_tokens",
    "gen_ai.usage.output_tokens": "output_tokens",
    "gen_ai.usage.cache_read.input_tokens": "cached_tokens",
    "gen_ai.usage.cache_creation.input_tokens": "cache_write_tokens",
    "gen_ai.usage.reasoning.output_tokens": "reasoning_tokens",
}
"""Attributes of a span, and the members of `Usage` that they hold. A hit has none of them, or it would be paid twice."""

SETTINGS: Final = {
    "gen_ai.request.temperature": ("temperature",),
    "gen_ai.request.top_p": ("top_p",),
    "gen_ai.request.seed": ("seed",),
    "gen_ai.request.max_tokens": ("max_tokens", "max_completion_tokens", "max_output_tokens"),
}
"""Attributes of a span, and the arguments of a request that they hold."""

DURATION: Final = "gen_ai.client.operation.duration"
TOKENS: Final = "gen_ai.client.token.usage"
DURATION_BOUNDS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
TOKEN_BOUNDS: Final = tuple(4.0**power for power in range(14))
"""The buckets that the conventions ask for."""

ATTEMPT: Final = "instructor.attempt"
ANSWER_MODEL: Final = "instructor.response_model"
CACHE_SPAN: Final = "instructor.cache"
CACHE_EVENT: Final = "instructor.cache.event"
CACHE_STORE: Final = "instructor.cache.store"
CACHE_TIER: Final = "instructor.cache.tier"
CACHE_KEY: Final = "instructor.cache.key"
CACHE_AGE: Final = "instructor.cache.age"
CACHE_STALE: Final = "instructor.cache.stale"
CACHE_REASON: Final = "instructor.cache.reason"
CACHE_EVENTS: Final = "instructor.cache.events"
CACHE_TOKENS: Final = "instructor.cache.saved.tokens"
CACHE_SECONDS: Final = "instructor.cache.saved.time"

CAPTURE: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
"""The environment variable that says whether spans hold prompts and answers; by default they don't."""

_PROVIDERS: Final = {
    "anthropic": "anthropic",
    "anthropic_bedrock": "aws.bedrock",
    "anthropic_vertex": "gcp.vertex_ai",
    "azure_ai": "azure.ai.inference",
    "azure_openai": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "genai": "gcp.gemini",
    "google": "gcp.gemini",
    "mistral": "mistral_ai",
    "vertexai": "gcp.vertex_ai",
    "xai": "x_ai",
}
"""Vendors that the conventions call by another name than we do."""


def name_provider(provider: str) -> str:
    """The vendor's name in the conventions."""
    return _PROVIDERS.get(provider, provider)


def captures_content() -> bool:
    """Whether spans are to hold prompts and answers."""
    return os.environ.get(CAPTURE, "").strip().lower() in ("true", "1", "span_only", "span_and_event")
