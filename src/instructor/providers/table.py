"""The vendors: one row of data each, and the keywords that each official SDK's client takes."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from instructor.exceptions import ConfigurationError
from instructor.mode import Mode

Sdk = Literal["openai", "azure", "anthropic", "genai", "offline"]
"""Which adapter sends a vendor's requests. ``azure`` is the openai SDK's client for Azure."""


@dataclass(frozen=True, slots=True)
class Vendor:
    """One vendor that ``from_provider("name/model")`` knows.

    Attributes:
        name: The part of the model string before its first ``/``, and what events and entries call the vendor.
        sdk: The adapter that sends its requests.
        docs: Where the vendor documents keys and models.
        aliases: Other names for the same row.
        extra: The extra of this package that installs the SDK; empty where it is always installed.
        key_variables: Environment variables that may hold the key; the first that is set wins.
        needs_key: False where a local server or ambient credentials do.
        base_url: Where requests go unless told otherwise; empty where there is no common one.
        base_url_variables: Environment variables that may hold another base URL; the first that is set wins.
        base_path: The path added to such a variable's URL where it has none, because the vendor's own tools want
            the variable without it.
        hosts: Ends of host names by which a client made elsewhere is recognised, besides the base URL's own host.
        modes: The modes it speaks.
        default_mode: The mode used when none is asked for.
    """

    name: str
    sdk: Sdk
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
    default_mode: Mode = Mode.TOOLS


_CHAT = (Mode.TOOLS, Mode.JSON_SCHEMA, Mode.JSON, Mode.MD_JSON)
_CHAT_AND_RESPONSES = (*_CHAT, Mode.RESPONSES_TOOLS)
_NATIVE = (Mode.TOOLS, Mode.JSON)


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
        modes=_NATIVE,
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
    _hosted("deepseek", "https://api.deepseek.com", "https://api-docs.deepseek.com"),
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
        default_mode=Mode.MD_JSON,
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
        # Its tool choice cannot name a function, which TOOLS relies on.
        modes=(Mode.JSON_SCHEMA, Mode.JSON, Mode.MD_JSON, Mode.TOOLS),
        default_mode=Mode.JSON_SCHEMA,
    ),
    _hosted("anyscale", "https://api.endpoints.anyscale.com/v1", "https://docs.anyscale.com"),
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
        hosts=("dashscope.aliyuncs.com",),
    ),
    # Servers on one's own machine. They hold any model to a schema, but not every model calls functions.
    _hosted(
        "ollama",
        "http://localhost:11434/v1",
        "https://docs.ollama.com",
        needs_key=False,
        base_url_variables=("OLLAMA_BASE_URL", "OLLAMA_HOST"),
        base_path="/v1",
        modes=_CHAT_AND_RESPONSES,
        default_mode=Mode.JSON_SCHEMA,
    ),
    _hosted(
        "vllm",
        "http://localhost:8000/v1",
        "https://docs.vllm.ai",
        needs_key=False,
        modes=_CHAT_AND_RESPONSES,
        default_mode=Mode.JSON_SCHEMA,
    ),
    _hosted(
        "lmstudio",
        "http://localhost:1234/v1",
        "https://lmstudio.ai/docs",
        aliases=("lm_studio",),
        needs_key=False,
        # It refuses the plain JSON promise.
        modes=(Mode.JSON_SCHEMA, Mode.TOOLS, Mode.MD_JSON, Mode.RESPONSES_TOOLS),
        default_mode=Mode.JSON_SCHEMA,
    ),
    _hosted(
        "llamacpp",
        "http://localhost:8080/v1",
        "https://github.com/ggml-org/llama.cpp",
        aliases=("llama.cpp", "llama_cpp"),
        needs_key=False,
        default_mode=Mode.JSON_SCHEMA,
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

_BY_NAME: Mapping[str, Vendor] = {name: vendor for vendor in VENDORS for name in (vendor.name, *vendor.aliases)}

_OPENAI_OPTIONS = frozenset(
    {
        "admin_api_key",
        "data_residency",
        "default_headers",
        "default_query",
        "http_client",
        "max_retries",
        "organization",
        "project",
        "provider",
        "timeout",
        "webhook_secret",
        "websocket_base_url",
        "workload_identity",
        "_enforce_credentials",
        "_strict_response_validation",
    }
)

CLIENT_OPTIONS: Mapping[Sdk, frozenset[str]] = {
    "openai": _OPENAI_OPTIONS,
    "azure": (_OPENAI_OPTIONS - {"data_residency", "provider"})
    | {"api_version", "azure_ad_token", "azure_ad_token_provider", "azure_deployment", "azure_endpoint"},
    "anthropic": frozenset(
        {
            "auth_token",
            "config",
            "credentials",
            "default_headers",
            "default_query",
            "http_client",
            "max_retries",
            "middleware",
            "open_telemetry",
            "profile",
            "timeout",
            "webhook_key",
            "_strict_response_validation",
            "_token_cache",
        }
    ),
    "genai": frozenset(
        {
            "credentials",
            "debug_config",
            "enterprise",
            "http_options",
            "location",
            "project",
            "vertexai",
            # The names that the other SDKs give to what this one keeps in http_options.
            "default_headers",
            "http_client",
            "max_retries",
            "timeout",
        }
    ),
    "offline": frozenset({"latency"}),
}
"""Keywords of `from_provider` that belong to the SDK's client, besides ``base_url`` and ``api_key``.

Every other keyword is a default for each call. They stand here as data so that no SDK is imported to sort them.
"""


def find_vendor(name: str) -> Vendor:
    """Find a vendor's row by its name or an alias, in any case, with ``-`` for ``_``.

    Raises:
        ConfigurationError: There is none; the message names near ones.
    """
    wanted = name.strip().lower()
    for spelling in (wanted, wanted.replace("-", "_")):
        if spelling in _BY_NAME:
            return _BY_NAME[spelling]
    near = difflib.get_close_matches(wanted, _BY_NAME, n=3)
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
        if place == urlsplit(vendor.base_url).netloc or host.endswith(vendor.hosts or ("\0",)):
            return vendor
    return find_vendor("openai")
