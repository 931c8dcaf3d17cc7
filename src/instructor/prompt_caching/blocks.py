"""The blocks of a prompt in the order in which a vendor reads them, and how each wire format marks the end of a prefix."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from instructor.messages import Request
from instructor.wires.content import is_list, is_mapping

Path = tuple[str, ...]

TOOLS, SYSTEM, TURNS = "tools", "system", "messages"

_MEDIUM_CHARACTERS = 6400
"""What an image or a file is taken for: its size in bytes says nothing about its tokens."""
_MEDIA = frozenset({"image", "image_url", "input_image", "document", "file", "input_file", "input_audio", "video"})


class Block(NamedTuple):
    """One block of a prompt.

    Attributes:
        level: Whether it is one of the tools, the system prompt or the turns.
        turn: The number of its turn; -1 outside of the turns.
        at: Its number within that.
        role: Whose turn it is.
        value: What it holds, without a mark.
        prefix: A hash of all up to its end.
        characters: How many characters that is.
        marks: The lifetimes that the marks in it name, the last of them at its end.
        can_mark: Whether a mark may stand at its end.
    """

    level: str
    turn: int
    at: int
    role: str
    value: Any
    prefix: bytes
    characters: int
    marks: tuple[str, ...]
    can_mark: bool

    @property
    def mark(self) -> str | None:
        """The lifetime that a mark at its end names; None without one."""
        return self.marks[-1] if self.marks else None

    @property
    def name(self) -> str:
        """Where it stands in the request."""
        return f"{self.level}[{self.at}]" if self.turn < 0 else f"{self.level}[{self.turn}].content[{self.at}]"


@dataclass(frozen=True, slots=True)
class Marks:
    """How a wire format marks the end of a prefix.

    Attributes:
        member: The member of a block that is the mark; of a block of its own, for `is_apart`.
        default: The lifetime of a mark that names none.
        write: Makes the mark of a lifetime.
        text: The type of a block of text, empty where blocks have none.
        levels: Where marks may stand.
        roles: Whose turns may be marked; empty for everybody's.
        is_apart: Whether the mark is a block behind the one whose end it marks.
        unmarked: Types of blocks that may not be marked.
        deferring: The member of a tool that keeps it out of the prompt, so that it may not be marked.
        whole: Where a request may have a mark of its own, which stands for one at its end.
    """

    member: str
    default: str
    write: Callable[[str], Mapping[str, Any]]
    text: str = "text"
    levels: tuple[str, ...] = (TOOLS, SYSTEM, TURNS)
    roles: tuple[str, ...] = ()
    is_apart: bool = False
    unmarked: tuple[str, ...] = ()
    deferring: str = ""
    whole: tuple[Path, ...] = ()

    def make_text(self, text: str) -> dict[str, Any]:
        """Write a text as a block."""
        return {"type": self.text, "text": text} if self.text else {"text": text}


@dataclass(frozen=True, slots=True)
class Form:
    """Where a wire format has the blocks of a prompt.

    Attributes:
        head: Members that stand before all blocks, so that a change of one is a change of every prefix.
        tools: Where the tools are.
        system: Where the system prompt is; empty where it is a turn.
        turns: Where the turns are.
        beside: Members whose change leaves the tools and the system prompt, and no turn.
        marks: How the end of a prefix is marked.
    """

    head: tuple[Path, ...]
    tools: Path
    system: Path
    turns: Path
    beside: tuple[Path, ...]
    marks: Marks


def _write_openai(lifetime: str) -> Mapping[str, Any]:
    del lifetime  # the request's own, which is the only one for all its breakpoints
    return {"mode": "explicit"}


_INSTRUCTING = ("system", "developer", "user")
_OPENAI = Marks("prompt_cache_breakpoint", "30m", _write_openai, levels=(TURNS,), roles=_INSTRUCTING)
FORMS: Mapping[str, Form] = {
    "anthropic_messages": Form(
        (("model",), ("extra_body", "output_config")),
        ("tools",),
        ("system",),
        ("messages",),
        (("tool_choice",), ("thinking",)),
        Marks(
            "cache_control",
            "5m",
            lambda lifetime: {"type": "ephemeral", **({} if lifetime == "5m" else {"ttl": lifetime})},
            unmarked=("thinking", "redacted_thinking"),
            deferring="defer_loading",
            whole=(("cache_control",), ("extra_body", "cache_control")),
        ),
    ),
    "openai_chat": Form((("model",), ("response_format",)), ("tools",), (), ("messages",), (), _OPENAI),
    "openai_responses": Form(
        (("model",), ("instructions",), ("text",)),
        ("tools",),
        (),
        ("input",),
        (),
        Marks("prompt_cache_breakpoint", "30m", _write_openai, "input_text", (TURNS,), _INSTRUCTING),
    ),
    "bedrock_converse": Form(
        (("modelId",), ("outputConfig",)),
        ("toolConfig", "tools"),
        ("system",),
        ("messages",),
        (("toolConfig", "toolChoice"), ("additionalModelRequestFields",)),
        Marks(
            "cachePoint",
            "5m",
            lambda lifetime: {"type": "default", **({} if lifetime == "5m" else {"ttl": lifetime})},
            text="",
            is_apart=True,
        ),
    ),
}
"""By the wire's name. A wire that isn't here has no marks, and its requests stay as they are."""


def get_member(request: Mapping[str, Any], path: Path) -> Any:
    """Read a member of a request by its path; None where there is none."""
    value: Any = request
    for name in path:
        value = value.get(name) if is_mapping(value) else None
    return value


def set_member(request: Request, path: Path, value: Any) -> Request:
    """Copy a request with another value of one member."""
    first, *rest = path
    inner = set_member(dict(request.get(first) or {}), tuple(rest), value) if rest else value
    return {**request, first: inner}


class _Reader:
    """Walks through a request, and hashes what it meets."""

    def __init__(self, form: Form, request: Request) -> None:
        self._form = form
        self._hash = hashlib.blake2b(_dump([get_member(request, path) for path in form.head]), digest_size=16)
        self._characters = 0

    def note(self, value: Any) -> None:
        """Let a change of something that is no block change every prefix behind it."""
        self._hash.update(_dump(value))

    def read(self, level: str, content: Any, role: str = "", turn: int = -1) -> Iterator[Block]:
        """Read the blocks of a list, or of a text that is one block."""
        marks = self._form.marks
        blocks = content if is_list(content) else [content] if content else []
        for at, raw in enumerate(blocks):
            if marks.is_apart and is_mapping(raw) and marks.member in raw:
                continue
            value = {name: member for name, member in raw.items() if name != marks.member} if is_mapping(raw) else raw
            written = _dump(marks.make_text(value) if isinstance(value, str) else value)
            self._hash.update(written)
            self._characters += _MEDIUM_CHARACTERS if _is_medium(value) else len(written)
            found = _find_marks(marks, raw, blocks[at + 1] if at + 1 < len(blocks) else None)
            allowed = level in marks.levels and (not marks.roles or role in marks.roles)
            can_mark = allowed and _can_mark(marks, value)
            yield Block(level, turn, at, role, value, self._hash.digest(), self._characters, found, can_mark)


def read_blocks(form: Form, request: Request) -> list[Block]:
    """Read the blocks of a request in the order in which the vendor reads them."""
    reader = _Reader(form, request)
    blocks = [*reader.read(TOOLS, get_member(request, form.tools))]
    if form.system:
        blocks += reader.read(SYSTEM, get_member(request, form.system))
    reader.note([get_member(request, path) for path in form.beside])
    for number, turn in enumerate(_turns_of(form, request)):
        role = str(turn.get("role", ""))
        reader.note([role, *(value for name, value in sorted(turn.items()) if name not in ("role", "content"))])
        blocks += reader.read(TURNS, turn.get("content"), role, number)
    return _mark_end(form, request, blocks)


def _mark_end(form: Form, request: Request, blocks: list[Block]) -> list[Block]:
    """Count a mark of the whole request as one at its last block: there the vendor puts it."""
    ends = [mark for path in form.marks.whole if (mark := _read_mark(form.marks, get_member(request, path)))]
    last = next((at for at in reversed(range(len(blocks))) if blocks[at].can_mark), None)
    if ends and last is not None:
        blocks[last] = blocks[last]._replace(marks=(*blocks[last].marks, ends[-1]))
    return blocks


def _turns_of(form: Form, request: Request) -> list[Mapping[str, Any]]:
    turns = get_member(request, form.turns)
    return [turn if is_mapping(turn) else {"content": [turn]} for turn in turns] if is_list(turns) else []


def write_marks(form: Form, request: Request, chosen: Iterable[tuple[Block, str]]) -> Request:
    """Copy a request with marks at the ends of blocks, each with its lifetime. What isn't marked is shared."""
    # From the last to the first, because a mark that stands apart moves what is behind it.
    for block, lifetime in sorted(chosen, key=lambda one: (one[0].turn, one[0].at), reverse=True):
        path = {TOOLS: form.tools, SYSTEM: form.system, TURNS: form.turns}[block.level]
        content = get_member(request, path)
        if block.turn < 0:
            marked: Any = _mark(form.marks, content, block.at, lifetime)
        else:
            turn = content[block.turn]
            whole = {**turn, "content": _mark(form.marks, turn["content"], block.at, lifetime)}
            marked = [*content[: block.turn], whole, *content[block.turn + 1 :]]
        request = set_member(request, path, marked)
    return request


