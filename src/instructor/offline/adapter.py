"""The adapter of the offline provider: it answers requests of ``chat.completions.create`` without sending them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from itertools import pairwise
from typing import Any, Self

from instructor.exceptions import ConfigurationError, ProviderError
from instructor.messages import Completion, Request
from instructor.offline.chunks import stream_completion, stream_later
from instructor.offline.completion import make_completion
from instructor.offline.reader import fill_schema
from instructor.providers.adapter import SimpleAdapter
from instructor.providers.openai import CODEC
from instructor.wires.reader import find_json
from instructor.wires.text import get_path, read_text

_FINGERPRINT = "offline-no-language-model"
_SDK = "openai.types.chat"
_OPERATION = "chat.completions.create"
_NO_SCHEMA = "The offline provider is not a language model and can only fill a schema. Prompt was: "


class ChatAdapter(SimpleAdapter):
    """The part of an `Adapter` that speaks OpenAI's chat API and has neither a client of the SDK nor a server."""

    endpoint: Mapping[str, Any] = {}
    dump, load, assemble = staticmethod(CODEC.dump), staticmethod(CODEC.load), staticmethod(CODEC.make)

    @property
    def client(self) -> Self:
        """The adapter itself."""
        return self

    @property
    def ready(self) -> bool:
        """Whether the types of its completions are imported, and not still being imported by another thread."""
        return _import_types.cache_info().currsize > 0

    def prepare(self) -> Any:
        """Import them, which takes half a second: in a thread if `asynchronous`, so as not to block the loop."""
        return asyncio.to_thread(_import_types) if self.asynchronous else _import_types()


@cache
def _import_types() -> None:
    import_module(_SDK)


class OfflineAdapter(ChatAdapter):
    """An `Adapter` that answers by itself; its requests and completions are those of OpenAI's chat API.

    `latency` is how many seconds each answer takes, to show what a cache saves.

    Example:
        >>> from instructor import from_provider
        >>> client = from_provider("offline/demo", latency=0.05)
    """

    provider = "offline"

    def __init__(self, asynchronous: bool = False, *, latency: float = 0.0) -> None:
        if type(latency) not in (int, float) or not 0 <= latency < float("inf"):
            raise ConfigurationError(f"latency= is a number of seconds, 0 or more, not {latency!r}.")
        self.asynchronous, self.latency = asynchronous, float(latency)

    def send(self, operation: str, request: Request) -> Any:
        """Answer a request with a ``ChatCompletion`` of the openai SDK, or raise as the SDK would."""
        if operation != _OPERATION:
            raise ProviderError(self.provider, f"It answers {_OPERATION} only, not {operation}.")
        unknown = next((name for name in request if name not in known_arguments()), None)
        if unknown is not None:
            raise TypeError(f"Completions.create() got an unexpected keyword argument {unknown!r}")
        return self._answer_later(request) if self.asynchronous else self._answer_now(request)

    def _answer_now(self, request: Request) -> Any:
        if self.latency:
            time.sleep(self.latency)
        return send_completion(answer_request(request), request, asynchronous=False)

    async def _answer_later(self, request: Request) -> Any:
        await asyncio.sleep(self.latency)  # without latency, too, the loop gets a turn, as with a real provider
        return send_completion(answer_request(request), request, asynchronous=True)


def send_completion(completion: Completion, request: Request, *, asynchronous: bool) -> Any:
    """Return a completion; in chunks where the request asks for a stream."""
    if not request.get("stream"):
        return completion
    return stream_later(completion) if asynchronous else stream_completion(completion)


@cache
def known_arguments() -> frozenset[str]:
    """The arguments of ``chat.completions.create`` in the SDK that is installed."""
    from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming

    names: Mapping[str, Any] = CompletionCreateParamsNonStreaming.__annotations__
    return frozenset(names) | {"extra_body", "extra_headers", "extra_query", "stream", "timeout"}


def answer_request(request: Mapping[str, Any]) -> Any:
    """Make the completion that answers a request: a tool call where tools are offered, else JSON text."""
    text = find_prompt(request)
    name, schema = find_schema(request)
    answer = _NO_SCHEMA + text[:200] if schema is None else json.dumps(fill_schema(schema, text))
    return make_completion("offline", request, answer, tool=name, fingerprint=_FINGERPRINT)


def find_prompt(request: Mapping[str, Any]) -> str:
    """The text to take values from: that of the user's last message that doesn't correct an earlier answer."""
    messages: list[Any] = list(request.get("messages") or ())
    for before, message in reversed([*pairwise([None, *messages])]):
        corrects = (
            get_path(before, "role") == "assistant" and find_json(read_text(get_path(before, "content"))) is not None
        )
        if get_path(message, "role") == "user" and not corrects:
            return read_text(get_path(message, "content"))
    return read_text(get_path(messages[-1], "content")) if messages else ""


def find_schema(request: Mapping[str, Any]) -> tuple[str, Mapping[str, Any] | None]:
    """The schema that the answer must fit, and the name of the tool whose arguments it describes; empty without a tool."""
    tools = [get_path(tool, "function") for tool in request.get("tools") or () if get_path(tool, "function")]
    if tools and request.get("tool_choice") != "none":
        choice = request.get("tool_choice")
        allowed = get_path(choice, "allowed_tools", "tools") or [choice]
        forced = get_path(allowed[0], "function", "name")
        # Without a forced one it's the last: a client adds its own tool after those of the caller.
        function = next((tool for tool in tools if get_path(tool, "name") == forced), tools[-1])
        return get_path(function, "name"), get_path(function, "parameters") or {}
    schema = get_path(request.get("response_format"), "json_schema", "schema")
    return "", schema if schema is not None else _find_instructed_schema(request)


def _find_instructed_schema(request: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The schema in the system message, for the modes that write it there."""
    for message in request.get("messages") or ():
        instructs = get_path(message, "role") in {"system", "developer"}
        found = find_json(read_text(get_path(message, "content"))) if instructs else None
        schema: dict[str, Any] = json.loads(found) if found else {}
        if {"type", "properties", "$ref", "$defs", "anyOf"} & schema.keys():
            return schema
    return None
