"""Reading the JSON of an answer, as it is or as it was plainly meant.

Models wrap JSON in code fences, write line breaks inside strings, encode it twice or put it below the tool's name.
Asking again costs a paid request that a stubborn model answers in the same way, so that such text is read at once, but
only where it can mean one thing. Where two readings are possible they stay as they are, which isn't JSON, and validation
tells the model so. Text that is valid JSON is always returned character by character.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

import orjson

from instructor.wires.references import expand_root
from instructor.wires.spec import ToolSpec
from instructor.wires.text import parse_json

_BLANK = "\ufeff \t\r\n"
"""Whitespace of JSON, and the byte order mark that some servers send first."""
_DECODER = json.JSONDecoder()
_OPENER = re.compile(r"[{\[]")
_JSON_LIKE = re.compile(r'\{\s*(?:\\*"|\})|\[\s*(?:\\*"|[{\[\]])')
"""How JSON begins, also JSON within a JSON string, as opposed to a bracket in prose."""
_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+("?)|[{}\[\]]', re.DOTALL)
"""A string, whose closing quote is the group, or a bracket."""
_BRACKET = re.compile(r"[{}\[\]]")
_FENCE = re.compile(r"```[ \t]*(?:json\s*|[\w-]*[ \t]*\n\s*)\Z", re.IGNORECASE)
_FENCE_REACH = 40
_FENCED = re.compile(r"```[ \t]*(?:[\w-]*[ \t]*\n|json\b)(.*)```", re.DOTALL | re.IGNORECASE)
_REASONING_BEGINS = re.compile(r"\s*<(?:think|thinking|thought|reasoning)>")
_REASONING_ENDS = re.compile(r"</(?:think|thinking|thought|reasoning)>")
_PIECE = re.compile(
    r"""(?P<string>"[^"\\]*+(?:\\[^\x00-\x1f][^"\\]*+)*+")|".*|(?P<comma>,)(?=\s*[}\]])|[^",]+|.""", re.DOTALL
)
"""A string, all that follows the quote of a broken string, a comma before a closing bracket, or anything else.

A backslash before a control character isn't an escape. A string that holds one is as broken as one without an end.
Nothing can be mended then, so that the rest is taken whole: to look for strings in it takes the square of its length.
"""
_CONTROL = re.compile(r"[\x00-\x1f]")
_CALL = re.compile(r'"(arguments|parameters)"\s*:\s*(?=\{)')
_CALL_NAMES = ("name", "type", "arguments", "parameters")
"""The members with which a call that was written as text may begin."""
_WRAPPERS = ("properties", "parameters", "arguments")
"""Words of the schema itself under which models put their answer at times, beside the tool's own name."""


class _Candidate(NamedTuple):
    """A part of a text that may be the answer. A greater one is more likely to be."""

    is_fenced: bool
    is_object: bool
    is_valid: bool
    start: int
    end: int


def read_text_answer(text: str, spec: ToolSpec | None = None) -> str | None:
    r"""Read the answer in a text that a model wrote: the one value in it.

    What a reasoning model thought aloud (``<think>...</think>``) does not count. A value in a code fence beats one
    beside it, and an object beats an array. Where several of the best differ, which one is meant is anybody's guess, and
    the first one is what a stream has shown by then. So all of them are returned, with what stands between them, for
    validation to refuse.

    Returns JSON that can't be read as the model wrote it; None if there is none. Without `spec` nothing is taken out of
    a wrapper.

    Example:
        >>> read_text_answer('Sure! ```json\n{"a": "one\ntwo",}\n```')
        '{"a": "one\\ntwo"}'
    """
    body = _read_whole(text.strip(_BLANK))
    if body is None:
        answer = _peel(text)
        body = _read_whole(answer) or _choose(answer, _likeliest(answer, _candidates(answer)))
    return None if body is None else _unwrap(body, spec)


