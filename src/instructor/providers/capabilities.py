"""What each model can do: a table by vendor and model family, with the source and date of each row.

With ``mode=None`` a call uses the first mode of its model's row. A row matters only where a model differs from its
vendor's other models, or a vendor from its protocol; any other model gets its vendor's own modes, best first, and the
defaults of `Capabilities`. `corrections` handles what a vendor changes after this table was written.

Where two modes serve, the first is the one that enforces the schema and whose raw completion has the class that the
vendor's users expect: chat completions come before the Responses API.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from typing import Final

from instructor.mode import Mode
from instructor.providers.table import Vendor
from instructor.records import record
from instructor.wires.capabilities import Capabilities

TOOLS, JSON, SCHEMA, MD_JSON = Mode.TOOLS, Mode.JSON, Mode.JSON_SCHEMA, Mode.MD_JSON
RESPONSES = Mode.RESPONSES_TOOLS

_SAMPLING = frozenset({"temperature", "top_p"})
_CLAUDE_SAMPLING = frozenset({"temperature", "top_p", "top_k"})
_LIMIT = "max_completion_tokens"
_STRICT: Final = "openai_strict"

# Model names, as `plain_name` writes them: in lower case and without the vendors before the last slash.
_CLAUDE = r"(?:anthropic\.)?claude-(?:[a-z]+-)?"
_CLAUDE_5_1 = rf"{_CLAUDE}(?:5[.-][1-9]\d?|[6-9]|\d\d)(?!\d)|(?:anthropic\.)?(?:claude-)?(?:fable|mythos)\b"
_CLAUDE_5_0 = rf"{_CLAUDE}5(?!\d)"
_CLAUDE_4_7 = rf"{_CLAUDE}4[.-][7-9](?!\d)"
_CLAUDE_4_5 = rf"{_CLAUDE}4[.-][56](?!\d)"
_ON_BEDROCK = r"(?=anthropic\.)"
_KNOWS_DEVELOPER = frozenset({"openai", "azure_openai"})
"""Vendors whose chat API has the developer's role. DeepSeek, Groq, Mistral and others refuse it, and nobody the system's."""


@record
class Family:
    """One row: models that can do the same.

    Attributes:
        vendors: The vendors whose models are meant; empty for every vendor that hosts models of others.
        model: A regular expression for the beginning of the model's plain name.
        capabilities: What the models can do. Modes that the vendor does not offer are left out when it is read.
        source: Where this was published or measured.
        date: When, as year and month.
    """

    vendors: tuple[str, ...]
    model: str
    capabilities: Capabilities
    source: str
    date: str


_LOCAL = ("ollama", "vllm", "sglang", "lmstudio", "llamacpp")
"""Servers of one's own, which apply their own rules to whatever model they run."""
_OWN_MODELS = ("openai", "anthropic", "google", "vertexai", "offline")
"""Vendors that host their own models only. `openai` is used for any compatible server as well, where a name such as
``deepseek-v4`` says nothing about the server's rules."""

