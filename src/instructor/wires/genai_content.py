"""The conversation in the form of ``google-genai``: contents that hold parts."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from mimetypes import guess_type
from typing import Any
from urllib.parse import urlsplit

from instructor.describing import refuse
from instructor.wires.arguments import name_message, read_parts
from instructor.wires.content import SYSTEM_ROLES, is_list, is_mapping, read_call, read_url, split_data_url
from instructor.wires.text import get_path, get_text

Part = dict[str, Any]

_ROLES = {"assistant": "model"}
_NO_SIGNATURE = b64encode(b"skip_thought_signature_validator").decode()
"""What the API asks for in place of the signature of a function call that it did not make itself,
see https://ai.google.dev/gemini-api/docs/thought-signatures."""


def split_system(messages: Iterable[Any], instruction: Any) -> tuple[list[Any], list[Any]]:
    """Take the system prompts out of a conversation.

    The pieces of the system prompt are each text or a part. `instruction` is the caller's ``system_instruction``: text,
    a part, a content, or a list of parts.
    """
    system = list(_write_system(instruction))
    turns: list[Any] = []
    for message in messages:
        if is_mapping(message) and message.get("role") in SYSTEM_ROLES:
            system.extend(_write_system(message.get("parts") or message.get("content")))
        else:
            turns.append(message)
    return system, turns


def gather_contents(turns: Sequence[Any], others: Any) -> list[Any]:
    """Write the conversation, followed by `others`, the caller's ``contents``."""
    names = {name: called for turn in turns for name, called in _name_calls(turn)}
    contents: list[Any] = []
    for are_results, group in groupby(turns, _is_result):
        if are_results:  # the API wants the results of one turn's calls in one content
            contents.append({"role": "user", "parts": [_write_result(turn, names) for turn in group]})
        else:
            contents.extend(_write_content(turn) for turn in group)
    if others is None:
        return contents
    return [*contents, *others] if is_list(others) else [*contents, others]


@name_message
def _name_calls(turn: Any) -> list[tuple[str, str]]:
    return [(call["id"], call["function"]["name"]) for call in _calls_of(turn) if "id" in call]


def _write_system(prompt: Any) -> Iterable[Any]:
    if not prompt:
        return ()
    if isinstance(prompt, int | float):
        raise refuse("system_instruction, or a system message,", prompt, "text, a part, or a list of them")
    if isinstance(prompt, list | tuple | str):
        return _write_parts(prompt)
    parts = prompt.get("parts") if is_mapping(prompt) else get_path(prompt, "parts")
    return (prompt,) if parts is None else parts


def _calls_of(turn: Any) -> Sequence[Mapping[str, Any]]:
    return (turn.get("tool_calls") or ()) if is_mapping(turn) else ()


def _is_result(turn: Any) -> bool:
    return is_mapping(turn) and turn.get("role") == "tool" and "parts" not in turn


@name_message
def _write_content(turn: Any) -> Any:
    if not is_mapping(turn) or "parts" in turn or "role" not in turn:
        return turn
    calls = [_write_call(call, is_first=not index) for index, call in enumerate(_calls_of(turn))]
    texts = [_as_part(part) for part in _write_parts(turn.get("content") or "")]
    return {"role": _ROLES.get(turn["role"], turn["role"]), "parts": [*texts, *calls]}


def _as_part(part: Any) -> Any:
    return {"text": part} if isinstance(part, str) else part


def _write_parts(content: Any) -> Sequence[Any]:
    """Write content in either form as parts; the SDK takes text as a part."""
    if isinstance(content, str):
        return (content,) if content else ()
    return [_write_part(part) for part in read_parts(content)]


def _write_part(part: Any) -> Any:
    write = _PARTS.get(part.get("type", "")) if is_mapping(part) else None
    return write(part) if write else part


def _write_text(part: Mapping[str, Any]) -> Any:
    return part["text"]


def _write_image(part: Mapping[str, Any]) -> Part:
    return _write_url(read_url(part))


def _write_audio(part: Mapping[str, Any]) -> Part:
    sound = part["input_audio"]
    return {"inline_data": {"mime_type": f"audio/{sound['format']}", "data": sound["data"]}}


def _write_file(part: Mapping[str, Any]) -> Part:
    file = part["file"]
    return _write_url(file.get("file_data") or file["file_id"])


def _write_url(url: str) -> Part:
    data = split_data_url(url)
    if data:
        return {"inline_data": {"mime_type": data[0], "data": data[1]}}
    media_type = guess_type(urlsplit(url).path)[0]
    return {"file_data": {"file_uri": url, **({"mime_type": media_type} if media_type else {})}}


_PARTS = {
    "text": _write_text,
    "image_url": _write_image,
    "input_audio": _write_audio,
    "file": _write_file,
}
"""Parts of OpenAI's form. Google's own have no ``type``."""


def _write_call(call: Mapping[str, Any], *, is_first: bool) -> Part:
    identifier, name, arguments = read_call(call)
    identified = {"id": identifier} if identifier else {}
    signed = {"thought_signature": _NO_SIGNATURE} if is_first else {}
    return {"function_call": {**identified, "name": name, "args": arguments}, **signed}


@name_message
def _write_result(message: Mapping[str, Any], names: Mapping[str, str]) -> Part:
    identifier = message.get("tool_call_id") or ""
    identified = {"id": identifier} if identifier else {}
    parts = [_as_part(part) for part in _write_parts(message.get("content") or "")]
    output = "".join(get_text(part, "text") for part in parts)
    media = [part for part in parts if get_path(part, "text") is None]
    name = names.get(identifier) or message.get("name") or identifier
    response = {**identified, "name": name, "response": {"output": output}}
    return {"function_response": {**response, "parts": media} if media else response}
