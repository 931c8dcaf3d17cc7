"""An entry as memory holds it: in one object, which answers carry as it is."""

from __future__ import annotations

from typing import cast

from instructor.cache.carried import Carried
from instructor.cache.entry import Entry, Origin, Tagged, unpack_completion
from instructor.usage import Usage

_COURSE = (1, "")
"""How most answers came: at the first attempt, and in one piece."""


class Kept(Carried):
    """An entry that was prepared for hits, with what answers made of it carry.

    Among many entries each object on the way to an answer has to be fetched from the machine's memory, and takes some of
    it. So a hit finds all that it reads here. It has an entry's members, which never change.

    Attributes:
        used: The number of its last use, which is the store's.
        course: The attempts that the answer took, and the steps in which it came.
    """

    __slots__ = ("course", "created", "expires", "key", "tagged", "used")

    def __init__(self, entry: Entry, carried: Carried) -> None:
        super().__init__(carried.load, entry.completion_data, entry.parts, carried.saved)
        if len(entry.parts) == 1:
            self._parts = entry.parts[0].tool
        self.key = entry.key
        self.created = entry.created
        self.expires = entry.expires
        self.tagged: Tagged | None = entry.tagged
        self.used = 0
        course = entry.attempts, entry.steps
        self.course = _COURSE if course == _COURSE else course

    @property
    def entry(self) -> Entry:
        """The same as an entry."""
        return Entry(
            self.key,
            self.parts,
            self.completion_data,
            self.origin,
            self.created,
            self.expires,
            self.seconds,
            self.usage,
            self.attempts,
            self.steps,
            self.tagged,
            self,
        )

    @property
    def completion_data(self) -> bytes:
        """As an entry's."""
        return cast("bytes", self._stored)

    @property
    def completion(self) -> str:
        """As an entry's."""
        return unpack_completion(self.completion_data, self.parts)

    @property
    def origin(self) -> Origin:
        """As an entry's."""
        return cast("Origin", self.saved[2])

    @property
    def attempts(self) -> int:
        """As an entry's."""
        return self.course[0]

    @property
    def tags(self) -> tuple[str, ...]:
        """As an entry's."""
        return self.saved[3]

    @property
    def answer(self) -> str:
        """As an entry's."""
        return self.text

    @property
    def carried(self) -> Kept:
        """As an entry's: what answers made of it carry."""
        return self

    @property
    def steps(self) -> str:
        """As an entry's."""
        return self.course[1]

    @property
    def seconds(self) -> float:
        """As an entry's."""
        return self.saved[0]

    @property
    def usage(self) -> Usage:
        """As an entry's."""
        return self.saved[1]