FAMILIES: tuple[Family, ...] = (
    Family(
        _LOCAL,
        "",
        Capabilities((SCHEMA, TOOLS, JSON, MD_JSON, RESPONSES), schema="anchored"),
        "ggml-org/llama.cpp#26930, lmstudio-ai/lmstudio-bug-tracker#2197, ollama/ollama#8325",
        "2026-10",
    ),
    # OpenAI. A name such as gpt-6-luna means OpenAI's model on every gateway too.
    Family(
        ("openai", "azure_openai", ""),
        r"(?:gpt-5(?:\.\d)?|o\d)-(?:pro|codex)|codex-"
        r"|(?:gpt-[\d.]+|o\d(?:-mini)?)-(?:cyber|rosalind|deep-research)|gpt-(?:daybreak|rosalind)-|computer-use-",
        Capabilities((RESPONSES,), output_limit=_LIMIT, refused=_SAMPLING, thinks=True),
        "model pages of developers.openai.com, ResponsesModel of openai 3.51: v1/responses only",
        "2026-11",
    ),
    # These search the web before they answer, and call no functions.
    Family(
        ("openai", "azure_openai", ""),
        r"gpt-4o-(?:mini-)?search-",
        Capabilities((SCHEMA, MD_JSON), schema=_STRICT, refused=_SAMPLING | {"frequency_penalty", "presence_penalty"}),
        "vercel/ai#5647, ChatGPTNextWeb/NextChat#6569",
        "2026-07",
    ),
    Family(
        ("openai", "azure_openai", ""),
        r"gpt-5-chat",
        Capabilities((SCHEMA, JSON, MD_JSON, RESPONSES), schema=_STRICT, output_limit=_LIMIT),
        "BerriAI/litellm#13612, run-llama/llama_index#19972: no functions",
        "2025-09",
    ),
    Family(
        ("openai", "azure_openai", ""),
        r"gpt-6-astra",
        Capabilities(
            (SCHEMA, RESPONSES, JSON, MD_JSON),
            schema=_STRICT,
            output_limit=_LIMIT,
            refused=_SAMPLING | {"stop"},
            thinks=True,
        ),
        "bolna-ai/bolna#1019, genkit-ai/genkit#6303, UKGovernmentBEIS/inspect_ai#5254",
        "2026-10",
    ),
    # Chat refuses functions unless reasoning_effort="none", also when a request names no effort. Sampling arguments are
    # not in `refused`, because they are accepted with that effort; the answer to a 400 leaves them out.
    Family(
        ("openai", "azure_openai", ""),
        r"gpt-(?:5\.[6-9]|[6-9]|\d\d)(?!\d)",
        Capabilities((SCHEMA, RESPONSES, JSON, MD_JSON), schema=_STRICT, output_limit=_LIMIT, thinks=True),
        "BerriAI/litellm#34569, danny-avila/LibreChat#14231, livekit/agents#7169",
        "2026-10",
    ),
    # Chat refuses functions beside an explicit reasoning_effort.
    Family(
        ("openai", "azure_openai", ""),
        r"gpt-5\.[45]",
        Capabilities((SCHEMA, TOOLS, JSON, MD_JSON, RESPONSES), schema=_STRICT, output_limit=_LIMIT, thinks=True),
        "openai/openai-openapi#541, pipecat-ai/pipecat#4043, UKGovernmentBEIS/inspect_ai#5162",
        "2026-09",
    ),
    # These do not reason unless asked to, so they take sampling arguments.
    Family(
        ("openai", "azure_openai", ""),
        r"gpt-5\.[123]",
        Capabilities((TOOLS, SCHEMA, JSON, MD_JSON, RESPONSES), schema=_STRICT, output_limit=_LIMIT),
        "langchain-ai/langchain#35424, pydantic/pydantic-ai#4015",
        "2026-02",
    ),
    Family(
        ("openai", "azure_openai", ""),
        r"gpt-5(?![\d.]|-chat)|o[134](?![a-z\d])",
        Capabilities(
            (TOOLS, SCHEMA, JSON, MD_JSON, RESPONSES),
            schema=_STRICT,
            output_limit=_LIMIT,
            refused=_SAMPLING,
            thinks=True,
        ),
        "ItzCrazyKns/Vane#1173, pydantic/pydantic-ai#2483, pydantic/pydantic-ai#6414",
        "2026-08",
    ),
    Family(
        ("openai", "azure_openai", ""),
        r"gpt-4|gpt-3\.5|chatgpt-|gpt-audio",
        Capabilities((TOOLS, SCHEMA, JSON, MD_JSON, RESPONSES), schema=_STRICT),
        "developers.openai.com/api/docs/deprecations",
        "2026-10",
    ),
    # A deployment may have any name. A schema is accepted by every model that can be deployed today.
    Family(
        ("azure_openai", "azure_ai"),
        "",
        Capabilities((SCHEMA, TOOLS, JSON, MD_JSON, RESPONSES), schema=_STRICT),
        "microsoft/foundry-dev-tools#779",
        "2026-10",
    ),
    # Claude. From 5.1 on no call can be forced; mythos and fable are disputed, and "auto" is right either way.
    Family(
        ("anthropic",),
        _ON_BEDROCK + f"(?:{_CLAUDE_5_1})",
        Capabilities((TOOLS, JSON), tool_choice="auto", refused=_CLAUDE_SAMPLING, thinks=True),
        "567-labs/instructor#2681, vercel/ai#21364, vectorize-io/hindsight#3300, anthropics/claude-code#63620",
        "2026-10",
    ),
    Family(
        ("anthropic",),
        _CLAUDE_5_1,
        Capabilities((SCHEMA, TOOLS, JSON), "auto", "anthropic", refused=_CLAUDE_SAMPLING, thinks=True),
        "can1357/oh-my-pi#12939, lobehub/lobehub#19016, pydantic/pydantic-ai#5849, BerriAI/litellm#20813",
        "2026-10",
    ),
    Family(
        ("",),
        _CLAUDE_5_1,
        Capabilities((TOOLS, SCHEMA, JSON, MD_JSON), "auto", _STRICT, refused=_CLAUDE_SAMPLING, thinks=True),
        "can1357/oh-my-pi#12939, srtab/daiv#1429",
        "2026-10",
    ),
    Family(
        ("",),
        f"{_CLAUDE_5_0}|{_CLAUDE_4_7}",
        Capabilities((TOOLS, SCHEMA, JSON, MD_JSON), schema=_STRICT, refused=_CLAUDE_SAMPLING),
        "srtab/daiv#1429",
        "2026-07",
    ),
    Family(
        ("anthropic",),
        _CLAUDE_5_0,
        Capabilities((TOOLS, SCHEMA, JSON), schema="anthropic", refused=_CLAUDE_SAMPLING, thinks=True),
        "mlcommons/modelbench#1647, ENTERPILOT/GoModel#856, srtab/daiv#1429",
        "2026-09",
    ),
    Family(
        ("anthropic",),
        _CLAUDE_4_7,
        Capabilities((TOOLS, SCHEMA, JSON), schema="anthropic", refused=_CLAUDE_SAMPLING),
        "UKGovernmentBEIS/inspect_ai#3721, earendil-works/pi#3382, mlcommons/modelbench#1647",
        "2026-09",
    ),
    Family(
        ("anthropic",),
        _CLAUDE_4_5,
        Capabilities((TOOLS, SCHEMA, JSON), schema="anthropic"),
        "vercel/ai#17268, BerriAI/litellm#20813",
        "2026-08",
    ),
    Family(
        ("anthropic",),
        "",
        Capabilities((TOOLS, JSON), schema="anthropic"),
        "vercel/ai#17268: native structured output begins with Claude 4.5",
        "2026-08",
    ),
    # DashScope applies its own rules to every model: in thinking mode JSON mode is refused by some models, and makes
    # others answer differently from what they thought.
    Family(
        ("dashscope",),
        "",
        Capabilities((MD_JSON, TOOLS, JSON, SCHEMA), "auto", _STRICT, thinks=True),
        "cloudwego/eino#994, QwenLM/qwen-code#7659, presenton/presenton#184, QwenLM/Qwen#2329",
        "2026-09",
    ),
    Family(
        ("",),
        r"qwen-?(?:3\.[5-9]|[4-9]|\S*thinking)",
        Capabilities((MD_JSON, TOOLS), tool_choice="auto", thinks=True),
        "can1357/oh-my-pi#886, agentscope-ai/agentscope#1608",
        "2026-09",
    ),
    # Thinking is on by default. JSON mode enforces valid JSON; a call could only be asked for.
    Family(
        ("deepseek",),
        "",
        Capabilities((JSON, TOOLS, MD_JSON), tool_choice="omitted", thinks=True),
        "deepseek-ai/DeepSeek-V3#1376, BerriAI/litellm#37470, langchain-ai/langchain#40769, mozilla-ai/any-llm#1384",
        "2026-10",
    ),
    Family(
        ("",),
        r"deepseek-(?:v[4-9]|r\d)",
        Capabilities((JSON, TOOLS, MD_JSON), tool_choice="omitted", thinks=True),
        "BerriAI/litellm#37470, BerriAI/litellm#31466",
        "2026-10",
    ),
    Family(
        ("moonshot", ""),
        r"kimi-k[3-9]",
        Capabilities((TOOLS, JSON, MD_JSON), tool_choice="required", thinks=True),
        "can1357/oh-my-pi#5994: a call can be required, but not of a named function",
        "2026-10",
    ),
    Family(
        ("moonshot", ""),
        r"kimi-(?:k2\.[5-9]|\S*thinking)",
        Capabilities((JSON, TOOLS, MD_JSON), tool_choice="auto", thinks=True),
        "can1357/oh-my-pi#827, can1357/oh-my-pi#1077, UKGovernmentBEIS/inspect_ai#5152",
        "2026-09",
    ),
    Family(
        ("zai", ""),
        r"glm-(?:4\.[5-9]|[5-9])",
        Capabilities((JSON, TOOLS, MD_JSON), tool_choice="auto", thinks=True),
        "vectorize-io/hindsight#4246",
        "2026-10",
    ),
    Family(
        ("cohere",),
        "",
        Capabilities((SCHEMA, JSON, MD_JSON, TOOLS), "required", _STRICT),
        "docs.cohere.com/docs/compatibility-api: a tool choice cannot name a function",
        "2026-08",
    ),
    Family(
        ("minimax",),
        "",
        Capabilities((TOOLS, MD_JSON), tool_choice="auto", thinks=True),
        "platform.minimax.io/docs/api-reference/text-openai-api",
        "2026-10",
    ),
)


