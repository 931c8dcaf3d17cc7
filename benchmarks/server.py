"""A provider on loopback that answers at once, counts requests, and costs as little as it can.

It speaks as much HTTP/1.1 as the openai SDK needs. The path names the test: ``/{test}/v1/chat/completions``.
``GET /counts`` gives the number of requests of each test.
It prints its port, and ends when its standard input is closed, so it can't outlive the run.
"""

from __future__ import annotations

import asyncio
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


def make_response(data: object) -> bytes:
    body = json.dumps(data).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


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
            self.received = self.received[end + 4 + size :]
            self.answer(path)

    def answer(self, path: str) -> None:
        if path != "/counts":
            COUNTS[path.split("/")[1]] += 1
        self.transport.write(make_response(COUNTS) if path == "/counts" else RESPONSE)


async def serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve())
