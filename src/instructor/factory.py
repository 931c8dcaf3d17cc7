"""How clients are made: from a model's name, or from an SDK's client that you made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, Protocol, cast, overload

from instructor.cache.store import BaseCache
from instructor.cache_modes import ModeName
from instructor.client import AsyncInstructor, Instructor
from instructor.describing import refuse
from instructor.exceptions import ConfigurationError
from instructor.hooks import Hooks
from instructor.mode import Mode, resolve_mode
from instructor.options import Ttl
from instructor.providers.identity import normalise_url
from instructor.providers.options import check_flag, check_options
from instructor.providers.sdks import OPENAI_WIRES, SDKS, Sdk, find_wires
from instructor.providers.table import VENDORS, Vendor, find_vendor

if TYPE_CHECKING:
    import anthropic as anthropic_sdk
    import openai as openai_sdk
    from anthropic.lib.bedrock import AnthropicBedrock, AsyncAnthropicBedrock
    from anthropic.lib.vertex import AnthropicVertex, AsyncAnthropicVertex
    from google import genai as genai_sdk

    from instructor.providers.adapter import Adapter

__all__ = ["from_anthropic", "from_genai", "from_openai", "from_provider"]

P = ParamSpec("P")

ApiKey = str | Callable[[], str] | Callable[[], Awaitable[str]]
"""A key, or, where the openai SDK sends, a function that returns one before each request."""

_OURS = ("cache", "cache_ttl", "cache_namespace", "hooks")


class FromProvider(Protocol[P]):
    """The type of `from_provider`: `async_client` decides which client it returns."""

    @overload
    def __call__(
        self, model: str, async_client: Literal[False] = False, *args: P.args, **kwargs: P.kwargs
    ) -> Instructor: ...
    @overload
    def __call__(
        self, model: str, async_client: Literal[True], *args: P.args, **kwargs: P.kwargs
    ) -> AsyncInstructor: ...
    @overload
    def __call__(
        self, model: str, async_client: bool, *args: P.args, **kwargs: P.kwargs
    ) -> Instructor | AsyncInstructor: ...


def _typed(function: Callable[Concatenate[str, bool, P], object]) -> FromProvider[P]:
    """Give `from_provider` its overloads without writing its keywords once for each."""
    return cast("FromProvider[P]", function)


@_typed  # type: ignore[arg-type]  # mypy wants the names before `P` positional-only, which would forbid `model=`
def from_provider(
    model: str,
    async_client: bool = False,
    cache: BaseCache | Sequence[BaseCache] | None = None,
    mode: Mode | str | None = None,
    *,
    base_url: str | None = None,
    api_key: ApiKey | None = None,
    cache_ttl: Ttl = None,
    cache_namespace: str | None = None,
    cache_mode: ModeName | None = None,
    hooks: Hooks | None = None,
    **options: object,
) -> Instructor | AsyncInstructor:
    """Make a client from a model's name. This is the usual way to get one.

    No SDK is imported and no API key is read before the first request, so a program whose answers are all cached needs
    neither. Base URL, organisation and project are read from the environment now: they belong to the cache key.

    Args:
        model: ``"vendor/model"``, such as ``"openai/gpt-6-luna"``. The model may contain further slashes:
            ``"openrouter/meta-llama/llama-3.3-70b-instruct"``.
        async_client: Whether to make an `AsyncInstructor`, whose methods are awaited. Default False. Each event loop
            on which it is used has an SDK client of its own.
        cache: A store of answers: `AutoCache`, `DiskCache`, `RedisCache` or your own `BaseCache`; or a list of stores,
            the fastest first, as in `TieredCache`. Default none.
        mode: How the model is asked for a typed answer. Default: the best mode of the model, from a table
            by vendor and model.
        base_url: Where requests are sent instead of the vendor's own base URL: a proxy, a gateway, a test server.
        api_key: The API key. Default: the vendor's environment variable.
        cache_ttl: How long an answer is served: seconds, a ``timedelta``, or a function of the value that returns one.
            Default: for ever.
        cache_namespace: A partition of the cache that no other namespace's answers enter or leave.
        cache_mode: How calls use the cache; see `instructor.cache_mode`. Default: what the environment variable
            ``INSTRUCTOR_CACHE_MODE`` names now, else ``"use"``.
        hooks: Handlers of events. Default: none.
        **options: Keywords of the SDK's client (``timeout``, a number as ``max_retries`` for its own retries of
            failed requests, ``default_headers``, ``organization``, ``azure_endpoint``, ...) go there. Any other keyword,
            such as ``temperature=0`` or ``max_retries=Retries(...)``, becomes a default for each call. Headers and query of an ``http_client`` belong
            to the cache key; what its hooks, transport or ``auth`` add is not seen.

    Returns:
        An `AsyncInstructor` if `async_client`, else an `Instructor`.

    Raises:
        ConfigurationError: The model string is malformed, the vendor unknown, an argument of a wrong type, or two
            options contradict each other.
        ModeError: The vendor doesn't offer the mode.

    Example:
        >>> client = from_provider("openai/gpt-6-luna", temperature=0)
    """
    asynchronous = check_flag("async_client", async_client)
    vendor, model_name = _split_model(model)
    _check_address(vendor, base_url, api_key)
    known = SDKS[vendor.sdk].options
    client_options = {name: value for name, value in options.items() if name in known and not _is_policy(name, value)}
    check_options(vendor, client_options)
    adapter = SDKS[vendor.sdk].make_adapter(
        vendor, asynchronous=asynchronous, base_url=base_url, api_key=api_key, options=client_options
    )
    keywords = {name: value for name, value in options.items() if name not in client_options} | {
        "cache": cache,
        "cache_ttl": cache_ttl,
        "cache_namespace": cache_namespace,
        "cache_mode": cache_mode,
        "hooks": hooks,
    }
    client = assemble(adapter, vendor, mode, model_name, keywords)
    # As it was asked for: what comes from the environment is read anew, in the environment of whoever follows it.
    own = {"mode": mode, "base_url": base_url, "api_key": api_key, "cache_ttl": cache_ttl}
    options.pop("budget", None)  # whoever has it keeps it
    own |= {"async_client": asynchronous, "cache_namespace": cache_namespace}
    client._recipe = partial(from_provider, model, **own, **options)  # noqa: SLF001 - nobody else knows it
    return client


@overload
def from_openai(
    client: openai_sdk.AsyncOpenAI, mode: Mode | str | None = None, model: str | None = None, **kwargs: object
) -> AsyncInstructor: ...


@overload
def from_openai(
    client: openai_sdk.OpenAI, mode: Mode | str | None = None, model: str | None = None, **kwargs: object
) -> Instructor: ...


def from_openai(
    client: openai_sdk.OpenAI | openai_sdk.AsyncOpenAI,
    mode: Mode | str | None = None,
    model: str | None = None,
    **kwargs: object,
) -> Instructor | AsyncInstructor:
    """Make a client from one of the openai SDK that you made: your own transport, Azure, an instrumented one.

    The vendor is recognised by the base URL, so the answers are shared with clients from `from_provider`.

    What belongs to the cache key is read from the client now: base URL, organisation, project, default headers and
    query, and those of its ``http_client``. A later change of the client isn't noticed, and would mix the answers of
    two places under one key. Pass another client instead, such as ``client.with_options(...)``.

    Args:
        client: ``openai.OpenAI``, ``AsyncOpenAI``, ``AzureOpenAI`` or ``AsyncAzureOpenAI``.
        mode: How the model is asked for a typed answer. Default: the best mode of the model.
        model: The model of calls that name none.
        **kwargs: ``cache``, ``cache_ttl``, ``cache_namespace`` and ``hooks`` as in `from_provider`; any other
            keyword is a default for each call.

    Returns:
        An `AsyncInstructor` for an asynchronous client, else an `Instructor`.

    Raises:
        ClientError: The client is not a client of that SDK.
        ConfigurationError: An argument is of a wrong type.
        ModeError: The vendor doesn't offer the mode.

    Example:
        >>> import openai
        >>> client = from_openai(openai.OpenAI(api_key="sk-..."), model="gpt-6-luna")
    """
    from instructor.providers.openai import wrap_client  # each vendor's adapter is loaded when it is asked for

    vendor, adapter = wrap_client(client)
    return assemble(adapter, vendor, mode, model, kwargs)


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
    **kwargs: object,
) -> AsyncInstructor: ...


@overload
def from_anthropic(
    client: anthropic_sdk.Anthropic | AnthropicBedrock | AnthropicVertex | anthropic_sdk.AnthropicFoundry,
    mode: Mode | str | None = None,
    model: str | None = None,
    *,
    beta: bool = False,
    **kwargs: object,
) -> Instructor: ...


def from_anthropic(
    client: Any,
    mode: Mode | str | None = None,
    model: str | None = None,
    *,
    beta: bool = False,
    **kwargs: object,
) -> Instructor | AsyncInstructor:
    """Make a client from one of the anthropic SDK that you made: another cloud, your own transport.

    What belongs to the cache key is read from it now, as by `from_openai`.

    Args:
        client: ``anthropic.Anthropic``, ``AnthropicBedrock``, ``AnthropicVertex`` or another of the SDK's clients,
            or its asynchronous twin.
        mode: As in `from_openai`.
        model: As in `from_openai`.
        beta: Whether to use ``client.beta.messages``, which takes ``betas=[...]``. Default False.
        **kwargs: As in `from_openai`.

    Returns:
        An `AsyncInstructor` for an asynchronous client, else an `Instructor`.

    Raises:
        ClientError: The client is not a client of that SDK.
        ConfigurationError: An argument is of a wrong type.
        ModeError: Anthropic doesn't offer the mode.

    Example:
        >>> import anthropic
        >>> client = from_anthropic(anthropic.Anthropic(api_key="sk-ant-..."), model="claude-opus-5-5")
    """
    from instructor.providers.anthropic import wrap_client

    vendor, adapter = wrap_client(client, beta=check_flag("beta", beta))
    return assemble(adapter, vendor, mode, model, kwargs)


@overload
def from_genai(
    client: genai_sdk.Client,
    mode: Mode | str | None = None,
    use_async: Literal[False] = False,
    model: str | None = None,
    **kwargs: object,
) -> Instructor: ...


@overload
def from_genai(
    client: genai_sdk.Client,
    mode: Mode | str | None = None,
    *,
    use_async: Literal[True],
    model: str | None = None,
    **kwargs: object,
) -> AsyncInstructor: ...


@overload
def from_genai(
    client: genai_sdk.Client,
    mode: Mode | str | None,
    use_async: Literal[True],
    model: str | None = None,
    **kwargs: object,
) -> AsyncInstructor: ...


def from_genai(
    client: genai_sdk.Client,
    mode: Mode | str | None = None,
    use_async: bool = False,
    model: str | None = None,
    **kwargs: object,
) -> Instructor | AsyncInstructor:
    """Make a client from a ``google.genai.Client`` that you made, for the Gemini API or Vertex AI.

    What belongs to the cache key is read from it now, as by `from_openai`.

    Args:
        client: The client, for `Instructor` and `AsyncInstructor` alike.
        mode: As in `from_openai`.
        use_async: Whether to make an `AsyncInstructor`. Default False.
        model: As in `from_openai`.
        **kwargs: As in `from_openai`.

    Returns:
        An `AsyncInstructor` if `use_async`, else an `Instructor`.

    Raises:
        ClientError: The client is not a ``google.genai.Client``.
        ConfigurationError: An argument is of a wrong type.
        ModeError: Google doesn't offer the mode.

    Example:
        >>> from google import genai
        >>> client = from_genai(genai.Client(api_key="..."), model="gemini-3.8-flash")
    """
    from instructor.providers.genai import wrap_client

    vendor, adapter = wrap_client(client, asynchronous=check_flag("use_async", use_async))
    return assemble(adapter, vendor, mode, model, kwargs)


def assemble(
    adapter: Adapter, vendor: Vendor, mode: Mode | str | None, model: object, keywords: Mapping[str, Any]
) -> Instructor | AsyncInstructor:
    """Make the client over an adapter."""
    if model is not None and (not isinstance(model, str) or not model.strip()):
        raise refuse("model=", model, "the name of a model")
    client_class = AsyncInstructor if adapter.asynchronous else Instructor
    return client_class(
        adapter,
        wires=find_wires(vendor),
        mode=None if mode is None else resolve_mode(mode),
        model=model,
        defaults={name: value for name, value in keywords.items() if name not in _OURS},
        **{name: value for name, value in keywords.items() if name in _OURS},
    )


def _is_policy(name: str, value: object) -> bool:
    """Whether a keyword is `Retries` or a tenacity object, which say when a call is tried again: no SDK takes them."""
    return name == "max_retries" and hasattr(value, "wait")


def _split_model(model: object) -> tuple[Vendor, str]:
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


def _check_address(vendor: Vendor, base_url: str | None, api_key: object) -> None:
    if isinstance(base_url, str) and not base_url.strip():
        raise ConfigurationError("base_url= is empty. Leave it out to use the vendor's own base URL.")
    if base_url is not None:
        normalise_url(base_url)
    if api_key is not None and not callable(api_key) and (not isinstance(api_key, str) or not api_key.strip()):
        shown = "empty" if isinstance(api_key, str) else f"a {type(api_key).__name__}"
        raise ConfigurationError(f"api_key= is {shown}. Pass the key as text, or leave it out to use the environment.")
    if callable(api_key) and not SDKS[vendor.sdk].takes_key_function:
        raise ConfigurationError(f"{vendor.name} takes its key as text; only the openai SDK takes a function.")


def _make_offline(
    vendor: Vendor, *, asynchronous: bool, base_url: str | None, api_key: object, options: Mapping[str, Any]
) -> Adapter:
    if base_url is not None or api_key is not None:
        raise ConfigurationError(f"{vendor.name} sends nothing, so base_url= and api_key= have no use. Leave them out.")
    from instructor.offline import OfflineAdapter

    return OfflineAdapter(asynchronous, **options)


SDKS["offline"] = Sdk(OPENAI_WIRES, _make_offline, frozenset({"latency"}))
