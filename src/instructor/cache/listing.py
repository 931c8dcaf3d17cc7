"""What a store's listing says of its entries, and which of them an invalidation is about."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, NamedTuple, TypedDict, cast

from instructor.cache.entry import CHECKSUM_SIZE, Origin, Tagged, make_origin, read_head
from instructor.describing import name_model, refuse
from instructor.exceptions import ArgumentError, CacheEntryError
from instructor.usage import Usage

FIRST_BYTES = 1024
"""So much of an entry's text holds the line that describes it, for most entries."""


class Listed(NamedTuple):
    """What a store's listing says of one entry, without its answer. It is an estimate: no checksum is looked at.

    Attributes:
        key: The key.
        size: Bytes of its text.
        created: When the answer came, in Unix seconds; 0.0 for what doesn't say so: a sealed entry, or another text.
        expires: When it stops being served; None for never.
        origin: Where the answer comes from.
        tagged: Its tags; None if it has none.
        seconds: How long the live call took.
        usage: Tokens spent.
    """

    key: str
    size: int
    created: float = 0.0
    expires: float | None = None
    origin: Origin = Origin("", "")
    tagged: Tagged | None = None
    seconds: float = 0.0
    usage: Usage = Usage()

    @property
    def tags(self) -> tuple[str, ...]:
        """The answer's tags."""
        return () if self.tagged is None else self.tagged.tags


def list_text(key: str, start: bytes, size: int) -> Listed | None:
    """Describe an entry by the first bytes of its text; None if they don't hold all of its first line.

    A text that isn't an entry of this format has a key and a size.
    """
    line_end = start.find(b"\n")
    if line_end < 0 and len(start) < size:
        return None
    try:
        head = read_head(start[CHECKSUM_SIZE:line_end])
    except (ValueError, CacheEntryError):
        return Listed(key, size)
    (_, _, provider, model, created, expires, seconds, read, written, cached, reasoned, cache_written, _, _, _,
     answered_by, namespace, response_model, generation, tags, *_) = head  # fmt: skip
    origin = make_origin(provider, model, answered_by, namespace, response_model)
    tagged = Tagged(tuple(tags.split("\n")), generation) if tags else None
    usage = Usage(read, written, cached, reasoned, cache_written)
    return Listed(key, size, created, expires, origin, tagged, seconds, usage)


def read_tagged(text: str | bytes) -> Tagged | None:
    """The tags of an entry's text; None if it has none, or isn't an entry."""
    data = text if isinstance(text, bytes) else text[: text.find("\n") + 1].encode(errors="replace")
    try:
        head = read_head(data[CHECKSUM_SIZE : data.find(b"\n")])
    except (ValueError, CacheEntryError):
        return None
    generation, tags = head[18:20]
    return Tagged(tuple(tags.split("\n")), generation) if tags else None


class Selection(NamedTuple):
    """Which entries an invalidation is about: those that fit all of its members that aren't None.

    Attributes:
        before: Entries whose answer came before this moment, in Unix seconds.
    """

    tag: str | None = None
    namespace: str | None = None
    model: str | None = None
    response_model: str | None = None
    before: float | None = None

    @property
    def only_tag(self) -> str | None:
        """The tag, if it asks for nothing else."""
        return self.tag if self == Selection(self.tag) else None

    def keys_of(self, batch: Iterable[Listed]) -> list[str]:
        """The keys of those that it is about."""
        return [listed.key for listed in batch if self.fits(listed)]

    def fits(self, listed: Listed) -> bool:
        """Whether it is about an entry. Nothing is known of a text without a time: it may be sealed, or another program's."""
        origin = listed.origin
        return bool(
            (self.tag is None or self.tag in listed.tags)
            and (self.namespace is None or (listed.created and self.namespace == origin.namespace))
            and (self.model is None or self.model in (origin.model, origin.answered_by))
            and (self.response_model is None or self.response_model == origin.response_model)
            and (self.before is None or 0.0 < listed.created < self.before)
        )


