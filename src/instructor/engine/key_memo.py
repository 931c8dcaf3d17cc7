"""From what a call says to its key, without working the key out again."""

from __future__ import annotations

import hashlib
import marshal
import os
from collections.abc import Collection, Mapping
from typing import Any, TypeAlias, cast

from instructor.cache.key import EXCLUDED_FROM_KEY
from instructor.locks import make_lock
from instructor.messages import Conversation, Value

EXACT = 2
"""The version of marshal's format that depends on nothing but the value: no reference counts, no interning."""

NOT_KEYED = EXCLUDED_FROM_KEY - {"cache_namespace", "cache_salt"}
"""Keywords that are not part of an encoding. These two are, because the key has each as a member of its own."""

LONG = 262_144
"""Characters from which a text stands in an encoding by its SHA-256: it is hashed in pieces, which touches less memory
than writing it out does."""

SEEN_LONG = 16
"""For how many calls after a long text others are looked for."""

_PIECE = 65_536

_MARK = os.urandom(16)
"""Stands before a text's hash. Nobody outside this process knows it, so no caller's data look like a hash."""


Frozen: TypeAlias = tuple[Any, ...]
"""What a call says: the number of its plan, its messages and, if there are any, its other keywords."""


class KeyMemo:
    """Leads from a fast, exact encoding of a call to its key, which takes ten times as long to work out.

    `marshal` tells apart whatever differs in type or value, except that every buffer (a bytearray, an array) looks
    like bytes to it. So only the keys of plain JSON data are remembered, and two calls with one encoding have one key.
    Any other call has its key worked out each time.

    There are two generations. A key that is used moves into the young one; when that is full, the old one is forgotten
    and the young one grows old. So what is used stays, and there is no moment at which everything is forgotten.

    It remembers at most `most_keys` keys, and holds at most `most_bytes` bytes of encodings, in each generation.

    Attributes:
        sees_long: For how many more calls to look for long texts before the call is encoded.
    """

    def __init__(self, most_keys: int, most_bytes: int) -> None:
        self.young: dict[bytes, str] = {}
        self.old: dict[bytes, str] = {}
        self.sees_long = 0
        self._most_keys = most_keys
        self._most_bytes = most_bytes
        self._bytes = 0
        self._lock = make_lock()

    def freeze(self, call: Frozen) -> Frozen | None:
        """Copy a call if its messages hold a long text; None if they don't. The copy shares the texts.

        Encoding a call copies it at one moment, in which no other thread runs. To hash a long text takes a while, so
        that is done with a copy, which is the call as it was at the moment of the comparison. ValueError or
        RuntimeError if another thread changes the call meanwhile.
        """
        if not holds_long_text(call[1]):
            self.sees_long = max(0, self.sees_long - 1)
            return None
        self.sees_long = SEEN_LONG
        copied: Frozen = copy_plain(call)
        if copied != call:
            raise ValueError("the call was changed while it was copied")
        return copied

    def find(self, encoding: bytes) -> str | None:
        """The key of an encoding, if it is remembered."""
        key = self.young.get(encoding)
        if key is None:
            key = self.old.get(encoding)
            if key is not None:
                self.remember(encoding, key)
        return key

    def recall(self, keys: Collection[str]) -> dict[str, dict[str, Any]]:
        """The messages and keywords that led to some keys, by key; without those that hold a hash of a long text."""
        with self._lock:
            encodings = {key: encoding for known in (self.old, self.young) for encoding, key in known.items()}
        found = ((key, encodings[key]) for key in keys if key in encodings)
        plain = {key: decode(encoding) for key, encoding in found if _MARK not in encoding}
        return {key: {"messages": messages, **keywords} for key, (messages, keywords) in plain.items()}

    def remember(self, encoding: bytes, key: str) -> None:
        """Keep a key that was worked out."""
        with self._lock:
            if len(self.young) >= self._most_keys or self._bytes + len(encoding) > self._most_bytes:
                self.old, self.young = self.young, {}
                self._bytes = 0
            self.young[encoding] = key
            self._bytes += len(encoding)