def read_arguments(text: str, spec: ToolSpec | None = None) -> str:
    r"""Read the arguments of a tool call. Unlike text they should hold one value and nothing else.

    Returns them as they came where they can't be read, or where values that differ are in them. Without `spec` nothing is
    taken out of a wrapper.

    Example:
        >>> read_arguments(r'"{\"a\": 1}"')
        '{"a": 1}'
    """
    body = _read_whole(text.strip(_BLANK))
    if body is None:
        answer = _peel(text)
        body = _read_whole(answer) or _choose(answer, list(_candidates(answer)))
    return _unwrap(text if body is None else body, spec)


def find_json(text: str) -> str | None:
    r"""Find the JSON that a model wrote among other text.

    What a reasoning model thought aloud (``<think>...</think>``) does not count. Of several values, a fenced one beats
    a bare one, an object beats an array, and a later one beats an earlier one, since models correct themselves.
    What begins like JSON but is broken is returned as a whole, so that the model is shown the error:
    a part of it would be an answer that nobody gave.

    Returns the object or array character by character as it stands in the text; None if there is none.

    Example:
        >>> find_json('Sure! ```json\n{"a": "}"}\n``` Anything else?')
        '{"a": "}"}'
    """
    answer = _skip_reasoning(text)
    best = max(_candidates(answer), default=None)
    return answer[best.start : best.end] if best else None


def _peel(text: str) -> str:
    """Take off what stands around an answer: a byte order mark, what the model thought aloud, the only code fence."""
    answer = _skip_reasoning(text.strip(_BLANK)).strip(_BLANK)
    fenced = _FENCED.search(answer) if answer.count("```") == 2 else None  # noqa: PLR2004 - where it begins and ends
    return fenced[1].strip(_BLANK) if fenced and parse_json(fenced[1]) is not None else answer


def _read_whole(text: str) -> str | None:
    """Read a text that is one JSON object or array, or a JSON string that holds one; None for any other text."""
    try:
        value: Any = orjson.loads(text)
    except orjson.JSONDecodeError:  # it may hold what only Python's slower parser reads, such as NaN
        value = parse_json(text)
    if isinstance(value, (dict, list)):
        return text
    # Encoded twice. No answer is a string alone, since every schema asks for an object.
    return read_text_answer(value) if isinstance(value, str) else None


def _likeliest(text: str, candidates: Iterable[_Candidate]) -> list[_Candidate]:
    """Leave out what stands beside a code fence, arrays beside objects, and beside JSON what isn't, such as a blank form."""
    found = list(candidates)
    best = max((one[:2] for one in found), default=None)
    found = [one for one in found if one[:2] == best]
    if len(found) == 1:
        return found
    return [one for one in found if _meaning(_read(text, one)) is not None] or found


def _choose(text: str, candidates: Sequence[_Candidate]) -> str | None:
    """Return the value that the candidates agree on; all of them where they differ."""
    if not candidates:
        return None
    found = [_read(text, one) for one in candidates]
    if len(found) == 1 or len({_meaning(one) or one for one in found}) == 1:
        return found[0]
    return text[candidates[0].start : candidates[-1].end]


def _read(text: str, candidate: _Candidate) -> str:
    found = text[candidate.start : candidate.end]
    return found if candidate.is_valid else mend(found)


def _meaning(text: str) -> str | None:
    """What two texts with the same data have in common; None for what isn't JSON."""
    try:
        value = parse_json(text)
        return None if value is None else json.dumps(value, sort_keys=True)
    except RecursionError:
        return text


def mend(text: str) -> str:
    """Escape control characters within strings and drop commas before a closing bracket.

    Returns the text unchanged if it isn't valid JSON even so.
    """
    pieces: list[str] = []
    before = ""  # the last character that isn't whitespace
    for found in _PIECE.finditer(text):
        piece = found[0]
        if found.lastgroup == "comma" and before not in ",[{:":
            continue
        if found.lastgroup == "string":
            piece = _CONTROL.sub(lambda control: json.dumps(control[0])[1:-1], piece)
        pieces.append(piece)
        before = piece.strip()[-1:] or before
    mended = "".join(pieces)
    return text if parse_json(mended) is None else mended


