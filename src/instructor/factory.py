"""How clients are made: from a model's name, or over an SDK's client that you made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, overload

from instructor.cache.store import BaseCache
from instructor.client import AsyncInstructor, Instructor
from instructor.exceptions import ConfigurationError
from instructor.hooks import Hooks
from instructor.mode import Mode, resolve_mode
from instructor.providers import anthropic, genai, openai
from instructor.providers.identity import normalise_url
from instructor.providers.options import check_flag, check_options
from instructor.providers.sdks import SDKS, Sdk, Wires, find_wires
from instructor.providers.table import VENDORS, Vendor, find_vendor

if TYPE_CHECKING:
    import anthropic as anthropic_sdk
    import openai as openai_sdk
    from anthropic.lib.bedrock import AnthropicBedrock, AsyncAnthropicBedrock
    from anthropic.lib.vertex import AnthropicVertex, AsyncAnthropicVertex
    from google import genai as genai_sdk

    from instructor.providers.adapter import Adapter

__all__ = ["from_anthropic", "from_genai", "from_openai", "from_provider"]

Ttl = float | timedelta | None
"""Seconds, or a span, for which an answer is served; None for ever, 0 for not at all."""

ApiKey = str | Callable[[], str] | Callable[[], Awaitable[str]]
"""A key, or, where the openai SDK sends, a function that returns one before each request."""

_OURS = ("cache", "cache_ttl", "cache_namespace", "hooks")


@overload
def from_provider(
    model: str,
    async_client: Literal[False] = False,
    cache: BaseCache | None = None,
    mode: Mode | str | None = None,
    *,
    base_url: str | None = None,
    api_key: ApiKey | None = None,
    cache_ttl: Ttl = None,
    cache_namespace: str | None = None,
    hooks: Hooks | None = None,
    **options: Any,
) -> Instructor: ...


@overload
def from_provider(
    model: str,
    async_client: Literal[True],
    cache: BaseCache | None = None,
    mode: Mode | str | None = None,
    *,
    base_url: str | None = None,
    api_key: ApiKey | None = None,
    cache_ttl: Ttl = None,
    cache_namespace: str | None = None,
    hooks: Hooks | None = None,
    **options: Any,
) -> AsyncInstructor: ...


@overload
def from_provider(
    model: str,
    async_client: bool,
    cache: BaseCache | None = None,
    mode: Mode | str | None = None,
    *,
    base_url: str | None = None,
    api_key: ApiKey | None = None,
    cache_ttl: Ttl = None,
    cache_namespace: str | None = None,
    hooks: Hooks | None = None,
    **options: Any,
) -> Instructor | AsyncInstructor: ...


def from_provider(
    model: str,
    async_client: bool = False,
    cache: BaseCache | None = None,
    mode: Mode | str | None = None,
    *,
    base_url: str | None = None,
    api_key: ApiKey | None = None,
    cache_ttl: Ttl = None,
    cache_namespace: str | None = None,
    hooks: Hooks | None = None,
    **options: Any,
) -> Instructor | AsyncInstructor:
    """Make a client from a model's name. This is the usual way to get one.

    No SDK is imported and no key is looked for before a request is sent, so a program whose answers are all cached
    needs neither. Base URL, organisation and project are read from the environment now,
    because they belong to the cache key; the key is read at the first request.

    Args:
        model: ``"vendor/model"``, such as ``"openai/gpt-6-luna"``. It is split at the first ``/``; the rest may
            hold more of them: ``"openrouter/meta-llama/llama-3.3-70b-instruct"``.
        async_client: Whether to make an `AsyncInstructor`, whose methods are awaited. Default False. It may be used on
            one event loop after another, as several ``asyncio.run`` do: each loop has an SDK client of its own.
        cache: A store of answers: `AutoCache`, `DiskCache`, `RedisCache` or your own `BaseCache`. Default none.
        mode: How the model is asked for an answer of a given type. Default: the best mode of the model, from a table
            by vendor and model. A mode that you name is used as it is.
        base_url: Where to send requests instead of the vendor's own address: a proxy, a gateway, a test server.
        api_key: The key. Default: that of the vendor's environment variable.
        cache_ttl: How long an answer is served: seconds or a ``timedelta``. Default: for ever.
        cache_namespace: A partition of the cache that no other namespace's answers enter or leave.
        hooks: Handlers of events. Default: none.
        **options: Keywords of the SDK's client (``timeout``, ``max_retries`` for its own retries of failed
            requests, ``default_headers``, ``organization``, ``azure_endpoint``, ...) go there. Any other keyword,
            such as ``temperature=0``, becomes a default for each call. Headers and query of an ``http_client`` belong
            to the cache key; what its hooks, transport or ``auth`` add is not seen.

    Returns:
        An `AsyncInstructor` if `async_client`, else an `Instructor`.

    Raises:
        ConfigurationError: The model string is malformed, the vendor unknown, an argument of a wrong type, or two
            options contradict each other.
        ModeError: The vendor does not offer the mode.

    Example:
        >>> client = from_provider("openai/gpt-6-luna", temperature=0)
    """
    asynchronous = check_flag("async_client", async_client)
    vendor, model_name = _split_model(model)
    # Resolved here and not in a helper, so that a warning about an older name points at the caller's line.
    chosen = None if mode is None else resolve_mode(mode)
    _check_address(vendor, base_url, api_key)
    client_options, defaults = _sort_options(vendor, options)
    adapter = _make_adapter(vendor, asynchronous, base_url, api_key, client_options)
    return _assemble(
        adapter,
        vendor,
        chosen,
        model_name,
        {
            **defaults,
            "cache": cache,
            "cache_ttl": cache_ttl,
            "cache_namespace": cache_namespace,
            "hooks": hooks,
        },
    )


@overload
def from_openai(
    client: openai_sdk.AsyncOpenAI, mode: Mode | str | None = None, model: str | None = None, **kwargs: Any
) -> AsyncInstructor: ...


@overload
def from_openai(
    client: openai_sdk.OpenAI, mode: Mode | str | None = None, model: str | None = None, **kwargs: Any
) -> Instructor: ...


def from_openai(
    client: openai_sdk.OpenAI | openai_sdk.AsyncOpenAI,
    mode: Mode | str | None = None,
    model: str | None = None,
    **kwargs: Any,
) -> Instructor | AsyncInstructor:
    """Make a client over one of the openai SDK that you made: your own transport, Azure, an instrumented one.

    The vendor is recognised by the client's base URL, so that answers are shared with `from_provider`.

    Where answers come from is read off the client once, when it is handed over: base URL, organisation, project,
    default headers and query, and those of its ``http_client``. A change of the client made later is not seen, and
    would mix answers of two places under one key; hand over another one instead, which ``client.with_options(...)``
    makes.

    Args:
        client: ``openai.OpenAI``, ``AsyncOpenAI``, ``AzureOpenAI`` or ``AsyncAzureOpenAI``.
        mode: How the model is made to answer in shape. Default: the vendor's own, `Mode.TOOLS` for OpenAI.
        model: The model of calls that name none.
        **kwargs: ``cache``, ``cache_ttl``, ``cache_namespace`` and ``hooks`` as in `from_provider`; any other
            keyword is a default for each call.

    Returns:
        An `AsyncInstructor` for an asynchronous client, else an `Instructor`.

    Raises:
        ClientError: The client is not a client of that SDK.
        ConfigurationError: An argument is of a wrong type.
        ModeError: The vendor does not offer the mode.

    Example:
        >>> import openai
        >>> client = from_openai(openai.OpenAI(api_key="sk-..."), model="gpt-6-luna")
    """
    vendor, adapter = openai.wrap_client(client)
    return _wrap(adapter, vendor, None if mode is None else resolve_mode(mode), model, kwargs)


@overload
def from_anthropic(
    client: anthropic_sdk.AsyncAnthropic
    | AsyncAnthropicBedrock
    | AsyncAnthropicVertex
    | anthropic_sdk.AsyncAnthropicFoundry,
    mode: Mode | str | None = None,
    model: str | None = None,
    *,
    beta: bool = False,
    **kwargs: Any,
) -> AsyncInstructor: ...


@overload
def from_anthropic(
    client: anthropic_sdk.Anthropic | AnthropicBedrock | AnthropicVertex | anthropic_sdk.AnthropicFoundry,
    mode: Mode | str | None = None,
    model: str | None = None,
    *,
    beta: bool = False,
    **kwargs: Any,
) -> Instructor: ...


def from_anthropic(
    client: Any,
    mode: Mode | str | None = None,
    model: str | None = None,
    *,
    beta: bool = False,
    **kwargs: Any,
) -> Instructor | AsyncInstructor:
    """Make a client over one of the anthropic SDK that you made: another cloud, your own transport.

    Where answers come from is read off the client once, when it is handed over: base URL, region, project,
    default headers and query, and those of its ``http_client``. A change of the client made later is not seen, and
    would mix answers of two places under one key; hand over another one instead, which ``client.with_options(...)``
    makes.

    Args:
        client: ``anthropic.Anthropic``, ``AnthropicBedrock``, ``AnthropicVertex`` or another of the SDK's clients,
            or its asynchronous twin.
        mode: How the model is asked for an answer of a given type. Default: the best mode of the model.
        model: The model of calls that name none.
        beta: Whether to use ``client.beta.messages``, which takes ``betas=[...]``. Default False.
        **kwargs: As in `from_openai`.

    Returns:
        An `AsyncInstructor` for an asynchronous client, else an `Instructor`.

    Raises:
        ClientError: The client is not a client of that SDK.
        ConfigurationError: An argument is of a wrong type.
        ModeError: Anthropic does not speak the mode.

    Example:
        >>> import anthropic
        >>> client = from_anthropic(anthropic.Anthropic(api_key="sk-ant-..."), model="claude-opus-5-5")
    """
    vendor, adapter = anthropic.wrap_client(client, beta=check_flag("beta", beta))
    return _wrap(adapter, vendor, None if mode is None else resolve_mode(mode), model, kwargs)


@overload
def from_genai(
    client: genai_sdk.Client,
    mode: Mode | str | None = None,
    use_async: Literal[False] = False,
    model: str | None = None,
    **kwargs: Any,
) -> Instructor: ...


@overload
def from_genai(
    client: genai_sdk.Client,
    mode: Mode | str | None = None,
    *,
    use_async: Literal[True],
    model: str | None = None,
    **kwargs: Any,
) -> AsyncInstructor: ...


@overload
def from_genai(
    client: genai_sdk.Client,
    mode: Mode | str | None,
    use_async: Literal[True],
    model: str | None = None,
    **kwargs: Any,
) -> AsyncInstructor: ...


def from_genai(
    client: genai_sdk.Client,
    mode: Mode | str | None = None,
    use_async: bool = False,
    model: str | None = None,
    **kwargs: Any,
) -> Instructor | AsyncInstructor:
    """Make a client over a ``google.genai.Client`` that you made, for the Gemini API or Vertex AI.

    Where answers come from is read off the client once, when it is handed over: base URL, API version, project,
    location, and the headers and query that its ``http_options`` and HTTP client bring. A change of the client made
    later is not seen, and would mix answers of two places under one key; hand over another client instead.

    Args:
        client: The client. Both kinds of calls go through the same one.
        mode: How the model is asked for an answer of a given type. Default: the best mode of the model.
        use_async: Whether to make an `AsyncInstructor`. Default False.
        model: The model of calls that name none.
        **kwargs: As in `from_openai`.

    Returns:
        An `AsyncInstructor` if `use_async`, else an `Instructor`.

    Raises:
        ClientError: The client is not a ``google.genai.Client``.
        ConfigurationError: An argument is of a wrong type.
        ModeError: Google does not speak the mode.

    Example:
        >>> from google import genai
        >>> client = from_genai(genai.Client(api_key="..."), model="gemini-3.8-flash")
    """
    vendor, adapter = genai.wrap_client(client, asynchronous=check_flag("use_async", use_async))
    return _wrap(adapter, vendor, None if mode is None else resolve_mode(mode), model, kwargs)


def _wrap(
    adapter: Adapter, vendor: Vendor, mode: Mode | None, model: Any, kwargs: Mapping[str, Any]
) -> Instructor | AsyncInstructor:
    if model is not None and (not isinstance(model, str) or not model.strip()):
        raise ConfigurationError(f"model= is the name of a model, not {model!r}.")
    return _assemble(adapter, vendor, mode, model, kwargs)


def _assemble(
    adapter: Adapter, vendor: Vendor, mode: Mode | None, model: str | None, kwargs: Mapping[str, Any]
) -> Instructor | AsyncInstructor:
    client_class = AsyncInstructor if adapter.asynchronous else Instructor
    return client_class(
        adapter,
        wires=find_wires(vendor),
        mode=mode,
        model=model,
        defaults={name: value for name, value in kwargs.items() if name not in _OURS},
        **{name: kwargs[name] for name in _OURS if name in kwargs},
    )


def _make_adapter(
    vendor: Vendor, asynchronous: bool, base_url: str | None, api_key: Any, options: Mapping[str, Any]
) -> Adapter:
    check_options(vendor, options)
    if base_url is not None:
        normalise_url(base_url)
    return SDKS[vendor.sdk].make_adapter(
        vendor, asynchronous=asynchronous, base_url=base_url, api_key=api_key, options=options
    )


def _split_model(model: Any) -> tuple[Vendor, str]:
    advice = 'Write "vendor/model", such as "openai/gpt-6-luna".'
    if not isinstance(model, str):
        raise ConfigurationError(f"The model is {type(model).__name__} {model!r}, not text. {advice}")
    name, slash, rest = model.partition("/")
    if not slash:
        named = name.strip().lower() in {vendor.name for vendor in VENDORS}
        what = f"names the vendor {name!r} but no model" if named else "names no vendor"
        raise ConfigurationError(f"The model string {model!r} {what}. {advice}")
    if not name.strip() or not rest.strip():
        empty = "model" if name.strip() else "vendor"
        raise ConfigurationError(f"The model string {model!r} has an empty {empty}. {advice}")
    return find_vendor(name), rest.strip()


def _check_address(vendor: Vendor, base_url: Any, api_key: Any) -> None:
    if isinstance(base_url, str) and not base_url.strip():
        raise ConfigurationError("base_url= is empty. Leave it out to use the vendor's own address.")
    if api_key is not None and not callable(api_key) and (not isinstance(api_key, str) or not api_key.strip()):
        shown = "empty" if isinstance(api_key, str) else f"a {type(api_key).__name__}"
        raise ConfigurationError(f"api_key= is {shown}. Pass the key as text, or leave it out to use the environment.")
    if callable(api_key) and not SDKS[vendor.sdk].takes_key_function:
        raise ConfigurationError(f"{vendor.name} takes its key as text; only the openai SDK takes a function.")


def _sort_options(vendor: Vendor, options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    known = SDKS[vendor.sdk].options
    client_options = {name: value for name, value in options.items() if name in known}
    return client_options, {name: value for name, value in options.items() if name not in known}


def _offline_wires() -> Wires:
    from instructor.wires.openai_chat import OPENAI_CHAT

    return dict.fromkeys(OPENAI_CHAT.modes, OPENAI_CHAT)


def _make_offline(
    vendor: Vendor, *, asynchronous: bool, base_url: str | None, api_key: Any, options: Mapping[str, Any]
) -> Adapter:
    if base_url is not None or api_key is not None:
        raise ConfigurationError(f"{vendor.name} sends nothing, so base_url= and api_key= have no use. Leave them out.")
    from instructor.offline import OfflineAdapter

    return OfflineAdapter(asynchronous, **options)


SDKS["offline"] = Sdk(_offline_wires, _make_offline, frozenset({"latency"}))
