"""The vendors: one row of data each. `register_provider` adds rows at run time."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from instructor.exceptions import ConfigurationError
from instructor.mode import Mode
from instructor.wires.capabilities import Capabilities


@dataclass(frozen=True, slots=True)
class Vendor:
    """One vendor that ``from_provider("name/model")`` knows.

    Attributes:
        name: The part of the model string before its first ``/``, and the vendor's name in events and entries.
        sdk: The row of `instructor.providers.sdks.SDKS` that reaches it.
        docs: Where the vendor documents keys and models.
        aliases: Other names for the same row.
        extra: The extra of this package that installs the SDK; empty if it is always installed.
        key_variables: Environment variables that may hold the key; the first that is set wins.
        needs_key: False for local servers, and for vendors that also take ambient credentials.
        base_url: Where requests go by default; empty if every customer has an address of its own.
        base_url_variables: Environment variables that may hold another base URL; the first that is set wins.
        base_path: The path added to such a variable's URL if it has none, because the vendor's own tools expect the
            variable without it.
        hosts: Ends of host names by which a client made elsewhere is recognised, besides the base URL's own host.
        modes: The modes that it offers, best first.
        capabilities: Says what a model can do, by its name; None to use the table in `capabilities`.
    """

    name: str
    sdk: str
    docs: str
    aliases: tuple[str, ...] = ()
    extra: str = ""
    key_variables: tuple[str, ...] = ()
    needs_key: bool = True
    base_url: str = ""
    base_url_variables: tuple[str, ...] = ()
    base_path: str = ""
    hosts: tuple[str, ...] = ()
    modes: tuple[Mode, ...] = ()
    capabilities: Callable[[str], Capabilities] | None = None


_CHAT = (Mode.TOOLS, Mode.JSON_SCHEMA, Mode.JSON, Mode.MD_JSON)
_CHAT_AND_RESPONSES = (*_CHAT, Mode.RESPONSES_TOOLS)
_NATIVE = (Mode.TOOLS, Mode.JSON)
_LOCAL = (Mode.JSON_SCHEMA, Mode.TOOLS, Mode.JSON, Mode.MD_JSON, Mode.RESPONSES_TOOLS)


def _hosted(name: str, base_url: str, docs: str, **rest: object) -> Vendor:
    """A row for a vendor that speaks OpenAI's chat API and takes a key."""
    upper = name.upper()
    row: dict[str, object] = {
        "key_variables": (f"{upper}_API_KEY",),
        "base_url_variables": (f"{upper}_BASE_URL",),
        "modes": _CHAT,
    }
    return Vendor(name=name, sdk="openai", docs=docs, base_url=base_url, **(row | rest))  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] - the rows below are literals


