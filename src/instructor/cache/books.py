"""What clients spend and save, added up by line until somebody reads it or a store takes it over.

Only counts are kept. What they cost is worked out when a `Ledger` is read, so neither a hit nor a request waits for the
price list, and a model whose price becomes known later has a price from its first request on.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache, partial
from itertools import count
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, cast

import orjson

from instructor.cache.entry import Origin
from instructor.locks import after_fork, make_lock, reset_after_fork
from instructor.prices import tier_of

if TYPE_CHECKING:
    from instructor.usage import Usage

Kind = Literal["kept", "batched", "lost", "lost in batch", "failed", "hit", "shared"]
"""What a line counts: requests whose answer was used, the same of a provider's batch, whose answer was thrown away, the
same of a batch, that brought none; answers from a store; and answers of an identical call that was under way."""

FOR_AN_HOUR = 100
"""Added to the tier of tokens that were written to the provider's own prompt cache for an hour, which have a price of their own."""

MOST_LINES = 4096
"""Lines that are kept apart. Further ones are put together: no tags, namespaces and response models are kept apart there."""

_MOST_ADDED = 256
"""Amounts that are noted before they are summed up."""

OTHERS = "(others)"
"""Stands for what isn't kept apart."""


class Line(NamedTuple):
    """What is added up together.

    Attributes:
        day: The day in UTC, ``2026-11-21``.
        tags: The answers' tags.
        tier: Which of the sizes at which prices change the input had exceeded (see ``prices.TIERS``); -1 where no tokens were
            reported; `FOR_AN_HOUR` is added to it.
    """

    day: str
    kind: Kind
    origin: Origin
    tags: tuple[str, ...] = ()
    tier: int = 0

    def write(self) -> str:
        """The line's name in a store."""
        members = (self.day, self.kind, *self.origin, self.tier, *self.tags)
        try:
            return orjson.dumps(members).decode()
        except TypeError:  # a name of the user's with half of a surrogate pair, which no store can write
            escape = partial(str.encode, errors="backslashreplace")
            return orjson.dumps([escape(one).decode() if isinstance(one, str) else one for one in members]).decode()

    def without_details(self) -> Line:
        """The line that stands for this and many others."""
        origin = self.origin
        merged = origin._replace(
            answered_by="", namespace=origin.namespace and OTHERS, response_model=origin.response_model and OTHERS
        )
        return self._replace(origin=merged, tags=(OTHERS,) if self.tags else ())


def read_line(name: str | bytes) -> Line | None:
    """Read what `Line.write` wrote; None for anything else, such as what a later version writes."""
    try:
        day, kind, provider, model, answered_by, namespace, response_model, tier, *tags = orjson.loads(name)
    except (ValueError, TypeError):
        return None
    texts = (day, kind, provider, model, answered_by, namespace, response_model, *tags)
    if not all(isinstance(text, str) for text in texts) or not isinstance(tier, int):
        return None
    origin = Origin(provider, model, answered_by, namespace, response_model)
    return Line(day, cast("Kind", kind), origin, tuple(tags), tier)


class Amounts(NamedTuple):
    """The counts of a line. All are whole, so that any store can add to them."""

    number: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    microseconds: int = 0

    def plus(self, other: Sequence[int]) -> Amounts:
        """Both together."""
        return Amounts(*map(int.__add__, self, other))


def amounts_of(usage: Usage, seconds: float) -> Amounts:
    """What one request or answer comes to."""
    tokens = (usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.cache_write_tokens)
    return Amounts(1, *tokens, round(seconds * 1e6))


