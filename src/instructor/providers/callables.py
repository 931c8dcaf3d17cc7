"""Adapters over a function that takes what ``chat.completions.create`` takes: LiteLLM's, a gateway's, a method."""

from __future__ import annotations

import functools
import inspect
import itertools
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, cast

from instructor.exceptions import CacheEntryError, ClientError, ConfigurationError
from instructor.providers import anthropic, genai, openai
from instructor.providers.adapter import Adapter
from instructor.providers.completions import Codec, DataCodec, is_plain
from instructor.providers.function_adapter import FunctionAdapter
from instructor.providers.handover import package_of, wrap_client
from instructor.providers.identity import read_client_url
from instructor.providers.sdks import Wires, find_wires
from instructor.providers.table import Vendor, find_vendor
from instructor.providers.vendors.chat_clients import CHAT_SDKS

ORIGINAL = "__instructor_original__"
"""The attribute under which a function that `patch` returned keeps the one below it."""


def _construct(model: Any, body: Any) -> Any:
    return model(**body)


SDK_CODECS: Mapping[str, Codec] = {
    "litellm": Codec({"ModelResponse": "litellm.types.utils"}, _construct),
    **{sdk.package: sdk.codec for sdk in CHAT_SDKS.values()},
}
"""The completions of SDKs whose method takes and returns what OpenAI's does, by the SDK's package."""

_DATA = DataCodec()


class ShapedCodec:
    """Writes completions in OpenAI's shape: of the openai SDK, of LiteLLM, or plain data."""

    def __init__(self, streams: Codec | DataCodec) -> None:
        self._streams = streams

    def dump(self, completion: Any) -> str:
        """Write a completion as one line of JSON."""
        package, name = package_of(completion), _class_of(completion).__name__
        if isinstance(completion, dict) and is_plain(cast("object", completion)):
            return _DATA.dump(completion)
        codec = _CODECS.get(package)
        if codec is None:
            raise CacheEntryError(f"A completion of type {name} cannot be stored.")
        text = codec.dump(completion)
        return text if codec is openai.CODEC else _DATA.dump({"sdk": package, "text": text})

    def load(self, text: str) -> Any:
        """Make the completion that `dump` wrote."""
        data = cast("dict[str, object]", _DATA.load(text))
        if data.keys() == {"kind", "private", "body"}:
            return openai.CODEC.load(text)
        if data.keys() == {"sdk", "text"} and data["sdk"] in _CODECS:
            return _CODECS[str(data["sdk"])].load(str(data["text"]))
        return data

    def make(self, kind: str, body: Any) -> Any:
        """Make a completion of the data of a streamed answer."""
        return self._streams.make(kind, body)


_CODECS: Mapping[str, Codec] = {"openai": openai.CODEC, "anthropic": anthropic.CODEC, **SDK_CODECS}


def adapt(client: Any, create: Callable[..., Any] | None, provider: str, asynchronous: bool) -> tuple[Adapter, Wires]:
    """Make the adapter over what a program hands over, and find the wires that it speaks.

    `client` is an SDK's client, or anything with ``chat.completions.create``; `create` is called in place of its method.
    An empty `provider` is the one that the client shows, else OpenAI. What has no such method, or is of the other kind
    than `asynchronous` says, is a `ClientError`.
    """
    if create is None and client is None:
        raise ClientError("There is neither client= nor create=. Pass an SDK's client, or a function like its method.")
    wrapped = None if create is not None else _wrap(client, asynchronous)
    operation = ""
    if wrapped is not None:
        vendor, adapter = wrapped
    else:
        function = original_of(method_of(client) if create is None else create)
        operation = _OPERATIONS.get(type(getattr(function, "__self__", None)).__name__, _CHAT)
        is_later = asynchronous or is_async(function)
        vendor, adapter = adapt_callable(function, provider, asynchronous=is_later, client=client)
    if adapter.asynchronous != asynchronous:
        wanted = "AsyncInstructor" if adapter.asynchronous else "Instructor"
        raise ClientError(f"What was passed is for the other kind of client. Use {wanted}(...) with it.")
    wires = find_wires(vendor)
    return adapter, {mode: wire for mode, wire in wires.items() if wire.operation == operation} or wires


