"""The table of what each model can do."""

from __future__ import annotations

import re
import typing
from dataclasses import replace

import anthropic
import pytest
from openai.types.shared import AllModels, ChatModel

from instructor.mode import Mode
from instructor.providers.capabilities import FAMILIES, Family, capabilities_of, plain_name
from instructor.providers.table import VENDORS, find_vendor
from instructor.wires.capabilities import Capabilities

SAMPLING = frozenset({"temperature", "top_p"})
CLAUDE_SAMPLING = SAMPLING | {"top_k"}


def look_up(name: str) -> Capabilities:
    vendor, _, model = name.partition("/")
    return capabilities_of(find_vendor(vendor), model)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: f"{'-'.join(family.vendors)}:{family.model}")
def test_a_row_names_its_source_its_date_and_known_vendors(family: Family):
    assert family.source
    assert re.fullmatch(r"20\d\d-(0[1-9]|1[0-2])", family.date)
    assert family.vendors
    assert all(find_vendor(name).name == name for name in family.vendors if name)
    assert len(set(family.capabilities.modes)) == len(family.capabilities.modes) > 0


@pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: vendor.name)
def test_every_vendor_has_a_mode_for_any_model(vendor):
    for model in ("", "some-model", "gpt-5-codex", "claude-opus-5-5", "deepseek-v4-flash", "o1-pro"):
        modes = capabilities_of(vendor, model).modes
        assert set(modes) <= set(vendor.modes)
        assert modes