class Which(TypedDict, total=False):
    """The arguments of `BaseCache.invalidate`."""

    tag: str | None
    namespace: str | None
    model: str | None
    response_model: object
    older_than: float | timedelta | None
    erase: bool


def select(which: Which, clock: Callable[[], float]) -> Selection:
    """Make a selection of what a caller passed to ``invalidate``."""
    unknown = [name for name in which if name not in Which.__annotations__]
    if unknown:
        raise ArgumentError(f"invalidate() has no argument {unknown[0]}=. {_CHOICE}")
    model = which.get("response_model")
    tag, age = which.get("tag"), which.get("older_than")
    selection = Selection(
        tag=None if tag is None else check_tag(tag),
        namespace=_check_text("namespace", which.get("namespace")),
        model=_check_text("model", which.get("model")),
        response_model=_check_text("response_model", model if isinstance(model, str) else name_model(model) or None),
        before=None if age is None else clock() - _seconds_of(age),
    )
    if selection == Selection():
        raise ArgumentError(f"invalidate() was not asked for anything. {_CHOICE}")
    return selection


_CHOICE = "Pass tag=, namespace=, model=, response_model= or older_than=; clear() removes all entries."


def _check_text(name: str, text: object) -> str | None:
    if text is None or (isinstance(text, str) and (text or name == "namespace")):
        return text
    raise refuse(f"invalidate({name}=)", text, "a text that is not empty, or leave it out")


def _seconds_of(age: object) -> float:
    seconds = age.total_seconds() if isinstance(age, timedelta) else age
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < float("inf"):
        raise refuse("invalidate(older_than=)", age, "seconds as a number not below 0, or a timedelta")
    return float(seconds)


TagSource = tuple[str, ...] | Callable[[Any], object]
"""The tags of an answer, or what makes them of its value."""

LONGEST_TAG, MOST_TAGS = 256, 64
"""Characters of a tag, and tags of an answer."""

_ADVICE = f"a text of 1 to {LONGEST_TAG} characters in one line, such as 'doc:42'"


def check_tag(tag: object, name: str = "tag") -> str:
    """Return a tag if it can be one."""
    fits = isinstance(tag, str) and 0 < len(tag) <= LONGEST_TAG and tag.isprintable()
    if not fits or not isinstance(tag, str):
        raise refuse(name, tag, _ADVICE)
    return tag


def check_tags(tags: object, name: str = "cache_tags") -> tuple[str, ...]:
    """Return the tags of an answer, each once."""
    if not isinstance(tags, list | tuple | set | frozenset):
        raise refuse(name, tags, "a list of texts, such as ['doc:42'], or a function that makes one of the answer")
    checked = tuple(dict.fromkeys(check_tag(tag, f"a tag of {name}") for tag in tags))  # pyright: ignore[reportUnknownVariableType,reportUnknownArgumentType]
    if len(checked) > MOST_TAGS:
        raise ArgumentError(f"{name} has {len(checked)} tags. Pass {MOST_TAGS} at most.")
    return checked


def are_tags(source: object) -> bool:
    """Whether tags, or what makes them, are right at first sight, for a hit, which has tags of its own."""
    return callable(source) or (
        type(source) in (list, tuple) and all(type(tag) is str for tag in cast("list[object]", source))
    )


def check_tag_source(source: object, name: str = "cache_tags") -> TagSource | None:
    """Return what was passed as tags; None for none."""
    if source is None or callable(source):
        return source
    return check_tags(source, name) or None


MOST_NUMBERED = 1_000_000
"""Tags whose latest invalidation a store remembers. At the next one it forgets them all, and begins with new numbers:
then every tagged answer is asked for again."""


def draw_generation() -> int:
    """Draw a number to begin with, which no answer has that was written under earlier numbers."""
    return 1 + int.from_bytes(os.urandom(7), "big")


def hash_tag(tag: str) -> str:
    """What a store outside of this process keeps of a tag beside its number: tags name people."""
    return hashlib.blake2b(tag.encode(), digest_size=12).hexdigest()
