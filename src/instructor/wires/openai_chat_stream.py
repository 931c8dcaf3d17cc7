"""The chunks of OpenAI's chat completions: ``chat.completion.chunk``, as ``openai.types.chat`` has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from instructor.messages import Request
from instructor.wires.folding import TEXT, Assembled, Delta, Streaming, ended_early, members_of, merge, plain, settle
from instructor.wires.spec import ToolSpec
from instructor.wires.text import as_list, get_path, get_text, read_text

_LOST = frozenset({"object", "obfuscation"})
"""Members of a chunk that are none of the answer: its type, and what hides the length of its text."""


class ChatFold:
    """A `Fold` of chat completions. Choices beyond the first are kept, and only the first is the answer."""

    def __init__(self, request: Request | None = None, specs: Sequence[ToolSpec] = ()) -> None:
        del request, specs  # chunks say all that is needed
        self._head: dict[str, Any] = {}
        self._choices: dict[int, dict[str, Any]] = {}
        self._calls: dict[int, _Calls] = {}

    def add(self, chunk: Any) -> list[Delta]:
        """Take a chunk. Azure's first and the last, which counts tokens, have no choices."""
        deltas: list[Delta] = []
        for name, value in members_of(chunk):
            if name == "choices":
                for choice in as_list(value):
                    deltas += self._add_choice(choice)
            elif name not in _LOST:
                self._head[name] = value or self._head.get(name, value)
        return deltas

    def _add_choice(self, choice: Any) -> list[Delta]:
        index = get_path(choice, "index") or 0
        known = self._choices.setdefault(index, {"index": index, "finish_reason": None, "message": {}})
        deltas: list[Delta] = []
        for name, value in members_of(choice):
            if name == "delta":
                deltas = self._add_delta(index, known["message"], value)
            elif name == "logprobs":
                merge(known, {name: value})
            elif name != "index":
                known[name] = plain(value) or known.get(name)
        return deltas if index == 0 else []

    def _add_delta(self, index: int, message: dict[str, Any], delta: Any) -> list[Delta]:
        deltas: list[Delta] = []
        for name, value in members_of(delta):
            if name == "tool_calls":
                calls = self._calls.setdefault(index, _Calls())
                deltas += map(calls.add, as_list(value))
            elif name == "content":
                text = read_text(value)
                merge(message, {"content": text})
                if text:
                    deltas.append(Delta(TEXT, "", text))
            else:
                merge(message, {name: value})
        return deltas

    def finish(self) -> Assembled:
        """Put the ``ChatCompletion`` together.

        Raises:
            ProviderError: No choice has come, or the first has no finish reason: the stream was cut.
        """
        first = self._choices.get(0)
        if first is None or not first["finish_reason"]:
            raise ended_early("openai_chat", get_text(self._head.get("error"), "message"))
        choices = [self._complete(index, choice) for index, choice in sorted(self._choices.items())]
        body: dict[str, Any] = {}
        merge(body, {"usage": get_path(self._head.get("x_groq"), "usage"), **self._head})
        return Assembled("ChatCompletion", {**settle(body), "object": "chat.completion", "choices": settle(choices)})

    def _complete(self, index: int, choice: dict[str, Any]) -> dict[str, Any]:
        message = {"role": "assistant", "content": None, **choice["message"]}
        if index in self._calls:
            # Beside tool calls, an empty text stands for none, as in an answer that isn't streamed.
            message |= {"content": message["content"] or None, "tool_calls": self._calls[index].calls}
        return {**choice, "message": message}


class _Calls:
    """The tool calls of one choice, told apart by index, or by id where there is none."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self._places: dict[Any, int] = {}

    def add(self, delta: Any) -> Delta:
        """Take a piece of a call. Some vendors count calls from 1, some number none, some number all alike."""
        members = dict(members_of(delta))
        place, function = self._places.get(members.get("index")), members.get("function")
        if place is not None and members.keys() == {"index", "function"} and function is not None:
            return self._add_arguments(place, function)
        index, identity = get_path(delta, "index"), get_text(delta, "id")
        at = self._places.get(identity if index is None and identity else index, len(self.calls))
        known = get_text(self.calls[at], "id") if at < len(self.calls) else None
        if known is None or (known and identity not in ("", known) and get_text(delta, "function", "name")):
            at = len(self.calls)
            self.calls.append({"type": "function"})
        self._places |= {index: at, None: at} | ({identity: at} if identity else {})
        call = self.calls[at]
        merge(call, {name: value for name, value in members.items() if name != "index"})
        return Delta(at, get_path(call, "function", "name") or "", get_text(delta, "function", "arguments"))

    def _add_arguments(self, at: int, function: Any) -> Delta:
        """Take a piece that belongs to the call that its index says: what nearly every chunk holds."""
        known = self.calls[at].setdefault("function", {})
        merge(known, function)
        return Delta(at, known.get("name") or "", get_text(function, "arguments"))


CHAT_STREAMING = Streaming(
    "chat.completions.create", {"stream": True, "stream_options": {"include_usage": True}}, ChatFold
)