VENDORS: tuple[Vendor, ...] = (
    _hosted(
        "openai",
        "https://api.openai.com/v1",
        "https://platform.openai.com/docs",
        modes=_CHAT_AND_RESPONSES,
        hosts=(".api.openai.com",),
    ),
    Vendor(
        "azure_openai",
        "azure",
        "https://learn.microsoft.com/azure/ai-services/openai",
        aliases=("azure",),
        key_variables=("AZURE_OPENAI_API_KEY", "AZURE_OPENAI_AD_TOKEN"),
        base_url_variables=("AZURE_OPENAI_ENDPOINT",),
        modes=_CHAT_AND_RESPONSES,
    ),
    Vendor(
        "anthropic",
        "anthropic",
        "https://docs.anthropic.com",
        extra="anthropic",
        key_variables=("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"),
        base_url="https://api.anthropic.com",
        base_url_variables=("ANTHROPIC_BASE_URL",),
        modes=(Mode.TOOLS, Mode.JSON_SCHEMA, Mode.JSON),
    ),
    Vendor(
        "google",
        "genai",
        "https://ai.google.dev/gemini-api/docs",
        aliases=("gemini", "generative-ai", "genai"),
        extra="google",
        key_variables=("GOOGLE_API_KEY", "GEMINI_API_KEY"),
        base_url="https://generativelanguage.googleapis.com",
        base_url_variables=("GOOGLE_GEMINI_BASE_URL",),
        modes=_NATIVE,
    ),
    Vendor(
        "vertexai",
        "genai",
        "https://cloud.google.com/vertex-ai/generative-ai/docs",
        extra="google",
        # Application default credentials come first; the SDK turns to a key when there is no project.
        key_variables=("GOOGLE_API_KEY", "GEMINI_API_KEY"),
        needs_key=False,
        base_url_variables=("GOOGLE_VERTEX_BASE_URL",),
        modes=_NATIVE,
    ),
    _hosted(
        "groq",
        "https://api.groq.com/openai/v1",
        "https://console.groq.com/docs",
        base_path="/openai/v1",
        modes=_CHAT_AND_RESPONSES,
    ),
    _hosted("together", "https://api.together.xyz/v1", "https://docs.together.ai", hosts=("api.together.ai",)),
    # Its chat API refuses json_schema.
    _hosted(
        "deepseek",
        "https://api.deepseek.com",
        "https://api-docs.deepseek.com",
        modes=(Mode.JSON, Mode.TOOLS, Mode.MD_JSON),
    ),
    _hosted("openrouter", "https://openrouter.ai/api/v1", "https://openrouter.ai/docs", modes=_CHAT_AND_RESPONSES),
    _hosted(
        "fireworks",
        "https://api.fireworks.ai/inference/v1",
        "https://docs.fireworks.ai",
        aliases=("fireworks_ai",),
        modes=_CHAT_AND_RESPONSES,
    ),
    _hosted("cerebras", "https://api.cerebras.ai/v1", "https://inference-docs.cerebras.ai", base_path="/v1"),
    _hosted(
        "perplexity",
        "https://api.perplexity.ai",
        "https://docs.perplexity.ai",
        key_variables=("PERPLEXITY_API_KEY", "PPLX_API_KEY"),
        # Sonar models take a schema, but neither functions nor the plain JSON promise.
        modes=(Mode.MD_JSON, Mode.JSON_SCHEMA),
    ),
    _hosted("xai", "https://api.x.ai/v1", "https://docs.x.ai", aliases=("grok",), modes=_CHAT_AND_RESPONSES),
    _hosted("mistral", "https://api.mistral.ai/v1", "https://docs.mistral.ai"),
    _hosted("sambanova", "https://api.sambanova.ai/v1", "https://docs.sambanova.ai"),
    _hosted("nvidia", "https://integrate.api.nvidia.com/v1", "https://docs.api.nvidia.com"),
    _hosted(
        "github",
        "https://models.github.ai/inference",
        "https://docs.github.com/github-models",
        key_variables=("GITHUB_API_KEY", "GITHUB_TOKEN"),
    ),
    _hosted(
        "huggingface",
        "https://router.huggingface.co/v1",
        "https://huggingface.co/docs/inference-providers",
        key_variables=("HF_TOKEN", "HUGGINGFACE_API_KEY"),
        modes=_CHAT_AND_RESPONSES,
    ),
    _hosted(
        "cohere",
        "https://api.cohere.ai/compatibility/v1",
        "https://docs.cohere.com/docs/compatibility-api",
        key_variables=("CO_API_KEY", "COHERE_API_KEY"),
        modes=(Mode.JSON_SCHEMA, Mode.JSON, Mode.MD_JSON, Mode.TOOLS),
    ),
    _hosted(
        "databricks",
        "",
        "https://docs.databricks.com/machine-learning/model-serving",
        key_variables=("DATABRICKS_TOKEN", "DATABRICKS_API_KEY"),
        base_url_variables=("DATABRICKS_BASE_URL", "DATABRICKS_HOST", "DATABRICKS_WORKSPACE_URL"),
        base_path="/serving-endpoints",
        hosts=(".azuredatabricks.net", ".cloud.databricks.com", ".gcp.databricks.com"),
    ),
    _hosted("moonshot", "https://api.moonshot.ai/v1", "https://platform.moonshot.ai", aliases=("moonshotai", "kimi")),
    _hosted("zai", "https://api.z.ai/api/paas/v4", "https://docs.z.ai", aliases=("zhipu",)),
    _hosted(
        "dashscope",
        "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        "https://www.alibabacloud.com/help/model-studio",
        aliases=("qwen", "alibaba"),
        modes=(Mode.MD_JSON, Mode.TOOLS, Mode.JSON, Mode.JSON_SCHEMA),
        hosts=("dashscope.aliyuncs.com",),
    ),
    _hosted(
        "azure_ai",
        "",
        "https://learn.microsoft.com/azure/ai-foundry",
        aliases=("foundry", "azure_foundry"),
        key_variables=("AZURE_AI_API_KEY",),
        base_url_variables=("AZURE_AI_ENDPOINT", "AZURE_AI_API_BASE"),
        base_path="/openai/v1",
        hosts=(".services.ai.azure.com",),
        modes=_CHAT_AND_RESPONSES,
    ),
    _hosted(
        "vercel",
        "https://ai-gateway.vercel.sh/v1",
        "https://vercel.com/docs/ai-gateway",
        aliases=("ai_gateway", "vercel_ai_gateway"),
        key_variables=("AI_GATEWAY_API_KEY", "VERCEL_OIDC_TOKEN"),
        base_url_variables=("AI_GATEWAY_BASE_URL",),
    ),
    _hosted(
        "cloudflare",
        "",
        "https://developers.cloudflare.com/workers-ai/configuration/open-ai-compatibility",
        key_variables=("CLOUDFLARE_API_TOKEN", "CLOUDFLARE_API_KEY"),
        hosts=("api.cloudflare.com", "gateway.ai.cloudflare.com"),
    ),
    _hosted(
        "deepinfra",
        "https://api.deepinfra.com/v1/openai",
        "https://deepinfra.com/docs",
        key_variables=("DEEPINFRA_API_KEY", "DEEPINFRA_TOKEN", "DEEPINFRA_API_TOKEN"),
    ),
    _hosted(
        "nebius",
        "https://api.tokenfactory.nebius.com/v1",
        "https://docs.tokenfactory.nebius.com",
        hosts=("api.studio.nebius.com", "api.studio.nebius.ai"),
    ),
    _hosted(
        "siliconflow", "https://api.siliconflow.com/v1", "https://docs.siliconflow.com", hosts=("api.siliconflow.cn",)
    ),
    _hosted("baseten", "https://inference.baseten.co/v1", "https://docs.baseten.co"),
    _hosted(
        "minimax",
        "https://api.minimax.io/v1",
        "https://platform.minimax.io/docs",
        hosts=("api.minimaxi.com",),
        modes=(Mode.TOOLS, Mode.MD_JSON),
    ),
    # Servers on the user's own machine. They enforce a schema for any model, but not every model calls functions.
    _hosted(
        "ollama",
        "http://localhost:11434/v1",
        "https://docs.ollama.com",
        needs_key=False,
        base_url_variables=("OLLAMA_BASE_URL", "OLLAMA_HOST"),
        base_path="/v1",
        modes=_LOCAL,
    ),
    _hosted(
        "vllm",
        "http://localhost:8000/v1",
        "https://docs.vllm.ai",
        needs_key=False,
        modes=_LOCAL,
    ),
    _hosted("sglang", "http://localhost:30000/v1", "https://docs.sglang.ai", needs_key=False, modes=_LOCAL[:-1]),
    _hosted(
        "lmstudio",
        "http://localhost:1234/v1",
        "https://lmstudio.ai/docs",
        aliases=("lm_studio",),
        needs_key=False,
        # It refuses JSON mode.
        modes=(Mode.JSON_SCHEMA, Mode.TOOLS, Mode.MD_JSON, Mode.RESPONSES_TOOLS),
    ),
    _hosted(
        "llamacpp",
        "http://localhost:8080/v1",
        "https://github.com/ggml-org/llama.cpp",
        aliases=("llama.cpp", "llama_cpp"),
        needs_key=False,
        modes=_LOCAL[:-1],
    ),
    _hosted(
        "litellm",
        "http://localhost:4000",
        "https://docs.litellm.ai/docs/simple_proxy",
        aliases=("litellm_proxy",),
        needs_key=False,
        key_variables=("LITELLM_API_KEY", "LITELLM_PROXY_API_KEY"),
        base_url_variables=("LITELLM_BASE_URL", "LITELLM_PROXY_API_BASE"),
        modes=_CHAT_AND_RESPONSES,
    ),
    Vendor("offline", "offline", "instructor.offline", needs_key=False, modes=_CHAT),
)

