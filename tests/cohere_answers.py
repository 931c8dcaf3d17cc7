"""Answers of Cohere's Chat API as its server sends them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from streams import pieces_of


def cohere_answer(
    text: str | None = None, tool: str | None = None, arguments: str = "", reason: str | None = None
) -> dict[str, Any]:
    """Build the body of an answer."""
    message: dict[str, Any] = {"role": "assistant"}
    if text is not None:
        message["content"] = [{"type": "thinking", "thinking": "Who is it? I think."}, {"type": "text", "text": text}]
    if tool is not None:
        call = {"id": "call_1", "type": "function", "function": {"name": tool, "arguments": arguments}}
        message |= {"tool_plan": "I will call the tool.", "tool_calls": [call]}
    used = {"billed_units": {"input_tokens": 9.0, "output_tokens": 5.0}, "cached_tokens": 2.0}
    used["tokens"] = {"input_tokens": 10.0, "output_tokens": 5.0}
    ending = reason or ("COMPLETE" if tool is None else "TOOL_CALL")
    return {"id": "c1", "finish_reason": ending, "message": message, "usage": used}


def cohere_events(body: dict[str, Any], size: int = 12) -> Iterator[dict[str, Any]]:
    """Cut an answer into events."""
    message = body["message"]
    yield {"type": "message-start", "id": body["id"], "delta": {"message": {"role": "assistant"}}}
    for index, part in enumerate(message.get("content", ())):
        kind = part["type"]
        yield {"type": "content-start", "index": index, "delta": {"message": {"content": {"type": kind, kind: ""}}}}
        for piece in pieces_of(part[kind], size):
            yield {"type": "content-delta", "index": index, "delta": {"message": {"content": {kind: piece}}}}
        yield {"type": "content-end", "index": index}
    for piece in pieces_of(message.get("tool_plan", ""), size):
        yield {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": piece}}}
    for index, call in enumerate(message.get("tool_calls", ())):
        begun = {**call, "function": {**call["function"], "arguments": ""}}
        yield {"type": "tool-call-start", "index": index, "delta": {"message": {"tool_calls": begun}}}
        for piece in pieces_of(call["function"]["arguments"], size):
            added = {"function": {"arguments": piece}}
            yield {"type": "tool-call-delta", "index": index, "delta": {"message": {"tool_calls": added}}}
        yield {"type": "tool-call-end", "index": index}
    yield {"type": "message-end", "delta": {"finish_reason": body["finish_reason"], "usage": body["usage"]}}
