"""A public name of 1.x that is not here says so, and what to use instead."""

from __future__ import annotations

import re

import pytest

import instructor
from instructor.missing_names import INSTEAD, explain_missing
from instructor.providers.table import find_vendor

# `instructor.__all__` of 1.17.0, and the names that it adds where an optional SDK is installed.
UPSTREAM = {
    "AsyncInstructor",
    "Audio",
    "BatchJob",
    "BatchProcessor",
    "BatchRequest",
    "CitationMixin",
    "FinetuneFormat",
    "Image",
    "Instructions",
    "Instructor",
    "IterableModel",
    "Maybe",
    "Mode",
    "OpenAISchema",
    "Partial",
    "Provider",
    "ResponseSchema",
    "apatch",
    "from_anyscale",
    "from_databricks",
    "from_deepseek",
    "from_litellm",
    "from_openai",
    "from_openrouter",
    "from_provider",
    "from_together",
    "from_vertexai",
    "generate_anthropic_schema",
    "generate_gemini_schema",
    "generate_openai_schema",
    "hooks",
    "llm_validator",
    "openai_moderation",
    "openai_schema",
    "patch",
    "response_schema",
    "v2",
}
UPSTREAM_WITH_SDKS = {
    "from_anthropic",
    "from_bedrock",
    "from_cerebras",
    "from_cohere",
    "from_fireworks",
    "from_gemini",
    "from_genai",
    "from_groq",
    "from_mistral",
    "from_perplexity",
    "from_writer",
    "from_xai",
}
ALL_OF_UPSTREAM = UPSTREAM | UPSTREAM_WITH_SDKS


def test_every_name_of_upstream_is_here_or_explained():
    assert set(INSTEAD) == ALL_OF_UPSTREAM - set(instructor.__all__)


@pytest.mark.parametrize("name", sorted(INSTEAD))
def test_a_missing_name_says_what_to_use(name: str):
    with pytest.raises(AttributeError, match=rf'instructor\.{name} is not here yet; use .*, or pin "instructor<1\.99"'):
        getattr(instructor, name)
    assert not hasattr(instructor, name)


@pytest.mark.parametrize("name", sorted(INSTEAD))
def test_what_is_named_instead_is_there(name: str):
    message = explain_missing(name) or ""
    for vendor in re.findall(r'from_provider\("(\w+)/', message):
        assert find_vendor(vendor)
    for public in re.findall(r"\b(from_\w+|instructor_cache)\b", message.partition("; use ")[2]):
        assert public in instructor.__all__


def test_a_name_that_1_x_did_not_have_is_not_explained():
    assert explain_missing("no_such_name") is None
