"""Answers of Bedrock's Converse API as its server sends them, and as the real botocore reads them."""

from __future__ import annotations

import functools
import json
import struct
import zlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from streams import pieces_of

USAGE = {"inputTokens": 8, "outputTokens": 5, "totalTokens": 15, "cacheReadInputTokens": 2}


def converse(*blocks: Any, reason: str = "end_turn") -> dict[str, Any]:
    """Build the body of an answer."""
    message = {"role": "assistant", "content": list(blocks)}
    return {"output": {"message": message}, "stopReason": reason, "usage": USAGE, "metrics": {"latencyMs": 1}}


def tool_use(name: str, value: Any) -> dict[str, Any]:
    """Build a block that calls a tool."""
    return {"toolUse": {"toolUseId": f"id_{name}", "name": name, "input": value}}


def events(body: dict[str, Any], size: int = 12) -> Iterator[tuple[str, dict[str, Any]]]:
    """Cut an answer into events: their kinds and bodies."""
    yield "messageStart", {"role": "assistant"}
    for index, block in enumerate(body["output"]["message"]["content"]):
        at = {"contentBlockIndex": index}
        if "toolUse" in block:
            call = block["toolUse"]
            start = {name: value for name, value in call.items() if name != "input"}
            yield "contentBlockStart", {"start": {"toolUse": start}, **at}
            text = call["input"] if isinstance(call["input"], str) else json.dumps(call["input"], ensure_ascii=False)
            deltas = [{"toolUse": {"input": piece}} for piece in ("", *pieces_of(text, size))]
        elif "reasoningContent" in block:
            thought = block["reasoningContent"]
            if "redactedContent" in thought:
                deltas = [{"reasoningContent": thought}]
            else:
                thought = thought["reasoningText"]
                deltas = [{"reasoningContent": {"text": piece}} for piece in pieces_of(thought["text"], size)]
                deltas += [{"reasoningContent": {"signature": thought["signature"]}}]
        else:
            deltas = [{"text": piece} for piece in pieces_of(block["text"], size)]
        yield from (("contentBlockDelta", {"delta": delta, **at}) for delta in deltas)
        yield "contentBlockStop", at
    yield "messageStop", {"stopReason": body["stopReason"]}
    yield "metadata", {"usage": body["usage"], "metrics": body["metrics"]}


def encode_event(kind: str, body: dict[str, Any], message_type: str = "event") -> bytes:
    """Write an event as AWS sends it, in ``vnd.amazon.eventstream``."""
    name = ":exception-type" if message_type == "exception" else ":event-type"
    headers = b"".join(
        struct.pack("!B", len(key)) + key.encode() + struct.pack("!BH", 7, len(value)) + value.encode()
        for key, value in {
            name: kind, ":content-type": "application/json", ":message-type": message_type
        }.items()
    )  # fmt: skip
    payload = json.dumps(body).encode()
    prelude = struct.pack("!II", 16 + len(headers) + len(payload), len(headers))
    head = prelude + struct.pack("!I", zlib.crc32(prelude)) + headers + payload
    return head + struct.pack("!I", zlib.crc32(head))


@functools.cache
def service() -> Any:
    """The model of the service that botocore ships."""
    import botocore.session

    return botocore.session.get_session().get_service_model("bedrock-runtime")


def read(body: dict[str, Any]) -> dict[str, Any]:
    """An answer as botocore returns it."""
    from botocore.parsers import create_parser

    shape = service().operation_model("Converse").output_shape
    response = {"status_code": 200, "headers": {"x-amzn-requestid": "r1"}, "body": json.dumps(body).encode()}
    return create_parser("rest-json").parse(response, shape)


def read_events(body: dict[str, Any]) -> list[dict[str, Any]]:
    """A streamed answer as botocore hands it out."""
    from botocore.eventstream import EventStream
    from botocore.parsers import EventStreamJSONParser

    shape = service().operation_model("ConverseStream").output_shape.members["stream"]
    data = [encode_event(*event) for event in events(body)]
    raw = SimpleNamespace(stream=lambda: iter(data), close=lambda: None)
    return list(EventStream(raw, shape, EventStreamJSONParser(), "ConverseStream"))


def check_request(request: dict[str, Any]) -> None:
    """Let botocore check a request."""
    from botocore.validate import ParamValidator

    report = ParamValidator().validate(request, service().operation_model("Converse").input_shape)
    assert not report.has_errors(), report.generate_report()
