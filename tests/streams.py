"""Answers in chunks: how each provider cuts one up, and an HTTP server on loopback that sends them one by one."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Any

from instructor import Mode, from_provider
from replies import (
    JsonHandler,
    LoopbackServer,
    chat_completion,
    function_call,
    generated,
    message,
    response,
    tool_use,
)

OPENAI, CLAUDE, GEMINI = "openai/gpt-4.1-mini", "anthropic/claude-3-haiku", "google/gemini-2.5-flash"
WIRES = [
    (OPENAI, Mode.TOOLS),
    (OPENAI, Mode.JSON),
    (OPENAI, Mode.JSON_SCHEMA),
    (OPENAI, Mode.MD_JSON),
    (OPENAI, Mode.RESPONSES_TOOLS),
    (CLAUDE, Mode.TOOLS),
    (CLAUDE, Mode.JSON),
    (CLAUDE, Mode.JSON_SCHEMA),
    (GEMINI, Mode.TOOLS),
    (GEMINI, Mode.JSON),
]
TOOL_WIRES = [wire for wire in WIRES if wire[1] in (Mode.TOOLS, Mode.RESPONSES_TOOLS)]
JASON = {"name": "Jason Žofie 🦊 Miller", "age": 25, "tags": ["a b", "c"]}
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}

Event = dict[str, Any]
SIZE = 12
PATIENCE = 30.0


def pieces_of(text: str, size: int = SIZE) -> list[str]:
    """Cut a text."""
    return [text[at : at + size] for at in range(0, len(text), size)]


def chat_events(body: Event, size: int = SIZE) -> Iterator[Event]:
    """Cut a chat completion into chunks."""
    head = {name: body[name] for name in ("id", "created", "model")} | {"object": "chat.completion.chunk"}

    def chunk(index: int, delta: Event, reason: str | None = None) -> Event:
        return head | {"choices": [{"index": index, "delta": delta, "finish_reason": reason}], "usage": None}

    for choice in body["choices"]:
        index, message = choice["index"], choice["message"]
        yield chunk(index, {"role": "assistant", "content": None if message.get("tool_calls") else ""})
        for name in ("reasoning_content", "content", "refusal"):
            yield from (chunk(index, {name: text}) for text in pieces_of(message.get(name) or "", size))
        for number, call in enumerate(message.get("tool_calls") or ()):
            begun = {**call, "index": number, "function": {**call["function"], "arguments": ""}}
            yield chunk(index, {"tool_calls": [begun]})
            for text in pieces_of(call["function"]["arguments"], size):
                yield chunk(index, {"tool_calls": [{"index": number, "function": {"arguments": text}}]})
        yield chunk(index, {}, choice["finish_reason"])
    yield head | {"choices": [], "usage": body["usage"]}


def mistral_events(body: Event, size: int = SIZE) -> Iterator[Event]:
    """Cut a chat completion as Mistral does: calls come whole, and the last chunk counts the tokens."""
    head = {name: body[name] for name in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
    [choice] = body["choices"]
    message = choice["message"]
    deltas: list[Event] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": text} for text in pieces_of(message["content"] or "", size)]
    deltas += [{"content": "", "tool_calls": message["tool_calls"]}] if message.get("tool_calls") else []
    for delta in deltas:
        yield head | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    last = {"index": 0, "delta": {"content": ""}, "finish_reason": choice["finish_reason"]}
    yield head | {"choices": [last], "usage": body["usage"]}


def responses_events(body: Event, size: int = SIZE) -> Iterator[Event]:
    """Cut a response into events."""
    begun = {**body, "status": "in_progress", "output": [], "usage": None}
    yield {"type": "response.created", "response": begun}
    for index, item in enumerate(body["output"]):
        at = {"output_index": index, "item_id": item["id"]}
        empty = {name: value for name, value in item.items() if name != "content"}
        empty |= {"arguments": ""} if "arguments" in item else {"content": []} if "content" in item else {}
        yield {"type": "response.output_item.added", **at, "item": {**empty, "status": "in_progress"}}
        for text in pieces_of(item.get("arguments") or "", size):
            yield {"type": "response.function_call_arguments.delta", **at, "delta": text}
        if "arguments" in item:
            yield {"type": "response.function_call_arguments.done", **at, "arguments": item["arguments"]}
        for number, part in enumerate(item.get("content") or ()):
            kind = "response.output_text.delta" if "text" in part else "response.refusal.delta"
            for text in pieces_of(part.get("text") or part.get("refusal") or "", size):
                yield {"type": kind, **at, "content_index": number, "delta": text, "logprobs": []}
        yield {"type": "response.output_item.done", **at, "item": item}
    yield {"type": f"response.{body['status']}", "response": body}


def anthropic_events(body: Event, size: int = SIZE) -> Iterator[Event]:
    """Cut a message into events."""
    counts = body["usage"]
    begun = {**body, "content": [], "stop_reason": None, "usage": {**counts, "output_tokens": 1}}
    yield {"type": "message_start", "message": begun}
    yield {"type": "ping"}
    for index, block in enumerate(body["content"]):
        growing = {"text": "text_delta", "thinking": "thinking_delta", "signature": "signature_delta"}
        deltas = [
            {"type": kind, name: text}
            for name, kind in growing.items()
            if name in block
            for text in pieces_of(block[name], 10**6 if name == "signature" else size)
        ]
        empty = {name: "" if name in growing else value for name, value in block.items()}
        if "input" in block:
            empty["input"] = {}
            text = block["input"] if isinstance(block["input"], str) else json.dumps(block["input"], ensure_ascii=False)
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ("", *pieces_of(text, size))]
        yield {"type": "content_block_start", "index": index, "content_block": empty}
        yield from ({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas)
        yield {"type": "content_block_stop", "index": index}
    ending = {name: body[name] for name in ("stop_reason", "stop_sequence")}
    yield {"type": "message_delta", "delta": ending, "usage": {"output_tokens": counts["output_tokens"]}}
    yield {"type": "message_stop"}


def genai_events(body: Event, size: int = SIZE) -> Iterator[Event]:
    """Cut an answer of Gemini's into chunks; calls come whole."""
    candidate = body["candidates"][0]
    head = {name: body[name] for name in ("modelVersion", "responseId") if name in body}
    counts = {"promptTokenCount": body["usageMetadata"]["promptTokenCount"]}
    for part in candidate["content"]["parts"]:
        pieces = [{**part, "text": text} for text in pieces_of(part["text"], size)] if "text" in part else [part]
        for piece in pieces:
            one = {"content": {"role": "model", "parts": [piece]}, "index": 0}
            yield {**head, "candidates": [one], "usageMetadata": counts}
    last = {
        "content": {"role": "model", "parts": [{"text": ""}]},
        "finishReason": candidate["finishReason"],
        "index": 0,
    }
    if any("functionCall" in part for part in candidate["content"]["parts"]):
        del last["content"]["parts"]
    yield {**head, "candidates": [last], "usageMetadata": body["usageMetadata"]}