@pytest.mark.parametrize(
    ("name", "modes", "choice", "limit", "refused", "thinks"),
    [
        ("openai/gpt-4.1-mini", (Mode.TOOLS, Mode.JSON_SCHEMA), "named", "max_tokens", set(), False),
        ("openai/gpt-4o-2024-08-06", (Mode.TOOLS, Mode.JSON_SCHEMA), "named", "max_tokens", set(), False),
        ("openai/ft:gpt-4o-mini:acme::1", (Mode.TOOLS, Mode.JSON_SCHEMA), "named", "max_tokens", set(), False),
        ("openai/gpt-5-chat-latest", (Mode.JSON_SCHEMA, Mode.JSON), "named", "max_completion_tokens", set(), False),
        ("openai/gpt-audio-mini", (Mode.TOOLS,), "named", "max_tokens", set(), False),
        ("openai/gpt-6-cyber", (Mode.RESPONSES_TOOLS,), "named", "max_completion_tokens", SAMPLING, True),
        ("openai/o4-mini-deep-research", (Mode.RESPONSES_TOOLS,), "named", "max_completion_tokens", SAMPLING, True),
        (
            "openai/gpt-4o-mini-search-preview",
            (Mode.JSON_SCHEMA, Mode.MD_JSON),
            "named",
            "max_tokens",
            SAMPLING | {"frequency_penalty", "presence_penalty"},
            False,
        ),
        ("openai/my-model", (Mode.TOOLS, Mode.JSON_SCHEMA), "named", "max_tokens", set(), False),
        ("openai/deepseek-v4-flash", (Mode.TOOLS, Mode.JSON_SCHEMA), "named", "max_tokens", set(), False),
        ("openai/o3", (Mode.TOOLS, Mode.JSON_SCHEMA), "named", "max_completion_tokens", SAMPLING, True),
        ("openai/gpt-5-mini", (Mode.TOOLS, Mode.JSON_SCHEMA), "named", "max_completion_tokens", SAMPLING, True),
        ("openai/gpt-5.2", (Mode.TOOLS, Mode.JSON_SCHEMA), "named", "max_completion_tokens", set(), False),
        ("openai/gpt-5.4", (Mode.JSON_SCHEMA, Mode.TOOLS), "named", "max_completion_tokens", set(), True),
        (
            "openai/gpt-5.6-terra",
            (Mode.JSON_SCHEMA, Mode.RESPONSES_TOOLS),
            "named",
            "max_completion_tokens",
            set(),
            True,
        ),
        ("openai/gpt-6-luna", (Mode.JSON_SCHEMA, Mode.RESPONSES_TOOLS), "named", "max_completion_tokens", set(), True),
        ("openai/gpt-6.1-sol", (Mode.JSON_SCHEMA, Mode.RESPONSES_TOOLS), "named", "max_completion_tokens", set(), True),
        ("openai/gpt-6-astra", (Mode.JSON_SCHEMA,), "named", "max_completion_tokens", SAMPLING | {"stop"}, True),
        ("openai/gpt-5.3-codex", (Mode.RESPONSES_TOOLS,), "named", "max_completion_tokens", SAMPLING, True),
        ("openai/o3-pro", (Mode.RESPONSES_TOOLS,), "named", "max_completion_tokens", SAMPLING, True),
        (
            "azure_openai/gpt-6-luna",
            (Mode.JSON_SCHEMA, Mode.RESPONSES_TOOLS),
            "named",
            "max_completion_tokens",
            set(),
            True,
        ),
        ("azure_openai/my-deployment", (Mode.JSON_SCHEMA, Mode.TOOLS), "named", "max_tokens", set(), False),
        ("github/openai/gpt-6-luna", (Mode.JSON_SCHEMA, Mode.JSON), "named", "max_completion_tokens", set(), True),
        ("openrouter/openai/gpt-6-luna", (Mode.JSON_SCHEMA,), "named", "max_completion_tokens", set(), True),
        ("groq/openai/gpt-oss-120b", (Mode.TOOLS, Mode.JSON_SCHEMA), "named", "max_tokens", set(), False),
        ("anthropic/claude-3-5-haiku-20241022", (Mode.TOOLS, Mode.JSON), "named", "max_tokens", set(), False),
        ("anthropic/claude-opus-4-20250514", (Mode.TOOLS,), "named", "max_tokens", set(), False),
        ("anthropic/claude-opus-4@20250514", (Mode.TOOLS,), "named", "max_tokens", set(), False),
        ("anthropic/claude-sonnet-4-6", (Mode.TOOLS,), "named", "max_tokens", set(), False),
        ("anthropic/claude-opus-4-7", (Mode.TOOLS,), "named", "max_tokens", CLAUDE_SAMPLING, False),
        ("anthropic/claude-opus-5", (Mode.TOOLS,), "named", "max_tokens", CLAUDE_SAMPLING, True),
        ("anthropic/claude-opus-5-20260801", (Mode.TOOLS,), "named", "max_tokens", CLAUDE_SAMPLING, True),
        ("anthropic/claude-opus-5-5", (Mode.JSON_SCHEMA, Mode.TOOLS), "auto", "max_tokens", CLAUDE_SAMPLING, True),
        (
            "anthropic/claude-opus-5-1-20261001",
            (Mode.JSON_SCHEMA, Mode.TOOLS),
            "auto",
            "max_tokens",
            CLAUDE_SAMPLING,
            True,
        ),
        ("anthropic/claude-opus-5.5", (Mode.JSON_SCHEMA, Mode.TOOLS), "auto", "max_tokens", CLAUDE_SAMPLING, True),
        ("anthropic/claude-opus-6", (Mode.JSON_SCHEMA, Mode.TOOLS), "auto", "max_tokens", CLAUDE_SAMPLING, True),
        ("anthropic/claude-fable-5", (Mode.JSON_SCHEMA, Mode.TOOLS), "auto", "max_tokens", CLAUDE_SAMPLING, True),
        (
            "anthropic/claude-mythos-preview",
            (Mode.JSON_SCHEMA, Mode.TOOLS),
            "auto",
            "max_tokens",
            CLAUDE_SAMPLING,
            True,
        ),
        ("anthropic/us.anthropic.claude-opus-5-5-v1:0", (Mode.TOOLS,), "auto", "max_tokens", CLAUDE_SAMPLING, True),
        ("anthropic/anthropic.claude-sonnet-4-6-v1:0", (Mode.TOOLS,), "named", "max_tokens", set(), False),
        ("openrouter/anthropic/claude-opus-5.5", (Mode.TOOLS,), "auto", "max_tokens", CLAUDE_SAMPLING, True),
        ("openrouter/anthropic/claude-sonnet-4.6", (Mode.TOOLS,), "named", "max_tokens", set(), False),
        ("deepseek/deepseek-v4-flash", (Mode.JSON, Mode.TOOLS), "omitted", "max_tokens", set(), True),
        ("deepseek/deepseek-chat", (Mode.JSON, Mode.TOOLS), "omitted", "max_tokens", set(), True),
        ("openrouter/deepseek/deepseek-v4-pro", (Mode.JSON, Mode.TOOLS), "omitted", "max_tokens", set(), True),
        ("moonshot/kimi-k2.6", (Mode.JSON, Mode.TOOLS), "auto", "max_tokens", set(), True),
        ("moonshot/kimi-k3", (Mode.TOOLS, Mode.JSON), "required", "max_tokens", set(), True),
        ("moonshot/moonshot-v1-8k", (Mode.TOOLS, Mode.JSON_SCHEMA), "named", "max_tokens", set(), False),
        ("dashscope/qwen3.5-plus", (Mode.MD_JSON, Mode.TOOLS), "auto", "max_tokens", set(), True),
        ("together/Qwen/Qwen3.5-397B", (Mode.MD_JSON, Mode.TOOLS), "auto", "max_tokens", set(), True),
        ("zai/glm-5.2", (Mode.JSON, Mode.TOOLS), "auto", "max_tokens", set(), True),
        ("openrouter/z-ai/glm-5.2", (Mode.JSON, Mode.TOOLS), "auto", "max_tokens", set(), True),
        ("cohere/command-a", (Mode.JSON_SCHEMA,), "required", "max_tokens", set(), False),
        ("ollama/qwen3.5:27b", (Mode.JSON_SCHEMA, Mode.TOOLS), "named", "max_tokens", set(), False),
        ("vllm/deepseek-ai/deepseek-v4", (Mode.JSON_SCHEMA,), "named", "max_tokens", set(), False),
        ("perplexity/sonar", (Mode.MD_JSON,), "named", "max_tokens", set(), False),
    ],
)
def test_a_model_gets_the_capabilities_of_its_family(name, modes, choice, limit, refused, thinks):
    found = look_up(name)
    assert found.modes[: len(modes)] == modes
    assert (found.tool_choice, found.output_limit, found.refused, found.thinks) == (choice, limit, refused, thinks)