def today() -> str:
    """The day in UTC."""
    return _write_day(time.time() // _DAY)


_DAY = 86_400


@lru_cache(2)
def _write_day(number: float) -> str:
    """Write the day of this number since 1970, once for all that is entered on it."""
    return time.strftime("%Y-%m-%d", time.gmtime(number * _DAY))


def line_of(kind: Kind, origin: Origin, tags: tuple[str, ...], usage: Usage) -> Line:
    """The line that a request or an answer of today belongs to."""
    return Line(today(), kind, origin, tags, tier_of(usage))


def lines_of(
    kind: Kind, origin: Origin, tags: tuple[str, ...], usage: Usage, seconds: float
) -> tuple[tuple[Line, Amounts], ...]:
    """One request or answer; what it wrote for an hour is a part of it on a line of its own."""
    line, amounts = line_of(kind, origin, tags, usage), amounts_of(usage, seconds)
    written = min(usage.cache_write_1h_tokens, usage.cache_write_tokens)
    if not written:
        return ((line, amounts),)
    part = Amounts(input_tokens=written, cache_write_tokens=written)
    rest = Amounts(*map(int.__sub__, amounts, part))
    return (line, rest), (line._replace(tier=line.tier + FOR_AN_HOUR), part)


class Log(Protocol):
    """What counts for itself and enters that into books when it is asked for its totals."""

    def totals(self) -> object:
        """Enter everything."""
        ...


class Books:
    """Lines and their amounts. Any thread may add to them.

    What is added is in one of three places: noted, summed up, or on its way to a store. It goes on from each of them in one
    statement that calls nothing, so that an interrupt neither loses nor doubles it.

    Attributes:
        merges: Whether there are so many lines already that no further details are kept apart.
        offer: Called now and then when there are more hits: whoever posts these books to a store may do so, without
            keeping the caller waiting.
    """

    def __init__(self, offer: Callable[[], None] = lambda: None) -> None:
        self.offer = offer
        self.merges = False
        self._lock = make_lock()
        self._logs: list[weakref.ref[Log]] = []
        self.reset()
        reset_after_fork(self)

    def reset(self) -> None:
        """Begin anew in a forked child: what is noted is the parent's."""
        self._added: list[tuple[Line, Sequence[int]]] = []
        self._lines: dict[Line, list[int]] = {}
        self._on_their_way: tuple[Posting, ...] = ()
        self._settled: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing was added since all was taken or entered. What logs haven't entered yet doesn't count."""
        return not self._added and not self._lines and not self._on_their_way

    def read_from(self, log: Log) -> None:
        """Have a log enter what it counts whenever the books are read."""
        with self._lock:
            self._logs = [*(known for known in self._logs if known() is not None), weakref.ref(log)]

    def add(self, lines: Iterable[tuple[Line, Sequence[int]]]) -> None:
        """Add amounts to lines. It never waits for a lock.

        The garbage collector may close a call that nobody goes on with, at any moment and in any thread: while that very
        thread holds the lock, too.
        """
        self._added.extend(tuple(lines))
        if len(self._added) >= _MOST_ADDED and not self._lock.locked():
            with self._lock:
                self._sum_up()

    def _sum_up(self) -> None:
        added = self._added
        count, sums_of, known = len(added), dict[Line, list[int]](), self._lines.copy()
        for line, amounts in added[:count]:
            sums = sums_of.get(line)  # once: to look a line up takes longer than all else
            if sums is None:
                sums_of[line] = list(amounts)
            else:
                sums[:] = map(int.__add__, sums, amounts)
        for line, sums in sums_of.items():
            is_kept = line in known or (len(known) < MOST_LINES and not self.merges)
            kept = line if is_kept else line.without_details()
            known[kept] = [*map(int.__add__, known.get(kept, _NOTHING), sums)]
        self._lines, added[:count] = known, ()

    def note(self, kind: Kind, origin: Origin, tags: tuple[str, ...], usage: Usage, seconds: float) -> None:
        """Add one request or answer."""
        self.add(lines_of(kind, origin, tags, usage, seconds))

    def lines(self) -> dict[Line, Amounts]:
        """All lines as they are now, without what a thread enters into a store just now."""
        self._read_logs()
        with self._lock:
            self._sum_up()
            lines = {line: Amounts(*sums) for line, sums in self._lines.items()}
            for posting in self._on_their_way:
                for line, amounts in (
                    () if posting.names is not None or posting.lock.locked() else posting.lines.items()
                ):
                    lines[line] = lines.get(line, _NOTHING).plus(amounts)
            return lines

    def take(self) -> dict[Line, Amounts]:
        """All lines, which are removed: whoever takes them has them."""
        self._read_logs()
        with self._lock:
            self._sum_up()
            lines, self._lines = self._lines, {}
            return {line: Amounts(*sums) for line, sums in lines.items()}

    def next_posting(self) -> Posting | None:
        """What a store is to enter next: what it may not have entered, then all that was added since; None if there is nothing."""
        self._read_logs()
        with self._lock:
            self._sum_up()
            for known in self._on_their_way:
                if not known.lock.locked():
                    return known
            if not self._lines:
                return None
            posting = Posting({line: Amounts(*sums) for line, sums in self._lines.items()}, self._settled)
            on_their_way = (*self._on_their_way, posting)
            self._lines, self._on_their_way = {}, on_their_way
            return posting

    def settle(self, posting: Posting) -> None:
        """A store has entered it."""
        with self._lock:
            self.merges = self.merges or (posting.names or 0) > MOST_STORED
            rest = tuple(other for other in self._on_their_way if other is not posting)
            settled = (*(token for token in self._settled if token not in posting.settled), posting.token)
            self._on_their_way, self._settled = rest, settled[-_MOST_SETTLED:]

    def _read_logs(self) -> None:
        for log in [known() for known in self._logs]:  # outside of the lock, because they add to these books
            if log is not None:
                log.totals()


MOST_STORED = 20_000
"""Lines in a store from which on further ones are put together."""

_MOST_SETTLED = 64


class Posting(dict[str, Amounts]):
    """Lines on their way from books to a store, by the names that `Line.write` gives them.

    It goes there again, as it is, until the store is known to have entered it. A store that can fail after it has entered
    something knows it again by its token.

    Attributes:
        lines: The lines.
        token: Its name, which no other has.
        settled: The tokens of earlier ones, which nobody will post any more.
        names: How many names the store's ledger has once it was entered; None as long as it wasn't.
        lock: Held by who is about to enter it.
    """

    __slots__ = ("lines", "lock", "names", "settled", "token")

    def __init__(self, lines: dict[Line, Amounts], settled: tuple[str, ...] = ()) -> None:
        super().__init__((line.write(), amounts) for line, amounts in lines.items())
        self.lines = lines
        self.token = f"{_drawn[0]}{next(_numbers):x}"
        self.settled = settled
        self.names: int | None = None
        self.lock = threading.Lock()  # not one of `make_lock`: a forked child forgets the postings of its parent

    def undo(self) -> None:
        """Take back that it was entered: the transaction has failed."""
        self.names = None


def add_stored(stored: Mapping[str, Sequence[int]], kept: Books) -> dict[Line, Amounts]:
    """The lines of a store's ledger with those of the books, which it doesn't have yet."""
    lines: dict[Line, Amounts] = {}
    own = ((line.write(), amounts) for line, amounts in kept.lines().items())
    for name, numbers in (*stored.items(), *own):
        line = read_line(name)
        if line is not None:
            lines[line] = lines.get(line, _NOTHING).plus(numbers)
    return lines


_NOTHING = Amounts()
_numbers = count()
_drawn: list[str] = []
"""How the tokens of this process begin."""


def _draw() -> None:
    _drawn[:] = [os.urandom(16).hex()]


_draw()
after_fork(_draw)