_compile = cache(re.compile)
"""Compiles a pattern when a name is first compared with it: a new process needs few of them."""


def capabilities_of(vendor: Vendor, model: str) -> Capabilities:
    """Find what a model can do: the first row of the table that matches, or the vendor's safe default.

    The base URL does not matter. ``from_provider("openai/gpt-6-luna", base_url=...)`` reaches OpenAI's model through
    a proxy, and ``"openai/my-model"`` on a compatible server gets plain functions, which most servers support.

    A vendor that was registered with ``capabilities=`` answers for itself. Modes that the vendor doesn't offer are left
    out.

    Example:
        >>> from instructor.providers.table import find_vendor
        >>> capabilities_of(find_vendor("openai"), "gpt-6-luna").modes[0].name
        'JSON_SCHEMA'
        >>> capabilities_of(find_vendor("openrouter"), "anthropic/claude-opus-5.5").tool_choice
        'auto'
    """
    if vendor.capabilities is not None:
        found = vendor.capabilities(model)
    else:
        row = _find_family(vendor, plain_name(model)) or Capabilities(modes=(), schema=_STRICT)
        found = replace(row, developer=vendor.name in _KNOWS_DEVELOPER)
    modes = tuple(mode for mode in found.modes if mode in vendor.modes)
    return replace(found, modes=modes or vendor.modes)


def plain_name(model: str) -> str:
    """Write a model's name as the table's patterns expect it.

    Gateways put the maker before a slash, Amazon Bedrock puts a region before a dot, OpenAI puts ``ft:`` before the
    name of the model that was fine-tuned.

    Example:
        >>> plain_name("us.anthropic.claude-opus-5-5-v1:0"), plain_name("ft:gpt-6-luna-2026-07-18:acme::1")
        ('anthropic.claude-opus-5-5-v1:0', 'gpt-6-luna-2026-07-18')
    """
    name = model.strip().lower().rpartition("/")[2]
    if name.startswith("ft:"):
        name = name.split(":")[1]
    return re.sub(r"^[a-z-]+\.(?=anthropic\.)", "", name)


def _find_family(vendor: Vendor, name: str) -> Capabilities | None:
    scope = {vendor.name} if vendor.name in _OWN_MODELS else {vendor.name, ""}
    return next(
        (row.capabilities for row in FAMILIES if not scope.isdisjoint(row.vendors) and _compile(row.model).match(name)),
        None,
    )