def encode(event: Event) -> bytes:
    """Write a server-sent event."""
    name = f"event: {event['type']}\n" if "type" in event else ""
    return f"{name}data: {json.dumps(event, ensure_ascii=False)}\n\n".encode()


CUTS: dict[str, Callable[..., Iterable[Event]]] = {
    "openai_chat": chat_events,
    "openai_responses": responses_events,
    "anthropic_messages": anthropic_events,
    "genai": genai_events,
}


class _StreamHandler(JsonHandler):
    def do_POST(self) -> None:  # noqa: N802 - the name that http.server calls
        """Answer any POST."""
        owner = self.server.owner
        body = self.receive()
        owner.requests.append(body)
        refusal = owner.refuse(body)
        if refusal:
            fault = {"message": refusal, "type": "invalid_request_error", "code": 400}
            self.answer(400, json.dumps({"error": fault}).encode(), {})
        elif body.get("stream") or "stream" in self.path:
            self._stream(owner)
        else:
            self.answer(200, json.dumps(owner.plain).encode(), {})

    def _stream(self, owner: StreamServer) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header(
            "Connection", "close"
        )  # announced, so that no client sends its next request on this connection
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        owner.sent = 0
        for number, piece in enumerate(owner.next_script()):
            if number == owner.held and not self._wait(owner):
                return
            owner.sent += 1
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))

        if owner.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            return
        self.wfile.write(b"0\r\n\r\n")

    def _wait(self, owner: StreamServer) -> bool:
        """Wait until the rest may be sent; False if the client has closed the connection."""
        deadline = time.monotonic() + PATIENCE
        while not owner.go.wait(0.005) and time.monotonic() < deadline:
            if select.select([self.connection], [], [], 0)[0]:
                with contextlib.suppress(OSError):
                    if self.connection.recv(1):
                        continue
                owner.left.set()
                return False
        return True


