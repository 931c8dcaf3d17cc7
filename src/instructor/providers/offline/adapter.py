"""The adapter of the offline provider: it answers requests of ``chat.completions.create`` without sending them."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from instructor.exceptions import ConfigurationError, ProviderError
from instructor.messages import Request
from instructor.providers.adapter import SimpleAdapter
from instructor.providers.offline.completion import count_tokens, make_completion
from instructor.providers.openai import CODEC
from instructor.wires.reader import find_json
from instructor.wires.text import get_path, read_text

FINGERPRINT = "offline-no-language-model"
"""The ``system_fingerprint`` of every completion that the offline provider makes."""

_SDK = "openai.types.chat"
_NO_SCHEMA = "The offline provider is no language model and can only fill a schema. It was told: "
_MOST_TOLD = 200


class OfflineAdapter(SimpleAdapter):
    """The way to the offline provider; a `Adapter` whose requests and completions are those of OpenAI's chat API.

    Args:
        asynchronous: Whether `send` returns an awaitable.
        latency: Seconds that each answer takes, to show what a cache saves. Default 0.

    Raises:
        ConfigurationError: The latency is no number of seconds, 0 or more.

    Example:
        >>> client = from_provider("offline/demo", latency=0.05)
    """

    provider = "offline"
    endpoint: Mapping[str, Any] = {}

    def __init__(self, asynchronous: bool = False, *, latency: float = 0.0) -> None:
        if type(latency) not in (int, float) or not 0 <= latency < float("inf"):
            raise ConfigurationError(f"latency= is a number of seconds, 0 or more, not {latency!r}.")
        self.asynchronous = asynchronous
        self.latency = float(latency)

    @property
    def client(self) -> OfflineAdapter:
        """The adapter itself: there is no SDK behind it."""
        return self

    def send(self, operation: str, request: Request) -> Any:
        """Answer a request with a ``ChatCompletion`` of the openai SDK.

        Raises:
            ProviderError: The operation is another than ``chat.completions.create``, or asks for a stream.
        """
        if operation != "chat.completions.create" or request.get("stream"):
            what = "streams" if request.get("stream") else operation
            raise ProviderError(
                self.provider, f"It answers chat.completions.create only, without streaming, not {what}."
            )
        return self._answer_later(request) if self.asynchronous else self._answer_now(request)

    def dump(self, completion: Any) -> str:
        """Write a completion as one line of JSON."""
        return CODEC.dump(completion)

    def load(self, text: str) -> Any:
        """Make the completion that `dump` wrote."""
        return CODEC.load(text)

    def _answer_now(self, request: Request) -> Any:
        if self.latency:
            time.sleep(self.latency)
        return answer_request(request)

    async def _answer_later(self, request: Request) -> Any:
        # Even without latency the loop gets a turn, as it would with a real provider.
        await asyncio.sleep(self.latency)
        if _SDK not in sys.modules:  # importing it takes half a second, in which the loop would stand still
            await asyncio.to_thread(import_module, _SDK)
        return answer_request(request)


def answer_request(request: Mapping[str, Any]) -> Any:
    """Make the completion that answers a request: a tool call where tools are offered, else JSON text."""
    text = find_prompt(request)
    name, schema = find_schema(request)
    if schema is None:
        content = _NO_SCHEMA + " ".join(text.split())[:_MOST_TOLD]
    else:
        from instructor.providers.offline.filler import fill_schema

        # Not orjson: an integer that a schema asks for may have more than 64 bits.
        content = json.dumps(fill_schema(schema, text), ensure_ascii=False)
    told = [request.get("messages"), request.get("tools"), request.get("response_format")]
    return make_completion(
        "offline",
        content,
        tool=name,
        model=str(request.get("model", "")),
        fingerprint=FINGERPRINT,
        seed=told,
        input_tokens=count_tokens(told),
    )


def find_prompt(request: Mapping[str, Any]) -> str:
    """The text to take values from: that of the last message of the user that does not correct an earlier answer."""
    messages: list[Any] = list(request.get("messages") or ())
    for at in range(len(messages) - 1, -1, -1):
        before = messages[at - 1] if at else None
        corrects = (
            get_path(before, "role") == "assistant" and find_json(read_text(get_path(before, "content"))) is not None
        )
        if get_path(messages[at], "role") == "user" and not corrects:
            return read_text(get_path(messages[at], "content"))
    return read_text(get_path(messages[-1], "content")) if messages else ""


def find_schema(request: Mapping[str, Any]) -> tuple[str, Mapping[str, Any] | None]:
    """The schema that the answer must fit, and the name of the function to call with it, if it is a function's."""
    tools = [get_path(tool, "function") for tool in request.get("tools") or () if get_path(tool, "function")]
    if tools and request.get("tool_choice") != "none":
        wanted = get_path(request.get("tool_choice"), "function", "name")
        # A client's own function stands behind those that the caller offers.
        function = next((tool for tool in tools if get_path(tool, "name") == wanted), tools[-1])
        return get_path(function, "name"), get_path(function, "parameters") or {}
    schema = get_path(request.get("response_format"), "json_schema", "schema")
    return "", schema if schema is not None else _find_told_schema(request)


def _find_told_schema(request: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The schema in the instructions, for the modes that tell it there."""
    for message in request.get("messages") or ():
        if get_path(message, "role") in ("system", "developer"):
            found = find_json(read_text(get_path(message, "content")))
            schema: dict[str, Any] = json.loads(found) if found else {}
            if {"type", "properties", "$ref", "$defs", "anyOf"} & schema.keys():
                return schema
    return None