def make_memo(entries: int | None) -> KeyMemo:
    """Make a memo of the size that fits a store.

    `entries` is None where the store doesn't say how many it can hold.
    """
    count = 65_536 if entries is None else max(1_024, entries)
    return KeyMemo(count, min(max((entries or 2_048) << 14, 8 << 20), 64 << 20))


def encode_frozen(call: bytes | Frozen) -> bytes:
    """`encode`, of a call that `KeyMemo.freeze` copied; itself if it is encoded already."""
    return call if isinstance(call, bytes) else marshal.dumps(call, EXACT)


def encode(number: int, messages: Conversation, keywords: Mapping[str, Any]) -> bytes | None:
    """Encode a call's messages and keywords, exactly and fast; None if it isn't plain data.

    `number` is the plan's; `keywords` are the caller's other keywords, without those of `NOT_KEYED`.
    """
    try:
        # A dict, because marshal refuses any other mapping.
        data: Any = (number, messages, dict(keywords)) if keywords else (number, messages)
        return marshal.dumps(data, EXACT)
    except ValueError:
        return None


def decode(encoding: bytes) -> tuple[Any, dict[str, Any]]:
    """Make a copy of the messages and keywords that were encoded, as they were at that moment."""
    _, messages, *rest = marshal.loads(encoding)  # noqa: S302 - our own bytes, from this process
    return messages, rest[0] if rest else {}


def name_of(encoding: bytes) -> bytes:
    """The bytes under which the memo knows a call: its encoding, or a shorter one where it holds long texts.

    They are made of the encoding alone, never of the caller's own objects, which another thread may change meanwhile:
    then the memo would lead from the present messages to the key of the earlier ones.
    """
    if len(encoding) <= LONG:
        return encoding
    call: Frozen = marshal.loads(encoding)  # noqa: S302 - as in `decode`
    try:
        return name_of_frozen(call) if holds_long_text(call[1]) else encoding
    except RecursionError:  # marshal goes deeper than Python's own stack does
        return encoding


def name_of_frozen(call: Frozen) -> bytes:
    """`name_of`, of a call with a long text that wasn't encoded."""
    number, messages, *keywords = call
    return marshal.dumps((number, shorten(messages), *keywords), EXACT)


def holds_long_text(value: Value) -> bool:
    """Whether there is a text in plain data that `shorten` replaces."""
    if type(value) is str:
        return len(value) > LONG
    if type(value) is list:
        return any(map(holds_long_text, cast("list[Any]", value)))
    return type(value) is dict and any(map(holds_long_text, cast("dict[Any, Any]", value).values()))


def copy_plain(value: Value) -> Value:
    """Copy whatever can be changed in plain data."""
    if type(value) is list:
        return [copy_plain(item) for item in cast("list[Any]", value)]
    if type(value) is tuple:
        return tuple(copy_plain(item) for item in cast("tuple[Any, ...]", value))
    if type(value) is dict:
        return {name: copy_plain(item) for name, item in cast("dict[Any, Any]", value).items()}
    return set(cast("set[Any]", value)) if type(value) is set else value


def shorten(value: Value) -> Value:
    """Put a hash in place of each long text in plain data."""
    if type(value) is str:
        return (_MARK, _hash(value)) if len(value) > LONG else value
    if type(value) is list:
        return [shorten(item) for item in cast("list[Any]", value)]
    if type(value) is dict:
        return {name: shorten(item) for name, item in cast("dict[Any, Any]", value).items()}
    return value


def _hash(text: str) -> bytes:
    digest = hashlib.sha256()
    for start in range(0, len(text), _PIECE):
        digest.update(text[start : start + _PIECE].encode("utf-8", "surrogatepass"))
    return digest.digest()
