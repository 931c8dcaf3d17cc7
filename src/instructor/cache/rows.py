"""Rows beside the answers in a store: second keys that lead to an answer, and what was asked.

A row is an entry as any other, so every store keeps it, and a `SealedCache` seals it. It expires with its answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from instructor.cache.canonical import write_json
from instructor.cache.differing import find_difference
from instructor.cache.entry import Entry, decode_entry, make_origin, pack_completion
from instructor.cache.key import digest
from instructor.cache.misses import GONE, Diagnosis, name_cause
from instructor.cache.volatile import reduce_text
from instructor.exceptions import CacheEntryError
from instructor.messages import Part

if TYPE_CHECKING:
    from instructor.cache.store import BaseCache

View = Literal["version", "prompt", "form", "settings"]
Members = Mapping[str, str]
"""The members of a call's key, as canonical JSON, without ``format``."""

MOST_RECORDED = 100_000
"""Characters of a request that is kept."""

ROW = "row"
"""What stands where the origin of an answer names its provider."""

_LEADS, _ASKED = "leads to", "was asked"
"""Stand where an entry has the name of a tool."""


def _drop(*names: str) -> Callable[[Members], Members]:
    return lambda members: {name: text for name, text in members.items() if name not in names}


VIEWS: Final[dict[View, Callable[[Members], Members]]] = {
    "version": _drop("schema", "shape"),
    "prompt": lambda members: {"messages": members["messages"]},
    "form": lambda members: {**members, "messages": write_json(reduce_text(members["messages"]))},
    "settings": _drop("messages"),
}
"""What several calls may have in common: the latest of them is found by it."""


NEAREST: Final[tuple[View, ...]] = ("prompt", "form", "settings")
"""Which call is the nearest: one with the same messages, one whose messages differ in a date or the like, any."""


def view_key(view: View, members: Members, response_model: str) -> str:
    """The second key of a call, which it shares with calls that look the same in one view."""
    return digest({**VIEWS[view](members), "view": write_json(view), "response_model": write_json(response_model)})


def record_key(key: str) -> str:
    """The key under which stands what was asked, for an answer's key."""
    return digest({"asked": write_json(key)})


def make_rows(
    entry: Entry, members: Members, response_model: str, *, compatible: bool, explains: bool
) -> Iterator[Entry]:
    """Make the rows of an answer: so that other versions of its response model find it, and other calls are explained."""
    if compatible:
        yield make_pointer(entry, view_key("version", members, response_model))
    record = make_record(entry, members) if explains else None
    if record is not None:
        yield record
        yield from (make_pointer(entry, view_key(view, members, "")) for view in NEAREST)


def make_pointer(entry: Entry, name: str) -> Entry:
    """Make a row that leads to an entry. It holds nothing of the answer, so it has no tags."""
    return replace(_make_row(entry, name, _LEADS, entry.key), tagged=None)


def make_record(entry: Entry, members: Members) -> Entry | None:
    """Make a row that says what was asked, without secrets; None if that is too long. It can be erased by its tags."""
    text = json.dumps(redact_members(members), ensure_ascii=False)
    return None if len(text) > MOST_RECORDED else _make_row(entry, record_key(entry.key), _ASKED, text)


def _make_row(entry: Entry, name: str, kind: str, text: str) -> Entry:
    return Entry(
        name, (Part(kind, text),), pack_completion("{}"), make_origin(ROW, *entry.origin[1:]), entry.created, entry.expires,
        tagged=entry.tagged,
    )  # fmt: skip


def redact_members(members: Members) -> dict[str, Any]:
    """A call as data, without its secrets."""
    from instructor.cache.redaction import Redactor  # most calls keep no request

    redact = Redactor()
    return {name: redact(json.loads(text)) for name, text in members.items()}


def read_pointer(held: object) -> list[str]:
    """The key that a row leads to; none if it isn't such a row."""
    key = _read(held, _LEADS)
    return [] if key is None else [key]


def read_record(held: object) -> dict[str, Any] | None:
    """What was asked; None if it isn't known."""
    text = _read(held, _ASKED)
    return None if text is None else cast("dict[str, Any]", json.loads(text))


def _read(held: object, kind: str) -> str | None:
    if not isinstance(held, Entry) or not held.parts or held.parts[0].tool != kind:
        return None
    return held.parts[0].text


def read_request(store: BaseCache, key: str) -> dict[str, Any] | None:
    """What was asked for the answer under a key, as data; None if the store, which isn't asynchronous, doesn't know."""
    name = record_key(key)
    found = store.peek(name)
    try:
        return None if found is None else read_record(decode_entry(cast("str", found), name))
    except CacheEntryError:
        return None


def compare_requests(stored: Mapping[str, Any], asked: Mapping[str, Any], nearest: str) -> Diagnosis:
    """Say why a call isn't answered by that of a stored one, whose key is `nearest`."""
    names = [name for name in dict.fromkeys((*asked, *stored)) if stored.get(name) != asked.get(name)]
    if "namespace" in names:
        names = ["namespace"]  # of what is stored in another one, nothing else is shown
    cause = name_cause(names) if names else GONE
    one, other = ({name: call[name] for name in names if name in call} for call in (stored, asked))
    difference = find_difference(one, other)
    detail = cause.detail if difference is None else str(difference)
    return Diagnosis(cause._replace(detail=detail), nearest, f"under the key {nearest[:12]}", difference)
