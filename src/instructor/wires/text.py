"""The text that wires share: finding JSON in what a model wrote, asking for JSON, and telling a model its errors."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast

import orjson
import pydantic

from instructor.exceptions import AsyncValidationError

_DECODER = json.JSONDecoder()
_OPENER = re.compile(r"[{\[]")
_JSON_LIKE = re.compile(r'\{\s*["}]|\[\s*["{\[\]]')
"""How JSON begins, as opposed to a bracket in prose."""
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]]', re.DOTALL)
_FENCE = re.compile(r"```[ \t]*(?:json\s*|[\w-]*[ \t]*\n\s*)\Z", re.IGNORECASE)
_FENCE_REACH = 40
_REASONING_BEGINS = re.compile(r"\s*<(?:think|thinking|thought|reasoning)>")
_REASONING_ENDS = re.compile(r"</(?:think|thinking|thought|reasoning)>")
_SHORT = 120
_MOST_ERRORS = 25


class _Candidate(NamedTuple):
    """A part of a text that may be the answer. The greatest one is it."""

    is_fenced: bool
    is_object: bool
    is_valid: bool
    start: int
    end: int


def find_json(text: str) -> str | None:
    r"""Find the JSON that a model wrote among other text.

    What a reasoning model thought aloud (``<think>...</think>``) does not count. Of several values, a fenced one beats
    a bare one, an object beats an array, and a later one beats an earlier one, since models correct themselves.
    What begins like JSON but is broken is handed over as a whole, for the error to be told to the model:
    a part of it would be an answer that nobody gave.

    Args:
        text: What the model wrote.

    Returns:
        The object or array, character by character as it stands in the text; None if there is none.

    Example:
        >>> find_json('Sure! ```json\n{"a": "}"}\n``` Anything else?')
        '{"a": "}"}'
    """
    answer = _skip_reasoning(text)
    best = max(_candidates(answer), default=None)
    return answer[best.start : best.end] if best else None


def _skip_reasoning(text: str) -> str:
    if text.lstrip()[:1] in {"{", "["}:
        return text
    end = _REASONING_ENDS.search(text)
    if end:  # some chat templates open the tag in the prompt, so that only its end is seen
        return text[end.end() :]
    return "" if _REASONING_BEGINS.match(text) else text


def _candidates(text: str) -> Iterator[_Candidate]:
    position = 0
    while opener := _OPENER.search(text, position):
        start = opener.start()
        end = _decode(text, start)
        is_valid = end > start
        if not is_valid and _JSON_LIKE.match(text, start):
            end = _balance(text, start)
        if end > start:
            is_fenced = _FENCE.search(text, max(0, start - _FENCE_REACH), start) is not None
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
    for token in _TOKEN.finditer(text, start):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(token.group(), 0)
        if depth == 0:
            return token.end()
    return len(text)


def ask_for_json(schema: Mapping[str, Any], *, fenced: bool = False) -> str:
    """Write the instruction that makes a model answer in JSON.

    Args:
        schema: What the answer must fit.
        fenced: Ask for a fenced code block, for a model or an endpoint that promises nothing.
    """
    form = "one ```json code block that holds a JSON object" if fenced else "one JSON object"
    return (
        f"Answer with {form} that fits the JSON Schema below, and with nothing else. "
        f"Give the values themselves, not the schema.\n\n{dump_json(schema)}"
    )


def describe_error(error: Exception) -> str:
    """Emit a model what was wrong with its answer, one problem per line.

    Args:
        error: What validating or reading the answer raised.

    Returns:
        For a `pydantic.ValidationError` a line per problem: where, what, and the value given, shortened;
        at most 25 lines. For any other error its message.

    Example:
        >>> describe_error(ValueError("The name must have two words."))
        'The name must have two words.'
    """
    if isinstance(error, pydantic.ValidationError):
        return _describe_problems(error)
    if isinstance(error, AsyncValidationError) and error.errors:
        return "\n".join(f"- {describe_error(problem)}" for problem in error.errors)
    return str(error) or type(error).__name__


def _describe_problems(error: pydantic.ValidationError) -> str:
    problems = error.errors(include_url=False, include_context=False)
    lines = [_describe_problem(problem) for problem in problems[:_MOST_ERRORS]]
    if len(problems) > _MOST_ERRORS:
        lines.append(f"- and {len(problems) - _MOST_ERRORS} more")
    return "\n".join(lines)


def _describe_problem(problem: Mapping[str, Any]) -> str:
    place = ".".join(str(part) for part in problem["loc"]) or "the answer"
    if problem["type"] == "missing":  # its input is all that stands around the gap
        return f"- {place}: {problem['msg']}"
    return f"- {place}: {problem['msg']} (given: {shorten(_show(problem['input']))})"


def _show(value: Any) -> str:
    try:
        return dump_json(value)
    except (TypeError, ValueError):
        return repr(value)


def shorten(text: str, limit: int = _SHORT) -> str:
    """Cut a text to at most `limit` characters, with an ellipsis where it was cut."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def look(value: Any, *names: str) -> Any:
    """Follow attributes of an SDK's object, or members of a mapping; None as soon as one is missing or None.

    Gateways leave members out that an SDK's class declares, and the SDK then has no such attribute; what it does not
    declare, it keeps as plain dicts.

    Example:
        >>> from types import SimpleNamespace
        >>> look(SimpleNamespace(usage={"total": 3}), "usage", "total")
        3
    """
    for name in names:
        value = cast("dict[str, Any]", value).get(name) if type(value) is dict else getattr(value, name, None)
        if value is None:
            return None
    return value


def look_text(value: Any, *names: str) -> str:
    """Follow names as `look` does to a text; empty where there is none, or something else in its place."""
    found = look(value, *names)
    return found if isinstance(found, str) else ""


def look_list(value: Any, *names: str) -> list[Any]:
    """Follow names as `look` does to a list; empty where there is none, or something else in its place."""
    return as_list(look(value, *names))


def as_list(value: Any) -> list[Any]:
    """Return a list as it is, and an empty one in place of anything else."""
    return cast("list[Any]", value) if isinstance(value, list) else []


def read_text(content: Any) -> str:
    """Read the text of a message whose content is text or a list of parts; empty where there is none."""
    if isinstance(content, str):
        return content
    return "".join(part if isinstance(part, str) else look_text(part, "text") for part in as_list(content))


def dump_json(value: Any) -> str:
    """Write a schema, or any other JSON value, as compact JSON, integers of any size included."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # orjson stops at 64 bits, JSON does not
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def dump_arguments(arguments: Any) -> str:
    """Return a function call's arguments as JSON text, whether an SDK or a gateway has parsed them or not."""
    return arguments if isinstance(arguments, str) else dump_json(arguments)