def names_of(kind: object) -> list[str]:
    """The texts of a nest of `Literal` and `Union`, each once."""
    parts = typing.get_args(kind)
    return list(dict.fromkeys(name for part in parts for name in ([part] if isinstance(part, str) else names_of(part))))


@pytest.mark.newest_sdks
@pytest.mark.parametrize("model", names_of(AllModels))
def test_every_model_that_openais_sdk_names_has_a_row_of_its_own(model):
    assert find_family("openai", model) is not None


@pytest.mark.newest_sdks
@pytest.mark.parametrize("model", sorted({*names_of(AllModels)} - {*names_of(ChatModel)}))
def test_what_openais_sdk_names_for_the_responses_api_only_is_asked_there(model):
    assert look_up(f"openai/{model}").modes == (Mode.RESPONSES_TOOLS,)


@pytest.mark.newest_sdks
@pytest.mark.parametrize("model", names_of(anthropic.types.Model))
def test_every_model_that_anthropics_sdk_names_has_a_row_with_a_version(model):
    found = find_family("anthropic", model)
    assert found is not None
    assert found.model


def find_family(vendor: str, model: str) -> Family | None:
    name = plain_name(model)
    return next((row for row in FAMILIES if vendor in row.vendors and re.match(row.model, name)), None)


@pytest.mark.parametrize("name", ["ollama", "vllm", "sglang", "lmstudio", "llamacpp"])
def test_local_servers_need_anchored_patterns(name):
    found = look_up(f"{name}/any")
    assert (found.modes[0], found.schema) == (Mode.JSON_SCHEMA, "anchored")


@pytest.mark.parametrize(
    "name", ["openai/gpt-6-luna", "openai/any", "github/openai/gpt-4.1", "groq/llama-4", "cohere/c"]
)
def test_hosted_chat_models_take_the_strict_subset(name):
    assert look_up(name).schema == "openai_strict"


def test_a_vendor_may_answer_for_its_models_itself():
    own = Capabilities(modes=(Mode.MD_JSON, Mode.RESPONSES_TOOLS), output_limit="limit")
    vendor = replace(find_vendor("groq"), modes=(Mode.TOOLS, Mode.MD_JSON), capabilities=lambda model: own)
    assert capabilities_of(vendor, "gpt-6-luna") == replace(own, modes=(Mode.MD_JSON,))


@pytest.mark.parametrize(
    ("model", "plain"),
    [
        ("anthropic/claude-opus-5.5:thinking", "claude-opus-5.5:thinking"),
        ("accounts/fireworks/models/deepseek-v4", "deepseek-v4"),
        (
            "arn:aws:bedrock:us-east-1:1:inference-profile/eu.anthropic.claude-opus-5-5-v1:0",
            "anthropic.claude-opus-5-5-v1:0",
        ),
        ("ft:gpt-4.1-nano-2025-04-14:org:name:id", "gpt-4.1-nano-2025-04-14"),
        (" GPT-6-Luna ", "gpt-6-luna"),
        ("", ""),
    ],
)
def test_names_lose_what_gateways_and_clouds_add(model, plain):
    assert plain_name(model) == plain
