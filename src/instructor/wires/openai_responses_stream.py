"""The events of OpenAI's Responses API, as ``openai.types.responses`` has them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from instructor.exceptions import ProviderError
from instructor.messages import Request
from instructor.wires.folding import TEXT, Assembled, Delta, Streaming, ended_early
from instructor.wires.members import write_members
from instructor.wires.spec import ToolSpec
from instructor.wires.text import get_path, get_text, parse_json

_NAME = "openai_responses"


class _Call:
    """A function call that is being streamed.

    Attributes:
        name: The function's name.
        pieces: What has come of its arguments.
    """

    __slots__ = ("name", "pieces")

    def __init__(self, name: str) -> None:
        self.name = name
        self.pieces: list[str] = []


class ResponseFold:
    """A `Fold` of responses. The last event holds the whole response; all before it is there to be shown."""

    def __init__(self, request: Request | None = None, specs: Sequence[ToolSpec] = ()) -> None:
        del request, specs  # the events say all that is needed
        self._calls: dict[int, _Call] = {}
        self._items: dict[int, Any] = {}
        self._response: dict[str, Any] | None = None

    def add(self, chunk: Any) -> Sequence[Delta]:
        """Take an event; those that aren't known here change nothing."""
        take = _EVENTS.get(get_text(chunk, "type"))
        return () if take is None else take(self, chunk)

    def finish(self) -> Assembled:
        """Return the ``Response`` that the last event held."""
        if self._response is None:
            raise ended_early(_NAME)
        # Some servers leave the items out of it, because they sent each of them before.
        output = self._response.get("output") or [write_members(item) for _, item in sorted(self._items.items())]
        is_complete = self._response["status"] == "completed"
        for index, call in self._calls.items() if is_complete else ():
            _check_call(call, output[index] if index < len(output) else None)
        return Assembled("Response", {**self._response, "output": output})

    def begin_item(self, event: Any) -> list[Delta]:
        """Take ``response.output_item.added``."""
        item = get_path(event, "item")
        if get_path(item, "type") != "function_call":
            return []
        index = _index_of(event)
        if index in self._calls:
            raise ended_early(_NAME, f"item {index} came twice")
        self._calls[index] = _Call(get_text(item, "name"))
        return [self._grow(index, get_text(item, "arguments"))]

    def add_arguments(self, event: Any) -> list[Delta]:
        """Take ``response.function_call_arguments.delta``."""
        return [self._grow(_index_of(event), get_text(event, "delta"))]

    def end_arguments(self, event: Any) -> list[Delta]:
        """Take ``response.function_call_arguments.done``. Some servers send all arguments only here."""
        return self._complete(_index_of(event), get_text(event, "arguments"))

    def end_item(self, event: Any) -> list[Delta]:
        """Take ``response.output_item.done``. Some servers send whole items only."""
        index, item = _index_of(event), get_path(event, "item")
        self._items[index] = item
        if get_path(item, "type") != "function_call":
            return []
        if index not in self._calls:
            self._calls[index] = _Call(get_text(item, "name"))
        return self._complete(index, get_text(item, "arguments"))

    def add_text(self, event: Any) -> list[Delta]:
        """Take ``response.output_text.delta``."""
        return [Delta(TEXT, "", get_text(event, "delta"))]

    def end(self, event: Any) -> list[Delta]:
        """Take ``response.completed``, ``response.incomplete`` or ``response.failed``."""
        response: dict[str, Any] = write_members(get_path(event, "response")) or {}
        self._response = {**response, "status": response.get("status") or get_text(event, "type").rpartition(".")[2]}
        return []

    def fail(self, event: Any) -> list[Delta]:
        """Take ``error``."""
        code, reason = get_text(event, "code"), get_text(event, "message") or "The provider sent an error."
        raise ProviderError(_NAME, f"{code}: {reason}" if code else reason, code=code)

    def _grow(self, index: int, text: str) -> Delta:
        if index not in self._calls:
            raise ended_early(_NAME, f"arguments came for item {index}, which has not begun")
        call = self._calls[index]
        call.pieces.append(text)
        return Delta(index, call.name, text)

    def _complete(self, index: int, arguments: str) -> list[Delta]:
        call = self._calls.get(index)
        return [] if call is not None and any(call.pieces) else [self._grow(index, arguments)]


def _index_of(event: Any) -> int:
    index = get_path(event, "output_index")
    return index if isinstance(index, int) else 0


def _check_call(call: _Call, item: Any) -> None:
    """Make sure that what was shown of a call is what the provider says that the model wrote."""
    text, whole = "".join(call.pieces), get_text(item, "arguments")
    if text == whole or get_text(item, "name") != call.name:
        return
    if parse_json(text) is None or parse_json(text) != parse_json(whole):
        raise ended_early(_NAME, f"a part of the arguments of {call.name} was lost, or came twice")


_EVENTS: dict[str, Callable[[ResponseFold, Any], list[Delta]]] = {
    "response.output_item.added": ResponseFold.begin_item,
    "response.function_call_arguments.delta": ResponseFold.add_arguments,
    "response.function_call_arguments.done": ResponseFold.end_arguments,
    "response.output_item.done": ResponseFold.end_item,
    "response.output_text.delta": ResponseFold.add_text,
    "response.completed": ResponseFold.end,
    "response.incomplete": ResponseFold.end,
    "response.failed": ResponseFold.end,
    "error": ResponseFold.fail,
}

RESPONSES_STREAMING = Streaming("responses.create", {"stream": True}, ResponseFold)
