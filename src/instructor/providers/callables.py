"""Adapters over a function that takes what ``chat.completions.create`` takes: LiteLLM's, a gateway's, a method."""

from __future__ import annotations

import inspect
import itertools
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, cast

from instructor.exceptions import CacheEntryError, ConfigurationError
from instructor.providers import openai
from instructor.providers.adapter import Adapter
from instructor.providers.completions import Codec, DataCodec, is_plain
from instructor.providers.function_adapter import FunctionAdapter
from instructor.providers.table import Vendor, find_vendor
from instructor.wires.members import write_object

_LITELLM = Codec(
    kinds={"ModelResponse": "litellm.types.utils"},
    write=write_object,
    read=lambda model, body: model(**body),
)
_DATA = DataCodec()


class ShapedCodec:
    """Writes completions in OpenAI's shape: of the openai SDK, of LiteLLM, or plain data."""

    def __init__(self, streams: Codec | DataCodec) -> None:
        self._streams = streams

    def dump(self, completion: Any) -> str:
        """Write a completion as one line of JSON."""
        if isinstance(completion, dict) and is_plain(cast("object", completion)):
            return _DATA.dump(completion)
        return _find_codec(cast("object", completion).__class__.__name__).dump(completion)

    def load(self, text: str) -> Any:
        """Make the completion that `dump` wrote."""
        data = cast("dict[str, object]", _DATA.load(text))
        if data.keys() == {"kind", "private", "body"}:
            return _find_codec(str(data["kind"])).load(text)
        return data

    def make(self, kind: str, body: Any) -> Any:
        """Make a completion of the data of a streamed answer."""
        return self._streams.make("ModelResponse" if self._streams is _LITELLM else kind, body)


def _find_codec(kind: str) -> Codec:
    for codec in (openai.CODEC, _LITELLM):
        if kind in codec.kinds:
            return codec
    raise CacheEntryError(f"A completion of type {kind} cannot be stored.")


def adapt_callable(function: Callable[..., Any], provider: str = "openai") -> tuple[Vendor, Adapter]:
    """Make the adapter over a function in the shape of ``chat.completions.create``.

    Where the function is a method of an openai client, answers are shared with that client's. Answers of a function
    that its module and name don't identify, such as a lambda, are its own.
    """
    if not callable(function):
        raise ConfigurationError(f"create= is a {type(function).__name__}; pass a function such as litellm.completion.")
    asynchronous = inspect.iscoroutinefunction(function)
    client = getattr(getattr(function, "__self__", None), "_client", None)
    vendor = find_vendor(provider)
    endpoint: Mapping[str, Any] = identify(function)
    if client is not None and type(client).__module__.partition(".")[0] == "openai":
        vendor, known = openai.wrap_client(client)
        asynchronous, endpoint = known.asynchronous, known.endpoint
    is_litellm = (getattr(function, "__module__", None) or "").partition(".")[0] == "litellm"
    codec = ShapedCodec(_LITELLM if is_litellm else openai.CODEC)
    return vendor, FunctionAdapter(
        vendor,
        _sender(function, asynchronous),
        asynchronous=asynchronous,
        endpoint=endpoint,
        codec=codec,
        client=client or function,
    )


def _sender(function: Callable[..., Any], asynchronous: bool) -> Callable[[str, Any], Any]:
    async def send_async(operation: str, request: Mapping[str, Any]) -> Any:
        del operation  # the function is the operation
        return await function(**request)

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
