"""Clients of xAI's own SDK, which speaks gRPC. ``from_provider("xai/model")`` asks the REST API without that SDK.

The chat wire serves here too: requests in its form are written as xAI's messages, and answers as OpenAI's.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from functools import partial
from types import ModuleType
from typing import Any

from instructor.exceptions import MultimodalError
from instructor.messages import Request
from instructor.mode import Mode
from instructor.providers.adapter import Adapter
from instructor.providers.openai import CODEC
from instructor.providers.registry import register_provider
from instructor.providers.sdk_adapter import SdkAdapter, check_client, hold_client, import_wrapped
from instructor.providers.table import Vendor
from instructor.wires.content import is_mapping, read_url
from instructor.wires.openai_chat import OPENAI_CHAT
from instructor.wires.text import dump_json, get_text

_MODES = (Mode.TOOLS, Mode.JSON_SCHEMA, Mode.JSON, Mode.MD_JSON)
_CHAT_ONLY = ("stream", "stream_options")
_ENDINGS = {"MAX_LEN": "length", "MAX_CONTEXT": "length", "TIME_LIMIT": "error"}
_REASONING = ("reasoning_content", "encrypted_content")
"""The second is sent with ``use_encrypted_content=True``, to be sent back."""
_CLIENT_SIDE = "TOOL_CALL_TYPE_CLIENT_SIDE_TOOL"
_STATUSES = {
    "INVALID_ARGUMENT": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
"""The HTTP status that each status of gRPC stands for."""
_numbers = itertools.count()


def register() -> None:
    """Register xAI's clients."""
    register_provider(
        "xai",
        wires=dict.fromkeys(_MODES, OPENAI_CHAT),
        wrap_client=wrap_client,
        packages=("xai_sdk",),
    )


def wrap_client(vendor: Vendor, client: Any, *, asynchronous: bool) -> Adapter:
    """Make the adapter over a client."""
    del asynchronous  # the client is one or the other
    sdk = import_wrapped("xai_sdk", vendor)
    kinds = {sdk.Client: False, sdk.AsyncClient: True}
    return XaiAdapter(
        vendor=vendor,
        asynchronous=check_client(client, kinds, "from_xai() takes an xai_sdk.Client or AsyncClient."),
        clients=hold_client(client),
        describe=describe_client,
        codec=CODEC,
        endpoint=describe_client(client),
    )


def describe_client(client: Any) -> dict[str, Any]:
    """Read the host off a client's channel; a client that doesn't show it has answers of its own."""
    channel = getattr(client, "_api_channel", None)
    while channel is not None:
        target: Any = getattr(channel, "target", None)
        host: Any = target() if callable(target) else target
        if isinstance(host, (bytes, str)):
            text = host.decode() if isinstance(host, bytes) else host
            return {"host": text.removeprefix("dns:///")}
        channel = getattr(channel, "_channel", None)
    return {"client": f"{os.getpid()}.{next(_numbers)}"}


class XaiAdapter(SdkAdapter):
    """An adapter whose requests and answers are translated. gRPC's own retries belong to the client's channel."""

    def _find_method(self, client: Any, operation: str) -> Callable[..., Any]:
        del operation  # the SDK has one method, whatever is asked
        return partial(_ask_async if self.asynchronous else _ask, client)

    def _limit(self, client: Any, request: Request, seconds: float | None) -> tuple[Any, Request]:
        del seconds
        return client, request


def _ask(client: Any, **request: Any) -> Any:
    chat = client.chat.create(**write_request(request))
    if request.get("stream"):
        return _chunks(chat.stream())
    try:
        return CODEC.make("ChatCompletion", read_answer(chat.sample().proto))
    except Exception as error:  # noqa: BLE001 - it is raised again
        raise _explain(error) from error.__cause__


async def _ask_async(client: Any, **request: Any) -> Any:
    chat = client.chat.create(**write_request(request))
    if request.get("stream"):
        return _chunks_async(chat.stream())
    try:
        return CODEC.make("ChatCompletion", read_answer((await chat.sample()).proto))
    except Exception as error:  # noqa: BLE001 - it is raised again
        raise _explain(error) from error.__cause__


def _chunks(stream: Any) -> Iterator[Any]:
    try:
        for _, chunk in stream:
            yield read_chunk(chunk.proto)
    except Exception as error:  # noqa: BLE001 - it is raised again
        raise _explain(error) from error.__cause__
    finally:
        stream.close()


async def _chunks_async(stream: Any) -> AsyncIterator[Any]:
    try:
        async for _, chunk in stream:
            yield read_chunk(chunk.proto)
    except Exception as error:  # noqa: BLE001 - it is raised again
        raise _explain(error) from error.__cause__
    finally:
        await stream.aclose()


def _explain(error: Exception) -> Exception:
    code: Any = getattr(error, "code", None)
    status = _STATUSES.get(getattr(code(), "name", "")) if callable(code) else None
    if status is not None:
        error.status_code = status  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue]
    return error


def _proto() -> ModuleType:
    from importlib import import_module

    proto: ModuleType = import_module("xai_sdk.proto").chat_pb2
    return proto


