"""How an SDK that is generated like openai's sends a request that it needn't look through, and hands over its answer as data.

Its methods walk through all of a request, to rename and to encode what isn't JSON yet, and make objects of all of an
answer. That takes openai's SDK half of its time. What is plain JSON already is handed to them as ``extra_body``, which
they send as it is, and of the answer they are asked for the data alone. Both are public ways.

Only the SDK's own code is asked in this way. A tool that watches a client, or a test that replaces one of its methods,
expects the arguments and the object that everybody else passes and gets.
"""

from __future__ import annotations

import inspect
import marshal
import sys
from collections.abc import Awaitable
from functools import lru_cache
from types import FunctionType
from typing import Any, cast

from instructor.messages import Request
from instructor.providers.completions import Codec
from instructor.received import Received

_LONG = ("messages", "input", "system", "tools", "tool_choice", "response_format", "text")
"""The arguments that hold most of a request, or that take the longest to look through."""

_REQUIRED = ("messages", "input")
"""Those that some methods require; an empty list stands in their place."""

_SENDING = ("post", "request")
"""The methods of a client that its resources send by."""


def shorten(request: Request) -> Request | None:
    """Move what is long in a request to ``extra_body``; None for a request that the SDK has to look through."""
    moved = {name: request[name] for name in _LONG if name in request}
    extra = request.get("extra_body")
    if not _is_plain(moved) or not (extra is None or type(extra) is dict):
        return None
    kept = {name: value for name, value in request.items() if name not in moved}
    required: dict[str, Any] = {name: [] for name in moved if name in _REQUIRED}
    return {**kept, **required, "extra_body": moved if extra is None else {**moved, **extra}}


def _is_plain(value: Any) -> bool:
    """Whether a value has nothing but Python's own plain types, as far as JSON has them: all others keep their meaning."""
    try:
        marshal.dumps(value)
    except ValueError:  # an object of an SDK, a subclass of `str`, an iterator
        return False
    return True


def is_own(client: Any, resource: object, method: str) -> bool:
    """Whether a method of an SDK's resource is the SDK's own, and all that it sends by: nobody watches it."""
    sdk: object = client  # whose class is read, and not that of `Any`
    kind = type(sdk)
    package = type(resource).__module__.partition(".")[0]
    if kind.__module__.partition(".")[0] != package or getattr(sdk, "_strict_response_validation", True):
        return False
    state = vars(sdk)
    if method in vars(resource) or any(name in state for name in _SENDING):
        return False
    functions = getattr(type(resource), method, None), *(getattr(kind, name, None) for name in _SENDING)
    return all(type(function) is FunctionType and _is_of(package, function) for function in functions)


@lru_cache(256)
def _is_of(package: str, function: FunctionType | None) -> bool:
    """Whether the code of a function, and of what it wraps, stands in a package."""
    folder = inspect.getfile(sys.modules[package]).removesuffix("__init__.py")
    while type(function) is FunctionType and function.__code__.co_filename.startswith(folder):
        function = getattr(function, "__wrapped__", None)
    return function is None


def receive(response: Any, codec: Codec) -> Any:
    """Take the data of a response, or the SDK's object if only the SDK can say what came. Awaitable if the SDK's is."""
    data, finish = response.parse(to=object), _Receiving(response, codec)
    return finish.later(data) if inspect.isawaitable(data) else finish(data)


class _Receiving:
    def __init__(self, response: Any, codec: Codec) -> None:
        self._response, self._codec = response, codec

    def __call__(self, data: Any) -> Any:
        """Wrap the data; what isn't an object of JSON is the SDK's to make something of, perhaps later."""
        response, codec = self._response, self._codec
        kind: str = getattr(getattr(response, "_cast_to", None), "__name__", "")
        private: dict[str, Any] = {name: getattr(response, name[1:], ...) for name in codec.private}
        if type(data) is not dict or kind not in codec.kinds or ... in private.values():
            return response.parse()
        return Received(kind, cast("dict[str, Any]", data), private, codec.complete)

    async def later(self, data: Awaitable[Any]) -> Any:
        made = self(await data)
        return await made if inspect.isawaitable(made) else made