class StreamServer(LoopbackServer):
    """An HTTP server that answers each request with the next script, piece by piece, and repeats the last script.

    A request without a stream is answered with `plain`.

    Attributes:
        plain: The answer in one piece.
        scripts: The pieces of each answer.
        held: How many pieces are sent before `go` is set; None for all of them.
        go: Lets the rest be sent.
        left: Set when the client closes the connection while the rest is held back.
        reset: Whether the connection is reset after the last piece.
        refuse: Says why a request is refused with 400, by its body; empty where it isn't.
        sent: How many pieces the last answer has sent.
        requests: The bodies received.
    """

    handler = _StreamHandler

    def __init__(self) -> None:
        self.plain: Any = {}
        self.scripts: list[list[bytes]] = []
        self.held: int | None = None
        self.go, self.left = threading.Event(), threading.Event()
        self.reset = False
        self.refuse: Callable[[Event], str] = lambda _: ""
        self.sent = 0
        self.requests: list[Event] = []
        super().__init__()

    @property
    def url(self) -> str:
        """Where it listens."""
        return self.address

    def script(self, *answers: Iterable[Event | bytes]) -> None:
        """Set the answers to come, as events or as bytes."""
        pieces = [[piece if isinstance(piece, bytes) else encode(piece) for piece in answer] for answer in answers]
        self.scripts = pieces

    def next_script(self) -> list[bytes]:
        """The answer to the next request."""
        return self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]

    def close(self) -> None:
        """End the server."""
        self.go.set()
        super().close()


def wire_of(model: str, mode: Mode) -> str:
    """The wire of a model in a mode."""
    names = {OPENAI: "openai_chat", CLAUDE: "anthropic_messages", GEMINI: "genai"}
    return "openai_responses" if mode is Mode.RESPONSES_TOOLS else names[model]


def answer_of(model: str, mode: Mode, value: Any, tool: str = "User") -> Any:
    """The provider's answer in one piece."""
    text = json.dumps(value, ensure_ascii=False)
    calls = mode in (Mode.TOOLS, Mode.RESPONSES_TOOLS)
    if mode is Mode.RESPONSES_TOOLS:
        return response({"type": "reasoning", "summary": []}, function_call(tool, text))
    if model == OPENAI:
        shown = f"Here:\n```json\n{text}\n```" if mode is Mode.MD_JSON else text
        return chat_completion(tool=tool, arguments=text) if calls else chat_completion(content=shown)
    if model == CLAUDE:
        thinking = {"type": "thinking", "thinking": "Who is it? Jason, I think.", "signature": "c2ln"}
        block = tool_use(tool, value) if calls else {"type": "text", "text": text}
        return message(thinking, block, stop_reason="tool_use" if calls else "end_turn")
    thought = {"text": "Who is it?", "thought": True}
    return generated(thought, {"functionCall": {"name": tool, "args": value}} if calls else {"text": text})


def script_of(model: str, mode: Mode, body: Any, size: int = SIZE) -> list[bytes]:
    """The answer's events; the first piece goes up to the first one that shows something of `JASON`."""
    events = list(map(encode, CUTS[wire_of(model, mode)](body, size)))
    end = b"data: [DONE]\n\n" if wire_of(model, mode) == "openai_chat" else b""
    first = next(at for at, event in enumerate(events) if b"Ja" in event and b"Who" not in event) + 1
    return [b"".join(events[:first]), *events[first:], *([end] if end else [])]


@asynccontextmanager
async def connect(server: StreamServer, model: str, **options: Any) -> AsyncIterator[Any]:
    """`from_provider` against the server, closed afterwards."""
    url = server.url + ("/v1" if model == OPENAI else "")
    client = from_provider(model, base_url=url, api_key="test", **options)
    try:
        yield client
    finally:
        client._adapter.close()
        await client._adapter.aclose()


def dumped(completion: Any) -> Any:
    """A completion without what Google's SDK notes in it of its own doing: HTTP headers, functions that it called."""
    noted = {"sdk_http_response": None, "automatic_function_calling_history": None}
    return completion.model_dump(mode="json") | noted


async def take(stream: Any) -> list[Any]:
    """All that is left of a stream, plain or asynchronous."""
    return [value async for value in stream] if hasattr(stream, "__anext__") else list(stream)


async def step(stream: Any) -> Any:
    """The next value."""
    return await anext(stream) if hasattr(stream, "__anext__") else next(stream)


async def settle(value: Any) -> Any:
    """The value, awaited where it has to be."""
    return await value if hasattr(value, "__await__") else value