def _parse(data: Mapping[str, Any], kind: str) -> Any:
    from importlib import import_module

    return import_module("google.protobuf.json_format").ParseDict(data, getattr(_proto(), kind)())


def write_request(request: Request) -> dict[str, Any]:
    """Write a request of the chat wire as the keywords of ``client.chat.create``."""
    written = {name: value for name, value in request.items() if name not in _CHAT_ONLY}
    written["messages"] = [_parse(_write_message(message), "Message") for message in request["messages"]]
    if "max_completion_tokens" in written:
        written["max_tokens"] = written.pop("max_completion_tokens")
    if isinstance(written.get("stop"), str):
        written["stop"] = [written["stop"]]
    if tools := written.get("tools"):
        written["tools"] = [_write_tool(tool) for tool in tools]
    choice = written.get("tool_choice")
    if is_mapping(choice):
        written["tool_choice"] = _parse({"function_name": choice["function"]["name"]}, "ToolChoice")
    form = written.get("response_format")
    if is_mapping(form):
        written["response_format"] = _parse(_write_format(form), "ResponseFormat")
    return written


def _write_format(form: Mapping[str, Any]) -> dict[str, Any]:
    if form["type"] == "json_schema":
        return {"format_type": "FORMAT_TYPE_JSON_SCHEMA", "schema": dump_json(form["json_schema"]["schema"])}
    return {"format_type": f"FORMAT_TYPE_{form['type'].upper()}"}


def _write_tool(tool: Any) -> Any:
    if not is_mapping(tool):  # xAI's own
        return tool
    function = tool["function"]
    described = {"description": function["description"]} if function.get("description") else {}
    parameters = dump_json(function.get("parameters") or {"type": "object", "properties": {}})
    return _parse({"function": {"name": function["name"], **described, "parameters": parameters}}, "Tool")


def _write_message(message: Mapping[str, Any]) -> dict[str, Any]:
    content = message.get("content") or ""
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    kept = {name: message[name] for name in ("tool_call_id", *_REASONING) if message.get(name)}
    calls = [
        {"id": call.get("id") or "", "type": _CLIENT_SIDE, "function": dict(call["function"])}
        for call in message.get("tool_calls") or ()
    ]
    return {
        "role": f"ROLE_{message['role'].upper()}",
        "content": [_write_part(part) for part in parts if part.get("text") != ""],
        **kept,
        **({"tool_calls": calls} if calls else {}),
    }


def _write_part(part: Mapping[str, Any]) -> dict[str, Any]:
    if part["type"] == "text":
        return {"text": part["text"]}
    if part["type"] == "image_url":
        detail = get_text(part["image_url"], "detail") or "auto"
        return {"image_url": {"image_url": read_url(part), "detail": f"DETAIL_{detail.upper()}"}}
    raise MultimodalError(f"xAI's SDK takes texts and images, not a part of the type {part['type']!r}.")


def read_answer(proto: Any) -> dict[str, Any]:
    """Write an answer as OpenAI's API would have sent it."""
    choices = [
        {
            "index": index,
            "finish_reason": _read_ending(output),
            "message": {"role": "assistant", "content": output.message.content or None, **_read_rest(output.message)},
        }
        for index, output in enumerate(_outputs_of(proto))
    ]
    return {**_read_head(proto), "object": "chat.completion", "choices": choices}


def read_chunk(proto: Any) -> dict[str, Any]:
    """Write a chunk as OpenAI's API would have sent it. Calls come whole."""
    choices = [
        {
            "index": 0,
            "finish_reason": _read_ending(output),
            "delta": {"content": output.delta.content or None, **_read_rest(output.delta)},
        }
        for output in proto.outputs
    ]
    return {**_read_head(proto), "choices": choices}


def _outputs_of(proto: Any) -> list[Any]:
    """The answer: where xAI has run tools of its own, the last output."""
    return list(proto.outputs)[-1:]


def _read_ending(output: Any) -> str | None:
    name: str = output.DESCRIPTOR.fields_by_name["finish_reason"].enum_type.values_by_number[output.finish_reason].name
    ending = name.removeprefix("REASON_")
    return None if ending == "INVALID" else _ENDINGS.get(ending, ending.lower())


def _read_rest(message: Any) -> dict[str, Any]:
    calls = [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.function.name, "arguments": call.function.arguments},
        }
        for call in message.tool_calls
        if call.type in (0, 1)  # of the caller's side; xAI runs the others itself
    ]
    thought = {name: text for name in _REASONING if (text := getattr(message, name, ""))}
    return {**thought, **({"tool_calls": calls} if calls else {})}


def _read_head(proto: Any) -> dict[str, Any]:
    used = proto.usage
    counts = {
        "prompt_tokens": used.prompt_tokens,
        "completion_tokens": used.completion_tokens,
        "total_tokens": used.total_tokens,
        "prompt_tokens_details": {"cached_tokens": used.cached_prompt_text_tokens},
        "completion_tokens_details": {"reasoning_tokens": used.reasoning_tokens},
    }
    return {
        "id": proto.id,
        "created": proto.created.seconds,
        "model": proto.model,
        **({"usage": counts} if proto.HasField("usage") else {}),
    }
