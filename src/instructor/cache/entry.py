"""One stored answer, and the text that a store holds for it.

The text is a checksum, one line of JSON that describes the answer, the answer's parts character by character, and the
provider's completion with a checksum of its own::

    5f0c2a1e [7,"<key>","openai",...,"",512,...,"User",23]
    {"name":"Ann","age":27}9b1d03c4 {"kind":"ChatCompletion",...}

Few cache hits need the completion, so it is checked and decoded only when it is asked for. It would repeat the answer, so
a long answer is left out of it: ``@212e {"kind":...`` says that the answer belongs 212 bytes into what follows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

import orjson

from instructor.cache.carried import Carried, Load, Saved
from instructor.exceptions import CacheEntryError
from instructor.messages import Part
from instructor.usage import Usage, make_usage

if TYPE_CHECKING:
    from instructor.cache.kept import Kept

FORMAT = 7
"""Raised whenever the text changes its meaning."""

READABLE = frozenset({5, 6, FORMAT})
"""The formats that this version reads; an entry of another is a cache miss. In format 5 each completion is whole. Formats
5 and 6 don't say how many tokens the provider wrote to its own prompt cache."""

_CACHE_WRITES = 11
"""Where that number stands in the first line."""


NO_USAGE = Usage()


class Origin(NamedTuple):
    """Where an answer comes from. All entries of one origin in a process share one (`make_origin`).

    Attributes:
        provider: The vendor; ``"function"`` for a result of a decorated function.
        model: The model that was asked; the function's name.
        answered_by: The model that answered, in the provider's words; empty if the provider didn't say.
        namespace: The partition of the cache; empty for the one without a name.
        response_model: The name of the response model; empty for a raw completion.
    """

    provider: str
    model: str
    answered_by: str = ""
    namespace: str = ""
    response_model: str = ""


MOST_ORIGINS = 512
"""Origins that are kept to be shared. A program has few; a service may have a namespace for each tenant."""

make_origin = lru_cache(MOST_ORIGINS)(Origin)
"""Make an `Origin`, or return the one that was made before."""


class Tagged(NamedTuple):
    """The tags by which an answer can be invalidated.

    Attributes:
        tags: The tags, each once.
        generation: The number of the store's latest invalidation before the answer was asked for. The answer is stale
            once one of its tags has a higher one.
    """

    tags: tuple[str, ...]
    generation: int


class Generations(NamedTuple):
    """What a store knows of its invalidations, which it numbers in their order.

    Attributes:
        first: The number from which it counts. It is drawn by chance when there is nothing to go on from, so that a
            store that lost its numbers doesn't take an answer for fresh that was written under those before.
        latest: The number of the latest invalidation of any tag.
        of_tags: The number of the latest invalidation of each tag that was asked for; 0 for none.
    """

    first: int
    latest: int
    of_tags: Sequence[int] = ()

    def cover(self, generation: int) -> bool:
        """Whether an answer of this generation, which has the tags that were asked for, may still be served."""
        return self.first <= generation <= self.latest and all(number <= generation for number in self.of_tags)


@dataclass(slots=True)
class Entry:
    """What is kept of one live answer. It holds text only: no code, no class names, no credentials, no prompt.

    It isn't changed once it is made. It isn't frozen, because every cache hit on disk or over the network makes one, and
    not a named tuple, whose members take twice as long to read.

    Attributes:
        parts: The provider's answer as the wire format read it; empty for ``response_model=None``.
        completion_data: The SDK's completion as `pack_completion` wrote it; empty if it could not be written. What it
            leaves out is in the first of these very parts.
        origin: Where the answer comes from.
        created: When the answer came, in Unix seconds.
        expires: When it stops being served, in Unix seconds; None for never.
        seconds: How long the live call took, all attempts together.
        usage: Tokens spent, all attempts together.
        attempts: How many requests it took.
        steps: Where the text stood at each value that was handed out while it came; empty for an answer in one piece.
        tagged: The answer's tags; None if it has none.
        carried: What answers made of this entry carry; None where that is yet to be made. It isn't stored.

    Example:
        >>> origin = make_origin("openai", "gpt-6-luna")
        >>> entry = Entry("key", (Part("User", '{"age": 27}'),), pack_completion("{}"), origin, 1.0)
        >>> decode_entry(encode_entry(entry), "key") == entry
        True
        >>> entry.answer, entry.completion
        ('{"age": 27}', '{}')
    """

    key: str
    parts: tuple[Part, ...]
    completion_data: bytes
    origin: Origin
    created: float
    expires: float | None = None
    seconds: float = 0.0
    usage: Usage = NO_USAGE
    attempts: int = 1
    steps: str = ""
    tagged: Tagged | None = None
    carried: Carried | None = None

    @property
    def tags(self) -> tuple[str, ...]:
        """The answer's tags."""
        return () if self.tagged is None else self.tagged.tags

    @property
    def answer(self) -> str:
        """The text of the first part; empty if there is none."""
        return self.parts[0].text if self.parts else ""

    @property
    def completion(self) -> str:
        """The SDK's completion as one line of JSON; empty if it could not be written."""
        return unpack_completion(self.completion_data, self.parts)