def _unwrap(text: str, spec: ToolSpec | None) -> str:
    """Take an answer out of an object whose only member is named after the tool, or after a word of the schema.

    It is done only where the object can't be the answer as it stands: it lacks what the schema requires, or has what
    the schema refuses, while the member has all that is required.
    """
    if spec is None:
        return text
    # Only an object that begins with such a name is parsed once more: most answers don't.
    first = _read_first_name(text)
    # Many answers begin with "name", but hardly any has the tool's name too, so that few are parsed once more.
    called = _read_call(text, spec) if first in _CALL_NAMES and f'"{spec.name}"' in text else None
    if called is not None:
        return called
    value = parse_json(text) if first == spec.name or first in _WRAPPERS else None
    if not isinstance(value, dict) or len(cast("dict[str, Any]", value)) != 1:
        return text
    [(name, inner)] = cast("dict[str, Any]", value).items()
    schema = expand_root(spec.schema)
    required: list[str] = schema.get("required", [])
    is_wrapper = name not in schema.get("properties", {})
    is_refused = bool(required) or schema.get("additionalProperties") is False
    if not (is_wrapper and is_refused and isinstance(inner, Mapping) and set(required) <= inner.keys()):
        return text
    start = text.index(":", _decode(text, text.index('"'))) + 1
    start += len(text[start:]) - len(text[start:].lstrip(_BLANK))
    return text[start : _decode(text, start)]


def _read_call(text: str, spec: ToolSpec) -> str | None:
    """Read the arguments of a tool call that was written as text: ``{"name": "User", "arguments": {...}}``."""
    found = _CALL.search(text)
    if found is None:
        return None
    value: Any = parse_json(text)
    properties = expand_root(spec.schema).get("properties", {})
    if not isinstance(value, dict) or "arguments" in properties or "parameters" in properties:
        return None
    inner = text[found.end() : _decode(text, found.end())]
    call = {"name": spec.name, found[1]: parse_json(inner)}
    return inner if value in (call, {**call, "type": "function"}) else None


def _read_first_name(text: str) -> Any:
    start = text.find('"') + 1
    name = text[start : text.find('"', start)]
    return parse_json(f'"{name}"') if "\\" in name else name


def _skip_reasoning(text: str) -> str:
    if text.lstrip()[:1] in {"{", "["}:
        return text
    end = _REASONING_ENDS.search(text)
    if end:  # some chat templates open the tag in the prompt, so that only its end is seen
        return text[end.end() :]
    return "" if _REASONING_BEGINS.match(text) else text


def _candidates(text: str) -> Iterator[_Candidate]:
    position, before, is_fenced = 0, 0, False
    while opener := _OPENER.search(text, position):
        start = opener.start()
        end = _decode(text, start)
        is_valid = end > start
        if not is_valid and _JSON_LIKE.match(text, start):
            end = _balance(text, start)
        if end > start:
            begins = _FENCE.search(text, max(0, start - _FENCE_REACH), start) is not None
            is_fenced = begins or (is_fenced and "```" not in text[before:start])
            before = end
            yield _Candidate(is_fenced, text[start] == "{", is_valid, start, end)
        position = max(end, start + 1)


def _decode(text: str, start: int) -> int:
    """Return where the JSON that begins at `start` ends; `start` itself where there is none."""
    try:
        return _DECODER.raw_decode(text, start)[1]
    except (ValueError, RecursionError):
        return start


def _balance(text: str, start: int) -> int:
    """Return where the bracket at `start` is closed, not counting those within strings; else the end of the text."""
    depth = 0
    for token in _tokens(text, start):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(token.group(), 0)
        if depth == 0:
            return token.end()
    return len(text)


def _tokens(text: str, start: int) -> Iterator[re.Match[str]]:
    """Yield strings and brackets. Where a string isn't closed no later one is, so that only brackets are left."""
    for token in _TOKEN.finditer(text, start):
        if token[1] == "":
            yield from _BRACKET.finditer(text, token.start())
            return
        yield token
