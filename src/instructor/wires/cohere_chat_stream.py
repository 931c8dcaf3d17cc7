"""The events of Cohere's Chat API, as ``cohere.v2.types`` has them, written as OpenAI's chunks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from instructor.exceptions import ProviderError
from instructor.messages import Request
from instructor.wires.folding import Assembled, Delta, Streaming, look_into, plain
from instructor.wires.openai_chat_stream import ChatFold
from instructor.wires.spec import ToolSpec
from instructor.wires.text import get_path, get_text

_NAME = "cohere_chat"
_THOUGHT = "thinking"


class CohereFold:
    """A `Fold` of Cohere's events."""

    def __init__(self, request: Request | None = None, specs: Sequence[ToolSpec] = ()) -> None:
        self._chat = ChatFold(request, specs)
        self._usage: Any = None
        self._ending: str | None = None

    def add(self, chunk: Any) -> list[Delta]:
        """Take an event; those that aren't known here, such as ``debug``, change nothing."""
        kind = get_text(chunk, "type")
        if kind == "message-start":
            return self._chat.add({"id": get_text(chunk, "id")})
        if kind == "message-end":
            return self._end(get_path(chunk, "delta"))
        write = _DELTAS.get(kind)
        return [] if write is None else self._chat.add(_chunk(write(chunk)))

    def _end(self, delta: Any) -> list[Delta]:
        if fault := get_text(delta, "error"):
            raise ProviderError(_NAME, fault)
        self._ending, self._usage = get_text(delta, "finish_reason") or None, plain(get_path(delta, "usage"))
        return self._chat.add(_chunk({}, self._ending))

    def finish(self) -> Assembled:
        """Put the ``V2ChatResponse`` together."""
        body = self._chat.finish().body
        message = body["choices"][0]["message"]
        text, thought = message.pop("content", None), message.pop(_THOUGHT, None)
        content = [{"type": _THOUGHT, _THOUGHT: thought}] if thought else []
        content += [{"type": "text", "text": text}] if text else []
        whole = {name: value for name, value in message.items() if value is not None}
        usage = {"usage": self._usage} if self._usage else {}
        head = {"id": body.get("id", ""), "finish_reason": self._ending}
        return Assembled(
            "V2ChatResponse", {**head, "message": {**whole, **({"content": content} if content else {})}, **usage}
        )


def _chunk(delta: Mapping[str, Any], ending: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": ending}]}


def _write_content(event: Any) -> dict[str, Any]:
    content = get_path(event, "delta", "message", "content")
    return {"content": get_text(content, "text") or None, _THOUGHT: get_text(content, _THOUGHT) or None}


def _write_call(event: Any) -> dict[str, Any]:
    call = look_into(get_path(event, "delta", "message", "tool_calls"))
    return {"tool_calls": [{**call, "index": get_path(event, "index") or 0}]}


def _write_plan(event: Any) -> dict[str, Any]:
    return {"tool_plan": get_text(event, "delta", "message", "tool_plan")}


def _write_citation(event: Any) -> dict[str, Any]:
    citation = get_path(event, "delta", "message", "citations")
    return {"citations": [] if citation is None else [plain(citation)]}


_DELTAS: Mapping[str, Callable[[Any], dict[str, Any]]] = {
    "content-start": _write_content,
    "content-delta": _write_content,
    "tool-plan-delta": _write_plan,
    "tool-call-start": _write_call,
    "tool-call-delta": _write_call,
    "citation-start": _write_citation,
}

COHERE_STREAMING = Streaming("chat_stream", {}, CohereFold)
