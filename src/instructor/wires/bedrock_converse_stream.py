"""The events of Bedrock's ``converse_stream``, as botocore reads them: dicts with one member, which is the event's kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from instructor.exceptions import ProviderError
from instructor.messages import Request
from instructor.wires.folding import TEXT, Assembled, Delta, Streaming, ended_early
from instructor.wires.spec import ToolSpec
from instructor.wires.text import get_path, get_text, parse_json

_NAME = "bedrock_converse"


class _Block:
    """A content block that is being streamed."""

    __slots__ = ("citations", "is_over", "redacted", "signature", "start", "texts", "thoughts")

    def __init__(self, start: Mapping[str, Any]) -> None:
        self.start = start
        self.texts: list[str] = []
        self.thoughts: list[str] = []
        self.citations: list[Any] = []
        self.signature = ""
        self.redacted = b""
        self.is_over = False

    @property
    def tool(self) -> str:
        return get_text(self.start, "toolUse", "name")

    def think(self, delta: Mapping[str, Any]) -> None:
        """Take a piece of reasoning."""
        self.thoughts.append(get_text(delta, "text"))
        self.signature += get_text(delta, "signature")
        self.redacted += delta.get("redactedContent") or b""

    def settle(self) -> dict[str, Any]:
        """The block as it comes in an answer in one piece. A call's input that isn't an object stays text."""
        text = "".join(self.texts)
        if call := get_path(self.start, "toolUse"):
            value: Any = parse_json(text) if text else {}
            return {"toolUse": {**call, "input": value if isinstance(value, dict) else text}}
        if self.redacted:
            return {"reasoningContent": {"redactedContent": self.redacted}}
        if any(self.thoughts) or self.signature:
            signed = {"signature": self.signature} if self.signature else {}
            return {"reasoningContent": {"reasoningText": {"text": "".join(self.thoughts), **signed}}}
        if self.citations:
            return {"citationsContent": {"content": [{"text": text}], "citations": self.citations}}
        return {"text": text}


class ConverseFold:
    """A `Fold` of Converse's events. Their index tells blocks apart; only calls announce their beginning."""

    def __init__(self, request: Request | None = None, specs: Sequence[ToolSpec] = ()) -> None:
        del request, specs  # events say all that is needed
        self._role = ""
        self._blocks: dict[int, _Block] = {}
        self._body: dict[str, Any] = {}

    def add(self, chunk: Any) -> Sequence[Delta]:
        """Take an event; kinds that aren't known here change nothing."""
        deltas: list[Delta] = []
        for kind, event in chunk.items():
            take = _EVENTS.get(kind)
            if take is not None:
                deltas += take(self, event)
            elif kind.endswith("Exception"):
                reason = get_text(event, "message") or f"The provider sent a {kind}. Ask again."
                raise ProviderError(_NAME, reason, code=kind)
        return deltas

    def finish(self) -> Assembled:
        """Put the completion together."""
        if not self._body.get("stopReason") or not self._role:
            raise ended_early(_NAME)
        if not all(block.is_over for block in self._blocks.values()):
            raise ended_early(_NAME, "a content block has no end")
        content = [block.settle() for _, block in sorted(self._blocks.items())]
        return Assembled(
            "ConverseResponse", {"output": {"message": {"role": self._role, "content": content}}, **self._body}
        )

    def begin(self, event: Any) -> list[Delta]:
        """Take ``messageStart``."""
        if self._role:
            raise ended_early(_NAME, "a second message began")
        self._role = get_text(event, "role")
        return []

    def begin_block(self, event: Any) -> list[Delta]:
        """Take ``contentBlockStart``."""
        self._blocks[event["contentBlockIndex"]] = _Block(event["start"])
        return []

    def add_delta(self, event: Any) -> list[Delta]:
        """Take ``contentBlockDelta``."""
        index, delta = event["contentBlockIndex"], event["delta"]
        block = self._blocks.get(index) or self._blocks.setdefault(index, _Block({}))
        if block.is_over:
            raise ended_early(_NAME, f"a piece of content block {index} came out of order")
        if "reasoningContent" in delta:
            block.think(delta["reasoningContent"])
            return []
        if "citation" in delta:
            block.citations.append(delta["citation"])
            return []
        text = get_text(delta, "text") or get_text(delta, "toolUse", "input")
        block.texts.append(text)
        return [Delta(index if block.tool else TEXT, block.tool, text)]

    def end_block(self, event: Any) -> list[Delta]:
        """Take ``contentBlockStop``."""
        block = self._blocks.get(event["contentBlockIndex"])
        if block is not None:
            block.is_over = True
        return []

    def stop(self, event: Any) -> list[Delta]:
        """Take ``messageStop``, or ``metadata`` after it, which counts tokens."""
        self._body |= event
        return []


_EVENTS: Mapping[str, Callable[[ConverseFold, Any], list[Delta]]] = {
    "messageStart": ConverseFold.begin,
    "contentBlockStart": ConverseFold.begin_block,
    "contentBlockDelta": ConverseFold.add_delta,
    "contentBlockStop": ConverseFold.end_block,
    "messageStop": ConverseFold.stop,
    "metadata": ConverseFold.stop,
}

CONVERSE_STREAMING = Streaming("converse_stream", {}, ConverseFold)
