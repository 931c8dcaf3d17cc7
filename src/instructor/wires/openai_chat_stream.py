"""The chunks of OpenAI's chat completions: ``chat.completion.chunk``, as ``openai.types.chat`` has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from instructor.messages import Request
from instructor.wires.folding import (
    TEXT,
    Assembled,
    Delta,
    Streaming,
    ended_early,
    grow,
    look_into,
    merge,
    plain,
    settle,
)
from instructor.wires.spec import ToolSpec
from instructor.wires.text import as_list, dump_arguments, get_path, get_text, read_text

_PIECE = frozenset({"name", "arguments"})
_PLACE = frozenset({"index", "function"})


class ChatFold:
    """A `Fold` of chat completions. Choices beyond the first are kept, and only the first is the answer."""

    def __init__(self, request: Request | None = None, specs: Sequence[ToolSpec] = ()) -> None:
        del request, specs  # chunks say all that is needed
        self._head: dict[str, Any] = {}
        self._last_head: dict[str, Any] = {}
        self._choices: dict[int, dict[str, Any]] = {}
        self._calls: dict[int, _Calls] = {}
        self._parts: dict[int, list[dict[str, Any]]] = {}

    def add(self, chunk: Any) -> list[Delta]:
        """Take a chunk. Azure's first and the last, which counts tokens, have no choices."""
        members = look_into(chunk)
        choices = as_list(members.get("choices"))
        # Without what belongs to the chunk alone; obfuscation hides the length of its text.
        head = {**members, "choices": None, "object": None, "obfuscation": None}
        if head != self._last_head:  # each chunk repeats it, so most add nothing
            self._last_head = head
            for name, value in head.items():
                if value is not None:
                    self._head[name] = value or self._head.get(name, value)
        if len(choices) == 1:  # as in most chunks
            return self._add_choice(choices[0])
        return [delta for choice in choices for delta in self._add_choice(choice)]

    def _add_choice(self, choice: Any) -> list[Delta]:
        members = look_into(choice)
        index = members.get("index") or 0
        known = self._choices.get(index)
        if known is None:
            known = self._choices[index] = {"index": index, "finish_reason": None, "message": {}}
        deltas: list[Delta] = []
        for name, value in members.items():
            if value is None or name == "index":
                continue
            if name == "delta":  # in most chunks the only one
                deltas = self._add_delta(index, known["message"], value)
            elif name == "logprobs":
                merge(known, {name: value})
            else:
                known[name] = plain(value) or known.get(name)
        return deltas if index == 0 else []

    def _add_delta(self, index: int, message: dict[str, Any], delta: Any) -> list[Delta]:
        deltas: list[Delta] = []
        for name, value in look_into(delta).items():
            if value is None:
                continue
            if name == "tool_calls":
                calls = self._calls.get(index)
                if calls is None:
                    calls = self._calls[index] = _Calls()
                deltas += map(calls.add, as_list(value))
            elif name == "content":
                if not isinstance(value, str) and index not in self._parts and not _is_text(value):
                    self._parts[index] = _as_parts(settle(message.get("content", "")))
                if index in self._parts:
                    _add_parts(self._parts[index], value)
                text = read_text(value)
                grow(message, name, text)
                if text:
                    deltas.append(Delta(TEXT, "", text))
            else:
                merge(message, {name: value})
        return deltas

    def finish(self) -> Assembled:
        """Put the ``ChatCompletion`` together."""
        first = self._choices.get(0)
        if first is None or not first["finish_reason"]:
            fault = self._head.get("error")
            code = get_path(fault, "code") or get_path(fault, "type") or ""
            raise ended_early("openai_chat", get_text(fault, "message"), str(code))
        choices = [self._complete(index, choice) for index, choice in sorted(self._choices.items())]
        body: dict[str, Any] = {}
        merge(body, {"usage": get_path(self._head.get("x_groq"), "usage"), **self._head})
        return Assembled("ChatCompletion", {**settle(body), "object": "chat.completion", "choices": settle(choices)})

    def _complete(self, index: int, choice: dict[str, Any]) -> dict[str, Any]:
        message = {"role": "assistant", "content": None, **choice["message"]}
        if index in self._parts:
            message["content"] = [_join_texts(part) for part in settle(self._parts[index])]
        if index in self._calls:
            # Beside tool calls, an empty text stands for none, as in an answer that isn't streamed.
            message |= {"content": message["content"] or None, "tool_calls": self._calls[index].settle()}
        return {**choice, "message": message}


