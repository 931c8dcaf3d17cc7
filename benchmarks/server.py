"""A provider on loopback that answers at once, counts requests, and costs as little as it can.

It speaks as much HTTP/1.1 as the openai SDK needs. The path says who asks and how long to wait:
``/{test}/{milliseconds}/v1/chat/completions``. ``GET /counts`` gives the number of requests of each test.
It prints its port, and ends when its standard input is closed: so it cannot outlive who started it.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from typing import Any

ANSWERS: dict[str, Any] = {
    "User": {"name": "Anna"},
    "Order": {
        "number": 4711,
        "customer": {
            "name": "Anna Berg",
            "email": "anna@example.com",
            "address": {"street": "Storgatan 1", "city": "Umeå", "postcode": "903 26", "country": "SE"},
        },
        "lines": [
            {"article": "chair", "quantity": 4, "price": 49.5},
            {"article": "table", "quantity": 1, "price": 199.0},
            {"article": "lamp", "quantity": 2, "price": 24.25},
        ],
        "total": 445.5,
        "currency": "EUR",
        "paid": True,
        "ordered": "2026-03-01T12:30:00Z",
        "status": "open",
        "tags": ["furniture", "export"],
        "note": "leave at the door",
    },
}


def make_completion(tool: str) -> bytes:
    """Make the chat completion that calls a tool."""
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": tool, "arguments": json.dumps(ANSWERS[tool])},
    }
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    return json.dumps(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1_700_000_000,
            "model": "gpt-4.1-mini",
            "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls", "logprobs": None}],
            "usage": {"prompt_tokens": 60, "completion_tokens": 10, "total_tokens": 70},
        }
    ).encode()


def make_response(body: bytes, status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


RESPONSES = {tool: make_response(make_completion(tool)) for tool in ANSWERS}
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
            body = self.received[end + 4 : end + 4 + size]
            self.received = self.received[end + 4 + size :]
            self.answer(path, body)

    def answer(self, path: str, body: bytes) -> None:
        if path == "/counts":
            self.transport.write(make_response(json.dumps(COUNTS).encode()))
            return
        _, test, milliseconds, _ = path.split("/", 3)
        COUNTS[test] += 1
        tool = json.loads(body)["tools"][0]["function"]["name"]
        response = RESPONSES.get(tool) or make_response(b'{"error": {"message": "unknown tool"}}', "400 Bad Request")
        if milliseconds == "0":
            self.transport.write(response)
        else:
            asyncio.get_running_loop().call_later(int(milliseconds) / 1000, self.transport.write, response)


async def serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve())
