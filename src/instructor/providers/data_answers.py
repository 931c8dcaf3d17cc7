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

_PASSED = (
    *("post", "request", "_request", "_copy_and_prepare", "_maybe_override_cast_to", "_prepare_options"),
    *("_build_request", "_build_headers", "_prepare_request", "_attempt_request", "_send_request"),
    *("_process_response", "_process_response_data"),
)
"""The methods of a client that a request and its answer pass, in one version of an SDK or another."""

_RESPONSES = ("_response.APIResponse", "_response.AsyncAPIResponse", "_legacy_response.LegacyAPIResponse")
"""The classes of responses in an SDK, whose ``parse`` makes its objects."""

RAW = "with_raw_response"
"""Under this name openai's SDK, and those that are generated like it, have methods that return the whole response."""


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
    """Whether a method of an SDK's resource is the SDK's own, and all that a request passes: nobody watches it."""
    sdk: object = client  # whose class is read, and not that of `Any`
    kind: Any = type(sdk)
    place: Any = type(resource)
    package = place.__module__.partition(".")[0]
    if kind.__module__.partition(".")[0] != package or getattr(sdk, "_strict_response_validation", True):
        return False
    state, members = vars(sdk), vars(resource)
    if state.get("_middleware") or not (_methods_of(kind).isdisjoint(state) and _methods_of(place).isdisjoint(members)):
        return False
    own, post = getattr(place, method, None), getattr(kind, "post", None)
    wrapped = getattr(getattr(getattr(resource, RAW, None), method, None), "__wrapped__", None)
    # Both were bound when the SDK made them, perhaps while somebody watched.
    if _function_of(members.get("_post")) is not post or _function_of(wrapped) is not own:
        return False
    functions = (
        own,
        *[getattr(kind, name, None) for name in _passed_in(kind)],
        *[getattr(response, "parse", None) for response in _responses_in(package)],
    )
    # Their types first: what a tool puts in the place of a function may say that it equals the function.
    return {*map(type, functions)} == {FunctionType} and _are_of(package, functions)


@lru_cache(64)
def _methods_of(kind: type) -> frozenset[str]:
    """The names of a class's methods, which an object doesn't have itself unless somebody put something in their place."""
    return frozenset(name for name in dir(kind) if callable(getattr(kind, name, None)))


@lru_cache(64)
def _passed_in(kind: type) -> tuple[str, ...]:
    return tuple(name for name in _PASSED if hasattr(kind, name))


@lru_cache(16)
def _responses_in(package: str) -> tuple[type, ...]:
    places = [place.split(".") for place in _RESPONSES]
    found = (getattr(sys.modules.get(f"{package}.{module}"), name, None) for module, name in places)
    return tuple(kind for kind in found if kind is not None)


def _function_of(bound: object) -> object:
    return getattr(bound, "__func__", ...)


@lru_cache(256)
def _are_of(package: str, functions: tuple[FunctionType, ...]) -> bool:
    """Whether the code of functions, and of what they wrap, stands in a package."""
    folder = inspect.getfile(sys.modules[package]).removesuffix("__init__.py")
    return all(_is_of(folder, function) for function in functions)


def _is_of(folder: str, function: object) -> bool:
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
        if type(data) is not dict or kind not in codec.kinds or ... in private.values() or "_fields_set" in data:
            return response.parse()  # to which the last would be an argument
        return Received(kind, cast("dict[str, Any]", data), private, codec.complete)

    async def later(self, data: Awaitable[Any]) -> Any:
        made = self(await data)
        return await made if inspect.isawaitable(made) else made
