"""Typed, validated answers from any LLM provider, with a cache at its heart.

Example:
    >>> from instructor import from_provider
    >>> from instructor.cache import AutoCache
    >>> from pydantic import BaseModel
    >>> class User(BaseModel):
    ...     name: str
    ...     age: int
    >>> client = from_provider("offline/demo", cache=AutoCache())  # or "openai/gpt-6-luna", with OPENAI_API_KEY set
    >>> client.create(response_model=User, messages=[{"role": "user", "content": "Anna is 25."}])
    User(name='Anna', age=25)

The public names are listed below. Each is imported when it is first used, so importing the package takes milliseconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from instructor import cache, exceptions, hooks, observe
    from instructor.attempt import Attempt, current_attempt
    from instructor.batch import BatchJob, BatchProcessor, BatchRequest
    from instructor.budget import Budget
    from instructor.cache import AutoCache, BaseCache, DiskCache, RedisCache
    from instructor.cache.ledger import Ledger
    from instructor.cache_modes import cache_mode, use_cache
    from instructor.client import AsyncInstructor, Instructor
    from instructor.distil import FinetuneFormat, Instructions
    from instructor.dsl.citation import CitationMixin
    from instructor.dsl.iterable import IterableModel
    from instructor.dsl.maybe import Maybe
    from instructor.dsl.schema import (
        OpenAISchema,
        ResponseSchema,
        generate_anthropic_schema,
        generate_gemini_schema,
        generate_openai_schema,
        openai_schema,
        response_schema,
    )
    from instructor.dsl.validators import llm_validator, openai_moderation
    from instructor.engine.async_validation import AsyncValidationInfo, async_field_validator, async_model_validator
    from instructor.engine.explanation import Explanation
    from instructor.engine.reply import Reply
    from instructor.factory import from_anthropic, from_genai, from_openai, from_provider
    from instructor.function.decorator import instructor_cache
    from instructor.hooks import CacheEvent, HookName, Hooks
    from instructor.jobs.job import AsyncJob, Job
    from instructor.limits.settings import Limits
    from instructor.media.medium import PDF, Audio, Image
    from instructor.mode import Mode
    from instructor.patching import apatch, from_litellm, patch  # pyright: ignore[reportDeprecated]
    from instructor.processing.response import handle_response_model
    from instructor.prompt_caching.setting import PromptCache
    from instructor.providers.registry import register_provider
    from instructor.retries import Retries
    from instructor.row import Row
    from instructor.streaming.partial import Partial
    from instructor.vendor_factories import (
        from_anyscale,
        from_bedrock,
        from_cerebras,
        from_cohere,
        from_databricks,
        from_deepseek,
        from_fireworks,
        from_gemini,
        from_groq,
        from_mistral,
        from_openrouter,
        from_perplexity,
        from_together,
        from_vertexai,
        from_writer,
        from_xai,
    )
    from instructor.vendor_names import Provider
    from instructor.wires.turns import continue_messages
else:
    from instructor.lazy import resolve_names

    __getattr__, __dir__ = resolve_names(
        __name__,
        {
            "AsyncInstructor": "instructor.client",
            "AsyncJob": "instructor.jobs.job",
            "AsyncValidationInfo": "instructor.engine.async_validation",
            "Attempt": "instructor.attempt",
            "Audio": "instructor.media.medium",
            "AutoCache": "instructor.cache",
            "BaseCache": "instructor.cache",
            "BatchJob": "instructor.batch",
            "BatchProcessor": "instructor.batch",
            "BatchRequest": "instructor.batch",
            "Budget": "instructor.budget",
            "CacheEvent": "instructor.hooks",
            "CitationMixin": "instructor.dsl.citation",
            "DiskCache": "instructor.cache",
            "Explanation": "instructor.engine.explanation",
            "FinetuneFormat": "instructor.distil",
            "HookName": "instructor.hooks",
            "Hooks": "instructor.hooks",
            "Image": "instructor.media.medium",
            "Instructions": "instructor.distil",
            "Instructor": "instructor.client",
            "IterableModel": "instructor.dsl.iterable",
            "Job": "instructor.jobs.job",
            "Ledger": "instructor.cache.ledger",
            "Limits": "instructor.limits.settings",
            "Maybe": "instructor.dsl.maybe",
            "Mode": "instructor.mode",
            "OpenAISchema": "instructor.dsl.schema",
            "Partial": "instructor.streaming.partial",
            "PDF": "instructor.media.medium",
            "PromptCache": "instructor.prompt_caching.setting",
            "Provider": "instructor.vendor_names",
            "RedisCache": "instructor.cache",
            "Reply": "instructor.engine.reply",
            "ResponseSchema": "instructor.dsl.schema",
            "Retries": "instructor.retries",
            "Row": "instructor.row",
            "apatch": "instructor.patching",
            "async_field_validator": "instructor.engine.async_validation",
            "async_model_validator": "instructor.engine.async_validation",
            "cache": "instructor.cache",
            "cache_mode": "instructor.cache_modes",
            "continue_messages": "instructor.wires.turns",
            "current_attempt": "instructor.attempt",
            "exceptions": "instructor.exceptions",
            "from_anthropic": "instructor.factory",
            "from_anyscale": "instructor.vendor_factories",
            "from_bedrock": "instructor.vendor_factories",
            "from_cerebras": "instructor.vendor_factories",
            "from_cohere": "instructor.vendor_factories",
            "from_databricks": "instructor.vendor_factories",
            "from_deepseek": "instructor.vendor_factories",
            "from_fireworks": "instructor.vendor_factories",
            "from_gemini": "instructor.vendor_factories",
            "from_genai": "instructor.factory",
            "from_groq": "instructor.vendor_factories",
            "from_litellm": "instructor.patching",
            "from_mistral": "instructor.vendor_factories",
            "from_openai": "instructor.factory",
            "from_openrouter": "instructor.vendor_factories",
            "from_perplexity": "instructor.vendor_factories",
            "from_provider": "instructor.factory",
            "from_together": "instructor.vendor_factories",
            "from_vertexai": "instructor.vendor_factories",
            "from_writer": "instructor.vendor_factories",
            "from_xai": "instructor.vendor_factories",
            "generate_anthropic_schema": "instructor.dsl.schema",
            "generate_gemini_schema": "instructor.dsl.schema",
            "generate_openai_schema": "instructor.dsl.schema",
            "handle_response_model": "instructor.processing.response",
            "hooks": "instructor.hooks",
            "instructor_cache": "instructor.function.decorator",
            "llm_validator": "instructor.dsl.validators",
            "observe": "instructor.observe",
            "openai_moderation": "instructor.dsl.validators",
            "openai_schema": "instructor.dsl.schema",
            "patch": "instructor.patching",
            "register_provider": "instructor.providers.registry",
            "response_schema": "instructor.dsl.schema",
            "use_cache": "instructor.cache_modes",
        },
        {"v2": 'instructor.v2 is not here; use the names of the package itself, or pin "instructor<1.99".'},
    )

__version__ = "1.99.0"

__all__ = [  # noqa: RUF022 - in the order of `sorted`, as `dir` gives it
    "AsyncInstructor",
    "AsyncJob",
    "AsyncValidationInfo",
    "Attempt",
    "Audio",
    "AutoCache",
    "BaseCache",
    "BatchJob",
    "BatchProcessor",
    "BatchRequest",
    "Budget",
    "CacheEvent",
    "CitationMixin",
    "DiskCache",
    "Explanation",
    "FinetuneFormat",
    "HookName",
    "Hooks",
    "Image",
    "Instructions",
    "Instructor",
    "IterableModel",
    "Job",
    "Ledger",
    "Limits",
    "Maybe",
    "Mode",
    "OpenAISchema",
    "PDF",
    "Partial",
    "PromptCache",
    "Provider",
    "RedisCache",
    "Reply",
    "ResponseSchema",
    "Retries",
    "Row",
    "apatch",
    "async_field_validator",
    "async_model_validator",
    "cache",
    "cache_mode",
    "continue_messages",
    "current_attempt",
    "exceptions",
    "from_anthropic",
    "from_anyscale",
    "from_bedrock",
    "from_cerebras",
    "from_cohere",
    "from_databricks",
    "from_deepseek",
    "from_fireworks",
    "from_gemini",
    "from_genai",
    "from_groq",
    "from_litellm",
    "from_mistral",
    "from_openai",
    "from_openrouter",
    "from_perplexity",
    "from_provider",
    "from_together",
    "from_vertexai",
    "from_writer",
    "from_xai",
    "generate_anthropic_schema",
    "generate_gemini_schema",
    "generate_openai_schema",
    "handle_response_model",
    "hooks",
    "instructor_cache",
    "llm_validator",
    "observe",
    "openai_moderation",
    "openai_schema",
    "patch",
    "register_provider",
    "response_schema",
    "use_cache",
]
