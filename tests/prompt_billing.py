"""What vendors charge for a prompt, by their published rules, as pure functions over request bodies.

Written apart from `instructor.prompt_caching`, so that a mistake in one isn't made in the other as well.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Bill(NamedTuple):
    """One request: its tokens, those of them that were read and written, those that could have been read, and the price."""

    tokens: int
    read: int
    written: int
    readable: int
    price: float


class Piece(NamedTuple):
    """One block: the hash and the tokens of all up to its end, and the lifetime that its mark names."""

    prefix: str
    tokens: int
    mark: str | None


def count(value: Any) -> int:
    return max(1, len(json.dumps(value, ensure_ascii=False)) // 4)


def chain(values: Iterator[tuple[Any, str | None]]) -> list[Piece]:
    """Hash values one after the other; one without a mark and with no tokens, a note, is a tuple."""
    digest, tokens, pieces = hashlib.sha256(), 0, []
    for value, mark in values:
        digest.update(json.dumps(value, ensure_ascii=False, sort_keys=True).encode())
        if isinstance(value, tuple):
            continue
        tokens += count(value)
        pieces.append(Piece(digest.hexdigest(), tokens, mark))
    return pieces


def as_blocks(content: Any, kind: str = "text") -> list[Any]:
    return [{"type": kind, "text": content}] if isinstance(content, str) else list(content or ())


def without(block: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in block.items() if key != name}


def claude_pieces(request: dict[str, Any]) -> list[Piece]:
    """Tools -> system -> messages; a tool choice and thinking change the messages, a response format everything."""

    def read(blocks: list[Any]) -> Iterator[tuple[Any, str | None]]:
        for block in blocks:
            mark = block.get("cache_control")
            assert mark is None or (block.get("type") != "thinking" and block.get("text", "x").strip())
            yield without(block, "cache_control"), mark and mark.get("ttl", "5m")

    def values() -> Iterator[tuple[Any, str | None]]:
        yield ("head", request["model"], (request.get("extra_body") or {}).get("output_config")), None
        yield from read(request.get("tools", []))
        yield from read(as_blocks(request.get("system")))
        yield ("beside", request.get("tool_choice"), request.get("thinking")), None
        for message in request["messages"]:
            yield ("role", message["role"]), None
            yield from read(as_blocks(message["content"]))

    return chain(values())


def openai_pieces(request: dict[str, Any]) -> list[Piece]:
    """The schema, tools and messages; of the tool choices only ``allowed_tools`` and a word leave the prefix as it is."""

    def values() -> Iterator[tuple[Any, str | None]]:
        choice = request.get("tool_choice")
        kept = None if isinstance(choice, str) or (choice or {}).get("type") == "allowed_tools" else choice
        yield ("head", request["model"], request.get("response_format"), request.get("text"), kept), None
        yield from ((tool, None) for tool in request.get("tools", []))
        for item in request.get("input", request.get("messages", [])):
            yield ("item", without(item, "content")), None
            for block in as_blocks(item.get("content")):
                mark = block.get("prompt_cache_breakpoint")
                kind = {**without(block, "prompt_cache_breakpoint"), "type": "text"}
                yield kind, "30m" if mark else None

    return chain(values())


_SECONDS = {"5m": 300.0, "30m": 1800.0, "1h": 3600.0}


@dataclass
class Billing:
    """One vendor's rules and what it keeps at the moment."""

    pieces: Any
    minimum: int = 1024
    lookback: int = 20
    write: dict[str, float] = field(default_factory=lambda: {"5m": 1.25, "1h": 2.0})
    ends: str | None = None
    kept: dict[str, float] = field(default_factory=dict)
    seen: dict[str, float] = field(default_factory=dict)

    def bill(self, request: dict[str, Any], now: float) -> Bill:
        pieces = self.pieces(request)
        marks = [at for at, piece in enumerate(pieces) if piece.mark]
        assert len(marks) <= 4 - bool(request.get("cache_control")), "the vendor refuses more than four"
        spans = [_SECONDS[pieces[at].mark or ""] for at in marks]
        assert spans == sorted(spans, reverse=True), "the vendor refuses a longer lifetime behind a shorter one"
        if self.ends is not None:  # an implicit breakpoint at the end
            pieces[-1] = pieces[-1]._replace(mark=self.ends)
            marks = sorted({*marks, len(pieces) - 1})
        near = {at - back for at in marks for back in range(self.lookback + 1)}
        hits = [at for at in near if at >= 0 and self.kept.get(pieces[at].prefix, 0) > now]
        read = pieces[max(hits)].tokens if hits else 0
        price, last = read * 0.1, read
        for at in marks:
            piece = pieces[at]
            if piece.tokens < self.minimum:
                continue
            self.kept[piece.prefix] = max(self.kept.get(piece.prefix, 0), now + _SECONDS[piece.mark or ""])
            if piece.tokens > last:
                price, last = price + (piece.tokens - last) * self.write[piece.mark or ""], piece.tokens
        if hits:
            hit = pieces[max(hits)].prefix
            self.kept[hit] = max(self.kept[hit], now + min(_SECONDS[name] for name in self.write))
        ready = [
            piece.tokens for piece in pieces if self.seen.get(piece.prefix, 0) > now and piece.tokens >= self.minimum
        ]
        window = min(_SECONDS[name] for name in self.write)
        self.seen.update((piece.prefix, now + window) for piece in pieces)
        whole = pieces[-1].tokens
        return Bill(whole, read, last - read, max(ready, default=0), price + whole - last)


def bill_claude(minimum: int = 1024) -> Billing:
    """Anthropic's rules: platform.claude.com/docs/en/build-with-claude/prompt-caching."""
    return Billing(claude_pieces, minimum)


def bill_openai() -> Billing:
    """OpenAI's from GPT-5.6 on: an implicit breakpoint at the end, no lookback, writes at 1.25."""
    return Billing(openai_pieces, lookback=0, write={"30m": 1.25}, ends="30m")
