"""The chunks of OpenAI's chat completions: ``chat.completion.chunk``, as ``openai.types.chat`` has it."""

from __future__ import annotations

from typing import Any

from instructor.exceptions import ProviderError
from instructor.wires.folding import TEXT, Assembled, Delta, Streaming, members_of, merge, settle
from instructor.wires.text import get_list, get_path, get_text, read_text


class ChatFold:
    """A `Fold` of chat completions. Choices beyond the first are kept, and only the first is the answer."""

    def __init__(self) -> None:
        self._head: dict[str, Any] = {}
        self._choices: dict[int, dict[str, Any]] = {}
        self._calls: dict[int, list[dict[str, Any]]] = {}

    def add(self, chunk: Any) -> list[Delta]:
        """Take a chunk."""
        deltas: list[Delta] = []
        for name, value in members_of(chunk):
            if name == "choices":
                for choice in get_list(chunk, "choices"):
                    deltas += self._add_choice(choice)
            else:
                self._head[name] = value
        return deltas

    def _add_choice(self, choice: Any) -> list[Delta]:
        index = get_path(choice, "index") or 0
        known = self._choices.setdefault(index, {"index": index, "finish_reason": None, "message": {}})
        deltas: list[Delta] = []
        for name, value in members_of(choice):
            if name == "delta":
                deltas = self._add_delta(index, known["message"], value)
            elif name == "finish_reason":
                known[name] = value
            elif name != "index":
                merge(known, {name: value})
        return deltas if index == 0 else []

    def _add_delta(self, index: int, message: dict[str, Any], delta: Any) -> list[Delta]:
        deltas: list[Delta] = []
        for name, value in members_of(delta):
            if name == "tool_calls":
                deltas += [self._add_call(index, call) for call in value]
            elif name == "content":
                text = read_text(value)
                merge(message, {"content": text})
                if text:
                    deltas.append(Delta(TEXT, "", text))
            else:
                merge(message, {name: value})
        return deltas

    def _add_call(self, index: int, delta: Any) -> Delta:
        calls = self._calls.setdefault(index, [])
        number, name = get_path(delta, "index"), get_text(delta, "function", "name")
        at = len(calls) - 1 if number is None else number
        begun = calls[at] if 0 <= at < len(calls) else None
        # Some servers send whole calls one after the other, all with the same index or with none.
        identity = get_path(delta, "id")
        if begun is None or (name and identity and begun.get("id") not in (None, "", identity)):
            at = len(calls)
            calls.append(begun := {"type": "function"})
        merge(begun, {name: value for name, value in members_of(delta) if name != "index"})
        called = begun.get("function", {}).get("name", "")
        return Delta(at, called, get_text(delta, "function", "arguments"))

    def finish(self) -> Assembled:
        """Put the ``ChatCompletion`` together.

        Raises:
            ProviderError: No choice has come, or the first has no finish reason: the stream was cut.
        """
        first = self._choices.get(0)
        if first is None or not first["finish_reason"]:
            error = get_path(self._head.get("error"), "message")
            reason = f": {error}" if error else ", before the provider said that the answer is complete"
            raise ProviderError("openai_chat", f"The stream ended early{reason}. Ask again.")
        choices = [self._complete(index, choice) for index, choice in sorted(self._choices.items())]
        body: dict[str, Any] = {}
        merge(body, self._head)
        return Assembled("ChatCompletion", {**settle(body), "object": "chat.completion", "choices": settle(choices)})

    def _complete(self, index: int, choice: dict[str, Any]) -> dict[str, Any]:
        message = {"role": "assistant", "content": None, **choice["message"]}
        if index in self._calls:
            # Beside tool calls, an empty text stands for none, as in an answer that isn't streamed.
            message |= {"content": message["content"] or None, "tool_calls": self._calls[index]}
        return {**choice, "message": message}


CHAT_STREAMING = Streaming(
    "chat.completions.create", {"stream": True, "stream_options": {"include_usage": True}}, ChatFold
)
