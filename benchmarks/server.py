"""A provider on loopback that answers at once, counts requests, and costs as little as it can.

It speaks as much HTTP/1.1 as the openai SDK needs. The path names the test: ``/{test}/v1/chat/completions``.
``GET /counts`` gives the number of requests of each test.
It prints its port, and ends when its standard input is closed, so it can't outlive the run.
"""

from __future__ import annotations

import asyncio
import functools
import json
import sys
from collections import Counter

CALL = {"id": "call_1", "type": "function", "function": {"name": "User", "arguments": '{"name": "Anna"}'}}
MESSAGE = {"role": "assistant", "content": None, "tool_calls": [CALL]}
COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_700_000_000,
    "model": "gpt-4.1-mini",
    "choices": [{"index": 0, "message": MESSAGE, "finish_reason": "tool_calls", "logprobs": None}],
    "usage": {"prompt_tokens": 60, "completion_tokens": 10, "total_tokens": 70},
}

ARTICLE = {
    "id": 1234567,
    "name": "Garden chair",
    "price": 49.9,
    "tags": ["wood", "red"],
    "is_sold": False,
    "rating": None,
}


def make_response(data: object) -> bytes:
    return write_response(json.dumps(data).encode(), "application/json")


def write_response(body: bytes, kind: str) -> bytes:
    return f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


@functools.cache
def make_stream(tool: str, properties: tuple[str, ...], wanted: str) -> bytes:
    """Call a tool in chunks; `wanted` is the prompt, such as ``"90000 12"``: the characters of all and of a chunk."""
    characters, size = map(int, wanted.split())
    if properties == ("items",):
        text = json.dumps({"items": [ARTICLE] * (characters // len(json.dumps(ARTICLE)))})
    else:
        frame = len(json.dumps(dict.fromkeys(properties, "")))
        text = json.dumps(dict.fromkeys(properties, "x" * ((characters - frame) // len(properties))))
    begun = {"index": 0, **CALL, "function": {"name": tool, "arguments": ""}}
    pieces = ({"index": 0, "function": {"arguments": text[at : at + size]}} for at in range(0, len(text), size))
    deltas = [{"role": "assistant", "tool_calls": [begun]}, *({"tool_calls": [piece]} for piece in pieces), {}]
    head = {**COMPLETION, "object": "chat.completion.chunk", "usage": None}
    choices = [{"index": 0, "delta": delta, "finish_reason": None if delta else "tool_calls"} for delta in deltas]
    events = [json.dumps({**head, "choices": [choice]}) for choice in choices]
    return write_response("".join(f"data: {event}\n\n" for event in [*events, "[DONE]"]).encode(), "text/event-stream")


RESPONSE = make_response(COMPLETION)
COUNTS: Counter[str] = Counter()


class Connection(asyncio.Protocol):
    """One kept-alive connection."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        while (end := self.received.find(b"\r\n\r\n")) >= 0:
            head = self.received[:end].lower()
            _, found, rest = head.partition(b"content-length:")
            size = int(rest.split(b"\r\n", 1)[0]) if found else 0
            if len(self.received) < end + 4 + size:
                return
            path = self.received.split(b" ", 2)[1].decode()
            body, self.received = self.received[end + 4 : end + 4 + size], self.received[end + 4 + size :]
            self.answer(path, body)

    def answer(self, path: str, body: bytes) -> None:
        if path != "/counts":
            COUNTS[path.split("/")[1]] += 1
        self.transport.write(
            make_response(COUNTS) if path == "/counts" else RESPONSE if STREAMED not in body else stream(body)
        )


STREAMED = b'"stream":true'


def stream(body: bytes) -> bytes:
    """Stream what the last message asks for, as a call of the only tool."""
    request = json.loads(body)
    tool = request["tools"][0]["function"]
    return make_stream(tool["name"], tuple(tool["parameters"]["properties"]), request["messages"][-1]["content"])


async def serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve())