def _mark(marks: Marks, content: Any, at: int, lifetime: str) -> list[Any]:
    blocks: Sequence[Any] = content if is_list(content) else [content]
    block = marks.make_text(blocks[at]) if isinstance(blocks[at], str) else blocks[at]
    mark = {marks.member: marks.write(lifetime)}
    marked = [block, mark] if marks.is_apart else [{**block, **mark}]
    return [*blocks[:at], *marked, *blocks[at + 1 :]]


def _find_marks(marks: Marks, raw: Any, following: Any) -> tuple[str, ...]:
    """The marks in a block: those of what it holds, such as the texts of a tool's result, and its own."""
    inner = raw.get("content") if is_mapping(raw) and not marks.is_apart else None
    held = _marks_of(marks, inner) if is_list(inner) else ()
    return (*held, *_marks_of(marks, [following if marks.is_apart else raw]))


def _marks_of(marks: Marks, holders: Iterable[Any]) -> tuple[str, ...]:
    found = (_read_mark(marks, one.get(marks.member)) for one in holders if is_mapping(one))
    return tuple(mark for mark in found if mark)


def _read_mark(marks: Marks, mark: Any) -> str | None:
    """The lifetime that a mark names; None for what is no mark."""
    return None if not mark else str(mark.get("ttl") or marks.default) if is_mapping(mark) else marks.default


def _can_mark(marks: Marks, value: Any) -> bool:
    if isinstance(value, str):
        return bool(value.strip())
    if not is_mapping(value) or value.get("type") in marks.unmarked or value.get(marks.deferring):
        return False
    return "text" not in value or bool(str(value["text"]).strip())


def _is_medium(value: Any) -> bool:
    return is_mapping(value) and (value.get("type") in _MEDIA or not _MEDIA.isdisjoint(value))


def _dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, default=repr).encode("utf-8", "surrogatepass")