_BY_NAME: dict[str, Vendor] = {name: vendor for vendor in VENDORS for name in (vendor.name, *vendor.aliases)}


def add_vendor(vendor: Vendor, *, replace: bool = False) -> None:
    """Let `find_vendor` know a vendor."""
    names = (vendor.name, *vendor.aliases)
    for name in names:
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name):
            raise ConfigurationError(
                f"{name!r} is not a vendor's name. Use lower-case letters, digits, '.', '-' and '_'."
            )
        owner = _BY_NAME.get(name)
        if owner is not None and not (replace and owner.name == vendor.name):
            raise ConfigurationError(f"The name {name!r} belongs to the vendor {owner.name!r}. Use another name.")
    for name in [name for name, owner in _BY_NAME.items() if owner.name == vendor.name]:
        del _BY_NAME[name]
    _BY_NAME.update(dict.fromkeys(names, vendor))


def find_vendor(name: str) -> Vendor:
    """Find a vendor's row by its name or an alias, in any case, with ``-`` for ``_``."""
    from instructor.providers.vendors import PLACES, load_vendor  # here: those vendors need this table

    wanted = name.strip().lower()
    for spelling in (wanted, wanted.replace("-", "_")):
        if spelling in _BY_NAME or (load_vendor(spelling) and spelling in _BY_NAME):
            return _BY_NAME[spelling]
    import difflib  # for an error alone

    near = difflib.get_close_matches(wanted, {**PLACES, **_BY_NAME}, n=3)
    advice = f"Did you mean {' or '.join(near)}?" if near else f"Use one of {', '.join(v.name for v in VENDORS)}."
    raise ConfigurationError(
        f"No vendor is called {name!r}. {advice} For any other OpenAI-compatible server, "
        'use "openai/<model>" with base_url=.'
    )


def recognise_vendor(base_url: str) -> Vendor:
    """Find the vendor behind a client's base URL, by its host; OpenAI's row where none is known.

    Example:
        >>> recognise_vendor("https://api.groq.com/openai/v1").name
        'groq'
    """
    place = urlsplit(base_url).netloc.rpartition("@")[2].lower()
    host = place.partition(":")[0]
    for vendor in VENDORS:
        if vendor.sdk != "openai":
            continue
        if (place and place == urlsplit(vendor.base_url).netloc) or host.endswith(vendor.hosts or ("\0",)):
            return vendor
    return find_vendor("openai")
