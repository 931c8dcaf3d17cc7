"""Import paths of 1.x."""

from __future__ import annotations

from instructor.dsl.schema import (
    OpenAISchema,
    ResponseSchema,
    generate_anthropic_schema,
    generate_gemini_schema,
    generate_openai_schema,
    openai_schema,
    response_schema,
)
from instructor.dsl.validators import Validator
from instructor.processing.multimodal import convert_messages
from instructor.processing.response import handle_response_model, process_response, process_response_async

__all__ = [
    "OpenAISchema",
    "ResponseSchema",
    "Validator",
    "convert_messages",
    "generate_anthropic_schema",
    "generate_gemini_schema",
    "generate_openai_schema",
    "handle_response_model",
    "openai_schema",
    "process_response",
    "process_response_async",
    "response_schema",
]