def _as_parts(content: Any) -> list[Any]:
    return ([{"type": "text", "text": content}] if content else []) if isinstance(content, str) else as_list(content)


def _is_text(content: Any) -> bool:
    return all(get_text(part, "type") in ("", "text") for part in as_list(content))


def _add_parts(parts: list[dict[str, Any]], content: Any) -> None:
    """Add the parts of a chunk. Mistral sends its thinking so: a part goes on with the one before of the same type."""
    for part in _as_parts(content):
        if not parts or parts[-1].get("type") != get_text(part, "type"):
            parts.append({})
        merge(parts[-1], part)


def _join_texts(part: dict[str, Any]) -> dict[str, Any]:
    """Join the pieces of a part's thinking, which is a list of texts."""
    pieces = as_list(part.get("thinking"))
    if not pieces or not _is_text(pieces):
        return part
    return {**part, "thinking": [{"type": "text", "text": read_text(pieces)}]}


class _Calls:
    """The tool calls of one choice. Their index, or their id where there is none, tells them apart."""

    def __init__(self) -> None:
        self._calls: list[dict[str, Any]] = []
        self._names: list[str] = []
        self._texts: list[list[str]] = []
        self._places: dict[Any, int] = {}

    def add(self, delta: Any) -> Delta:
        """Take a piece of a call. Most are an index and a piece of the arguments."""
        members = look_into(delta)
        function = look_into(members.get("function") or {})
        text, index = function.get("arguments"), members.get("index")
        at = (
            self._places.get(index)
            if len(members) == len(_PLACE) and len(function) == 1 and index is not None
            else None
        )
        if at is None or type(text) is not str:
            at, text = self._add_other(members, function)
        else:
            self._places[None] = at
        self._texts[at].append(text)
        return Delta(at, self._names[at], text)

    def _add_other(self, members: Mapping[str, Any], function: Mapping[str, Any]) -> tuple[int, str]:
        """Take a piece that begins a call, or says more of it; return which call it is, and the piece of its arguments."""
        index, identity, name = members.get("index"), members.get("id") or "", function.get("name") or ""
        at = self._find(index, identity, name)
        if name or not (members.keys() <= _PLACE and function.keys() <= _PIECE):  # perhaps more than arguments
            self._keep(at, members, function)
        text = function.get("arguments") or ""
        if not isinstance(text, str):
            text = dump_arguments(text)
        return at, text

    def _keep(self, at: int, members: Mapping[str, Any], function: Mapping[str, Any]) -> None:
        """Keep what a piece says of its call beside the arguments."""
        others = {name: value for name, value in members.items() if value and name not in _PLACE}
        if not others and not function.get("name") and function.keys() <= _PIECE:
            return
        parts = {name: value for name, value in function.items() if name != "arguments"}
        merge(self._calls[at], {**others, "function": parts})
        self._names[at] = get_text(self._calls[at], "function", "name")

    def settle(self) -> list[dict[str, Any]]:
        """The calls, as they come in an answer in one piece."""
        calls: list[dict[str, Any]] = settle(self._calls)
        for call, pieces in zip(calls, self._texts, strict=True):
            call["function"] = {**call.get("function", {}), "arguments": "".join(pieces)}
        return calls

    def _find(self, index: int | None, identity: str, name: str) -> int:
        """Find the call, or begin one. Some vendors count calls from 1, some number none, some number all alike."""
        at = self._places.get(identity if index is None and identity else index)
        if at is not None and not identity and not name:
            self._places[None] = at
            return at
        if at is None or self._is_another(self._calls[at], index, identity, name):
            at = len(self._calls)
            self._calls.append({"type": "function"})
            self._names.append("")
            self._texts.append([])
        self._places |= {index: at, None: at} | ({identity: at} if identity else {})
        return at

    def _is_another(self, call: dict[str, Any], index: int | None, identity: str, name: str) -> bool:
        """Whether a piece that has the place of a call is the beginning of another one."""
        known = get_text(call, "id")
        if identity:
            return bool(name and known) and identity != known
        return index is None and name != get_text(call, "function", "name")


CHAT_STREAMING = Streaming(
    "chat.completions.create", {"stream": True, "stream_options": {"include_usage": True}}, ChatFold
)
