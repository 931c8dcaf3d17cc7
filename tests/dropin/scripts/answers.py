"""Answers in the shapes of three SDKs, for the scripts beside this file: a function, and a server on loopback."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pydantic import BaseModel

ASK = [{"role": "user", "content": "Anna is 25."}]
TEXT = '{"name": "Anna", "age": 25}'


class User(BaseModel):
    name: str
    age: int


ANNA = User(name="Anna", age=25)


def complete(**request: Any) -> dict[str, Any]:
    """Answer as OpenAI does, in a call of the tool if there is one."""
    tools = request.get("tools")
    message: dict[str, Any] = {"role": "assistant", "content": None if tools else TEXT}
    if tools:
        function = {"name": tools[0]["function"]["name"], "arguments": TEXT}
        message["tool_calls"] = [{"id": "c", "type": "function", "function": function}]
    choice = {"index": 0, "finish_reason": "tool_calls" if tools else "stop", "message": message}
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    return {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}


def answer_anthropic(request: dict[str, Any]) -> dict[str, Any]:
    """Answer as Anthropic does."""
    tools = request.get("tools")
    call = {"type": "tool_use", "id": "t", "name": tools[0]["name"] if tools else "", "input": json.loads(TEXT)}
    ending = {"stop_reason": "tool_use" if tools else "end_turn", "stop_sequence": None}
    content = [call] if tools else [{"type": "text", "text": TEXT}]
    usage = {"input_tokens": 3, "output_tokens": 4}
    return {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": content,
        "usage": usage,
        **ending,
    }


class Handler(BaseHTTPRequestHandler):
    """Answers each request."""

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        answer = answer_anthropic(request) if self.path.endswith("/messages") else complete(**request)
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


def serve() -> str:
    """Start a server that ends with the process; return its URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"
