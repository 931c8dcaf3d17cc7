"""A line of a cassette: one answer with its request, as JSON that people read and compare.

``{"request": {...}, "answer": [{"tool": "User", "json": {"name": "Anna", "age": 25}}], "usage": {...}, "completion": {...}}``

What differs from run to run though nothing has changed, such as times, is left out of what is recorded. A line that was
exported from another store has ``created``, ``expires``, ``seconds`` and ``tags``, too.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Final, cast

from instructor.cache.canonical import write_json
from instructor.cache.entry import Entry, Tagged, make_origin, pack_completion
from instructor.cache.key import FORMAT, digest
from instructor.cache.redaction import write_compact
from instructor.cache.rows import view_key
from instructor.cache.sample_turns import sample_key
from instructor.exceptions import CacheEntryError
from instructor.messages import Part
from instructor.usage import Usage

Request = Mapping[str, Any]
"""A call as data: the members of its key, and the response model's name. A text that isn't of a call has only a key."""

Redact = Callable[[Any], Any]

GENERATION = 1
"""The number of the latest invalidation in a cassette: there is none after the recording."""

_FIRST = ("provider", "model", "response_model", "messages")
_LAST = ("shape", "schema")
_NOT_KEYED = ("response_model", "sample")

_STYLES: Final[dict[str, Callable[[Any], str]]] = {
    "json": json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode,
    "spaced": json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode,
}
"""How the JSON of an answer may be written, so that its text follows from its data."""


@dataclass(frozen=True)
class Line:
    """One line.

    Attributes:
        key: The key of the call.
        record: What stands in the line.
        text: The line.
    """

    key: str
    record: dict[str, Any]
    text: str

    @property
    def request(self) -> Request:
        """The call."""
        return cast("Request", self.record["request"])

    @cached_property
    def match(self) -> str:
        """What `match_of` says of the call. It takes long, and a cassette asks for it of all lines after each new one."""
        return match_of(self.request)


def key_of(request: Request) -> str:
    """The key under which the answer of a call is stored: the client's own, if nothing was redacted."""
    if "key" in request:
        return str(request["key"])
    return sample_key(digest_members(_write(request, _NOT_KEYED)), request.get("sample", 0))


def match_of(request: Request) -> str:
    """What calls have in common that differ in nothing but the schema of a response model of one name."""
    return view_key("version", _write(request, ("response_model",)), request.get("response_model", ""))


def digest_members(texts: Mapping[str, str]) -> str:
    """The key of a call by the canonical texts of its members."""
    return digest({**texts, "format": str(FORMAT)})


def redact_json(text: str, redact: Redact) -> tuple[Any, str]:
    """Remove the secrets from JSON; return the data, and their canonical text."""
    value = json.loads(text)
    redacted = redact(value)
    return redacted, text if redacted == value else write_json(redacted)


def _write(request: Request, left_out: tuple[str, ...]) -> dict[str, str]:
    return {name: write_json(value) for name, value in request.items() if name not in left_out}


def make_line(request: Request, answer: Mapping[str, Any]) -> Line:
    """Write a line, its members in the order in which people read them."""
    middle = sorted(request.keys() - {*_FIRST, *_LAST})
    ordered = {name: request[name] for name in (*_FIRST, *middle, *_LAST) if name in request}
    record = {"request": ordered, **answer}
    text = json.dumps(record, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        text = json.dumps(record)
    return Line(key_of(ordered), record, text)


def read_line(text: str) -> Line:
    """Read a line; ValueError if it can't be one. Its key is made of its request, which may have been edited."""
    record = json.loads(text)
    members = cast("dict[str, Any]", record) if isinstance(record, dict) else {}
    request = members.get("request")
    if not isinstance(request, dict) or not ("key" in request or "messages" in request):
        raise ValueError("there is no request in it")
    return Line(key_of(cast("Request", request)), members, text)


def request_of(entry: Entry | None, key: str) -> Request:
    """What stands for a call that nobody has described: its key, and what its answer says of it."""
    if entry is None:
        return {"key": key}
    members = {name: value for name, value in entry.origin._asdict().items() if value and name != "answered_by"}
    return {"key": key, **members}


def describe_answer(entry: Entry, redact: Redact) -> dict[str, Any]:
    """Write an answer as data."""
    texts = [redact(part.text) for part in entry.parts]
    completion: Any = entry.completion
    if completion[:1] in ("{", "["):
        with contextlib.suppress(ValueError):
            completion = json.loads(completion)
    described = {
        "answered_by": entry.origin.answered_by,
        "answer": [_describe_part(part.tool, text) for part, text in zip(entry.parts, texts, strict=True)],
        "usage": {name: count for name, count in asdict(entry.usage).items() if count} or None,
        "attempts": entry.attempts if entry.attempts != 1 else None,
        # They are places in the text, so they say nothing of another one.
        "steps": entry.steps if texts == [part.text for part in entry.parts] else None,
        "completion": redact(completion),
    }
    return {name: value for name, value in described.items() if value not in (None, "")}


def _describe_part(tool: str, text: str) -> dict[str, Any]:
    named: dict[str, Any] = {"tool": tool} if tool else {}
    try:
        value = json.loads(text)
        style = next(style for style, write in _STYLES.items() if write(value) == text)
    except (ValueError, RecursionError, StopIteration):
        return named | {"text": text}
    return named | {style: value}


def make_entry(line: Line, key: str, created: float) -> Entry:
    """Make an entry of a line; CacheEntryError if it was edited so that it isn't one any more."""
    record, request = line.record, line.request
    try:
        completion = record.get("completion", "")
        return Entry(
            key=key,
            parts=tuple(Part(part.get("tool", ""), _text_of(part)) for part in record["answer"]),
            completion_data=pack_completion(completion if isinstance(completion, str) else write_compact(completion)),
            origin=make_origin(
                request.get("provider", ""),
                request.get("model", ""),
                record.get("answered_by", ""),
                request.get("namespace", ""),
                request.get("response_model", ""),
            ),
            created=float(record.get("created", created)),
            expires=record.get("expires"),
            seconds=float(record.get("seconds", 0.0)),
            usage=Usage(**record.get("usage", {})),
            attempts=record.get("attempts", 1),
            steps=record.get("steps", ""),
            tagged=Tagged(tuple(record["tags"]), GENERATION) if "tags" in record else None,
        )
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration) as error:
        raise CacheEntryError(f"The recorded answer can't be read ({type(error).__name__}: {error}).") from None


def _text_of(part: Mapping[str, Any]) -> str:
    if "text" in part:
        return str(part["text"])
    style = next(style for style in _STYLES if style in part)
    return _STYLES[style](part[style])


def compare_answers(stored: Mapping[str, Any], answered: Mapping[str, Any]) -> tuple[Any, Any]:
    """What counts when two answers to one call are compared: their data; the completion of a call without a model."""

    def data(record: Mapping[str, Any]) -> Any:
        if "answer" not in record:
            return record.get("value")
        parts = cast("list[dict[str, Any]]", record["answer"])
        if not parts:
            return record.get("completion")
        return [part.get("text", part.get("json", part.get("spaced"))) for part in parts]

    return data(stored), data(answered)
