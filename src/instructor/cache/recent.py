"""What was read from a store before, for as long as nothing in the store has changed."""

from __future__ import annotations

from typing import Protocol

from instructor.cache.entry import Entry


class Recalled:
    """What a store had under a key when it was last read.

    Attributes:
        text: What was stored; empty once `entry` is there.
        expires: Until when the store keeps it, in Unix seconds; None for ever.
        version: What the store's version was then.
        size: The bytes of the text.
        entry: What the text was decoded to, which whoever decodes it first puts here.
    """

    __slots__ = ("entry", "expires", "size", "text", "version")

    def __init__(self, text: bytes, expires: float | None, version: bytes | bytearray) -> None:
        self.text, self.expires, self.version, self.size = text, expires, version, len(text)
        self.entry: Entry | None = None


class RecallingStore(Protocol):
    """The ability ``"recalling"``: the store knows, without reading it again, that what was read is there still."""

    def recall(self, key: str, *, may_wait: bool) -> Recalled | None:
        """Return what was read under `key`, if nothing in the store has changed since; otherwise None.

        It counts as a use. With `may_wait` False, as in an event loop, it never waits for anything.
        """
        ...
