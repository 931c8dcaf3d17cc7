"""An HTTP server on loopback that says what a test scripted, for what aimock does not express."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Reply:
    """One scripted HTTP reply.

    Attributes:
        body: What is sent: an object as JSON, text or bytes as they are.
        status: The HTTP status.
        headers: Further headers.
        fault: ``"drop"`` closes the connection without an answer; ``"truncate"`` closes it in the middle of the body.
    """

    body: Any = ""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    fault: str = ""

    def encode(self) -> bytes:
        """Return the body's bytes."""
        if isinstance(self.body, bytes):
            return self.body
        return (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()


@dataclass(frozen=True, slots=True)
class Received:
    """One request that a `ReplyServer` received. `body` is parsed JSON, or None."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any


class LoopbackServer:
    """An HTTP server in a thread of its own, at a free port of this machine. Its `handler` finds it as ``server.owner``."""

    handler: type[JsonHandler]

    def __init__(self) -> None:
        self._server = _Http(("127.0.0.1", 0), self.handler)
        self._server.owner = self
        self._thread = threading.Thread(target=self._server.serve, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """End the server."""
        self._server.end()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    owner: Any
    _is_over = False

    def serve(self) -> None:
        """Accept connections until `end`. For `shutdown` each test would wait: `serve_forever` looks for it now and then."""
        while not self._is_over:
            self.handle_request()

    def end(self) -> None:
        """Wake `serve` by a last connection, which nobody handles."""
        self._is_over = True
        socket.create_connection(self.server_address[:2]).close()

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether to handle a connection."""
        return not self._is_over

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay quiet: a client that goes away is part of many tests."""


class JsonHandler(BaseHTTPRequestHandler):
    """One connection to a `LoopbackServer`."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Http

    def receive(self) -> Any:
        """The body of the request; None where it is not JSON."""
        text = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            return json.loads(text) if text else None
        except ValueError:
            return None

    def answer(self, status: int, payload: bytes, headers: Mapping[str, str], sent: int | None = None) -> None:
        """Send an answer; of its body as many bytes as `sent`, where that is fewer than were promised."""
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json"} | dict(headers)).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload[:sent])

    def log_message(self, *_: Any) -> None:
        """Stay quiet."""


class _ReplyHandler(JsonHandler):
    def do_GET(self) -> None:
        """Answer any GET."""
        self._reply()

    def do_POST(self) -> None:
        """Answer any POST."""
        self._reply()

    def _reply(self) -> None:
        body = self.receive()
        reply = self.server.owner.take(Received(self.command, self.path, dict(self.headers), body))
        self.close_connection = bool(reply.fault)
        if reply.fault != "drop":
            payload = reply.encode()
            self.answer(reply.status, payload, reply.headers, len(payload) // 2 if reply.fault else None)


class ReplyServer(LoopbackServer):
    """An HTTP server that gives scripted replies in order, repeats the last one, and keeps a journal.

    For what aimock does not express: refusals, cut bodies, bytes that no provider would send, and requests held
    back until a test lets them go.

    Example:
        >>> with ReplyServer(Reply(chat_completion(refusal="No."))) as server:
        ...     client = from_provider("openai/gpt-4.1-mini", base_url=server.url, api_key="test")
    """

    handler = _ReplyHandler

    def __init__(self, *replies: Reply) -> None:
        self._replies = list(replies)
        self._changed = threading.Condition()
        self._open = threading.Event()
        self._open.set()
        self.requests: list[Received] = []
        super().__init__()

    @property
    def url(self) -> str:
        """Where it listens; ``/v1`` at the end or not, any path is answered."""
        return f"{self.address}/v1"

    def script(self, *replies: Reply) -> None:
        """Replace the replies still to come."""
        with self._changed:
            self._replies = list(replies)

    def hold(self) -> None:
        """Receive requests, but answer none until `release`."""
        self._open.clear()

    def release(self) -> None:
        """Answer what was held back, and all that comes."""
        self._open.set()

    def wait_for(self, count: int, seconds: float = 30.0) -> None:
        """Block until `count` requests have come."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.requests) >= count, seconds):
                raise TimeoutError(f"{len(self.requests)} requests came in {seconds} s, not {count}.")

    def take(self, received: Received) -> Reply:
        """Note a request, and return what to answer once answers are let go."""
        with self._changed:
            self.requests.append(received)
            self._changed.notify_all()
            if not self._replies:
                return Reply({"error": {"message": "No reply was scripted."}}, status=400)
            reply = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
        self._open.wait()
        return reply

    def close(self) -> None:
        """End the server; requests held back are let go."""
        self.release()
        super().close()


def chat_completion(
    *,
    content: str | None = None,
    tool: str | None = None,
    arguments: Any = None,
    refusal: str | None = None,
    finish_reason: str | None = None,
    model: str = "gpt-4.1-mini",
    usage: tuple[int, int] = (10, 5),
) -> dict[str, Any]:
    """Build a chat completion as OpenAI sends it (POST /v1/chat/completions).

    Args:
        content: The message's text.
        tool: The function called, together with `arguments`.
        arguments: Its arguments: an object, or text that is sent as it is.
        refusal: The model's words of refusal.
        finish_reason: ``"stop"`` or ``"tool_calls"`` by default.
        model: The model that answered.
        usage: Tokens of prompt and answer.
    """
    message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": refusal}
    if tool is not None:
        text = arguments if isinstance(arguments, str) else json.dumps(arguments)
        call = {"id": "call_1", "type": "function", "function": {"name": tool, "arguments": text}}
        message["tool_calls"] = [call]
    reason = finish_reason or ("tool_calls" if tool else "stop")
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_760_000_000,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": reason, "logprobs": None}],
        "usage": {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)},
    }


def response(*items: dict[str, Any], status: str = "completed", **members: Any) -> dict[str, Any]:
    """Build a response of OpenAI's Responses API."""
    output = [{"id": f"item_{index}", "status": "completed", **item} for index, item in enumerate(items)]
    counts = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
    counts |= {"input_tokens_details": {"cached_tokens": 2}, "output_tokens_details": {"reasoning_tokens": 1}}
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_760_000_000,
        "model": "gpt-4.1-mini",
        "status": status,
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [{"type": "function", "name": "User", "parameters": {"type": "object"}, "strict": False}],
        "text": {"format": {"type": "json_schema", "name": "x", "schema": {"type": "object"}}},
        "usage": counts,
        **members,
    }


def function_call(name: str, arguments: str) -> dict[str, Any]:
    """Build an item of a response that calls a function."""
    return {"type": "function_call", "call_id": f"call_{name}", "name": name, "arguments": arguments}


def message(*blocks: dict[str, Any], stop_reason: str = "end_turn") -> dict[str, Any]:
    """Build a message of Anthropic's."""
    counts = {"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 2, "service_tier": "standard"}
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-3-haiku",
        "content": list(blocks),
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": counts,
    }


def tool_use(name: str, value: Any) -> dict[str, Any]:
    """Build a block that calls a tool; text as its input is sent as it is."""
    return {"type": "tool_use", "id": f"toolu_{name}", "name": name, "input": value}


def generated(*parts: dict[str, Any], reason: str = "STOP") -> dict[str, Any]:
    """Build an answer of Gemini's."""
    counts = {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15}
    return {
        "candidates": [{"content": {"role": "model", "parts": list(parts)}, "finishReason": reason, "index": 0}],
        "usageMetadata": counts,
        "modelVersion": "gemini-2.5-flash",
        "responseId": "r1",
    }


def obedient_answer(received: Received, value: Mapping[str, Any]) -> dict[str, Any]:
    """Build the answer of an obedient model in the form of the API that was asked: a call of the last tool, or JSON."""
    body, text = received.body, json.dumps(value)
    tool = body["tools"][-1] if body.get("tools") else None
    if received.path.endswith(":generateContent"):
        return generated({"functionCall": {"name": tool["functionDeclarations"][0]["name"], "args": value}})
    if received.path.endswith("/responses"):
        return response(function_call(tool["name"], text))
    if received.path.endswith("/messages"):
        return message(tool_use(tool["name"], value) if tool else {"type": "text", "text": text})
    if tool:
        return chat_completion(tool=tool["function"]["name"], arguments=value)
    return chat_completion(content=text)


def google_client(http: Any) -> Any:
    """A client of Google's SDK that sends through an HTTP client; its oldest versions have no option for that."""
    from google import genai
    from google.genai import types

    if "httpx_client" in types.HttpOptions.model_fields:
        return genai.Client(api_key="none", http_options=types.HttpOptions(httpx_client=http))
    client = genai.Client(api_key="none")
    inner = client._api_client
    inner._httpx_client.close()
    inner._httpx_client = http
    return client
