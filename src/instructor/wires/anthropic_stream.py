"""The events of Anthropic's Messages API, as ``anthropic.types`` has them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from instructor.exceptions import ProviderError
from instructor.messages import Request
from instructor.wires.folding import TEXT, Assembled, Delta, Streaming, ended_early, members_of
from instructor.wires.members import write_members
from instructor.wires.property_names import restore_names
from instructor.wires.spec import ToolSpec
from instructor.wires.text import dump_json, get_path, get_text, parse_json

_NAME = "anthropic_messages"
_GROWING = {
    "text_delta": (("text", "text"),),
    "input_json_delta": (("partial_json", "input"),),
    "thinking_delta": (("thinking", "thinking"),),
    "signature_delta": (("signature", "signature"),),
    "compaction_delta": (("content", "content"), ("encrypted_content", "encrypted_content")),
}
"""For each type of delta its members, and those of the block that they add to."""


class _Block:
    """A content block that is being streamed.

    Attributes:
        body: Its members, as they came at its beginning.
        pieces: What has come of each member that grows. A tool's input is among them as text, and may not be JSON:
            with eager streaming the API sends it before it is checked.
        held: What is shown only once the block is complete.
        is_over: Whether it is complete.
    """

    __slots__ = ("body", "held", "is_over", "pieces", "tool")

    def __init__(self, body: dict[str, Any]) -> None:
        self.body = body
        self.tool = get_text(body, "name")
        self.pieces: dict[str, list[str]] = {}
        self.held: list[str] = []
        self.is_over = False

    def grow(self, name: str, text: str) -> None:
        """Add to a member."""
        if text:
            self.pieces.setdefault(name, []).append(text)

    def settle(self) -> dict[str, Any]:
        """The block as it comes in an answer in one piece, but for an input that isn't a JSON object: that stays text."""
        grown = {name: "".join(pieces) for name, pieces in self.pieces.items()}
        text = grown.pop("input", "")
        value = parse_json(text) if text else None
        whole: dict[str, Any] = {"input": value if isinstance(value, dict) else text} if text else {}
        return {**self.body, **{name: get_text(self.body, name) + text for name, text in grown.items()}, **whole}


class MessageFold:
    """A `Fold` of messages. Their index tells blocks apart."""

    def __init__(self, request: Request | None = None, specs: Sequence[ToolSpec] = ()) -> None:
        del request
        # Where the API refuses names of properties, the model writes others, which nobody is to see.
        self._renamed = {spec.name: spec.schema for spec in specs if spec.renamed}
        if self._renamed and len(specs) == 1:
            self._renamed[""] = specs[0].schema
        self._kind = "Message"
        self._message: dict[str, Any] = {}
        self._blocks: dict[int, _Block] = {}

    def add(self, chunk: Any) -> Sequence[Delta]:
        """Take an event; those that aren't known here, such as ``ping``, change nothing."""
        take = _EVENTS.get(get_text(chunk, "type"))
        return () if take is None else take(self, chunk)

    def finish(self) -> Assembled:
        """Put the ``Message`` together."""
        if not self._message.get("stop_reason"):
            raise ended_early(_NAME)
        if not all(block.is_over for block in self._blocks.values()):
            raise ended_early(_NAME, "a content block has no end")
        content = [block.settle() for _, block in sorted(self._blocks.items())]
        return Assembled(self._kind, {**self._message, "content": content})

    def begin(self, event: Any) -> list[Delta]:
        """Take ``message_start``."""
        if self._message:
            raise ended_early(_NAME, "a second message began")
        message = get_path(event, "message")
        self._message = write_members(message)
        if type(message).__name__ == "BetaMessage":
            self._kind = "BetaMessage"
        return []

    def begin_block(self, event: Any) -> list[Delta]:
        """Take ``content_block_start``. Some servers send the whole block here."""
        index = _index_of(event)
        if index in self._blocks or not self._message:
            raise ended_early(_NAME, f"content block {index} came out of order")
        block = self._blocks[index] = _Block(write_members(get_path(event, "content_block")) or {})
        whole = block.body.get("input")
        return self._show(index, block, dump_json(whole) if whole else get_text(block.body, "text"))

    def add_delta(self, event: Any) -> list[Delta]:
        """Take ``content_block_delta``."""
        index, delta = _index_of(event), get_path(event, "delta")
        block = self._open_block(index)
        kind = get_text(delta, "type")
        if kind == "citations_delta":
            citations = [*(block.body.get("citations") or ()), write_members(get_path(delta, "citation"))]
            block.body["citations"] = citations
        for name, member in _GROWING.get(kind, ()):
            block.grow(member, get_text(delta, name))
        return self._show(index, block, get_text(delta, "partial_json") or get_text(delta, "text"))

    def end_block(self, event: Any) -> list[Delta]:
        """Take ``content_block_stop``."""
        index = _index_of(event)
        block = self._open_block(index)
        block.is_over = True
        if not block.held:
            return []
        return [_delta(index, block.tool, restore_names("".join(block.held), self._renamed[block.tool]))]

    def _open_block(self, index: int) -> _Block:
        block = self._blocks.get(index)
        if block is None or block.is_over:
            raise ended_early(_NAME, f"a piece of content block {index} came out of order")
        return block

    def change(self, event: Any) -> list[Delta]:
        """Take ``message_delta``: why the message ends, and what it has cost in all so far."""
        if not self._message:
            raise ended_early(_NAME, "its beginning is missing")
        usage: dict[str, Any] = {**(self._message.get("usage") or {})}
        usage |= {name: write_members(value) for name, value in members_of(get_path(event, "usage") or {})}
        others = {name: value for name, value in members_of(event) if name not in ("type", "delta", "usage")}
        for name, value in (*others.items(), *members_of(get_path(event, "delta") or {})):
            self._message[name] = write_members(value)
        self._message["usage"] = usage
        return []

    def fail(self, event: Any) -> list[Delta]:
        """Take ``error``."""
        fault = get_path(event, "error")
        reason = get_text(fault, "message") or "The provider sent an error. Ask again."
        raise ProviderError(_NAME, reason, code=get_text(fault, "type"))

    def _show(self, index: int, block: _Block, text: str) -> list[Delta]:
        if block.tool not in self._renamed:
            return [_delta(index, block.tool, text)]
        block.held.append(text)
        return []


def _index_of(event: Any) -> int:
    index = get_path(event, "index")
    return index if isinstance(index, int) else 0


def _delta(index: int, tool: str, text: str) -> Delta:
    return Delta(index if tool else TEXT, tool, text)


_EVENTS: dict[str, Callable[[MessageFold, Any], list[Delta]]] = {
    "message_start": MessageFold.begin,
    "content_block_start": MessageFold.begin_block,
    "content_block_delta": MessageFold.add_delta,
    "content_block_stop": MessageFold.end_block,
    "message_delta": MessageFold.change,
    "error": MessageFold.fail,
}

MESSAGE_STREAMING = Streaming(
    "messages.create", {"stream": True}, MessageFold, tool_arguments={"eager_input_streaming": True}
)