def pack_completion(text: str, parts: Sequence[Part] = ()) -> bytes:
    """Write a completion as an entry with these parts keeps it: a checksum and the text. Empty for an empty text.

    If the first part is long, and stands in the text, it is left out.
    """
    return _seal(_leave_out(text.encode(), parts)) if text else b""


def unpack_completion(data: bytes, parts: Sequence[Part]) -> str:
    """Read what `pack_completion` wrote; `CacheEntryError` if it is damaged."""
    if not data:
        return ""
    body = data[CHECKSUM_SIZE:]
    if data[:CHECKSUM_SIZE] != _CHECKSUM % crc32(body):
        raise CacheEntryError("The stored completion is damaged: its checksum does not fit.")
    try:
        return (_put_back(body, parts) if body.startswith(_MARK) else body).decode()
    except (ValueError, LookupError):
        raise CacheEntryError("The stored completion is damaged: it can't be put together as UTF-8.") from None


_MARK = b"@"
"""Begins a completion that leaves something out. No JSON begins with it."""

_LONG = 1024
"""The shortest answer that is left out, in characters. Below that it would take more time than it saves."""

_WRITINGS: dict[bytes, Callable[[Sequence[Part]], bytes]] = {
    b"e": lambda parts: orjson.dumps(parts[0].text)[1:-1],  # as the text of a tool call's arguments, escaped
    b"j": lambda parts: parts[0].text.encode(),  # as JSON within JSON
    b"-": lambda _: b"",  # nothing is left out; the text of a completion that somebody wrote begins with the mark
}
"""How an answer may stand in a completion."""


def _leave_out(completion: bytes, parts: Sequence[Part]) -> bytes:
    if parts and len(parts[0].text) >= _LONG:
        for name, write in _WRITINGS.items():
            with suppress(ValueError, TypeError):  # the answer has no UTF-8
                written = write(parts)
                at = completion.find(written)
                if at >= 0 and written:
                    return b"%b%d%b %b%b" % (_MARK, at, name, completion[:at], completion[at + len(written) :])
    return b"%b0- %b" % (_MARK, completion) if completion.startswith(_MARK) else completion


def _put_back(body: bytes, parts: Sequence[Part]) -> bytes:
    """Undo `_leave_out`. Raises ValueError or LookupError for what it hasn't written."""
    mark, _, rest = body.partition(b" ")
    at, written = int(mark[1:-1]), _WRITINGS[mark[-1:]](parts)
    return b"%b%b%b" % (rest[:at], written, rest[at:])


def make_carried(load: Load, entry: Entry | Kept) -> Carried:
    """What the answers made of an entry carry: what the completion is made of, and not the entry.

    `load` makes a completion of its text: an adapter's own method. A store may come to hold it.
    """
    return Carried(load, entry.completion_data, entry.parts, saved_by(entry))


def saved_by(entry: Entry | Kept) -> Saved:
    """What a hit of an entry notes."""
    tagged = entry.tagged
    return Saved((entry.seconds, entry.usage, entry.origin, () if tagged is None else tagged.tags))