def adapt_callable(
    function: Callable[..., Any], provider: str = "", *, asynchronous: bool | None = None, client: Any = None
) -> tuple[Vendor, Adapter]:
    """Make the adapter over a function in the shape of ``chat.completions.create``.

    Where the function is a method of an SDK's client, answers are shared with that client's. Answers of a function
    that its module and name don't identify, such as a lambda, are its own.
    """
    if not callable(function):
        raise ConfigurationError(f"create= is a {type(function).__name__}; pass a function such as litellm.completion.")
    asynchronous = is_async(function) if asynchronous is None else asynchronous
    owner = getattr(getattr(function, "__self__", None), "_client", None)
    package = package_of(owner)
    vendor = find_vendor(provider or "openai")
    endpoint: Mapping[str, Any] = identify(function)
    streams: Codec | DataCodec = openai.CODEC
    if package in ("openai", "anthropic"):
        known, adapter = _WRAPPERS[package](owner, asynchronous)
        vendor = find_vendor(provider) if provider and known.name == "openai" else known
        endpoint = adapter.endpoint
    elif package in SDK_CODECS and read_client_url(owner):
        endpoint, streams = openai.describe_client(owner), SDK_CODECS[package]
    if (getattr(function, "__module__", None) or "").partition(".")[0] == "litellm":
        streams = SDK_CODECS["litellm"]
    return vendor, FunctionAdapter(
        vendor,
        _sender(function, asynchronous),
        asynchronous=asynchronous,
        endpoint=endpoint,
        codec=ShapedCodec(streams),
        client=next((found for found in (client, owner) if found is not None), function),
    )


def original_of(function: Any) -> Any:
    """The function below one that `patch` returned; any other as it is."""
    return getattr(function, ORIGINAL, function)


def is_async(function: Any) -> bool:
    """Whether a function returns awaitables: a coroutine function, also wrapped, bound, mocked, or as ``__call__``.

    Example:
        >>> async def ask(): ...
        >>> is_async(ask), is_async(print)
        (True, False)
    """
    while isinstance(function, functools.partial) or hasattr(function, "__wrapped__"):
        function = function.func if isinstance(function, functools.partial) else function.__wrapped__
    flags = getattr(getattr(function, "__code__", None), "co_flags", 0)  # a mock has them without being a function
    is_coroutine = isinstance(flags, int) and bool(flags & inspect.CO_COROUTINE)
    return is_coroutine or inspect.iscoroutinefunction(type(function).__call__)


def _class_of(value: object) -> type:
    return value.__class__  # a mock with a spec names the class that it stands for


def method_of(client: Any) -> Callable[..., Any]:
    """The method of an SDK's client that sends a conversation, where it is named as OpenAI's; else a `ClientError`."""
    method = getattr(getattr(getattr(client, "chat", None), "completions", None), "create", None)
    if method is None:
        raise ClientError(
            f"A {type(client).__name__} has no chat.completions.create. Pass create=, a function that takes and "
            "returns what that method does."
        )
    return cast("Callable[..., Any]", method)


def _wrap(client: Any, asynchronous: bool) -> tuple[Vendor, Adapter] | None:
    """Make the adapter over a client of an SDK that is known; None for one of any other."""
    wrap = _WRAPPERS.get(package_of(client))
    return wrap_client(client, asynchronous=asynchronous) if wrap is None else wrap(client, asynchronous)


def _wrap_google(client: Any, asynchronous: bool) -> tuple[Vendor, Adapter]:
    return genai.wrap_client(client, asynchronous=asynchronous)


_WRAPPERS: Mapping[str, Callable[[Any, bool], tuple[Vendor, Adapter]]] = {
    "openai": lambda client, _: openai.wrap_client(client),
    "anthropic": lambda client, _: anthropic.wrap_client(client, beta=False),
    "google": _wrap_google,
}
_CHAT = "chat.completions.create"
_OPERATIONS = {"Responses": "responses.create", "AsyncResponses": "responses.create"}
"""What a method of an SDK speaks, by the class that it belongs to; else OpenAI's chat API."""


def _sender(function: Callable[..., Any], asynchronous: bool) -> Callable[[str, Any], Any]:
    async def send_async(operation: str, request: Mapping[str, Any]) -> Any:
        del operation  # the function is the operation
        answer = function(**request)
        return await answer if inspect.isawaitable(answer) else answer

    def send(operation: str, request: Mapping[str, Any]) -> Any:
        del operation
        return function(**request)

    return send_async if asynchronous else send


_numbers = itertools.count()


def identify(function: Callable[..., Any]) -> dict[str, Any]:
    """What tells a function apart in cache keys: its module and name, where they lead to it; else this process."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
    found: Any = sys.modules.get(module or "")
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is function and module != "__main__":
        return {"function": f"{module}.{name}"}
    return {"function": f"{name} {os.getpid()}.{next(_numbers)}"}
