"""One prefix for several response models: the tools of all of them in one order, and the document before what differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from instructor.messages import Request
from instructor.prompt_caching.blocks import Form, get_member, set_member
from instructor.wires.content import SYSTEM_ROLES, is_list, is_mapping

_ASK = "Answer from the document in the system prompt."
"""What is left to say where the document was all of the message."""


def share_tools(form: Form, request: Request, own: Sequence[Any], union: Sequence[Any]) -> Request:
    """Offer the tools of all response models in place of our own, which stand behind the caller's."""
    tools = list(get_member(request, form.tools) or ())
    if not own or tools[-len(own) :] != list(own):
        return request
    return set_member(request, form.tools, [*tools[: -len(own)], *union])


def narrow_choice(wire: str, request: Request, own: Sequence[Any], repeats: bool) -> Request:
    """Let the model choose from our own tools alone, in the way that leaves the prefix as it is."""
    narrow = _NARROW.get(wire)
    return request if narrow is None else narrow(request, own, repeats)


def _narrow_chat(request: Request, own: Sequence[Any], repeats: bool) -> Request:
    del repeats
    tools = [{"type": "function", "function": {"name": tool["function"]["name"]}} for tool in own]
    strength = _strength_of(request.get("tool_choice"))
    if strength is None:
        return request
    return {**request, "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": strength, "tools": tools}}}


def _narrow_responses(request: Request, own: Sequence[Any], repeats: bool) -> Request:
    del repeats
    tools = [{"type": "function", "name": tool["name"]} for tool in own]
    strength = _strength_of(request.get("tool_choice"))
    return (
        request
        if strength is None
        else {**request, "tool_choice": {"type": "allowed_tools", "mode": strength, "tools": tools}}
    )


def _narrow_claude(request: Request, own: Sequence[Any], repeats: bool) -> Request:
    # Of several tools a model can be held to one only; that one may be called any number of times.
    if repeats and len(own) == 1 and request.get("tool_choice", {}).get("type") == "any":
        return {**request, "tool_choice": {"type": "tool", "name": own[0]["name"]}}
    return request


_NARROW = {"openai_chat": _narrow_chat, "openai_responses": _narrow_responses, "anthropic_messages": _narrow_claude}


def _strength_of(choice: Any) -> str | None:
    """How strongly the model is asked to call a tool; None where the caller has chosen in another way."""
    if is_mapping(choice):
        return "required" if choice.get("type") == "function" else None
    return choice if choice in ("auto", "required") else None


def raise_document(form: Form, request: Request) -> Request:
    """Put the document first in the system prompt, where a vendor has one apart: a choice of tools changes the turns.

    The document is all that the user says before its last block. Media stay where they are.
    """
    turns: list[Mapping[str, Any]] = list(get_member(request, form.turns) or ())
    if not form.system or not turns or any(turn.get("role") != "user" for turn in turns):
        return request
    blocks = [block for turn in turns for block in _blocks_of(form, turn["content"])]
    if not all(is_mapping(block) and "text" in block for block in blocks):
        return request
    *documents, question = blocks
    if not documents:
        documents, question = [question], form.marks.make_text(_ASK)
    system = _blocks_of(form, get_member(request, form.system) or [])
    request = set_member(request, form.system, [*documents, *system])
    return set_member(request, form.turns, [{"role": "user", "content": [question]}])


def lower_instruction(form: Form, request: Request, instructions: Sequence[str]) -> Request:
    """Put what asks for this response model behind the document: the wires have it at the end of the system prompt."""
    return _lower_apart(form, request, instructions) if form.system else _lower_turn(form, request, instructions)


def _lower_apart(form: Form, request: Request, instructions: Sequence[str]) -> Request:
    """Put it at the end of the last turn, where the system prompt is apart from the turns."""
    system = _blocks_of(form, get_member(request, form.system) or [])
    turns: list[Any] = list(get_member(request, form.turns) or ())
    text = system[-1].get("text") if system and is_mapping(system[-1]) else None
    found = _find_end(text, instructions)
    if found is None or not turns or turns[-1].get("role") != "user":
        return request
    left = str(text)[: -len(found)].rstrip("\n")
    system = [*system[:-1], *([{**system[-1], "text": left}] if left else [])]
    request = set_member(request, form.system, system)
    if not system:
        request = {name: value for name, value in request.items() if name != form.system[0]}
    content = [*_blocks_of(form, turns[-1]["content"]), form.marks.make_text(found)]
    return set_member(request, form.turns, [*turns[:-1], {**turns[-1], "content": content}])


def _lower_turn(form: Form, request: Request, instructions: Sequence[str]) -> Request:
    """Make it the last turn, where the system prompt is the first one."""
    turns: list[Any] = list(get_member(request, form.turns) or ())
    if not turns or not is_mapping(turns[0]) or turns[0].get("role") not in SYSTEM_ROLES:
        return request
    content = turns[0].get("content")
    found = _find_end(content, instructions)
    if found is None:
        return request
    left = str(content)[: -len(found)].rstrip("\n")
    first = [{**turns[0], "content": left}] if left else []
    return set_member(request, form.turns, [*first, *turns[1:], {**turns[0], "content": found}])


def _find_end(text: object, instructions: Sequence[str]) -> str | None:
    return next((one for one in instructions if one and isinstance(text, str) and text.endswith(one)), None)


def _blocks_of(form: Form, content: Any) -> list[Any]:
    blocks = content if is_list(content) else [content] if content else []
    return [form.marks.make_text(block) if isinstance(block, str) else block for block in blocks]