def encode_entry(entry: Entry) -> str:
    """Write an entry as text for a store.

    Raises TypeError for a number that is too large for JSON writers, and ValueError for a text that has no UTF-8.
    """
    usage, origin, tagged = entry.usage, entry.origin, entry.tagged
    texts = [part.text.encode() for part in entry.parts]
    head: list[object] = [
        FORMAT,
        entry.key,
        origin.provider,
        origin.model,
        float(entry.created),
        None if entry.expires is None else float(entry.expires),
        float(entry.seconds),
        usage.input_tokens,
        usage.output_tokens,
        usage.cached_tokens,
        usage.reasoning_tokens,
        usage.cache_write_tokens,
        entry.attempts,
        entry.steps,
        len(entry.completion_data),
        origin.answered_by,
        origin.namespace,
        origin.response_model,
        0 if tagged is None else tagged.generation,
        "" if tagged is None else "\n".join(tagged.tags),
    ]
    for part, text in zip(entry.parts, texts, strict=True):
        head += part.tool, len(text)
    answer = _seal(b"\n".join((orjson.dumps(head), b"".join(texts))))
    return (answer + entry.completion_data).decode()


_TYPES = {
    (int, str, str, str, float, expires, float, *(int,) * 6, str, int, str, str, str, int, str, *part)
    for expires in (float, type(None))
    for part in ((), (str, int))
}
"""The types of the members of the first line, for an answer of no part or one. Others have more of ``str, int``."""

_ONE_PART = max(map(len, _TYPES))


def decode_entry(data: str | bytes | bytearray | memoryview, key: str) -> Entry:
    """Read what `encode_entry` wrote under a key. The completion is checked later, when it is asked for.

    `CacheEntryError` says that the text is damaged, of another format, or another key's, and quotes no answer.
    """
    try:
        if not isinstance(data, bytes):
            data = data.encode() if isinstance(data, str) else bytes(memoryview(data))
        # A slice of a view copies nothing, however long the answer is; to copy a short one takes less time.
        view = data if len(data) < _SHORT else memoryview(data)
        line_end = data.find(b"\n")
        head = read_head(data[CHECKSUM_SIZE:line_end])
        (_, stored_key, provider, model, created, expires, seconds,
         read, written, cached, reasoned, cache_written, attempts, steps, completion_size,
         answered_by, namespace, response_model, generation, tags, *sizes) = head  # fmt: skip
        if stored_key != key:
            raise CacheEntryError("The store returned the entry of another key.")
        parts: list[Part] = []
        start = line_end + 1
        for at in range(0, len(sizes), 2):
            end = start + sizes[at + 1]
            parts.append(Part(sizes[at], str(view[start:end], "utf-8")))
            start = end
        if start + completion_size != len(data) or data[:CHECKSUM_SIZE] != _CHECKSUM % crc32(view[CHECKSUM_SIZE:start]):
            raise CacheEntryError("The entry is damaged: its checksum or its length does not fit.")
    except (ValueError, TypeError, OverflowError) as error:
        # Its message, and the error itself as a cause, would hold some of the text.
        raise CacheEntryError(f"The entry is damaged and cannot be read ({type(error).__name__}).") from None
    usage = make_usage(read, written, cached, reasoned, cache_written)
    origin = make_origin(provider, model, answered_by, namespace, response_model)
    tagged = Tagged(tuple(tags.split("\n")), generation) if tags else None
    return Entry(key, tuple(parts), data[start:], origin, created, expires, seconds, usage, attempts, steps, tagged)


_SHORT = 16384
"""Bytes of an entry from which it is looked at through a view."""

CHECKSUM_SIZE = 9
"""The length of a checksum, eight hexadecimal digits and a space."""

_CHECKSUM = b"%08x "


def read_head(line: bytes) -> list[Any]:
    """Read the first line of an entry, without its checksum, and check the type of every member.

    Raises CacheEntryError for another format, and ValueError for what isn't JSON.
    """
    head: list[Any] = orjson.loads(line)
    types = tuple(map(type, head))
    if types not in _TYPES:
        if type(head) is list and head[:1] in ([5], [6]):
            head.insert(_CACHE_WRITES, 0)
            types = tuple(map(type, head))
        _check_types(types)
    if head[0] not in READABLE:
        raise CacheEntryError(f"The entry has format {head[0]}; this version of instructor reads format {FORMAT}.")
    return head


def _check_types(types: tuple[type, ...]) -> None:
    """Check the first line of an entry whose answer has several parts; each adds a name and a size."""
    more = types[_ONE_PART:]
    if types[:_ONE_PART] not in _TYPES or more != (str, int) * (len(more) // 2):
        raise CacheEntryError(f"The entry is damaged, or of another format than {FORMAT}, which this version reads.")


def _seal(body: bytes) -> bytes:
    """Write a checksum before `body`, because a flipped bit may leave valid JSON behind."""
    return _CHECKSUM % crc32(body) + body
